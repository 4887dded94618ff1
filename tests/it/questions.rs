//! Tools that ask a person something while they run.

use runwire::pb::v1;
use tonic::Code;
use v1::{
    host_command::Command, host_tools_request::Message, input_answer::Action, run::State,
    tool_call_receipt::Disposition,
};

use crate::harness::{
    Hosting, Report, Server, accepted, assert_fails, host, hosted, outcome, output, registration,
    result, spec, start_run, tool, watch_all,
};

fn question(number: i32, schema_json: &str) -> Report {
    Report::Question(v1::Question {
        message: "Which account?".to_owned(),
        schema_json: schema_json.to_owned(),
        number,
    })
}

async fn answer(stream: &mut Hosting) -> v1::ToolCallAnswer {
    loop {
        if let Command::Answer(answer) = stream.command().await {
            return answer;
        }
    }
}

fn accept(input_id: &str, content_json: &str) -> v1::InputAnswer {
    v1::InputAnswer {
        input_id: input_id.to_owned(),
        action: Action::Accept.into(),
        content_json: content_json.to_owned(),
        ..v1::InputAnswer::default()
    }
}

fn to(run: &v1::Run, answer: v1::InputAnswer) -> v1::AnswerInputRequest {
    v1::AnswerInputRequest {
        run_id: run.id.clone(),
        answers: vec![answer],
    }
}

const STRING: &str = r#"{"type":"string"}"#;

#[tokio::test(start_paused = true)]
async fn a_tool_asks_and_gets_its_answer() {
    let server = Server::start().await;
    let (mut runs, mut tools) = (server.runs().await, server.tools().await);
    let mut stream = host(&mut tools, registration("h", vec![tool("t")]))
        .await
        .unwrap();
    stream.registered().await;
    let run = start_run(&mut runs, spec("fake:tools-1", vec![hosted("t")])).await;
    let call = stream.assignment().await;
    stream.report(&call, accepted()).await;
    stream.receipt().await;
    for _ in 0..2 {
        stream.report(&call, question(1, STRING)).await;
    }
    let receipts = [
        stream.receipt().await.disposition(),
        stream.receipt().await.disposition(),
    ];
    assert_eq!(receipts, [Disposition::Applied, Disposition::Duplicate]);
    let get = v1::GetRunRequest {
        run_id: run.id.clone(),
    };
    let waiting = runs.get_run(get).await.unwrap().into_inner().run.unwrap();
    assert_eq!(waiting.state(), State::InputRequired);
    let input = waiting.required_inputs[0].clone();
    assert_eq!(input.call_id, call.call.as_ref().unwrap().id);
    let Some(v1::required_input::Kind::Question(asked)) = &input.kind else {
        panic!("a question: {input:?}");
    };
    assert_eq!(
        (&*asked.message, &*asked.schema_json),
        ("Which account?", STRING)
    );
    let wrong = runs.answer_input(to(&run, accept(&input.id, "7"))).await;
    assert_fails(wrong, Code::InvalidArgument, "ARGUMENTS_INVALID");
    let missing = runs.answer_input(to(&run, accept(&input.id, ""))).await;
    assert_fails(missing, Code::InvalidArgument, "INVALID_REQUEST");
    let right = to(&run, accept(&input.id, r#""savings""#));
    runs.answer_input(right).await.unwrap();
    let told = answer(&mut stream).await;
    assert_eq!((told.attempt, told.number), (call.attempt, 1));
    let told = told.answer.unwrap();
    assert_eq!(
        (told.action(), &*told.content_json),
        (Action::Accept, r#""savings""#)
    );
    stream.report(&call, result("booked")).await;
    assert_eq!(output(&outcome(&mut runs, &run.id).await), "booked");
    let states: Vec<_> = watch_all(&mut runs, &run.id, Some(0))
        .await
        .into_iter()
        .filter_map(|event| match event.event {
            Some(v1::run_event::Event::ToolCallUpdated(update)) => Some(update.state()),
            _ => None,
        })
        .collect();
    use v1::tool_call_update::State::{InputRequired, Pending, Running, Succeeded};
    let life = [Pending, Running, InputRequired, Running, Succeeded];
    assert_eq!(states, life);
}

#[tokio::test(start_paused = true)]
async fn an_answer_reaches_a_host_that_was_away() {
    let server = Server::start().await;
    let (mut runs, mut tools) = (server.runs().await, server.tools().await);
    let mut stream = host(&mut tools, registration("h", vec![tool("t")]))
        .await
        .unwrap();
    stream.registered().await;
    let run = start_run(&mut runs, spec("fake:tools-1", vec![hosted("t")])).await;
    let call = stream.assignment().await;
    stream.report(&call, accepted()).await;
    stream.receipt().await;
    stream.report(&call, question(0, "")).await;
    stream.receipt().await;
    drop(stream);
    drop(tools);
    let id = call.call.as_ref().unwrap().id.clone();
    let input = format!("in_{}_1_1", id.strip_prefix("call_").unwrap());
    runs.answer_input(to(&run, accept(&input, "")))
        .await
        .unwrap();
    let Message::Registration(mut again) = registration("h", vec![tool("t")]) else {
        unreachable!("a registration is one");
    };
    again.in_flight = vec![v1::ToolCallRef {
        call_id: id,
        attempt: call.attempt,
    }];
    let mut tools = server.tools().await;
    for _ in 0..2 {
        let mut stream = host(&mut tools, Message::Registration(again.clone()))
            .await
            .unwrap();
        stream.registered().await;
        let told = answer(&mut stream).await;
        assert_eq!(told.answer.unwrap().action(), Action::Accept, "each time");
    }
    let mut stream = host(&mut tools, Message::Registration(again))
        .await
        .unwrap();
    stream.registered().await;
    stream.report(&call, result("done")).await;
    assert_eq!(output(&outcome(&mut runs, &run.id).await), "done");
}

#[tokio::test(start_paused = true)]
async fn a_malformed_question_fails_its_call_and_not_the_stream() {
    let server = Server::start().await;
    let (mut runs, mut tools) = (server.runs().await, server.tools().await);
    let mut stream = host(&mut tools, registration("h", vec![tool("t")]))
        .await
        .unwrap();
    stream.registered().await;
    for schema in ["{", r#"{"type":"strung"}"#] {
        let run = start_run(&mut runs, spec("fake:tools-1", vec![hosted("t")])).await;
        let call = stream.assignment().await;
        stream.report(&call, accepted()).await;
        stream.report(&call, question(1, schema)).await;
        let ended = outcome(&mut runs, &run.id).await;
        assert_eq!(ended.state(), State::Succeeded);
        assert!(output(&ended).contains("technical reason"), "{ended:?}");
    }
}

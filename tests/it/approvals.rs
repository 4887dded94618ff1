//! Policies, and calls that wait for people.

use std::time::Duration;

use runwire::{
    config::{Config, PolicyAction, PolicyRule},
    domain::principal::Scope,
    pb::v1,
};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;
use v1::{
    input_answer::Action, run::State, run_event::Event, run_service_client::RunServiceClient,
    tool_call_update::State as CallState,
};

use crate::{
    harness::{
        Server, accepted, assert_fails, attach, attached, create, host, hosted, last_run, outcome,
        output, registration, result, run_message, spec, start_run, tool, watch_all,
    },
    tenancy::{Bearer, tokens},
};

/// Every call of the tool waits for an approval.
fn gated(model: &str, binding: v1::ToolBinding) -> v1::RunSpec {
    ruled(model, binding, v1::PolicyAction::RequireApproval)
}

fn ruled(model: &str, binding: v1::ToolBinding, action: v1::PolicyAction) -> v1::RunSpec {
    v1::RunSpec {
        policy: Some(v1::ToolPolicy {
            rules: vec![v1::PolicyRule {
                tool_glob: "pay*".to_owned(),
                action: action.into(),
                reason: "it costs money".to_owned(),
                ..v1::PolicyRule::default()
            }],
            ..v1::ToolPolicy::default()
        }),
        ..spec(model, vec![binding])
    }
}

/// A tool that takes a number of at most 10.
fn pay() -> v1::Tool {
    v1::Tool {
        input_schema_json:
            r#"{"type":"object","properties":{"n":{"type":"integer","maximum":10}}}"#.to_owned(),
        ..tool("pay")
    }
}

fn answer(input_id: &str, action: Action) -> v1::InputAnswer {
    v1::InputAnswer {
        input_id: input_id.to_owned(),
        action: action.into(),
        ..v1::InputAnswer::default()
    }
}

fn edited(input_id: &str, content_json: &str) -> v1::InputAnswer {
    v1::InputAnswer {
        content_json: content_json.to_owned(),
        ..answer(input_id, Action::Accept)
    }
}

async fn send(
    client: &mut RunServiceClient<Channel>,
    run_id: &str,
    answers: Vec<v1::InputAnswer>,
) -> Result<v1::Run, Status> {
    let run_id = run_id.to_owned();
    let request = v1::AnswerInputRequest { run_id, answers };
    let answered = client.answer_input(request).await?;
    Ok(answered.into_inner().run.unwrap())
}

/// Follows a run until it waits for so many inputs.
async fn waiting(
    client: &mut RunServiceClient<Channel>,
    run_id: &str,
    inputs: usize,
) -> Vec<v1::RequiredInput> {
    let request = v1::WatchRunRequest {
        run_id: run_id.to_owned(),
        ..v1::WatchRunRequest::default()
    };
    let mut stream = client.watch_run(request).await.unwrap().into_inner();
    loop {
        let batch = stream.message().await.unwrap().expect("the run goes on");
        for event in batch.events {
            let run = match event.event {
                Some(Event::RunUpdated(run)) => *run,
                Some(Event::Snapshot(snapshot)) => snapshot.runs[0].clone(),
                _ => continue,
            };
            if run.required_inputs.len() == inputs {
                assert_eq!(run.state(), State::InputRequired);
                return run.required_inputs;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_its_approval_and_somebody_else_gives_it() {
    let server = Server::with(tokens(&[("alice", "acme"), ("bob", "acme")])).await;
    let channel = server.channel().await;
    let mut alice = RunServiceClient::with_interceptor(channel.clone(), Bearer("alice"));
    let mut bob = RunServiceClient::with_interceptor(channel, Bearer("bob"));
    let request = v1::CreateRunRequest {
        spec: Some(gated("fake:tools-1", attached(pay()))),
        ..v1::CreateRunRequest::default()
    };
    let created = alice.create_run(request).await.unwrap().into_inner();
    let run_id = created.run.unwrap().id;
    let everything = v1::WatchRunRequest {
        run_id: run_id.clone(),
        after_sequence: Some(0),
        ..v1::WatchRunRequest::default()
    };
    let mut watch = alice.watch_run(everything).await.unwrap().into_inner();
    let mut events = Vec::new();
    let waits = |events: &[v1::RunEvent]| {
        last_run(events).is_some_and(|run| run.state() == State::InputRequired)
    };
    while !waits(&events) {
        events.extend(watch.message().await.unwrap().unwrap().events);
    }
    let decided = events.iter().find_map(|event| match &event.event {
        Some(Event::PolicyDecided(decided)) => Some(decided.clone()),
        _ => None,
    });
    let decided = decided.unwrap();
    assert_eq!(decided.action(), v1::PolicyAction::RequireApproval);
    assert_eq!(
        (&*decided.rule_source, &*decided.reason),
        ("run", "it costs money")
    );
    let list = v1::ListRunsRequest {
        filter: Some(v1::RunFilter {
            states: vec![State::InputRequired.into()],
            ..v1::RunFilter::default()
        }),
        ..v1::ListRunsRequest::default()
    };
    let listed = bob.list_runs(list).await.unwrap().into_inner().runs;
    assert_eq!(listed.len(), 1);
    let input = &listed[0].required_inputs[0];
    assert_eq!((&input.run_id, &*input.reason), (&run_id, "it costs money"));
    let Some(v1::required_input::Kind::ToolApproval(call)) = &input.kind else {
        panic!("a call is to be approved: {input:?}");
    };
    assert_eq!((&*call.name, &*call.arguments_json), ("pay", r#"{"n":0}"#));
    let declined = v1::AnswerInputRequest {
        run_id: run_id.clone(),
        answers: vec![v1::InputAnswer {
            reason: "ask again on Monday".to_owned(),
            ..answer(&input.id, Action::Decline)
        }],
    };
    let answered = bob.answer_input(declined).await.unwrap().into_inner();
    assert_ne!(answered.run.unwrap().state(), State::InputRequired);
    while let Some(batch) = watch.message().await.unwrap() {
        events.extend(batch.events);
    }
    let said = events.iter().find_map(|event| match &event.event {
        Some(Event::InputAnswered(said)) => Some(said.clone()),
        _ => None,
    });
    let said = said.unwrap();
    assert_eq!((&*said.principal, said.action()), ("bob", Action::Decline));
    let run = last_run(&events).unwrap();
    assert!(output(&run).contains("ask again on Monday"), "{run:?}");
    assert!(run.required_inputs.is_empty());
}

#[tokio::test(start_paused = true)]
async fn approved_calls_start_at_once_while_others_wait() {
    let server = Server::start().await;
    let (mut runs, mut tools) = (server.runs().await, server.tools().await);
    let mut stream = host(&mut tools, registration("h", vec![pay()]))
        .await
        .unwrap();
    stream.registered().await;
    let run = start_run(&mut runs, gated("fake:tools-2", hosted("pay"))).await;
    let inputs = waiting(&mut runs, &run.id, 2).await;
    let second = vec![answer(&inputs[1].id, Action::Accept)];
    let after = send(&mut runs, &run.id, second).await.unwrap();
    assert_eq!(after.state(), State::InputRequired);
    let call = stream.assignment().await;
    assert_eq!(call.call.as_ref().unwrap().id, inputs[1].call_id);
    stream.report(&call, result("second")).await;
    let first = vec![answer(&inputs[0].id, Action::Accept)];
    send(&mut runs, &run.id, first).await.unwrap();
    let call = stream.assignment().await;
    stream.report(&call, result("first")).await;
    assert_eq!(output(&outcome(&mut runs, &run.id).await), "first|second");
}

#[tokio::test(start_paused = true)]
async fn edited_arguments_must_fit_and_are_what_the_host_gets() {
    let server = Server::start().await;
    let mut runs = server.runs().await;
    let mut stream = attach(&mut runs, create(gated("fake:tools-1", attached(pay()))))
        .await
        .unwrap();
    let run_id = stream.started().await.run.unwrap().id;
    let input = waiting(&mut runs, &run_id, 1).await.remove(0).id;
    for (content, reason) in [
        (r#"{"n":11}"#, "ARGUMENTS_INVALID"),
        ("[1]", "ARGUMENTS_MALFORMED"),
    ] {
        let refused = send(&mut runs, &run_id, vec![edited(&input, content)]).await;
        let status = assert_fails(refused, Code::InvalidArgument, reason);
        let wrong = status.get_details_bad_request().unwrap();
        assert_eq!(wrong.field_violations[0].field, "answers[0].content_json");
    }
    assert_eq!(waiting(&mut runs, &run_id, 1).await.len(), 1, "still open");
    let fits = vec![edited(&input, r#"{ "n": 7 }"#)];
    send(&mut runs, &run_id, fits).await.unwrap();
    let mut events = Vec::new();
    let call = stream.assignment(&mut events).await;
    let arguments = &call.call.as_ref().unwrap().arguments_json;
    assert_eq!(arguments, r#"{ "n": 7 }"#);
    stream.report(&call, accepted()).await;
    stream.report(&call, result("paid")).await;
    events.extend(stream.finish().await.unwrap());
    let run = last_run(&events).unwrap();
    let expected = "A person approved this call with other arguments: { \"n\": 7 }\npaid";
    assert_eq!(output(&run), expected, "the model knows what was run");
}

#[tokio::test(start_paused = true)]
async fn the_first_answer_wins() {
    let server = Server::start().await;
    let mut runs = server.runs().await;
    let run = start_run(&mut runs, gated("fake:tools-2", attached(pay()))).await;
    let inputs = waiting(&mut runs, &run.id, 2).await;
    let declined = || vec![answer(&inputs[0].id, Action::Decline)];
    let accepted = || vec![answer(&inputs[0].id, Action::Accept)];
    send(&mut runs, &run.id, declined()).await.unwrap();
    send(&mut runs, &run.id, declined()).await.unwrap();
    let late = send(&mut runs, &run.id, accepted()).await;
    let status = assert_fails(late, Code::FailedPrecondition, "INPUT_ALREADY_ANSWERED");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.metadata["input_id"], inputs[0].id);
    // The rest of a request with one that had counted before counts all the same.
    let mut both = declined();
    both.push(answer(&inputs[1].id, Action::Decline));
    send(&mut runs, &run.id, both).await.unwrap();
    assert_eq!(outcome(&mut runs, &run.id).await.state(), State::Succeeded);
    send(&mut runs, &run.id, declined()).await.unwrap();
    let late = send(&mut runs, &run.id, accepted()).await;
    assert_fails(late, Code::FailedPrecondition, "INPUT_ALREADY_ANSWERED");
}

#[tokio::test(start_paused = true)]
async fn wrong_answers_are_refused() {
    let server = Server::start().await;
    let mut runs = server.runs().await;
    let run = start_run(&mut runs, gated("fake:tools-1", attached(pay()))).await;
    let input = waiting(&mut runs, &run.id, 1).await.remove(0).id;
    let accept = answer(&input, Action::Accept);
    let with_content = v1::InputAnswer {
        content_json: "{}".to_owned(),
        ..answer(&input, Action::Decline)
    };
    for (answers, field) in [
        (vec![], "answers"),
        (vec![answer("", Action::Accept)], "answers[0].input_id"),
        (
            vec![answer(&input, Action::Unspecified)],
            "answers[0].action",
        ),
        (vec![accept.clone(), accept], "answers[1].input_id"),
        (vec![with_content], "answers[0].content_json"),
    ] {
        let refused = send(&mut runs, &run.id, answers).await;
        let status = assert_fails(refused, Code::InvalidArgument, "INVALID_REQUEST");
        let wrong = status.get_details_bad_request().unwrap();
        assert_eq!(wrong.field_violations[0].field, field);
    }
    let json = send(&mut runs, &run.id, vec![edited(&input, "{")]).await;
    assert_fails(json, Code::InvalidArgument, "JSON_INVALID");
    let unknown = send(&mut runs, &run.id, vec![answer("in_7", Action::Accept)]).await;
    assert_fails(unknown, Code::NotFound, "INPUT_NOT_FOUND");
    assert_eq!(waiting(&mut runs, &run.id, 1).await.len(), 1, "still open");
}

#[tokio::test(start_paused = true)]
async fn who_may_not_answer_does_not() {
    let mut config = tokens(&[("alice", "acme"), ("reader", "acme"), ("eve", "other")]);
    config.auth.tokens[1].principal.scopes = vec![Scope::RunsRead, Scope::RunsWrite];
    let server = Server::with(config).await;
    let channel = server.channel().await;
    let client = |who| RunServiceClient::with_interceptor(channel.clone(), Bearer(who));
    let request = v1::CreateRunRequest {
        spec: Some(gated("fake:tools-1", attached(pay()))),
        ..v1::CreateRunRequest::default()
    };
    let created = client("alice").create_run(request).await.unwrap();
    let run_id = created.into_inner().run.unwrap().id;
    let request = v1::AnswerInputRequest {
        run_id: run_id.clone(),
        answers: vec![answer("in_7", Action::Accept)],
    };
    let foreign = client("eve").answer_input(request.clone()).await;
    assert_fails(foreign, Code::NotFound, "RUN_NOT_FOUND");
    let denied = client("reader").answer_input(request).await;
    let status = assert_fails(denied, Code::PermissionDenied, "PERMISSION_DENIED");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.metadata["scope"], "runs.answer");
}

#[tokio::test(start_paused = true)]
async fn a_runs_own_stream_answers_too() {
    let server = Server::start().await;
    let mut runs = server.runs().await;
    let mut stream = attach(&mut runs, create(gated("fake:tools-1", attached(pay()))))
        .await
        .unwrap();
    let run_id = stream.started().await.run.unwrap().id;
    let input = waiting(&mut runs, &run_id, 1).await.remove(0).id;
    let say = |action| {
        let answer = answer(&input, action);
        run_message(v1::attach_run_request::Message::Answer(answer))
    };
    stream.say(say(Action::Accept)).await;
    // Too late, and left to the events.
    stream.say(say(Action::Decline)).await;
    let mut events = Vec::new();
    let call = stream.assignment(&mut events).await;
    stream.report(&call, result("paid")).await;
    events.extend(stream.finish().await.unwrap());
    assert_eq!(output(&last_run(&events).unwrap()), "paid");
}

#[tokio::test(start_paused = true)]
async fn what_the_operator_forbids_no_run_allows() {
    let mut config = Config::default();
    config.policy.rules = vec![PolicyRule {
        tool: Some("pay".to_owned()),
        action: Some(PolicyAction::Deny),
        reason: "not on this server".to_owned(),
        ..PolicyRule::default()
    }];
    let server = Server::with(config).await;
    let mut runs = server.runs().await;
    let allowed = ruled("fake:tools-1", attached(pay()), v1::PolicyAction::Allow);
    let run = start_run(&mut runs, allowed).await;
    let events = watch_all(&mut runs, &run.id, Some(0)).await;
    let run = last_run(&events).unwrap();
    assert_eq!(run.state(), State::Succeeded);
    assert!(output(&run).contains("not on this server"), "{run:?}");
    let call = events.iter().rev().find_map(|event| match &event.event {
        Some(Event::ToolCallUpdated(update)) => Some(update.clone()),
        _ => None,
    });
    let call = call.unwrap();
    assert_eq!(call.state(), CallState::Failed);
    assert_eq!(call.error.unwrap().reason, "POLICY_DENIED");
    let source = events.iter().find_map(|event| match &event.event {
        Some(Event::PolicyDecided(decided)) => Some(decided.rule_source.clone()),
        _ => None,
    });
    assert_eq!(source.as_deref(), Some("operator"));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_is_cancelled_at_once() {
    let server = Server::start().await;
    let mut runs = server.runs().await;
    let run = start_run(&mut runs, gated("fake:tools-1", attached(pay()))).await;
    let input = waiting(&mut runs, &run.id, 1).await.remove(0).id;
    let cancel = v1::CancelRunRequest {
        run_id: run.id.clone(),
        ..v1::CancelRunRequest::default()
    };
    runs.cancel_run(cancel).await.unwrap();
    let run = outcome(&mut runs, &run.id).await;
    assert_eq!(run.state(), State::Cancelled);
    let late = send(&mut runs, &run.id, vec![answer(&input, Action::Accept)]).await;
    assert_fails(late, Code::FailedPrecondition, "RUN_FINISHED");
}

#[tokio::test(start_paused = true)]
async fn an_input_that_nobody_answers_is_declined_and_the_waiting_does_not_count() {
    let mut config = Config::default();
    config.runs.timeout = Duration::from_secs(60);
    config.runs.input_timeout = Duration::from_secs(7_200);
    let server = Server::with(config).await;
    let mut runs = server.runs().await;
    let run = start_run(&mut runs, gated("fake:tools-1", attached(pay()))).await;
    waiting(&mut runs, &run.id, 1).await;
    let before = tokio::time::Instant::now();
    let run = outcome(&mut runs, &run.id).await;
    assert!(before.elapsed() >= Duration::from_secs(7_100));
    assert_eq!(run.state(), State::Succeeded);
    assert!(
        output(&run).contains("nobody has given one in time"),
        "{run:?}"
    );
}

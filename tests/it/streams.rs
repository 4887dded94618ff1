//! What every stream has to stand: callers that leave, that do not read, that say too much, and whose
//! connection breaks. What a stream does on a half-close and at the end of the server stands in `attach`,
//! `hosting` and `drain`.

use std::time::Duration;

use runwire::{config::Config, pb::v1};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming, transport::Channel};
use v1::{
    attach_run_request, attach_run_start::Target,
    completion_service_client::CompletionServiceClient, host_tools_request,
    run_service_client::RunServiceClient, stream_completion_response::Event,
    tool_call_receipt::Disposition, tool_service_client::ToolServiceClient,
};

use crate::harness::{
    FLOOD_BYTES, Server, accepted, assert_fails, attach, attached, create, host, host_message,
    hosted, idempotent, last_run, outcome, output, params, registration, report_on, result,
    run_message, spec, start_run, text_part, tool,
};

/// More than any request may weigh.
const TOO_MUCH: usize = 33 << 20;

/// Reads to the end of a stream.
async fn end_of<T>(stream: &mut Streaming<T>) -> Result<(), Status> {
    while stream.message().await?.is_some() {}
    Ok(())
}

/// Others on the connection get their answers.
async fn others_are_answered(channel: &Channel) {
    let mut completions = CompletionServiceClient::new(channel.clone());
    let mut runs = RunServiceClient::new(channel.clone());
    for _ in 0..10 {
        let request = v1::GenerateCompletionRequest {
            params: Some(params("fake:text")),
        };
        completions.generate_completion(request).await.unwrap();
        let run = start_run(&mut runs, spec("fake:text", vec![])).await;
        assert_eq!(output(&outcome(&mut runs, &run.id).await), "hello");
    }
}

fn watch(run_id: &str) -> v1::WatchRunRequest {
    v1::WatchRunRequest {
        run_id: run_id.to_owned(),
        after_sequence: Some(0),
        ..v1::WatchRunRequest::default()
    }
}

fn watch_all(agent_name: &str) -> v1::WatchRunsRequest {
    v1::WatchRunsRequest {
        filter: Some(v1::RunFilter {
            agent_name: agent_name.to_owned(),
            ..v1::RunFilter::default()
        }),
        include_finished: true,
        ..v1::WatchRunsRequest::default()
    }
}

// === readers that do not read ===

#[tokio::test(start_paused = true)]
async fn a_completion_that_is_not_read_holds_its_model_back_and_nobody_else() {
    let server = Server::start().await;
    let channel = server.channel().await;
    let mut client =
        CompletionServiceClient::new(channel.clone()).max_decoding_message_size(64 << 20);
    let mut unread = Vec::new();
    for _ in 0..4 {
        let request = v1::StreamCompletionRequest {
            params: Some(params("fake:flood")),
        };
        unread.push(
            client
                .stream_completion(request)
                .await
                .unwrap()
                .into_inner(),
        );
    }
    others_are_answered(&channel).await;
    // What is not read is not drawn from the model either.
    assert_eq!(server.models.active(), 4);
    for mut stream in unread {
        let (mut deltas, mut whole) = (0, 0);
        while let Some(message) = stream.message().await.unwrap() {
            match message.event.unwrap() {
                Event::Started(_) => {}
                Event::Delta(delta) => {
                    let Some(v1::message_delta::Delta::Text(text)) = delta.delta else {
                        panic!("no text");
                    };
                    deltas += text.len();
                }
                Event::Completion(completion) => {
                    whole = completion.message.unwrap().parts.len();
                }
            }
        }
        assert_eq!((deltas, whole), (FLOOD_BYTES, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn watches_that_are_not_read_stall_nobody_and_miss_nothing() {
    let server = Server::start().await;
    let channel = server.channel().await;
    let mut client = RunServiceClient::new(channel.clone()).max_decoding_message_size(64 << 20);
    let mut feed = client
        .watch_runs(watch_all("tester"))
        .await
        .unwrap()
        .into_inner();
    let mut unread = Vec::new();
    for _ in 0..4 {
        let run = start_run(&mut client, spec("fake:big", vec![])).await;
        let stream = client.watch_run(watch(&run.id)).await.unwrap().into_inner();
        unread.push((run.id, stream));
    }
    others_are_answered(&channel).await;
    let mut missing: Vec<String> = unread.iter().map(|(id, _)| id.clone()).collect();
    for (_, mut stream) in unread {
        let mut events = Vec::new();
        while let Some(batch) = stream.message().await.unwrap() {
            events.extend(batch.events);
        }
        assert_eq!(output(&last_run(&events).unwrap()).len(), 8 << 20);
        let durable: Vec<i64> = events
            .iter()
            .filter(|event| event.event_time.is_some())
            .map(|event| event.sequence)
            .collect();
        assert!(durable.is_sorted_by(|a, b| a < b), "{durable:?}");
    }
    while !missing.is_empty() {
        let batch = feed.message().await.unwrap().unwrap();
        if let Some(run) = last_run(&batch.events)
            && run.end_time.is_some()
        {
            missing.retain(|id| *id != batch.root_run_id);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_does_not_read_is_cut_off_and_others_are_served() {
    let mut config = Config::default();
    config.tools.max_window = 1;
    let server = Server::with(config).await;
    let channel = server.channel().await;
    let mut tools = ToolServiceClient::new(channel.clone());
    let mut deaf = host(&mut tools, registration("deaf", vec![tool("t")]))
        .await
        .unwrap();
    // Each report about nothing gets a receipt, and none is read.
    let unknown = v1::ToolCallReport {
        call_id: "call_nobody".to_owned(),
        attempt: 1,
        report: Some(accepted()),
    };
    let said = deaf.said.take().unwrap();
    let talking = server.tasks.spawn(async move {
        let report = host_message(host_tools_request::Message::Report(unknown));
        // More receipts than the windows and the queue hold, or until nobody listens any more.
        for _ in 0..20_000 {
            let saying = timeout(Duration::from_secs(1), said.send(report.clone()));
            if !matches!(saying.await, Ok(Ok(()))) {
                break;
            }
        }
        said
    });
    let _said = talking.await.unwrap();
    let cut = end_of(&mut deaf.heard).await;
    assert_fails(cut, Code::ResourceExhausted, "SLOW_READER");

    let mut fine = host(&mut tools, registration("fine", vec![tool("t")]))
        .await
        .unwrap();
    let mut runs = RunServiceClient::new(channel.clone());
    let run = start_run(&mut runs, spec("fake:tools-1", vec![hosted("t")])).await;
    let call = fine.assignment().await;
    fine.report(&call, result("served")).await;
    assert_eq!(output(&outcome(&mut runs, &run.id).await), "served");
    others_are_answered(&channel).await;
}

// === callers that leave ===

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_ends_its_completions_at_the_model() {
    let server = Server::start().await;
    let mut client = server.completions().await;
    let request = v1::StreamCompletionRequest {
        params: Some(params("fake:hang")),
    };
    let stream = client.stream_completion(request).await.unwrap();
    assert_eq!(server.models.active(), 1);
    drop((stream, client));
    while server.models.active() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_left_leaves_its_run_alone() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let mut feed = client
        .watch_runs(watch_all("tester"))
        .await
        .unwrap()
        .into_inner();
    let run = start_run(&mut client, spec("fake:slow", vec![])).await;
    let mut stream = client.watch_run(watch(&run.id)).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    assert!(feed.message().await.unwrap().is_some());
    drop((stream, feed));
    assert_eq!(output(&outcome(&mut client, &run.id).await), "abcde");
    others_are_answered(&server.channel().await).await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_half_closes_with_a_call_in_hand_reports_it_by_post() {
    let server = Server::start().await;
    let channel = server.channel().await;
    let mut runs = RunServiceClient::new(channel.clone());
    let mut tools = ToolServiceClient::new(channel);
    let mut stream = host(&mut tools, registration("h", vec![tool("t")]))
        .await
        .unwrap();
    let run = start_run(&mut runs, spec("fake:tools-1", vec![hosted("t")])).await;
    let call = stream.assignment().await;
    stream.report(&call, accepted()).await;
    assert_eq!(stream.receipt().await.disposition(), Disposition::Applied);
    stream.half_close();
    let request = v1::ReportToolCallRequest {
        report: Some(report_on(&call, result("by post"))),
    };
    let receipt = tools.report_tool_call(request).await.unwrap().into_inner();
    assert_eq!(receipt.receipt.unwrap().disposition(), Disposition::Applied);
    assert_eq!(output(&outcome(&mut runs, &run.id).await), "by post");
    end_of(&mut stream.heard).await.unwrap();
}

// === callers that say too much ===

#[tokio::test(start_paused = true)]
async fn a_request_that_is_too_large_ends_its_stream_alone() {
    let server = Server::start().await;
    let channel = server.channel().await;
    let mut completions = CompletionServiceClient::new(channel.clone());
    let mut runs = RunServiceClient::new(channel.clone());
    let text = "x".repeat(TOO_MUCH);

    let mut large = params("fake:text");
    large.messages[0].parts[0] = text_part(&text);
    let request = v1::StreamCompletionRequest {
        params: Some(large),
    };
    let refused = completions.stream_completion(request).await;
    assert_fails(refused, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");

    let refused = runs.watch_run(watch(&text)).await;
    assert_fails(refused, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    let refused = runs.watch_runs(watch_all(&text)).await;
    assert_fails(refused, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    others_are_answered(&channel).await;
}

#[tokio::test(start_paused = true)]
async fn a_report_that_is_too_large_ends_the_attachment_and_not_the_run() {
    let server = Server::start().await;
    let channel = server.channel().await;
    let mut runs = RunServiceClient::new(channel.clone());
    let run = spec("fake:tools-1", vec![attached(idempotent("t"))]);
    let mut stream = attach(&mut runs, create(run)).await.unwrap();
    let run_id = stream.started().await.run.unwrap().id;
    let call = stream.assignment(&mut Vec::new()).await;
    let report = report_on(&call, result(&"x".repeat(TOO_MUCH)));
    stream
        .say(run_message(attach_run_request::Message::Report(report)))
        .await;
    assert_fails(
        stream.finish().await,
        Code::ResourceExhausted,
        "MESSAGE_TOO_LARGE",
    );

    let back = attach_run_request::Message::Start(v1::AttachRunStart {
        target: Some(Target::RunId(run_id)),
        host_id: "client-1".to_owned(),
        in_flight: vec![v1::ToolCallRef {
            call_id: call.call.as_ref().unwrap().id.clone(),
            attempt: call.attempt,
        }],
        ..v1::AttachRunStart::default()
    });
    let mut stream = attach(&mut runs, back).await.unwrap();
    stream.report(&call, result("in short")).await;
    let run = last_run(&stream.finish().await.unwrap()).unwrap();
    assert_eq!(output(&run), "in short");
    others_are_answered(&channel).await;
}

//! Tool hosts.

use std::time::Duration;

use runwire::pb::v1;
use tonic::Code;
use v1::{
    host_tools_request::Message, run::State, run_service_client::RunServiceClient,
    tool_call_receipt::Disposition, tool_service_client::ToolServiceClient,
};

use crate::harness::{
    Attachment, Server, accepted, assert_fails, attached, create, host, host_message, hosted,
    idempotent, outcome, output, registration, report_on, result, run_message, spec, start_run,
    tool,
};

#[tokio::test(start_paused = true)]
async fn a_hosted_tool_works_for_a_run_of_another_connection() {
    let server = Server::start().await;
    let (mut runs, mut tools) = (server.runs().await, server.tools().await);
    let mut stream = host(&mut tools, registration("h", vec![tool("t")]))
        .await
        .unwrap();
    stream.registered().await;
    let run = start_run(&mut runs, spec("fake:tools-2", vec![hosted("t")])).await;
    for _ in 0..2 {
        let call = stream.assignment().await;
        assert_eq!(call.run_id, run.id);
        assert_eq!(call.principal, "anonymous");
        stream.report(&call, accepted()).await;
        assert_eq!(stream.receipt().await.disposition(), Disposition::Applied);
        stream.report(&call, result("yes")).await;
        assert_eq!(stream.receipt().await.disposition(), Disposition::Applied);
    }
    assert_eq!(output(&outcome(&mut runs, &run.id).await), "yes|yes");
}

#[tokio::test(start_paused = true)]
async fn a_result_without_a_stream_counts_once() {
    let server = Server::start().await;
    let channel = server.channel().await;
    let mut runs = RunServiceClient::new(channel.clone());
    let mut tools = ToolServiceClient::new(channel);
    let mut stream = host(&mut tools, registration("h", vec![tool("t")]))
        .await
        .unwrap();
    let run = start_run(&mut runs, spec("fake:twice", vec![hosted("t")])).await;
    let call = stream.assignment().await;
    stream.report(&call, accepted()).await;
    stream.receipt().await;
    let request = v1::ReportToolCallRequest {
        report: Some(report_on(&call, result("by post"))),
    };
    let mut receipts = Vec::new();
    for _ in 0..2 {
        let answer = tools.report_tool_call(request.clone()).await.unwrap();
        receipts.push(answer.into_inner().receipt.unwrap().disposition());
    }
    assert_eq!(receipts, [Disposition::Applied, Disposition::Duplicate]);
    let second = stream.assignment().await;
    stream.report(&second, result("by stream")).await;
    assert_eq!(
        output(&outcome(&mut runs, &run.id).await),
        "by post|by stream"
    );
}

#[tokio::test(start_paused = true)]
async fn a_killed_hosts_idempotent_call_goes_to_another() {
    let server = Server::start().await;
    let (mut runs, mut first, mut second) = (
        server.runs().await,
        server.tools().await,
        server.tools().await,
    );
    let mut a = host(&mut first, registration("a", vec![idempotent("t")]))
        .await
        .unwrap();
    let run = start_run(&mut runs, spec("fake:tools-1", vec![hosted("t")])).await;
    let call = a.assignment().await;
    a.report(&call, accepted()).await;
    a.receipt().await;
    let mut b = host(&mut second, registration("b", vec![idempotent("t")]))
        .await
        .unwrap();
    b.registered().await;
    let before = tokio::time::Instant::now();
    drop(a);
    drop(first);
    let again = b.assignment().await;
    assert!(
        before.elapsed() >= Duration::from_secs(30),
        "within the grace"
    );
    assert_eq!(
        again.call.as_ref().unwrap().id,
        call.call.as_ref().unwrap().id
    );
    assert_eq!(again.attempt, call.attempt + 1);
    b.report(&again, result("from b")).await;
    assert_eq!(output(&outcome(&mut runs, &run.id).await), "from b");

    // What the dead one did comes back late: it no longer counts.
    let request = v1::ReportToolCallRequest {
        report: Some(report_on(&call, result("from a"))),
    };
    let late = second.report_tool_call(request).await.unwrap().into_inner();
    assert_eq!(late.receipt.unwrap().disposition(), Disposition::Stale);
}

#[tokio::test(start_paused = true)]
async fn a_killed_hosts_other_call_is_never_run_again() {
    let server = Server::start().await;
    let (mut runs, mut first, mut second) = (
        server.runs().await,
        server.tools().await,
        server.tools().await,
    );
    let mut a = host(&mut first, registration("a", vec![tool("t")]))
        .await
        .unwrap();
    let run = start_run(&mut runs, spec("fake:tools-1", vec![hosted("t")])).await;
    let call = a.assignment().await;
    a.report(&call, accepted()).await;
    a.receipt().await;
    let mut b = host(&mut second, registration("b", vec![tool("t")]))
        .await
        .unwrap();
    b.registered().await;
    drop(a);
    drop(first);
    let ended = outcome(&mut runs, &run.id).await;
    assert_eq!(ended.state(), State::Succeeded);
    let events = crate::harness::watch_all(&mut runs, &run.id, Some(0)).await;
    let reasons: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.event {
            Some(v1::run_event::Event::ToolCallUpdated(update)) => update.error.clone(),
            _ => None,
        })
        .map(|error| error.reason)
        .collect();
    assert_eq!(reasons, ["OUTCOME_UNKNOWN"]);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_comes_back_within_the_grace_goes_on() {
    let server = Server::start().await;
    let (mut runs, mut tools) = (server.runs().await, server.tools().await);
    let mut stream = host(&mut tools, registration("h", vec![tool("t")]))
        .await
        .unwrap();
    let run = start_run(&mut runs, spec("fake:tools-1", vec![hosted("t")])).await;
    let call = stream.assignment().await;
    stream.report(&call, accepted()).await;
    stream.receipt().await;
    drop(stream);
    tokio::time::advance(Duration::from_secs(20)).await;
    let back = Message::Registration(v1::HostRegistration {
        host_id: "h".to_owned(),
        tools: vec![tool("t")],
        in_flight: vec![v1::ToolCallRef {
            call_id: call.call.as_ref().unwrap().id.clone(),
            attempt: call.attempt,
        }],
        ..v1::HostRegistration::default()
    });
    let mut stream = host(&mut tools, back).await.unwrap();
    stream.registered().await;
    stream.report(&call, result("still here")).await;
    assert_eq!(stream.receipt().await.disposition(), Disposition::Applied);
    assert_eq!(output(&outcome(&mut runs, &run.id).await), "still here");
}

#[tokio::test(start_paused = true)]
async fn a_newer_stream_of_a_host_takes_over() {
    let server = Server::start().await;
    let mut tools = server.tools().await;
    let mut older = host(&mut tools, registration("h", vec![tool("t")]))
        .await
        .unwrap();
    older.registered().await;
    let mut newer = host(&mut tools, registration("h", vec![tool("t")]))
        .await
        .unwrap();
    newer.registered().await;
    assert_fails(older.heard.message().await, Code::Aborted, "SUPERSEDED");
}

#[tokio::test(start_paused = true)]
async fn two_hosts_share_the_calls_within_their_windows() {
    let server = Server::start().await;
    let (mut runs, mut tools) = (server.runs().await, server.tools().await);
    let window = |id: &str| {
        Message::Registration(v1::HostRegistration {
            host_id: id.to_owned(),
            tools: vec![tool("t")],
            max_concurrent_calls: Some(2),
            ..v1::HostRegistration::default()
        })
    };
    let mut a = host(&mut tools, window("a")).await.unwrap();
    let mut b = host(&mut tools, window("b")).await.unwrap();
    a.registered().await;
    b.registered().await;
    let run = start_run(&mut runs, spec("fake:tools-4", vec![hosted("t")])).await;
    for stream in [&mut a, &mut b] {
        let calls = [stream.assignment().await, stream.assignment().await];
        for call in &calls {
            stream.report(call, accepted()).await;
            stream.report(call, result("ok")).await;
        }
    }
    assert_eq!(output(&outcome(&mut runs, &run.id).await), "ok|ok|ok|ok");
}

#[tokio::test(start_paused = true)]
async fn a_drained_host_that_half_closes_ends_well() {
    let server = Server::start().await;
    let mut tools = server.tools().await;
    let mut stream = host(&mut tools, registration("h", vec![tool("t")]))
        .await
        .unwrap();
    stream.registered().await;
    let update = v1::HostUpdate {
        max_concurrent_calls: Some(0),
        tools: None,
    };
    stream.say(host_message(Message::Update(update))).await;
    stream.half_close();
    assert!(stream.heard.message().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_malformed_result_fails_its_call_and_not_the_stream() {
    let server = Server::start().await;
    let (mut runs, mut tools) = (server.runs().await, server.tools().await);
    let mut stream = host(&mut tools, registration("h", vec![tool("t")]))
        .await
        .unwrap();
    let run = start_run(&mut runs, spec("fake:tools-1", vec![hosted("t")])).await;
    let call = stream.assignment().await;
    stream.report(&call, accepted()).await;
    let malformed = v1::tool_call_report::Report::Result(v1::ToolResult {
        structured_json: "{no json".to_owned(),
        ..v1::ToolResult::default()
    });
    stream.report(&call, malformed).await;
    assert_eq!(outcome(&mut runs, &run.id).await.state(), State::Succeeded);
    let run = start_run(&mut runs, spec("fake:tools-1", vec![hosted("t")])).await;
    let call = stream.assignment().await;
    stream.report(&call, result("fine")).await;
    assert_eq!(output(&outcome(&mut runs, &run.id).await), "fine");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_tells_its_host_to_stop() {
    let server = Server::start().await;
    let (mut runs, mut tools) = (server.runs().await, server.tools().await);
    let mut stream = host(&mut tools, registration("h", vec![tool("t")]))
        .await
        .unwrap();
    let run = start_run(&mut runs, spec("fake:tools-1", vec![hosted("t")])).await;
    let call = stream.assignment().await;
    stream.report(&call, accepted()).await;
    stream.receipt().await;
    let cancel = v1::CancelRunRequest {
        run_id: run.id.clone(),
        reason: "changed my mind".to_owned(),
    };
    let cancelling = runs
        .cancel_run(cancel.clone())
        .await
        .unwrap()
        .into_inner()
        .run
        .unwrap();
    assert_eq!(cancelling.state(), State::Cancelling);
    let v1::host_command::Command::Cancellation(told) = stream.command().await else {
        panic!("not a cancellation");
    };
    assert_eq!(told.reason, "RUN_CANCELLED");
    let stopped = v1::tool_call_report::Report::Stopped(v1::ToolCallStopped {});
    stream.report(&call, stopped).await;
    assert_eq!(outcome(&mut runs, &run.id).await.state(), State::Cancelled);
    let again = runs
        .cancel_run(cancel)
        .await
        .unwrap()
        .into_inner()
        .run
        .unwrap();
    assert_eq!(again.state(), State::Cancelled);
}

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A creation with trace headers.
fn traced(parent: &'static str) -> tonic::Request<v1::CreateRunRequest> {
    let mut request = tonic::Request::new(v1::CreateRunRequest {
        request_id: "0198c5b6-9bfa-7e0c-b53b-0d0f1f3c2a11".to_owned(),
        spec: Some(spec("fake:tools-1", vec![hosted("t")])),
    });
    let metadata = request.metadata_mut();
    metadata.insert("traceparent", parent.parse().unwrap());
    metadata.append("tracestate", "one=1".parse().unwrap());
    metadata.append("tracestate", "two=2".parse().unwrap());
    request
}

#[tokio::test(start_paused = true)]
async fn a_host_learns_where_the_run_belongs_in_its_creators_trace() {
    let server = Server::start().await;
    let (mut runs, mut tools) = (server.runs().await, server.tools().await);
    let registration = registration("h", vec![tool("t")]);
    let mut stream = host(&mut tools, registration).await.unwrap();
    let created = runs.create_run(traced(PARENT)).await.unwrap().into_inner();
    let call = stream.assignment().await;
    assert_eq!(
        (&*call.traceparent, &*call.tracestate),
        (PARENT, "one=1,two=2")
    );
    // A repetition comes with a trace of its own, and is the same run.
    let other = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let again = runs.create_run(traced(other)).await.unwrap().into_inner();
    assert_eq!(again.run.unwrap().id, created.run.unwrap().id);
}

#[tokio::test(start_paused = true)]
async fn trace_headers_that_are_none_are_ignored() {
    let server = Server::start().await;
    let (mut runs, mut tools) = (server.runs().await, server.tools().await);
    let registration = registration("h", vec![tool("t")]);
    let mut stream = host(&mut tools, registration).await.unwrap();
    runs.create_run(traced("00-what-ever-01")).await.unwrap();
    let call = stream.assignment().await;
    assert_eq!((&*call.traceparent, &*call.tracestate), ("", ""));
}

#[tokio::test(start_paused = true)]
async fn attached_tools_learn_of_the_trace_too() {
    let server = Server::start().await;
    let mut runs = server.runs().await;
    let (said, inbound) = tokio::sync::mpsc::channel(8);
    let first = create(spec("fake:tools-1", vec![attached(tool("t"))]));
    said.send(run_message(first)).await.unwrap();
    let inbound = tokio_stream::wrappers::ReceiverStream::new(inbound);
    let mut request = tonic::Request::new(inbound);
    let metadata = request.metadata_mut();
    metadata.insert("traceparent", PARENT.parse().unwrap());
    let heard = runs.attach_run(request).await.unwrap().into_inner();
    let mut stream = Attachment {
        said: Some(said),
        heard,
    };
    let call = stream.assignment(&mut Vec::new()).await;
    assert_eq!(call.traceparent, PARENT);
}

//! `grpc-timeout`, on every kind of call.

use std::time::Duration;

use runwire::pb::v1;
use tokio::time::Instant;
use tonic::{Code, Request};
use v1::run::State;

use crate::harness::{Server, assert_fails, create, outcome, params, run_message, spec, start_run};

const SECOND: Duration = Duration::from_secs(1);

/// A request with a deadline that only the server keeps.
fn within<T>(message: T, timeout: &'static str) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("grpc-timeout", timeout.parse().unwrap());
    request
}

#[tokio::test(start_paused = true)]
async fn a_completion_ends_with_its_deadline() {
    let server = Server::start().await;
    let mut client = server.completions().await;
    let request = v1::GenerateCompletionRequest {
        params: Some(params("fake:silent")),
    };
    let before = Instant::now();
    let answer = client.generate_completion(within(request, "2S")).await;
    assert_fails(answer, Code::DeadlineExceeded, "DEADLINE");
    assert!(before.elapsed() <= 2 * SECOND);
    assert_eq!(server.models.active(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_completion_without_a_deadline_ends_all_the_same() {
    let server = Server::start().await;
    let mut client = server.completions().await;
    let request = v1::GenerateCompletionRequest {
        params: Some(params("fake:silent")),
    };
    let before = Instant::now();
    let answer = client.generate_completion(request).await;
    assert_fails(answer, Code::DeadlineExceeded, "DEADLINE");
    assert!(before.elapsed() <= Duration::from_secs(600));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_deadline_after_what_it_had_to_say() {
    let server = Server::start().await;
    let mut client = server.completions().await;
    let request = v1::StreamCompletionRequest {
        params: Some(params("fake:slow")),
    };
    let answer = client
        .stream_completion(within(request, "2500m"))
        .await
        .unwrap();
    let mut answer = answer.into_inner();
    let mut messages = 0;
    let ended = loop {
        match answer.message().await {
            Ok(Some(_)) => messages += 1,
            other => break other,
        }
    };
    assert_fails(ended, Code::DeadlineExceeded, "DEADLINE");
    assert_eq!(messages, 3, "the start and two deltas");
    assert_eq!(server.models.active(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_watchs_deadline_ends_the_watch_and_not_the_run() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let run = start_run(&mut client, spec("fake:slow", vec![])).await;
    let request = v1::WatchRunRequest {
        run_id: run.id.clone(),
        ..v1::WatchRunRequest::default()
    };
    let watch = client.watch_run(within(request, "1S")).await.unwrap();
    let mut watch = watch.into_inner();
    let ended = loop {
        match watch.message().await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert_fails(ended, Code::DeadlineExceeded, "DEADLINE");
    assert_eq!(
        outcome(&mut client, &run.id).await.state(),
        State::Succeeded
    );
}

#[tokio::test(start_paused = true)]
async fn an_attachments_deadline_ends_the_attachment_and_not_the_run() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let (said, inbound) = tokio::sync::mpsc::channel(4);
    said.send(run_message(create(spec("fake:slow", vec![]))))
        .await
        .unwrap();
    let inbound = tokio_stream::wrappers::ReceiverStream::new(inbound);
    let stream = client.attach_run(within(inbound, "1S")).await.unwrap();
    let mut stream = crate::harness::Attachment {
        said: Some(said),
        heard: stream.into_inner(),
    };
    let run_id = stream.started().await.run.unwrap().id;
    assert_fails(stream.finish().await, Code::DeadlineExceeded, "DEADLINE");
    assert_eq!(
        outcome(&mut client, &run_id).await.state(),
        State::Succeeded
    );
}

#[tokio::test(start_paused = true)]
async fn the_creators_deadline_does_not_bound_the_run() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let request = v1::CreateRunRequest {
        spec: Some(spec("fake:slow", vec![])),
        ..v1::CreateRunRequest::default()
    };
    let run = client
        .create_run(within(request, "1S"))
        .await
        .unwrap()
        .into_inner()
        .run
        .unwrap();
    assert_eq!(
        outcome(&mut client, &run.id).await.state(),
        State::Succeeded
    );
}

#[tokio::test(start_paused = true)]
async fn a_timeout_that_is_none_is_refused() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let answer = client
        .list_runs(within(v1::ListRunsRequest::default(), "soon"))
        .await;
    assert_fails(answer, Code::InvalidArgument, "INVALID_REQUEST");
}

//! The end of the server: in bounded time, and everybody is told.

use std::time::Duration;

use runwire::pb::v1;
use tokio::time::Instant;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::harness::{
    Server, assert_fails, attach, create, host, last_run, output, params, registration, spec,
    start_run, tool,
};

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_in_time_is_seen_to_its_end() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let mut stream = attach(&mut client, create(spec("fake:slow", vec![])))
        .await
        .unwrap();
    stream.started().await;
    let before = Instant::now();
    let drained = server.drain();
    let events = stream.finish().await.unwrap();
    assert_eq!(output(&last_run(&events).unwrap()), "abcde");
    drop((stream, client));
    drained.await.unwrap();
    assert!(before.elapsed() < Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn every_stream_is_told_why_it_ends() {
    let server = Server::start().await;
    let channel = server.channel().await;
    let mut runs = v1::run_service_client::RunServiceClient::new(channel.clone());
    let mut tools = v1::tool_service_client::ToolServiceClient::new(channel);
    let run = start_run(&mut runs, spec("fake:hang", vec![])).await;
    let mut attached = attach(&mut runs, create(spec("fake:hang", vec![])))
        .await
        .unwrap();
    attached.started().await;
    let request = v1::WatchRunRequest {
        run_id: run.id,
        ..v1::WatchRunRequest::default()
    };
    let mut watch = runs.watch_run(request).await.unwrap().into_inner();
    let request = v1::WatchRunsRequest {
        filter: Some(v1::RunFilter {
            agent_name: "tester".to_owned(),
            ..v1::RunFilter::default()
        }),
        ..v1::WatchRunsRequest::default()
    };
    let mut feed = runs.watch_runs(request).await.unwrap().into_inner();
    let mut hosting = host(&mut tools, registration("h", vec![tool("t")]))
        .await
        .unwrap();
    hosting.registered().await;

    let before = Instant::now();
    let drained = server.drain();
    let told = loop {
        if let v1::host_command::Command::GoAway(told) = hosting.command().await {
            break told;
        }
    };
    assert_eq!(told.time_left.unwrap().seconds, 30);
    assert!(before.elapsed() < Duration::from_secs(1), "first of all");

    let draining = "SERVER_DRAINING";
    assert_fails(attached.finish().await, Code::Unavailable, draining);
    let ended = loop {
        match watch.message().await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert_fails(ended, Code::Unavailable, draining);
    let ended = loop {
        match feed.message().await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert_fails(ended, Code::Unavailable, draining);
    let ended = loop {
        match hosting.heard.message().await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert_fails(ended, Code::Unavailable, draining);
    drained.await.unwrap();
    assert!(before.elapsed() < Duration::from_secs(35));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_nothing_does_not_hold_the_end_up() {
    let server = Server::start().await;
    let silent = server.pipe();
    let mut client = server.runs().await;
    let stream = attach(&mut client, create(spec("fake:hang", vec![])))
        .await
        .unwrap();
    let before = Instant::now();
    server.drain().await.unwrap();
    assert!(before.elapsed() <= Duration::from_secs(40));
    drop((silent, stream));
}

#[tokio::test(start_paused = true)]
async fn health_says_so_first() {
    let server = Server::start().await;
    let mut client = HealthClient::new(server.channel().await);
    let request = HealthCheckRequest {
        service: "runwire.v1.RunService".to_owned(),
    };
    let mut watch = client.watch(request).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status, 1);
    let mut runs = server.runs().await;
    start_run(&mut runs, spec("fake:hang", vec![])).await;
    let before = Instant::now();
    let drained = server.drain();
    assert_eq!(watch.message().await.unwrap().unwrap().status, 2);
    assert!(before.elapsed() < Duration::from_secs(1));
    drained.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn completions_are_told_why_they_end() {
    let server = Server::start().await;
    let (mut streaming, mut waiting) = (server.completions().await, server.completions().await);
    let params = Some(params("fake:hang"));
    let request = v1::StreamCompletionRequest {
        params: params.clone(),
    };
    let mut stream = streaming
        .stream_completion(request)
        .await
        .unwrap()
        .into_inner();
    let request = v1::GenerateCompletionRequest { params };
    let (answer, drained) = tokio::join!(waiting.generate_completion(request), async {
        while server.models.active() < 2 {
            tokio::task::yield_now().await;
        }
        server.drain().await
    });
    drained.unwrap();
    assert_fails(answer, Code::Unavailable, "SERVER_DRAINING");
    let ended = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert_fails(ended, Code::Unavailable, "SERVER_DRAINING");
}

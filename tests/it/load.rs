//! Many runs on one connection, over a real socket.

use std::{sync::Arc, time::Duration};

use futures_util::{
    StreamExt,
    stream::{self, FuturesUnordered},
};
use runwire::pb::v1::run_service_client::RunServiceClient;
use tokio::net::TcpListener;
use tonic::transport::{Channel, Endpoint};

use crate::harness::{
    Server, accepted, attach, attached, create, last_run, output, result, spec, tool,
};

/// The server on a socket, and one connection to it.
async fn connected() -> (Server, RunServiceClient<Channel>) {
    let server = Server::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Arc::clone(&server.app);
    server
        .tasks
        .spawn(async move { app.accept(listener).await });
    let channel = Endpoint::try_from(format!("http://{address}"))
        .unwrap()
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(256 * 1024 * 1024)
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_secs(10))
        .connect()
        .await
        .unwrap();
    (server, RunServiceClient::new(channel))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_thousand_runs_that_answer_at_once_all_end() {
    const RUNS: usize = 3_000;
    let (_server, client) = connected().await;
    let run = || create(spec("fake:tools-1", vec![attached(tool("t"))]));
    let opening = (0..RUNS).map(|_| {
        let mut client = client.clone();
        async move {
            let mut stream = attach(&mut client, run()).await.unwrap();
            let call = stream.assignment(&mut Vec::new()).await;
            stream.report(&call, accepted()).await;
            (stream, call)
        }
    });
    // Opened in turns, for a busy machine to be quick enough with each acceptance; but no answer goes out
    // before every run waits for one.
    let waiting: Vec<_> = stream::iter(opening).buffer_unordered(64).collect().await;
    let answering: FuturesUnordered<_> = waiting
        .into_iter()
        .map(|(mut stream, call)| async move {
            stream.report(&call, result("at once")).await;
            stream.half_close();
            output(&last_run(&stream.finish().await.unwrap()).unwrap())
        })
        .collect();
    let outputs: Vec<_> = answering.collect().await;
    assert_eq!(outputs.len(), RUNS);
    let wrong: Vec<_> = outputs
        .iter()
        .filter(|output| *output != "at once")
        .collect();
    assert!(
        wrong.is_empty(),
        "{} wrong, such as {:?}",
        wrong.len(),
        wrong.first()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_runs_in_a_row_without_half_close_keep_the_connection() {
    let (_server, mut client) = connected().await;
    for _ in 0..2_000 {
        let mut stream = attach(&mut client, create(spec("fake:text", vec![])))
            .await
            .unwrap();
        let run = last_run(&stream.finish().await.unwrap()).unwrap();
        assert_eq!(output(&run), "hello");
        assert!(stream.said.is_some(), "never half-closed");
    }
}

//! Connections, byte by byte: what the server says first, and whom it hangs up on.

use std::{sync::Arc, time::Duration};

use runwire::{
    config::Config,
    pb::v1::{self, run_service_client::RunServiceClient},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tonic::Request;

use crate::harness::{Bystander, Server};

/// What an HTTP/2 client says first, and empty settings (RFC 9113, sections 3.4 and 6.5).
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// The kind and the payload of the next frame of the connection itself.
async fn frame(pipe: &mut DuplexStream) -> (u8, Vec<u8>) {
    let mut head = [0; 9];
    pipe.read_exact(&mut head).await.unwrap();
    let [a, b, c, kind, _flags, rest @ ..] = head;
    assert_eq!(u32::from_be_bytes(rest[..4].try_into().unwrap()), 0);
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    pipe.read_exact(&mut payload).await.unwrap();
    (kind, payload)
}

#[tokio::test(start_paused = true)]
async fn a_connection_begins_with_the_limits_of_the_configuration() {
    let mut config = Config::default();
    config.server.max_concurrent_streams = 77;
    let server = Server::with(config).await;
    let mut pipe = server.pipe();
    pipe.write_all(HELLO).await.unwrap();

    let (kind, payload) = frame(&mut pipe).await;
    assert_eq!(kind, 4, "SETTINGS");
    let mut settings: Vec<(u16, u32)> = payload
        .chunks(6)
        .map(|entry| {
            let (name, value) = entry.split_at(2);
            (
                u16::from_be_bytes(name.try_into().unwrap()),
                u32::from_be_bytes(value.try_into().unwrap()),
            )
        })
        .collect();
    settings.sort_unstable();
    for expected in [(3, 77), (4, 256 << 10), (6, 16 << 10)] {
        assert!(settings.contains(&expected), "{expected:?} in {settings:?}");
    }
    loop {
        let (kind, payload) = frame(&mut pipe).await;
        if kind == 8 {
            let more = u32::from_be_bytes(payload.try_into().unwrap());
            // HTTP/2's own 65,535 bytes are there already.
            assert_eq!(more + 65_535, 256 << 20);
            return;
        }
    }
}

/// How long the server takes to hang up on who says this.
async fn hangs_up_after(server: &Server, said: &[u8]) -> Duration {
    let mut pipe = server.pipe();
    pipe.write_all(said).await.unwrap();
    let before = Instant::now();
    let mut heard = Vec::new();
    pipe.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"", "nothing is said to a stranger");
    before.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_silent_or_speaks_something_else_is_hung_up_on() {
    let server = Server::start().await;
    let at_once = Duration::from_millis(10);
    assert!(
        hangs_up_after(&server, b"GET / HTTP/1.1\r\nhost: runwire.test\r\n\r\n").await < at_once
    );
    assert!(
        hangs_up_after(
            &server,
            b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03 a TLS client hello"
        )
        .await
            < at_once
    );
    let patience = Config::default().server.handshake_timeout;
    for silent in [&b""[..], b"PRI * HTTP/2.0\r\n"] {
        let after = hangs_up_after(&server, silent).await;
        assert!(after >= patience && after < patience + at_once, "{after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn headers_that_are_too_large_end_their_call_alone() {
    let server = Server::start().await;
    let channel = server.channel().await;
    let bystander = Bystander::on(&channel, "fake:tools-1").await;
    let mut client = RunServiceClient::new(channel);
    let mut request = Request::new(v1::ListRunsRequest::default());
    let large = "x".repeat(20 << 10).parse().unwrap();
    request.metadata_mut().insert("x-large", large);
    client.list_runs(request).await.unwrap_err();
    client
        .list_runs(v1::ListRunsRequest::default())
        .await
        .unwrap();
    bystander.ends_well().await;
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_the_others_live() {
    let mut config = Config::default();
    config.server.max_connections = 1;
    let server = Server::with(config).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Arc::clone(&server.app);
    server
        .tasks
        .spawn(async move { app.accept(listener).await });

    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(HELLO).await.unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    assert_eq!(second.read(&mut byte).await.unwrap_or(0), 0, "closed");
    first.read_exact(&mut byte).await.unwrap();
    // Its place is free again when it has gone.
    drop(first);
    loop {
        let mut third = TcpStream::connect(address).await.unwrap();
        third.write_all(HELLO).await.unwrap();
        if third.read(&mut byte).await.unwrap_or(0) == 1 {
            return;
        }
        tokio::task::yield_now().await;
    }
}

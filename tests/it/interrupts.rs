//! Signals: what Ctrl-C and SIGTERM do to each command, and to what it has begun.

use std::{fs, process::Stdio};

use runwire::pb::v1::{host_command::Command, tool_service_client::ToolServiceClient};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, process::Child};
use tonic::transport::Endpoint;

use crate::{
    harness::{accepted, host, registration, tool},
    program::{Heard, PROGRAM, command, ended, folder, runwire_in, serve, signal, succeeds, text},
};

/// Starts a command whose output is heard.
fn start(folder: &TempDir, server: Option<&str>, args: &[&str]) -> Child {
    command(PROGRAM, folder, server)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn ctrl_c_ends_every_command_that_waits_with_130() {
    let folder = folder();
    let server = serve(&folder).await;
    for server in [None, Some(server.url.as_str())] {
        for args in [
            &["complete", "-m", "script:hang", "--json", "hi"][..],
            &["run", "examples/guide.toml", "-m", "script:hang", "--json"],
        ] {
            let mut child = start(&folder, server, args);
            let mut said = Heard::new(child.stdout.take());
            assert!(said.next().await.is_some(), "{args:?}");
            signal(&child, "-INT").await;
            assert_eq!(ended(&mut child).await, Some(130), "{args:?}");
            let errors = Heard::new(child.stderr.take()).rest().await;
            assert_eq!(errors, [""; 0], "{args:?}");
        }
    }
    let list = ["runs", "list", "--state", "cancelled"];
    let list = succeeds(&runwire_in(&folder, Some(&server.url), &list).await);
    assert_eq!(
        list.lines().count(),
        1,
        "the run was cancelled on its server: {list}"
    );
}

#[tokio::test]
async fn ctrl_c_ends_a_chat_that_waits_for_its_next_line() {
    let folder = folder();
    let mut child = start(&folder, None, &["chat", "-m", "script:echo"]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"one\n").await.unwrap();
    let answer = Heard::new(child.stdout.take()).next().await;
    assert_eq!(answer.as_deref(), Some("one"));
    signal(&child, "-INT").await;
    assert_eq!(ended(&mut child).await, Some(130));
}

#[tokio::test]
async fn ctrl_c_ends_a_watch_and_not_its_run() {
    let folder = folder();
    let server = serve(&folder).await;
    let url = Some(server.url.as_str());
    let detach = [
        "run",
        "--detach",
        "examples/guide.toml",
        "-m",
        "script:hang",
    ];
    let id = succeeds(&runwire_in(&folder, url, &detach).await);
    let id = id.trim();
    let mut child = start(&folder, url, &["runs", "watch", id, "--json"]);
    assert!(Heard::new(child.stdout.take()).next().await.is_some());
    signal(&child, "-INT").await;
    assert_eq!(ended(&mut child).await, Some(130));
    let run = succeeds(&runwire_in(&folder, url, &["runs", "get", id]).await);
    assert!(run.contains("  running  "), "{run}");
    let cancelled = ["runs", "cancel", id, "--reason", "enough"];
    succeeds(&runwire_in(&folder, url, &cancelled).await);
    let watched = runwire_in(&folder, url, &["runs", "watch", id]).await;
    assert_eq!(watched.status.code(), Some(1));
    assert_eq!(
        text(&watched.stderr),
        "runwire: the run was cancelled: enough\n"
    );
}

#[tokio::test]
async fn a_signal_drains_the_server_and_a_second_one_shortens_that() {
    let folder = folder();
    let mut server = serve(&folder).await;
    let detach = [
        "run",
        "--detach",
        "examples/guide.toml",
        "-m",
        "script:hang",
    ];
    succeeds(&runwire_in(&folder, Some(&server.url), &detach).await);
    signal(&server.child, "-TERM").await;
    let draining = server.log.next().await.unwrap();
    assert!(draining.contains("draining"), "{draining}");
    let health = runwire_in(&folder, Some(&server.url), &["health"]).await;
    assert_eq!(health.status.code(), Some(1));
    signal(&server.child, "-TERM").await;
    assert_eq!(ended(&mut server.child).await, Some(0));
}

#[tokio::test]
async fn a_second_ctrl_c_does_not_wait_for_the_run_to_stop() {
    let folder = folder();
    let server = serve(&folder).await;
    let endpoint = Endpoint::try_from(server.url.clone()).unwrap();
    let mut tools = ToolServiceClient::new(endpoint.connect().await.unwrap());
    let mut stubborn = host(&mut tools, registration("h", vec![tool("t")]))
        .await
        .unwrap();
    let agent = "name = 'a'\nmodel = 'script:tools-1'\ninput = 'go'\ntools = ['t']\n";
    fs::write(folder.path().join("agent.toml"), agent).unwrap();
    let mut child = start(&folder, Some(&server.url), &["run", "agent.toml"]);
    let call = stubborn.assignment().await;
    stubborn.report(&call, accepted()).await;
    stubborn.receipt().await;
    signal(&child, "-INT").await;
    // The tool is told to stop, and does not.
    assert!(matches!(stubborn.command().await, Command::Cancellation(_)));
    signal(&child, "-INT").await;
    assert_eq!(ended(&mut child).await, Some(130));
    let list = ["runs", "list", "--state", "cancelling"];
    let list = succeeds(&runwire_in(&folder, Some(&server.url), &list).await);
    assert_eq!(list.lines().count(), 1, "{list}");
}

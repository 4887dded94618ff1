//! `runwire runs` without a server: what one has left, or has open, in its data directory.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use runwire::{
    client::{Client, Since},
    pb::v1::{self, EventDetail, run::State, run_event::Event},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::{
    program::{
        Heard, PROGRAM, Served, command, ended, folder, runwire_in, serve, serve_with, succeeds,
        text,
    },
    recovery::{self, spec, tool},
};

/// What a command says of unfinished runs.
const IDLE: &str = "runwire: no server runs: nothing happens to unfinished runs until one does\n";

/// Runs a command on the data directory of the folder's server.
async fn at_rest(folder: &TempDir, args: &[&str]) -> Output {
    let words: Vec<&str> = std::iter::once("runs")
        .chain(args.iter().copied())
        .collect();
    runwire_in(folder, None, &words).await
}

/// Where the folder's server keeps its runs.
fn data(folder: &TempDir) -> PathBuf {
    folder.path().join(".local/share/runwire")
}

/// The database and its log, as they are on the disk.
fn stored(folder: &TempDir) -> [Vec<u8>; 2] {
    let directory = data(folder);
    ["runs.db", "runs.db-wal"].map(|name| fs::read(directory.join(name)).unwrap_or_default())
}

fn client(server: &Served) -> Client {
    Client::connect(&server.url).unwrap()
}

/// Kills a server without a word.
async fn kill(mut server: Served) {
    server.child.kill().await.unwrap();
}

#[track_caller]
fn check_fails(output: &Output, code: i32, why: &str) {
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    assert!(errors.contains(why), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[track_caller]
fn object(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The id of a run that has ended.
async fn finished(server: &Served) -> String {
    let run = client(server)
        .create_run(spec("script:echo", vec![]))
        .await
        .unwrap();
    client(server).wait_for_run(&run.id).await.unwrap();
    run.id
}

/// A run in the middle of a call to a tool that has accepted it, and whose host never answers.
async fn stuck(server: &Served, tasks: &TaskTracker, name: &str, idempotent: bool) -> v1::Run {
    let (begin, mut begun) = mpsc::channel(1);
    let tool = tool(name, move |_| {
        let begin = begin.clone();
        async move {
            begin.send(()).await.unwrap();
            std::future::pending().await
        }
    });
    let tool = if idempotent { tool.idempotent() } else { tool };
    let bound = vec![tool.hosted()];
    recovery::serve(tasks, client(server), tool);
    let run = client(server)
        .create_run(spec("script:tools-1", bound))
        .await;
    begun.recv().await.unwrap();
    run.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_run_is_shown_the_same_with_its_server_and_without_one() {
    let folder = folder();
    let server = serve(&folder).await;
    let id = finished(&server).await;
    let commands: [&[&str]; 9] = [
        &["list"],
        &["list", "--json"],
        &["list", "--state", "running"],
        &["list", "--agent", "a", "--limit", "1"],
        &["get", &id],
        &["get", &id, "--json"],
        &["watch", &id],
        &["watch", &id, "--after", "0", "--json"],
        &["watch", &id, "--after", "2", "--json"],
    ];
    let mut with_server = Vec::new();
    for args in commands {
        let words: Vec<&str> = std::iter::once("runs")
            .chain(args.iter().copied())
            .collect();
        let output = runwire_in(&folder, Some(&server.url), &words).await;
        with_server.push(succeeds(&output));
    }
    assert!(with_server[7].lines().count() >= 3, "{}", with_server[7]);
    let beside = at_rest(&folder, &["list"]).await;
    assert_eq!(succeeds(&beside), with_server[0], "beside the server");
    kill(server).await;
    for (args, expected) in commands.iter().zip(&with_server) {
        assert_eq!(
            succeeds(&at_rest(&folder, args).await),
            *expected,
            "{args:?}"
        );
    }
    // Of an end that was stored, the cancellation changes nothing.
    let cancelled = object(&at_rest(&folder, &["cancel", &id, "--json"]).await);
    assert_eq!(cancelled["state"], "SUCCEEDED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_at_what_a_server_has_left_changes_nothing_and_says_that_nobody_goes_on() {
    let folder = folder();
    let server = serve(&folder).await;
    let tasks = TaskTracker::new();
    let run = stuck(&server, &tasks, "pay", false).await;
    kill(server).await;
    let before = stored(&folder);
    let list = at_rest(&folder, &["list", "--json"]).await;
    assert_eq!(text(&list.stderr), IDLE);
    assert_eq!(object(&list)["state"], "RUNNING");
    let get = at_rest(&folder, &["get", &run.id]).await;
    assert_eq!(text(&get.stderr), IDLE);
    let watch = at_rest(&folder, &["watch", &run.id, "--after", "0", "--json"]).await;
    check_fails(&watch, 75, "nothing happens to it until a server runs");
    let printed = text(&watch.stdout);
    let last: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    assert_eq!(last["tool_call_updated"]["state"], "RUNNING", "{printed}");
    assert!(before == stored(&folder), "the files are as they were");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_beside_a_server_follows_what_the_server_stores() {
    let folder = folder();
    let server = serve(&folder).await;
    let tool = tool("find", |_| async { "found" }).idempotent();
    // Waits for its tool's host.
    let run = client(&server)
        .create_run(spec("script:tools-1", vec![tool.hosted()]))
        .await
        .unwrap();
    let mut watch = command(PROGRAM, &folder, None)
        .args(["runs", "watch", &run.id, "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut heard = Heard::new(watch.stdout.take());
    let first = heard.next().await.unwrap();
    assert!(first.contains("snapshot"), "{first}");
    let tasks = TaskTracker::new();
    recovery::serve(&tasks, client(&server), tool);
    let rest = heard.rest().await;
    let last: Value = serde_json::from_str(rest.last().unwrap()).unwrap();
    assert_eq!(last["run_updated"]["state"], "SUCCEEDED", "{rest:?}");
    assert_eq!(ended(&mut watch).await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_cancelled_without_a_server_stays_so_and_the_others_go_on() {
    let folder = folder();
    let server = serve(&folder).await;
    let tasks = TaskTracker::new();
    let paying = stuck(&server, &tasks, "pay", false).await;
    let finding = stuck(&server, &tasks, "find", true).await;
    let refused = at_rest(&folder, &["cancel", &paying.id]).await;
    check_fails(
        &refused,
        1,
        "belongs to a server that runs: name it with --server",
    );
    kill(server).await;

    let args = ["cancel", &paying.id, "--reason", "enough", "--json"];
    let cancelled = object(&at_rest(&folder, &args).await);
    assert_eq!(cancelled["state"], "CANCELLED");
    assert_eq!(cancelled["cancel_reason"], "enough");
    let again = object(&at_rest(&folder, &["cancel", &paying.id, "--json"]).await);
    assert_eq!(again, cancelled, "only the first time counts");
    let watch = at_rest(&folder, &["watch", &paying.id, "--after", "0", "--json"]).await;
    check_fails(&watch, 1, "the run was cancelled: enough");
    let log = text(&watch.stdout);
    assert!(log.contains("OUTCOME_UNKNOWN"), "{log}");
    let other = object(&at_rest(&folder, &["get", &finding.id, "--json"]).await);
    assert_eq!(other["state"], "RUNNING", "no other run is touched");

    let server = serve(&folder).await;
    let tasks = TaskTracker::new();
    let find = tool("find", |_| async { "found" }).idempotent();
    recovery::serve(&tasks, client(&server), find);
    let found = client(&server).wait_for_run(&finding.id).await.unwrap();
    assert_eq!(found.state(), State::Succeeded, "{:?}", found.error);
    let paid = client(&server).get_run(&paying.id).await.unwrap();
    assert_eq!(paid.state(), State::Cancelled);
    assert_eq!(paid.last_sequence, cancelled["last_sequence"]);
    kill(server).await;
    let check = runwire_in(&folder, None, &["store", "check"]).await;
    assert!(succeeds(&check).starts_with("the store is good: 2 runs"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_for_people_is_found_and_cancelled_without_a_server() {
    let folder = folder();
    let server = serve(&folder).await;
    let tasks = TaskTracker::new();
    let pay = tool("pay", |_| async { "paid" });
    let mut asks = spec("script:tools-1", vec![pay.hosted()]);
    asks.policy = Some(v1::ToolPolicy {
        default_action: v1::PolicyAction::RequireApproval.into(),
        ..v1::ToolPolicy::default()
    });
    recovery::serve(&tasks, client(&server), pay);
    let run = client(&server).create_run(asks).await.unwrap();
    let mut watch = client(&server).watch_run(&run.id, Since::Sequence(0), EventDetail::Durable);
    while let Some(event) = watch.next().await {
        let updated = event.unwrap().event;
        if matches!(updated, Some(Event::RunUpdated(run)) if run.state() == State::InputRequired) {
            break;
        }
    }
    kill(server).await;
    let list = at_rest(&folder, &["list", "--state", "input_required", "--json"]).await;
    assert_eq!(object(&list)["id"], run.id);
    let cancelled = object(&at_rest(&folder, &["cancel", &run.id, "--json"]).await);
    assert_eq!(cancelled["state"], "CANCELLED");
    let server = serve(&folder).await;
    let ended = client(&server).get_run(&run.id).await.unwrap();
    assert_eq!(ended.state(), State::Cancelled);
    assert!(ended.required_inputs.is_empty(), "nobody is asked any more");
}

#[tokio::test]
async fn what_is_not_there_is_not_found_without_a_server_either() {
    let folder = folder();
    for args in [
        &["list"] as &[&str],
        &["cancel", "run_018f0000000070008000000000000000"],
    ] {
        let output = at_rest(&folder, args).await;
        check_fails(&output, 1, "there is no store in");
        assert!(!data(&folder).exists(), "{args:?}: none is made");
    }
    let server = serve(&folder).await;
    let id = finished(&server).await;
    kill(server).await;
    for command in ["get", "watch", "cancel"] {
        let unknown = at_rest(&folder, &[command, "run_018f0000000070008000000000000000"]).await;
        check_fails(&unknown, 1, "RUN_NOT_FOUND");
        let of_another = at_rest(&folder, &[command, &id, "--tenant", "acme"]).await;
        check_fails(&of_another, 1, "RUN_NOT_FOUND");
    }
    let of_another = at_rest(&folder, &["list", "--tenant", "acme"]).await;
    assert_eq!(succeeds(&of_another), "");
    let nobody = at_rest(&folder, &["list", "--tenant", "A B"]).await;
    check_fails(&nobody, 64, "is not a tenant's name");
    let elsewhere = at_rest(&folder, &["list", "--data-dir", "nowhere"]).await;
    check_fails(&elsewhere, 1, "there is no store in nowhere");
}

#[tokio::test]
async fn a_server_that_keeps_nothing_leaves_nothing_to_look_at() {
    let folder = folder();
    let mut forgetful = command(PROGRAM, &folder, None);
    forgetful.env("RUNWIRE__STORE__KIND", "memory");
    let server = serve_with(forgetful, &[]).await;
    let mut list = command(PROGRAM, &folder, None);
    list.env("RUNWIRE__STORE__KIND", "memory")
        .args(["runs", "list"]);
    let output = crate::program::output(list).await;
    check_fails(&output, 64, "name a server with --server or RUNWIRE_SERVER");
    kill(server).await;
}

/// Puts a database in the place of the folder's store.
fn put(folder: &TempDir, sql: &str) {
    fs::create_dir_all(data(folder)).unwrap();
    let path = data(folder).join("runs.db");
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch(sql).unwrap();
}

#[tokio::test]
async fn what_another_version_or_another_program_has_made_is_not_read() {
    let ours = "PRAGMA application_id = 0x52554e57; \
                CREATE TABLE schema_version (version INTEGER PRIMARY KEY, time INTEGER);";
    for (sql, why) in [
        (
            format!("{ours} INSERT INTO schema_version VALUES (999, 0);"),
            "use a newer runwire",
        ),
        (ours.to_owned(), "`runwire serve` brings it up to date"),
        (
            "CREATE TABLE mine (a);".to_owned(),
            "the database is none of runwire",
        ),
    ] {
        let folder = folder();
        put(&folder, &sql);
        check_fails(&at_rest(&folder, &["list"]).await, 1, why);
    }
    let folder = folder();
    fs::create_dir_all(data(&folder)).unwrap();
    let path: &Path = &data(&folder).join("runs.db");
    fs::write(path, "this is a text, and no database at all").unwrap();
    let output = at_rest(&folder, &["list"]).await;
    check_fails(&output, 1, "the database cannot be opened");
}

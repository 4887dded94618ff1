//! Runs that wait for people: parked, woken, watched by others, across restarts of the program.

use std::{collections::HashMap, fs, time::Duration};

use runwire::{
    client::{Call, Client, Tool, ToolHost},
    pb::v1::{self, run::State},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{sync::Notify, time::timeout};
use tokio_util::task::TaskTracker;

use crate::{
    harness::{Server, attached, last_run, spec, start_run, tool, watch_all},
    program::{Served, ended, folder, runwire_in, serve, signal, succeeds, text},
};

const AGENT: &str = r#"
name = "clerk"
model = "script:demo"
input = "Pay it."
tools = ["pay"]

[policy]
rules = [{ tool = "pay", action = "require_approval", reason = "it costs money" }]
"#;

/// Longer than anything here takes on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A host of `pay`, in this process, once it is registered.
async fn host(server: &Served) {
    let tool = Tool::new("pay", "Pays.", r#"{"type":"object"}"#, |_: Call| async {
        Ok("paid".to_owned())
    });
    let registered = std::sync::Arc::new(Notify::new());
    let told = std::sync::Arc::clone(&registered);
    let host = ToolHost::new(Client::connect(&server.url).unwrap())
        .tool(tool)
        .on_registered(move |_| told.notify_one());
    // Ends with the test.
    TaskTracker::new().spawn(host.serve(std::future::pending::<()>()));
    timeout(PATIENCE, registered.notified()).await.unwrap();
}

async fn runs(folder: &TempDir, server: &Served, args: &[&str]) -> Vec<Value> {
    let mut all = vec!["runs"];
    all.extend(args);
    all.push("--json");
    let said = succeeds(&runwire_in(folder, Some(&server.url), &all).await);
    let lines = said.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn a_run_waits_through_restarts_and_goes_on_with_the_answer_of_the_command_line() {
    let folder = folder();
    fs::write(folder.path().join("clerk.toml"), AGENT).unwrap();
    let mut server = serve(&folder).await;
    host(&server).await;
    let detached = ["run", "--detach", "clerk.toml"];
    let id = succeeds(&runwire_in(&folder, Some(&server.url), &detached).await);
    let id = id.trim();
    let waiting = ["list", "--state", "input_required"];
    let listed = async {
        loop {
            if let [run] = &*runs(&folder, &server, &waiting).await {
                return run.clone();
            }
        }
    };
    let run = timeout(PATIENCE, listed).await.unwrap();
    let input = run["required_inputs"][0].clone();
    assert_eq!(input["reason"], "it costs money");
    assert_eq!(input["tool_approval"]["name"], "pay");
    for _ in 0..2 {
        signal(&server.child, "-KILL").await;
        ended(&mut server.child).await;
        server = serve(&folder).await;
    }
    let again = runs(&folder, &server, &waiting).await;
    assert_eq!(again[0]["required_inputs"][0], input, "it waits as before");
    host(&server).await;
    let input = input["id"].as_str().unwrap();
    let wrong = ["runs", "answer", id, input, "accept", "--content", "[1]"];
    let wrong = runwire_in(&folder, Some(&server.url), &wrong).await;
    let said = text(&wrong.stderr);
    assert!(said.contains("ARGUMENTS_MALFORMED"), "{said}");
    let answered = runs(&folder, &server, &["answer", id, input, "accept"]).await;
    assert_eq!(answered[0]["id"], id);
    let watch = ["runs", "watch", id];
    let watched = runwire_in(&folder, Some(&server.url), &watch).await;
    assert!(text(&watched.stdout).contains("paid"), "{watched:?}");
    let late = ["runs", "answer", id, input, "decline"];
    let late = runwire_in(&folder, Some(&server.url), &late).await;
    let said = text(&late.stderr);
    assert!(said.contains("INPUT_ALREADY_ANSWERED"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_many_runs_follows_one_through_its_parking() {
    for detail in [v1::EventDetail::Durable, v1::EventDetail::Full] {
        let server = Server::start().await;
        let mut runs = server.runs().await;
        let labels = HashMap::from([("desk".to_owned(), "seven".to_owned())]);
        let gated = v1::RunSpec {
            labels: labels.clone(),
            policy: Some(v1::ToolPolicy {
                default_action: v1::PolicyAction::RequireApproval.into(),
                ..v1::ToolPolicy::default()
            }),
            ..spec("fake:tools-1", vec![attached(tool("t"))])
        };
        let run = start_run(&mut runs, gated).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let many = v1::WatchRunsRequest {
            filter: Some(v1::RunFilter {
                labels,
                ..v1::RunFilter::default()
            }),
            detail: detail.into(),
            ..v1::WatchRunsRequest::default()
        };
        let mut feed = runs.watch_runs(many).await.unwrap().into_inner();
        let mut waiting = None;
        while waiting.is_none() {
            let batch = feed.message().await.unwrap().unwrap();
            waiting = batch.events.into_iter().find_map(|e| match e.event {
                Some(v1::run_event::Event::Snapshot(snapshot)) => Some(snapshot.runs[0].clone()),
                _ => None,
            });
        }
        let waiting = waiting.unwrap();
        assert_eq!(waiting.state(), State::InputRequired);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let declined = v1::AnswerInputRequest {
            run_id: run.id.clone(),
            answers: vec![v1::InputAnswer {
                input_id: waiting.required_inputs[0].id.clone(),
                action: v1::input_answer::Action::Decline.into(),
                ..v1::InputAnswer::default()
            }],
        };
        runs.answer_input(declined).await.unwrap();
        let mut events = Vec::new();
        let ended = |events: &[v1::RunEvent]| {
            last_run(events).is_some_and(|run| run.state() == State::Succeeded)
        };
        while !ended(&events) {
            events.extend(feed.message().await.unwrap().unwrap().events);
        }
        let durable = |event: &&v1::RunEvent| event.event_time.is_some();
        let seen: Vec<i64> = events.iter().filter(durable).map(|e| e.sequence).collect();
        let stored = watch_all(&mut runs, &run.id, Some(waiting.last_sequence)).await;
        let stored: Vec<i64> = stored.iter().filter(durable).map(|e| e.sequence).collect();
        assert_eq!(seen, stored, "every event once");
    }
}

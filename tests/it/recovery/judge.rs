//! A judge over recorded histories: what a store holds, and what watchers have seen of it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use runwire::pb::v1::{self, run_event::Event};
use serde_json::Value;

/// A store's events, by run.
pub(crate) struct Judge(BTreeMap<String, Vec<Value>>);

impl Judge {
    /// Of what `runwire store export` writes.
    pub(crate) fn of(export: &str) -> Self {
        let mut runs: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for line in export.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            let run_id = event["run_id"].as_str().unwrap().to_owned();
            runs.entry(run_id).or_default().push(event);
        }
        Self(runs)
    }

    /// What holds of every log.
    pub(crate) fn check_all(&self) {
        for (run_id, events) in &self.0 {
            let sequences: Vec<u64> = events.iter().map(sequence).collect();
            assert_eq!(sequences.first(), Some(&1), "{run_id} has its beginning");
            assert!(
                sequences.is_sorted_by(|a, b| a < b),
                "{run_id}: each sequence once, in order: {sequences:?}"
            );
            check_end(run_id, events);
            check_calls(run_id, events);
            check_messages(run_id, events);
        }
    }

    /// A watcher that has seen a run from its beginning to its end has seen every event once, in order,
    /// and nothing that was shown and is no part of the run was left standing.
    pub(crate) fn check_watch(&self, run_id: &str, seen: &[v1::RunEvent]) {
        assert!(
            seen.is_sorted_by(|a, b| a.sequence < b.sequence),
            "{run_id}: {:?}",
            seen.iter().map(|event| event.sequence).collect::<Vec<_>>()
        );
        let durable = |event: &&v1::RunEvent| {
            matches!(
                event.event,
                Some(
                    Event::RunUpdated(_)
                        | Event::MessageCompleted(_)
                        | Event::MessageDiscarded(_)
                        | Event::ToolCallUpdated(_)
                        | Event::InputAnswered(_)
                        | Event::PolicyDecided(_)
                )
            ) && !is_progress(event)
        };
        let shown = seen.iter().filter(durable);
        let shown: Vec<u64> = shown.map(|event| event.sequence.unsigned_abs()).collect();
        let stored: Vec<u64> = self.0[run_id].iter().map(sequence).collect();
        assert_eq!(shown, stored, "{run_id}: every event once");
        let mut open = HashSet::new();
        for event in seen {
            match event.event.as_ref().unwrap() {
                Event::MessageDelta(delta) => {
                    open.insert(delta.message_id.clone());
                }
                Event::MessageCompleted(completed) => {
                    open.remove(&completed.message.as_ref().unwrap().id);
                }
                Event::MessageDiscarded(discarded) => {
                    open.remove(&discarded.message_id);
                }
                Event::RunUpdated(_)
                | Event::ToolCallUpdated(_)
                | Event::InputAnswered(_)
                | Event::PolicyDecided(_)
                | Event::Snapshot(_)
                | Event::Heartbeat(_) => {}
            }
        }
        assert!(open.is_empty(), "{run_id}: half an answer stands: {open:?}");
    }

    /// The kinds of a run's events.
    pub(crate) fn kinds(&self, run_id: &str) -> BTreeSet<&str> {
        let facts = self.0[run_id].iter().map(|event| event["fact"].as_object());
        facts
            .filter_map(|fact| fact?.keys().next().map(String::as_str))
            .collect()
    }

    /// Why calls of a run had no result of their tool.
    pub(crate) fn reasons(&self, run_id: &str) -> BTreeSet<String> {
        let events = self.0[run_id].iter();
        events
            .filter_map(|event| {
                let reason = &event["fact"]["ToolCallUpdated"]["error"]["reason"];
                reason.as_str().map(str::to_owned)
            })
            .collect()
    }
}

fn is_progress(event: &v1::RunEvent) -> bool {
    matches!(&event.event, Some(Event::ToolCallUpdated(update)) if update.progress.is_some())
}

fn sequence(event: &Value) -> u64 {
    event["sequence"].as_u64().unwrap()
}

/// Terminal once, and nothing after it.
fn check_end(run_id: &str, events: &[Value]) {
    let is_end = |event: &Value| {
        let state = event["fact"]["RunUpdated"]["state"].as_str();
        state.is_some_and(|state| ["Succeeded", "Failed", "Cancelled"].contains(&state))
    };
    let ends = events.iter().filter(|event| is_end(event)).count();
    assert_eq!(ends, 1, "{run_id} ends once");
    assert!(
        is_end(events.last().unwrap()),
        "{run_id}: its end comes last"
    );
}

/// A call's attempts never go back, it ends once, and nothing is said of it after that; one that may run
/// once is accepted once.
fn check_calls(run_id: &str, events: &[Value]) {
    let mut attempts: HashMap<&str, u64> = HashMap::new();
    let mut ended: HashSet<&str> = HashSet::new();
    let mut accepted: HashMap<&str, u32> = HashMap::new();
    for event in events {
        let update = &event["fact"]["ToolCallUpdated"];
        let Some(call_id) = update["call"]["id"].as_str() else {
            continue;
        };
        assert!(
            !ended.contains(call_id),
            "{run_id}: {call_id} goes on after its end"
        );
        let attempt = update["attempt"].as_u64().unwrap();
        let before = attempts.insert(call_id, attempt).unwrap_or(0);
        assert!(
            attempt >= before,
            "{run_id}: {call_id} takes a stale report"
        );
        match update["state"].as_str().unwrap() {
            "Running" => *accepted.entry(call_id).or_default() += 1,
            "Pending" => {}
            _ => {
                ended.insert(call_id);
            }
        }
        if update["call"]["name"] == "pay" {
            let begun = accepted.get(call_id).copied().unwrap_or(0);
            assert!(begun <= 1, "{run_id}: {call_id} has begun {begun} times");
        }
    }
    assert_eq!(attempts.len(), ended.len(), "{run_id}: every call ends");
}

/// No two messages have one id, and every result is in the conversation, once.
fn check_messages(run_id: &str, events: &[Value]) {
    let mut ids = HashSet::new();
    let mut results = HashSet::new();
    for event in events {
        let fact = &event["fact"];
        let completed = &fact["MessageCompleted"]["message"];
        let discarded = &fact["MessageDiscarded"]["message_id"];
        for id in [&completed["id"], discarded] {
            if let Some(id) = id.as_str() {
                assert!(ids.insert(id.to_owned()), "{run_id}: {id} comes twice");
            }
        }
        for part in completed["parts"].as_array().into_iter().flatten() {
            if let Some(call) = part["content"]["ToolResult"]["call_id"].as_str() {
                assert!(
                    results.insert(call.to_owned()),
                    "{run_id}: {call} is told twice"
                );
            }
        }
    }
}

//! What is stored of policies, approvals and questions is read for ever.

use std::{fs, path::Path, sync::Arc, time::Duration};

use super::{record, tool_call};
use crate::{
    domain::{
        event::{Event, Fact},
        id::InputId,
        input::{Ask, InputAnswer, InputAnswered, Question, RequiredInput, Verdict},
        json::JsonText,
        policy::{Action, Decision, Policies, PolicyDecision, Rule, Source, ToolPolicy, stricter},
        run::{Run, RunSpec, RunState, Waiting},
        time::Timestamp,
    },
    run::sample::{new_run, run, run_id},
};

/// The events of `everything`, and then `policies`, as they were first written.
const GOLDEN: &str = "tests/golden/store/inputs-1.jsonl";

fn everything() -> Vec<Event> {
    let facts = [
        Fact::RunUpdated(Arc::new(waiting_run())),
        Fact::InputAnswered(Arc::new(InputAnswered {
            answer: InputAnswer {
                input_id: InputId::of_call(&tool_call().id),
                verdict: Verdict::Accept,
                content: Some(JsonText::parse_object("{\"n\": 1}").unwrap()),
                reason: "fine".to_owned(),
            },
            call_id: tool_call().id,
            principal: Some(Arc::from("ann")),
        })),
        Fact::PolicyDecided(Arc::new(PolicyDecision {
            call_id: tool_call().id,
            decision: Decision {
                action: Action::RequireApproval,
                source: Source::Inherited(run_id(8)),
                reason: "it costs money".to_owned(),
            },
        })),
    ];
    let events = (1..).zip(facts).map(|(sequence, fact)| Event {
        sequence,
        run_id: None,
        time: Timestamp::from_millis(1_700_000_000_000 + sequence),
        fact,
    });
    events.collect()
}

/// A run that waits for an approval and for the answer to a question.
fn waiting_run() -> Run {
    let call_id = tool_call().id;
    let input = |id, ask| {
        Arc::new(RequiredInput {
            id,
            call_id: call_id.clone(),
            ask,
            reason: "it costs money".to_owned(),
            expire_time: Timestamp::from_millis(9),
        })
    };
    let approval = Ask::Approval(Arc::new(tool_call()));
    let question = Ask::Question(Arc::new(Question {
        number: 1,
        message: "Which one?".to_owned(),
        schema: Some(JsonText::parse_object("{}").unwrap()),
    }));
    Run {
        state: RunState::InputRequired,
        waiting: Waiting {
            inputs: vec![
                input(InputId::of_call(&call_id), approval),
                input(InputId::of_question(&call_id, 1, 1), question),
            ],
            is_idle: true,
            since: Some(Timestamp::from_millis(4)),
            before: Duration::from_millis(5),
        },
        ..run(7, "a")
    }
}

/// A run's own policy on top of one that it inherits.
fn policies() -> Policies {
    let policy = |action| {
        Policies::of_run(ToolPolicy {
            rules: vec![Rule {
                tool: Some("pay*".to_owned()),
                read_only: Some(false),
                destructive: Some(true),
                action,
                reason: "it costs money".to_owned(),
            }],
            default_action: Action::Allow,
        })
    };
    let parent = policy(Action::RequireApproval);
    stricter((run_id(8), &parent), &policy(Action::Deny)).unwrap()
}

#[test]
fn rows_of_policies_and_inputs_are_read_for_ever() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    let golden = fs::read_to_string(path).unwrap();
    let (events, own): (Vec<_>, Vec<_>) = golden.lines().partition(|l| l.contains("\"fact\""));
    let events: Vec<Event> = events
        .iter()
        .map(|line| record::decode(1, line.as_bytes()).unwrap())
        .collect();
    assert_eq!(events, everything());
    let own: Policies = record::decode(1, own[0].as_bytes()).unwrap();
    assert_eq!(own, policies());
}

#[test]
fn events_and_specs_with_policies_and_inputs_read_back_as_they_were() {
    for event in everything() {
        let body = record::encode(&event).unwrap();
        let read: Event = record::decode(record::ENCODING, &body).unwrap();
        assert_eq!(read, event);
    }
    let mut new = new_run(waiting_run());
    Arc::make_mut(&mut new.spec).policy = policies();
    let body = record::encode(&*new.spec).unwrap();
    let read: RunSpec = record::decode(record::ENCODING, &body).unwrap();
    assert_eq!(read, *new.spec);
}

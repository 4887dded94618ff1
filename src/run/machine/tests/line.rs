//! A run in the line of its thread: its turn, its past, and what is said to it in the middle.

use std::{sync::Arc, time::Duration};

use super::rig::*;
use crate::{
    domain::{
        id::MessageId,
        message::{Message, Role},
        run::RunState,
    },
    run::machine::{Effect, Input},
};

fn message(id: &str, role: Role, text: &str) -> Arc<Message> {
    let mut message = Message::text(role, text);
    message.id = Some(MessageId::parse(id).unwrap());
    Arc::new(message)
}

fn past() -> Vec<Arc<Message>> {
    vec![
        message("p0", Role::User, "Hi."),
        message("p1", Role::Assistant, "Hello."),
    ]
}

fn add(id: &str) -> Input {
    Input::AddMessages(vec![message(id, Role::User, "More.")])
}

/// What the model is asked with next.
fn asked(rig: &mut Rig, input: Input) -> Vec<String> {
    let mut next = vec![input];
    while let Some(input) = next.pop() {
        for effect in rig.step(input).effects {
            if let Effect::CallModel(request) = &effect {
                let texts = request.messages.iter();
                return texts.map(|message| message.joined_text()).collect();
            }
            next.extend(rig.reply(&effect));
        }
    }
    panic!("the model is not asked");
}

#[test]
fn a_queued_run_does_nothing_until_it_is_its_turn() {
    let mut rig = Rig::queued(spec(), past());
    rig.check(Input::Begin, &[]);
    assert_eq!(rig.machine.deadline(), None);
    rig.now = rig.now + Duration::from_secs(1_000_000);
    rig.check(Input::Tick, &[]);
    let begun = rig.now;
    assert_eq!(
        rig.feed(Input::Proceed),
        ["run Running", "recall", "offer", "ask with 4 messages"]
    );
    assert_eq!(rig.run().start_time, Some(begun));
    assert_eq!(
        rig.machine.deadline(),
        Some(begun + spec().limits.timeout),
        "its time begins with its turn"
    );
    rig.check(Input::Proceed, &[]);
}

#[test]
fn the_past_comes_behind_the_instructions_and_before_the_input() {
    let mut rig = Rig::queued(spec(), past());
    let texts = asked(&mut rig, Input::Proceed);
    assert_eq!(texts, ["Be brief.", "Hi.", "Hello.", "Go."]);
}

#[test]
fn a_queued_run_is_cancelled_without_having_begun() {
    let mut rig = Rig::queued(spec(), past());
    assert_eq!(
        rig.feed(cancel()),
        ["run Cancelling", "run Cancelled", "Applied"]
    );
    assert!(!rig.run().has_begun());
}

#[test]
fn a_queued_run_waits_on_in_another_process() {
    let mut rig = Rig::queued(spec(), past());
    let resume = rig.crash();
    rig.check(resume, &[]);
    rig.feed(Input::Proceed);
    let resume = rig.crash();
    let texts = asked(&mut rig, resume);
    assert_eq!(texts, ["Be brief.", "Hi.", "Hello.", "Go."]);
}

#[test]
fn what_is_said_while_tools_run_comes_behind_their_results() {
    let mut rig = Rig::calling(spec(), &["find"]);
    assert_eq!(rig.feed(add("a0")), ["message a0", "Applied"]);
    rig.feed(accepted("c0", 1));
    let texts = asked(&mut rig, result("c0", 1));
    assert_eq!(texts, ["Be brief.", "Go.", "answer 0", "", "More."]);
}

#[test]
fn a_run_that_would_have_ended_has_another_turn_for_what_was_said() {
    let mut rig = Rig::asked(spec());
    rig.feed(add("a0"));
    let words = rig.answer(&[]);
    assert!(
        words.contains(&"ask with 4 messages".to_owned()),
        "{words:?}"
    );
    rig.answer(&[]);
    assert_eq!(rig.run().state, RunState::Succeeded);
    rig.check(add("a1"), &["Stale"]);
}

#[test]
fn what_was_said_is_there_in_another_process() {
    let mut rig = Rig::asked(spec());
    rig.feed(add("a0"));
    let before = format!("{:?}", rig.machine.remembered());
    let resume = rig.crash();
    assert_eq!(before, format!("{:?}", rig.machine.remembered()));
    rig.feed(resume);
    rig.check(add("a0"), &["Duplicate"]);
    let words = rig.answer(&[]);
    assert!(
        words.contains(&"ask with 4 messages".to_owned()),
        "{words:?}"
    );
}

#[test]
fn the_same_messages_again_change_nothing_and_too_many_are_refused() {
    let mut rig = Rig::asked(spec());
    rig.feed(add("a0"));
    rig.check(add("a0"), &["Duplicate"]);
    let many = |count: usize| {
        let messages = (0..count).map(|n| message(&format!("b{n}"), Role::User, "x"));
        Input::AddMessages(messages.collect())
    };
    rig.check(many(64), &["Stale"]);
    assert_eq!(rig.feed(many(63)).last().unwrap(), "Applied");
}

#[test]
fn another_turn_counts_as_one() {
    let mut spec = spec();
    spec.limits.max_turns = 1;
    let mut rig = Rig::asked(spec);
    rig.feed(add("a0"));
    let words = rig.answer(&[]);
    assert_eq!(words.last().unwrap(), "run Failed MAX_TURNS_EXCEEDED");
}

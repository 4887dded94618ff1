//! A run whose process has ended goes on from its log, step by step.

use std::time::Duration;

use super::rig::*;
use crate::{
    domain::{
        event::Fact,
        fault::{Fault, Reason},
        run::RunState,
    },
    run::machine::{Input, News},
};

/// The process ends, and another one takes over.
fn crash(rig: &mut Rig) -> Vec<String> {
    let resume = rig.crash();
    rig.feed(resume)
}

#[test]
fn an_answer_in_the_middle_is_withdrawn_and_asked_for_again() {
    let mut rig = Rig::asked(spec());
    rig.feed(Input::MessageShown);
    assert_eq!(
        crash(&mut rig),
        ["discarded m0", "offer", "ask with 2 messages"]
    );
    rig.answer(&[]);
    assert_eq!(rig.run().state, RunState::Succeeded);
}

#[test]
fn a_run_that_had_not_begun_begins() {
    let mut rig = Rig::new(spec());
    assert_eq!(
        crash(&mut rig),
        ["discarded m0", "offer", "ask with 2 messages"]
    );
}

#[test]
fn calls_that_nobody_had_accepted_are_delivered_above_all_earlier_attempts() {
    let mut rig = Rig::calling(spec(), &["pay", "find"]);
    let words = crash(&mut rig);
    assert_eq!(
        words,
        [
            "c0/17 Pending",
            "c1/17 Pending",
            "assign c0/17",
            "assign c1/17"
        ]
    );
    // Whoever has an older one is told so.
    rig.check(accepted("c0", 1), &["Stale"]);
    rig.check(accepted("c0", 17), &["c0/17 Running", "Applied"]);
}

#[test]
fn an_accepted_call_that_may_run_again_does() {
    let mut rig = Rig::calling(spec(), &["find"]);
    rig.feed(accepted("c0", 1));
    rig.wait(Duration::from_secs(1));
    assert_eq!(
        crash(&mut rig),
        ["c0/1 Pending", "c0/18 Pending", "assign c0/18"]
    );
    rig.feed(result("c0", 18));
    assert_eq!(rig.results(), [("c0".to_owned(), "done".to_owned())]);
}

#[test]
fn a_call_is_begun_as_often_as_it_may_be_however_many_processes_end() {
    let mut rig = Rig::calling(spec(), &["find"]);
    let mut attempt = 1;
    for _ in 0..2 {
        rig.feed(accepted("c0", attempt));
        rig.wait(Duration::from_secs(1));
        crash(&mut rig);
        attempt += 17;
    }
    rig.feed(accepted("c0", attempt));
    rig.wait(Duration::from_secs(1));
    assert_eq!(crash(&mut rig)[0], "c0/35 Failed HOST_LOST");
}

#[test]
fn an_accepted_call_that_must_not_run_again_has_an_unknown_outcome() {
    let mut rig = Rig::calling(spec(), &["pay", "read"]);
    rig.feed(accepted("c0", 1));
    rig.feed(result("c1", 1));
    assert_eq!(
        crash(&mut rig),
        [
            "c0/1 Failed OUTCOME_UNKNOWN",
            "message r1",
            "offer",
            "ask with 4 messages"
        ]
    );
    let (_, told) = &rig.results()[0];
    assert!(
        told.contains("may or may not have had its effect"),
        "{told}"
    );
    rig.check(result("c0", 1), &["Stale"]);
    // A host that has no receipt of its acceptance has not begun, and shall not.
    rig.check(accepted("c0", 1), &["Stale"]);
}

#[test]
fn a_run_that_was_being_cancelled_is_cancelled() {
    let mut rig = Rig::calling(spec(), &["pay", "find", "read"]);
    rig.feed(accepted("c0", 1));
    rig.feed(cancel());
    assert_eq!(
        crash(&mut rig),
        [
            "c0/1 Failed OUTCOME_UNKNOWN",
            "c1/0 Cancelled CANCELLED",
            "c2/0 Cancelled CANCELLED",
            "message r1",
            "run Cancelled"
        ]
    );
}

/// The process ends, and another one takes the run over to cancel it.
fn crash_and_cancel(rig: &mut Rig) -> Vec<String> {
    let now = rig.now;
    let resume = rig.crash_and(|history| history.cancel(now, "at rest".to_owned()));
    rig.feed(resume)
}

#[test]
fn a_run_at_rest_that_is_cancelled_ends_before_it_goes_on() {
    let mut rig = Rig::calling(spec(), &["pay", "find", "read"]);
    rig.feed(accepted("c0", 1));
    rig.feed(result("c2", 1));
    assert_eq!(
        crash_and_cancel(&mut rig),
        [
            "run Cancelling",
            "c0/1 Failed OUTCOME_UNKNOWN",
            "c1/0 Cancelled CANCELLED",
            "message r1",
            "run Cancelled"
        ]
    );
    assert_eq!(rig.run().cancel_reason, "at rest");
    let mut rig = Rig::asked(spec());
    assert_eq!(
        crash_and_cancel(&mut rig),
        ["run Cancelling", "discarded m0", "run Cancelled"]
    );
}

#[test]
fn a_run_that_was_being_cancelled_keeps_its_reason_when_it_is_cancelled_at_rest() {
    let mut rig = Rig::calling(spec(), &["pay"]);
    rig.feed(accepted("c0", 1));
    rig.feed(cancel());
    assert_eq!(
        crash_and_cancel(&mut rig),
        ["c0/1 Failed OUTCOME_UNKNOWN", "message r1", "run Cancelled"]
    );
    assert_eq!(rig.run().cancel_reason, "enough");
}

#[test]
fn a_run_whose_time_is_up_meanwhile_says_so() {
    let mut rig = Rig::calling(spec(), &["pay"]);
    rig.now = rig.now + Duration::from_secs(4_000);
    assert_eq!(
        crash(&mut rig),
        [
            "c0/0 Cancelled RUN_TIMEOUT",
            "message r1",
            "run Failed RUN_TIMEOUT"
        ]
    );
}

#[test]
fn a_run_that_is_not_to_go_on_ends_with_its_calls() {
    let mut rig = Rig::calling(spec(), &["find"]);
    let Input::Resume { message_id, .. } = rig.crash() else {
        panic!("a restored run resumes");
    };
    let end = Some(Fault::new(Reason::Internal, "again and again"));
    rig.check(
        Input::Resume { message_id, end },
        &[
            "c0/0 Cancelled INTERNAL",
            "message r1",
            "run Failed INTERNAL",
        ],
    );
}

#[test]
fn a_run_that_has_ended_stays_so() {
    let mut rig = Rig::asked(spec());
    rig.answer(&[]);
    assert_eq!(crash(&mut rig), Vec::<String>::new());
    assert!(rig.machine.is_over());
}

#[test]
fn many_rejections_leave_the_log_not_far_behind() {
    let mut rig = Rig::calling(spec(), &["find"]);
    let mut stored = Vec::new();
    for attempt in 1..=20 {
        rig.feed(assigned("c0", attempt));
        rig.feed(news("c0", attempt, News::NotBegun));
        let pending = rig.facts.iter().rev().find_map(|fact| {
            if let Fact::ToolCallUpdated(update) = fact {
                Some(update.attempt)
            } else {
                None
            }
        });
        stored.push(pending.unwrap());
    }
    // The 17th is stored before it goes out.
    assert_eq!(stored[14..17], [0, 17, 17]);
}

#[test]
fn the_facts_of_an_answer_wait_for_the_verdict_on_its_calls() {
    let mut rig = Rig::asked(spec());
    let answered = rig.answered(&[("pay", "{}")]);
    let step = rig.step(Input::ModelFinished(Box::new(answered)));
    assert!(step.facts.is_empty());
    let step = rig.step(Input::Tick);
    assert!(step.facts.is_empty());
    let step = rig.step(Input::Checked(vec![Ok(())]));
    assert_eq!(step.facts.len(), 3);
}

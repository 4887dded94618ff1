//! How runs end before their answer: limits, time, cancellation, missing hosts.

use std::time::Duration;

use super::rig::*;
use crate::{
    domain::{
        call::Report,
        fault::{Fault, Reason},
        id::MessageId,
        model::ModelRef,
        run::{Limits, RunState},
    },
    run::machine::{Input, News},
};

#[track_caller]
fn check_limit(change: impl FnOnce(&mut Limits), reason: &str) {
    let mut spec = spec();
    change(&mut spec.limits);
    let mut rig = Rig::asked(spec);
    let ended = format!("run Failed {reason}");
    assert_eq!(
        rig.answer(&["pay", "read"]),
        [
            "message m0",
            "run Running",
            &format!("c0/0 Cancelled {reason}"),
            &format!("c1/0 Cancelled {reason}"),
            "message r0",
            &ended,
        ]
    );
    assert_eq!(rig.results().len(), 2);
    assert!(rig.machine.is_over());
}

#[test]
fn a_limit_ends_the_run_with_its_own_reason_before_anything_is_dispatched() {
    check_limit(|limits| limits.max_turns = 1, "MAX_TURNS_EXCEEDED");
    check_limit(
        |limits| limits.max_tool_calls = 1,
        "MAX_TOOL_CALLS_EXCEEDED",
    );
    check_limit(|limits| limits.max_tokens = 110, "TOKEN_BUDGET_EXCEEDED");
}

#[test]
fn the_last_turn_that_is_allowed_may_answer() {
    let mut spec = spec();
    spec.limits = Limits {
        max_turns: 2,
        max_tool_calls: 1,
        max_tokens: 111,
        ..spec.limits
    };
    let mut rig = Rig::calling(spec, &["read"]);
    rig.feed(result("c0", 1));
    rig.answer(&[]);
    assert_eq!(rig.run().state, RunState::Succeeded);
}

#[test]
fn a_run_without_turns_fails_at_once() {
    let mut spec = spec();
    spec.limits.max_turns = 0;
    Rig::new(spec).check(Input::Begin, &["run Failed MAX_TURNS_EXCEEDED"]);
}

#[test]
fn a_run_out_of_time_stops_everything() {
    let mut short = spec();
    short.limits.timeout = Duration::from_secs(3);
    let mut rig = Rig::calling(short.clone(), &["pay", "find", "read"]);
    rig.feed(accepted("c0", 1));
    rig.feed(assigned("c1", 1));
    rig.feed(result("c2", 1));
    rig.check_wait(
        3.0,
        &[
            "c0/1 Failed OUTCOME_UNKNOWN",
            "c1/1 Cancelled RUN_TIMEOUT",
            "message r0",
            "run Failed RUN_TIMEOUT",
            "cancel c0/1 run cancelled",
            "release c0/1",
            "cancel c1/1 run cancelled",
            "release c1/1",
        ],
    );
    rig.check(result("c0", 1), &["Stale"]);

    let mut rig = Rig::asked(short);
    rig.check_wait(3.0, &["run Failed RUN_TIMEOUT", "stop model"]);
}

#[test]
fn a_model_that_fails_at_the_runs_deadline_is_the_runs_time_out() {
    let mut rig = Rig::asked(spec());
    let deadline = Fault::new(Reason::Deadline, "no time left");
    rig.check(
        Input::ModelFailed(deadline),
        &["run Failed RUN_TIMEOUT", "stop model"],
    );
}

#[test]
fn a_tool_that_nobody_registers_fails_the_run_by_its_name() {
    let mut rig = Rig::new(spec());
    rig.missing = Some(1);
    rig.check(Input::Begin, &["offer"]);
    rig.check_wait(59.999, &[]);
    rig.check_wait(0.001, &["run Failed NO_HOST"]);
    assert_eq!(rig.run().error.as_ref().unwrap().metadata["tool"], "find");
}

#[test]
fn a_tool_that_is_registered_in_time_is_offered() {
    let mut rig = Rig::new(spec());
    rig.missing = Some(1);
    rig.feed(Input::Begin);
    rig.wait(Duration::from_secs(30));
    let offers = rig.offers();
    rig.check(Input::Offered(offers), &["ask with 2 messages"]);
}

#[test]
fn a_tool_that_must_be_there_fails_the_run_at_once() {
    let mut spec = spec();
    spec.agent.tools[1].accept_timeout = Some(Duration::ZERO);
    let mut rig = Rig::new(spec);
    rig.missing = Some(1);
    rig.check(Input::Begin, &["offer", "run Failed NO_HOST"]);
}

#[test]
fn a_cancel_while_the_model_answers_stops_it() {
    let mut rig = Rig::asked(spec());
    rig.feed(Input::ModelStarted {
        model: ModelRef::parse("test:one").unwrap(),
        message_id: MessageId::parse("m1").unwrap(),
    });
    rig.feed(Input::MessageShown);
    rig.check(
        cancel(),
        &[
            "run Cancelling",
            "discarded m1",
            "run Cancelled",
            "stop model",
            "Applied",
        ],
    );
    assert_eq!(rig.run().cancel_reason, "enough");
    rig.check(cancel(), &["Duplicate"]);
}

#[test]
fn a_cancel_while_tools_run_waits_for_their_word() {
    let mut rig = Rig::calling(spec(), &["pay", "find", "read"]);
    rig.feed(accepted("c0", 1));
    rig.feed(accepted("c1", 1));
    rig.check(
        cancel(),
        &[
            "c1/1 Running",
            "run Cancelling",
            "cancel c0/1 run cancelled",
            "cancel c1/1 run cancelled",
            "cancel c2/1 run cancelled",
            "Applied",
        ],
    );
    rig.check(cancel(), &["Duplicate"]);
    rig.check(
        report("c0", 1, Report::Stopped),
        &["c0/1 Cancelled CANCELLED", "release c0/1", "Applied"],
    );
    rig.check(
        result("c1", 1),
        &["c1/1 Succeeded", "release c1/1", "Applied"],
    );
    rig.check(
        news("c2", 1, News::Withdrawn),
        &[
            "c2/1 Cancelled CANCELLED",
            "message r0",
            "run Cancelled",
            "release c2/1",
        ],
    );
    let told: Vec<_> = rig.results().into_iter().map(|(call, _)| call).collect();
    assert_eq!(told, ["c0", "c1", "c2"]);
}

#[test]
fn a_cancelled_run_ends_after_the_grace_and_says_what_may_have_run() {
    let mut rig = Rig::calling(spec(), &["pay", "find", "pay"]);
    rig.feed(accepted("c0", 1));
    rig.feed(accepted("c1", 1));
    rig.feed(cancel());
    rig.check_wait(
        10.0,
        &[
            "c0/1 Failed OUTCOME_UNKNOWN",
            "c1/1 Cancelled CANCELLED",
            "c2/1 Cancelled CANCELLED",
            "message r0",
            "run Cancelled",
            "release c0/1",
            "release c1/1",
            "release c2/1",
        ],
    );
}

#[test]
fn a_call_that_is_accepted_after_the_cancel_is_fenced() {
    let mut rig = Rig::calling(spec(), &["pay"]);
    rig.feed(assigned("c0", 1));
    rig.feed(cancel());
    rig.check(
        accepted("c0", 1),
        &[
            "c0/1 Cancelled CANCELLED",
            "message r0",
            "run Cancelled",
            "release c0/1",
            "Stale",
        ],
    );
}

#[test]
fn calls_that_nobody_has_are_cancelled_at_once() {
    let mut spec = spec();
    spec.limits.max_parallel_tool_calls = 1;
    let mut rig = Rig::calling(spec, &["read", "pay"]);
    rig.feed(rejection("c0", 1));
    rig.check(
        cancel(),
        &[
            "run Cancelling",
            "c0/1 Cancelled CANCELLED",
            "c1/0 Cancelled CANCELLED",
            "message r0",
            "run Cancelled",
            "Applied",
        ],
    );
}

#[test]
fn a_run_that_is_being_cancelled_does_not_time_out() {
    let mut short = spec();
    short.limits.timeout = Duration::from_secs(3);
    let mut rig = Rig::calling(short, &["find"]);
    rig.feed(accepted("c0", 1));
    rig.wait(Duration::from_secs(2));
    rig.feed(cancel());
    rig.check_wait(5.0, &[]);
    rig.wait(Duration::from_secs(5));
    assert_eq!(rig.run().state, RunState::Cancelled);
}

#[test]
fn a_defect_ends_the_run_and_its_calls() {
    let mut rig = Rig::calling(spec(), &["pay"]);
    rig.check(
        Input::Abort(Fault::new(Reason::Internal, "defect")),
        &[
            "c0/1 Cancelled INTERNAL",
            "message r0",
            "run Failed INTERNAL",
            "cancel c0/1 run cancelled",
            "release c0/1",
        ],
    );
}

//! The life of a call: acceptance, results, lost hosts, time-outs, fences and receipts.

use std::{sync::Arc, time::Duration};

use super::rig::*;
use crate::{
    domain::{
        call::Report,
        event::{CallState, Fact, ToolCallUpdate},
        run::RunSpec,
    },
    run::machine::{Effect, News},
};

fn with_accept_timeout(timeout: Duration) -> RunSpec {
    let mut spec = spec();
    for tool in &mut spec.agent.tools {
        tool.accept_timeout = Some(timeout);
    }
    spec
}

fn last_update(rig: &Rig) -> Arc<ToolCallUpdate> {
    let newest = rig.facts.iter().rev().find_map(|fact| match fact {
        Fact::ToolCallUpdated(update) => Some(Arc::clone(update)),
        Fact::RunUpdated(_)
        | Fact::MessageCompleted(_)
        | Fact::MessageDiscarded { .. }
        | Fact::InputAnswered(_)
        | Fact::PolicyDecided(_) => None,
    });
    newest.unwrap()
}

#[test]
fn the_acceptance_of_a_call_that_runs_at_most_once_is_stored_before_its_receipt() {
    let mut rig = Rig::calling(spec(), &["pay"]);
    rig.check(assigned("c0", 1), &[]);
    rig.check(accepted("c0", 1), &["c0/1 Running", "Applied"]);
    assert_eq!(last_update(&rig).host_id.as_ref().unwrap().as_str(), "h");
}

#[test]
fn the_acceptance_of_an_idempotent_call_rides_on_the_next_append() {
    let mut rig = Rig::calling(spec(), &["find", "read"]);
    rig.check(accepted("c0", 1), &["Applied"]);
    rig.check(accepted("c1", 1), &["Applied"]);
    rig.check(
        result("c0", 1),
        &[
            "c0/1 Running",
            "c1/1 Running",
            "c0/1 Succeeded",
            "release c0/1",
            "Applied",
        ],
    );
}

#[test]
fn an_acceptance_that_finds_no_company_is_stored_in_a_moment() {
    let mut rig = Rig::calling(spec(), &["find"]);
    rig.feed(accepted("c0", 1));
    rig.check_wait(0.019, &[]);
    rig.check_wait(0.001, &["c0/1 Running"]);
}

#[test]
fn a_result_without_an_acceptance_counts_as_both() {
    let mut rig = Rig::calling(spec(), &["pay", "read"]);
    rig.check(
        result("c0", 1),
        &["c0/1 Succeeded", "release c0/1", "Applied"],
    );
    rig.check(accepted("c0", 1), &["Duplicate"]);
}

#[test]
fn a_repeated_report_is_a_duplicate_and_changes_nothing() {
    let mut rig = Rig::calling(spec(), &["pay", "read"]);
    rig.feed(accepted("c0", 1));
    rig.check(accepted("c0", 1), &["Duplicate"]);
    rig.feed(result("c0", 1));
    rig.check(result("c0", 1), &["Duplicate"]);
    rig.feed(result("c1", 1));
    // The turn is over, and what it settled is still known.
    rig.check(result("c0", 1), &["Duplicate"]);
    rig.check(failure("c0", 1), &["Stale"]);
    rig.check(result("c0", 2), &["Stale"]);
    rig.check(result("nobody", 1), &["Stale"]);
    rig.check(progress("c0", 1), &[]);
}

#[test]
fn a_lost_host_of_an_idempotent_call_is_replaced_until_the_attempts_are_used_up() {
    let mut rig = Rig::calling(spec(), &["find"]);
    rig.feed(accepted("c0", 1));
    rig.check(
        news("c0", 1, News::Lost),
        &[
            "c0/1 Running",
            "c0/1 Pending",
            "release c0/1",
            "assign c0/2",
        ],
    );
    rig.check(result("c0", 1), &["Stale"]);
    rig.feed(accepted("c0", 2));
    rig.feed(news("c0", 2, News::Lost));
    rig.feed(accepted("c0", 3));
    let words = rig.feed(news("c0", 3, News::Lost));
    assert_eq!(words[..2], ["c0/3 Running", "c0/3 Failed HOST_LOST"]);
}

#[test]
fn a_lost_host_of_any_other_call_leaves_its_outcome_unknown() {
    let mut rig = Rig::calling(spec(), &["pay"]);
    rig.feed(accepted("c0", 1));
    rig.check(
        news("c0", 1, News::Lost),
        &[
            "c0/1 Failed OUTCOME_UNKNOWN",
            "message r0",
            "release c0/1",
            "offer",
            "ask with 4 messages",
        ],
    );
    assert!(rig.results()[0].1.contains("may or may not"));
    rig.check(result("c0", 1), &["Stale"]);
}

#[test]
fn a_call_that_never_began_is_delivered_again_whatever_the_tool() {
    let mut rig = Rig::calling(spec(), &["pay"]);
    rig.feed(assigned("c0", 1));
    rig.check(
        news("c0", 1, News::NotBegun),
        &["release c0/1", "assign c0/2"],
    );
    rig.check(accepted("c0", 1), &["Stale"]);
    rig.check(accepted("c0", 2), &["c0/2 Running", "Applied"]);
}

#[test]
fn a_rejecting_host_makes_no_hot_loop() {
    let mut rig = Rig::calling(spec(), &["pay"]);
    let mut waits = Vec::new();
    for attempt in 1..=9 {
        rig.check(
            rejection("c0", attempt),
            &[&format!("release c0/{attempt}"), "Applied"],
        );
        let due = rig.machine.deadline().unwrap();
        waits.push(due.since(rig.now).as_millis());
        rig.wait(due.since(rig.now));
    }
    assert_eq!(
        waits,
        [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]
    );
}

#[test]
fn rejections_end_with_the_time_to_find_a_host() {
    let mut rig = Rig::calling(with_accept_timeout(Duration::from_millis(250)), &["pay"]);
    rig.feed(rejection("c0", 1));
    rig.check_wait(0.1, &["assign c0/2"]);
    rig.feed(rejection("c0", 2));
    let words = rig.wait(Duration::from_millis(150));
    assert_eq!(words[0], "c0/2 Failed NO_HOST");
}

#[test]
fn a_call_that_no_host_takes_in_time_fails_and_is_withdrawn() {
    let mut rig = Rig::calling(spec(), &["pay", "read"]);
    rig.check_wait(59.999, &[]);
    rig.feed(result("c1", 1));
    rig.check_wait(
        0.001,
        &[
            "c0/1 Failed NO_HOST",
            "message r0",
            "cancel c0/1 timeout",
            "release c0/1",
            "offer",
            "ask with 4 messages",
        ],
    );
}

#[test]
fn with_no_time_to_wait_only_a_host_that_is_there_will_do() {
    let mut rig = Rig::calling(with_accept_timeout(Duration::ZERO), &["pay", "read"]);
    rig.feed(assigned("c0", 1));
    let words = rig.feed(crate::run::machine::Input::Tick);
    assert_eq!(words[0], "c1/1 Failed NO_HOST");
    rig.check(accepted("c0", 1), &["c0/1 Running", "Applied"]);
}

#[test]
fn a_slow_host_is_recalled_and_another_gets_the_call_once_it_has_answered() {
    for (answer, expected) in [
        (
            rejection("c0", 1),
            vec!["release c0/1", "assign c0/2", "Applied"],
        ),
        (
            report("c0", 1, Report::Stopped),
            vec!["release c0/1", "assign c0/2", "Applied"],
        ),
        // The recall and the acceptance have crossed: it is fenced and has not begun.
        (
            accepted("c0", 1),
            vec!["release c0/1", "assign c0/2", "Stale"],
        ),
        (
            news("c0", 1, News::Withdrawn),
            vec!["release c0/1", "assign c0/2"],
        ),
        (
            news("c0", 1, News::NotBegun),
            vec!["release c0/1", "assign c0/2"],
        ),
    ] {
        let mut rig = Rig::calling(spec(), &["pay"]);
        rig.feed(assigned("c0", 1));
        rig.check_wait(5.0, &["cancel c0/1 superseded"]);
        rig.check(answer, &expected);
    }
}

#[test]
fn a_recalled_host_that_says_nothing_is_fenced_after_the_grace() {
    let mut rig = Rig::calling(spec(), &["pay"]);
    rig.feed(assigned("c0", 1));
    rig.check_wait(5.0, &["cancel c0/1 superseded"]);
    rig.check_wait(10.0, &["release c0/1", "assign c0/2"]);
    rig.check(accepted("c0", 1), &["Stale"]);
}

#[test]
fn a_failure_is_tried_again_only_where_that_is_safe() {
    let mut rig = Rig::calling(spec(), &["pay"]);
    rig.feed(accepted("c0", 1));
    let words = rig.feed(failure("c0", 1));
    assert_eq!(words[0], "c0/1 Failed TOOL_FAILED");
    assert!(!rig.results()[0].1.contains("crashed"));

    let mut rig = Rig::calling(spec(), &["find"]);
    rig.feed(accepted("c0", 1));
    rig.check(
        failure("c0", 1),
        &["c0/1 Running", "c0/1 Pending", "release c0/1", "Applied"],
    );
    rig.check(result("c0", 1), &["Stale"]);
    rig.check_wait(0.1, &["assign c0/2"]);
    rig.feed(failure("c0", 2));
    rig.check_wait(0.2, &["assign c0/3"]);
    let words = rig.feed(failure("c0", 3));
    assert_eq!(words[0], "c0/3 Failed TOOL_FAILED");
}

#[test]
fn a_tool_that_takes_too_long_is_stopped_and_fenced() {
    let mut rig = Rig::calling(spec(), &["find", "pay"]);
    rig.feed(accepted("c0", 1));
    rig.feed(result("c1", 1));
    rig.check_wait(301.9, &[]);
    let words = rig.wait(Duration::from_millis(100));
    assert_eq!(
        words[..4],
        [
            "c0/1 Failed TOOL_TIMEOUT",
            "message r0",
            "cancel c0/1 timeout",
            "release c0/1"
        ]
    );
    rig.check(result("c0", 1), &["Stale"]);
}

#[test]
fn a_silent_tool_is_stopped_and_a_talking_one_is_not() {
    let mut quiet = spec();
    quiet.agent.tools[2].progress_timeout = Some(Duration::from_secs(10));
    let mut rig = Rig::calling(quiet, &["read"]);
    rig.feed(accepted("c0", 1));
    rig.wait(Duration::from_secs(11));
    rig.check(progress("c0", 1), &["progress c0"]);
    rig.check_wait(11.9, &[]);
    let words = rig.wait(Duration::from_millis(100));
    assert_eq!(words[0], "c0/1 Failed TOOL_TIMEOUT");
    assert!(rig.results()[0].1.contains("no progress"));
}

#[test]
fn a_call_gets_no_more_time_than_its_run_has_left() {
    let mut short = spec();
    short.limits.timeout = Duration::from_secs(30);
    let mut rig = Rig::asked(short);
    rig.wait(Duration::from_secs(10));
    let answered = rig.answered(&[("read", "{}")]);
    rig.step(crate::run::machine::Input::ModelFinished(Box::new(
        answered,
    )));
    let step = rig.step(crate::run::machine::Input::Checked(vec![Ok(())]));
    let Some(Effect::Assign(assignment)) = step.effects.first() else {
        panic!("the call is dispatched");
    };
    assert_eq!(assignment.timeout, Duration::from_secs(20));
}

#[test]
fn a_result_that_is_too_large_becomes_an_error_and_still_counts() {
    let mut rig = Rig::calling(spec(), &["pay"]);
    rig.feed(accepted("c0", 1));
    let large = text_result("c0", &"x".repeat(1024 * 1024 + 1));
    let words = rig.feed(report("c0", 1, Report::Result(Arc::clone(&large))));
    assert_eq!(words[0], "c0/1 Failed RESULT_TOO_LARGE");
    assert!(words.contains(&"Applied".to_owned()));
    rig.check(report("c0", 1, Report::Result(large)), &["Duplicate"]);
    assert!(rig.results()[0].1.contains("1048577"));
}

#[test]
fn a_result_under_another_calls_name_is_told_under_its_own() {
    let mut rig = Rig::calling(spec(), &["read"]);
    rig.feed(report("c0", 1, Report::Result(text_result("other", "x"))));
    assert_eq!(rig.results(), [("c0".to_owned(), "x".to_owned())]);
    assert_eq!(last_update(&rig).state, CallState::Succeeded);
}

#[test]
fn a_changed_definition_is_told_to_the_model() {
    let mut rig = Rig::calling(spec(), &["pay"]);
    let words = rig.feed(news("c0", 1, News::Changed));
    assert_eq!(words[0], "c0/1 Failed TOOL_CHANGED");
    assert_eq!(words.last().unwrap(), "ask with 4 messages");
}

#[test]
fn a_host_that_rejects_what_it_has_accepted_has_failed() {
    let mut rig = Rig::calling(spec(), &["pay"]);
    rig.feed(accepted("c0", 1));
    let words = rig.feed(rejection("c0", 1));
    assert_eq!(words[0], "c0/1 Failed TOOL_FAILED");
}

#[test]
fn a_host_that_stops_unasked_has_failed() {
    let mut rig = Rig::calling(spec(), &["pay"]);
    rig.feed(accepted("c0", 1));
    let words = rig.feed(report("c0", 1, Report::Stopped));
    assert_eq!(words[0], "c0/1 Failed TOOL_FAILED");
}

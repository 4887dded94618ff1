//! Policies and approvals, step by step.

use std::{sync::Arc, time::Duration};

use super::rig::*;
use crate::{
    domain::{
        event::{CallState, Fact, ToolCallUpdate},
        fault::{Fault, Reason},
        id::InputId,
        input::{InputAnswer, Verdict},
        json::JsonText,
        policy::{Action, Policies, Rule, ToolPolicy},
        run::{RunSpec, RunState},
    },
    run::machine::{Effect, Input},
};

fn rule(tool: &str, action: Action, reason: &str) -> Rule {
    Rule {
        tool: Some(tool.to_owned()),
        action,
        reason: reason.to_owned(),
        ..Rule::default()
    }
}

/// `pay` needs an approval, the rest runs.
fn gated() -> RunSpec {
    with_rules(vec![rule("pay", Action::RequireApproval, "money")])
}

fn with_rules(rules: Vec<Rule>) -> RunSpec {
    RunSpec {
        policy: Policies::of_run(ToolPolicy {
            rules,
            default_action: Action::Allow,
        }),
        ..spec()
    }
}

fn answer_to(input: &str, verdict: Verdict, content: Option<&str>, reason: &str) -> InputAnswer {
    InputAnswer {
        input_id: InputId::parse(input).unwrap(),
        verdict,
        content: content.map(|text| JsonText::parse(text).unwrap()),
        reason: reason.to_owned(),
    }
}

fn says(answers: Vec<InputAnswer>) -> Input {
    Input::Answer {
        answers,
        principal: Arc::from("ann"),
    }
}

fn accepts(input: &str) -> Input {
    says(vec![answer_to(input, Verdict::Accept, None, "")])
}

fn declines(input: &str, reason: &str) -> Input {
    says(vec![answer_to(input, Verdict::Decline, None, reason)])
}

fn last_update(rig: &Rig, call: &str) -> Arc<ToolCallUpdate> {
    let updates = rig.facts.iter().rev().filter_map(|fact| match fact {
        Fact::ToolCallUpdated(update) => Some(Arc::clone(update)),
        Fact::RunUpdated(_)
        | Fact::MessageCompleted(_)
        | Fact::MessageDiscarded { .. }
        | Fact::InputAnswered(_)
        | Fact::PolicyDecided(_) => None,
    });
    let mut updates = updates.filter(|update| update.call.id.as_str() == call);
    updates.next().unwrap()
}

#[test]
fn a_call_waits_for_its_approval_while_the_others_run() {
    let mut rig = Rig::asked(gated());
    assert_eq!(
        rig.answer(&["pay", "read"]),
        [
            "check 2",
            "message m0",
            "run Running",
            "c0 RequireApproval",
            "c0/0 Pending",
            "c1/0 Pending",
            "run InputRequired",
            "assign c1/1",
        ]
    );
    let waiting = rig.run().waiting.clone();
    assert_eq!(waiting.inputs[0].id.as_str(), "in_c0");
    assert_eq!(waiting.inputs[0].reason, "money");
    assert!(!waiting.is_idle);
    rig.feed(accepted("c1", 1));
    rig.check(
        result("c1", 1),
        &[
            "c1/1 Running",
            "c1/1 Succeeded",
            "run InputRequired",
            "release c1/1",
            "Applied",
        ],
    );
    assert!(rig.run().waiting.is_idle, "nothing else is under way");
    rig.check(
        accepts("in_c0"),
        &[
            "in_c0 Accept by ann",
            "run Running",
            "assign c0/1",
            "Applied",
        ],
    );
    rig.feed(result("c0", 1));
    assert_eq!(rig.results().len(), 2);
    assert!(rig.run().waiting.inputs.is_empty());
}

#[test]
fn several_calls_wait_and_each_that_is_approved_starts_at_once() {
    let mut rig = Rig::calling(gated(), &["pay", "pay"]);
    rig.check(
        accepts("in_c1"),
        &[
            "in_c1 Accept by ann",
            "run InputRequired",
            "assign c1/1",
            "Applied",
        ],
    );
    assert_eq!(rig.run().waiting.inputs.len(), 1);
    rig.feed(result("c1", 1));
    let words = rig.feed(accepts("in_c0"));
    assert!(words.contains(&"assign c0/1".to_owned()), "{words:?}");
}

#[test]
fn answers_count_together_or_not_at_all() {
    let mut rig = Rig::calling(gated(), &["pay", "pay"]);
    let both = |second: &str| {
        says(vec![
            answer_to("in_c0", Verdict::Accept, None, ""),
            answer_to(second, Verdict::Decline, None, "no"),
        ])
    };
    rig.check(both("in_c7"), &["Stale"]);
    rig.check(
        both("in_c1"),
        &[
            "in_c0 Accept by ann",
            "in_c1 Decline by ann",
            "c1/0 Cancelled INPUT_DECLINED",
            "run Running",
            "assign c0/1",
            "Applied",
        ],
    );
}

#[test]
fn a_declined_call_is_cancelled_and_the_model_is_told_why() {
    let mut rig = Rig::calling(gated(), &["pay"]);
    rig.check(
        declines("in_c0", "not before Monday"),
        &[
            "in_c0 Decline by ann",
            "c0/0 Cancelled INPUT_DECLINED",
            "run Running",
            "message r0",
            "offer",
            "Applied",
            "ask with 4 messages",
        ],
    );
    let (_, told) = &rig.results()[0];
    assert!(told.contains("not before Monday"), "{told}");
}

#[test]
fn the_first_answer_counts_and_no_other() {
    let mut rig = Rig::calling(gated(), &["pay"]);
    rig.feed(accepts("in_c0"));
    rig.check(accepts("in_c0"), &["Stale"]);
    rig.check(declines("in_c0", ""), &["Stale"]);
}

#[test]
fn an_approved_call_runs_with_the_arguments_that_were_approved() {
    let mut rig = Rig::calling(gated(), &["pay"]);
    let edited = answer_to("in_c0", Verdict::Accept, Some(r#"{"sum": 5}"#), "");
    let step = rig.step(says(vec![edited]));
    let Some(Effect::Assign(assignment)) = step.effects.first() else {
        panic!("the call starts: {step:?}");
    };
    assert_eq!(assignment.arguments.as_str(), r#"{"sum": 5}"#);
    assert_eq!(last_update(&rig, "c0").call.arguments, r#"{"sum": 5}"#);
    rig.feed(result("c0", 1));
    let (_, told) = &rig.results()[0];
    let expected = r#"A person approved this call with other arguments: {"sum": 5}"#;
    assert_eq!(*told, format!("{expected}\ndone"));
    let result = last_update(&rig, "c0").result.clone().unwrap();
    assert_eq!(result.joined_text(), "done", "the tool's own words stay");
}

#[test]
fn arguments_that_are_edited_are_judged_like_those_of_the_model() {
    let rig = Rig::calling(gated(), &["pay"]);
    let judge = |content: &str, verdict| {
        let answer = answer_to("in_c0", verdict, Some(content), "");
        let refuse = |_: &JsonText, arguments: &JsonText| match arguments.as_str() {
            "{}" => Ok(()),
            _ => Err(Fault::new(Reason::ArgumentsInvalid, "`n` is missing")),
        };
        rig.machine.judge(&answer, refuse).map_err(|f| f.reason)
    };
    assert_eq!(judge("{}", Verdict::Accept), Ok(()));
    let invalid = Err(Reason::ArgumentsInvalid);
    assert_eq!(judge(r#"{"m": 1}"#, Verdict::Accept), invalid);
    let malformed = Err(Reason::ArgumentsMalformed);
    assert_eq!(judge("[1]", Verdict::Accept), malformed);
    let wrong = Err(Reason::InvalidRequest);
    assert_eq!(judge("{}", Verdict::Decline), wrong);
}

#[test]
fn nobody_has_to_answer_for_ever() {
    let mut rig = Rig::calling(gated(), &["pay"]);
    rig.check_wait(7.0 * 24.0 * 3_600.0 - 1.0, &[]);
    rig.check_wait(
        1.0,
        &[
            "in_c0 Decline by nobody",
            "c0/0 Cancelled INPUT_DECLINED",
            "run Running",
            "message r0",
            "offer",
            "ask with 4 messages",
        ],
    );
}

#[test]
fn a_denied_call_is_told_to_the_model_and_the_run_goes_on() {
    let deny = rule("p*", Action::Deny, "no payments here");
    let mut rig = Rig::asked(with_rules(vec![deny]));
    let words = rig.answer(&["pay", "find"]);
    assert_eq!(
        words[3..],
        [
            "c0 Deny",
            "c0/0 Failed POLICY_DENIED",
            "c1/0 Pending",
            "assign c1/1"
        ]
    );
    rig.feed(result("c1", 1));
    let (_, told) = &rig.results()[0];
    assert!(told.contains("no payments here"), "{told}");
}

#[test]
fn a_call_that_nobody_says_anything_about_leaves_no_decision_in_the_log() {
    let allowed = rule("find", Action::Allow, "");
    let mut rig = Rig::asked(with_rules(vec![allowed]));
    let words = rig.answer(&["read", "find"]);
    let decisions = words.iter().filter(|word| word.ends_with("Allow"));
    assert_eq!(decisions.collect::<Vec<_>>(), ["c1 Allow"]);
}

#[test]
fn arguments_that_do_not_fit_are_told_to_the_model_and_to_nobody_else() {
    let mut rig = Rig::asked(gated());
    rig.refuse = vec![0];
    let words = rig.answer(&["pay"]);
    assert!(words.contains(&"c0/0 Failed ARGUMENTS_INVALID".to_owned()));
    assert!(!words.iter().any(|word| word.contains("InputRequired")));
}

#[test]
fn the_clock_of_a_run_stands_still_while_it_waits_for_people() {
    let mut rig = Rig::calling(gated(), &["pay"]);
    rig.check_wait(5.0 * 3_600.0, &[]);
    rig.feed(accepts("in_c0"));
    rig.feed(accepted("c0", 1));
    rig.feed(result("c0", 1));
    // An hour was allowed, and none of it is spent.
    rig.check_wait(3_599.0, &[]);
    let words = rig.wait(Duration::from_secs(1));
    assert!(
        words.contains(&"run Failed RUN_TIMEOUT".to_owned()),
        "{words:?}"
    );
}

#[test]
fn a_run_that_waits_is_cancelled_at_once() {
    let mut rig = Rig::calling(gated(), &["pay"]);
    rig.check(
        cancel(),
        &[
            "run Cancelling",
            "c0/0 Cancelled CANCELLED",
            "message r0",
            "run Cancelled",
            "Applied",
        ],
    );
    assert!(rig.run().waiting.inputs.is_empty());
    rig.check(accepts("in_c0"), &["Stale"]);
}

#[test]
fn a_run_waits_on_after_its_process_has_ended() {
    let mut rig = Rig::calling(gated(), &["pay", "find"]);
    rig.feed(accepted("c1", 1));
    rig.wait(Duration::from_secs(10));
    let resume = rig.crash();
    rig.feed(resume);
    assert_eq!(rig.run().state, RunState::InputRequired);
    rig.feed(result("c1", 18));
    let edited = answer_to("in_c0", Verdict::Accept, Some(r#"{"sum": 5}"#), "");
    rig.feed(says(vec![edited]));
    let resume = rig.crash();
    let words = rig.feed(resume);
    assert_eq!(words.last().unwrap(), "assign c0/34");
    rig.feed(result("c0", 34));
    assert_eq!(last_update(&rig, "c0").state, CallState::Succeeded);
    let (_, told) = &rig.results()[0];
    assert!(told.contains(r#"other arguments: {"sum": 5}"#), "{told}");
}

#[test]
fn time_that_a_run_has_waited_does_not_count_in_a_later_process_either() {
    let mut rig = Rig::calling(gated(), &["pay"]);
    rig.wait(Duration::from_secs(5 * 3_600));
    let resume = rig.crash();
    assert!(rig.feed(resume).is_empty());
    rig.wait(Duration::from_secs(5 * 3_600));
    rig.feed(accepts("in_c0"));
    let resume = rig.crash();
    rig.feed(resume);
    rig.feed(result("c0", 34));
    assert_eq!(rig.run().state, RunState::Running);
    let words = rig.wait(Duration::from_secs(3_600));
    assert!(
        words.contains(&"run Failed RUN_TIMEOUT".to_owned()),
        "{words:?}"
    );
}

//! A tool asks a person something while it runs, step by step.

use std::sync::Arc;

use super::rig::*;
use crate::{
    domain::{
        call::Report,
        fault::{Fault, Reason},
        id::InputId,
        input::{InputAnswer, Question, Verdict},
        json::JsonText,
        run::RunState,
    },
    run::machine::{Input, News},
};

fn says(input: &str, verdict: Verdict) -> Input {
    Input::Answer {
        answers: vec![InputAnswer {
            input_id: InputId::parse(input).unwrap(),
            verdict,
            content: None,
            reason: String::new(),
        }],
        principal: Arc::from("ann"),
    }
}

/// A call that a host has accepted.
fn running(tool: &str) -> Rig {
    let mut rig = Rig::calling(spec(), &[tool]);
    rig.feed(accepted("c0", 1));
    rig
}

#[test]
fn a_tool_asks_and_goes_on_with_the_answer() {
    let mut rig = running("pay");
    rig.check(
        question("c0", 1, 1),
        &["c0/1 InputRequired", "run InputRequired", "Applied"],
    );
    assert!(!rig.run().waiting.is_idle, "its host waits with it");
    rig.check(
        says("in_c0_1_1", Verdict::Accept),
        &[
            "in_c0_1_1 Accept by ann",
            "c0/1 Running",
            "run Running",
            "answer c0/1 1 Accept",
            "Applied",
        ],
    );
    rig.feed(result("c0", 1));
    assert_eq!(rig.results(), [("c0".to_owned(), "done".to_owned())]);
}

#[test]
fn a_question_that_is_sent_again_is_one_question() {
    let mut rig = running("pay");
    rig.feed(question("c0", 1, 1));
    rig.check(question("c0", 1, 1), &["Duplicate"]);
    rig.check(question("c0", 1, 2), &["Stale"]);
    rig.feed(says("in_c0_1_1", Verdict::Decline));
    let again = ["answer c0/1 1 Decline", "Duplicate"];
    rig.check(question("c0", 1, 1), &again);
    rig.check(
        question("c0", 1, 2),
        &["c0/1 InputRequired", "run InputRequired", "Applied"],
    );
}

#[test]
fn asking_without_an_acceptance_counts_as_both() {
    let mut rig = Rig::calling(spec(), &["pay"]);
    rig.check(
        question("c0", 1, 1),
        &[
            "c0/1 Running",
            "c0/1 InputRequired",
            "run InputRequired",
            "Applied",
        ],
    );
}

#[test]
fn the_clock_of_a_call_stands_still_while_its_tool_waits_for_an_answer() {
    let mut rig = running("pay");
    rig.check_wait(200.0, &[]);
    rig.feed(question("c0", 1, 1));
    rig.check_wait(10_000.0, &[]);
    rig.feed(says("in_c0_1_1", Verdict::Accept));
    // Five minutes, and two seconds for the way.
    rig.check_wait(101.0, &[]);
    let words = rig.wait(std::time::Duration::from_secs(2));
    assert!(words.contains(&"c0/1 Failed TOOL_TIMEOUT".to_owned()));
}

#[test]
fn a_question_that_nobody_answers_is_declined() {
    let mut rig = running("pay");
    rig.feed(question("c0", 1, 1));
    rig.check_wait(
        7.0 * 24.0 * 3_600.0,
        &[
            "in_c0_1_1 Decline by nobody",
            "c0/1 Running",
            "run Running",
            "answer c0/1 1 Decline",
        ],
    );
}

#[test]
fn a_tool_that_ends_has_no_question_any_more() {
    let mut rig = running("pay");
    rig.feed(question("c0", 1, 1));
    rig.feed(result("c0", 1));
    assert_eq!(rig.run().state, RunState::Running);
    assert!(rig.run().waiting.inputs.is_empty());
    rig.check(says("in_c0_1_1", Verdict::Accept), &["Stale"]);
}

#[test]
fn a_host_that_is_lost_with_a_question_is_lost_like_any_other() {
    let mut rig = running("pay");
    rig.feed(question("c0", 1, 1));
    let words = rig.feed(news("c0", 1, News::Lost));
    assert!(words.contains(&"c0/1 Failed OUTCOME_UNKNOWN".to_owned()));
    let mut rig = running("find");
    rig.feed(question("c0", 1, 1));
    rig.check(
        news("c0", 1, News::Lost),
        &["c0/1 Pending", "run Running", "release c0/1", "assign c0/2"],
    );
}

#[test]
fn a_question_does_not_outlive_its_process() {
    let mut rig = running("find");
    rig.feed(question("c0", 1, 1));
    let resume = rig.crash();
    rig.check(
        resume,
        &[
            "c0/1 Pending",
            "c0/18 Pending",
            "run Running",
            "assign c0/18",
        ],
    );
    rig.feed(question("c0", 18, 1));
    rig.check(
        says("in_c0_18_1", Verdict::Accept),
        &[
            "in_c0_18_1 Accept by ann",
            "c0/18 Running",
            "run Running",
            "answer c0/18 1 Accept",
            "Applied",
        ],
    );
}

#[test]
fn going_on_after_an_answer_is_no_new_attempt() {
    let mut rig = running("find");
    for number in 1..=5 {
        rig.feed(question("c0", 1, number));
        rig.feed(says(&format!("in_c0_1_{number}"), Verdict::Accept));
    }
    let resume = rig.crash();
    let words = rig.feed(resume);
    assert_eq!(words.last().unwrap(), "assign c0/18", "it has begun once");
}

#[test]
fn a_cancelled_run_takes_its_question_back() {
    let mut rig = running("pay");
    rig.feed(question("c0", 1, 1));
    rig.check(
        cancel(),
        &["run Cancelling", "cancel c0/1 run cancelled", "Applied"],
    );
    assert!(rig.run().waiting.inputs.is_empty());
    rig.check(says("in_c0_1_1", Verdict::Accept), &["Stale"]);
    rig.feed(report("c0", 1, Report::Stopped));
    assert_eq!(rig.run().state, RunState::Cancelled);
}

#[test]
fn an_answer_must_fit_the_schema_of_the_question() {
    let mut rig = running("pay");
    let schema = JsonText::parse_object(r#"{"type":"string"}"#).unwrap();
    let asked = Question {
        number: 1,
        message: "Which one?".to_owned(),
        schema: Some(schema),
    };
    rig.feed(report("c0", 1, Report::Question(Arc::new(asked))));
    let judge = |content: Option<&str>| {
        let answer = InputAnswer {
            input_id: InputId::parse("in_c0_1_1").unwrap(),
            verdict: Verdict::Accept,
            content: content.map(|text| JsonText::parse(text).unwrap()),
            reason: String::new(),
        };
        let strings = |_: &JsonText, content: &JsonText| {
            let wrong = Fault::new(Reason::ArgumentsInvalid, "not a string");
            let fits = content.as_str().starts_with('"');
            fits.then_some(()).ok_or(wrong)
        };
        rig.machine.judge(&answer, strings).map_err(|f| f.reason)
    };
    assert_eq!(judge(Some(r#""the red one""#)), Ok(()));
    assert_eq!(judge(Some("7")), Err(Reason::ArgumentsInvalid));
    assert_eq!(judge(None), Err(Reason::InvalidRequest));
}

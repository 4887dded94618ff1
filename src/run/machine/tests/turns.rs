//! Turns: what the model is asked, what its calls become, what it is told.

use std::sync::Arc;

use super::rig::*;
use crate::{
    domain::{
        fault::{Fault, Reason},
        id::MessageId,
        message::{Message, Role},
        model::{FinishReason, ModelRef, Options, ToolChoice},
        run::{RunSpec, RunState},
        tool::ToolName,
    },
    run::machine::{Effect, Input, Machine},
};

fn choosing(tool_choice: ToolChoice) -> RunSpec {
    let mut spec = spec();
    spec.agent.options = Arc::new(Options {
        tool_choice,
        ..Options::default()
    });
    spec
}

#[test]
fn a_run_without_calls_ends_with_its_first_answer() {
    let mut rig = Rig::new(spec());
    rig.check(Input::Begin, &["offer", "ask with 2 messages"]);
    assert_eq!(rig.answer(&[]), ["message m0", "run Succeeded"]);
    let run = rig.run();
    assert_eq!(run.output.as_ref().unwrap().joined_text(), "answer 0");
    assert_eq!(run.finish_reason, Some(FinishReason::Stop));
    assert_eq!((run.turn_count, run.usage.total()), (1, 110));
    assert_eq!(run.end_time, Some(rig.now));
    assert!(rig.machine.is_over());
    assert_eq!(rig.machine.deadline(), None);
}

#[test]
fn an_agent_without_tools_asks_the_model_at_once() {
    let mut spec = spec();
    spec.agent.tools.clear();
    Rig::new(spec).check(Input::Begin, &["ask with 2 messages"]);
}

#[test]
fn instructions_come_before_a_system_message_of_the_input() {
    let mut spec = spec();
    spec.input
        .insert(0, Arc::new(Message::text(Role::System, "Of the caller.")));
    let mut rig = Rig::new(spec);
    rig.step(Input::Begin);
    let step = rig.step(Input::Offered(Vec::new()));
    let Some(Effect::CallModel(request)) = step.effects.first() else {
        panic!("the model is asked");
    };
    let texts: Vec<_> = request.messages.iter().map(|m| m.joined_text()).collect();
    assert_eq!(texts, ["Be brief.", "Of the caller.", "Go."]);
}

#[test]
fn every_turn_is_told_the_instructions() {
    let mut rig = Rig::calling(spec(), &["read"]);
    rig.step(result("c0", 1));
    let offers = rig.offers();
    let step = rig.step(Input::Offered(offers));
    let Some(Effect::CallModel(request)) = step.effects.first() else {
        panic!("the model is asked");
    };
    let roles: Vec<_> = request.messages.iter().map(|m| m.role).collect();
    assert_eq!(
        roles,
        [Role::System, Role::User, Role::Assistant, Role::Tool]
    );
    assert_eq!(request.messages[0].joined_text(), "Be brief.");
}

#[test]
fn all_calls_of_a_turn_are_dispatched_at_once_after_one_append() {
    let mut rig = Rig::asked(spec());
    assert_eq!(
        rig.answer(&["pay", "find", "read"]),
        [
            "check 3",
            "message m0",
            "run Running",
            "c0/0 Pending",
            "c1/0 Pending",
            "c2/0 Pending",
            "assign c0/1",
            "assign c1/1",
            "assign c2/1",
        ]
    );
}

#[test]
fn calls_beyond_the_parallel_limit_wait_for_a_place() {
    let mut spec = spec();
    spec.limits.max_parallel_tool_calls = 2;
    let mut rig = Rig::asked(spec);
    let words = rig.answer(&["read", "read", "read", "read"]);
    assert_eq!(words[words.len() - 2..], ["assign c0/1", "assign c1/1"]);
    rig.check(
        result("c1", 1),
        &["c1/1 Succeeded", "release c1/1", "assign c2/1", "Applied"],
    );
    rig.check(
        result("c0", 1),
        &["c0/1 Succeeded", "release c0/1", "assign c3/1", "Applied"],
    );
}

#[test]
fn results_go_back_in_the_order_of_the_calls() {
    let mut rig = Rig::calling(spec(), &["read", "find", "read"]);
    rig.feed(result("c2", 1));
    rig.feed(result("c0", 1));
    rig.check(
        result("c1", 1),
        &[
            "c1/1 Succeeded",
            "message r0",
            "release c1/1",
            "offer",
            "Applied",
            "ask with 4 messages",
        ],
    );
    let order: Vec<_> = rig.results().into_iter().map(|(call, _)| call).collect();
    assert_eq!(order, ["c0", "c1", "c2"]);
}

#[test]
fn the_conversation_is_shared_and_not_copied() {
    let mut rig = Rig::calling(spec(), &["read"]);
    let first = Arc::clone(&rig.spec.input[0]);
    rig.step(result("c0", 1));
    let offers = rig.offers();
    let step = rig.step(Input::Offered(offers));
    let Some(Effect::CallModel(request)) = step.effects.first() else {
        panic!("the model is asked");
    };
    assert!(Arc::ptr_eq(&request.messages[1], &first));
}

#[test]
fn a_forced_choice_holds_until_the_first_call() {
    for choice in [
        ToolChoice::Required,
        ToolChoice::Tool(ToolName::parse("read").unwrap()),
    ] {
        let mut rig = Rig::new(choosing(choice));
        let asked = rig.feed(Input::Begin);
        assert!(!asked[1].ends_with("messages"), "{asked:?}");
        rig.answer(&["read"]);
        let asked = rig.feed(result("c0", 1));
        assert_eq!(asked.last().unwrap(), "ask with 4 messages");
    }
}

#[test]
fn a_run_that_may_use_no_tools_runs_none() {
    let mut rig = Rig::asked(choosing(ToolChoice::None));
    let words = rig.answer(&["pay"]);
    assert!(
        words.contains(&"c0/0 Failed TOOL_UNKNOWN".to_owned()),
        "{words:?}"
    );
    assert!(!words.iter().any(|word| word.starts_with("assign")));
}

#[test]
fn what_cannot_be_run_is_told_to_the_model_and_the_rest_runs() {
    let mut rig = Rig::asked(spec());
    rig.refuse = vec![0];
    let words = rig.answer_with(&[
        ("find", r#"{"n":"x"}"#),
        ("fly", "{}"),
        ("pay", "[1"),
        ("read", ""),
    ]);
    assert_eq!(
        words,
        [
            "check 2",
            "message m0",
            "run Running",
            "c0/0 Failed ARGUMENTS_INVALID",
            "c1/0 Failed TOOL_UNKNOWN",
            "c2/0 Failed ARGUMENTS_MALFORMED",
            "c3/0 Pending",
            "assign c3/1",
        ]
    );
    rig.feed(result("c3", 1));
    let told = rig.results();
    assert!(told[0].1.contains("`n` must be a number"), "{told:?}");
    assert!(told[1].1.contains("pay, find, read"), "{told:?}");
    assert!(told[2].1.contains("JSON object"), "{told:?}");
    assert_eq!(told[3].1, "done");
}

#[test]
fn a_turn_of_refused_calls_only_goes_on_at_once() {
    let mut rig = Rig::asked(spec());
    assert_eq!(
        rig.answer(&["fly"]),
        [
            "message m0",
            "run Running",
            "c0/0 Failed TOOL_UNKNOWN",
            "message r0",
            "offer",
            "ask with 4 messages",
        ]
    );
}

#[test]
fn a_repeated_call_id_is_no_answer() {
    let clash = ["run Failed PROVIDER_RESPONSE_INVALID", "stop model"];
    let mut rig = Rig::asked(spec());
    let mut answered = rig.answered(&[("read", "{}"), ("read", "{}")]);
    let parts = &mut answered.completion.message.parts;
    parts[2] = parts[1].clone();
    rig.check(Input::ModelFinished(Box::new(answered)), &clash);

    let mut rig = Rig::asked(spec());
    let first = rig.answered(&[("read", "{}")]);
    let mut second = rig.answered(&[]);
    second.completion.message = first.completion.message.clone();
    rig.feed(Input::ModelFinished(Box::new(first)));
    rig.feed(result("c0", 1));
    rig.check(Input::ModelFinished(Box::new(second)), &clash);
}

#[test]
fn a_fallback_shows_in_the_run_and_in_the_sums() {
    let mut rig = Rig::asked(spec());
    let two = ModelRef::parse("test:two").unwrap();
    let message_id = MessageId::parse("m9").unwrap();
    rig.check(
        Input::ModelStarted {
            model: two.clone(),
            message_id,
        },
        &[],
    );
    rig.check_wait(0.02, &["run Running"]);
    assert_eq!(rig.run().model, two);
    let mut answered = rig.answered(&[]);
    answered.completion.model = two.clone();
    rig.feed(Input::ModelFinished(Box::new(answered)));
    assert_eq!(rig.run().usage_by_model[&two].total(), 110);
}

#[test]
fn what_was_shown_of_a_broken_answer_is_withdrawn() {
    let broken = || Fault::new(Reason::ProviderStreamBroken, "broken");
    let started = |id: &str| Input::ModelStarted {
        model: ModelRef::parse("test:one").unwrap(),
        message_id: MessageId::parse(id).unwrap(),
    };
    let mut rig = Rig::asked(spec());
    rig.check(started("m1"), &[]);
    rig.check(Input::ModelDiscarded(broken()), &[]);
    rig.check(started("m2"), &[]);
    rig.check(Input::MessageShown, &[]);
    rig.check(Input::ModelDiscarded(broken()), &["discarded m2"]);
    rig.check(started("m3"), &[]);
    rig.check(Input::MessageShown, &[]);
    rig.check(
        Input::ModelFailed(broken()),
        &[
            "discarded m3",
            "run Failed PROVIDER_STREAM_BROKEN",
            "stop model",
        ],
    );
}

#[test]
fn a_final_answer_that_was_cut_off_says_so() {
    for reason in [FinishReason::Length, FinishReason::ContentFilter] {
        let mut rig = Rig::asked(spec());
        let mut answered = rig.answered(&[]);
        answered.completion.finish_reason = reason;
        rig.feed(Input::ModelFinished(Box::new(answered)));
        let run = rig.run();
        assert_eq!(
            (run.state, run.finish_reason),
            (RunState::Succeeded, Some(reason))
        );
    }
}

#[test]
fn inputs_that_come_too_late_change_nothing() {
    let mut rig = Rig::asked(spec());
    rig.answer(&[]);
    let late = rig.answered(&["x"].map(|name| (name, "{}")));
    for input in [
        Input::Begin,
        Input::Tick,
        Input::Offered(Vec::new()),
        Input::Missing { binding: 0 },
        Input::Checked(vec![Ok(())]),
        Input::MessageShown,
        Input::ModelFinished(Box::new(late)),
        Input::ModelFailed(Fault::new(Reason::ProviderTimeout, "late")),
        Input::Abort(Fault::new(Reason::Internal, "late")),
    ] {
        rig.check(input, &[]);
    }
    rig.check(cancel(), &["Duplicate"]);
}

#[test]
fn a_machine_is_small() {
    let bytes = size_of::<Machine>();
    assert!(bytes <= 512, "{bytes} bytes");
}

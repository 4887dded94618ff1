//! What holds whatever hosts say, in whatever order, and whenever somebody cancels.

use std::{collections::HashMap, sync::Arc, time::Duration};

use proptest::prelude::*;

use super::rig::*;
use crate::{
    domain::{
        call::{Delivery, Disposition, Report},
        event::{CallState, Fact},
        id::{CallId, InputId},
        input::{InputAnswer, Verdict},
        json::JsonText,
        message::Role,
        policy::{Action, Policies, Rule, ToolPolicy},
        run::{RunSpec, RunState},
    },
    run::machine::{Effect, Input, News, Step},
};

/// Something that happens to a run with tools.
#[derive(Clone, Debug)]
enum Happening {
    /// News of the call with this number, of its newest delivery or of one that many before.
    News {
        call: usize,
        back: u32,
        kind: u8,
    },
    /// So many milliseconds pass.
    Time(u64),
    Cancel,
    /// Somebody answers what this call may wait for.
    Answer {
        call: usize,
        accept: bool,
        edit: bool,
    },
    /// The process ends, and another takes over.
    Crash,
    /// The process ends, and another takes over to cancel the run.
    CancelAtRest,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        12 => (0..5_usize, 0..3_u32, 0..13_u8)
            .prop_map(|(call, back, kind)| Happening::News { call, back, kind }),
        4 => prop_oneof![0..50_u64, 0..15_000_u64, 0..400_000_u64].prop_map(Happening::Time),
        1 => Just(Happening::Cancel),
        1 => (0..5_usize, any::<bool>(), any::<bool>())
            .prop_map(|(call, accept, edit)| Happening::Answer { call, accept, edit }),
    ]
}

fn happening_or_crash() -> impl Strategy<Value = Happening> {
    prop_oneof![
        32 => happening(),
        4 => Just(Happening::Crash),
        1 => Just(Happening::CancelAtRest),
    ]
}

fn input(kind: u8, call: &str, attempt: u32) -> Input {
    match kind {
        0 => assigned(call, attempt),
        1 | 2 => accepted(call, attempt),
        3 | 4 => result(call, attempt),
        5 => rejection(call, attempt),
        6 => failure(call, attempt),
        7 => report(call, attempt, Report::Stopped),
        8 => progress(call, attempt),
        9 => news(call, attempt, News::NotBegun),
        10 => news(call, attempt, News::Lost),
        11 => question(call, attempt, 1),
        _ => news(call, attempt, News::Withdrawn),
    }
}

/// Watches a run from outside, and objects to what must never happen.
#[derive(Default)]
struct Observer {
    /// The newest delivery of each call, and whether it is over.
    deliveries: HashMap<String, (u32, bool)>,
    /// Deliveries that were stored as running.
    running: Vec<Delivery>,
    /// How often each call has ended, and each run.
    call_ends: HashMap<String, u32>,
    run_ends: u32,
    /// How often the process has ended.
    crashes: u32,
    /// How many messages the model was sent last.
    asked_with: usize,
}

impl Observer {
    fn see(&mut self, input: &Input, step: &Step) {
        for fact in &step.facts {
            self.see_fact(fact);
        }
        for effect in &step.effects {
            self.see_effect(effect);
        }
        if let (Input::Call { delivery, news }, Some(receipt)) = (input, step.receipt) {
            self.see_receipt(delivery, news, receipt);
        }
    }

    /// The process ends, and so do its deliveries.
    fn crash(&mut self) {
        self.crashes += 1;
        for (_, over) in self.deliveries.values_mut() {
            *over = true;
        }
    }

    fn see_fact(&mut self, fact: &Fact) {
        match fact {
            Fact::ToolCallUpdated(update) => {
                let id = update.call.id.to_string();
                if update.state.is_terminal() {
                    *self.call_ends.entry(id).or_default() += 1;
                } else if update.state == CallState::Running {
                    let delivery = delivery(&id, update.attempt);
                    // It goes on after a question.
                    if !self.running.contains(&delivery) {
                        self.running.push(delivery);
                    }
                }
            }
            Fact::RunUpdated(run) => self.run_ends += u32::from(run.state.is_terminal()),
            Fact::MessageCompleted(_)
            | Fact::MessageDiscarded { .. }
            | Fact::InputAnswered(_)
            | Fact::PolicyDecided(_) => {}
        }
    }

    fn see_effect(&mut self, effect: &Effect) {
        match effect {
            Effect::Assign(assignment) => {
                let Delivery { call_id, attempt } = &assignment.delivery;
                let before = self
                    .deliveries
                    .insert(call_id.to_string(), (*attempt, false));
                let (last, over) = before.unwrap_or((0, true));
                assert!(over, "{call_id} is at two hosts");
                if self.crashes == 0 {
                    assert_eq!(*attempt, last + 1, "attempts fence");
                }
                assert!(*attempt > last, "attempts fence across lives");
            }
            Effect::Release(Delivery { call_id, attempt }) => {
                let known = self.deliveries.get_mut(call_id.as_str());
                let (last, over) = known.expect("only what was assigned is released");
                assert_eq!(attempt, last);
                assert!(!*over, "{call_id}/{attempt} is released once");
                *over = true;
            }
            Effect::CallModel(request) => self.asked_with = request.messages.len(),
            Effect::Recall
            | Effect::Offer
            | Effect::Check(_)
            | Effect::StopModel
            | Effect::Answer(..)
            | Effect::Cancel(..)
            | Effect::Progress(..) => {}
        }
    }

    /// A receipt that gives a permission or lets a host forget comes with, or after, what it stands for.
    fn see_receipt(&self, delivery: &Delivery, news: &News, receipt: Disposition) {
        let News::Reported { report, .. } = news else {
            panic!("only reports have receipts");
        };
        let call = delivery.call_id.as_str();
        let newest = self.deliveries.get(call).map(|(attempt, _)| *attempt);
        if receipt == Disposition::Applied {
            assert!(newest.is_some_and(|newest| newest >= delivery.attempt));
            match report {
                // `c0` and `c3` run at most once.
                Report::Accepted if call == "c0" || call == "c3" => {
                    assert!(self.running.contains(delivery), "stored before its receipt");
                }
                Report::Result(_) => assert_eq!(self.call_ends.get(call), Some(&1)),
                Report::Accepted
                | Report::Rejected(_)
                | Report::Progress(_)
                | Report::Failed(_)
                | Report::Question(_)
                | Report::Stopped => {}
            }
        }
    }
}

/// A run with more time than what happens to it can take.
fn long_spec() -> RunSpec {
    let mut spec = spec();
    spec.limits.timeout = Duration::from_secs(1_000_000);
    spec
}

/// Where anybody answers, `find` needs an approval.
fn spec_for(happenings: &[Happening]) -> RunSpec {
    let mut spec = long_spec();
    let answers = |happening: &Happening| matches!(happening, Happening::Answer { .. });
    if happenings.iter().any(answers) {
        let rule = Rule {
            tool: Some("find".to_owned()),
            action: Action::RequireApproval,
            ..Rule::default()
        };
        spec.policy = Policies::of_run(ToolPolicy {
            rules: vec![rule],
            default_action: Action::Allow,
        });
    }
    spec
}

fn answer(input_id: InputId, accept: bool, edit: bool) -> Input {
    Input::Answer {
        answers: vec![InputAnswer {
            input_id,
            verdict: if accept {
                Verdict::Accept
            } else {
                Verdict::Decline
            },
            content: (accept && edit).then(|| JsonText::parse(r#"{"n": 1}"#).unwrap()),
            reason: String::new(),
        }],
        principal: Arc::from("ann"),
    }
}

/// A run of one turn with five calls through whatever happens, and then to its end.
fn live_through(happenings: &[Happening]) -> (Rig, Observer) {
    let mut rig = Rig::asked(spec_for(happenings));
    let mut observer = Observer::default();
    let answered = rig.answered(&["pay", "find", "read", "pay", "find"].map(|tool| (tool, "{}")));
    observe(
        &mut rig,
        &mut observer,
        &Input::ModelFinished(Box::new(answered)),
    );
    observe(&mut rig, &mut observer, &Input::Checked(vec![Ok(()); 5]));
    for happening in happenings {
        match happening {
            Happening::News { call, back, kind } => {
                let call = format!("c{call}");
                let newest = observer.deliveries.get(&call).map_or(1, |(n, _)| *n);
                let attempt = newest.saturating_sub(*back).max(1);
                let input = input(*kind, &call, attempt);
                observe(&mut rig, &mut observer, &input);
            }
            Happening::Time(millis) => pass(&mut rig, &mut observer, *millis),
            Happening::Cancel => observe(&mut rig, &mut observer, &cancel()),
            Happening::Answer { call, accept, edit } => {
                let call_id = CallId::parse(&format!("c{call}")).unwrap();
                let newest = observer.deliveries.get(call_id.as_str());
                let newest = newest.map_or(1, |(attempt, _)| *attempt);
                for input_id in [
                    InputId::of_call(&call_id),
                    InputId::of_question(&call_id, newest, 1),
                ] {
                    let answer = answer(input_id, *accept, *edit);
                    observe(&mut rig, &mut observer, &answer);
                }
            }
            Happening::Crash => {
                let resume = rig.crash();
                observer.crash();
                observe(&mut rig, &mut observer, &resume);
            }
            Happening::CancelAtRest if rig.machine.is_over() => {}
            Happening::CancelAtRest => {
                let now = rig.now;
                let resume = rig.crash_and(|history| history.cancel(now, String::new()));
                observer.crash();
                observe(&mut rig, &mut observer, &resume);
                assert_eq!(rig.run().state, RunState::Cancelled);
                assert!(
                    rig.run().waiting.inputs.is_empty(),
                    "nobody is asked any more"
                );
            }
        }
    }
    // Silence ends every call at last; then the model answers.
    pass(&mut rig, &mut observer, 700_000_000);
    let answered = rig.answered(&[]);
    observe(
        &mut rig,
        &mut observer,
        &Input::ModelFinished(Box::new(answered)),
    );
    (rig, observer)
}

fn observe(rig: &mut Rig, observer: &mut Observer, input: &Input) {
    let step = rig.step(input.clone());
    observer.see(input, &step);
    if step
        .effects
        .iter()
        .any(|effect| matches!(effect, Effect::Offer))
    {
        let offered = Input::Offered(rig.offers());
        let step = rig.step(offered.clone());
        observer.see(&offered, &step);
    }
}

fn pass(rig: &mut Rig, observer: &mut Observer, millis: u64) {
    let end = rig.now + Duration::from_millis(millis);
    while let Some(due) = rig.machine.deadline().filter(|due| *due <= end) {
        rig.now = rig.now.max(due);
        observe(rig, observer, &Input::Tick);
        assert!(rig.machine.deadline().is_none_or(|next| next > rig.now));
    }
    rig.now = end;
}

proptest! {
    #[test]
    fn a_run_that_is_restored_from_its_log_behaves_as_if_nothing_had_happened(
        happenings in prop::collection::vec(happening_or_crash(), 0..40),
    ) {
        let (rig, observer) = live_through(&happenings);
        prop_assert!(rig.machine.is_over());
        prop_assert_eq!(observer.run_ends, 1);
        for call in 0..5 {
            prop_assert_eq!(observer.call_ends.get(&format!("c{call}")), Some(&1));
        }
        for call in ["c0", "c3"] {
            let begun = observer.running.iter().filter(|d| d.call_id.as_str() == call);
            prop_assert!(begun.count() <= 1, "what runs at most once has begun once");
        }
        let told: Vec<_> = rig.results().into_iter().map(|(call, _)| call).collect();
        prop_assert_eq!(told, ["c0", "c1", "c2", "c3", "c4"]);
        let is_message = |fact: &&Fact| matches!(fact, Fact::MessageCompleted(_));
        let messages = rig.facts.iter().filter(is_message).count();
        if rig.run().state == RunState::Succeeded {
            // Instructions, input, the answer with its calls, the results.
            prop_assert_eq!((messages, observer.asked_with), (3, 4));
        }
    }

    #[test]
    fn a_history_restores_what_the_machine_that_wrote_it_knows(
        happenings in prop::collection::vec(happening(), 0..40),
    ) {
        let (mut rig, _) = live_through(&happenings);
        let before = format!("{:?}", rig.machine.remembered());
        rig.crash();
        prop_assert_eq!(before, format!("{:?}", rig.machine.remembered()));
    }

    #[test]
    fn a_run_ends_once_with_one_result_for_each_call_in_their_order(
        happenings in prop::collection::vec(happening(), 0..40),
    ) {
        let (rig, observer) = live_through(&happenings);
        prop_assert!(rig.machine.is_over());
        prop_assert_eq!(observer.run_ends, 1);
        let cancelled = happenings.iter().any(|h| matches!(h, Happening::Cancel));
        let expected = [RunState::Succeeded, RunState::Cancelled];
        prop_assert!(expected[..=usize::from(cancelled)].contains(&rig.run().state));
        for call in 0..5 {
            prop_assert_eq!(observer.call_ends.get(&format!("c{call}")), Some(&1));
        }
        for (attempt, over) in observer.deliveries.values() {
            prop_assert!(*over, "delivery {} is not released", attempt);
        }
        let told: Vec<_> = rig.results().into_iter().map(|(call, _)| call).collect();
        prop_assert_eq!(told, ["c0", "c1", "c2", "c3", "c4"]);
        let tools = rig.facts.iter().filter(|fact| matches!(
            fact, Fact::MessageCompleted(done) if done.message.role == Role::Tool
        ));
        prop_assert_eq!(tools.count(), 1);
    }

    #[test]
    fn what_runs_at_most_once_is_never_delivered_after_it_was_begun(
        happenings in prop::collection::vec(happening(), 0..40),
    ) {
        let (_, observer) = live_through(&happenings);
        for call in ["c0", "c3"] {
            let begun = observer.running.iter().filter(|d| d.call_id.as_str() == call);
            prop_assert!(begun.count() <= 1);
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_outputs(
        happenings in prop::collection::vec(happening(), 0..40),
    ) {
        let (rig, _) = live_through(&happenings);
        let mut again = Rig::new(spec_for(&happenings));
        for (now, input) in &rig.inputs {
            again.now = *now;
            again.step(input.clone());
        }
        prop_assert_eq!(&rig.facts, &again.facts);
        let outputs = |rig: &Rig| {
            let mut machine = Rig::new(spec_for(&happenings)).machine;
            let steps = rig.inputs.iter().map(|(now, input)| machine.step(*now, input.clone()));
            steps.map(|step| format!("{step:?}")).collect::<Vec<_>>()
        };
        prop_assert_eq!(outputs(&rig), outputs(&again));
    }
}

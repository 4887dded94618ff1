//! Runs that wait for people hold nothing, and go on as if they had been there all the time.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::sleep;

use super::{ANSWER, World, fakes::Does, fakes::Says, spec};
use crate::{
    domain::{
        event::Fact,
        fault::{Fault, Reason},
        id::InputId,
        input::{InputAnswer, Verdict},
        policy::{Action, Policies, Rule, ToolPolicy},
        principal::Principal,
        run::{Run, RunSpec, RunState},
    },
    run::{Detail, From, Seen},
};

const PARKED: Duration = Duration::from_secs(2);

/// Every call waits for an approval.
fn gated() -> RunSpec {
    RunSpec {
        policy: Policies::of_run(ToolPolicy {
            rules: vec![Rule {
                action: Action::RequireApproval,
                ..Rule::default()
            }],
            default_action: Action::Allow,
        }),
        ..spec()
    }
}

impl World {
    /// A run that waits for the approval of so many calls.
    async fn waiting(&self, calls: &'static [&'static str]) -> (Arc<Run>, Vec<InputId>) {
        self.script(&[&[Says::Done(calls)]]);
        for tool in ["find", "pay"] {
            self.does(tool, Does::Work(Duration::from_millis(50)));
        }
        let run = self.start(gated()).await;
        self.settle().await;
        let now = self.runs.get(&run.tenant, run.id).await.unwrap();
        assert_eq!(now.state, RunState::InputRequired);
        let inputs = now.waiting.inputs.iter().map(|input| input.id.clone());
        (run, inputs.collect())
    }

    async fn answer(&self, run: &Run, input: &InputId, verdict: Verdict) -> Result<(), Fault> {
        let answer = InputAnswer {
            input_id: input.clone(),
            verdict,
            content: None,
            reason: String::new(),
        };
        let principal = Principal::anonymous();
        let answered = self.runs.answer(&principal, run.id, vec![answer]).await;
        answered.map(drop)
    }

    fn counts(&self) -> (usize, usize) {
        (self.runs.live_count(), self.runs.parked_count())
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_for_people_is_parked_and_goes_on_with_their_answer() {
    let world = World::new();
    let (run, inputs) = world.waiting(&["pay", "find"]).await;
    assert_eq!(world.counts(), (1, 0), "an answer may come at once");
    sleep(PARKED).await;
    assert_eq!(world.counts(), (0, 1));
    let found = world.runs.get(&run.tenant, run.id).await.unwrap();
    assert_eq!(found.state, RunState::InputRequired);
    world.script(&[ANSWER]);
    world
        .answer(&run, &inputs[0], Verdict::Accept)
        .await
        .unwrap();
    assert_eq!(world.counts(), (1, 0));
    sleep(PARKED).await;
    world
        .answer(&run, &inputs[1], Verdict::Decline)
        .await
        .unwrap();
    assert_eq!(world.end_of(&run).await.state, RunState::Succeeded);
    world.settle().await;
    assert_eq!(world.counts(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_parked_run_is_woken_when_an_input_expires() {
    let world = World::new();
    let (run, _) = world.waiting(&["pay"]).await;
    world.script(&[ANSWER]);
    sleep(Duration::from_secs(7 * 24 * 3_600 - 60)).await;
    assert_eq!(world.counts(), (0, 1));
    sleep(Duration::from_secs(120)).await;
    assert_eq!(world.counts(), (0, 0));
    let ended = world.runs.get(&run.tenant, run.id).await.unwrap();
    assert_eq!(ended.state, RunState::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_parked_run_is_cancelled_like_any_other() {
    let world = World::new();
    let (run, _) = world.waiting(&["pay"]).await;
    sleep(PARKED).await;
    let cancelled = world
        .runs
        .cancel(&run.tenant, run.id, "enough".to_owned())
        .await
        .unwrap();
    assert!(matches!(
        cancelled.state,
        RunState::Cancelling | RunState::Cancelled
    ));
    let ended = world.end_of(&run).await;
    assert_eq!(ended.state, RunState::Cancelled);
    assert_eq!(world.counts(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_watches_keeps_a_run_from_being_parked_and_who_comes_later_wakes_it() {
    let world = World::new();
    let (run, inputs) = world.waiting(&["pay"]).await;
    let open = || {
        let from = From::After(0);
        world.runs.watch(&run.tenant, run.id, from, Detail::Full)
    };
    let mut watch = open().await.unwrap();
    watch.next().await.unwrap().unwrap();
    sleep(PARKED).await;
    assert_eq!(world.counts(), (1, 0));
    drop(watch);
    sleep(PARKED).await;
    assert_eq!(world.counts(), (0, 1));
    let mut watch = open().await.unwrap();
    assert_eq!(world.counts(), (1, 0));
    world.script(&[ANSWER]);
    world
        .answer(&run, &inputs[0], Verdict::Decline)
        .await
        .unwrap();
    let mut seen = Vec::new();
    while let Some(batch) = watch.next().await {
        seen.extend(batch.unwrap());
    }
    let shown: Vec<u64> = seen.iter().filter_map(durable).collect();
    let stored = world.store.events(run.id);
    let stored: Vec<u64> = stored.iter().map(|event| event.sequence).collect();
    assert_eq!(shown, stored, "every event once");
}

fn durable(seen: &Seen) -> Option<u64> {
    match seen {
        Seen::Event(event) => Some(event.sequence),
        Seen::Snapshot { .. } | Seen::Ephemeral { .. } => None,
    }
}

#[tokio::test(start_paused = true)]
async fn many_who_want_a_parked_run_at_once_wake_it_once() {
    let world = World::new();
    let (run, inputs) = world.waiting(&["pay"]).await;
    sleep(PARKED).await;
    world.script(&[ANSWER]);
    let verdicts = [Verdict::Accept, Verdict::Decline].into_iter().cycle();
    let answers = verdicts
        .take(10)
        .map(|verdict| world.answer(&run, &inputs[0], verdict));
    let outcomes = join_all(answers).await;
    let well = outcomes.iter().filter(|outcome| outcome.is_ok());
    assert_eq!(well.count(), 5, "the first answer, and those like it");
    for outcome in outcomes {
        assert_eq!(
            outcome
                .err()
                .map_or(Reason::InputAlreadyAnswered, |f| f.reason),
            Reason::InputAlreadyAnswered
        );
    }
    assert_eq!(world.end_of(&run).await.state, RunState::Succeeded);
    let events = world.store.events(run.id);
    let answered = events
        .iter()
        .filter(|event| matches!(event.fact, Fact::InputAnswered(_)));
    assert_eq!(answered.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_parked_run_stays_parked_however_often_the_server_ends() {
    let mut world = World::new();
    let (run, inputs) = world.waiting(&["pay"]).await;
    sleep(PARKED).await;
    for _ in 0..8 {
        world = world.crash().await;
        assert_eq!(world.runs.recover().await.unwrap(), 1);
        assert_eq!(world.counts(), (0, 1), "nobody has read its log");
    }
    world.does("pay", Does::Work(Duration::from_millis(50)));
    world.script(&[ANSWER]);
    world
        .answer(&run, &inputs[0], Verdict::Accept)
        .await
        .unwrap();
    assert_eq!(world.end_of(&run).await.state, RunState::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_other_calls_were_under_way_is_not_left_alone_after_a_crash() {
    let world = World::new();
    world.script(&[&[Says::Done(&["pay", "find"])]]);
    world.does("find", Does::Obey);
    let mut spec = gated();
    spec.policy = Policies::of_run(ToolPolicy {
        rules: vec![Rule {
            tool: Some("pay".to_owned()),
            action: Action::RequireApproval,
            ..Rule::default()
        }],
        default_action: Action::Allow,
    });
    let run = world.start(spec).await;
    sleep(PARKED).await;
    assert_eq!(world.counts(), (1, 0), "a tool works for it");
    let world = world.crash().await;
    world.does("find", Does::Work(Duration::from_millis(50)));
    assert_eq!(world.runs.recover().await.unwrap(), 1);
    assert_eq!(world.counts(), (1, 0));
    sleep(PARKED).await;
    let events = world.store.events(run.id);
    let done = events.iter().rev().find_map(|event| match &event.fact {
        Fact::RunUpdated(run) => Some(run.waiting.is_idle),
        Fact::ToolCallUpdated(_)
        | Fact::MessageCompleted(_)
        | Fact::MessageDiscarded { .. }
        | Fact::InputAnswered(_)
        | Fact::PolicyDecided(_) => None,
    });
    assert_eq!(done, Some(true), "the other call has come to its end");
}

#[tokio::test(start_paused = true)]
async fn parked_runs_do_not_hold_the_end_of_a_server_up() {
    let world = World::new();
    world.waiting(&["pay"]).await;
    world.runs.drain();
    world.tracker.close();
    sleep(PARKED).await;
    assert_eq!(world.counts(), (0, 1));
    let ended = tokio::time::timeout(Duration::from_secs(1), world.tracker.wait());
    assert!(ended.await.is_ok());
}

//! Processes end in the middle of everything, and stores fail: every run goes on from its log.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    ANSWER, World,
    fakes::{Does, FakeModels, FakeTools, Says, TestClock},
    spec,
};
use crate::{
    domain::{
        event::{CallState, Ephemeral, Fact},
        fault::Reason,
        run::{Run, RunState},
    },
    run::{Detail, From, Ports, Runs, Seen, Settings, port::Store},
};

impl World {
    /// The process ends in the middle of everything, and another one begins on what is stored.
    pub(super) async fn crash(self) -> Self {
        self.shutdown.cancel();
        self.tracker.close();
        self.tracker.wait().await;
        let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let models = Arc::new(FakeModels::default());
        let tools = Arc::new(FakeTools::new(Arc::clone(&self.store), tracker.clone()));
        let ports = Ports {
            models: Arc::clone(&models) as _,
            tools: Arc::clone(&tools) as _,
            store: Arc::clone(&self.store) as _,
            clock: Arc::new(TestClock::new()),
        };
        Self {
            runs: Runs::new(
                ports,
                Settings::default(),
                tracker.clone(),
                shutdown.clone(),
            ),
            models,
            tools,
            store: self.store,
            tracker,
            shutdown,
        }
    }

    /// All that a watch from a place of the log shows to the run's end.
    async fn rest_of(&self, run: &Run, from: From) -> Vec<Seen> {
        let watch = self.runs.watch(&run.tenant, run.id, from, Detail::Full);
        let mut watch = watch.await.unwrap();
        let mut seen = Vec::new();
        while let Some(batch) = watch.next().await {
            seen.extend(batch.unwrap());
        }
        seen
    }

    /// What the log says of each call, in order: state and attempt.
    fn calls(&self, run: &Run) -> Vec<(CallState, u32)> {
        let events = self.store.events(run.id);
        events
            .iter()
            .filter_map(|event| match &event.fact {
                Fact::ToolCallUpdated(update) => Some((update.state, update.attempt)),
                Fact::RunUpdated(_)
                | Fact::MessageCompleted(_)
                | Fact::MessageDiscarded { .. }
                | Fact::InputAnswered(_)
                | Fact::PolicyDecided(_) => None,
            })
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_watcher_of_a_broken_answer_sees_it_withdrawn_and_the_run_end() {
    let world = World::new();
    world.script(&[&[Says::Text("half an ans"), Says::Forever]]);
    let run = world.start(spec()).await;
    let watch = world
        .runs
        .watch(&run.tenant, run.id, From::After(0), Detail::Full);
    let mut watch = watch.await.unwrap();
    world.settle().await;
    let mut shown = Vec::new();
    while shown.len() < 2 {
        shown.extend(watch.next().await.unwrap().unwrap());
    }
    let Seen::Ephemeral { sequence, .. } = &shown[1] else {
        panic!("{shown:?}")
    };
    drop(watch);

    let world = world.crash().await;
    world.script(&[ANSWER]);
    assert_eq!(world.runs.recover().await.unwrap(), 1);
    let rest = world.rest_of(&run, From::After(*sequence)).await;
    assert!(rest.is_sorted_by(|a, b| a.sequence() < b.sequence()));
    assert!(rest[0].sequence() > *sequence);
    let Seen::Event(first) = &rest[0] else {
        panic!("a watch that resumes begins with an event: {rest:?}")
    };
    let Ephemeral::MessageDelta {
        message_id: partial,
        ..
    } = ephemeral(&shown[1])
    else {
        panic!("{shown:?}")
    };
    assert!(
        matches!(&first.fact, Fact::MessageDiscarded { message_id, .. } if message_id == partial),
        "what was shown is withdrawn: {first:?}"
    );
    let ended = world.runs.get(&run.tenant, run.id).await.unwrap();
    assert_eq!(ended.state, RunState::Succeeded);
}

fn ephemeral(seen: &Seen) -> &Ephemeral {
    let Seen::Ephemeral { ephemeral, .. } = seen else {
        panic!("{seen:?}")
    };
    ephemeral
}

#[tokio::test(start_paused = true)]
async fn no_message_has_the_id_of_another_however_many_processes_end() {
    let mut world = World::new();
    world.script(&[&[Says::Text("one"), Says::Forever]]);
    let run = world.start(spec()).await;
    for _ in 0..3 {
        world.settle().await;
        world = world.crash().await;
        world.script(&[&[Says::Text("more"), Says::Forever]]);
        world.runs.recover().await.unwrap();
    }
    world.settle().await;
    world = world.crash().await;
    world.script(&[ANSWER]);
    world.runs.recover().await.unwrap();
    world.end_of(&run).await;
    let mut ids: HashMap<String, u32> = HashMap::new();
    for event in world.store.events(run.id) {
        match &event.fact {
            Fact::MessageDiscarded { message_id, .. } => {
                *ids.entry(message_id.to_string()).or_default() += 1;
            }
            Fact::MessageCompleted(completed) => {
                let id = completed.message.id.as_ref().unwrap();
                *ids.entry(id.to_string()).or_default() += 1;
            }
            Fact::RunUpdated(_)
            | Fact::ToolCallUpdated(_)
            | Fact::InputAnswered(_)
            | Fact::PolicyDecided(_) => {}
        }
    }
    assert_eq!(ids.len(), 5, "{ids:?}");
    assert!(ids.values().all(|count| *count == 1), "{ids:?}");
}

#[tokio::test(start_paused = true)]
async fn an_accepted_call_is_repeated_if_it_may_be_and_else_unknown() {
    let world = World::new();
    world.script(&[&[Says::Done(&["find", "pay"])]]);
    world.does("find", Does::Work(Duration::from_secs(100)));
    world.does("pay", Does::Work(Duration::from_secs(100)));
    let run = world.start(spec()).await;
    sleep(Duration::from_secs(1)).await;

    let world = world.crash().await;
    world.script(&[ANSWER]);
    world.does("find", Does::Work(Duration::from_secs(1)));
    world.runs.recover().await.unwrap();
    let ended = world.end_of(&run).await;
    assert_eq!(ended.state, RunState::Succeeded);
    let assigned = world.tools.assigned.lock();
    let attempts: Vec<u32> = assigned
        .iter()
        .map(|(delivery, _)| delivery.attempt)
        .collect();
    assert_eq!(
        attempts,
        [18],
        "the idempotent call alone, above all that came before"
    );
    use CallState::{Failed, Pending, Running, Succeeded};
    let states = world.calls(&run);
    let of_find = [
        (Pending, 0),
        (Running, 1),
        (Pending, 1),
        (Pending, 18),
        (Running, 18),
        (Succeeded, 18),
    ];
    let of_pay = [(Pending, 0), (Running, 1), (Failed, 1)];
    assert_eq!(states.len(), of_find.len() + of_pay.len(), "{states:?}");
    for state in of_find.iter().chain(&of_pay) {
        assert!(states.contains(state), "{state:?} in {states:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_created_and_not_begun_begins() {
    let world = World::new();
    world.script(&[&[Says::Forever]]);
    let run = world.start(spec()).await;
    let world = world.crash().await;
    world.script(&[ANSWER]);
    assert_eq!(world.runs.recover().await.unwrap(), 1);
    assert_eq!(world.runs.live_count(), 1, "it is live before anybody asks");
    assert!(world.runs.inbox(&run.tenant, run.id).is_ok());
    assert_eq!(world.end_of(&run).await.state, RunState::Succeeded);
    world.settle().await;
    assert_eq!(world.runs.live_count(), 0);
    assert_eq!(world.crash().await.runs.recover().await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_the_process_again_and_again_is_ended() {
    let mut world = World::new();
    world.script(&[&[Says::Forever]]);
    let run = world.start(spec()).await;
    world.settle().await;
    for _ in 0..3 {
        world = world.crash().await;
        // Taken over, and the process ends before the run has done anything.
        let claimed = world.store.claim(None, 10).await;
        assert_eq!(claimed.unwrap().len(), 1);
    }
    world = world.crash().await;
    world.runs.recover().await.unwrap();
    let ended = world.end_of(&run).await;
    assert_eq!(ended.state, RunState::Failed);
    assert_eq!(ended.error.as_ref().unwrap().reason, Reason::Internal);
}

// === the store fails ===

#[tokio::test(start_paused = true)]
async fn a_run_whose_store_fails_is_set_aside_and_goes_on_when_it_works_again() {
    let world = World::new();
    world.script(&[&[Says::Done(&["pay", "find"])], ANSWER]);
    world.does("pay", Does::Work(Duration::from_secs(1)));
    world.does("find", Does::Work(Duration::from_secs(1)));
    let run = world.start(spec()).await;
    sleep(Duration::from_millis(500)).await;
    *world.store.broken.lock() = true;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(world.runs.live_count(), 1, "it keeps its place");
    let kinds: Vec<_> = world.tools.receipts.lock().iter().map(|r| r.kind).collect();
    assert!(
        !kinds.contains(&"result"),
        "what is not stored has no receipt: {kinds:?}"
    );
    let refused = world.runs.inbox(&run.tenant, run.id).unwrap_err();
    assert_eq!(refused.reason, Reason::StoreUnavailable);
    let stored = world.store.events(run.id);

    sleep(Duration::from_secs(100)).await;
    *world.store.broken.lock() = false;
    sleep(Duration::from_secs(31)).await;
    let ended = world.end_of(&run).await;
    assert_eq!(ended.state, RunState::Succeeded);
    let events = world.store.events(run.id);
    assert_eq!(
        events[..stored.len()],
        stored[..],
        "nothing stored is changed"
    );
    let unknown = world
        .calls(&run)
        .iter()
        .filter(|(state, _)| *state == CallState::Failed)
        .count();
    assert_eq!(
        unknown, 1,
        "the call that may run once has an unknown outcome"
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_is_given_up_for_the_time_being() {
    let world = World::new();
    world.script(&[
        &[Says::Wait(Duration::from_secs(1)), Says::Done(&[])],
        ANSWER,
    ]);
    let run = world.start(spec()).await;
    *world.store.delay.lock() = Duration::from_secs(100_000);
    sleep(Duration::from_millis(31_500)).await;
    assert!(world.runs.inbox(&run.tenant, run.id).is_err());
    *world.store.delay.lock() = Duration::ZERO;
    sleep(Duration::from_secs(120)).await;
    assert_eq!(world.end_of(&run).await.state, RunState::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_does_not_wait_for_a_store() {
    let world = World::new();
    world.script(&[&[Says::Wait(Duration::from_secs(1)), Says::Done(&[])]]);
    world.start(spec()).await;
    *world.store.broken.lock() = true;
    sleep(Duration::from_secs(20)).await;
    world.runs.drain();
    world.tracker.close();
    world.tracker.wait().await;
    assert_eq!(world.runs.live_count(), 0);
}

//! Runs in a world of fakes under a paused clock: what the driver and the registry promise.

mod fakes;
mod parking;
mod recovery;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use fakes::{Does, FakeModels, FakeStore, FakeTools, Says, TestClock, model};
use tokio::time::{Instant, sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    domain::{
        call::{Disposition, Report},
        event::Fact,
        fault::Reason,
        id::RequestId,
        json::JsonText,
        message::{Message, Role},
        model::Options,
        policy::Policies,
        principal::{Principal, Tenant},
        run::{Agent, Run, RunSpec, RunState},
        tool::{Affinity, Annotations, HostedTool, ToolBinding, ToolName, ToolSpec, ToolTarget},
    },
    run::{
        Detail, From, Ports, Runs, Settings,
        port::{Answer, RunFilter, RunInput},
    },
};

struct World {
    runs: Arc<Runs>,
    models: Arc<FakeModels>,
    tools: Arc<FakeTools>,
    store: Arc<FakeStore>,
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

impl World {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let models = Arc::new(FakeModels::default());
        let store = Arc::new(FakeStore::default());
        let tools = Arc::new(FakeTools::new(Arc::clone(&store), tracker.clone()));
        let ports = Ports {
            models: Arc::clone(&models) as _,
            tools: Arc::clone(&tools) as _,
            store: Arc::clone(&store) as _,
            clock: Arc::new(TestClock::new()),
        };
        Self {
            runs: Runs::new(ports, settings, tracker.clone(), shutdown.clone()),
            models,
            tools,
            store,
            tracker,
            shutdown,
        }
    }

    fn script(&self, turns: &[&[Says]]) {
        let turns = turns.iter().map(|turn| turn.to_vec());
        self.models.script.lock().extend(turns);
    }

    fn does(&self, tool: &str, does: Does) {
        self.tools.does.lock().insert(tool.to_owned(), does);
    }

    async fn start(&self, spec: RunSpec) -> Arc<Run> {
        let principal = Principal::anonymous();
        self.runs
            .create(&principal, spec, None, None)
            .await
            .unwrap()
    }

    /// The run once it has ended.
    async fn end_of(&self, run: &Run) -> Arc<Run> {
        let from = From::After(0);
        let watch = self.runs.watch(&run.tenant, run.id, from, Detail::Durable);
        let mut watch = watch.await.unwrap();
        while let Some(batch) = watch.next().await {
            batch.unwrap();
        }
        self.runs.get(&run.tenant, run.id).await.unwrap()
    }

    /// Lets everything happen that needs no time.
    async fn settle(&self) {
        sleep(Duration::from_millis(1)).await;
    }
}

fn binding(name: &str, idempotent: bool) -> ToolBinding {
    ToolBinding {
        target: ToolTarget::Attached(Arc::new(ToolSpec {
            name: ToolName::parse(name).unwrap(),
            description: String::new(),
            input_schema: JsonText::parse_object("{}").unwrap(),
            output_schema: None,
            version: String::new(),
            annotations: Annotations {
                idempotent,
                ..Annotations::default()
            },
            cache_breakpoint: false,
        })),
        timeout: None,
        accept_timeout: None,
        progress_timeout: None,
    }
}

/// A run whose agent has an idempotent tool `find`, a tool `pay` that runs at most once, and a tool
/// `boom` whose check panics.
fn spec() -> RunSpec {
    RunSpec {
        agent: Agent {
            name: "tester".to_owned(),
            model: model(),
            fallback_models: Vec::new(),
            instructions: String::new(),
            tools: vec![
                binding("find", true),
                binding("pay", false),
                binding("boom", true),
            ],
            options: Arc::new(Options::default()),
        },
        input: vec![Arc::new(Message::text(Role::User, "Go."))],
        limits: Settings::default().default_limits,
        labels: BTreeMap::new(),
        policy: Policies::default(),
        continuation: None,
    }
}

const ANSWER: &[Says] = &[Says::Text("yes"), Says::Done(&[])];

// === the loop ===

#[tokio::test(start_paused = true)]
async fn eight_tools_of_50_ms_take_50_ms() {
    let world = World::new();
    world.script(&[&[Says::Done(&["find"; 8])], ANSWER]);
    world.does("find", Does::Work(Duration::from_millis(50)));
    let run = world.start(spec()).await;
    let ended = world.end_of(&run).await;
    assert_eq!(ended.state, RunState::Succeeded);
    let took = ended.end_time.unwrap().since(ended.create_time);
    assert!(took <= Duration::from_millis(52), "{took:?}");
    assert!(took >= Duration::from_millis(50), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_turn_of_idempotent_tools_waits_for_two_appends() {
    let world = World::new();
    world.script(&[&[Says::Done(&["find"; 4])], ANSWER]);
    world.does("find", Does::Work(Duration::from_millis(5)));
    let run = world.start(spec()).await;
    world.end_of(&run).await;
    // The plan; acceptances and results and their message; the answer.
    assert_eq!(*world.store.appends.lock(), [6, 9, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_turn_of_other_tools_stores_the_acceptance_before_its_receipt() {
    let world = World::new();
    world.script(&[&[Says::Done(&["pay"])], ANSWER]);
    world.does("pay", Does::Work(Duration::from_millis(50)));
    *world.store.delay.lock() = Duration::from_millis(30);
    let run = world.start(spec()).await;
    world.end_of(&run).await;
    assert_eq!(*world.store.appends.lock(), [3, 1, 2, 2]);
    let receipts = world.tools.receipts.lock().clone();
    let seen: Vec<_> = receipts.iter().map(|r| (r.kind, r.stored)).collect();
    // With the first event: 1 + 3 + 1, and then 2 more.
    assert_eq!(seen, [("acceptance", 5), ("result", 7)]);
    assert!(
        receipts
            .iter()
            .all(|r| r.disposition == Disposition::Applied)
    );
}

#[tokio::test(start_paused = true)]
async fn the_log_has_each_call_once_in_each_state() {
    let world = World::new();
    world.script(&[&[Says::Done(&["pay", "find"])], ANSWER]);
    world.does("pay", Does::Work(Duration::from_millis(40)));
    world.does("find", Does::Work(Duration::from_millis(40)));
    let run = world.start(spec()).await;
    world.end_of(&run).await;
    let mut states: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for event in world.store.events(run.id) {
        if let Fact::ToolCallUpdated(update) = &event.fact {
            let of_call = states.entry(update.call.name.clone()).or_default();
            of_call.push(format!("{:?}", update.state));
        }
    }
    let life = ["Pending", "Running", "Succeeded"];
    assert_eq!(states["pay"], life);
    assert_eq!(states["find"], life);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_streamed_only_while_somebody_watches_it_grow() {
    let world = World::new();
    world.script(&[
        &[Says::Wait(Duration::from_millis(50)), Says::Done(&["find"])],
        ANSWER,
    ]);
    world.does("find", Does::Work(Duration::from_millis(50)));
    let run = world.start(spec()).await;
    world.settle().await;
    let from = From::After(0);
    let watch = world.runs.watch(&run.tenant, run.id, from, Detail::Full);
    let mut watch = watch.await.unwrap();
    while watch.next().await.is_some() {}
    let answers = world.models.answers.lock().clone();
    assert_eq!(answers, [Answer::Whole, Answer::Streamed]);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_fails_for_good_fails_the_run_with_its_reason() {
    let world = World::new();
    world.script(&[&[Says::Fault(Reason::ProviderCredentialsMissing)]]);
    let run = world.start(spec()).await;
    let ended = world.end_of(&run).await;
    assert_eq!(ended.state, RunState::Failed);
    let error = ended.error.as_ref().unwrap();
    assert_eq!(error.reason, Reason::ProviderCredentialsMissing);
}

#[tokio::test(start_paused = true)]
async fn a_missing_tool_is_offered_once_it_is_registered() {
    let world = World::new();
    world.tools.missing.lock().push("pay".to_owned());
    world.script(&[ANSWER]);
    let run = world.start(spec()).await;
    sleep(Duration::from_secs(30)).await;
    assert!(world.models.answers.lock().is_empty());
    // Another tool's registration changes nothing.
    world.tools.registrations.notify_waiters();
    world.settle().await;
    assert!(world.models.answers.lock().is_empty());
    world.tools.missing.lock().clear();
    world.tools.registrations.notify_waiters();
    assert_eq!(world.end_of(&run).await.state, RunState::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_nobody_registers_fails_the_run_after_the_accept_timeout() {
    let world = World::new();
    world.tools.missing.lock().push("pay".to_owned());
    let run = world.start(spec()).await;
    let ended = world.end_of(&run).await;
    assert_eq!(ended.error.as_ref().unwrap().reason, Reason::NoHost);
    let took = ended.end_time.unwrap().since(ended.create_time);
    assert_eq!(took.as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_never_ends_times_out_and_the_run_goes_on() {
    let world = World::new();
    world.script(&[&[Says::Done(&["find"])], ANSWER]);
    world.does("find", Does::Work(Duration::from_secs(3_000)));
    let run = world.start(spec()).await;
    let ended = world.end_of(&run).await;
    assert_eq!(ended.state, RunState::Succeeded);
    let took = ended.end_time.unwrap().since(ended.create_time);
    assert_eq!(took.as_secs(), 302);
    assert_eq!(world.tools.released.lock().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_out_of_time_ends_while_its_model_hangs() {
    let world = World::new();
    world.script(&[&[Says::Text("half"), Says::Forever]]);
    let mut short = spec();
    short.limits.timeout = Duration::from_secs(7);
    let run = world.start(short).await;
    let ended = world.end_of(&run).await;
    assert_eq!(ended.error.as_ref().unwrap().reason, Reason::RunTimeout);
    assert_eq!(world.models.dropped.load(Ordering::SeqCst), 1);
}

// === cancellation ===

#[tokio::test(start_paused = true)]
async fn a_cancel_aborts_the_models_answer() {
    let world = World::new();
    world.script(&[&[Says::Text("half"), Says::Forever]]);
    let run = world.start(spec()).await;
    world.settle().await;
    let cancel = world.runs.cancel(&run.tenant, run.id, "enough".to_owned());
    let cancelled = cancel.await.unwrap();
    assert_eq!(cancelled.state, RunState::Cancelled);
    assert_eq!(cancelled.cancel_reason, "enough");
    assert_eq!(world.models.dropped.load(Ordering::SeqCst), 1);
    let discarded = world.store.events(run.id);
    let discarded = discarded
        .iter()
        .filter(|event| matches!(event.fact, Fact::MessageDiscarded { .. }));
    assert_eq!(discarded.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_reaches_the_host_and_is_stored_before_it_is_answered() {
    let world = World::new();
    world.script(&[&[Says::Done(&["pay"])]]);
    world.does("pay", Does::Obey);
    let run = world.start(spec()).await;
    sleep(Duration::from_secs(1)).await;
    *world.store.delay.lock() = Duration::from_millis(30);
    let asked = Instant::now();
    let cancel = world.runs.cancel(&run.tenant, run.id, String::new());
    assert_eq!(cancel.await.unwrap().state, RunState::Cancelling);
    assert_eq!(asked.elapsed().as_millis(), 30);
    let ended = world.end_of(&run).await;
    assert_eq!(ended.state, RunState::Cancelled);
    assert_eq!(world.tools.cancelled.lock().len(), 1);
    let again = world.runs.cancel(&run.tenant, run.id, "late".to_owned());
    assert_eq!(again.await.unwrap(), ended);
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_run_is_cancelled() {
    let world = World::new();
    world.script(&[&[Says::Forever]]);
    let run = world.start(spec()).await;
    world.settle().await;
    let inbox = world.runs.inbox(&run.tenant, run.id).unwrap();
    inbox.send(RunInput::Abandoned).await;
    let ended = world.end_of(&run).await;
    assert_eq!(ended.state, RunState::Cancelled);
    assert!(!ended.cancel_reason.is_empty());
}

// === what goes wrong in the server ===

#[tokio::test(start_paused = true)]
async fn a_panic_in_one_run_ends_that_run_and_nothing_else() {
    let world = World::new();
    world.script(&[&[Says::Wait(Duration::from_secs(1)), Says::Done(&[])]]);
    let healthy = world.start(spec()).await;
    world.settle().await;
    for turn in [
        &[Says::Done(&["boom"])][..],
        &[Says::Text("half"), Says::Panic],
    ] {
        world.script(&[turn]);
        let run = world.start(spec()).await;
        let ended = world.end_of(&run).await;
        assert_eq!(ended.state, RunState::Failed);
        assert_eq!(ended.error.as_ref().unwrap().reason, Reason::Internal);
    }
    assert_eq!(world.end_of(&healthy).await.state, RunState::Succeeded);
    world.settle().await;
    assert_eq!(world.runs.live_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_watches_or_cancels_a_run_that_the_store_loses_is_told() {
    let world = World::new();
    world.script(&[&[Says::Wait(Duration::from_secs(1)), Says::Done(&[])]]);
    let run = world.start(spec()).await;
    let from = From::After(0);
    let watch = world.runs.watch(&run.tenant, run.id, from, Detail::Full);
    let mut watch = watch.await.unwrap();
    world.settle().await;
    *world.store.broken.lock() = true;
    let cancelled = world.runs.cancel(&run.tenant, run.id, String::new()).await;
    assert_eq!(cancelled.unwrap_err().reason, Reason::StoreUnavailable);
    let mut last = None;
    while let Some(batch) = watch.next().await {
        last = Some(batch);
    }
    let fault = last.unwrap().unwrap_err();
    assert_eq!(fault.reason, Reason::StoreUnavailable);
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_every_runs_task() {
    let world = World::new();
    world.script(&[&[Says::Forever], &[Says::Forever]]);
    world.start(spec()).await;
    world.start(spec()).await;
    world.shutdown.cancel();
    world.tracker.close();
    world.tracker.wait().await;
    assert_eq!(world.runs.live_count(), 0);
}

// === the registry ===

#[tokio::test(start_paused = true)]
async fn the_same_request_gives_the_same_run() {
    let world = World::new();
    world.script(&[&[Says::Forever]]);
    let principal = Principal::anonymous();
    let id = RequestId::parse("r-1").ok();
    let first = world
        .runs
        .create(&principal, spec(), id.clone(), None)
        .await;
    let again = world
        .runs
        .create(&principal, spec(), id.clone(), None)
        .await;
    assert_eq!(first.as_ref().unwrap().id, again.unwrap().id);
    let mut other = spec();
    other.agent.instructions = "Otherwise.".to_owned();
    let refused = world.runs.create(&principal, other, id.clone(), None).await;
    assert_eq!(refused.unwrap_err().reason, Reason::RequestIdReused);
    let mut somebody = principal;
    somebody.name = Arc::from("somebody");
    let refused = world.runs.create(&somebody, spec(), id, None).await;
    assert_eq!(refused.unwrap_err().reason, Reason::RequestIdReused);
    world.settle().await;
    assert_eq!(world.runs.live_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_creator_who_goes_away_leaves_a_run_that_runs() {
    let world = World::new();
    world.script(&[ANSWER]);
    *world.store.delay.lock() = Duration::from_millis(100);
    let principal = Principal::anonymous();
    let creation = world.runs.create(&principal, spec(), None, None);
    tokio::select! {
        _ = creation => panic!("the store is slower"),
        () = world.settle() => {}
    }
    sleep(Duration::from_secs(1)).await;
    let tenant = Tenant::default_tenant();
    let all = RunFilter::default();
    let runs = world.runs.list(&tenant, &all, None, 10).await.unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].state, RunState::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn there_are_no_more_live_runs_than_allowed() {
    let world = World::with(Settings {
        max_live_runs: 1,
        ..Settings::default()
    });
    world.script(&[&[Says::Forever]]);
    let run = world.start(spec()).await;
    let principal = Principal::anonymous();
    let refused = world
        .runs
        .create(&principal, spec(), None, None)
        .await
        .unwrap_err();
    assert_eq!(refused.reason, Reason::ServerOverloaded);
    assert!(refused.retry_after.is_some());
    let cancel = world.runs.cancel(&run.tenant, run.id, String::new());
    cancel.await.unwrap();
    world.settle().await;
    world.script(&[ANSWER]);
    world.start(spec()).await;
}

#[tokio::test(start_paused = true)]
async fn a_draining_server_creates_no_runs() {
    let world = World::new();
    world.runs.drain();
    let principal = Principal::anonymous();
    let refused = world
        .runs
        .create(&principal, spec(), None, None)
        .await
        .unwrap_err();
    assert_eq!(refused.reason, Reason::ServerDraining);
}

#[tokio::test(start_paused = true)]
async fn a_hosted_tool_needs_the_permission_to_use_its_name() {
    let world = World::new();
    let mut hosted = spec();
    hosted.agent.tools.push(ToolBinding {
        target: ToolTarget::Hosted(HostedTool {
            name: ToolName::parse("bank.transfer").unwrap(),
            version: None,
            host_id: None,
            host_labels: BTreeMap::new(),
            affinity: Affinity::Any,
        }),
        ..binding("x", true)
    });
    let principal = Principal {
        use_tools: vec!["files.*".to_owned()],
        ..Principal::anonymous()
    };
    let refused = world
        .runs
        .create(&principal, hosted, None, None)
        .await
        .unwrap_err();
    assert_eq!(refused.reason, Reason::PermissionDenied);
    assert_eq!(refused.metadata["tool"], "bank.transfer");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_found_across_tenants() {
    let world = World::new();
    world.script(&[&[Says::Forever]]);
    let run = world.start(spec()).await;
    let other = Tenant::parse("other").unwrap();
    let not_found = |result: Result<_, crate::domain::fault::Fault>| {
        assert_eq!(result.unwrap_err().reason, Reason::RunNotFound);
    };
    not_found(world.runs.get(&other, run.id).await.map(drop));
    not_found(world.runs.spec(&other, run.id).await.map(drop));
    let cancel = world.runs.cancel(&other, run.id, String::new());
    not_found(cancel.await.map(drop));
    assert!(world.runs.inbox(&other, run.id).is_err());
    world.settle().await;
    let mine = world.runs.get(&run.tenant, run.id).await.unwrap();
    assert_eq!(mine.state, RunState::Running);
}

#[tokio::test(start_paused = true)]
async fn a_report_that_comes_after_the_run_is_answered_from_its_log() {
    let world = World::new();
    world.script(&[&[Says::Done(&["pay"])], ANSWER]);
    world.does("pay", Does::Work(Duration::ZERO));
    let run = world.start(spec()).await;
    world.end_of(&run).await;
    world.settle().await;
    let delivery = world.tools.assigned.lock()[0].0.clone();
    let late = |attempt, report: Report| {
        let (world, mut delivery) = (&world, delivery.clone());
        delivery.attempt = attempt;
        async move {
            let tenant = Tenant::default_tenant();
            world.runs.late_report(&tenant, &delivery, &report).await
        }
    };
    let stopped = || Report::Stopped;
    assert_eq!(late(1, Report::Accepted).await, Ok(Disposition::Duplicate));
    assert_eq!(late(1, stopped()).await, Ok(Disposition::Stale));
    assert_eq!(late(2, Report::Accepted).await, Ok(Disposition::Stale));
    let other = Tenant::parse("other").unwrap();
    let unknown = world.runs.late_report(&other, &delivery, &stopped()).await;
    assert_eq!(unknown.unwrap_err().reason, Reason::ToolCallNotFound);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_has_ended_is_forgotten_and_takes_no_more_mail() {
    let world = World::new();
    world.script(&[&[Says::Wait(Duration::from_millis(10)), Says::Done(&[])]]);
    let run = world.start(spec()).await;
    let inbox = world.runs.inbox(&run.tenant, run.id);
    world.end_of(&run).await;
    world.settle().await;
    assert_eq!(*world.tools.forgotten.lock(), [run.id]);
    assert!(inbox.is_ok_and(|inbox| inbox.is_closed()));
    let gone = world.runs.inbox(&run.tenant, run.id).unwrap_err();
    assert_eq!(gone.reason, Reason::RunFinished);
}

#[test]
fn a_waiting_run_is_small() {
    let bytes = size_of::<super::Driver>();
    assert!(bytes <= 1_024, "{bytes} bytes");
}

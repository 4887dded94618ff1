//! A store, live logs, and readers that say in words what they see.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use futures_util::FutureExt;
use tokio::sync::Semaphore;

use crate::{
    domain::{
        completion::{Delta, Grown},
        event::{Ephemeral, Event, Fact, Progress, ToolCallUpdate},
        fault::Fault,
        id::{CallId, RunId, ThreadId},
        principal::Tenant,
        run::{Run, RunSpec, RunState},
        thread::{Thread, ThreadFilter},
    },
    run::{
        log::Log,
        port::{Clock, Creation, FeedEntry, NewRun, RunFilter, Store, StoreError, StoreFuture},
        sample::{HandClock, message_id, new_run, run, run_id, tenant, update},
        watch::{Detail, Feed, FeedBatch, From, Seen, Watch, WatchMany, Watches},
    },
    store::memory::{Memory, Settings},
};

/// The memory store behind a gate: appends can be held back or fail, readings of the feed are counted.
pub(super) struct Gated {
    inner: Memory,
    /// An append takes one; `None`: they go through.
    held: Option<Semaphore>,
    fails: AtomicBool,
    feeds_read: AtomicUsize,
}

pub(super) struct World {
    pub(super) store: Arc<Gated>,
    pub(super) watches: Arc<Watches>,
    clock: Arc<HandClock>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(None)
    }

    /// Appends wait until [`World::let_through`].
    pub(super) fn holding() -> Self {
        Self::with(Some(Semaphore::new(0)))
    }

    fn with(held: Option<Semaphore>) -> Self {
        let clock = HandClock::at(0);
        let store = Arc::new(Gated {
            inner: Memory::new(Settings::default(), Arc::clone(&clock) as _),
            held,
            fails: AtomicBool::new(false),
            feeds_read: AtomicUsize::new(0),
        });
        Self {
            watches: Watches::new(Arc::clone(&store) as _),
            store,
            clock,
        }
    }

    pub(super) fn let_through(&self, appends: usize) {
        if let Some(held) = &self.store.held {
            held.add_permits(appends);
        }
    }

    pub(super) fn fail_appends(&self, fails: bool) {
        self.store.fails.store(fails, Ordering::SeqCst);
    }

    pub(super) fn feeds_read(&self) -> usize {
        self.store.feeds_read.load(Ordering::SeqCst)
    }

    /// A run of a team that the store has and nobody works on as yet.
    pub(super) async fn created(&self, number: u128, team: &str) -> Arc<Run> {
        let new = new_run(run(number, team));
        let run = Arc::clone(&new.run);
        self.store.create(new).await.unwrap();
        run
    }

    pub(super) fn go_live(&self, run: Arc<Run>) -> Live {
        let store: Arc<dyn Store> = Arc::clone(&self.store) as _;
        let log = Log::new(store, &self.watches, run.tenant.clone(), Arc::clone(&run));
        Live {
            log,
            run,
            clock: Arc::clone(&self.clock),
        }
    }

    pub(super) async fn live(&self, number: u128, team: &str) -> Live {
        let run = self.created(number, team).await;
        self.go_live(run)
    }

    pub(super) async fn watch(&self, number: u128, from: From, detail: Detail) -> Watch {
        self.watches
            .watch(&tenant("acme"), run_id(number), from, detail)
            .await
            .unwrap()
    }

    pub(super) async fn feed(&self, request: WatchMany) -> Feed {
        self.watches
            .watch_many(&tenant("acme"), request)
            .await
            .unwrap()
    }

    pub(super) async fn feed_fault(&self, cursor: &str) -> Fault {
        self.watches
            .watch_many(&tenant("acme"), after(cursor))
            .await
            .unwrap_err()
    }
}

/// A live run under the test's hand.
pub(super) struct Live {
    pub(super) log: Arc<Log>,
    run: Arc<Run>,
    clock: Arc<HandClock>,
}

impl Live {
    pub(super) async fn commit(&self, facts: Vec<Fact>) {
        self.try_commit(facts).await.unwrap();
    }

    pub(super) async fn try_commit(&self, facts: Vec<Fact>) -> Result<(), Fault> {
        self.log.commit(self.clock.now(), facts).await
    }

    pub(super) fn in_state(&self, state: RunState) -> Fact {
        crate::run::sample::in_state(&self.run, state)
    }

    pub(super) async fn becomes(&self, state: RunState) {
        self.commit(vec![self.in_state(state)]).await;
    }

    pub(super) fn says(&self, message: &str, part_index: u32, text: &str) {
        let grown = Grown::Text(text.to_owned());
        self.log
            .delta(None, &message_id(message), Delta { part_index, grown });
    }

    pub(super) fn reports(&self, call: &str, progress: f64) {
        let progress = Progress {
            progress,
            total: None,
            message: String::new(),
            parts: Vec::new(),
        };
        let update = update(call, crate::domain::event::CallState::Running);
        self.log.progress(None, update, progress);
    }
}

// --- requests ---

pub(super) fn of_team(team: &str) -> WatchMany {
    WatchMany {
        filter: RunFilter {
            labels: BTreeMap::from([("team".to_owned(), team.to_owned())]),
            ..RunFilter::default()
        },
        cursor: None,
        detail: Detail::Durable,
        include_finished: false,
    }
}

pub(super) fn in_full(request: WatchMany) -> WatchMany {
    WatchMany {
        detail: Detail::Full,
        ..request
    }
}

pub(super) fn after(cursor: &str) -> WatchMany {
    WatchMany {
        cursor: Some(cursor.to_owned()),
        ..of_team("a")
    }
}

// --- readers ---

/// All that a watch has now, and whether it has ended.
pub(super) fn drain(watch: &mut Watch) -> (Vec<Seen>, bool) {
    let mut seen = Vec::new();
    loop {
        match watch.next().now_or_never() {
            Some(Some(batch)) => seen.extend(batch.unwrap()),
            Some(None) => return (seen, true),
            None => return (seen, false),
        }
    }
}

/// All that a feed has now.
pub(super) fn drain_feed(feed: &mut Feed) -> Vec<FeedBatch> {
    let mut batches = Vec::new();
    while let Some(batch) = feed.next().now_or_never() {
        batches.push(batch.unwrap());
    }
    batches
}

pub(super) fn now(watch: &mut Watch) -> Vec<String> {
    words(&drain(watch).0)
}

/// The same for a feed, each line with the number of its run.
pub(super) fn feed_now(feed: &mut Feed) -> Vec<String> {
    drain_feed(feed).iter().flat_map(batch_words).collect()
}

pub(super) fn batch_words(batch: &FeedBatch) -> Vec<String> {
    let run = batch.run_id.to_string();
    let number = run.trim_start_matches("run_").trim_start_matches('0');
    words(&batch.seen)
        .into_iter()
        .map(|line| format!("{number}: {line}"))
        .collect()
}

pub(super) fn words(seen: &[Seen]) -> Vec<String> {
    seen.iter().map(word).collect()
}

/// `5 Running`, `6 m1 "text"`, `7 m1 discarded`, `8 c1 Pending`; for display `~9 m1 0"text"`,
/// `~10 c1 0.5`; a snapshot `=11 Running m1 0"text" c1`.
fn word(seen: &Seen) -> String {
    match seen {
        Seen::Event(event) => format!("{} {}", event.sequence, fact_word(&event.fact)),
        Seen::Ephemeral {
            sequence,
            ephemeral,
            ..
        } => match ephemeral {
            Ephemeral::MessageDelta { message_id, deltas } => {
                format!("~{sequence} {message_id}{}", delta_words(deltas))
            }
            Ephemeral::Progress { update, progress } => {
                format!("~{sequence} {} {}", update.call.id, progress.progress)
            }
        },
        Seen::Snapshot { sequence, snapshot } => {
            let mut line = format!("={sequence} {:?}", snapshot.run.state);
            if let Some((message_id, deltas)) = &snapshot.partial {
                line.push_str(&format!(" {message_id}{}", delta_words(deltas)));
            }
            for call in &snapshot.calls {
                line.push_str(&format!(" {}", call.call.id));
            }
            line
        }
    }
}

fn fact_word(fact: &Fact) -> String {
    match fact {
        Fact::RunUpdated(run) => format!("{:?}", run.state),
        Fact::MessageCompleted(message) => {
            let id = message.message.id.as_ref().unwrap();
            format!("{id} {:?}", message.message.joined_text())
        }
        Fact::MessageDiscarded { message_id, .. } => format!("{message_id} discarded"),
        Fact::ToolCallUpdated(update) => call_word(update),
        Fact::InputAnswered(answered) => format!("{} answered", answered.answer.input_id),
        Fact::PolicyDecided(decided) => format!("{} decided", decided.call_id),
    }
}

fn call_word(update: &ToolCallUpdate) -> String {
    format!("{} {:?}", update.call.id, update.state)
}

fn delta_words(deltas: &[Delta]) -> String {
    deltas
        .iter()
        .map(|delta| {
            let Grown::Text(text) = &delta.grown else {
                panic!("{delta:?}")
            };
            format!(" {}{text:?}", delta.part_index)
        })
        .collect()
}

// === impl Gated ===

impl Store for Gated {
    fn create(&self, new: NewRun) -> StoreFuture<'_, Creation> {
        self.inner.create(new)
    }

    fn append(
        &self,
        tenant: &Tenant,
        run_id: RunId,
        expected: u64,
        events: Vec<Arc<Event>>,
    ) -> StoreFuture<'_, ()> {
        if self.fails.load(Ordering::SeqCst) {
            let error = StoreError::Unavailable("the test says so".to_owned());
            return Box::pin(async { Err(error) });
        }
        let tenant = tenant.clone();
        Box::pin(async move {
            if let Some(held) = &self.held {
                held.acquire().await.unwrap().forget();
            }
            self.inner.append(&tenant, run_id, expected, events).await
        })
    }

    fn read(
        &self,
        tenant: &Tenant,
        run_id: RunId,
        after: u64,
        limit: usize,
    ) -> StoreFuture<'_, Vec<Arc<Event>>> {
        self.inner.read(tenant, run_id, after, limit)
    }

    fn run(&self, tenant: &Tenant, run_id: RunId) -> StoreFuture<'_, (Arc<Run>, Arc<RunSpec>)> {
        self.inner.run(tenant, run_id)
    }

    fn list(
        &self,
        tenant: &Tenant,
        filter: &RunFilter,
        before: Option<RunId>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<Arc<Run>>> {
        self.inner.list(tenant, filter, before, limit)
    }

    fn feed(&self, tenant: &Tenant, after: u64, limit: usize) -> StoreFuture<'_, Vec<FeedEntry>> {
        self.feeds_read.fetch_add(1, Ordering::SeqCst);
        self.inner.feed(tenant, after, limit)
    }

    fn position(&self, tenant: &Tenant) -> StoreFuture<'_, u64> {
        self.inner.position(tenant)
    }

    fn run_of_call(&self, tenant: &Tenant, call_id: &CallId) -> StoreFuture<'_, Option<RunId>> {
        self.inner.run_of_call(tenant, call_id)
    }

    fn thread(&self, tenant: &Tenant, thread_id: ThreadId) -> StoreFuture<'_, Thread> {
        self.inner.thread(tenant, thread_id)
    }

    fn threads(
        &self,
        tenant: &Tenant,
        filter: &ThreadFilter,
        before: Option<u64>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<Thread>> {
        self.inner.threads(tenant, filter, before, limit)
    }

    fn delete_thread(&self, tenant: &Tenant, thread_id: ThreadId) -> StoreFuture<'_, ()> {
        self.inner.delete_thread(tenant, thread_id)
    }
}

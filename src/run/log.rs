//! The event log of one live run: what its driver writes, what its watchers read.
//!
//! Facts go to the store first and are shown when they are there. Deltas and progress are never stored:
//! they are kept as the text that they make, so that a watcher at any place of the log gets what it
//! lacks in one piece, and a slow one costs nobody anything.

mod book;
mod partial;
mod reports;

use std::{
    fmt,
    sync::{Arc, Weak},
};

use tokio::{
    sync::{Notify, futures::Notified},
    time::Instant,
};

use self::book::Book;
pub(in crate::run) use self::book::Collected;
use super::{
    lock::Lock,
    port::Store,
    watch::{Detail, Ear, Live, Seen, Snapshot, Watches},
};
use crate::domain::{
    completion::Delta,
    event::{Entry, Event, Progress, ToolCallUpdate},
    fault::{Fault, Reason},
    id::{MessageId, RunId},
    principal::Tenant,
    run::Run,
    time::Timestamp,
};

/// The log of a live run. One writer, the run's driver; any number of readers.
pub struct Log {
    store: Arc<dyn Store>,
    live: Arc<Live>,
    tenant: Tenant,
    run_id: RunId,
    inner: Lock<Inner>,
    changed: Notify,
}

struct Inner {
    book: Book,
    /// Watches of this run.
    watches: usize,
    /// Those among them that show everything.
    full_watches: usize,
    /// Feeds that show everything and follow this run.
    ears: Vec<Weak<Ear>>,
    /// Why nothing more will be written.
    lost: Option<Fault>,
    /// The run is parked: nothing more comes from this log, and readers go to the store.
    at_rest: bool,
}

impl Log {
    /// The log of a run that the store already has, up to `run.last_sequence`. Until the last `Arc` of
    /// it is gone, watchers find it in `watches`.
    pub fn new(
        store: Arc<dyn Store>,
        watches: &Arc<Watches>,
        tenant: Tenant,
        run: Arc<Run>,
    ) -> Arc<Self> {
        let run_id = run.id;
        Self::open(store, watches, (tenant, run_id), Book::new(run))
    }

    /// The log of a run that the store already has from an earlier life, in which these subagents' runs and
    /// these calls were under way.
    pub fn restored(
        store: Arc<dyn Store>,
        watches: &Arc<Watches>,
        run: Arc<Run>,
        (children, calls): (Vec<Arc<Run>>, Vec<Arc<ToolCallUpdate>>),
    ) -> Arc<Self> {
        let whose = (run.tenant.clone(), run.id);
        Self::open(store, watches, whose, Book::restored(run, children, calls))
    }

    fn open(
        store: Arc<dyn Store>,
        watches: &Arc<Watches>,
        (tenant, run_id): (Tenant, RunId),
        book: Book,
    ) -> Arc<Self> {
        let live = watches.of_tenant(&tenant);
        let log = Arc::new(Self {
            store,
            live: Arc::clone(&live),
            tenant,
            run_id,
            inner: Lock::new(Inner {
                book,
                watches: 0,
                full_watches: 0,
                ears: Vec::new(),
                lost: None,
                at_rest: false,
            }),
            changed: Notify::new(),
        });
        live.enter(&log);
        log
    }

    /// Stores facts as one, then shows them. A run that was updated is given its place in the log. The
    /// message in progress ends with its `MessageCompleted` or `MessageDiscarded`.
    ///
    /// Await it to its end: dropped half-way, nobody knows what the store has, and the next commit
    /// fails.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTERNAL` (somebody else writes to the run); nothing was shown.
    pub async fn commit(&self, now: Timestamp, facts: Vec<impl Into<Entry>>) -> Result<(), Fault> {
        if facts.is_empty() {
            return Ok(());
        }
        let Some(prepared) = self.inner.lock().book.prepare(now, facts) else {
            return Err(Fault::new(
                Reason::Internal,
                "two commits of one run at once",
            ));
        };
        let settled = Settle(self);
        let events = prepared.events.clone();
        self.store
            .append(&self.tenant, self.run_id, prepared.expected, events)
            .await
            .inspect_err(
                |error| tracing::error!(run.id = %self.run_id, %error, "events were not stored"),
            )?;
        self.inner.lock().book.show(prepared.events);
        drop(settled);
        Ok(())
    }

    /// The message in progress of a run of the tree grows. The first delta of another message replaces the
    /// one before.
    pub fn delta(&self, run_id: Option<RunId>, message_id: &MessageId, delta: Delta) {
        let mut inner = self.inner.lock();
        inner.book.delta(run_id, message_id, delta);
        self.wake_full(inner);
    }

    /// A call of a run of the tree reports how far it is. The latest is shown, at most five a second of each
    /// call.
    pub fn progress(&self, run_id: Option<RunId>, update: Arc<ToolCallUpdate>, progress: Progress) {
        let mut inner = self.inner.lock();
        inner.book.progress(run_id, update, progress);
        self.wake_full(inner);
    }

    /// Nothing more will be written: the store does not take it. Watches of this run show what they have
    /// and end with the fault; a feed, which follows other runs too, does not.
    pub fn lose(&self, fault: Fault) {
        let mut inner = self.inner.lock();
        inner.lost.get_or_insert(fault);
        drop(inner);
        self.changed.notify_waiters();
    }

    /// The subagents' runs that live, as they were last committed, callers first.
    pub fn children(&self) -> Vec<Arc<Run>> {
        self.inner.lock().book.children()
    }

    /// Puts the log to rest, unless somebody watches the run. Says whether it is.
    pub(in crate::run) fn rest(&self) -> bool {
        let mut inner = self.inner.lock();
        inner.at_rest = inner.watches == 0;
        inner.at_rest
    }

    /// Whether nothing more comes from here, though the run goes on some day.
    pub(in crate::run) fn is_at_rest(&self) -> bool {
        self.inner.lock().at_rest
    }

    /// The run as it was last committed.
    pub fn run(&self) -> Arc<Run> {
        self.inner.lock().book.run()
    }

    /// Which run.
    pub const fn run_id(&self) -> RunId {
        self.run_id
    }

    /// How the run stands, with the newest sequence that this covers.
    pub fn snapshot(&self) -> (u64, Arc<Snapshot>) {
        let (sequence, snapshot) = self.inner.lock().book.snapshot();
        (sequence, Arc::new(snapshot))
    }

    /// Whether anybody wants deltas. It may say so when nobody does in the end.
    pub fn has_full_watchers(&self) -> bool {
        let inner = self.inner.lock();
        inner.full_watches > 0 || inner.ears.iter().any(|ear| ear.strong_count() > 0)
    }

    /// Wakes those who watch for what is not stored.
    fn wake_full(&self, mut inner: std::sync::MutexGuard<'_, Inner>) {
        let run_id = self.run_id;
        if !inner.ears.is_empty() {
            inner.ears.retain(|ear| match ear.upgrade() {
                Some(ear) => {
                    ear.hear(run_id);
                    true
                }
                None => false,
            });
        }
        let watched = inner.full_watches > 0;
        drop(inner);
        if watched {
            self.changed.notify_waiters();
        }
    }

    // --- readers ---

    /// Completes when the log has changed after this was enabled.
    pub(in crate::run) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Why nothing more will come, if that is so.
    pub(in crate::run) fn lost(&self) -> Option<Fault> {
        self.inner.lock().lost.clone()
    }

    /// The newest committed event.
    pub(in crate::run) fn head(&self) -> u64 {
        self.inner.lock().book.head()
    }

    /// The newest sequence that a reader may know.
    pub(in crate::run) fn newest(&self) -> u64 {
        self.inner.lock().book.newest()
    }

    /// How the run stands for a reader that has seen all its events up to one; `None` when there are
    /// newer ones.
    pub(in crate::run) fn snapshot_at(&self, event: u64) -> Option<(u64, Arc<Snapshot>)> {
        let mut inner = self.inner.lock();
        let (sequence, snapshot) = (inner.book.head() <= event).then(|| inner.book.snapshot())?;
        Some((sequence, Arc::new(snapshot)))
    }

    /// See [`Book::collect`].
    pub(in crate::run) fn collect(
        &self,
        after: u64,
        older: &[Arc<Event>],
        detail: Detail,
    ) -> Collected {
        let now = Instant::now();
        self.inner.lock().book.collect(now, after, older, detail)
    }

    /// See [`Book::fresh`].
    pub(in crate::run) fn fresh(&self, after: u64) -> Collected {
        self.inner.lock().book.fresh(Instant::now(), after)
    }

    /// See [`Book::between`].
    pub(in crate::run) fn between(&self, after: u64, before: u64) -> Vec<Seen> {
        let now = Instant::now();
        self.inner.lock().book.between(now, after, before)
    }

    /// A feed wants to hear of deltas and progress.
    pub(in crate::run) fn add_ear(&self, ear: &Arc<Ear>) {
        let mut inner = self.inner.lock();
        let known = |other: &Weak<Ear>| std::ptr::eq(other.as_ptr(), Arc::as_ptr(ear));
        if !inner.ears.iter().any(known) {
            inner.ears.push(Arc::downgrade(ear));
        }
        drop(inner);
        ear.hear(self.run_id);
    }

    pub(in crate::run) fn add_watch(&self, detail: Detail) {
        let mut inner = self.inner.lock();
        inner.watches += 1;
        inner.full_watches += usize::from(detail == Detail::Full);
    }

    pub(in crate::run) fn remove_watch(&self, detail: Detail) {
        let mut inner = self.inner.lock();
        inner.watches = inner.watches.saturating_sub(1);
        let full = usize::from(detail == Detail::Full);
        inner.full_watches = inner.full_watches.saturating_sub(full);
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.live.leave(self.run_id, std::ptr::from_ref(self));
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("run_id", &self.run_id)
            .finish_non_exhaustive()
    }
}

/// The commit under way; dropping it ends it, whatever became of it, and wakes the watchers.
struct Settle<'a>(&'a Log);

impl Drop for Settle<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.inner.lock();
        inner.book.settle();
        let watched = inner.watches > 0;
        drop(inner);
        if watched {
            self.0.changed.notify_waiters();
        }
        self.0.live.committed();
    }
}

//! A store that forgets when the process ends.
//!
//! Every operation is done when it is called; the futures only say how it went. A run is appended to
//! under its own lock; what the runs of a tenant share is the feed, whose order is the point of it, and
//! an index that is touched when a run begins or ends and once per turn.

mod index;
mod shelf;
mod threads;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use futures_util::future;

use self::shelf::Shelf;
use crate::{
    domain::{
        event::Event,
        id::{CallId, RunId, ThreadId},
        principal::Tenant,
        run::{Run, RunSpec},
        thread::{Thread, ThreadFilter},
    },
    run::port::{Clock, Creation, FeedEntry, NewRun, RunFilter, Store, StoreError, StoreFuture},
};

/// What the store keeps of each tenant. Runs that live are always kept; of those that have ended, the
/// threads that rest longest are dropped for new ones, with all that belongs to them. Defaults are those of
/// the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Most finished runs.
    pub max_finished_runs: usize,
    /// Most bytes of finished runs, by estimate.
    pub max_finished_bytes: usize,
    /// How long a finished run is kept.
    pub retention: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_finished_runs: 100_000,
            max_finished_bytes: 512 * 1024 * 1024,
            retention: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// A store in memory.
pub struct Memory {
    settings: Settings,
    clock: Arc<dyn Clock>,
    /// Where the positions of every feed begin: above all that an earlier process has given out, so that
    /// a cursor of its time means "from the beginning" and never skips anything.
    first_position: u64,
    tenants: RwLock<HashMap<Tenant, Arc<Shelf>>>,
}

impl Memory {
    /// An empty store.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Self {
        // Room for a thousand events in each millisecond of the process's life.
        let first_position = clock.now().as_millis().saturating_mul(1_024);
        Self {
            settings,
            clock,
            first_position,
            tenants: RwLock::default(),
        }
    }

    /// The tenant's part, if it has stored anything.
    fn shelf(&self, tenant: &Tenant) -> Option<Arc<Shelf>> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.get(tenant).map(Arc::clone)
    }

    fn shelf_for_writing(&self, tenant: &Tenant) -> Arc<Shelf> {
        if let Some(shelf) = self.shelf(tenant) {
            return shelf;
        }
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        let shelf = tenants
            .entry(tenant.clone())
            .or_insert_with(|| Arc::new(Shelf::new(self.settings, self.first_position)));
        Arc::clone(shelf)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

fn done<'a, T: Send + 'a>(result: Result<T, StoreError>) -> StoreFuture<'a, T> {
    Box::pin(future::ready(result))
}

impl Store for Memory {
    fn create(&self, new: NewRun) -> StoreFuture<'_, Creation> {
        let shelf = self.shelf_for_writing(&new.run.tenant);
        done(shelf.create(new, self.clock.now()))
    }

    fn append(
        &self,
        tenant: &Tenant,
        run_id: RunId,
        expected: u64,
        events: Vec<Arc<Event>>,
    ) -> StoreFuture<'_, ()> {
        let shelf = self.shelf(tenant).ok_or(StoreError::NotFound);
        done(shelf.and_then(|s| s.append(run_id, expected, events, self.clock.now())))
    }

    fn read(
        &self,
        tenant: &Tenant,
        run_id: RunId,
        after: u64,
        limit: usize,
    ) -> StoreFuture<'_, Vec<Arc<Event>>> {
        let shelf = self.shelf(tenant).ok_or(StoreError::NotFound);
        done(shelf.and_then(|s| s.read(run_id, after, limit)))
    }

    fn run(&self, tenant: &Tenant, run_id: RunId) -> StoreFuture<'_, (Arc<Run>, Arc<RunSpec>)> {
        let shelf = self.shelf(tenant).ok_or(StoreError::NotFound);
        done(shelf.and_then(|s| s.run(run_id)))
    }

    fn child(&self, tenant: &Tenant, run_id: RunId) -> StoreFuture<'_, Arc<Run>> {
        let shelf = self.shelf(tenant).ok_or(StoreError::NotFound);
        done(shelf.and_then(|s| s.child(run_id)))
    }

    fn list(
        &self,
        tenant: &Tenant,
        filter: &RunFilter,
        before: Option<RunId>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<Arc<Run>>> {
        let shelf = self.shelf(tenant);
        done(Ok(shelf
            .map(|s| s.list(filter, before, limit))
            .unwrap_or_default()))
    }

    fn feed(&self, tenant: &Tenant, after: u64, limit: usize) -> StoreFuture<'_, Vec<FeedEntry>> {
        let shelf = self.shelf(tenant);
        done(Ok(shelf.map(|s| s.feed(after, limit)).unwrap_or_default()))
    }

    fn position(&self, tenant: &Tenant) -> StoreFuture<'_, u64> {
        let shelf = self.shelf(tenant);
        done(Ok(shelf.map_or(self.first_position, |s| s.position())))
    }

    fn run_of_call(&self, tenant: &Tenant, call_id: &CallId) -> StoreFuture<'_, Option<RunId>> {
        done(Ok(self.shelf(tenant).and_then(|s| s.run_of_call(call_id))))
    }

    fn thread(&self, tenant: &Tenant, thread_id: ThreadId) -> StoreFuture<'_, Thread> {
        let shelf = self.shelf(tenant).ok_or(StoreError::ThreadNotFound);
        done(shelf.and_then(|s| s.thread(thread_id)))
    }

    fn threads(
        &self,
        tenant: &Tenant,
        filter: &ThreadFilter,
        before: Option<u64>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<Thread>> {
        let shelf = self.shelf(tenant);
        done(Ok(shelf
            .map(|s| s.threads(filter, before, limit))
            .unwrap_or_default()))
    }

    fn delete_thread(&self, tenant: &Tenant, thread_id: ThreadId) -> StoreFuture<'_, ()> {
        let shelf = self.shelf(tenant).ok_or(StoreError::ThreadNotFound);
        done(shelf.and_then(|s| s.delete_thread(thread_id)))
    }
}

#[cfg(test)]
mod tests;

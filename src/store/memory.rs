//! A store that forgets when the process ends.

use std::{sync::Arc, time::Duration};

use crate::{
    domain::{
        event::Event,
        id::{CallId, RunId, ThreadId},
        principal::Tenant,
        run::{Run, RunSpec},
    },
    run::port::{Clock, Creation, FeedEntry, NewRun, RunFilter, Store, StoreFuture},
};

/// What the store keeps. Defaults are those of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Most finished runs of one tenant; the one that ended first is dropped for a new one.
    pub max_finished_runs: usize,
    /// How long a finished run is kept.
    pub retention: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_finished_runs: 100_000,
            retention: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// A store in memory.
pub struct Memory {}

impl Memory {
    /// An empty store.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Self {
        todo!()
    }
}

impl Store for Memory {
    fn create(&self, new: NewRun) -> StoreFuture<'_, Creation> {
        todo!()
    }

    fn append(
        &self,
        tenant: &Tenant,
        run_id: RunId,
        expected: u64,
        events: Vec<Arc<Event>>,
    ) -> StoreFuture<'_, ()> {
        todo!()
    }

    fn read(
        &self,
        tenant: &Tenant,
        run_id: RunId,
        after: u64,
        limit: usize,
    ) -> StoreFuture<'_, Vec<Arc<Event>>> {
        todo!()
    }

    fn run(&self, tenant: &Tenant, run_id: RunId) -> StoreFuture<'_, (Arc<Run>, Arc<RunSpec>)> {
        todo!()
    }

    fn list(
        &self,
        tenant: &Tenant,
        filter: &RunFilter,
        before: Option<RunId>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<Arc<Run>>> {
        todo!()
    }

    fn feed(&self, tenant: &Tenant, after: u64, limit: usize) -> StoreFuture<'_, Vec<FeedEntry>> {
        todo!()
    }

    fn position(&self, tenant: &Tenant) -> StoreFuture<'_, u64> {
        todo!()
    }

    fn run_of_call(&self, tenant: &Tenant, call_id: &CallId) -> StoreFuture<'_, Option<RunId>> {
        todo!()
    }

    fn move_head(
        &self,
        tenant: &Tenant,
        thread_id: ThreadId,
        expected: Option<RunId>,
        head: RunId,
    ) -> StoreFuture<'_, ()> {
        todo!()
    }
}

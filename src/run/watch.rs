//! Watching runs: one from any place of its log, or all that match.
//!
//! A watch is a cursor, not a queue: it reads old events from the store and new ones from the live log,
//! so that a slow reader lags, loses no durable event, and costs the run nothing.

mod batch;
mod cursor;
mod feed;
mod history;
mod interest;
mod live;
mod single;
pub(crate) mod weight;

use std::{collections::HashMap, fmt, sync::Arc};

pub(in crate::run) use self::{
    batch::Batch,
    live::{Ear, Live},
};
pub use self::{
    feed::{Feed, FeedBatch},
    interest::Interest,
    single::Watch,
};
use super::{
    lock::Lock,
    log::Log,
    port::{RunFilter, Store},
};
use crate::domain::{
    completion::Delta,
    event::{Ephemeral, Event, ToolCallUpdate},
    fault::Fault,
    id::{MessageId, RunId},
    principal::Tenant,
    run::Run,
};

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// With a snapshot of how things stand.
    Snapshot,
    /// After this event. One that the log has not come to as yet means that the log is not the one that
    /// the reader knows: the watch begins with a snapshot.
    After(u64),
}

/// How much a watch shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Everything.
    Full,
    /// Durable events only.
    Durable,
}

/// Which runs a [`Feed`] shows.
#[derive(Clone, Debug)]
pub struct WatchMany {
    /// Which. `states` decides only whether a run enters the watch.
    pub filter: RunFilter,
    /// The last cursor received; `None`: from now, beginning with a snapshot of each live run.
    pub cursor: Option<String>,
    /// How much.
    pub detail: Detail,
    /// Without a cursor: snapshots of finished runs too.
    pub include_finished: bool,
}

/// What a watch shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// Begin here: forget what you have.
    Snapshot {
        /// The newest sequence that it covers.
        sequence: u64,
        /// How things stand.
        snapshot: Arc<Snapshot>,
    },
    /// A fact.
    Event(Arc<Event>),
    /// Something for display.
    Ephemeral {
        /// Its sequence.
        sequence: u64,
        /// Whose it is, when it is a subagent's run.
        run_id: Option<RunId>,
        /// What.
        ephemeral: Ephemeral,
    },
}

impl Seen {
    /// Where the reader stands after it.
    pub fn sequence(&self) -> u64 {
        match self {
            Self::Snapshot { sequence, .. } | Self::Ephemeral { sequence, .. } => *sequence,
            Self::Event(event) => event.sequence,
        }
    }
}

/// How a run stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The run.
    pub run: Arc<Run>,
    /// The message in progress, as far as it has come.
    pub partial: Option<(MessageId, Vec<Delta>)>,
    /// Calls that are not done, of all the tree.
    pub calls: Vec<Arc<ToolCallUpdate>>,
    /// Its subagents' runs that live, callers first.
    pub children: Vec<ChildSnapshot>,
}

/// How a subagent's run stands.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildSnapshot {
    /// The run.
    pub run: Arc<Run>,
    /// The message in progress, as far as it has come.
    pub partial: Option<(MessageId, Vec<Delta>)>,
}

/// Who watches what: every live log and every feed of the server.
pub struct Watches {
    store: Arc<dyn Store>,
    tenants: Lock<HashMap<Tenant, Arc<Live>>>,
}

impl Watches {
    /// Nobody watches anything as yet.
    pub fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            store,
            tenants: Lock::default(),
        })
    }

    /// The log of a live run.
    pub fn live(&self, tenant: &Tenant, run_id: RunId) -> Option<Arc<Log>> {
        self.of_tenant(tenant).log(run_id)
    }

    /// Watches one run.
    ///
    /// # Errors
    /// `RUN_NOT_FOUND`, `STORE_UNAVAILABLE`.
    pub async fn watch(
        self: &Arc<Self>,
        tenant: &Tenant,
        run_id: RunId,
        from: From,
        detail: Detail,
    ) -> Result<Watch, Fault> {
        let source = self.source(tenant);
        Watch::open(source, run_id, from, detail).await
    }

    /// Watches all runs that match.
    ///
    /// # Errors
    /// `CURSOR_INVALID`, `STORE_UNAVAILABLE`.
    pub async fn watch_many(
        self: &Arc<Self>,
        tenant: &Tenant,
        request: WatchMany,
    ) -> Result<Feed, Fault> {
        Feed::open(self.source(tenant), request).await
    }

    /// Lets everybody who waits for a commit look again: somebody else may have written.
    pub(in crate::run) fn look_again(&self) {
        let tenants: Vec<Arc<Live>> = self.tenants.lock().values().cloned().collect();
        for live in tenants {
            live.committed();
        }
    }

    /// The tenant's live logs.
    pub(in crate::run) fn of_tenant(&self, tenant: &Tenant) -> Arc<Live> {
        let mut tenants = self.tenants.lock();
        if let Some(live) = tenants.get(tenant) {
            return Arc::clone(live);
        }
        let live = Arc::new(Live::default());
        tenants.insert(tenant.clone(), Arc::clone(&live));
        live
    }

    fn source(&self, tenant: &Tenant) -> Source {
        Source {
            store: Arc::clone(&self.store),
            live: self.of_tenant(tenant),
            tenant: tenant.clone(),
        }
    }
}

impl fmt::Debug for Watches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watches")
    }
}

/// Where one tenant's events come from.
struct Source {
    store: Arc<dyn Store>,
    live: Arc<Live>,
    tenant: Tenant,
}

#[cfg(test)]
mod tests;

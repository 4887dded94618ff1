//! Watching runs: one from any place of its log, or all that match.

pub(crate) mod weight;

use std::sync::Arc;

use super::{
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
    /// After this event.
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
#[derive(Clone, Debug)]
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
        /// What.
        ephemeral: Ephemeral,
    },
}

/// How a run stands.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The run.
    pub run: Arc<Run>,
    /// The message in progress, as far as it has come.
    pub partial: Option<(MessageId, Vec<Delta>)>,
    /// Calls that are not done.
    pub calls: Vec<Arc<ToolCallUpdate>>,
}

/// A cursor over one run's log: a slow reader lags and loses nothing.
pub struct Watch {}

impl Watch {
    /// The next batch, in order, of at most about 256 KiB; `None` after the run's last event. Waits
    /// while nothing happens. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Vec<Seen>, Fault>> {
        todo!()
    }

    /// The newest sequence handed out, for heartbeats.
    pub fn sequence(&self) -> u64 {
        todo!()
    }
}

/// A cursor over the logs of many runs.
pub struct Feed {}

/// A batch of one run's events.
#[derive(Clone, Debug)]
pub struct FeedBatch {
    /// The run.
    pub run_id: RunId,
    /// Its events, in order.
    pub seen: Vec<Seen>,
    /// Where the watch stands after it.
    pub cursor: String,
}

impl Feed {
    /// The next batch. Never ends by itself. Cancel-safe.
    pub async fn next(&mut self) -> Result<FeedBatch, Fault> {
        todo!()
    }
}

/// Who watches what: every live log and every feed of the server.
pub struct Watches {}

impl Watches {
    /// Nobody watches anything as yet.
    pub fn new(store: Arc<dyn Store>) -> Arc<Self> {
        todo!()
    }

    /// The log of a live run.
    pub fn live(&self, tenant: &Tenant, run_id: RunId) -> Option<Arc<Log>> {
        todo!()
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
        todo!()
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
        todo!()
    }
}

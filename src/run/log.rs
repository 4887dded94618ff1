//! The event log of one live run: what its driver writes, what its watchers read.

use std::sync::Arc;

use super::{
    port::Store,
    watch::{Snapshot, Watches},
};
use crate::domain::{
    completion::Delta,
    event::{Fact, Progress, ToolCallUpdate},
    fault::Fault,
    id::MessageId,
    principal::Tenant,
    run::Run,
    time::Timestamp,
};

/// The log of a live run. One writer, the run's driver; any number of readers.
pub struct Log {}

impl Log {
    /// The log of a run that the store already has, up to `run.last_sequence`. Until the last `Arc` of
    /// it is gone, watchers find it in `watches`.
    pub fn new(
        store: Arc<dyn Store>,
        watches: &Arc<Watches>,
        tenant: Tenant,
        run: Arc<Run>,
    ) -> Arc<Self> {
        todo!()
    }

    /// Stores facts as one, then shows them. A [`Fact::RunUpdated`] is given its place in the log. The
    /// message in progress ends with its `MessageCompleted` or `MessageDiscarded`.
    ///
    /// Await it to its end: dropped half-way, nobody knows what the store has, and the next commit
    /// fails.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `INTERNAL` (somebody else has written to the run); nothing was shown.
    pub async fn commit(&self, now: Timestamp, facts: Vec<Fact>) -> Result<(), Fault> {
        todo!()
    }

    /// The message in progress grows. The first delta of another message replaces the one before.
    pub fn delta(&self, message_id: &MessageId, delta: Delta) {
        todo!()
    }

    /// Forgets the message in progress. When anything of it was shown, commit a
    /// [`Fact::MessageDiscarded`] instead, which does the same and tells the watchers.
    pub fn discard_partial(&self) {
        todo!()
    }

    /// A call reports how far it is. The latest is shown, at most five a second of each call.
    pub fn progress(&self, update: Arc<ToolCallUpdate>, progress: Progress) {
        todo!()
    }

    /// The run as it was last committed.
    pub fn run(&self) -> Arc<Run> {
        todo!()
    }

    /// How the run stands, with the newest sequence that this covers.
    pub fn snapshot(&self) -> (u64, Arc<Snapshot>) {
        todo!()
    }

    /// Whether anybody wants deltas. It may say so when nobody does in the end.
    pub fn has_full_watchers(&self) -> bool {
        todo!()
    }
}

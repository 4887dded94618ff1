//! A watch of one run.

use std::{fmt, pin::pin, sync::Arc};

use tokio::time::sleep_until;

use super::{Batch, Detail, From, Interest, Seen, Source, history};
use crate::{
    domain::{event::Event, fault::Fault, id::RunId},
    run::log::{Collected, Log},
};

/// A cursor over one run's log: a slow reader lags and loses nothing.
pub struct Watch {
    source: Source,
    run_id: RunId,
    detail: Detail,
    /// The newest sequence handed out.
    cursor: u64,
    /// Whether a snapshot comes first.
    snapshot_first: bool,
    /// While the run lives; a run that ended keeps its last events at hand for those who watch it.
    log: Option<Interest>,
    ended: bool,
}

impl Watch {
    pub(super) async fn open(
        source: Source,
        run_id: RunId,
        from: From,
        detail: Detail,
    ) -> Result<Self, Fault> {
        let run = source.run(run_id).await?;
        let mut watch = Self {
            source,
            run_id,
            detail,
            cursor: 0,
            snapshot_first: from == From::Snapshot,
            log: None,
            ended: false,
        };
        watch.attach();
        if let From::After(sequence) = from {
            let newest = match &watch.log {
                Some(log) => log.log.newest(),
                None => run.last_sequence,
            };
            watch.snapshot_first = sequence > newest;
            watch.cursor = sequence;
        }
        Ok(watch)
    }

    /// The next batch, in order, of at most about 256 KiB; `None` after the run's last event. Waits
    /// while nothing happens. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Vec<Seen>, Fault>> {
        loop {
            if self.ended {
                return None;
            }
            self.attach();
            let step = match self.log.as_ref().map(|log| Arc::clone(&log.log)) {
                Some(log) => self.step_live(&log).await,
                None => self.step_stored().await,
            };
            match step {
                Ok(seen) if seen.is_empty() => {}
                Ok(seen) => return Some(Ok(seen)),
                Err(fault) => {
                    self.ended = true;
                    return Some(Err(fault));
                }
            }
        }
    }

    /// The newest sequence handed out, for heartbeats.
    pub const fn sequence(&self) -> u64 {
        self.cursor
    }

    /// Finds the live log, if the run has one.
    fn attach(&mut self) {
        if self.log.is_none() {
            let log = self.source.live.log(self.run_id);
            // One that was put to rest before it knew of this interest says nothing any more.
            self.log = log
                .map(|log| Interest::new(log, self.detail))
                .filter(|interest| !interest.log.is_at_rest());
        }
    }

    /// What the live log has; waits once when it has nothing.
    async fn step_live(&mut self, log: &Log) -> Result<Vec<Seen>, Fault> {
        if self.snapshot_first {
            return Ok(self.begin_with(log.snapshot()));
        }
        let collected = self.collect(log).await?;
        if !collected.seen.is_empty() || collected.ended {
            return Ok(self.take(collected));
        }
        // Once more, now that nothing can happen unnoticed.
        let mut changed = pin!(log.changed());
        changed.as_mut().enable();
        let collected = self.collect(log).await?;
        if !collected.seen.is_empty() || collected.ended {
            return Ok(self.take(collected));
        }
        if let Some(fault) = log.lost() {
            return Err(fault);
        }
        match collected.due {
            Some(due) => tokio::select! {
                () = changed => {}
                () = sleep_until(due) => {}
            },
            None => changed.await,
        }
        Ok(Vec::new())
    }

    async fn collect(&self, log: &Log) -> Result<Collected, Fault> {
        let collected = log.collect(self.cursor, &[], self.detail);
        let Some(floor) = collected.behind else {
            return Ok(collected);
        };
        let mut older = self.source.read(self.run_id, self.cursor).await?;
        older.retain(|event| event.sequence <= floor);
        Ok(log.collect(self.cursor, &older, self.detail))
    }

    fn take(&mut self, collected: Collected) -> Vec<Seen> {
        self.cursor = collected.cursor;
        self.ended = collected.ended;
        collected.seen
    }

    /// What the store has of a run without a live log: one that ended, or one that is about to go live.
    async fn step_stored(&mut self) -> Result<Vec<Seen>, Fault> {
        if self.snapshot_first {
            let snapshot = self.source.snapshot(self.run_id).await?;
            return Ok(self.begin_with(snapshot));
        }
        let listener = self.source.live.listen();
        let mut committed = pin!(listener.committed());
        committed.as_mut().enable();
        let events = self.source.read(self.run_id, self.cursor).await?;
        if events.is_empty() {
            self.ended = self.source.run(self.run_id).await?.state.is_terminal();
            if !self.ended && self.source.live.log(self.run_id).is_none() {
                committed.await;
            }
            return Ok(Vec::new());
        }
        Ok(self.take_stored(events))
    }

    fn take_stored(&mut self, events: Vec<Arc<Event>>) -> Vec<Seen> {
        let mut batch = Batch::default();
        for event in events {
            let (sequence, last) = (event.sequence, is_last(&event));
            if !batch.push(Seen::Event(event)) {
                break;
            }
            self.cursor = sequence;
            self.ended = last;
        }
        batch.into_seen()
    }

    fn begin_with(&mut self, snapshot: (u64, Arc<super::Snapshot>)) -> Vec<Seen> {
        self.snapshot_first = false;
        self.cursor = snapshot.0;
        self.ended = snapshot.1.run.state.is_terminal();
        vec![history::seen(snapshot)]
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("run_id", &self.run_id)
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}

fn is_last(event: &Event) -> bool {
    event.root().is_some_and(|run| run.state.is_terminal())
}

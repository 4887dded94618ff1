//! How a feed follows a run: when it enters, what is shown of it, when it is forgotten.

use std::sync::Arc;

use super::Feed;
use crate::{
    domain::{
        event::Event,
        fault::{Fault, Reason},
        id::RunId,
        run::{Run, RunState},
    },
    run::{
        port::FeedEntry,
        watch::{Batch, Detail, Seen, Snapshot},
    },
};

/// What a feed knows of a run that it has come upon.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tracked {
    /// Will never match.
    Outside,
    /// Matches but for its state.
    Waiting,
    /// Is shown until its end, whatever its state.
    Entered {
        /// The newest sequence handed out.
        cursor: u64,
        /// Whether the reader may have a part of a message that the feed does not know of: a snapshot
        /// comes before anything else that is for display.
        stale: bool,
    },
}

impl Tracked {
    pub(super) const fn entered(cursor: u64) -> Self {
        Self::Entered {
            cursor,
            stale: false,
        }
    }
}

/// How the next event of a run is met.
enum Admission {
    /// Not shown.
    Shut(Tracked),
    /// Shown, and all that follows.
    Open(Tracked),
    /// The run enters in the middle of its life.
    Begin((u64, Arc<Snapshot>)),
}

impl Feed {
    /// Goes past the next entry, with those of the same run behind it.
    pub(super) async fn follow_entry(&mut self) -> Result<(), Fault> {
        let Some(entry) = self.entries.front().cloned() else {
            return Ok(());
        };
        let run_id = entry.run_id;
        match self.admission(&entry).await? {
            Admission::Shut(tracked) => {
                self.runs.insert(run_id, tracked);
                self.pass();
            }
            Admission::Open(tracked) => {
                self.runs.insert(run_id, tracked);
                self.show_entries(run_id);
            }
            Admission::Begin(snapshot) => self.begin_at(&entry, snapshot),
        }
        Ok(())
    }

    fn begin_at(&mut self, entry: &FeedEntry, snapshot: (u64, Arc<Snapshot>)) {
        let covered = entry.event.sequence <= snapshot.0;
        if covered {
            self.pass();
        }
        self.begin(entry.run_id, snapshot);
        if covered && is_last(&entry.event) {
            self.runs.remove(&entry.run_id);
        }
    }

    async fn admission(&self, entry: &FeedEntry) -> Result<Admission, Fault> {
        let tracked = self.runs.get(&entry.run_id).copied();
        match (tracked, updated(&entry.event)) {
            (Some(Tracked::Outside), _) => Ok(Admission::Shut(Tracked::Outside)),
            (Some(entered @ Tracked::Entered { .. }), _) => Ok(Admission::Open(entered)),
            (Some(Tracked::Waiting), Some(run)) if self.fits(run.state) => {
                self.begin_late(entry.run_id).await
            }
            (Some(Tracked::Waiting), _) => Ok(Admission::Shut(Tracked::Waiting)),
            (None, Some(run)) if entry.event.sequence == 1 => Ok(self.admit_new(run)),
            (None, _) => self.admit_old(entry).await,
        }
    }

    /// A run at its beginning.
    fn admit_new(&self, run: &Run) -> Admission {
        if !self.filter.matches_identity(run) {
            Admission::Shut(Tracked::Outside)
        } else if self.fits(run.state) {
            Admission::Open(Tracked::entered(0))
        } else {
            Admission::Shut(Tracked::Waiting)
        }
    }

    /// A run in the middle of its life, of which nothing is known.
    async fn admit_old(&self, entry: &FeedEntry) -> Result<Admission, Fault> {
        let run = match self.source.run(entry.run_id).await {
            Ok(run) => run,
            // It ended and was dropped since its event was read.
            Err(fault) if fault.reason == Reason::RunNotFound => {
                return Ok(Admission::Shut(Tracked::Outside));
            }
            Err(fault) => return Err(fault),
        };
        if !self.filter.matches_identity(&run) {
            return Ok(Admission::Shut(Tracked::Outside));
        }
        let before = entry.event.sequence - 1;
        if self.resumed && self.had_entered(entry.run_id, before).await? {
            return Ok(Admission::Open(Tracked::Entered {
                cursor: before,
                stale: true,
            }));
        }
        if self.fits_at(entry.run_id, entry.event.sequence).await? {
            return self.begin_late(entry.run_id).await;
        }
        Ok(Admission::Shut(Tracked::Waiting))
    }

    async fn begin_late(&self, run_id: RunId) -> Result<Admission, Fault> {
        Ok(Admission::Begin(self.source.snapshot(run_id).await?))
    }

    fn fits(&self, state: RunState) -> bool {
        self.filter.states.is_empty() || self.filter.states.contains(&state)
    }

    /// Whether a run has had a fitting state at any time up to an event.
    async fn had_entered(&self, run_id: RunId, upto: u64) -> Result<bool, Fault> {
        if self.filter.states.is_empty() {
            return Ok(true);
        }
        let states = self.source.states(run_id, upto).await?;
        Ok(states.into_iter().any(|state| self.fits(state)))
    }

    /// Whether a run had a fitting state at an event.
    async fn fits_at(&self, run_id: RunId, event: u64) -> Result<bool, Fault> {
        if self.filter.states.is_empty() {
            return Ok(true);
        }
        let states = self.source.states(run_id, event).await?;
        Ok(states.last().is_some_and(|state| self.fits(*state)))
    }

    /// A run that was live when the feed went on from a cursor, and of which no event has come since: all
    /// its events up to `head` lie before the cursor.
    pub(super) async fn rejoin(&mut self, run_id: RunId, head: u64) -> Result<(), Fault> {
        if self.runs.contains_key(&run_id) {
            return Ok(());
        }
        let entered = self.had_entered(run_id, head).await?;
        let tracked = if entered {
            Tracked::Entered {
                cursor: head,
                stale: true,
            }
        } else {
            Tracked::Waiting
        };
        self.runs.insert(run_id, tracked);
        self.mark(run_id);
        Ok(())
    }

    /// Hands out the entries at the front that are of one run, with what is for display between them.
    fn show_entries(&mut self, run_id: RunId) {
        let log = match self.detail {
            Detail::Full => self.source.live.log(run_id),
            Detail::Durable => None,
        };
        let Some(Tracked::Entered { mut cursor, stale }) = self.runs.get(&run_id).copied() else {
            return;
        };
        let mut batch = Batch::default();
        let mut over = false;
        while let Some(entry) = self.entries.front()
            && entry.run_id == run_id
            && !over
        {
            let event = Arc::clone(&entry.event);
            let sequence = event.sequence;
            over = is_last(&event);
            if sequence > cursor {
                let between = log.as_ref().filter(|_| !stale);
                let between = between.map(|log| log.between(cursor, sequence));
                let between = between.unwrap_or_default();
                if !push_all(&mut batch, between, &mut cursor) || !batch.push(Seen::Event(event)) {
                    over = false;
                    break;
                }
                cursor = sequence;
            }
            self.pass();
        }
        if over {
            self.runs.remove(&run_id);
        } else {
            self.runs.insert(run_id, Tracked::Entered { cursor, stale });
            self.mark(run_id);
        }
        self.hand_out(run_id, batch.into_seen());
    }

    /// The entry at the front is done with.
    fn pass(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.cursor.position = entry.position;
            if is_last(&entry.event) {
                self.runs.remove(&entry.run_id);
            }
        }
    }

    /// Hands out what a run has for display, up to its next event.
    pub(super) fn show_fresh(&mut self, run_id: RunId) {
        let Some(Tracked::Entered { cursor, stale }) = self.runs.get(&run_id).copied() else {
            return;
        };
        let Some(log) = self.source.live.log(run_id) else {
            return;
        };
        if stale {
            // With newer events on their way, it is asked again behind them.
            if let Some((sequence, snapshot)) = log.snapshot_at(cursor) {
                self.runs.insert(run_id, Tracked::entered(sequence));
                if snapshot.partial.is_some() {
                    self.hand_out(run_id, vec![Seen::Snapshot { sequence, snapshot }]);
                }
            }
            return;
        }
        let fresh = log.fresh(cursor);
        if let Some(due) = fresh.due {
            self.later.insert((due, run_id));
        }
        if fresh.more {
            self.mark(run_id);
        }
        self.runs.insert(run_id, Tracked::entered(fresh.cursor));
        self.hand_out(run_id, fresh.seen);
    }
}

/// Adds what has room; says whether all had.
fn push_all(batch: &mut Batch, seen: Vec<Seen>, cursor: &mut u64) -> bool {
    for seen in seen {
        let sequence = seen.sequence();
        if !batch.push(seen) {
            return false;
        }
        *cursor = sequence;
    }
    true
}

/// The run whose log it is, if the event is a new state of it.
fn updated(event: &Event) -> Option<&Run> {
    event.root().map(|run| &**run)
}

fn is_last(event: &Event) -> bool {
    updated(event).is_some_and(|run| run.state.is_terminal())
}

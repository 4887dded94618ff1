//! A watch of all runs that match.
//!
//! Durable events come from the tenant's feed, strictly in the order of their commits; a cursor is a
//! position in it. What is for display comes from the live logs, in between, so that the order within a
//! run holds. Nothing is polled: commits and the runs with something new for display wake the feed, and
//! its work is proportional to what they bring.

mod follow;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    fmt,
    pin::pin,
    sync::Arc,
};

use futures_util::future::{self, Either};
use tokio::time::{Instant, sleep_until};

use self::follow::Tracked;
use super::{
    Detail, Seen, Source, WatchMany,
    cursor::{self, Cursor},
    history,
    live::{Ear, Listener},
};
use crate::{
    domain::{
        fault::{Fault, Reason},
        id::RunId,
        run::{Run, RunState},
    },
    run::port::{FeedEntry, RunFilter},
};

/// Entries of the feed that are read at once.
const ENTRIES: usize = 256;

/// Runs that are listed at once.
const LISTED: usize = 64;

const LIVE_STATES: [RunState; 4] = [
    RunState::Queued,
    RunState::Running,
    RunState::InputRequired,
    RunState::Cancelling,
];

/// A cursor over the logs of many runs.
pub struct Feed {
    source: Source,
    filter: RunFilter,
    detail: Detail,
    /// Where everything that was handed out ends.
    cursor: Cursor,
    /// Whether it went on from somebody's cursor: runs begin where that stood, not with a snapshot.
    resumed: bool,
    /// The initial snapshots, while there are any.
    listing: Option<Listing>,
    /// What is known of each run that lives and was come upon.
    runs: HashMap<RunId, Tracked>,
    /// Runs whose snapshot was already their last word: forgotten once the feed has passed it.
    over: Vec<RunId>,
    /// Live runs at the time of resuming, with their newest event: see [`Feed::rejoin`].
    rejoining: Vec<(RunId, u64)>,
    /// Read and not handed out.
    entries: VecDeque<FeedEntry>,
    /// Runs that may have something for display.
    dirty: VecDeque<RunId>,
    /// Runs that hold a report back, and until when.
    later: BTreeSet<(Instant, RunId)>,
    ready: VecDeque<FeedBatch>,
    ear: Arc<Ear>,
    listener: Arc<Listener>,
}

/// A batch of one run's events.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedBatch {
    /// The run.
    pub run_id: RunId,
    /// Its events, in order.
    pub seen: Vec<Seen>,
    /// Where the watch stands after it.
    pub cursor: String,
}

/// The runs that are shown with a snapshot at the beginning, newest first.
struct Listing {
    filter: RunFilter,
    /// The newest run when the watch began. Ids sort by time: whatever is newer shows its first event,
    /// and all that follow, in the feed.
    newest: RunId,
    before: Option<RunId>,
    page: VecDeque<Arc<Run>>,
}

impl Feed {
    pub(super) async fn open(source: Source, request: WatchMany) -> Result<Self, Fault> {
        let newest = source.store.position(&source.tenant).await?;
        let given = request.cursor.as_deref().map(Cursor::parse).transpose()?;
        if given.is_some_and(|cursor| cursor.position > newest) {
            return Err(cursor::invalid());
        }
        let listing = Listing::open(&source, &request, given).await?;
        let ear = Ear::new(request.filter.clone());
        let mut rejoining = Vec::new();
        if request.detail == Detail::Full {
            let logs = source.live.add_ear(&ear);
            if given.is_some() {
                rejoining.extend(logs.iter().map(|log| (log.run_id(), log.head())));
            }
        }
        Ok(Self {
            listener: Arc::new(source.live.listen()),
            source,
            filter: request.filter,
            detail: request.detail,
            cursor: given.unwrap_or(Cursor {
                position: newest,
                listed: None,
            }),
            resumed: given.is_some(),
            listing,
            runs: HashMap::new(),
            over: Vec::new(),
            rejoining,
            entries: VecDeque::new(),
            dirty: VecDeque::new(),
            later: BTreeSet::new(),
            ready: VecDeque::new(),
            ear,
        })
    }

    /// The next batch. Never ends by itself. Cancel-safe.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn next(&mut self) -> Result<FeedBatch, Fault> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(batch);
            }
            if self.listing.is_some() {
                self.list().await?;
            } else if !self.entries.is_empty() {
                self.follow_entry().await?;
            } else if let Some(run_id) = self.dirty.pop_front() {
                self.show_fresh(run_id);
            } else {
                self.refill().await?;
            }
        }
    }

    /// Where the watch stands, for heartbeats: also events that did not match are behind it. `None` while
    /// it has not begun.
    pub fn cursor(&self) -> Option<String> {
        let begun = self.listing.is_none() || self.cursor.listed.is_some();
        begun.then(|| self.cursor.to_string())
    }

    #[cfg(test)]
    pub(super) fn tracked(&self) -> usize {
        self.runs.len()
    }

    /// Hands out the next initial snapshot.
    async fn list(&mut self) -> Result<(), Fault> {
        let Some(listing) = &mut self.listing else {
            return Ok(());
        };
        let Some(run) = listing.page.front() else {
            let page = self
                .source
                .store
                .list(&self.source.tenant, &listing.filter, listing.before, LISTED)
                .await?;
            if let Some(oldest) = page.last() {
                listing.before = Some(oldest.id);
                let newest = listing.newest;
                listing
                    .page
                    .extend(page.into_iter().filter(|run| run.id <= newest));
            } else {
                self.listing = None;
                self.cursor.listed = None;
            }
            return Ok(());
        };
        let run_id = run.id;
        let snapshot = match self.source.snapshot(run_id).await {
            Ok(snapshot) => Some(snapshot),
            // It ended and was dropped since it was listed.
            Err(fault) if fault.reason == Reason::RunNotFound => None,
            Err(fault) => return Err(fault),
        };
        listing.page.pop_front();
        self.cursor.listed = Some(run_id);
        if let Some(snapshot) = snapshot {
            if snapshot.1.run.state.is_terminal() {
                self.over.push(run_id);
            }
            self.begin(run_id, snapshot);
        }
        Ok(())
    }

    /// Begins to show a run, with a snapshot.
    fn begin(&mut self, run_id: RunId, snapshot: (u64, Arc<super::Snapshot>)) {
        self.runs.insert(run_id, Tracked::entered(snapshot.0));
        self.hand_out(run_id, vec![history::seen(snapshot)]);
        self.mark(run_id);
    }

    fn hand_out(&mut self, run_id: RunId, seen: Vec<Seen>) {
        if !seen.is_empty() {
            self.ready.push_back(FeedBatch {
                run_id,
                seen,
                cursor: self.cursor.to_string(),
            });
        }
    }

    /// The run may have something for display.
    fn mark(&mut self, run_id: RunId) {
        if self.detail == Detail::Full {
            self.dirty.push_back(run_id);
        }
    }

    /// Reads on, and waits when there is nothing.
    async fn refill(&mut self) -> Result<(), Fault> {
        let (listener, ear) = (Arc::clone(&self.listener), Arc::clone(&self.ear));
        let mut committed = pin!(listener.committed());
        let mut woken = pin!(ear.woken());
        committed.as_mut().enable();
        woken.as_mut().enable();
        let entries = self
            .source
            .store
            .feed(&self.source.tenant, self.cursor.position, ENTRIES)
            .await?;
        let caught_up = entries.is_empty();
        self.entries.extend(entries);
        self.dirty.extend(ear.take());
        let due = self.take_due();
        if !caught_up {
            return Ok(());
        }
        for run_id in self.over.drain(..) {
            self.runs.remove(&run_id);
        }
        if let Some(&(run_id, head)) = self.rejoining.last() {
            self.rejoin(run_id, head).await?;
            self.rejoining.pop();
            return Ok(());
        }
        if self.dirty.is_empty() {
            let news = future::select(committed, woken);
            match due {
                Some(due) => {
                    let _either = future::select(news, pin!(sleep_until(due))).await;
                }
                None => {
                    let (Either::Left(_) | Either::Right(_)) = news.await;
                }
            }
        }
        Ok(())
    }

    /// Marks the runs whose held-back report may be shown now; says when the next one may.
    fn take_due(&mut self) -> Option<Instant> {
        let now = Instant::now();
        while let Some(&(due, run_id)) = self.later.first() {
            if due > now {
                return Some(due);
            }
            self.later.pop_first();
            self.mark(run_id);
        }
        None
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed")
            .field("cursor", &self.cursor)
            .field("runs", &self.runs.len())
            .finish_non_exhaustive()
    }
}

impl Listing {
    /// `None`: there is nothing to be listed.
    async fn open(
        source: &Source,
        request: &WatchMany,
        given: Option<Cursor>,
    ) -> Result<Option<Self>, Fault> {
        let newest = match given {
            Some(cursor) => cursor.listed,
            None => {
                let any = RunFilter::default();
                let runs = source.store.list(&source.tenant, &any, None, 1).await?;
                runs.first().map(|run| run.id)
            }
        };
        Ok(newest
            .zip(listing_filter(request))
            .map(|(newest, filter)| Self {
                filter,
                newest,
                before: given.and_then(|cursor| cursor.listed),
                page: VecDeque::new(),
            }))
    }
}

/// Which runs are listed at the beginning; `None`: no run can match.
fn listing_filter(request: &WatchMany) -> Option<RunFilter> {
    let mut filter = request.filter.clone();
    if request.include_finished {
        return Some(filter);
    }
    if filter.states.is_empty() {
        filter.states = LIVE_STATES.to_vec();
    }
    filter.states.retain(|state| !state.is_terminal());
    (!filter.states.is_empty()).then_some(filter)
}

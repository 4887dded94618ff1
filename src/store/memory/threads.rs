//! The threads of a tenant: who may join one, what moves its head, and which of them are to be dropped.

use std::collections::{BTreeMap, HashMap};

use super::Settings;
use crate::{
    domain::{
        id::{RunId, ThreadId},
        thread::Thread,
        time::Timestamp,
    },
    run::{
        port::StoreError,
        thread::{Joined, Standing, Wish, join},
    },
};

/// All threads of a tenant. Those that go on from one another are a family, named by the first of them: a
/// family is kept or dropped as a whole.
#[derive(Default)]
pub(super) struct Threads {
    rows: HashMap<ThreadId, Row>,
    families: HashMap<ThreadId, Family>,
    by_move: BTreeMap<u64, ThreadId>,
    /// Families in which no run works, in the order in which the last ones ended.
    at_rest: BTreeMap<u64, ThreadId>,
    finished: usize,
    finished_weight: usize,
}

/// A thread.
struct Row {
    thread: Thread,
    family: ThreadId,
    /// The thread that it has left in the middle.
    origin: Option<ThreadId>,
    /// All its runs.
    runs: Vec<RunId>,
    /// How many of them have ended, and what those weigh.
    finished: usize,
    weight: usize,
}

/// Threads that go on from one another.
#[derive(Default)]
struct Family {
    threads: Vec<ThreadId>,
    /// Runs that have not ended.
    busy: usize,
    /// Where it is among those at rest, and since when.
    rests: Option<(u64, Timestamp)>,
}

/// The end of a run.
pub(super) struct Ended {
    pub(super) run_id: RunId,
    pub(super) thread_id: ThreadId,
    pub(super) time: Timestamp,
    /// Of the event that says so.
    pub(super) position: u64,
    pub(super) weight: usize,
}

impl Threads {
    /// Where a run may join a thread.
    pub(super) fn join(&self, wish: &Wish) -> Result<Joined, StoreError> {
        let row = self.row(wish.thread_id)?;
        let standing = Standing {
            head: row.thread.head,
            line: row.thread.line.clone(),
        };
        join(&standing, wish)
    }

    /// A run begins a thread, perhaps in the middle of another one.
    pub(super) fn begin(&mut self, run_id: RunId, origin: Option<ThreadId>, now: Timestamp) {
        let id = ThreadId::begun_by(run_id);
        let family = origin
            .and_then(|origin| self.rows.get(&origin))
            .map_or(id, |row| row.family);
        let row = Row {
            thread: Thread {
                id,
                head: None,
                line: Vec::new(),
                create_time: now,
                update_time: now,
                moved: 0,
            },
            family,
            origin,
            runs: Vec::new(),
            finished: 0,
            weight: 0,
        };
        self.rows.insert(id, row);
        self.families.entry(family).or_default().threads.push(id);
    }

    /// A run begins in a thread; `position` is that of its first event.
    pub(super) fn enter(&mut self, run_id: RunId, thread_id: ThreadId, position: u64) {
        let Some(row) = self.rows.get_mut(&thread_id) else {
            return;
        };
        row.runs.push(run_id);
        row.thread.line.push(run_id);
        if row.thread.moved == 0 {
            row.thread.moved = position;
            self.by_move.insert(position, thread_id);
        }
        if let Some(family) = self.families.get_mut(&row.family) {
            family.busy += 1;
            if let Some((place, _)) = family.rests.take() {
                self.at_rest.remove(&place);
            }
        }
    }

    /// A run has ended.
    pub(super) fn leave(&mut self, ended: &Ended) {
        let Some(row) = self.rows.get_mut(&ended.thread_id) else {
            return;
        };
        self.finished += 1;
        self.finished_weight += ended.weight;
        row.finished += 1;
        row.weight += ended.weight;
        row.thread.line.retain(|id| *id != ended.run_id);
        row.thread.head = Some(ended.run_id);
        row.thread.update_time = ended.time;
        self.by_move.remove(&row.thread.moved);
        row.thread.moved = ended.position;
        self.by_move.insert(ended.position, ended.thread_id);
        if let Some(family) = self.families.get_mut(&row.family) {
            family.busy = family.busy.saturating_sub(1);
            if family.busy == 0 {
                family.rests = Some((ended.position, ended.time));
                self.at_rest.insert(ended.position, row.family);
            }
        }
    }

    /// A thread.
    pub(super) fn get(&self, id: ThreadId) -> Result<Thread, StoreError> {
        Ok(self.row(id)?.thread.clone())
    }

    /// Threads that moved before a position, the last one first.
    pub(super) fn moved_before(&self, end: u64) -> impl Iterator<Item = &Thread> {
        let ids = self.by_move.range(..end).rev().map(|(_, id)| id);
        ids.filter_map(|id| self.rows.get(id))
            .map(|row| &row.thread)
    }

    /// Forgets a thread, unless it is needed. Gives its runs.
    pub(super) fn delete(&mut self, id: ThreadId) -> Result<Vec<RunId>, StoreError> {
        let row = self.row(id)?;
        if let Some(active) = row.thread.active() {
            return Err(StoreError::ThreadBusy { active });
        }
        let family = row.family;
        let relatives = self.families.get(&family).map(|family| &family.threads);
        let fork = relatives.into_iter().flatten().find(|other| {
            let other = self.rows.get(other);
            other.is_some_and(|other| other.origin == Some(id))
        });
        if let Some(fork) = fork {
            return Err(StoreError::ThreadForked { fork: *fork });
        }
        if let Some(relatives) = self.families.get_mut(&family) {
            relatives.threads.retain(|other| *other != id);
            if relatives.threads.is_empty() {
                self.forget_family(family);
            }
        }
        Ok(self.forget(id))
    }

    /// Forgets the family that is to be dropped, if there is one. Gives its runs.
    pub(super) fn next_to_drop(
        &mut self,
        settings: &Settings,
        now: Timestamp,
    ) -> Option<Vec<RunId>> {
        let (_, oldest) = self.at_rest.first_key_value()?;
        let oldest = *oldest;
        // Never what ended last, however large it is: somebody is about to read how it went.
        let crowded = self.at_rest.len() > 1
            && (self.finished > settings.max_finished_runs
                || self.finished_weight > settings.max_finished_bytes);
        let (_, rested) = self.families.get(&oldest)?.rests?;
        if !crowded && now.since(rested) < settings.retention {
            return None;
        }
        let family = self.forget_family(oldest)?;
        let threads = family.threads.into_iter();
        Some(threads.flat_map(|id| self.forget(id)).collect())
    }

    fn forget_family(&mut self, family: ThreadId) -> Option<Family> {
        let family = self.families.remove(&family)?;
        if let Some((place, _)) = family.rests {
            self.at_rest.remove(&place);
        }
        Some(family)
    }

    fn forget(&mut self, id: ThreadId) -> Vec<RunId> {
        let Some(row) = self.rows.remove(&id) else {
            return Vec::new();
        };
        self.by_move.remove(&row.thread.moved);
        self.finished = self.finished.saturating_sub(row.finished);
        self.finished_weight = self.finished_weight.saturating_sub(row.weight);
        row.runs
    }

    fn row(&self, id: ThreadId) -> Result<&Row, StoreError> {
        self.rows.get(&id).ok_or(StoreError::ThreadNotFound)
    }
}

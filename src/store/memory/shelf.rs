//! What one tenant has stored.
//!
//! Locks are taken in the order index, runs, a run's log, feed; most operations take one or two.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, PoisonError, RwLock},
};

use super::{
    Settings,
    index::{CLEARED_AT_ONCE, Index, REQUESTS_KEPT, Request},
    threads::Ended,
};
use crate::{
    domain::{
        event::{Event, Fact},
        id::{CallId, RequestId, RunId, ThreadId},
        run::{Run, RunSpec},
        thread::{Continuation, Thread, ThreadFilter},
        time::Timestamp,
    },
    run::{
        lock::Lock,
        port::{Creation, FeedEntry, NewRun, RunFilter, StoreError, has_labels},
        thread::{Joined, Wish, placed},
        watch::weight,
    },
};

/// Runs looked at while the list of them is held.
const PAGE: usize = 256;

pub(super) struct Shelf {
    settings: Settings,
    index: Lock<Index>,
    runs: RwLock<BTreeMap<RunId, Arc<Kept>>>,
    feed: Lock<Feed>,
}

/// A run that is kept.
struct Kept {
    spec: Arc<RunSpec>,
    request: Option<RequestId>,
    log: Lock<RunLog>,
}

struct RunLog {
    /// The newest state.
    run: Arc<Run>,
    /// That of each subagent's run.
    children: BTreeMap<RunId, Arc<Run>>,
    /// Each event with its position in the feed.
    events: Vec<(u64, Arc<Event>)>,
    /// Bytes, by estimate.
    weight: usize,
}

impl RunLog {
    fn head(&self) -> u64 {
        self.events.last().map_or(0, |(_, event)| event.sequence)
    }

    fn newest(&self) -> Arc<Run> {
        self.run.seen_at(self.head())
    }
}

/// The tenant's events in the order of their commits.
struct Feed {
    newest: u64,
    /// A tree, not a queue: the events of a run that is dropped lie anywhere.
    entries: BTreeMap<u64, (RunId, Arc<Event>)>,
}

impl Shelf {
    pub(super) fn new(settings: Settings, first_position: u64) -> Self {
        Self {
            settings,
            index: Lock::default(),
            runs: RwLock::default(),
            feed: Lock::new(Feed {
                newest: first_position,
                entries: BTreeMap::new(),
            }),
        }
    }

    pub(super) fn create(&self, new: NewRun, now: Timestamp) -> Result<Creation, StoreError> {
        let mut index = self.index.lock();
        index.forget_requests(now);
        if let Some((request_id, digest)) = &new.request
            && let Some(request) = index.requests.get(request_id)
            && now.since(request.time) < REQUESTS_KEPT
        {
            if request.digest != *digest {
                return Err(StoreError::RequestIdReused);
            }
            let (run, _) = self.run(request.run_id)?;
            return Ok(Creation::Existing(run));
        }
        let (run, origin) = self.place(&index, &new)?;
        let (run_id, thread_id) = (run.id, run.thread_id());
        if let Some((request_id, digest)) = &new.request {
            let request = Request {
                digest: *digest,
                run_id,
                time: now,
            };
            index.requests.insert(request_id.clone(), request);
            index.requests_by_age.push_back((now, request_id.clone()));
        }
        if run.thread.is_none() {
            index.threads.begin(run_id, origin, now);
        }
        let position = self.insert(Arc::clone(&run), new);
        index.threads.enter(run_id, thread_id, position);
        self.drop_finished(&mut index, now);
        Ok(Creation::Created(run))
    }

    /// The run at its place, and the thread that it leaves in the middle.
    fn place(
        &self,
        index: &Index,
        new: &NewRun,
    ) -> Result<(Arc<Run>, Option<ThreadId>), StoreError> {
        let (before, ends) = match &new.spec.continuation {
            None => return Ok((new.run.seen_at(1), None)),
            Some(Continuation::Thread {
                id,
                expected_head,
                busy,
            }) => {
                let wish = Wish {
                    thread_id: *id,
                    expected_head: *expected_head,
                    busy: *busy,
                    most_queued: new.most_queued,
                };
                let joined = index.threads.join(&wish)?;
                return Ok((placed(&new.run, Some(*id), joined), None));
            }
            Some(Continuation::Run(run_id)) => (*run_id, true),
            Some(Continuation::Fork { run_id, .. }) => (*run_id, false),
        };
        let (found, _) = self.run(before)?;
        if ends && !found.state.is_terminal() {
            return Err(StoreError::ThreadBusy { active: before });
        }
        let joined = Joined {
            previous: Some(before),
            waits: false,
        };
        Ok((placed(&new.run, None, joined), Some(found.thread_id())))
    }

    /// Keeps a new run. Gives the position of its first event.
    fn insert(&self, run: Arc<Run>, new: NewRun) -> u64 {
        let first = Arc::new(Event {
            sequence: 1,
            run_id: None,
            time: run.create_time,
            fact: Fact::RunUpdated(Arc::clone(&run)),
        });
        let run_id = run.id;
        let input = new.spec.input.iter();
        let weight = weight::of_event(&first) + input.map(|m| weight::of_message(m)).sum::<usize>();
        let kept = Arc::new(Kept {
            spec: new.spec,
            request: new.request.map(|(id, _)| id),
            log: Lock::new(RunLog {
                run,
                children: BTreeMap::new(),
                events: Vec::new(),
                weight,
            }),
        });
        // Held until the first event is in place: whoever finds the run finds its beginning. Nobody can
        // hold it yet, so taking it before the list of runs locks nobody out.
        let mut log = kept.log.lock();
        let mut runs = self.runs.write().unwrap_or_else(PoisonError::into_inner);
        runs.insert(run_id, Arc::clone(&kept));
        drop(runs);
        log.events = self.feed.lock().push(run_id, vec![first]);
        log.events.first().map_or(0, |(position, _)| *position)
    }

    pub(super) fn append(
        &self,
        run_id: RunId,
        expected: u64,
        events: Vec<Arc<Event>>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let kept = self.kept(run_id)?;
        let calls: Vec<CallId> = events
            .iter()
            .flat_map(|event| event.new_calls().cloned())
            .collect();
        let mut log = kept.log.lock();
        let found = log.head();
        if found != expected {
            return Err(StoreError::Conflict { expected, found });
        }
        let mut children = Vec::new();
        let was_finished = log.run.state.is_terminal();
        for event in &events {
            log.weight += weight::of_event(event);
            if let Some(run) = event.root() {
                log.run = Arc::clone(run);
            }
            if let Some(run) = event.child() {
                children.push(run.id);
                log.children.insert(run.id, Arc::clone(run));
            }
        }
        let placed = self.feed.lock().push(run_id, events);
        log.events.extend(placed);
        let finished = (log.run.state.is_terminal() && !was_finished).then(|| Ended {
            run_id,
            thread_id: log.run.thread_id(),
            time: now,
            position: log.events.last().map_or(0, |(position, _)| *position),
            weight: log.weight,
        });
        drop(log);
        if calls.is_empty() && children.is_empty() && finished.is_none() {
            return Ok(());
        }
        let mut index = self.index.lock();
        index
            .children
            .extend(children.into_iter().map(|id| (id, run_id)));
        index.calls.extend(calls.into_iter().map(|id| (id, run_id)));
        if let Some(ended) = finished {
            index.threads.leave(&ended);
            self.drop_finished(&mut index, now);
        }
        Ok(())
    }

    pub(super) fn read(
        &self,
        run_id: RunId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, StoreError> {
        let kept = self.kept(run_id)?;
        let log = kept.log.lock();
        let start = log.events.partition_point(|(_, e)| e.sequence <= after);
        let rest = log.events.get(start..).unwrap_or_default();
        Ok(rest
            .iter()
            .take(limit)
            .map(|(_, event)| Arc::clone(event))
            .collect())
    }

    pub(super) fn run(&self, run_id: RunId) -> Result<(Arc<Run>, Arc<RunSpec>), StoreError> {
        let kept = self.kept(run_id)?;
        let run = kept.log.lock().newest();
        Ok((run, Arc::clone(&kept.spec)))
    }

    /// The newest state of a subagent's run.
    pub(super) fn child(&self, run_id: RunId) -> Result<Arc<Run>, StoreError> {
        let root_id = self.index.lock().children.get(&run_id).copied();
        let kept = self.kept(root_id.ok_or(StoreError::NotFound)?)?;
        let log = kept.log.lock();
        let child = log.children.get(&run_id).ok_or(StoreError::NotFound)?;
        Ok(child.seen_at(log.head()))
    }

    pub(super) fn list(
        &self,
        filter: &RunFilter,
        before: Option<RunId>,
        limit: usize,
    ) -> Vec<Arc<Run>> {
        let mut found = Vec::new();
        let mut before = before;
        loop {
            let page = self.page(before, filter.include_subagents);
            let Some((last, _)) = page.last() else {
                return found;
            };
            before = Some(*last);
            for (id, kept) in page {
                if found.len() >= limit {
                    return found;
                }
                let log = kept.log.lock();
                let run = log.children.get(&id).unwrap_or(&log.run);
                if filter.matches(run) {
                    found.push(run.seen_at(log.head()));
                }
            }
        }
    }

    /// The next runs, newest first.
    fn page(&self, before: Option<RunId>, with_children: bool) -> Vec<(RunId, Arc<Kept>)> {
        let end = (
            Bound::Unbounded,
            before.map_or(Bound::Unbounded, Bound::Excluded),
        );
        let mut children = Vec::new();
        if with_children {
            let index = self.index.lock();
            let newest = index.children.range(end).rev().take(PAGE);
            children.extend(newest.map(|(id, root_id)| (*id, *root_id)));
        }
        let runs = self.runs.read().unwrap_or_else(PoisonError::into_inner);
        let roots = runs.range(end).rev().take(PAGE);
        let mut page: Vec<_> = roots.map(|(id, kept)| (*id, Arc::clone(kept))).collect();
        if !children.is_empty() {
            let kept = |(id, root): (RunId, RunId)| Some((id, Arc::clone(runs.get(&root)?)));
            page.extend(children.into_iter().filter_map(kept));
            page.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
            page.truncate(PAGE);
        }
        page
    }

    pub(super) fn feed(&self, after: u64, limit: usize) -> Vec<FeedEntry> {
        let feed = self.feed.lock();
        feed.entries
            .range((Bound::Excluded(after), Bound::Unbounded))
            .take(limit)
            .map(|(position, (run_id, event))| FeedEntry {
                position: *position,
                run_id: *run_id,
                event: Arc::clone(event),
            })
            .collect()
    }

    pub(super) fn position(&self) -> u64 {
        self.feed.lock().newest
    }

    pub(super) fn run_of_call(&self, call_id: &CallId) -> Option<RunId> {
        self.index.lock().calls.get(call_id).copied()
    }

    pub(super) fn thread(&self, thread_id: ThreadId) -> Result<Thread, StoreError> {
        self.index.lock().threads.get(thread_id)
    }

    pub(super) fn threads(
        &self,
        filter: &ThreadFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Vec<Thread> {
        let index = self.index.lock();
        let threads = index.threads.moved_before(before.unwrap_or(u64::MAX));
        let matching = threads.filter(|thread| {
            filter.labels.is_empty()
                || thread
                    .newest()
                    .and_then(|run_id| self.run(run_id).ok())
                    .is_some_and(|(run, _)| has_labels(&run, &filter.labels))
        });
        matching.take(limit).cloned().collect()
    }

    pub(super) fn delete_thread(&self, thread_id: ThreadId) -> Result<(), StoreError> {
        let mut index = self.index.lock();
        for run_id in index.threads.delete(thread_id)? {
            self.drop_run(&mut index, run_id);
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn remembers(&self, request_id: &RequestId) -> bool {
        self.index.lock().requests.contains_key(request_id)
    }

    fn kept(&self, run_id: RunId) -> Result<Arc<Kept>, StoreError> {
        let runs = self.runs.read().unwrap_or_else(PoisonError::into_inner);
        runs.get(&run_id)
            .map(Arc::clone)
            .ok_or(StoreError::NotFound)
    }

    fn drop_finished(&self, index: &mut Index, now: Timestamp) {
        for _ in 0..CLEARED_AT_ONCE {
            let Some(family) = index.threads.next_to_drop(&self.settings, now) else {
                return;
            };
            for run_id in family {
                self.drop_run(index, run_id);
            }
        }
    }

    fn drop_run(&self, index: &mut Index, run_id: RunId) {
        let mut runs = self.runs.write().unwrap_or_else(PoisonError::into_inner);
        let Some(kept) = runs.remove(&run_id) else {
            return;
        };
        drop(runs);
        let log = kept.log.lock();
        let mut feed = self.feed.lock();
        for (position, event) in &log.events {
            feed.entries.remove(position);
            for call_id in event.new_calls() {
                index.calls.remove(call_id);
            }
        }
        for child in log.children.keys() {
            index.children.remove(child);
        }
        if let Some(request_id) = &kept.request {
            index.forget_request_of(request_id, run_id);
        }
    }
}

impl Feed {
    fn push(&mut self, run_id: RunId, events: Vec<Arc<Event>>) -> Vec<(u64, Arc<Event>)> {
        let placed = events.into_iter().map(|event| {
            self.newest += 1;
            self.entries
                .insert(self.newest, (run_id, Arc::clone(&event)));
            (self.newest, event)
        });
        placed.collect()
    }
}

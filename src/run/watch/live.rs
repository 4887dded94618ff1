//! What is live in one tenant: the logs of its runs, and who wants to hear of them.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::{Notify, futures::Notified};

use crate::{
    domain::id::RunId,
    run::{lock::Lock, log::Log, port::RunFilter},
};

/// The live runs of one tenant. Its lock is taken when a run or a watch begins or ends, never per event.
#[derive(Default)]
pub(in crate::run) struct Live {
    roll: Lock<Roll>,
    /// Woken by every commit, while somebody listens.
    committed: Notify,
    listeners: AtomicUsize,
}

#[derive(Default)]
struct Roll {
    logs: HashMap<RunId, Weak<Log>>,
    ears: Vec<Weak<Ear>>,
}

/// Where a feed that shows everything hears which runs have something new for display.
pub(in crate::run) struct Ear {
    filter: RunFilter,
    heard: Lock<HashSet<RunId>>,
    woken: Notify,
}

impl Live {
    pub(in crate::run) fn log(&self, run_id: RunId) -> Option<Arc<Log>> {
        let log = self.roll.lock().logs.get(&run_id).and_then(Weak::upgrade);
        log.filter(|log| !log.is_at_rest())
    }

    /// A run goes live.
    pub(in crate::run) fn enter(&self, log: &Arc<Log>) {
        let run = log.run();
        let mut roll = self.roll.lock();
        roll.logs.insert(run.id, Arc::downgrade(log));
        roll.ears.retain(|ear| match ear.upgrade() {
            Some(ear) => {
                if ear.filter.matches_identity(&run) {
                    log.add_ear(&ear);
                }
                true
            }
            None => false,
        });
        drop(roll);
        self.committed();
    }

    /// A log is gone; another of the same run stays.
    pub(in crate::run) fn leave(&self, run_id: RunId, log: *const Log) {
        let mut roll = self.roll.lock();
        let is_it = |known: &Weak<Log>| std::ptr::eq(known.as_ptr(), log);
        if roll.logs.get(&run_id).is_some_and(is_it) {
            roll.logs.remove(&run_id);
        }
    }

    /// A feed begins to listen to all runs that match, those to come included. Returns the logs of those
    /// that live now.
    pub(in crate::run) fn add_ear(&self, ear: &Arc<Ear>) -> Vec<Arc<Log>> {
        // The logs are dropped outside the lock: a log's end takes it too.
        let logs: Vec<Arc<Log>> = {
            let mut roll = self.roll.lock();
            roll.ears.retain(|other| other.strong_count() > 0);
            roll.ears.push(Arc::downgrade(ear));
            roll.logs.values().filter_map(Weak::upgrade).collect()
        };
        logs.into_iter()
            .filter(|log| ear.filter.matches_identity(&log.run()))
            .inspect(|log| log.add_ear(ear))
            .collect()
    }

    /// Something was committed.
    pub(in crate::run) fn committed(&self) {
        if self.listeners.load(Ordering::SeqCst) > 0 {
            self.committed.notify_waiters();
        }
    }

    /// Listens to commits until dropped.
    pub(in crate::run) fn listen(self: &Arc<Self>) -> Listener {
        self.listeners.fetch_add(1, Ordering::SeqCst);
        Listener(Arc::clone(self))
    }
}

/// Somebody who is woken by the tenant's commits.
pub(in crate::run) struct Listener(Arc<Live>);

impl Listener {
    /// Completes when something was committed after this was enabled.
    pub(in crate::run) fn committed(&self) -> Notified<'_> {
        self.0.committed.notified()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.listeners.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Ear {
    pub(in crate::run) fn new(filter: RunFilter) -> Arc<Self> {
        Arc::new(Self {
            filter,
            heard: Lock::default(),
            woken: Notify::new(),
        })
    }

    /// A run has something new.
    pub(in crate::run) fn hear(&self, run_id: RunId) {
        let first = self.heard.lock().insert(run_id);
        if first {
            self.woken.notify_waiters();
        }
    }

    /// The runs that had something new since the last time.
    pub(in crate::run) fn take(&self) -> HashSet<RunId> {
        std::mem::take(&mut *self.heard.lock())
    }

    /// Completes when a run was heard after this was enabled.
    pub(in crate::run) fn woken(&self) -> Notified<'_> {
        self.woken.notified()
    }
}

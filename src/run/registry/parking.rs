//! Runs that wait for people and for nothing else: no task, no log, no conversation in memory, only who
//! they are and when the first of their inputs expires. Whoever wants something of one wakes it: it is
//! read from the store, as after a restart.

use std::{
    collections::{BTreeSet, HashMap},
    pin::pin,
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    Live, Place, Runs,
    creation::{Fate, Launch},
};
use crate::{
    domain::{
        fault::Fault,
        id::RunId,
        principal::Tenant,
        run::{Run, RunState},
        time::Timestamp,
    },
    run::{driver::Driver, lock::Lock},
};

/// Runs that are woken at once, when their time has come.
const WOKEN: usize = 64;

/// The parked runs.
#[derive(Default)]
pub(super) struct Lot {
    spaces: Lock<Spaces>,
    /// Tells the attendant of an earlier deadline.
    changed: Notify,
}

#[derive(Default)]
struct Spaces {
    runs: HashMap<RunId, Parked>,
    /// By the time at which each must be woken.
    due: BTreeSet<(Timestamp, RunId)>,
}

/// What is kept of a run that is parked.
#[derive(Clone)]
struct Parked {
    tenant: Tenant,
    due: Timestamp,
    /// Somebody reads it from the store.
    waking: bool,
}

impl Lot {
    fn insert(&self, run_id: RunId, tenant: Tenant, due: Timestamp) {
        let mut spaces = self.spaces.lock();
        spaces.due.insert((due, run_id));
        let parked = Parked {
            tenant,
            due,
            waking: false,
        };
        spaces.runs.insert(run_id, parked);
        let first = spaces.due.first().is_some_and(|(_, id)| *id == run_id);
        drop(spaces);
        if first {
            self.changed.notify_one();
        }
    }

    /// Claims the waking of a run for the caller.
    fn claim(&self, tenant: &Tenant, run_id: RunId) -> Claim {
        let mut spaces = self.spaces.lock();
        let Some(parked) = spaces.runs.get_mut(&run_id) else {
            return Claim::Unknown;
        };
        if parked.tenant != *tenant {
            return Claim::Unknown;
        }
        if std::mem::replace(&mut parked.waking, true) {
            return Claim::Claimed;
        }
        let due = parked.due;
        spaces.due.remove(&(due, run_id));
        Claim::Yours
    }

    /// The waking is over: the run is live, or parked as before, to be looked at again at that time.
    fn settle(&self, run_id: RunId, again: Option<Timestamp>) {
        let mut spaces = self.spaces.lock();
        match (again, spaces.runs.get_mut(&run_id)) {
            (Some(due), Some(parked)) => {
                parked.waking = false;
                parked.due = due;
                spaces.due.insert((due, run_id));
            }
            (None, _) => {
                spaces.runs.remove(&run_id);
            }
            (Some(_), None) => {}
        }
        drop(spaces);
        self.changed.notify_one();
    }

    /// Those that are due, a few at a time, and when the next one will be.
    fn due(&self, now: Timestamp) -> (Vec<(Tenant, RunId)>, Option<Timestamp>) {
        let spaces = self.spaces.lock();
        let due = spaces.due.iter().take_while(|(due, _)| *due <= now);
        let ids = due.take(WOKEN).map(|(_, run_id)| run_id);
        let runs = ids.filter_map(|id| Some((spaces.runs.get(id)?.tenant.clone(), *id)));
        (runs.collect(), spaces.due.first().map(|(due, _)| *due))
    }

    fn len(&self) -> usize {
        self.spaces.lock().runs.len()
    }
}

/// Whose matter the waking of a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    Yours,
    /// Somebody else's.
    Claimed,
    /// Nobody's: it is not parked.
    Unknown,
}

/// A claim that is given back when it comes to nothing.
struct Waking {
    live: Arc<Live>,
    run_id: RunId,
    again: Option<Timestamp>,
}

impl Drop for Waking {
    fn drop(&mut self) {
        self.live.parked.settle(self.run_id, self.again);
        self.live.started.notify_waiters();
    }
}

/// Whether a run that nobody drives needs nobody to: it waits for people and for nothing else.
pub(super) fn may_rest(run: &Run) -> bool {
    run.state == RunState::InputRequired && run.waiting.is_idle
}

/// When the first of a run's inputs expires.
fn due(run: &Run) -> Timestamp {
    let expiries = run.waiting.inputs.iter().map(|input| input.expire_time);
    expiries.min().unwrap_or_default()
}

impl Live {
    /// Parks a run that was not live.
    pub(super) fn park(&self, run: &Run) {
        self.parked.insert(run.id, run.tenant.clone(), due(run));
    }
}

impl Launch {
    /// Parks a run whose driver has nothing to do, unless somebody wants something of it now. Gives the
    /// driver back then.
    pub(super) fn park(&mut self, driver: Driver) -> Option<Driver> {
        let Place {
            live,
            run_id,
            is_parked,
        } = &mut self.place;
        // Under the lock under which mailboxes are handed out: no letter comes in between.
        let mut runs = live.runs.lock();
        if !driver.may_rest() {
            return Some(driver);
        }
        live.park(&driver.run_now());
        let entry = runs.remove(run_id);
        *is_parked = true;
        drop(runs);
        // After the lock: they may be the last to know the log.
        drop(entry);
        drop(driver);
        None
    }
}

impl Runs {
    /// How many runs are parked.
    pub fn parked_count(&self) -> usize {
        self.live.parked.len()
    }

    /// Makes a parked run live; of any other run, does nothing. Whoever wants something of a run calls this
    /// first.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`: it stays parked.
    pub(super) async fn wake(&self, tenant: &Tenant, run_id: RunId) -> Result<(), Fault> {
        loop {
            let mut started = pin!(self.live.started.notified());
            started.as_mut().enable();
            match self.live.parked.claim(tenant, run_id) {
                Claim::Unknown => return Ok(()),
                Claim::Yours => break,
                Claim::Claimed => started.await,
            }
        }
        let settings = &self.shared.settings;
        let mut waking = Waking {
            live: Arc::clone(&self.live),
            run_id,
            again: Some(self.shared.ports.clock.now() + settings.resume_base_delay),
        };
        // What was accepted is not refused now, however much is live.
        self.live.count.fetch_add(1, Ordering::Relaxed);
        let launch = self.launch(Place {
            live: Arc::clone(&self.live),
            run_id,
            is_parked: false,
        });
        let driver = launch.load(tenant, Fate::GoesOn).await?;
        waking.again = None;
        drop(waking);
        if let Some(driver) = driver {
            let (shutdown, tenant) = (self.shutdown.clone(), tenant.clone());
            self.tracker.spawn(async move {
                // Ends with the run, when it is parked again, or with the server.
                shutdown
                    .run_until_cancelled(launch.go_on(Some(driver), tenant))
                    .await;
            });
        }
        Ok(())
    }

    /// Wakes the runs whose inputs expire, until the server shuts down.
    pub(super) async fn attend(
        runs: Weak<Self>,
        live: Arc<Live>,
        (draining, shutdown): (CancellationToken, CancellationToken),
    ) {
        loop {
            let wait = match runs.upgrade() {
                Some(runs) => runs.wake_due().await,
                None => return,
            };
            tokio::select! {
                () = draining.cancelled() => return,
                () = shutdown.cancelled() => return,
                () = live.parked.changed.notified() => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// Wakes those that are due; returns how long there is nothing more to do.
    async fn wake_due(&self) -> Duration {
        /// Longer than anything waits.
        const LONG: Duration = Duration::from_secs(24 * 60 * 60);
        let now = self.shared.ports.clock.now();
        let (runs, next) = self.live.parked.due(now);
        let woken = runs.iter().map(|(tenant, run_id)| async move {
            if let Err(fault) = self.wake(tenant, *run_id).await {
                tracing::warn!(run.id = %run_id, reason = %fault.reason, "a parked run is not woken as yet");
            }
        });
        join_all(woken).await;
        match next {
            Some(_) if !runs.is_empty() => Duration::ZERO,
            Some(next) => next.since(now).min(LONG),
            None => LONG,
        }
    }
}

//! All runs of the server: creation, look-up, cancellation, and what is answered about runs that have
//! ended.

mod answering;
mod creation;
mod parking;
mod queue;
mod rest;
mod threads;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use creation::{Created, Fate, Launch, digest, first_state, may_use_tools, name_messages};
use futures_util::future::join_all;
use parking::{Lot, may_rest};
pub use threads::Said;
use tokio::sync::{Notify, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Ports, Settings,
    driver::Shared,
    lock::Lock,
    log::Log,
    machine::Settled,
    port::{Claimed, Inbox, NewRun, ReceiptSlip, RunFilter, RunInput},
    watch::{Detail, Feed, From, Interest, Watch, WatchMany, Watches},
};
use crate::domain::{
    call::{Delivery, Disposition, Report},
    event::{Fact, ToolCallUpdate},
    fault::{Fault, Reason},
    id::{CallId, RequestId, RunId},
    principal::{Principal, Tenant},
    run::{Run, RunSpec},
    trace::Trace,
};

/// Events read at once when a call is looked for in a log.
const PAGE: usize = 256;

/// All runs of the server: the only way to them.
pub struct Runs {
    shared: Arc<Shared>,
    watches: Arc<Watches>,
    live: Arc<Live>,
    tracker: TaskTracker,
    shutdown: CancellationToken,
    draining: CancellationToken,
    /// Whether no run goes on here: see [`Runs::at_rest`].
    is_at_rest: bool,
}

/// The runs that have a driver.
#[derive(Default)]
struct Live {
    runs: Lock<HashMap<RunId, Entry>>,
    /// Tells of every run that has gone live.
    started: Notify,
    /// Who waits for the end of a run.
    behind: Lock<HashMap<RunId, Arc<Notify>>>,
    /// Runs live or being created.
    count: AtomicUsize,
    /// Runs that wait for people, and are not live.
    parked: Lot,
}

struct Entry {
    tenant: Tenant,
    inbox: Inbox,
    log: Arc<Log>,
    spec: Arc<RunSpec>,
}

/// A run's place among the live ones, given back when it is dropped, also by a panic.
struct Place {
    live: Arc<Live>,
    run_id: RunId,
    /// The entry is gone already, and one that is there is another's.
    is_parked: bool,
}

impl Runs {
    /// Builds the Runner. Tasks go on `tracker`, and end when `shutdown` is cancelled.
    pub fn new(
        ports: Ports,
        settings: Settings,
        tracker: TaskTracker,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        let runs = Arc::new(Self::build(ports, settings, tracker, shutdown));
        let ends = (runs.draining.clone(), runs.shutdown.clone());
        let attended = Self::attend(Arc::downgrade(&runs), Arc::clone(&runs.live), ends);
        runs.tracker.spawn(attended);
        runs
    }

    fn build(
        ports: Ports,
        settings: Settings,
        tracker: TaskTracker,
        shutdown: CancellationToken,
    ) -> Self {
        let watches = Watches::new(Arc::clone(&ports.store));
        Self {
            shared: Arc::new(Shared {
                ports,
                settings: Arc::new(settings),
            }),
            watches,
            live: Arc::default(),
            tracker,
            shutdown,
            draining: CancellationToken::new(),
            is_at_rest: false,
        }
    }

    /// Stores a run and starts it. The same request again returns the same run, whatever its trace. Once
    /// begun, the creation is completed whether or not its caller still waits.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED`, `PERMISSION_DENIED` (a hosted tool's name), `SERVER_OVERLOADED`,
    /// `SERVER_DRAINING`, `STORE_UNAVAILABLE`.
    pub async fn create(
        &self,
        principal: &Principal,
        spec: RunSpec,
        request_id: Option<RequestId>,
        trace: Option<Trace>,
    ) -> Result<Arc<Run>, Fault> {
        let created = self.start(principal, spec, request_id, trace, None).await?;
        Ok(created.0)
    }

    /// As [`Runs::create`], for a caller who is going to watch: keep the [`Interest`], which a run that was
    /// there already does not give, until the watch is open.
    ///
    /// # Errors
    /// As for [`Runs::create`].
    pub async fn create_to_watch(
        &self,
        principal: &Principal,
        spec: RunSpec,
        request_id: Option<RequestId>,
        trace: Option<Trace>,
        detail: Detail,
    ) -> Result<(Arc<Run>, Option<Interest>), Fault> {
        self.start(principal, spec, request_id, trace, Some(detail))
            .await
    }

    async fn start(
        &self,
        principal: &Principal,
        mut spec: RunSpec,
        request_id: Option<RequestId>,
        trace: Option<Trace>,
        detail: Option<Detail>,
    ) -> Result<Created, Fault> {
        if self.draining.is_cancelled() {
            let why = "the server is shutting down";
            return Err(Fault::new(Reason::ServerDraining, why));
        }
        may_use_tools(principal, &mut spec)?;
        let request = request_id
            .map(|id| digest(principal, &spec).map(|digest| (id, digest)))
            .transpose()?;
        self.inherit(&principal.tenant, &mut spec).await?;
        spec.limits = self.shared.settings.bounded(spec.limits);
        name_messages(&mut spec.input);
        let spec = Arc::new(spec);
        let now = self.shared.ports.clock.now();
        let run = Arc::new(first_state(principal, &spec, trace, now));
        let place = self.place(run.id)?;
        let (created, answer) = oneshot::channel();
        let new = NewRun {
            spec: Arc::clone(&spec),
            run,
            most_queued: self.shared.settings.max_queued_runs,
            request,
        };
        let launch = self.launch(place);
        let shutdown = self.shutdown.clone();
        self.tracker.spawn(async move {
            // Ends with the run, or with the server.
            shutdown
                .run_until_cancelled(launch.create_and_drive(new, detail, created))
                .await;
        });
        answer.await.unwrap_or_else(|_dropped| {
            let why = "the server is shutting down";
            Err(Fault::new(Reason::ServerDraining, why))
        })
    }

    /// Takes over the runs that an earlier process has left, before anybody asks for one of them: each is
    /// live when this returns, and goes on from its log. One whose log cannot be read now is tried again
    /// later. Returns how many there are.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`: the store does not even say which they are.
    pub async fn recover(&self) -> Result<usize, Fault> {
        let (mut after, mut count) = (None, 0);
        loop {
            let claimed = self.shared.ports.store.claim(after, PAGE).await?;
            let Some(last) = claimed.last() else {
                return Ok(count);
            };
            after = Some(last.run_id);
            count += claimed.len();
            join_all(claimed.into_iter().map(|claimed| self.take_over(claimed))).await;
        }
    }

    async fn take_over(&self, claimed: Claimed) {
        let Claimed {
            tenant,
            run_id,
            claims,
        } = claimed;
        if let Ok((run, _spec)) = self.shared.ports.store.run(&tenant, run_id).await
            && may_rest(&run)
        {
            return self.live.park(&run);
        }
        // What was accepted is not refused now, however much there is.
        self.live.count.fetch_add(1, Ordering::Relaxed);
        let launch = self.launch(Place {
            live: Arc::clone(&self.live),
            run_id,
            is_parked: false,
        });
        let fate = if claims > self.shared.settings.max_claims {
            let why = "the server has ended again and again when it took this run over";
            Fate::Fails(Fault::new(Reason::Internal, why))
        } else {
            Fate::GoesOn
        };
        let driver = match launch.load(&tenant, fate).await {
            Ok(Some(driver)) => Some(driver),
            Ok(None) => return,
            Err(fault) => {
                tracing::error!(run.id = %run_id, reason = %fault.reason, "a run cannot be taken over as yet");
                None
            }
        };
        let shutdown = self.shutdown.clone();
        self.tracker.spawn(async move {
            shutdown
                .run_until_cancelled(launch.go_on(driver, tenant))
                .await;
        });
    }

    fn launch(&self, place: Place) -> Launch {
        Launch {
            shared: Arc::clone(&self.shared),
            watches: Arc::clone(&self.watches),
            place,
            draining: self.draining.clone(),
        }
    }

    /// A run.
    ///
    /// # Errors
    /// `RUN_NOT_FOUND`, `STORE_UNAVAILABLE`.
    pub async fn get(&self, tenant: &Tenant, run_id: RunId) -> Result<Arc<Run>, Fault> {
        if let Some(run) = self.of_live(tenant, run_id, |entry| entry.log.run()) {
            return Ok(run);
        }
        let (run, _spec) = self.shared.ports.store.run(tenant, run_id).await?;
        Ok(run)
    }

    /// What a run runs.
    ///
    /// # Errors
    /// `RUN_NOT_FOUND`, `STORE_UNAVAILABLE`.
    pub async fn spec(&self, tenant: &Tenant, run_id: RunId) -> Result<Arc<RunSpec>, Fault> {
        if let Some(spec) = self.of_live(tenant, run_id, |entry| Arc::clone(&entry.spec)) {
            return Ok(spec);
        }
        let (_run, spec) = self.shared.ports.store.run(tenant, run_id).await?;
        Ok(spec)
    }

    /// Runs that match, newest first, at most `limit`, older than `before`.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn list(
        &self,
        tenant: &Tenant,
        filter: &RunFilter,
        before: Option<RunId>,
        limit: usize,
    ) -> Result<Vec<Arc<Run>>, Fault> {
        let store = &self.shared.ports.store;
        Ok(store.list(tenant, filter, before, limit).await?)
    }

    /// Asks a run to stop, and returns once that is stored. Idempotent; of a run that has ended, returns
    /// it as it is.
    ///
    /// # Errors
    /// `RUN_NOT_FOUND`, `STORE_UNAVAILABLE`.
    pub async fn cancel(
        &self,
        tenant: &Tenant,
        run_id: RunId,
        reason: String,
    ) -> Result<Arc<Run>, Fault> {
        if self.is_at_rest {
            return Box::pin(self.cancel_at_rest(tenant, run_id, reason)).await;
        }
        self.wake(tenant, run_id).await?;
        let mut lost = true;
        if let Some(inbox) = self.of_live(tenant, run_id, |entry| entry.inbox.clone()) {
            let (slip, stored) = oneshot::channel();
            let slip = ReceiptSlip::new(move |disposition| {
                // The caller may have gone; the run stops all the same.
                let _gone = slip.send(disposition);
            });
            let slip = Some(slip);
            inbox.send(RunInput::Cancel { reason, slip }).await;
            // A run that ends first drops the slip: then its end is the answer.
            lost = stored.await.is_err();
        }
        let run = self.get(tenant, run_id).await?;
        if lost && !run.state.is_terminal() {
            let why = "the run waits for its store, which has no word of the cancellation";
            return Err(Fault::new(Reason::StoreUnavailable, why));
        }
        Ok(run)
    }

    /// The mailbox of a live run. A run that is not live counts as finished here: whether there is one
    /// at all, [`Runs::get`] says.
    ///
    /// # Errors
    /// `RUN_FINISHED`; `STORE_UNAVAILABLE` when it waits for its store.
    pub fn inbox(&self, tenant: &Tenant, run_id: RunId) -> Result<Inbox, Fault> {
        let found = self.of_live(tenant, run_id, |entry| {
            entry
                .log
                .lost()
                .map_or_else(|| Ok(entry.inbox.clone()), Err)
        });
        found.unwrap_or_else(|| Err(Fault::new(Reason::RunFinished, "the run has ended")))
    }

    /// What to answer to a report on a delivery that no run waits for any more.
    ///
    /// # Errors
    /// `TOOL_CALL_NOT_FOUND`, `STORE_UNAVAILABLE`.
    pub async fn late_report(
        &self,
        tenant: &Tenant,
        delivery: &Delivery,
        report: &Report,
    ) -> Result<Disposition, Fault> {
        let store = &self.shared.ports.store;
        let unknown = || Fault::new(Reason::ToolCallNotFound, "no such tool call");
        let run_id = store
            .run_of_call(tenant, &delivery.call_id)
            .await?
            .ok_or_else(unknown)?;
        let update = self
            .newest_update(tenant, run_id, &delivery.call_id)
            .await?;
        let settled = Settled::from(&*update.ok_or_else(unknown)?);
        Ok(settled.disposition(delivery.attempt, report))
    }

    async fn newest_update(
        &self,
        tenant: &Tenant,
        run_id: RunId,
        call_id: &CallId,
    ) -> Result<Option<Arc<ToolCallUpdate>>, Fault> {
        let store = &self.shared.ports.store;
        let (mut after, mut newest) = (0, None);
        loop {
            let events = store.read(tenant, run_id, after, PAGE).await?;
            for event in &events {
                after = event.sequence;
                match &event.fact {
                    Fact::ToolCallUpdated(update) if update.call.id == *call_id => {
                        newest = Some(Arc::clone(update));
                    }
                    Fact::ToolCallUpdated(_)
                    | Fact::RunUpdated(_)
                    | Fact::MessageCompleted(_)
                    | Fact::MessageDiscarded { .. }
                    | Fact::InputAnswered(_)
                    | Fact::PolicyDecided(_) => {}
                }
            }
            if events.len() < PAGE {
                return Ok(newest);
            }
        }
    }

    /// Watches one run.
    ///
    /// # Errors
    /// `RUN_NOT_FOUND`, `STORE_UNAVAILABLE`.
    pub async fn watch(
        &self,
        tenant: &Tenant,
        run_id: RunId,
        from: From,
        detail: Detail,
    ) -> Result<Watch, Fault> {
        self.wake(tenant, run_id).await?;
        self.watches.watch(tenant, run_id, from, detail).await
    }

    /// Watches all runs that match.
    ///
    /// # Errors
    /// `CURSOR_INVALID`, `STORE_UNAVAILABLE`.
    pub async fn watch_many(&self, tenant: &Tenant, request: WatchMany) -> Result<Feed, Fault> {
        self.watches.watch_many(tenant, request).await
    }

    /// Creates no more runs. Those that live go on.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// How many runs are live.
    pub fn live_count(&self) -> usize {
        self.live.count.load(Ordering::Relaxed)
    }

    /// Something of a live run of the tenant.
    fn of_live<T>(
        &self,
        tenant: &Tenant,
        run_id: RunId,
        get: impl FnOnce(&Entry) -> T,
    ) -> Option<T> {
        let runs = self.live.runs.lock();
        runs.get(&run_id)
            .filter(|entry| entry.tenant == *tenant)
            .map(get)
    }

    fn place(&self, run_id: RunId) -> Result<Place, Fault> {
        let most = self.shared.settings.max_live_runs;
        let count = &self.live.count;
        count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |live| {
                (live < most).then_some(live + 1)
            })
            .map_err(|_full| {
                Fault::new(Reason::ServerOverloaded, "too many live runs")
                    .with("max_live_runs", most)
                    .retry_after(Duration::from_secs(1))
            })?;
        Ok(Place {
            live: Arc::clone(&self.live),
            run_id,
            is_parked: false,
        })
    }
}

impl fmt::Debug for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Runs({} live)", self.live_count())
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_parked {
            let entry = self.live.runs.lock().remove(&self.run_id);
            // After the lock: it may be the last to know the log.
            drop(entry);
            self.live.tell_ended(self.run_id);
        }
        self.live.count.fetch_sub(1, Ordering::Relaxed);
    }
}

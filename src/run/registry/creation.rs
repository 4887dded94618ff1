//! How a run comes to be: stored first, then live, in the one task that will drive it.

use std::{collections::BTreeMap, io, pin::pin, sync::Arc, time::Duration};

use sha2::{Digest, Sha256};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Entry, PAGE, Place};
use crate::{
    domain::{
        fault::{Fault, Reason},
        id::{MessageId, RunId},
        message::Message,
        model::Usage,
        principal::{Principal, Scope, Tenant},
        run::{Agent, Run, RunSpec, RunState, Waiting},
        time::Timestamp,
        tool::{ToolName, ToolTarget},
        trace::Trace,
    },
    run::{
        driver::{Driver, End, Shared, Start},
        fail::{self, Point},
        lineage::Lineage,
        log::Log,
        machine::{History, Input, Machine},
        port::{Creation, Inbox, NewRun},
        watch::{Detail, Interest, Watches},
    },
};

/// How long a run takes at most from the store to its driver.
const SOON: Duration = Duration::from_millis(20);

/// A run, and that somebody is going to watch it, if so and if it is new.
pub(super) type Created = (Arc<Run>, Option<Interest>);

/// What becomes of a run that an earlier process has left.
pub(super) enum Fate {
    /// It goes on.
    GoesOn,
    /// It ends with this.
    Fails(Fault),
    /// It is cancelled, for this reason.
    IsCancelled(String),
}

/// What a run's task begins with.
pub(super) struct Launch {
    pub(super) shared: Arc<Shared>,
    pub(super) watches: Arc<Watches>,
    pub(super) place: Place,
    /// The server is shutting down: what is suspended stays so.
    pub(super) draining: CancellationToken,
}

impl Launch {
    /// The whole task of a run. Creation is part of it, so that a caller who goes away in the middle
    /// leaves no run behind that is stored and never driven.
    pub(super) async fn create_and_drive(
        self,
        new: NewRun,
        detail: Option<Detail>,
        created: oneshot::Sender<Result<Created, Fault>>,
    ) {
        let spec = Arc::clone(&new.spec);
        let answer = self.shared.ports.store.create(new).await;
        let driver = match answer {
            Ok(Creation::Created(run)) => {
                fail::pass(Point::Created);
                let log = self.log(&run);
                // From before the first turn on, which follows at once.
                let interest = detail.map(|detail| Interest::new(Arc::clone(&log), detail));
                let driver = self.begin(spec, &run, log);
                // The caller may have gone; the run is stored, so it runs.
                let _gone = created.send(Ok((run, interest)));
                driver
            }
            Ok(Creation::Existing(run)) => {
                self.wait_until_live(&run).await;
                let _gone = created.send(Ok((run, None)));
                return;
            }
            Err(error) => {
                tracing::warn!(error = %error, "a run was not created");
                let _gone = created.send(Err(error.into()));
                return;
            }
        };
        let tenant = driver.tenant().clone();
        self.drive(driver, &tenant).await;
    }

    /// Drives the run to its end. When its store fails, what it waits for is waited for in vain: it is set
    /// aside, and goes on from its log when the store works again.
    async fn drive(mut self, mut driver: Driver, tenant: &Tenant) {
        let mut failures = 0;
        loop {
            let head = driver.head();
            let end = match driver.queued() {
                None => driver.drive().await,
                Some(queued) => Box::pin(self.drive_in_turn(&mut driver, queued)).await,
            };
            match end {
                End::Over => {
                    drop(self.place);
                    return driver.close(end);
                }
                End::Idle => match self.park(driver) {
                    Some(wanted) => {
                        driver = wanted;
                        continue;
                    }
                    None => return,
                },
                End::Suspended => {}
            }
            // What came forward meanwhile is not in the same trouble still.
            if driver.head() > head {
                failures = 0;
            }
            driver.close(end);
            match Box::pin(self.wait_for_store(tenant, &mut failures)).await {
                Some(again) => driver = again,
                None => return,
            }
        }
    }

    /// Waits, and reads the run anew; `None` when it has ended meanwhile, or the server does.
    pub(super) async fn wait_for_store(
        &self,
        tenant: &Tenant,
        failures: &mut u32,
    ) -> Option<Driver> {
        loop {
            let wait = self.shared.settings.resume_delay(*failures);
            *failures = failures.saturating_add(1);
            tokio::select! {
                () = self.draining.cancelled() => return None,
                () = sleep(wait) => {}
            }
            let run_id = self.place.run_id;
            match self.load(tenant, Fate::GoesOn).await {
                Ok(driver) => return driver,
                Err(fault) if fault.reason == Reason::RunNotFound => return None,
                Err(fault) => {
                    tracing::warn!(run.id = %run_id, reason = %fault.reason, "a run stays set aside");
                }
            }
        }
    }

    /// A run that was created a moment ago may be on its way to its driver: whoever is told of it may
    /// expect its mailbox.
    async fn wait_until_live(&self, run: &Run) {
        let live = &self.place.live;
        let seen = async {
            loop {
                let mut started = pin!(live.started.notified());
                started.as_mut().enable();
                if live.runs.lock().contains_key(&run.id) {
                    return;
                }
                started.await;
            }
        };
        if !run.state.is_terminal() {
            // Not live by then: it has ended meanwhile.
            let _ended = timeout(SOON, seen).await;
        }
    }

    /// The log of a new run.
    fn log(&self, run: &Arc<Run>) -> Arc<Log> {
        let store = Arc::clone(&self.shared.ports.store);
        Log::new(store, &self.watches, run.tenant.clone(), Arc::clone(run))
    }

    /// Makes a new run live.
    fn begin(&self, spec: Arc<RunSpec>, run: &Arc<Run>, log: Arc<Log>) -> Driver {
        let settings = Arc::clone(&self.shared.settings);
        let start = Start {
            machine: Machine::new(Arc::clone(&spec), Arc::clone(run), settings),
            first: Input::Begin,
            messages: 0,
        };
        self.live(spec, log, start)
    }

    /// Reads a run from its log and makes it live again; `None` when it has ended.
    ///
    /// # Errors
    /// `RUN_NOT_FOUND`, `STORE_UNAVAILABLE`.
    pub(super) async fn load(&self, tenant: &Tenant, fate: Fate) -> Result<Option<Driver>, Fault> {
        let (store, run_id) = (&self.shared.ports.store, self.place.run_id);
        let (run, spec) = store.run(tenant, run_id).await?;
        if run.state.is_terminal() {
            return Ok(None);
        }
        let settings = Arc::clone(&self.shared.settings);
        let mut history = History::new(Arc::clone(&spec), Arc::clone(&run), settings);
        let mut head = 0;
        loop {
            let events = store.read(tenant, run_id, head, PAGE).await?;
            for event in &events {
                history.add(&event.fact);
                head = event.sequence;
            }
            if events.len() < PAGE {
                break;
            }
        }
        let mut end = match fate {
            Fate::GoesOn => None,
            Fate::Fails(fault) => Some(fault),
            Fate::IsCancelled(reason) => {
                history.cancel(self.shared.ports.clock.now(), reason);
                None
            }
        };
        if run.has_begun() && run.previous.is_some() {
            let lineage = Lineage {
                store: Arc::clone(store),
                tenant: tenant.clone(),
                most: self.shared.settings.max_line,
            };
            match lineage.before(&run, &spec).await {
                Ok(before) => history.take_in(before),
                Err(fault) if fault.reason == Reason::StoreUnavailable => return Err(fault),
                Err(fault) => end = Some(fault),
            }
        }
        let messages = history.messages();
        let calls = history.running_calls();
        let store = Arc::clone(store);
        let log = Log::restored(store, &self.watches, run.seen_at(head), (Vec::new(), calls));
        let start = Start {
            // What may have been shown of a message is withdrawn under its number.
            messages: messages + u64::from(!history.is_calling()),
            machine: history.restore(MessageId::mint()),
            first: Input::Resume {
                message_id: MessageId::of_run(run_id, messages),
                end,
            },
        };
        Ok(Some(self.live(spec, log, start)))
    }

    /// Gives a run its mailbox, under which everybody finds it.
    fn live(&self, spec: Arc<RunSpec>, log: Arc<Log>, start: Start) -> Driver {
        let run = log.run();
        let (sender, mailbox) = mpsc::channel(self.shared.settings.mailbox.max(1));
        let inbox = Inbox::new(run.id, sender);
        let entry = Entry {
            tenant: run.tenant.clone(),
            inbox: inbox.clone(),
            log: Arc::clone(&log),
            spec: Arc::clone(&spec),
        };
        let before = self.place.live.runs.lock().insert(run.id, entry);
        // After the lock: it may be the last to know the log of an earlier life.
        drop(before);
        self.place.live.started.notify_waiters();
        Driver::new(Arc::clone(&self.shared), spec, log, (inbox, mailbox), start)
    }

    /// The task of a run that an earlier process has left: `None` when its log could not be read as yet.
    pub(super) async fn go_on(self, driver: Option<Driver>, tenant: Tenant) {
        let driver = match driver {
            Some(driver) => Some(driver),
            None => Box::pin(self.wait_for_store(&tenant, &mut 0)).await,
        };
        if let Some(driver) = driver {
            self.drive(driver, &tenant).await;
        }
    }
}

/// A tool's name that is not of the caller's own stream is used only with permission. Which tools an MCP
/// server has is not known as yet: the run remembers what its creator may use.
pub(super) fn may_use_tools(principal: &Principal, spec: &mut RunSpec) -> Result<(), Fault> {
    may_be(principal, &mut spec.agent)
}

fn may_be(principal: &Principal, agent: &mut Agent) -> Result<(), Fault> {
    for binding in &mut agent.tools {
        match &mut binding.target {
            ToolTarget::Hosted(hosted) => may_use(principal, hosted.name.as_str())?,
            ToolTarget::Mcp(mcp) => {
                if !principal.has(Scope::ToolsUse) {
                    return may_use(principal, &mcp.scope);
                }
                for tool in &mcp.tools {
                    let name = ToolName::behind(&mcp.scope, tool);
                    may_use(principal, name.as_ref().map_or(tool, ToolName::as_str))?;
                }
                mcp.usable.clone_from(&principal.use_tools);
            }
            ToolTarget::Subagent(subagent) => {
                may_be(principal, &mut Arc::make_mut(subagent).agent)?;
            }
            ToolTarget::Attached(_) => {}
        }
    }
    Ok(())
}

fn may_use(principal: &Principal, tool: &str) -> Result<(), Fault> {
    if principal.may_use(tool) {
        return Ok(());
    }
    let why = format!("may not use the tool {tool}");
    Err(Fault::new(Reason::PermissionDenied, why).with("tool", tool))
}

/// Gives an id to every message that has none: what is said in a thread can be named.
pub(super) fn name_messages(messages: &mut [Arc<Message>]) {
    for message in messages.iter_mut().filter(|message| message.id.is_none()) {
        Arc::make_mut(message).id = Some(MessageId::mint());
    }
}

/// Digests what is written.
struct Digester(Sha256);

impl io::Write for Digester {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What was asked, in 32 bytes: another principal or another spec is another request.
pub(super) fn digest(principal: &Principal, spec: &RunSpec) -> Result<[u8; 32], Fault> {
    let mut digester = Digester(Sha256::new());
    digester.0.update(principal.name.as_bytes());
    digester.0.update([0]);
    serde_json::to_writer(&mut digester, spec)
        .map_err(|_error| Fault::new(Reason::Internal, "the run cannot be written down"))?;
    Ok(digester.0.finalize().into())
}

/// The run as it is when nothing has happened.
pub(super) fn first_state(
    principal: &Principal,
    spec: &RunSpec,
    trace: Option<Trace>,
    now: Timestamp,
) -> Run {
    Run {
        id: RunId::mint(),
        tenant: principal.tenant.clone(),
        creator: Arc::clone(&principal.name),
        agent_name: spec.agent.name.clone(),
        state: RunState::Running,
        error: None,
        output: None,
        finish_reason: None,
        usage: Usage::default(),
        usage_by_model: BTreeMap::new(),
        turn_count: 0,
        last_sequence: 1,
        labels: spec.labels.clone(),
        create_time: now,
        start_time: Some(now),
        end_time: None,
        model: spec.agent.model.clone(),
        cancel_reason: String::new(),
        trace: trace.map(Arc::new),
        parent: None,
        waiting: Waiting::default(),
        thread: None,
        previous: None,
    }
}

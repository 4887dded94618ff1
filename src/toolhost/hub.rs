//! The shell around the book: one lock, one timer, and the queues that its effects go to.
//!
//! Effects are carried out under the lock. None of them waits, and only so do they reach a session or
//! a mailbox in the order of the book: a cancellation never overtakes its own assignment.

mod tools;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot, watch},
    time::{Instant, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Attachment, Connected, Hello, Proposed, Settings,
    book::{Book, Effect, Routed, Ticket},
    courier::{Courier, Handed, Waiting},
    link::Link,
    schema::Schemas,
    session::{Inward, Outward},
};
use crate::{
    domain::{
        call::{Command, Delivery, Disposition, Report},
        fault::{Fault, Reason},
        id::{RunId, SessionId},
        json::JsonText,
        principal::{Principal, Tenant},
        tool::ToolSpec,
    },
    run::port::{CallNews, Inbox, ReceiptSlip, RunInput},
};

/// Commands that a session may have queued beside four for each call of the largest window: an
/// assignment, a cancellation and two receipts.
const QUEUE_SLACK: usize = 256;

/// How long the timer sleeps when nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// All hosts, sessions and calls in flight. Implements [`crate::run::port::Tools`].
pub struct Hub {
    settings: Settings,
    state: Mutex<State>,
    /// Rung when the timer has to wake up earlier than it thinks.
    alarm: Notify,
    courier: Courier,
    schemas: Schemas,
}

struct State {
    book: Book<Arc<Link>, Inbox>,
    /// Who waits for registrations, by tenant.
    registered: HashMap<Tenant, watch::Sender<()>>,
    /// When the timer wakes up.
    armed: Option<Instant>,
}

/// What became of a report on a stream.
#[derive(Debug)]
pub(super) enum Taken {
    /// It is where it belongs.
    Done,
    /// It has to wait for the run's mailbox.
    Later(Waiting),
    /// No live run waits for it from this host.
    Late(Delivery, Report),
}

// === impl Hub ===

impl Hub {
    /// An empty hub. Its timers run on `tracker` until `shutdown`.
    pub fn new(
        settings: Settings,
        tracker: &TaskTracker,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        let seed = SessionId::mint()
            .to_string()
            .bytes()
            .fold(1, |seed: u64, byte| {
                seed.wrapping_mul(0x100_0000_01b3) ^ u64::from(byte)
            });
        let hub = Arc::new(Self {
            state: Mutex::new(State {
                book: Book::new(settings.clone(), seed),
                registered: HashMap::new(),
                armed: None,
            }),
            settings,
            alarm: Notify::new(),
            courier: Courier::new(tracker.clone()),
            schemas: Schemas::new(),
        });
        tracker.spawn(keep_time(Arc::clone(&hub), shutdown));
        hub
    }

    /// A host opens a stream. One with the same id and principal takes over the older stream's calls;
    /// the older stream ends with `SUPERSEDED`. Tools that are not taken are named; the rest is live.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` (no scope, or the id belongs to another principal), `SERVER_OVERLOADED`,
    /// `SERVER_DRAINING`, `INVALID_REQUEST`.
    pub fn connect(
        self: &Arc<Self>,
        principal: &Principal,
        mut hello: Hello,
    ) -> Result<Connected, Fault> {
        hello.tools = self.compile(hello.tools);
        let link = Arc::new(self.new_link());
        let address = Arc::clone(&link);
        let (ticket, rejected) =
            self.with(|book, now| book.connect(now, principal, hello, address))?;
        let host = Some(Arc::new(principal.clone()));
        Ok(self.open(link, ticket, host, rejected))
    }

    /// A run's own stream opens: its attached tools run there. Takes over like [`Hub::connect`].
    /// When the host has half-closed, the stream may go on: what else it shows is not the hub's.
    ///
    /// # Errors
    /// As [`Hub::connect`].
    pub fn attach(
        self: &Arc<Self>,
        principal: &Principal,
        inbox: Inbox,
        attachment: Attachment,
    ) -> Result<Connected, Fault> {
        let link = Arc::new(self.new_link());
        let address = Arc::clone(&link);
        let run = (inbox.run_id(), inbox);
        let ticket =
            self.with(|book, now| book.attach(now, principal, run, attachment, address))?;
        Ok(self.open(link, ticket, None, Vec::new()))
    }

    /// A report without a stream. `Ok(None)`: no live run waits for it; ask
    /// [`crate::run::Runs::late_report`].
    ///
    /// # Errors
    /// `PERMISSION_DENIED` when the call was assigned to a host of another principal.
    pub async fn report(
        &self,
        principal: &Principal,
        delivery: Delivery,
        report: Report,
    ) -> Result<Option<Disposition>, Fault> {
        let is_progress = matches!(report, Report::Progress(_));
        let (answer, receipt) = oneshot::channel();
        let slip = (!is_progress).then(|| {
            ReceiptSlip::new(move |disposition| {
                // A caller that has gone will ask again.
                let _gone = answer.send(disposition);
            })
        });
        let taken = {
            let mut state = self.lock();
            let routed = state.book.report_alone(principal, &delivery, &report)?;
            self.pass_on(routed, delivery, report, slip)
        };
        match taken {
            Taken::Late(..) => return Ok(None),
            Taken::Later(waiting) => waiting.send().await,
            Taken::Done if is_progress => return Ok(Some(Disposition::Applied)),
            Taken::Done => {}
        }
        // Without an answer the run has ended, and its log knows.
        Ok(receipt.await.ok())
    }

    /// A run has ended: its attachment ends well, and nothing about it is kept.
    pub fn forget_run(&self, run_id: RunId) {
        self.with(|book, _| book.forget_run(run_id));
    }

    /// The tools that hosts of the tenant offer now, by name and version, and how many offer each.
    pub fn list(&self, tenant: &Tenant) -> Vec<(Arc<ToolSpec>, usize)> {
        self.lock().book.list(tenant)
    }

    /// Checks that a text is a JSON Schema. Compiled schemas are kept.
    ///
    /// # Errors
    /// `SCHEMA_INVALID`.
    pub fn check_schema(&self, schema: &JsonText) -> Result<(), Fault> {
        self.schemas.compile(schema).map(|_compiled| ())
    }

    /// Tells every session that its stream will end, and takes no new sessions.
    pub fn go_away(&self, time_left: Duration) {
        self.with(|book, _| book.go_away(time_left));
    }

    // === for the sessions ===

    pub(super) const fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn heard(&self, ticket: Ticket) {
        self.with(|book, now| book.heard(now, ticket));
    }

    pub(super) fn half_close(&self, ticket: Ticket) {
        self.with(|book, _| book.half_close(ticket));
    }

    pub(super) fn lost(&self, ticket: Ticket) {
        self.with(|book, now| book.lost(now, ticket));
    }

    /// Changes a live registration.
    pub(super) fn update(
        &self,
        ticket: Ticket,
        host: Option<&Principal>,
        window: Option<u32>,
        tools: Option<Vec<Proposed>>,
    ) {
        let tools = host.and(tools).map(|tools| self.compile(tools));
        let rejected = self.with(|book, _| book.update(ticket, host, window, tools));
        for (name, fault) in rejected {
            // The contract has no answer to an update: the log is where its author can see this.
            tracing::warn!(tool.name = %name, reason = %fault.reason, "a host's tool was not taken");
        }
    }

    /// Sends a command, or ends the session of a peer that does not read.
    pub(super) fn push(&self, link: &Link, ticket: Ticket, command: Command) {
        if !link.push(command) {
            self.with(|book, now| book.fail(now, ticket, slow_reader()));
        }
    }

    pub(super) fn take_report(
        &self,
        ticket: Ticket,
        delivery: Delivery,
        report: Report,
        slip: Option<ReceiptSlip>,
    ) -> Taken {
        let now = Instant::now();
        let mut state = self.lock();
        state.book.heard(now, ticket);
        self.set_alarm(&mut state);
        let routed = state.book.report(ticket, &delivery, &report);
        self.pass_on(routed, delivery, report, slip)
    }

    // === inside ===

    /// Puts a report into its run's mailbox. Called under the lock, to keep its place behind the news
    /// that came before it.
    fn pass_on(
        &self,
        routed: Routed<Inbox>,
        delivery: Delivery,
        report: Report,
        slip: Option<ReceiptSlip>,
    ) -> Taken {
        let (inbox, host_id) = match routed {
            Routed::Live { inbox, host_id } if !inbox.is_closed() => (inbox, host_id),
            Routed::Live { .. } | Routed::Late => return Taken::Late(delivery, report),
        };
        let is_progress = slip.is_none();
        let news = CallNews::Reported {
            host_id,
            report,
            slip,
        };
        let input = RunInput::Call { delivery, news };
        if is_progress {
            // Only the latest progress counts, and a run that is behind can do without.
            inbox.offer(input);
            return Taken::Done;
        }
        match self.courier.hand_over(inbox, input) {
            // Ended between the look and the hand: the host has no receipt and reports again.
            Handed::Over | Handed::Ended => Taken::Done,
            Handed::Later(waiting) => Taken::Later(waiting),
        }
    }

    fn new_link(&self) -> Link {
        Link::new(QUEUE_SLACK + 4 * self.settings.max_window as usize)
    }

    fn open(
        self: &Arc<Self>,
        link: Arc<Link>,
        ticket: Ticket,
        host: Option<Arc<Principal>>,
        rejected: Vec<(String, Fault)>,
    ) -> Connected {
        Connected {
            session_id: SessionId::mint(),
            rejected,
            inward: Inward::new(Arc::clone(self), Arc::clone(&link), ticket, host),
            outward: Outward::new(Arc::clone(self), link, ticket),
        }
    }

    /// Compiles the schemas of tools before the lock is taken; a tool whose schema is none is not taken.
    fn compile(&self, tools: Vec<Proposed>) -> Vec<Proposed> {
        tools
            .into_iter()
            .map(|proposed| {
                let spec = proposed?;
                match self.schemas.compile(&spec.input_schema) {
                    Ok(_) => Ok(spec),
                    Err(fault) => Err((spec.name.to_string(), fault)),
                }
            })
            .collect()
    }

    /// Does something with the book, and all that follows from it.
    fn with<R>(&self, f: impl FnOnce(&mut Book<Arc<Link>, Inbox>, Instant) -> R) -> R {
        let now = Instant::now();
        let mut state = self.lock();
        let result = f(&mut state.book, now);
        while let Some(effect) = state.book.next_effect() {
            self.carry_out(&mut state, now, effect);
        }
        self.set_alarm(&mut state);
        result
    }

    /// Wakes the timer when something is due earlier than it thinks.
    fn set_alarm(&self, state: &mut State) {
        let due = state.book.next_deadline();
        if due.is_some_and(|due| state.armed.is_none_or(|armed| due < armed)) {
            state.armed = due;
            self.alarm.notify_one();
        }
    }

    fn carry_out(&self, state: &mut State, now: Instant, effect: Effect<Arc<Link>, Inbox>) {
        match effect {
            Effect::Tell {
                to,
                ticket,
                command,
            } => {
                if !to.push(command) {
                    state.book.fail(now, ticket, slow_reader());
                }
            }
            Effect::News { to, delivery, news } => {
                let input = RunInput::Call {
                    delivery: delivery.clone(),
                    news,
                };
                if !self.courier.bring(&to, input) {
                    state.book.release(&delivery);
                }
            }
            Effect::Abandon { to } => {
                self.courier.bring(&to, RunInput::Abandoned);
            }
            Effect::End { session, how } => session.end(how),
            Effect::Registered(tenant) => {
                if let Some(waiting) = state.registered.get(&tenant) {
                    waiting.send_replace(());
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Looks at the book whenever something is due, until the server goes; then ends every session.
async fn keep_time(hub: Arc<Hub>, shutdown: CancellationToken) {
    loop {
        let next = {
            let mut state = hub.lock();
            state.armed = state.book.next_deadline();
            state.armed
        };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            () = hub.alarm.notified() => {}
            () = sleep_until(next.unwrap_or_else(|| Instant::now() + IDLE)) => {
                hub.with(|book, now| book.tick(now));
            }
        }
    }
    hub.with(|book, _| book.close());
}

fn slow_reader() -> Fault {
    Fault::new(
        Reason::SlowReader,
        "the peer does not read the commands that it is sent",
    )
}

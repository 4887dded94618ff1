//! What a run needs of the world: models, tools, a store, a clock. Adapters implement these traits;
//! the run never learns which.

use std::{collections::BTreeMap, pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, future::BoxFuture};
use tokio::sync::mpsc;

use crate::domain::{
    call::{Assignment, Delivery, Disposition, Report, StopReason},
    completion::{ModelEvent, Request},
    event::Event,
    fault::{Fault, Reason},
    id::{CallId, HostId, RequestId, RunId, ThreadId},
    input::InputAnswer,
    json::JsonText,
    message::Message,
    model::{ModelInfo, ModelRef},
    principal::Tenant,
    run::{Run, RunSpec, RunState},
    thread::{Thread, ThreadFilter},
    time::Timestamp,
    tool::{ToolBinding, ToolSpec},
};

/// Tells the time. Under a paused test clock it moves with `tokio::time`.
pub trait Clock: Send + Sync + 'static {
    /// Now, never earlier than it said before.
    fn now(&self) -> Timestamp;
}

// === models ===

/// An answer as it comes. See [`ModelEvent`] for the order. Dropping it aborts the provider's request.
pub type ModelStream = Pin<Box<dyn Stream<Item = Result<ModelEvent, Fault>> + Send>>;

/// How an answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// In one piece: `Started`, then `Finished`.
    Whole,
    /// As it grows.
    Streamed,
}

/// The models that can be reached.
pub trait Models: Send + Sync + 'static {
    /// Turns a name of the API into a model: an alias, or `provider:model` of a configured provider.
    ///
    /// # Errors
    /// `MODEL_NAME_INVALID`, `PROVIDER_NOT_FOUND`.
    fn resolve(&self, name: &str) -> Result<ModelRef, Fault>;

    /// Asks a model once: no retry, no fallback; [`crate::run::generate`] adds those. A fault before
    /// `Started` has shown nothing to anybody. Never yields `Discarded`. Ends with `Finished` or a
    /// fault, whatever the provider does: connect, first-byte and idle time-outs are the adapter's.
    fn call(&self, model: &ModelRef, request: Request, answer: Answer) -> ModelStream;

    /// Lists what the providers offer. One that cannot be asked is named with its fault and does not
    /// fail the whole.
    fn list(&self, provider: Option<String>) -> BoxFuture<'_, ModelList>;
}

/// What [`Models::list`] found.
#[derive(Clone, Debug, Default)]
pub struct ModelList {
    /// The models, sorted by name.
    pub models: Vec<ModelInfo>,
    /// Providers that could not be asked, and why.
    pub unavailable: Vec<(String, Fault)>,
}

// === tools ===

/// A tool as a turn offers it to the model.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The definition.
    pub spec: Arc<ToolSpec>,
    /// Which of the agent's bindings it came from.
    pub binding: usize,
}

/// Where tool calls go. No method waits: what happens to a call comes back through the run's [`Inbox`].
pub trait Tools: Send + Sync + 'static {
    /// The definitions behind an agent's bindings, in their order. Attached ones are at hand; hosted
    /// ones are looked up among the tenant's registrations, present and remembered.
    ///
    /// # Errors
    /// The index of the first binding whose tool nobody has registered as yet; [`Tools::registered`]
    /// tells when to ask again.
    fn offer(&self, tenant: &Tenant, bindings: &[ToolBinding]) -> Result<Vec<Offer>, usize>;

    /// Completes when the tenant's registrations have changed since the call.
    fn registered(&self, tenant: &Tenant) -> BoxFuture<'static, ()>;

    /// Checks arguments against the tool's schema. Compiled schemas are kept.
    ///
    /// # Errors
    /// `ARGUMENTS_INVALID`, with a message that helps the model to do better.
    fn check(&self, tool: &ToolSpec, arguments: &JsonText) -> Result<(), Fault>;

    /// Checks the answer to a tool's question against the question's schema.
    ///
    /// # Errors
    /// `ARGUMENTS_INVALID`, with a message that helps to do better.
    fn check_answer(&self, schema: &JsonText, answer: &JsonText) -> Result<(), Fault>;

    /// Looks for a host and sends it the call; keeps looking until [`Tools::release`]. News goes to
    /// the inbox.
    fn assign(&self, tenant: &Tenant, assignment: Assignment, inbox: Inbox);

    /// Tells the delivery's host to stop, or withdraws the call when no host has it as yet (the inbox
    /// then hears [`CallNews::Withdrawn`]).
    fn cancel(&self, delivery: &Delivery, reason: StopReason);

    /// Tells the delivery's host what was answered to its question of this number, and again whenever the
    /// host opens a stream while it has the call.
    fn answer(&self, delivery: &Delivery, number: u32, answer: Arc<InputAnswer>);

    /// The delivery is over for the run: nothing more about it is wanted, its place in the host's
    /// window is free. Reports that come later are answered by [`crate::run::Runs::late_report`].
    fn release(&self, delivery: &Delivery);

    /// The run has ended: its own stream, if it has one, takes no more calls, and nothing about the run
    /// is kept.
    fn forget_run(&self, _run_id: RunId) {}
}

/// What a binding of tools of an MCP server takes from the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpTerms {
    /// The operator's prefix: the default, and the one that permission goes by.
    pub prefix: String,
    /// The longest time for one call, when the operator says so.
    pub timeout: Option<Duration>,
}

/// The MCP servers that the operator has configured.
pub trait McpServers: Send + Sync + 'static {
    /// The terms of a server; `None` when none has this name.
    fn terms(&self, server: &str) -> Option<McpTerms>;

    /// The tools of all servers, each with its server's name, under the operator's names. Waits a moment for
    /// servers that have not shown theirs; one that does not has none.
    fn list(&self) -> BoxFuture<'_, Vec<(Arc<str>, Arc<ToolSpec>)>>;
}

/// What happened to a delivery.
#[derive(Debug)]
pub enum CallNews {
    /// A host was chosen and the assignment is on its way.
    Assigned {
        /// Which.
        host_id: HostId,
    },
    /// The host said something. The slip must be answered once what it changes is stored; progress
    /// has none.
    Reported {
        /// Who.
        host_id: HostId,
        /// What.
        report: Report,
        /// Where the receipt goes.
        slip: Option<ReceiptSlip>,
    },
    /// The host, or the end of its session's grace, says that the delivery was never begun: it may be
    /// delivered again whatever the tool.
    NotBegun,
    /// The host was lost after it had accepted: the call may or may not have had its effect.
    Lost {
        /// Which.
        host_id: HostId,
    },
    /// Nobody offers the definition that the model saw any more, but another version of it.
    Changed,
    /// Cancelled before any host had it.
    Withdrawn,
}

/// Where the receipt of a report goes. Dropping it unanswered tells the host nothing: it will send the
/// report again.
pub struct ReceiptSlip(Box<dyn FnOnce(Result<Disposition, Fault>) + Send>);

impl ReceiptSlip {
    /// A slip that hands the disposition to `answer`, which must not wait.
    pub fn new(answer: impl FnOnce(Disposition) + Send + 'static) -> Self {
        Self(Box::new(|outcome| {
            if let Ok(disposition) = outcome {
                answer(disposition);
            }
        }))
    }

    /// A slip of what may be refused, too.
    pub fn or_refusal(answer: impl FnOnce(Result<Disposition, Fault>) + Send + 'static) -> Self {
        Self(Box::new(answer))
    }

    /// Answers.
    pub fn answer(self, disposition: Disposition) {
        (self.0)(Ok(disposition));
    }

    /// Says why it is not taken. Nothing has changed.
    pub fn refuse(self, fault: Fault) {
        (self.0)(Err(fault));
    }
}

impl std::fmt::Debug for ReceiptSlip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReceiptSlip")
    }
}

/// What reaches a run from outside its task.
#[derive(Debug)]
pub enum RunInput {
    /// News of a tool call.
    Call {
        /// Which delivery.
        delivery: Delivery,
        /// What.
        news: CallNews,
    },
    /// Somebody asks it to stop.
    Cancel {
        /// Kept in the log; may be empty.
        reason: String,
        /// Answered once it is stored that the run stops.
        slip: Option<ReceiptSlip>,
    },
    /// Somebody answers what it waits for.
    Answer {
        /// The answers, to different inputs: all of them count, or none.
        answers: Vec<InputAnswer>,
        /// Who gives them.
        principal: Arc<str>,
        /// Answered once they are stored: `Stale` when the run does not wait for all of them. Refused when
        /// one of them does not fit what is asked.
        slip: ReceiptSlip,
    },
    /// Those before it in its thread have ended.
    Proceed,
    /// Somebody says something to it, for its next turn.
    AddMessages {
        /// What.
        messages: Vec<Arc<Message>>,
        /// Answered once it is stored.
        slip: Option<ReceiptSlip>,
    },
    /// Its stream was lost with the policy CANCEL, and nobody has attached again within the grace.
    Abandoned,
}

/// Why a mailbox did not take an input at once.
#[derive(Debug)]
pub enum Refused {
    /// It is full; here is the input back.
    Full(Box<RunInput>),
    /// The run has ended.
    Ended,
}

/// The bounded mailbox of a live run.
#[derive(Clone, Debug)]
pub struct Inbox {
    run_id: RunId,
    sender: mpsc::Sender<Box<RunInput>>,
}

impl Inbox {
    /// The mailbox of a run.
    pub const fn new(run_id: RunId, sender: mpsc::Sender<Box<RunInput>>) -> Self {
        Self { run_id, sender }
    }

    /// Whose it is.
    pub const fn run_id(&self) -> RunId {
        self.run_id
    }

    /// Hands an input over, waiting for room. A run that has ended drops it.
    pub async fn send(&self, input: RunInput) {
        // An ended run wants no more news; late reports are answered from the log.
        let _ended = self.sender.send(Box::new(input)).await;
    }

    /// Hands an input over if there is room, for what may be lost (progress). Says whether it was.
    pub fn offer(&self, input: RunInput) -> bool {
        self.sender.try_send(Box::new(input)).is_ok()
    }

    /// Hands an input over without waiting.
    ///
    /// # Errors
    /// Gives the input back when there is no room now, and drops it when the run has ended.
    pub fn try_send(&self, input: RunInput) -> Result<(), Refused> {
        self.sender
            .try_send(Box::new(input))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(input) => Refused::Full(input),
                mpsc::error::TrySendError::Closed(_) => Refused::Ended,
            })
    }

    /// Whether the run has ended and takes nothing any more.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

// === store ===

/// What a store answers.
pub type StoreFuture<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Why a store did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Somebody else has written: the log is not where the writer thinks it is.
    #[error("expected the log at sequence {expected}, found it at {found}")]
    Conflict {
        /// Where the writer thought it was.
        expected: u64,
        /// Where it is.
        found: u64,
    },
    /// The request id is taken by another request.
    #[error("the request id was used for another request")]
    RequestIdReused,
    /// The thread's head is another run.
    #[error("the head of the thread is another run")]
    HeadMoved {
        /// Which; `None` when the thread has none.
        head: Option<RunId>,
    },
    /// A run that has not ended is in the way.
    #[error("a run has not ended: {active}")]
    ThreadBusy {
        /// Which.
        active: RunId,
    },
    /// Another thread goes on from one of the thread's runs.
    #[error("another thread goes on from the thread: {fork}")]
    ThreadForked {
        /// Which.
        fork: ThreadId,
    },
    /// No such thread in this tenant.
    #[error("no such thread")]
    ThreadNotFound,
    /// No such run in this tenant.
    #[error("no such run")]
    NotFound,
    /// It cannot be read or written now. The text says why in words that anybody may read.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
}

impl From<StoreError> for Fault {
    /// What a caller is told.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { expected, found } => {
                Self::new(Reason::Internal, "somebody else has written to the run")
                    .with("expected", expected)
                    .with("found", found)
            }
            StoreError::RequestIdReused => Self::new(
                Reason::RequestIdReused,
                "the request id was used for another request",
            ),
            StoreError::HeadMoved { head } => {
                let fault = Self::new(Reason::ThreadHeadMismatch, "the thread has another head");
                match head {
                    Some(head) => fault.with("head_run_id", head),
                    None => fault,
                }
            }
            StoreError::ThreadBusy { active } => {
                Self::new(Reason::ThreadBusy, "a run of the thread has not ended")
                    .with("active_run_id", active)
            }
            StoreError::ThreadForked { fork } => {
                let why = "another thread goes on from one of its runs";
                Self::new(Reason::ThreadInUse, why).with("thread_id", fork)
            }
            StoreError::ThreadNotFound => Self::new(Reason::ThreadNotFound, "no such thread"),
            StoreError::NotFound => Self::new(Reason::RunNotFound, "no such run"),
            StoreError::Unavailable(why) => {
                let message = format!("the store is unavailable: {why}");
                Self::new(Reason::StoreUnavailable, message).retry_after(Duration::from_secs(1))
            }
        }
    }
}

/// A run to be created.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// What to run.
    pub spec: Arc<RunSpec>,
    /// The run's first event is its first state, with sequence 1. Of one that goes on from another, the
    /// store adds its thread and the run before it, and whether it has to wait for that.
    pub run: Arc<Run>,
    /// Most runs that may wait in a thread.
    pub most_queued: usize,
    /// Makes creation idempotent: the caller's id with a digest of what was asked.
    pub request: Option<(RequestId, [u8; 32])>,
}

/// The outcome of a creation.
#[derive(Clone, Debug)]
pub enum Creation {
    /// The run is new; here with its place in its thread.
    Created(Arc<Run>),
    /// The same request had created this run before.
    Existing(Arc<Run>),
}

/// Which runs. All set conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Of this thread.
    pub thread_id: Option<ThreadId>,
    /// In one of these states; empty: in any.
    pub states: Vec<RunState>,
    /// With all these labels.
    pub labels: BTreeMap<String, String>,
    /// Of this agent.
    pub agent_name: Option<String>,
    /// Created at this time or later.
    pub min_create_time: Option<Timestamp>,
    /// Created before this time.
    pub max_create_time: Option<Timestamp>,
    /// Lists subagents' runs too. Says nothing to a watch, whose entries are whole trees.
    pub include_subagents: bool,
}

impl RunFilter {
    /// Whether a run matches.
    pub fn matches(&self, run: &Run) -> bool {
        (self.states.is_empty() || self.states.contains(&run.state)) && self.matches_identity(run)
    }

    /// Whether a run matches but for its state, which changes while it is watched.
    pub fn matches_identity(&self, run: &Run) -> bool {
        self.thread_id.is_none_or(|id| id == run.thread_id())
            && has_labels(run, &self.labels)
            && self
                .agent_name
                .as_ref()
                .is_none_or(|name| *name == run.agent_name)
            && self
                .min_create_time
                .is_none_or(|min| run.create_time >= min)
            && self.max_create_time.is_none_or(|max| run.create_time < max)
    }
}

/// Whether a run has all these labels.
pub(crate) fn has_labels(run: &Run, labels: &BTreeMap<String, String>) -> bool {
    labels
        .iter()
        .all(|(key, value)| run.labels.get(key) == Some(value))
}

/// A durable event in the order in which the tenant's events were committed.
#[derive(Clone, Debug)]
pub struct FeedEntry {
    /// The place in that order: strictly increasing, never reused.
    pub position: u64,
    /// Whose event it is.
    pub run_id: RunId,
    /// The event.
    pub event: Arc<Event>,
}

/// A run that an earlier process has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Whose it is.
    pub tenant: Tenant,
    /// Which.
    pub run_id: RunId,
    /// How often it was claimed since its log last grew, this time included.
    pub claims: u32,
}

/// Where runs are kept. Everything is keyed by tenant; nothing is found across tenants but by
/// [`Store::claim`], which is for the server itself.
///
/// A future that completes with `Ok` has made its change as durable as the store can: nothing is told
/// to anybody before.
pub trait Store: Send + Sync + 'static {
    /// Creates a run with its first event, unless the same request has done so within the last 24 h. One
    /// that goes on from another joins its thread, or begins one, as [`thread::join`](super::thread::join)
    /// says, in the same transaction.
    fn create(&self, new: NewRun) -> StoreFuture<'_, Creation>;

    /// Appends events to a run's log, all or none, if its newest event still is `expected`.
    fn append(
        &self,
        tenant: &Tenant,
        run_id: RunId,
        expected: u64,
        events: Vec<Arc<Event>>,
    ) -> StoreFuture<'_, ()>;

    /// A run's events after a sequence, oldest first, at most `limit`.
    fn read(
        &self,
        tenant: &Tenant,
        run_id: RunId,
        after: u64,
        limit: usize,
    ) -> StoreFuture<'_, Vec<Arc<Event>>>;

    /// A run's newest state, and what it runs.
    fn run(&self, tenant: &Tenant, run_id: RunId) -> StoreFuture<'_, (Arc<Run>, Arc<RunSpec>)>;

    /// The newest state of a subagent's run: those have no log of their own, and [`Store::run`] and
    /// [`Store::read`] know nothing of them. A store that keeps no subagents has none.
    fn child(&self, _tenant: &Tenant, _run_id: RunId) -> StoreFuture<'_, Arc<Run>> {
        Box::pin(std::future::ready(Err(StoreError::NotFound)))
    }

    /// Runs that match, newest first, at most `limit`, created before `before` (an id: they sort by
    /// time).
    fn list(
        &self,
        tenant: &Tenant,
        filter: &RunFilter,
        before: Option<RunId>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<Arc<Run>>>;

    /// The tenant's events after a position, in commit order, at most `limit`.
    fn feed(&self, tenant: &Tenant, after: u64, limit: usize) -> StoreFuture<'_, Vec<FeedEntry>>;

    /// The tenant's newest position.
    fn position(&self, tenant: &Tenant) -> StoreFuture<'_, u64>;

    /// Which run a tool call belongs to.
    fn run_of_call(&self, tenant: &Tenant, call_id: &CallId) -> StoreFuture<'_, Option<RunId>>;

    /// The next runs of any tenant that have not ended, by id, at most `limit`: what an earlier process has
    /// left. Counts for each that it was claimed once more. A store that forgets has none.
    fn claim(&self, _after: Option<RunId>, _limit: usize) -> StoreFuture<'_, Vec<Claimed>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// A thread.
    fn thread(&self, tenant: &Tenant, thread_id: ThreadId) -> StoreFuture<'_, Thread>;

    /// Threads that match, the one that moved last first, at most `limit`, which moved before `before` (a
    /// [`Thread::moved`]).
    fn threads(
        &self,
        tenant: &Tenant,
        filter: &ThreadFilter,
        before: Option<u64>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<Thread>>;

    /// Deletes a thread with its runs, unless one of them has not ended or another thread goes on from one
    /// of them.
    fn delete_thread(&self, tenant: &Tenant, thread_id: ThreadId) -> StoreFuture<'_, ()>;
}

/// The time-outs and retries of a model call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Most attempts at one model, the first included.
    pub max_attempts: u32,
    /// The first wait; each further one is twice as long, jittered.
    pub base_delay: Duration,
    /// The longest wait; a provider that asks for a longer one is not asked again.
    pub max_delay: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            base_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(20),
        }
    }
}

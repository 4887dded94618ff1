//! One delivery of a tool call: what is sent to a host, and what a host says about it.
//!
//! `(call id, attempt)` names a delivery. The call id is the idempotency key, the same for every
//! delivery; the attempt fences: what is said about an older attempt no longer counts.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    event::Progress,
    fault::Fault,
    id::{CallId, HostId, RunId},
    input::{InputAnswer, Question},
    json::JsonText,
    message::ToolResult,
    tool::{Affinity, ToolSpec},
    trace::Trace,
};

/// One delivery of a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Delivery {
    /// The call.
    pub call_id: CallId,
    /// Which delivery, from 1.
    pub attempt: u32,
}

/// What a host is asked to do.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// Which delivery this is.
    pub delivery: Delivery,
    /// The definition that the model saw.
    pub tool: Arc<ToolSpec>,
    /// The arguments: valid JSON, an object, checked against the tool's schema.
    pub arguments: JsonText,
    /// Which hosts may take it.
    pub route: Route,
    /// Time to finish, from receipt: a duration, so that clocks need not agree.
    pub timeout: Duration,
    /// Longest silence allowed while running.
    pub progress_timeout: Option<Duration>,
    /// What the host may know of the run.
    pub run: Arc<RunContext>,
}

/// What a host may know of the run that calls it. The same for all calls of a run.
#[derive(Clone, Debug)]
pub struct RunContext {
    /// The run.
    pub run_id: RunId,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Who created it, as the server has authenticated it.
    pub principal: Arc<str>,
    /// The agent that calls.
    pub agent_name: String,
    /// Where the run belongs in the trace of its creator.
    pub trace: Option<Arc<Trace>>,
}

/// Which hosts may take a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Route {
    /// The run's own stream.
    Attached,
    /// A host that has registered the tool, in the version that the model saw.
    Hosted {
        /// Only this host.
        host_id: Option<HostId>,
        /// Only hosts with all these labels.
        host_labels: BTreeMap<String, String>,
        /// Which of them first.
        affinity: Affinity,
    },
    /// An MCP server.
    Mcp {
        /// Its name in the configuration.
        server: Arc<str>,
        /// What stands before the server's own name in the tool's.
        prefix: String,
    },
}

/// What a host says about a delivery.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// Execution begins. Comes before any side effect; for a tool that may run at most once the host
    /// waits for the receipt first, so that "not accepted" always means "not begun".
    Accepted,
    /// Not taken and not begun: safe to give to another host at once.
    Rejected(Fault),
    /// Goes on.
    Progress(Progress),
    /// Done, also when the tool itself failed.
    Result(Arc<ToolResult>),
    /// The host could not do it. Not for the model's eyes.
    Failed(Fault),
    /// Stopped because it was cancelled.
    Stopped,
    /// Asks a person something, and waits for the answer.
    Question(Arc<Question>),
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// It counted.
    Applied,
    /// It had counted before.
    Duplicate,
    /// Too late or of an older delivery: not used.
    Stale,
}

/// Why a host is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// The run was cancelled or has ended.
    RunCancelled,
    /// The call's time is up.
    Timeout,
    /// Another delivery has taken its place.
    Superseded,
}

impl StopReason {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RunCancelled => "RUN_CANCELLED",
            Self::Timeout => "TIMEOUT",
            Self::Superseded => "SUPERSEDED",
        }
    }
}

/// A command to whoever runs tools, addressed to one stream and never replayed.
#[derive(Clone, Debug)]
pub enum Command {
    /// Run this.
    Assign(Arc<Assignment>),
    /// Stop this.
    Cancel {
        /// What.
        delivery: Delivery,
        /// Why.
        reason: StopReason,
    },
    /// A report is stored: forget it.
    Receipt {
        /// What it was about.
        delivery: Delivery,
        /// What became of it.
        disposition: Disposition,
    },
    /// What was answered to a question of a delivery.
    Answer {
        /// Whose question.
        delivery: Delivery,
        /// Which.
        number: u32,
        /// The answer.
        answer: Arc<InputAnswer>,
    },
    /// The stream will end: open another, finish here.
    GoAway {
        /// How long it will still live.
        time_left: Duration,
    },
    /// The server lives.
    Heartbeat,
}

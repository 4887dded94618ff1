//! Runs: what to run, and what is seen of a run.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    fault::Fault,
    id::{CallId, RunId, ThreadId},
    input::RequiredInput,
    message::Message,
    model::{FinishReason, ModelRef, Options, Usage},
    policy::Policies,
    principal::Tenant,
    thread::Continuation,
    time::Timestamp,
    tool::{ToolBinding, ToolTarget},
    trace::Trace,
};

/// Model, instructions and tools of one loop. A value, never a stored resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// Its name in events.
    pub name: String,
    /// The model, aliases resolved.
    pub model: ModelRef,
    /// Models to fall back to, in order.
    pub fallback_models: Vec<ModelRef>,
    /// The system instructions; empty when there are none.
    pub instructions: String,
    /// What it may call, under unique names.
    pub tools: Vec<ToolBinding>,
    /// How to generate.
    pub options: Arc<Options>,
}

impl Agent {
    /// How deep its subagents are nested: 0 for an agent without any.
    pub fn depth(&self) -> u32 {
        let depths = self.tools.iter().map(|binding| match &binding.target {
            ToolTarget::Subagent(subagent) => subagent.agent.depth().saturating_add(1),
            ToolTarget::Attached(_) | ToolTarget::Hosted(_) | ToolTarget::Mcp(_) => 0,
        });
        depths.max().unwrap_or(0)
    }
}

/// What bounds a run and its subagents' runs together. Every bound is set: the server's defaults fill what
/// the caller left open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Most model turns.
    pub max_turns: u32,
    /// Most tool calls.
    pub max_tool_calls: u32,
    /// Most tokens, input and output.
    pub max_tokens: u64,
    /// Most calls in flight.
    pub max_parallel_tool_calls: u32,
    /// Deepest nesting of subagents.
    #[serde(default)]
    pub max_depth: u32,
    /// Wall-clock time, but for what is spent in [`RunState::InputRequired`].
    pub timeout: Duration,
}

/// What to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// The agent.
    pub agent: Agent,
    /// The conversation to answer, never empty.
    pub input: Vec<Arc<Message>>,
    /// What bounds it.
    pub limits: Limits,
    /// For listing, watching and routing.
    pub labels: BTreeMap<String, String>,
    /// Which calls may run, beside what the operator says.
    #[serde(default, skip_serializing_if = "Policies::is_empty")]
    pub policy: Policies,
    /// What it goes on from; `None` begins a new thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continuation: Option<Continuation>,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RunState {
    /// Waits for its thread.
    Queued,
    /// Works.
    Running,
    /// Waits for an answer to at least one of its required inputs; its clock stands still.
    InputRequired,
    /// Was asked to stop and is stopping.
    Cancelling,
    /// Ended well.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Ended by cancellation.
    Cancelled,
}

impl RunState {
    /// Whether the run has ended.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// A run as it is seen from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Whose it is.
    pub tenant: Tenant,
    /// The name of the principal that created it.
    pub creator: Arc<str>,
    /// The agent's name.
    pub agent_name: String,
    /// Where it stands.
    pub state: RunState,
    /// Why it failed, in [`RunState::Failed`].
    pub error: Option<Fault>,
    /// The final answer, in [`RunState::Succeeded`].
    pub output: Option<Arc<Message>>,
    /// Why the model stopped in the last turn.
    pub finish_reason: Option<FinishReason>,
    /// Tokens so far, of the run and its descendants.
    pub usage: Usage,
    /// Tokens so far, by model, of the run and its descendants.
    pub usage_by_model: BTreeMap<ModelRef, Usage>,
    /// Model turns so far.
    pub turn_count: u32,
    /// The newest event of its log, which is the log of its whole tree.
    pub last_sequence: u64,
    /// As given.
    pub labels: BTreeMap<String, String>,
    /// When it was created.
    pub create_time: Timestamp,
    /// When its first turn began.
    pub start_time: Option<Timestamp>,
    /// When it ended.
    pub end_time: Option<Timestamp>,
    /// The model that answers now; changes with a fallback.
    pub model: ModelRef,
    /// Why it was cancelled; empty when no reason was given.
    pub cancel_reason: String,
    /// Where it belongs in the trace of its creator.
    pub trace: Option<Arc<Trace>>,
    /// Who called it, when it is a subagent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Arc<Parent>>,
    /// What it waits for, and since when and how long before.
    #[serde(default, skip_serializing_if = "Waiting::is_none")]
    pub waiting: Waiting,
    /// Its thread, when that began with another run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<ThreadId>,
    /// The run that it goes on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<RunId>,
}

/// What a run waits for of people, and how long it has: time that does not count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// What must be answered, in [`RunState::InputRequired`].
    pub inputs: Vec<Arc<RequiredInput>>,
    /// Whether nothing else is under way, so that nothing is lost when the run is not even in memory.
    pub is_idle: bool,
    /// Since when it waits.
    pub since: Option<Timestamp>,
    /// How long it has waited before.
    pub before: Duration,
}

impl Waiting {
    /// Whether there is nothing to say.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Where a subagent's run hangs in its tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The top of the tree, whose log has all of its events.
    pub root_id: RunId,
    /// The run that called.
    pub run_id: RunId,
    /// Its call.
    pub call_id: CallId,
}

impl Run {
    /// Its thread: the one that its tree has begun, unless another run has.
    pub fn thread_id(&self) -> ThreadId {
        self.thread.unwrap_or(ThreadId::begun_by(self.root_id()))
    }

    /// Whether it ever left its place in the line of its thread.
    pub const fn has_begun(&self) -> bool {
        self.start_time.is_some()
    }

    /// The top of its tree: itself, for a run that nobody's model has called.
    pub fn root_id(&self) -> RunId {
        self.parent
            .as_ref()
            .map_or(self.id, |parent| parent.root_id)
    }

    /// It waits for these inputs from now on; for none, it goes on.
    pub fn wait_for(&mut self, now: Timestamp, inputs: Vec<Arc<RequiredInput>>, is_idle: bool) {
        if self.state == RunState::Running && !inputs.is_empty() {
            self.state = RunState::InputRequired;
            self.waiting.since = Some(now);
        }
        if self.state == RunState::InputRequired && inputs.is_empty() {
            self.state = RunState::Running;
        }
        if inputs.is_empty()
            && let Some(since) = self.waiting.since.take()
        {
            self.waiting.before += now.since(since);
        }
        self.waiting.inputs = inputs;
        self.waiting.is_idle = is_idle;
    }

    /// The same run, seen when this was the newest event of its log.
    #[must_use]
    pub fn seen_at(self: &Arc<Self>, last_sequence: u64) -> Arc<Self> {
        if self.last_sequence == last_sequence {
            return Arc::clone(self);
        }
        Arc::new(Self {
            last_sequence,
            ..Self::clone(self)
        })
    }
}

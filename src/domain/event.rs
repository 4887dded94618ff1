//! The event log of a run: facts, numbered. Replaying them rebuilds state and does nothing else;
//! commands to tool hosts are never events.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    completion::Delta,
    fault::Fault,
    id::{CallId, HostId, MessageId, RunId},
    input::InputAnswered,
    json::JsonText,
    message::{Message, Part, ToolCall, ToolResult},
    model::{FinishReason, ModelRef, Usage},
    policy::PolicyDecision,
    run::Run,
    time::Timestamp,
    tool::ToolSpec,
};

/// An entry of a run's log that is kept. What is stored is a promise: variants and fields are added,
/// never changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The place in the run's log: strictly increasing, with gaps where deltas were.
    pub sequence: u64,
    /// Whose it is, when it is a subagent's run: the log is that of a whole tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// When it happened.
    pub time: Timestamp,
    /// What happened.
    pub fact: Fact,
}

impl Event {
    /// How the run whose log it is stands, when this says so.
    pub fn root(&self) -> Option<&Arc<Run>> {
        self.run_id.is_none().then(|| self.updated()).flatten()
    }

    /// How a subagent's run stands, when this says so.
    pub fn child(&self) -> Option<&Arc<Run>> {
        self.run_id.and_then(|_| self.updated())
    }

    const fn updated(&self) -> Option<&Arc<Run>> {
        match &self.fact {
            Fact::RunUpdated(run) => Some(run),
            Fact::MessageCompleted(_)
            | Fact::MessageDiscarded { .. }
            | Fact::ToolCallUpdated(_)
            | Fact::InputAnswered(_)
            | Fact::PolicyDecided(_) => None,
        }
    }

    /// The calls that it brings into the world.
    pub fn new_calls(&self) -> impl Iterator<Item = &CallId> {
        let message = match &self.fact {
            Fact::MessageCompleted(completed) => Some(&completed.message),
            Fact::RunUpdated(_)
            | Fact::MessageDiscarded { .. }
            | Fact::ToolCallUpdated(_)
            | Fact::InputAnswered(_)
            | Fact::PolicyDecided(_) => None,
        };
        message
            .into_iter()
            .flat_map(|message| message.tool_calls().map(|call| &call.id))
    }
}

/// A fact on its way into a log, where it will have a place and a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Whose it is, when it is a subagent's run.
    pub run_id: Option<RunId>,
    /// What happened.
    pub fact: Fact,
}

impl From<Fact> for Entry {
    /// A fact about the run whose log it is.
    fn from(fact: Fact) -> Self {
        Self { run_id: None, fact }
    }
}

/// What happened, for good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Fact {
    /// The run changed; the last one of a run has a terminal state.
    RunUpdated(Arc<Run>),
    /// A message is complete and part of the conversation.
    MessageCompleted(Arc<RunMessage>),
    /// A message that had begun will not be completed.
    MessageDiscarded {
        /// The message.
        message_id: MessageId,
        /// Why.
        error: Fault,
    },
    /// A tool call changed its state.
    ToolCallUpdated(Arc<ToolCallUpdate>),
    /// Somebody answered what the run waited for, or nobody did in time.
    InputAnswered(Arc<InputAnswered>),
    /// A policy decided about a call. Not told of calls that run because no rule says anything.
    PolicyDecided(Arc<PolicyDecision>),
}

/// A message of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunMessage {
    /// The message, with its id.
    pub message: Arc<Message>,
    /// For the model's messages: how the turn went.
    pub turn: Option<Turn>,
}

/// How a model turn went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// The model that answered.
    pub model: ModelRef,
    /// Why it stopped.
    pub finish_reason: FinishReason,
    /// The provider's own word for it.
    pub provider_finish_reason: String,
    /// Tokens of this turn.
    pub usage: Usage,
    /// The provider's extra response fields, a JSON object.
    pub provider_metadata: Option<JsonText>,
}

/// Where a tool call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CallState {
    /// Waits for its approval or for a host.
    Pending,
    /// A host has accepted it.
    Running,
    /// It has asked a question; its clock stands still.
    InputRequired,
    /// Done; the tool may still have reported an error.
    Succeeded,
    /// Could not be done.
    Failed,
    /// Cancelled.
    Cancelled,
}

impl CallState {
    /// Whether the call has ended.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// The state of a tool call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCallUpdate {
    /// The call.
    pub call: Arc<ToolCall>,
    /// Where it stands.
    pub state: CallState,
    /// Which delivery, from 1; 0 when it was never delivered.
    pub attempt: u32,
    /// Where it runs.
    pub host_id: Option<HostId>,
    /// In [`CallState::Succeeded`]; in the other terminal states, what the model is told instead.
    pub result: Option<Arc<ToolResult>>,
    /// In [`CallState::Failed`] and [`CallState::Cancelled`].
    pub error: Option<Fault>,
    /// With the first update of a call that will be delivered: what a later life of the run needs to
    /// deliver it again. Nobody is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Arc<CallPlan>>,
}

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallPlan {
    /// Which of the agent's bindings, from 0.
    pub binding: usize,
    /// The definition that the model saw, when it is not the agent's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<Arc<ToolSpec>>,
}

/// An entry of a run's log that is not kept: for display while it lasts.
#[derive(Clone, Debug, PartialEq)]
pub enum Ephemeral {
    /// A message grows. Several deltas may have been merged.
    MessageDelta {
        /// The message.
        message_id: MessageId,
        /// The increments, in order.
        deltas: Vec<Delta>,
    },
    /// A tool call reports how far it is; only the latest counts.
    Progress {
        /// The call's state, as it was at its last [`Fact::ToolCallUpdated`].
        update: Arc<ToolCallUpdate>,
        /// How far it is.
        progress: Progress,
    },
}

/// How far a running call is.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Increases.
    pub progress: f64,
    /// The value of `progress` when done; `None` when not known.
    pub total: Option<f64>,
    /// For people.
    pub message: String,
    /// Output so far, for people; the model sees only the result.
    pub parts: Vec<Part>,
}

//! One model turn: what is asked, how the answer grows, what it is in the end.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    fault::Fault,
    id::CallId,
    json::JsonText,
    message::Message,
    model::{FinishReason, ModelRef, Options, Usage},
    tool::ToolSpec,
};

/// What a model is asked for. Cheap to clone: a retry or a fallback shares the conversation.
#[derive(Clone, Debug)]
pub struct Request {
    /// The conversation, never empty.
    pub messages: Vec<Arc<Message>>,
    /// Tools that the model may call, in the order it sees them.
    pub tools: Arc<[Arc<ToolSpec>]>,
    /// The options.
    pub options: Arc<Options>,
}

/// An increment of the answer. For display only: the [`Completion`] is the truth.
#[derive(Clone, Debug, PartialEq)]
pub struct Delta {
    /// Which part grows. A new index begins a new part; indexes are dense and in order.
    pub part_index: u32,
    /// By what.
    pub grown: Grown,
}

/// What a part grew by. The first delta of a part decides its kind.
#[derive(Clone, PartialEq)]
pub enum Grown {
    /// Text.
    Text(String),
    /// Reasoning.
    Reasoning(String),
    /// A new call, without arguments as yet.
    ToolCall {
        /// The call's id, the same as in the completion.
        id: CallId,
        /// The tool's name.
        name: String,
    },
    /// A fragment of a call's arguments.
    Arguments(String),
}

impl std::fmt::Debug for Grown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Reasoning(text) => write!(f, "Reasoning({} bytes)", text.len()),
            Self::ToolCall { id, name } => write!(f, "ToolCall({name} {id})"),
            Self::Arguments(text) => write!(f, "Arguments({} bytes)", text.len()),
        }
    }
}

/// The result of one model turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    /// The model that answered; it may be a fallback.
    pub model: ModelRef,
    /// The assistant's message.
    pub message: Message,
    /// Why it stopped.
    pub finish_reason: FinishReason,
    /// The provider's own word for it; empty when it gave none.
    pub provider_finish_reason: String,
    /// Tokens; all zero when the provider reported none.
    pub usage: Usage,
    /// The provider's extra response fields, a JSON object.
    pub provider_metadata: Option<JsonText>,
}

/// What happens while a model answers, in order: `Started`, any number of `Delta`s, `Finished`.
///
/// A stream of these ends after `Finished`, or with a [`Fault`] in its place. Where a broken answer is
/// begun again, `Discarded` withdraws every delta since the last `Started`, and a new `Started` follows.
#[derive(Clone, Debug)]
pub enum ModelEvent {
    /// The provider has begun to answer.
    Started {
        /// The model that answers.
        model: ModelRef,
    },
    /// The answer grows.
    Delta(Delta),
    /// What was shown will not be completed.
    Discarded(Fault),
    /// The whole answer.
    Finished(Box<Completion>),
}

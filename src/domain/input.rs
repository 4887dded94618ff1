//! What a run waits for: approvals of its calls and answers to its tools' questions.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    id::{CallId, InputId},
    json::JsonText,
    message::ToolCall,
    time::Timestamp,
};

/// Something that a person or system must answer before a call goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequiredInput {
    /// The id, to answer with.
    pub id: InputId,
    /// The call that is to be approved, or that asks.
    pub call_id: CallId,
    /// What is asked.
    pub ask: Ask,
    /// For an approval: why the policy asks for it; empty when it does not say.
    pub reason: String,
    /// When it is declined by itself.
    pub expire_time: Timestamp,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Ask {
    /// May this call run, with exactly these arguments?
    Approval(Arc<ToolCall>),
    /// What a tool wants to know.
    Question(Arc<Question>),
}

/// Asks a person something.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Which question of its delivery, from 1.
    pub number: u32,
    /// For the person.
    pub message: String,
    /// JSON Schema of the answer.
    pub schema: Option<JsonText>,
}

impl fmt::Debug for Question {
    /// The length only: what a tool asks may hold what nobody else shall read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Question {}({} bytes)", self.number, self.message.len())
    }
}

/// What an answer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Approves, or answers.
    Accept,
    /// Refuses.
    Decline,
}

/// An answer to a [`RequiredInput`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputAnswer {
    /// To which.
    pub input_id: InputId,
    /// Whether it is accepted.
    pub verdict: Verdict,
    /// With [`Verdict::Accept`]: the edited arguments of a call, or the answer to a question.
    pub content: Option<JsonText>,
    /// Told to the model; empty when there is none.
    pub reason: String,
}

impl fmt::Debug for InputAnswer {
    /// Without the content and the reason, which are between the person and the model.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InputAnswer({} {:?})", self.input_id, self.verdict)
    }
}

/// An answer that counted, as an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputAnswered {
    /// The answer.
    pub answer: InputAnswer,
    /// The call that it is about.
    pub call_id: CallId,
    /// Who gave it, as the server has authenticated it; `None`: nobody did in time.
    pub principal: Option<Arc<str>>,
}

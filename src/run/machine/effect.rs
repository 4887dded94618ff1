//! What goes into the machine and what comes out of it.

use std::sync::Arc;

use crate::{
    domain::{
        call::{Assignment, Delivery, Disposition, Report, StopReason},
        completion::{Completion, Request},
        event::{Fact, Progress, ToolCallUpdate},
        fault::Fault,
        id::{HostId, MessageId},
        input::InputAnswer,
        json::JsonText,
        message::Message,
        model::ModelRef,
        tool::ToolSpec,
    },
    run::port::Offer,
};

/// What happens to a run. Ids that the machine needs come with the input that needs them.
#[derive(Clone, Debug)]
pub enum Input {
    /// First, once.
    Begin,
    /// Those before it in its thread have ended: a run that was queued begins.
    Proceed,
    /// What was said before the run: the answer to [`Effect::Recall`].
    Recalled(Vec<Arc<Message>>),
    /// Somebody says something to the run, for its next turn.
    AddMessages(Vec<Arc<Message>>),
    /// First, once, of a run that a [`History`](super::History) has restored.
    Resume {
        /// The id that the model's next message would have had: it may have been shown in part.
        message_id: MessageId,
        /// Why the run is not to go on but to end.
        end: Option<Fault>,
    },
    /// [`Machine::deadline`](super::Machine::deadline) has come.
    Tick,
    /// The definitions behind the agent's bindings: the answer to [`Effect::Offer`].
    Offered(Vec<Offer>),
    /// The other answer: nobody has registered the tool of this binding as yet. Asked again whenever
    /// registrations change.
    Missing {
        /// Which of the agent's bindings.
        binding: usize,
    },
    /// The answer to [`Effect::Check`], in its order.
    Checked(Vec<Result<(), Fault>>),
    /// A model has begun to answer.
    ModelStarted {
        /// Which.
        model: ModelRef,
        /// The id that its message shall have.
        message_id: MessageId,
    },
    /// The first delta of that message has been shown: it must be completed or discarded.
    MessageShown,
    /// What was shown will not be completed; another answer may follow.
    ModelDiscarded(Fault),
    /// The answer.
    ModelFinished(Box<Answered>),
    /// There will be no answer: every model has been tried as often as it may.
    ModelFailed(Fault),
    /// News of a tool call.
    Call {
        /// Which delivery.
        delivery: Delivery,
        /// What.
        news: News,
    },
    /// Somebody asks the run to stop.
    Cancel {
        /// Kept in the log.
        reason: String,
    },
    /// Somebody answers inputs that the run waits for: all of them, or none when it does not wait for one.
    Answer {
        /// The answers, to different inputs.
        answers: Vec<InputAnswer>,
        /// Who gives them.
        principal: Arc<str>,
    },
    /// The run cannot go on.
    Abort(Fault),
}

/// A model's answer, with the ids that it gives rise to.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The answer.
    pub completion: Completion,
    /// The id of its message.
    pub message_id: MessageId,
    /// The id of the message with the results, should it ask for calls.
    pub results_id: MessageId,
}

/// What happened to a delivery: [`CallNews`](crate::run::port::CallNews) without the receipt slip,
/// which the driver keeps.
#[derive(Clone, Debug)]
pub enum News {
    /// A host was chosen.
    Assigned {
        /// Which.
        host_id: HostId,
    },
    /// The host said something.
    Reported {
        /// Who.
        host_id: HostId,
        /// What.
        report: Report,
    },
    /// It was never begun.
    NotBegun,
    /// Its host was lost after it had accepted.
    Lost,
    /// Only other versions of the tool are offered.
    Changed,
    /// Cancelled before any host had it.
    Withdrawn,
}

/// What the driver shall do, after the facts of the same step are stored.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Read what was said before the run.
    Recall,
    /// Look up the definitions of the agent's tools, and again when registrations change, until they
    /// are all there.
    Offer,
    /// Check arguments against schemas.
    Check(Vec<(Arc<ToolSpec>, JsonText)>),
    /// Ask the model.
    CallModel(Request),
    /// Drop the model's answer, which aborts the provider's request.
    StopModel,
    /// Send a call to a host.
    Assign(Box<Assignment>),
    /// Tell a delivery's host to stop.
    Cancel(Delivery, StopReason),
    /// Tell a delivery's host what was answered to its question of this number.
    Answer(Delivery, u32, Arc<InputAnswer>),
    /// A delivery is over.
    Release(Delivery),
    /// Show how far a call is.
    Progress(Arc<ToolCallUpdate>, Progress),
}

/// What a step asks for.
#[derive(Debug, Default)]
pub struct Step {
    /// To be stored, in one append, before anything else of this step is done.
    pub facts: Vec<Fact>,
    /// To be done then, in order.
    pub effects: Vec<Effect>,
    /// What became of the report that the input brought; to be answered then.
    pub receipt: Option<Disposition>,
}

//! Why a call has no result of its tool: what the log says, and what the model is told.

use std::time::Duration;

use crate::domain::{
    event::CallState,
    fault::{Fault, Reason},
    id::CallId,
    message::ToolResult,
};

/// Why a call has no result of its tool.
///
/// Each becomes an error result for the model, in words that help it to go on, and a fault for the log.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    /// The agent has no such tool.
    Unknown {
        /// The tools that it has.
        known: String,
    },
    /// The run was started with the choice of no tools.
    Forbidden,
    /// The arguments are no JSON object.
    Malformed(String),
    /// The arguments do not fit the schema.
    Invalid(Fault),
    /// A policy does not allow the call, for this reason if it gives one.
    Denied(String),
    /// Whoever was asked has declined, for this reason if one was given.
    Declined(String),
    /// Nobody has answered in time.
    Unanswered,
    /// No host accepted the call in time.
    NoHost(Duration),
    /// The host was lost, too often.
    HostLost,
    /// The host was lost after it had begun what must not be begun twice.
    OutcomeUnknown,
    /// The tool took too long.
    TimedOut(Duration),
    /// The tool fell silent.
    Silent(Duration),
    /// The definition has changed.
    Changed,
    /// The host could not do it.
    Failed(Fault),
    /// The result is too large.
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The largest that is taken.
        limit: usize,
    },
    /// The run is being cancelled.
    Cancelled,
    /// The run has ended for another reason.
    RunEnded(Reason),
}

impl Trouble {
    /// What the log says.
    pub(super) fn fault(&self) -> Fault {
        match self {
            Self::Unknown { .. } => Fault::new(Reason::ToolUnknown, "the agent has no such tool"),
            Self::Forbidden => Fault::new(Reason::ToolUnknown, "the run may use no tools"),
            Self::Malformed(_) => Fault::new(
                Reason::ArgumentsMalformed,
                "the arguments are not a JSON object",
            ),
            Self::Invalid(fault) => fault.clone(),
            Self::Denied(_) => Fault::new(Reason::PolicyDenied, "a policy does not allow the call"),
            Self::Declined(_) => Fault::new(Reason::InputDeclined, "the call was declined"),
            Self::Unanswered => Fault::new(Reason::InputDeclined, "nobody has answered in time"),
            Self::NoHost(waited) => Fault::new(Reason::NoHost, "no host accepted the call in time")
                .with("accept_timeout_ms", waited.as_millis()),
            Self::HostLost => Fault::new(
                Reason::HostLost,
                "the host was lost, and the call was delivered as often as it may be",
            ),
            Self::OutcomeUnknown => Fault::new(
                Reason::OutcomeUnknown,
                "the host was lost after it had accepted a call that may not be delivered twice",
            ),
            Self::TimedOut(limit) => Fault::new(Reason::ToolTimeout, "the tool took too long")
                .with("timeout_ms", limit.as_millis()),
            Self::Silent(limit) => Fault::new(Reason::ToolTimeout, "the tool fell silent")
                .with("progress_timeout_ms", limit.as_millis()),
            Self::Changed => Fault::new(
                Reason::ToolChanged,
                "the definition that the model saw is offered no longer",
            ),
            Self::Failed(cause) => Fault {
                metadata: cause.metadata.clone(),
                ..Fault::new(Reason::ToolFailed, "the host could not do the call")
            }
            .with("cause", &cause.message),
            Self::TooLarge { bytes, limit } => {
                Fault::new(Reason::ResultTooLarge, "the result is too large")
                    .with("bytes", bytes)
                    .with("limit", limit)
            }
            Self::Cancelled => Fault::new(Reason::Cancelled, "the run was cancelled"),
            Self::RunEnded(reason) => Fault::new(
                *reason,
                "the run ended before the call had a result of its tool",
            ),
        }
    }

    /// What the model is told instead of a result.
    pub(super) fn told(&self, call_id: &CallId) -> ToolResult {
        let text = match self {
            Self::Unknown { known } if known.is_empty() => {
                "There is no such tool. There are no tools.".to_owned()
            }
            Self::Unknown { known } => {
                format!("There is no such tool. The tools are: {known}.")
            }
            Self::Forbidden => "Tools may not be used here.".to_owned(),
            Self::Malformed(why) => {
                format!("The arguments must be one JSON object. {why}. The tool was not run.")
            }
            Self::Invalid(fault) => {
                format!("{}. The tool was not run.", fault.message)
            }
            Self::Denied(why) => because(
                "A policy does not allow this call. The tool was not run.",
                why,
            ),
            Self::Declined(why) => because(
                "This call was declined by a person. The tool was not run.",
                why,
            ),
            Self::Unanswered => {
                "This call needs an approval, and nobody has given one in time. The tool was \
                 not run."
                    .to_owned()
            }
            Self::NoHost(_) => "The tool is not available at present. It was not run.".to_owned(),
            Self::HostLost => {
                "The connection to the tool was lost again and again. Its result is not known."
                    .to_owned()
            }
            Self::OutcomeUnknown => {
                "The connection to the tool was lost while it ran. The call may or may not \
                 have had its effect; find out before you repeat it."
                    .to_owned()
            }
            Self::TimedOut(limit) => format!(
                "The tool did not finish within {} s and was stopped. It may have had part \
                 of its effect.",
                limit.as_secs_f64()
            ),
            Self::Silent(limit) => format!(
                "The tool showed no progress for {} s and was stopped. It may have had part \
                 of its effect.",
                limit.as_secs_f64()
            ),
            Self::Changed => {
                "The tool's definition has changed. It was not run. Read the new definition \
                 before you call it again."
                    .to_owned()
            }
            Self::Failed(_) => "The tool could not be run, for a technical reason.".to_owned(),
            Self::TooLarge { bytes, limit } => format!(
                "The tool has run, but its result of {bytes} bytes is larger than the \
                 {limit} bytes allowed. Ask for less at a time."
            ),
            Self::Cancelled => "Cancelled before there was a result.".to_owned(),
            Self::RunEnded(_) => "Not run to its end, because the run ended.".to_owned(),
        };
        ToolResult::error(call_id.clone(), text)
    }

    /// How the call ends.
    pub(super) const fn state(&self) -> CallState {
        match self {
            Self::Declined(_) | Self::Unanswered | Self::Cancelled | Self::RunEnded(_) => {
                CallState::Cancelled
            }
            Self::Unknown { .. }
            | Self::Forbidden
            | Self::Malformed(_)
            | Self::Invalid(_)
            | Self::Denied(_)
            | Self::NoHost(_)
            | Self::HostLost
            | Self::OutcomeUnknown
            | Self::TimedOut(_)
            | Self::Silent(_)
            | Self::Changed
            | Self::Failed(_)
            | Self::TooLarge { .. } => CallState::Failed,
        }
    }
}

/// What happened, and the reason that somebody has given for it.
fn because(what: &str, why: &str) -> String {
    if why.is_empty() {
        return what.to_owned();
    }
    format!("{what} The reason given: {why}")
}

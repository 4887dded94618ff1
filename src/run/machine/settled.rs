//! What is answered to reports that come after a delivery is over.

use crate::domain::{
    call::{Disposition, Report},
    event::{CallState, ToolCallUpdate},
    fault::Reason,
};

/// How a call was settled: enough of it to tell a repeated report from one that comes too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::run) struct Settled {
    attempt: u32,
    accepted: bool,
    by: By,
}

/// Which report settled it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Result,
    Failure,
    Stop,
    None,
}

impl From<&ToolCallUpdate> for Settled {
    fn from(update: &ToolCallUpdate) -> Self {
        let reason = update.error.as_ref().map(|error| error.reason);
        let by = match update.state {
            CallState::Succeeded => By::Result,
            CallState::Failed if reason == Some(Reason::ResultTooLarge) => By::Result,
            CallState::Failed if reason == Some(Reason::ToolFailed) => By::Failure,
            CallState::Cancelled => By::Stop,
            CallState::Failed
            | CallState::Pending
            | CallState::Running
            | CallState::InputRequired => By::None,
        };
        // Whoever still asks whether it may begin has not begun what nobody waits for any more.
        let unknown = reason == Some(Reason::OutcomeUnknown);
        Self {
            attempt: update.attempt,
            accepted: update.host_id.is_some() && !unknown,
            by,
        }
    }
}

impl Settled {
    /// What became of a report on the given delivery of the call.
    pub(in crate::run) fn disposition(self, attempt: u32, report: &Report) -> Disposition {
        let counted = match report {
            Report::Accepted | Report::Question(_) => true,
            Report::Result(_) => self.by == By::Result,
            Report::Failed(_) => self.by == By::Failure,
            Report::Stopped => self.by == By::Stop,
            Report::Rejected(_) | Report::Progress(_) => false,
        };
        if attempt == self.attempt && self.accepted && counted {
            Disposition::Duplicate
        } else {
            Disposition::Stale
        }
    }
}

//! What a call fails with.

use std::{collections::BTreeMap, fmt, iter, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::pb::v1 as pb;

/// A failed call, or what a failed run says of itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// The canonical code.
    pub code: Code,
    /// The stable reason (`ErrorReason` without its prefix); empty when the failure did not come from
    /// the server: a connection that broke, an answer of something in between.
    pub reason: String,
    /// For developers.
    pub message: String,
    /// What varies in the message, as data.
    pub metadata: BTreeMap<String, String>,
    /// The fields that are wrong, of a request that is.
    pub violations: Vec<Violation>,
    /// When trying again may help: how long to wait first.
    pub retry_delay: Option<Duration>,
}

/// A field of a request that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its path.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reason.is_empty() {
            // `Code` prints a sentence; its name is what people search for.
            write!(f, "{:?}: {}", self.code, self.message)
        } else {
            write!(f, "{}: {}", self.reason, self.message)
        }
    }
}

impl Error {
    /// A failure on this side.
    pub(super) fn local(message: impl Into<String>) -> Self {
        Self {
            code: Code::Unavailable,
            reason: String::new(),
            message: message.into(),
            metadata: BTreeMap::new(),
            violations: Vec::new(),
            retry_delay: None,
        }
    }

    /// A request that cannot be sent.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self {
            code: Code::InvalidArgument,
            ..Self::local(message)
        }
    }

    /// An answer that breaks the contract.
    pub(super) fn protocol(message: impl Into<String>) -> Self {
        Self {
            code: Code::Internal,
            ..Self::local(message)
        }
    }

    /// Whether a call that may be repeated is worth repeating: the server is unavailable, or the
    /// connection broke under the call.
    pub fn is_transient(&self) -> bool {
        // A status without a reason was made by a client library or a proxy: a broken connection shows
        // as any of these.
        let broken = matches!(self.code, Code::Unknown | Code::Internal | Code::Cancelled);
        self.code == Code::Unavailable || (self.reason.is_empty() && broken)
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        Self {
            code: status.code(),
            reason: info.map(|info| info.reason.clone()).unwrap_or_default(),
            message: message_of(&status),
            metadata: info
                .map(|info| info.metadata.clone().into_iter().collect())
                .unwrap_or_default(),
            violations: details
                .bad_request()
                .map(|request| request.field_violations.as_slice())
                .unwrap_or_default()
                .iter()
                .map(|violation| Violation {
                    field: violation.field.clone(),
                    description: violation.description.clone(),
                })
                .collect(),
            retry_delay: details.retry_info().and_then(|info| info.retry_delay),
        }
    }
}

/// The message. A status that has a cause was made on this side, of a connection that could not be made
/// or broke; its innermost cause says why.
fn message_of(status: &Status) -> String {
    let causes = iter::successors(std::error::Error::source(status), |cause| cause.source());
    match causes.last() {
        Some(why) => format!("the connection failed: {why}"),
        None => status.message().to_owned(),
    }
}

impl From<pb::Error> for Error {
    fn from(error: pb::Error) -> Self {
        Self {
            code: Code::from_i32(error.code),
            reason: error.reason,
            message: error.message,
            metadata: error.metadata.into_iter().collect(),
            violations: Vec::new(),
            retry_delay: error
                .retry_delay
                .and_then(|delay| Duration::try_from(delay).ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn the_details_of_a_status_are_read() {
        let mut details = ErrorDetails::new();
        details.set_error_info(
            "PROVIDER_RATE_LIMITED",
            "runwire.dev",
            [("provider".to_owned(), "openai".to_owned())],
        );
        details.set_retry_info(Some(Duration::from_secs(7)));
        details.add_bad_request_violation("params.model", "is empty");
        let status = Status::with_error_details(Code::ResourceExhausted, "slow down", details);
        let error = Error::from(status);
        assert_eq!(error.to_string(), "PROVIDER_RATE_LIMITED: slow down");
        assert_eq!(error.metadata["provider"], "openai");
        assert_eq!(error.violations[0].field, "params.model");
        assert_eq!(error.retry_delay, Some(Duration::from_secs(7)));
        assert!(!error.is_transient());
    }

    #[test]
    fn a_broken_connection_is_transient_and_a_reasoned_failure_is_not() {
        for (code, reason, transient) in [
            (Code::Unavailable, "", true),
            (Code::Unavailable, "SERVER_DRAINING", true),
            (Code::Unknown, "", true),
            (Code::Internal, "", true),
            (Code::Internal, "INTERNAL", false),
            (Code::NotFound, "", false),
            (Code::DeadlineExceeded, "", false),
        ] {
            let mut error = Error::local("x");
            error.code = code;
            reason.clone_into(&mut error.reason);
            assert_eq!(error.is_transient(), transient, "{code:?} {reason}");
        }
    }
}

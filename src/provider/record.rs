//! A line in the log for every call of a provider, written when the call is over.
//!
//! It names provider and model, the HTTP status, the provider's id of the request, how long it took and
//! how many tokens; never what was said, and no key. An answer is logged at `debug`, a failure at `info`,
//! and at `warn` where an operator must act.

use http::HeaderMap;
use tokio::time::Instant;

use super::http::Response;
use crate::domain::{
    completion::Completion,
    fault::{Fault, Reason},
    model::{FinishReason, ModelRef, Usage},
};

/// The headers in which vendors name a request, in the order in which they are looked for.
const REQUEST_IDS: [&str; 6] = [
    "x-request-id",
    "request-id",
    "x-amzn-requestid",
    "apim-request-id",
    "x-goog-request-id",
    "cf-ray",
];

/// The longest id that is believed.
const MAX_ID_BYTES: usize = 128;

/// What is known of a call. Dropping it writes the line.
#[derive(Debug)]
pub(super) struct Record {
    model: ModelRef,
    begun: Instant,
    status: Option<u16>,
    request_id: Option<String>,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    /// It has not begun.
    New,
    /// Nobody waits for its end any more.
    Dropped,
    /// It has ended well.
    Answered(FinishReason, Usage),
    /// It has not.
    Failed(Reason),
}

impl Record {
    /// A call that has not begun.
    pub(super) fn new(model: ModelRef) -> Self {
        Self {
            model,
            begun: Instant::now(),
            status: None,
            request_id: None,
            outcome: Outcome::New,
        }
    }

    /// The call begins.
    pub(super) fn begin(&mut self) {
        self.begun = Instant::now();
        self.outcome = Outcome::Dropped;
    }

    /// The provider begins to answer.
    pub(super) fn head(&mut self, response: &Response) {
        self.status = Some(response.status.as_u16());
        self.request_id = request_id(&response.headers);
    }

    /// The answer is whole.
    pub(super) const fn answered(&mut self, completion: &Completion) {
        self.outcome = Outcome::Answered(completion.finish_reason, completion.usage);
    }

    /// The call has failed.
    pub(super) const fn failed(&mut self, fault: &Fault) {
        self.outcome = Outcome::Failed(fault.reason);
    }
}

/// One event with the fields that all outcomes have.
macro_rules! line {
    ($level:ident, $record:ident, $message:literal $(, $($field:tt)+)?) => {
        tracing::$level!(
            provider = %$record.model.provider,
            model = %$record.model.model,
            status = $record.status,
            request_id = $record.request_id.as_deref(),
            duration_ms = u64::try_from($record.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            $($($field)+,)?
            $message
        )
    };
}

impl Drop for Record {
    fn drop(&mut self) {
        match &self.outcome {
            Outcome::New => {}
            Outcome::Dropped => line!(debug, self, "model call dropped"),
            Outcome::Answered(reason, usage) => line!(
                debug,
                self,
                "model call",
                finish_reason = ?reason,
                input_tokens = usage.input_tokens,
                cache_read_tokens = usage.cache_read_tokens,
                output_tokens = usage.output_tokens,
                reasoning_tokens = usage.reasoning_tokens
            ),
            Outcome::Failed(reason) if wants_an_operator(*reason) => {
                line!(warn, self, "model call failed", reason = %reason);
            }
            Outcome::Failed(reason) => line!(info, self, "model call failed", reason = %reason),
        }
    }
}

/// Whether nothing helps but somebody who changes the configuration or the account.
fn wants_an_operator(reason: Reason) -> bool {
    [
        Reason::ProviderCredentialsMissing,
        Reason::ProviderCredentialsRejected,
        Reason::ProviderQuotaExhausted,
        Reason::ProviderResponseInvalid,
        Reason::ModelNotPermitted,
        Reason::Internal,
    ]
    .contains(&reason)
}

/// The provider's id of the request.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let found = REQUEST_IDS.iter().find_map(|name| headers.get(*name))?;
    let id = found.to_str().ok()?;
    (id.len() <= MAX_ID_BYTES).then(|| id.to_owned())
}

#[cfg(test)]
mod tests;

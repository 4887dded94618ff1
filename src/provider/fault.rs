//! What a provider's error means: HTTP status and body to [`Fault`].
//!
//! One table for all protocols. What the vendors say in words is compared with known words and then
//! forgotten: it may quote the prompt, so it reaches neither a message nor a log.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::{Value, value::RawValue};

use super::wait;
use crate::domain::fault::{Fault, Reason};

/// How long to wait where the provider does not say.
const SOON: Duration = Duration::from_millis(500);

/// An error in the provider's own words, lower case where they are matched.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct Words {
    /// Its code, such as `context_length_exceeded`.
    pub code: String,
    /// Its type, such as `invalid_request_error`.
    pub kind: String,
    /// Its message. Never shown.
    pub message: String,
    /// The parameter it complains about.
    pub parameter: String,
    /// A status it names, where the error comes under a status of success.
    pub status: Option<StatusCode>,
}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Words({}, {})", self.code, self.kind)
    }
}

impl Words {
    /// Looks for an error in a body, in the shapes that the vendors use:
    /// `{"error": {"message", "type", "code", "param", "status"}}`, `{"error": "…"}`, and the same
    /// fields, or `detail`, at the top; perhaps in an array. Empty when there is none.
    pub(crate) fn parse(body: &[u8]) -> Self {
        let Ok(mut body) = serde_json::from_slice::<Value>(body) else {
            return Self::default();
        };
        if let Value::Array(items) = &mut body {
            let first = items.first_mut().map(Value::take);
            body = first.unwrap_or_default();
        }
        match body.get("error") {
            Some(Value::String(message)) => Self {
                message: message.to_lowercase(),
                ..Self::of(&body)
            },
            Some(error @ Value::Object(_)) => Self::of(error),
            Some(_) | None => Self::of(&body),
        }
    }

    /// Reads the fields of an error object.
    pub(crate) fn of(error: &Value) -> Self {
        let word = |key: &str| match error.get(key) {
            Some(Value::String(text)) => text.to_lowercase(),
            Some(Value::Number(number)) => number.to_string(),
            Some(other @ (Value::Object(_) | Value::Array(_))) => other.to_string().to_lowercase(),
            Some(Value::Null | Value::Bool(_)) | None => String::new(),
        };
        let or = |first: String, second: &str| {
            if first.is_empty() {
                word(second)
            } else {
                first
            }
        };
        let code = word("code");
        let status = code
            .parse()
            .ok()
            .and_then(|code| StatusCode::from_u16(code).ok())
            .filter(|status| status.is_client_error() || status.is_server_error());
        Self {
            code,
            kind: or(word("type"), "status"),
            message: or(word("message"), "detail"),
            parameter: word("param"),
            status,
        }
    }

    fn name(&self, words: &[&str]) -> bool {
        words
            .iter()
            .any(|word| self.code.contains(word) || self.kind.contains(word))
    }

    fn say(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.message.contains(word))
    }

    /// A cause that holds whatever the status is.
    fn cause(&self) -> Option<Reason> {
        if self.name(&["context_length", "context_window"])
            || self.say(&[
                "maximum context length",
                "context window",
                "context length",
                "prompt is too long",
                "too many tokens",
                "exceeds the available context",
            ])
        {
            return Some(Reason::ContextLengthExceeded);
        }
        if self.name(&["insufficient_quota", "billing", "insufficient_balance"])
            || self.say(&["exceeded your current quota", "credit balance"])
        {
            return Some(Reason::ProviderQuotaExhausted);
        }
        if self.name(&["overloaded"]) || self.say(&["overloaded", "over capacity"]) {
            return Some(Reason::ProviderOverloaded);
        }
        if self.name(&["rate_limit", "resource_exhausted", "throttl"]) {
            return Some(Reason::ProviderRateLimited);
        }
        if self.name(&["model_not_found", "not_found_error"]) {
            return Some(Reason::ModelNotFound);
        }
        if self.name(&["invalid_api_key", "authentication_error"]) {
            return Some(Reason::ProviderCredentialsRejected);
        }
        None
    }
}

/// The fault behind a status other than success.
pub(crate) fn of_status(status: StatusCode, headers: &HeaderMap, words: &Words) -> Fault {
    let mut fault = of_reason(reason_of(status, words), headers).with("status", status.as_u16());
    if !words.parameter.is_empty()
        && words.parameter.len() <= 128
        && words.parameter.bytes().all(|b| b.is_ascii_graphic())
    {
        fault = fault.with("parameter", &words.parameter);
    }
    fault
}

/// The fault behind an error that came under a status of success, in a body or in a stream. `other` is
/// what it is when its words say nothing.
pub(crate) fn of_words(words: &Words, other: Reason) -> Fault {
    let reason = match words.status {
        Some(status) => reason_of(status, words),
        None => words.cause().unwrap_or_else(|| {
            if words.name(&["invalid_request", "invalid_argument", "badrequest"]) {
                Reason::ProviderInvalidRequest
            } else if words.name(&["server_error", "internal", "unavailable", "api_error"]) {
                Reason::ProviderUnavailable
            } else {
                other
            }
        }),
    };
    of_reason(reason, &HeaderMap::new())
}

/// The fault of a reason that a vendor names in words of its own.
pub(crate) fn of_reason(reason: Reason, headers: &HeaderMap) -> Fault {
    let mut fault = Fault::new(reason, message_of(reason));
    if may_help(reason) {
        fault.retry_after = Some(wait::asked(reason, headers).unwrap_or(SOON));
    }
    fault
}

/// The fault behind an error object that came under a status of success.
pub(crate) fn in_band(error: &RawValue, other: Reason) -> Fault {
    let wrapped = format!("{{\"error\":{}}}", error.get());
    of_words(&Words::parse(wrapped.as_bytes()), other)
}

/// What is wrong with an answer that came in one piece and was read like a stream: it is not broken,
/// and asking again would bring the same.
pub(crate) fn of_whole(mut fault: Fault) -> Fault {
    if fault.reason == Reason::ProviderStreamBroken {
        fault.reason = Reason::ProviderResponseInvalid;
        fault.retry_after = None;
    }
    fault
}

/// An answer that is none. Asking again would bring the same.
pub(crate) fn invalid_response(what: &'static str) -> Fault {
    Fault::new(Reason::ProviderResponseInvalid, what)
}

/// A stream that ended before its end, or turned into something else.
pub(crate) fn broken_stream(what: &'static str) -> Fault {
    Fault::new(Reason::ProviderStreamBroken, what).retry_after(SOON)
}

/// A part of the call took too long.
pub(crate) fn timeout(what: &'static str, limit: Duration) -> Fault {
    Fault::new(
        Reason::ProviderTimeout,
        format!("{what} took more than {} s", limit.as_secs_f64()),
    )
    .retry_after(SOON)
}

/// The provider cannot be reached, or hung up.
pub(crate) fn unreachable(what: &'static str) -> Fault {
    Fault::new(Reason::ProviderUnavailable, what).retry_after(SOON)
}

fn reason_of(status: StatusCode, words: &Words) -> Reason {
    match status.as_u16() {
        400 | 404 | 413 | 422 | 429 if words.cause().is_some() => {
            words.cause().unwrap_or(Reason::ProviderInvalidRequest)
        }
        402 => Reason::ProviderQuotaExhausted,
        401 => Reason::ProviderCredentialsRejected,
        403 if words.cause() == Some(Reason::ProviderQuotaExhausted) => {
            Reason::ProviderQuotaExhausted
        }
        403 if words.name(&["model", "region", "country"])
            || words.say(&["model", "region", "country", "location"]) =>
        {
            Reason::ModelNotPermitted
        }
        403 => Reason::ProviderCredentialsRejected,
        404 if words.say(&["model", "deployment"]) => Reason::ModelNotFound,
        // Nobody who knows models would answer so: the base URL is wrong, or a proxy is in the way.
        404 | 405 => Reason::ProviderResponseInvalid,
        408 | 504 => Reason::ProviderTimeout,
        409 => Reason::ProviderConflict,
        413 => Reason::RequestTooLarge,
        429 => Reason::ProviderRateLimited,
        529 => Reason::ProviderOverloaded,
        400..=499 => Reason::ProviderInvalidRequest,
        500..=599 if words.cause() == Some(Reason::ProviderOverloaded) => {
            Reason::ProviderOverloaded
        }
        500..=599 => Reason::ProviderUnavailable,
        _ => Reason::ProviderResponseInvalid,
    }
}

/// Whether the same request may do better a little later.
fn may_help(reason: Reason) -> bool {
    [
        Reason::ProviderRateLimited,
        Reason::ProviderTimeout,
        Reason::ProviderConflict,
        Reason::ProviderUnavailable,
        Reason::ProviderOverloaded,
        Reason::ProviderStreamBroken,
    ]
    .contains(&reason)
}

const fn message_of(reason: Reason) -> &'static str {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the reasons that no provider can cause are many; they never come here"
    )]
    match reason {
        Reason::ContextLengthExceeded => "the conversation does not fit the model's context window",
        Reason::RequestTooLarge => "the request is too large for the provider",
        Reason::ProviderCredentialsRejected => "the provider rejects the server's key",
        Reason::ModelNotPermitted => "the server's account may not use this model here",
        Reason::ModelNotFound => "the provider does not know this model",
        Reason::ProviderQuotaExhausted => "the account's quota or credit is used up",
        Reason::ProviderRateLimited => "the provider asks for fewer requests",
        Reason::ProviderTimeout => "the provider timed out",
        Reason::ProviderConflict => "the provider reports a conflict",
        Reason::ProviderUnavailable => "the provider failed",
        Reason::ProviderOverloaded => "the provider has too much to do",
        Reason::ProviderStreamBroken => {
            "the provider reported an error in the middle of its answer"
        }
        Reason::ProviderResponseInvalid => {
            "the provider's answer is none; check its base URL and any proxy"
        }
        _ => "the provider finds the request invalid",
    }
}

#[cfg(test)]
mod tests;

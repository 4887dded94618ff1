//! What an error means, with the details that Google's APIs give (`google.rpc`).
//!
//! Source: "AIP-193: Errors" (google.aip.dev/193) and the Gemini API's guide "Troubleshooting".

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::{
    domain::fault::{Fault, Reason},
    provider::fault::{self, Words},
};

/// The fault behind a status other than success.
pub(in crate::provider) fn of_status(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Fault {
    let details = Details::parse(body);
    let fault = fault::of_status(status, headers, &words(body));
    details.refine(fault)
}

/// The fault behind an error under a status of success: in a stream, as a rule.
pub(super) fn in_band(error: &[u8], other: Reason) -> Fault {
    let details = Details::parse(error);
    let fault = fault::of_words(&words(error), other);
    details.refine(fault)
}

/// The error's words, with Google's for what other vendors call by a code.
fn words(body: &[u8]) -> Words {
    let mut words = Words::parse(body);
    if words.message.contains("token count") && words.message.contains("exceeds the maximum") {
        words.code = "context_length_exceeded".to_owned();
    }
    words
}

/// The details of an error.
#[derive(Default)]
struct Details {
    /// Of `ErrorInfo`.
    reason: String,
    /// Of `RetryInfo`.
    retry_after: Option<Duration>,
    /// Of `QuotaFailure`: one that is not filled up again within minutes.
    is_daily: bool,
    /// The account is not served where it is.
    is_location: bool,
}

impl Details {
    fn parse(body: &[u8]) -> Self {
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            return Self::default();
        };
        // Without server-sent events an error comes in an array.
        let error = body.get(0).unwrap_or(&body).get("error");
        let mut details = Self::default();
        let list = error.and_then(|error| error.get("details"));
        for detail in list.and_then(Value::as_array).into_iter().flatten() {
            details.read(detail);
        }
        let text = |key: &str| error.and_then(|error| error.get(key)?.as_str());
        details.is_location = text("status") == Some("FAILED_PRECONDITION")
            && text("message").is_some_and(|message| message.contains("location"));
        details
    }

    fn read(&mut self, detail: &Value) {
        let text = |key: &str| detail.get(key).and_then(Value::as_str).unwrap_or_default();
        let kind = text("@type").rsplit('.').next().unwrap_or_default();
        match kind {
            "ErrorInfo" => text("reason").clone_into(&mut self.reason),
            "RetryInfo" => self.retry_after = seconds(text("retryDelay")),
            "QuotaFailure" => {
                let violations = detail.get("violations").and_then(Value::as_array);
                let daily = |violation: &Value| {
                    let id = violation.get("quotaId").and_then(Value::as_str);
                    id.is_some_and(|id| id.contains("PerDay"))
                };
                self.is_daily = violations.is_some_and(|all| all.iter().any(daily));
            }
            _ => {}
        }
    }

    /// The fault with what the details say of it.
    fn refine(self, mut fault: Fault) -> Fault {
        // An unknown key comes with the status of a bad request.
        if self.reason.starts_with("API_KEY_") {
            return Fault {
                retry_after: None,
                ..fault::of_status(
                    StatusCode::UNAUTHORIZED,
                    &HeaderMap::new(),
                    &Words::default(),
                )
            };
        }
        if self.is_location && fault.reason == Reason::ProviderInvalidRequest {
            return Fault::new(
                Reason::ModelNotPermitted,
                "the provider does not serve the server's location",
            );
        }
        let is_limit = [Reason::ProviderRateLimited, Reason::ProviderQuotaExhausted];
        if is_limit.contains(&fault.reason) {
            // Every limit is told as "exceeded your current quota"; the details tell them apart.
            if self.is_daily {
                fault.reason = Reason::ProviderQuotaExhausted;
                fault.message = "the account's quota is used up".into();
                fault.retry_after = None;
            } else if let Some(wait) = self.retry_after {
                fault.reason = Reason::ProviderRateLimited;
                fault.message = "the provider asks for fewer requests".into();
                fault.retry_after = Some(wait);
            }
        } else if fault.retry_after.is_some() && self.retry_after.is_some() {
            fault.retry_after = self.retry_after;
        }
        fault
    }
}

/// A duration in the JSON of protocol buffers: `3.5s`.
fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds.min(86_400.0)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, body: &str, reason: Reason, retry: Option<f64>) {
        let status = StatusCode::from_u16(status).unwrap();
        let fault = of_status(status, &HeaderMap::new(), body.as_bytes());
        assert_eq!(fault.reason, reason, "{body}");
        let wait = fault.retry_after.map(|wait| wait.as_secs_f64());
        assert_eq!(wait, retry, "{body}");
    }

    fn limited(details: &str) -> String {
        format!(
            r#"{{"error":{{"code":429,"message":"You exceeded your current quota, please check your plan.","status":"RESOURCE_EXHAUSTED","details":[{details}]}}}}"#
        )
    }

    const RETRY: &str =
        r#"{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"3.5s"}"#;

    #[test]
    fn a_limit_with_a_wait_is_a_rate() {
        check(429, &limited(RETRY), Reason::ProviderRateLimited, Some(3.5));
    }

    #[test]
    fn a_limit_without_one_is_a_quota() {
        check(429, &limited(""), Reason::ProviderQuotaExhausted, None);
        let daily = r#"{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"RequestsPerDayPerProject-FreeTier"}]}"#;
        let both = format!("{daily},{RETRY}");
        check(429, &limited(&both), Reason::ProviderQuotaExhausted, None);
    }

    #[test]
    fn an_unknown_key_is_one_although_it_comes_as_a_bad_request() {
        let body = r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}"#;
        check(400, body, Reason::ProviderCredentialsRejected, None);
    }

    #[test]
    fn too_many_tokens_are_told_from_other_bad_requests() {
        let body = r#"{"error":{"code":400,"message":"The input token count (9) exceeds the maximum number of tokens allowed (8).","status":"INVALID_ARGUMENT"}}"#;
        check(400, body, Reason::ContextLengthExceeded, None);
        let body = r#"{"error":{"code":400,"message":"Invalid value at 'contents'","status":"INVALID_ARGUMENT"}}"#;
        check(400, body, Reason::ProviderInvalidRequest, None);
        let body = r#"{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}"#;
        check(400, body, Reason::ModelNotPermitted, None);
    }

    #[test]
    fn what_may_go_away_waits_as_long_as_it_is_told() {
        let body = format!(
            r#"[{{"error":{{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE","details":[{RETRY}]}}}}]"#
        );
        check(503, &body, Reason::ProviderOverloaded, Some(3.5));
        check(500, "", Reason::ProviderUnavailable, Some(0.5));
        check(504, "{}", Reason::ProviderTimeout, Some(0.5));
        let body = r#"{"error":{"code":404,"message":"models/x is not found for API version v1beta","status":"NOT_FOUND"}}"#;
        check(404, body, Reason::ModelNotFound, None);
    }

    #[test]
    fn an_error_in_a_stream_is_read_the_same_way() {
        let fault = in_band(limited(RETRY).as_bytes(), Reason::ProviderStreamBroken);
        assert_eq!(fault.reason, Reason::ProviderRateLimited);
        let fault = in_band(br#"{"error":{}}"#, Reason::ProviderStreamBroken);
        assert_eq!(fault.reason, Reason::ProviderStreamBroken);
    }
}

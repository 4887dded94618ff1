//! What the errors of AWS mean, by their names: in the header of an answer, in its body, or in a message
//! of an event stream.
//!
//! Source: Amazon Bedrock API Reference, "Common Errors" and the errors of Converse and ConverseStream.

use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::{
    domain::fault::{Fault, Reason},
    provider::fault::{self, Words},
};

/// The header that names the error of an answer.
const ERROR_TYPE: &str = "x-amzn-errortype";
/// Names of errors that fresher credentials may help against.
const OUTDATED: &[&str] = &["expiredtoken", "unrecognizedclient", "invalidclienttokenid"];

/// An error's body.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    #[serde(rename = "__type", alias = "code")]
    name: String,
    #[serde(alias = "Message")]
    message: String,
}

/// The fault behind a status other than success.
pub(crate) fn of_status(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
    let body: Body = serde_json::from_slice(body).unwrap_or_default();
    let named = name_in(headers);
    let name = plain(named.unwrap_or(&body.name));
    let message = body.message.to_lowercase();
    match reason(&name, &message) {
        Some(reason) => fault::of_reason(reason, headers).with("status", status.as_u16()),
        None => fault::of_status(status, headers, &words(name, message)),
    }
}

/// The fault behind an exception or error in the middle of a stream.
pub(crate) fn in_band(name: &str, payload: &[u8]) -> Fault {
    let body: Body = serde_json::from_slice(payload).unwrap_or_default();
    let (name, message) = (plain(name), body.message.to_lowercase());
    match (reason(&name, &message), &*name) {
        (Some(reason), _) => fault::of_reason(reason, &HeaderMap::new()),
        (None, "validation") => fault::of_reason(Reason::ProviderInvalidRequest, &HeaderMap::new()),
        (None, _) => fault::of_words(&words(name, message), Reason::ProviderStreamBroken),
    }
}

/// Whether an answer says that the credentials are not good, and fresher ones may be.
pub(super) fn is_outdated(status: StatusCode, headers: &HeaderMap) -> bool {
    let name = name_in(headers).map(plain).unwrap_or_default();
    matches!(status.as_u16(), 400 | 401 | 403) && OUTDATED.contains(&&*name)
}

fn name_in(headers: &HeaderMap) -> Option<&str> {
    headers.get(ERROR_TYPE)?.to_str().ok()
}

/// A name without what stands around it, as in `com.amazon#ThrottlingException:http://…`.
fn plain(name: &str) -> String {
    let name = name.split(':').next().unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default();
    let lower = name.trim().to_ascii_lowercase();
    lower.strip_suffix("exception").unwrap_or(&lower).to_owned()
}

fn words(name: String, message: String) -> Words {
    Words {
        kind: name,
        message,
        ..Words::default()
    }
}

/// What a name means, where it or its message says more than the status.
fn reason(name: &str, message: &str) -> Option<Reason> {
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    Some(match name {
        // "Too many tokens" is a matter of time here.
        "throttling" if says(&["per day", "current quota"]) => Reason::ProviderQuotaExhausted,
        "throttling" => Reason::ProviderRateLimited,
        "servicequotaexceeded" => Reason::ProviderQuotaExhausted,
        "validation" if says(&["is too long", "too many input tokens", "context limit"]) => {
            Reason::ContextLengthExceeded
        }
        "validation" if says(&["model identifier is invalid"]) => Reason::ModelNotFound,
        "resourcenotfound" => Reason::ModelNotFound,
        "modeltimeout" => Reason::ProviderTimeout,
        "modelnotready" | "modelerror" | "internalserver" => Reason::ProviderUnavailable,
        "modelstreamerror" => Reason::ProviderStreamBroken,
        "conflict" => Reason::ProviderConflict,
        "expiredtoken"
        | "unrecognizedclient"
        | "invalidclienttokenid"
        | "invalidsignature"
        | "signaturedoesnotmatch"
        | "incompletesignature"
        | "missingauthenticationtoken" => Reason::ProviderCredentialsRejected,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, name: &str, message: &str, expected: Reason) {
        let status = StatusCode::from_u16(status).unwrap();
        let body = serde_json::json!({"message": message}).to_string();
        let mut headers = HeaderMap::new();
        let full = format!("{name}:http://internal.amazon.com/coral/com.amazon.bedrock/");
        headers.insert(ERROR_TYPE, full.parse().unwrap());
        let by_header = of_status(status, &headers, body.as_bytes());
        assert_eq!(by_header.reason, expected, "{name}");
        let body = serde_json::json!({"__type": format!("com.amazon#{name}"), "Message": message});
        let by_body = of_status(status, &HeaderMap::new(), body.to_string().as_bytes());
        assert_eq!(by_body.reason, expected, "{name}");
        assert_eq!(by_body.metadata["status"], status.as_u16().to_string());
    }

    #[test]
    fn an_error_is_known_by_its_name_wherever_that_stands() {
        for (status, name, message, expected) in [
            (
                400,
                "ValidationException",
                "no",
                Reason::ProviderInvalidRequest,
            ),
            (
                400,
                "ValidationException",
                "Input is too long for requested model.",
                Reason::ContextLengthExceeded,
            ),
            (
                400,
                "ValidationException",
                "The provided model identifier is invalid.",
                Reason::ModelNotFound,
            ),
            (
                400,
                "ServiceQuotaExceededException",
                "",
                Reason::ProviderQuotaExhausted,
            ),
            (
                403,
                "AccessDeniedException",
                "You don't have access to the model with the specified model ID.",
                Reason::ModelNotPermitted,
            ),
            (
                403,
                "AccessDeniedException",
                "no",
                Reason::ProviderCredentialsRejected,
            ),
            (
                403,
                "ExpiredTokenException",
                "",
                Reason::ProviderCredentialsRejected,
            ),
            (404, "ResourceNotFoundException", "", Reason::ModelNotFound),
            (408, "ModelTimeoutException", "", Reason::ProviderTimeout),
            (424, "ModelErrorException", "", Reason::ProviderUnavailable),
            (
                429,
                "ModelNotReadyException",
                "",
                Reason::ProviderUnavailable,
            ),
            (
                429,
                "ThrottlingException",
                "Too many tokens, please wait before trying again.",
                Reason::ProviderRateLimited,
            ),
            (
                429,
                "ThrottlingException",
                "Too many tokens per day, please wait before trying again.",
                Reason::ProviderQuotaExhausted,
            ),
            (
                500,
                "InternalServerException",
                "",
                Reason::ProviderUnavailable,
            ),
            (
                503,
                "ServiceUnavailableException",
                "",
                Reason::ProviderUnavailable,
            ),
        ] {
            check(status, name, message, expected);
        }
    }

    #[test]
    fn an_exception_in_a_stream_is_what_its_name_says() {
        for (name, message, expected) in [
            ("throttlingException", "slow", Reason::ProviderRateLimited),
            ("internalServerException", "", Reason::ProviderUnavailable),
            (
                "serviceUnavailableException",
                "Overloaded",
                Reason::ProviderOverloaded,
            ),
            (
                "serviceUnavailableException",
                "",
                Reason::ProviderUnavailable,
            ),
            (
                "modelStreamErrorException",
                "",
                Reason::ProviderStreamBroken,
            ),
            ("modelTimeoutException", "", Reason::ProviderTimeout),
            ("validationException", "", Reason::ProviderInvalidRequest),
            ("novelException", "", Reason::ProviderStreamBroken),
        ] {
            let payload = serde_json::json!({"message": message}).to_string();
            let fault = in_band(name, payload.as_bytes());
            assert_eq!(fault.reason, expected, "{name}");
            assert!(!fault.message.contains("slow"));
        }
        assert_eq!(in_band("", b"?").reason, Reason::ProviderStreamBroken);
    }

    #[test]
    fn a_wait_that_is_asked_for_is_kept() {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "3".parse().unwrap());
        headers.insert(ERROR_TYPE, "ThrottlingException".parse().unwrap());
        let fault = of_status(StatusCode::TOO_MANY_REQUESTS, &headers, b"");
        assert_eq!(fault.retry_after, Some(std::time::Duration::from_secs(3)));
    }

    #[test]
    fn only_credentials_that_fresher_ones_may_replace_are_outdated() {
        let headers = |name: &str| {
            HeaderMap::from_iter([(
                http::HeaderName::from_static(ERROR_TYPE),
                name.parse().unwrap(),
            )])
        };
        let outdated = |name: &str| is_outdated(StatusCode::FORBIDDEN, &headers(name));
        assert!(outdated("ExpiredTokenException:http://x"));
        assert!(outdated("UnrecognizedClientException"));
        assert!(!outdated("AccessDeniedException"));
        assert!(!is_outdated(StatusCode::FORBIDDEN, &HeaderMap::new()));
        let fine = headers("ExpiredTokenException");
        assert!(!is_outdated(StatusCode::OK, &fine));
    }
}

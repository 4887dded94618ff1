use super::*;

fn body(status: u16, body: &str) -> Fault {
    let status = StatusCode::from_u16(status).unwrap();
    of_status(status, &HeaderMap::new(), &Words::parse(body.as_bytes()))
}

#[track_caller]
fn check(status: u16, text: &str, reason: Reason) {
    assert_eq!(body(status, text).reason, reason, "{status} {text}");
}

#[test]
fn each_status_has_its_reason() {
    for (status, reason) in [
        (400, Reason::ProviderInvalidRequest),
        (401, Reason::ProviderCredentialsRejected),
        (402, Reason::ProviderQuotaExhausted),
        (403, Reason::ProviderCredentialsRejected),
        (404, Reason::ProviderResponseInvalid),
        (405, Reason::ProviderResponseInvalid),
        (408, Reason::ProviderTimeout),
        (409, Reason::ProviderConflict),
        (413, Reason::RequestTooLarge),
        (422, Reason::ProviderInvalidRequest),
        (429, Reason::ProviderRateLimited),
        (500, Reason::ProviderUnavailable),
        (502, Reason::ProviderUnavailable),
        (503, Reason::ProviderUnavailable),
        (504, Reason::ProviderTimeout),
        (529, Reason::ProviderOverloaded),
        (302, Reason::ProviderResponseInvalid),
    ] {
        check(status, "", reason);
        check(status, "<html><body>oops</body></html>", reason);
    }
}

#[test]
fn words_say_more_than_the_status() {
    for (status, text, reason) in [
        (
            400,
            r#"{"error":{"code":"context_length_exceeded"}}"#,
            Reason::ContextLengthExceeded,
        ),
        (
            413,
            r#"{"error":{"message":"Prompt is too long: 9 tokens"}}"#,
            Reason::ContextLengthExceeded,
        ),
        (
            400,
            r#"{"error":"This model's maximum context length is 8192 tokens"}"#,
            Reason::ContextLengthExceeded,
        ),
        (
            429,
            r#"{"error":{"type":"insufficient_quota"}}"#,
            Reason::ProviderQuotaExhausted,
        ),
        (
            403,
            r#"{"error":{"message":"your credit balance is too low"}}"#,
            Reason::ProviderQuotaExhausted,
        ),
        (
            403,
            r#"{"error":{"message":"No access to model x in this region"}}"#,
            Reason::ModelNotPermitted,
        ),
        (
            404,
            r#"{"error":{"code":"model_not_found"}}"#,
            Reason::ModelNotFound,
        ),
        (404, r#"{"detail":"no such model"}"#, Reason::ModelNotFound),
        (
            503,
            r#"{"error":{"message":"The engine is currently overloaded"}}"#,
            Reason::ProviderOverloaded,
        ),
    ] {
        check(status, text, reason);
    }
}

#[test]
fn only_what_may_pass_is_tried_again() {
    assert_eq!(body(500, "").retry_after, Some(SOON));
    assert_eq!(body(400, "").retry_after, None);
    assert_eq!(body(401, "").retry_after, None);
    let quota = body(429, r#"{"error":{"code":"insufficient_quota"}}"#);
    assert_eq!(quota.retry_after, None);
}

#[test]
fn an_error_under_success_is_known_by_its_words() {
    let of =
        |text: &str| of_words(&Words::parse(text.as_bytes()), Reason::ProviderStreamBroken).reason;
    assert_eq!(
        of(r#"{"error":{"message":"Overloaded","type":"server_error"}}"#),
        Reason::ProviderOverloaded
    );
    assert_eq!(
        of(r#"{"error":{"code":429,"message":"slow down"}}"#),
        Reason::ProviderRateLimited
    );
    assert_eq!(
        of(r#"{"error":{"type":"server_error"}}"#),
        Reason::ProviderUnavailable
    );
    assert_eq!(of(r#"{"error":"?"}"#), Reason::ProviderStreamBroken);
}

#[test]
fn what_the_provider_says_is_not_repeated() {
    let fault = body(
        400,
        r#"{"error":{"message":"my secret prompt","param":"messages[0].content"}}"#,
    );
    assert!(!format!("{fault:?} {fault}").contains("secret"));
    assert_eq!(fault.metadata["parameter"], "messages[0].content");
    let words = Words::parse(br#"{"error":{"message":"my secret prompt"}}"#);
    assert!(!format!("{words:?}").contains("secret"));
}

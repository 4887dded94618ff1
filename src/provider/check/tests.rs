//! What is found of providers, with an upstream that takes or rejects a key.

use super::*;
use crate::{
    domain::{model::ModelRef, secret::Secret},
    provider::{
        settings::{KeySource, ProviderSettings, Settings},
        upstream::{Act, Upstream, response},
    },
};

const MODELS: &str = r#"{"data":[{"id":"a"},{"id":"b"}]}"#;

async fn upstream(status: &str, body: &str) -> Upstream {
    Upstream::start(vec![vec![Act::send(&response(status, "", body))]]).await
}

/// A provider with a key at an address.
fn keyed(base_url: &str) -> ProviderSettings {
    ProviderSettings {
        kind: Some("openai".to_owned()),
        base_url: Some(base_url.to_owned()),
        key: Some(Secret::new("sk-hidden")),
        key_source: Some(KeySource::Variable("THE_KEY".to_owned())),
        ..ProviderSettings::default()
    }
}

fn providers(name: &str, provider: ProviderSettings) -> Providers {
    let mut settings = Settings::default();
    settings.providers.insert(name.to_owned(), provider);
    Providers::new(&settings.with_environment(|_| None)).unwrap()
}

async fn check(providers: &Providers, name: &str) -> Finding {
    let mut found = providers.check(&[name.to_owned()], true).await.unwrap();
    found.remove(0)
}

#[tokio::test]
async fn a_key_that_lists_models_is_accepted() {
    let upstream = upstream("200 OK", MODELS).await;
    let finding = check(&providers("mine", keyed(&upstream.url)), "mine").await;
    assert!(finding.is_good());
    assert_eq!(
        finding.to_string(),
        "credentials found: variable THE_KEY; accepted, 2 models"
    );
    let json = finding.to_json();
    assert_eq!(
        json,
        json!({
            "provider": "mine", "kind": "openai", "base_url": upstream.url, "in_use": true,
            "credentials": "found", "source": "variable THE_KEY", "check": "accepted", "models": 2,
        })
    );
    assert!(!format!("{finding:?}{json}").contains("sk-hidden"));
    assert!(upstream.requests()[0].contains("GET /models "));
}

#[tokio::test]
async fn a_key_that_is_rejected_is_said_to_be() {
    let upstream = upstream("401 Unauthorized", r#"{"error":"bad key"}"#).await;
    let finding = check(&providers("mine", keyed(&upstream.url)), "mine").await;
    assert!(!finding.is_good());
    assert!(finding.to_string().ends_with("; rejected"), "{finding}");
    assert_eq!(
        finding.to_json()["error"]["reason"],
        "PROVIDER_CREDENTIALS_REJECTED"
    );
}

#[tokio::test]
async fn what_fails_otherwise_says_how_and_what_is_not_there_proves_nothing() {
    for (status, check_says, is_good) in [
        ("503 Service Unavailable", "failed", false),
        ("200 OK", "failed", false),
        ("404 Not Found", "untested", true),
    ] {
        let upstream = upstream(status, "<html>").await;
        let finding = check(&providers("mine", keyed(&upstream.url)), "mine").await;
        assert_eq!(finding.to_json()["check"], check_says, "{status}");
        assert_eq!(finding.is_good(), is_good, "{status}");
    }
}

#[tokio::test]
async fn a_vendor_that_lists_for_everybody_is_asked_for_something_else_or_nothing() {
    let of = |kind: &str, url: &str| ProviderSettings {
        kind: Some(kind.to_owned()),
        ..keyed(url)
    };
    let router = upstream("200 OK", "{}").await;
    let finding = check(&providers("r", of("openrouter", &router.url)), "r").await;
    assert_eq!(finding.verdict, Some(Verdict::Accepted { models: None }));
    assert!(router.requests()[0].starts_with("GET /key "));
    let hub = upstream("200 OK", MODELS).await;
    let finding = check(&providers("h", of("huggingface", &hub.url)), "h").await;
    assert_eq!(finding.verdict, Some(Verdict::Untested));
    assert_eq!(hub.requests().len(), 0);
}

#[tokio::test]
async fn a_missing_key_is_named_and_nobody_is_asked() {
    let upstream = upstream("200 OK", MODELS).await;
    let mine = ProviderSettings {
        key: None,
        key_source: None,
        key_variable: Some("THE_KEY".to_owned()),
        ..keyed(&upstream.url)
    };
    let finding = check(&providers("mine", mine), "mine").await;
    assert!(!finding.is_good());
    assert_eq!(finding.to_string(), "credentials missing: set THE_KEY");
    assert_eq!(finding.to_json()["variable"], "THE_KEY");
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn any_variable_that_is_missing_is_named_where_the_key_is_there() {
    let mine = ProviderSettings {
        missing_variable: Some("GATEWAY_TOKEN".to_owned()),
        ..keyed("http://127.0.0.1:1")
    };
    let finding = check(&providers("mine", mine), "mine").await;
    assert_eq!(
        finding.to_string(),
        "credentials missing: set GATEWAY_TOKEN"
    );
}

#[tokio::test]
async fn everybody_is_found_and_only_those_in_use_are_asked() {
    let upstream = upstream("200 OK", MODELS).await;
    let mut settings = Settings::default();
    settings
        .providers
        .insert("mine".to_owned(), keyed(&upstream.url));
    let alias = ModelRef::parse("anthropic:claude-opus-4-5").unwrap();
    settings.aliases.insert("best".to_owned(), alias);
    let providers = Providers::new(&settings.with_environment(|_| None)).unwrap();
    let findings = providers.check(&[], true).await.unwrap();
    assert_eq!(findings.len(), crate::provider::vendor::BUILT_IN.len() + 1);
    let used: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.is_in_use)
        .map(|finding| &*finding.provider)
        .collect();
    assert_eq!(used, ["anthropic", "mine"]);
    let asked: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.verdict.is_some())
        .map(|finding| &*finding.provider)
        .collect();
    assert_eq!(asked, ["mine"]);
    let unknown = providers.check(&["nobody".to_owned()], false).await;
    assert_eq!(unknown.unwrap_err().reason, Reason::ProviderNotFound);
}

#[tokio::test]
async fn a_token_that_is_granted_is_an_acceptance_where_nothing_can_be_listed() {
    let grant = r#"{"access_token":"t","expires_in":3600}"#;
    let iam = upstream("200 OK", grant).await;
    let refusal = upstream("400 Bad Request", "{}").await;
    for (iam, verdict) in [(iam, "accepted"), (refusal, "rejected")] {
        let azure = ProviderSettings {
            kind: Some("azure".to_owned()),
            parameters: [
                ("api_version", "2024-10-21"),
                ("tenant_id", "t"),
                ("client_id", "c"),
                ("authority", &iam.url),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            ..keyed("http://127.0.0.1:1")
        };
        let finding = check(&providers("a", azure), "a").await;
        assert_eq!(finding.to_json()["check"], verdict);
    }
}

//! Its own words, and its tokens.

use futures_util::StreamExt;

use super::*;
use crate::{
    domain::{
        completion::{ModelEvent, Request},
        message::{Message, Role},
        model::Options,
    },
    provider::{
        Providers, golden,
        settings::{ProviderSettings, Settings},
        token::server::{TokenServer, check_renewal},
        upstream::{Upstream, response},
    },
    run::port::Models,
};

fn watsonx() -> Watsonx {
    Watsonx {
        openai: OpenAi {
            name: "watsonx".to_owned(),
            quirks: Quirks {
                stream_usage: false,
                names: false,
                ..Quirks::COMPATIBLE
            },
            options: None,
        },
        container: Some(("project_id", "p-1".to_owned())),
        version: VERSION.to_owned(),
    }
}

#[test]
fn golden_cases_hold() {
    golden::check_family("watsonx", |_| Box::new(watsonx()));
}

#[test]
fn models_are_listed() {
    let body = br#"{"total_count":1,"resources":[{"model_id":"ibm/granite-3-8b-instruct"}]}"#;
    let models = watsonx().decode_models("watsonx", body).unwrap();
    assert_eq!(
        models[0].model.to_string(),
        "watsonx:ibm/granite-3-8b-instruct"
    );
}

#[tokio::test]
async fn a_key_is_exchanged_for_a_token() {
    let granted = r#"{"access_token":"t-1","token_type":"Bearer","expires_in":3600}"#;
    let whole = r#"{"choices":[{"message":{"content":"hello"},"finish_reason":"stop"}]}"#;
    let iam = Upstream::answer(&response("200 OK", "", granted)).await;
    let upstream = Upstream::answer(&response("200 OK", "", whole)).await;
    let parameters = [("project_id", "p-1"), ("iam_url", &*iam.url)];
    let provider = ProviderSettings {
        base_url: Some(upstream.url.clone()),
        key: Some(Secret::new("k-1")),
        parameters: parameters
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..ProviderSettings::default()
    };
    let mut settings = Settings::default();
    settings.providers.insert("watsonx".to_owned(), provider);
    let providers = Providers::new(&settings).unwrap();
    let request = Request {
        messages: vec![Arc::new(Message::text(Role::User, "hi"))],
        tools: Arc::from([]),
        options: Arc::new(Options::default()),
    };
    let model = ModelRef::parse("watsonx:ibm/granite-3-8b-instruct").unwrap();
    let events = providers.call(&model, request, Answer::Whole);
    let events: Vec<_> = events.collect().await;
    assert!(matches!(events.last(), Some(Ok(ModelEvent::Finished(_)))));
    let asked = iam.requests().remove(0);
    assert!(
        asked.ends_with("grant_type=urn%3Aibm%3Aparams%3Aoauth%3Agrant-type%3Aapikey&apikey=k-1")
    );
    let request = upstream.requests().remove(0);
    assert!(request.starts_with("POST /ml/v1/text/chat?version=2024-10-08 HTTP/1.1"));
    assert!(request.contains("authorization: Bearer t-1"), "{request}");
}

#[tokio::test]
async fn a_missing_project_is_named() {
    let provider = ProviderSettings {
        key: Some(Secret::new("k-1")),
        ..ProviderSettings::default()
    };
    let mut settings = Settings::default();
    settings.providers.insert("watsonx".to_owned(), provider);
    let providers = Providers::new(&settings.with_environment(|_| None)).unwrap();
    let request = Request {
        messages: vec![Arc::new(Message::text(Role::User, "hi"))],
        tools: Arc::from([]),
        options: Arc::new(Options::default()),
    };
    let model = ModelRef::parse("watsonx:ibm/granite-3-8b-instruct").unwrap();
    let mut events = providers.call(&model, request, Answer::Whole);
    let fault = events.next().await.unwrap().unwrap_err();
    assert_eq!(fault.reason, Reason::ProviderCredentialsMissing);
    assert_eq!(fault.metadata["variable"], "WATSONX_PROJECT_ID");
}

#[tokio::test]
async fn a_token_is_renewed() {
    let server = TokenServer::start(|path, form| {
        let expected = "grant_type=urn%3Aibm%3Aparams%3Aoauth%3Agrant-type%3Aapikey&apikey=k-1";
        let good = path == "/identity/token" && form == expected;
        good.then_some(()).ok_or_else(|| "BXNIM0415E".to_owned())
    })
    .await;
    let parameters = [("project_id", "p-1"), ("iam_url", &*server.url)];
    let provider = ProviderSettings {
        base_url: Some(server.url.clone()),
        key: Some(Secret::new("k-1")),
        parameters: parameters
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..ProviderSettings::default()
    };
    let mut settings = Settings::default();
    settings.providers.insert("watsonx".to_owned(), provider);
    check_renewal(&server, &settings, "watsonx:ibm/granite-3-8b-instruct").await;
}

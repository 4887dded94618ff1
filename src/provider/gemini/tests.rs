use std::collections::HashSet;

use futures_util::StreamExt;

use super::*;
use crate::{
    domain::{completion::ModelEvent, secret::Secret},
    provider::{
        Providers, golden,
        settings::{ProviderSettings, Settings},
        upstream::{Act, Upstream, response},
    },
    run::{
        port::{Answer, Models},
        sample::greeting,
    },
};

fn protocol(provider: &str) -> Box<dyn Protocol> {
    Box::new(Gemini {
        name: provider.to_owned(),
        place: Place::Developer,
        options: None,
    })
}

#[test]
fn golden_cases_hold() {
    golden::check_family(FAMILY, protocol);
}

#[test]
fn the_version_is_that_of_the_base_url_or_the_one_that_is_set() {
    for (base, expected) in [
        ("https://host", "https://host/v1beta"),
        ("https://host/v1", "https://host/v1"),
        ("https://host/gemini/v1alpha", "https://host/gemini/v1alpha"),
        ("https://host/vendor", "https://host/vendor/v1beta"),
    ] {
        assert_eq!(with_version(base.to_owned(), API_VERSION), expected);
    }
    assert_eq!(
        with_version("https://host".to_owned(), "v1"),
        "https://host/v1"
    );
}

#[test]
fn a_models_name_cannot_leave_its_place() {
    assert_eq!(
        resource(Place::Developer, "gemini-2.5-flash"),
        "/models/gemini-2.5-flash"
    );
    assert_eq!(
        resource(Place::Developer, "tunedModels/mine"),
        "/tunedModels/mine"
    );
    assert_eq!(
        resource(Place::Developer, "a:b?c#d%"),
        "/models/a%3Ab%3Fc%23d%25"
    );
}

#[test]
fn the_key_is_in_no_url() {
    for answer in [Answer::Whole, Answer::Streamed] {
        let encoded = protocol(FAMILY)
            .encode(Call {
                model: &ModelRef::parse("gemini:gemini-2.5-flash").unwrap(),
                request: &greeting(),
                answer,
            })
            .unwrap();
        let expected = match answer {
            Answer::Whole => "/models/gemini-2.5-flash:generateContent",
            Answer::Streamed => "/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        };
        assert_eq!(encoded.path, expected);
    }
}

#[test]
fn models_that_generate_are_listed_with_what_is_known_of_them() {
    let body = r#"{"models":[
        {"name":"models/gemini-2.5-flash","inputTokenLimit":1048576,"outputTokenLimit":65536,"thinking":true,"supportedGenerationMethods":["generateContent","countTokens"]},
        {"name":"models/embedding-1","supportedGenerationMethods":["embedContent"]},
        {"name":"tunedModels/mine"}],"nextPageToken":""}"#;
    let models = protocol(FAMILY)
        .decode_models(FAMILY, body.as_bytes())
        .unwrap();
    let names: Vec<String> = models.iter().map(|info| info.model.to_string()).collect();
    assert_eq!(
        names,
        ["gemini:gemini-2.5-flash", "gemini:tunedModels/mine"]
    );
    assert_eq!(models[0].context_tokens, Some(1_048_576));
    assert_eq!(models[0].max_output_tokens, Some(65_536));
    assert_eq!(models[0].supports_reasoning, Some(true));
    assert!(protocol(FAMILY).decode_models(FAMILY, b"<html>").is_err());
}

#[tokio::test]
async fn calls_without_ids_get_new_ones_in_every_turn() {
    let call = r#"{"functionCall":{"name":"look","args":{}}}"#;
    let body = format!(
        r#"{{"candidates":[{{"content":{{"parts":[{call},{call}]}},"finishReason":"STOP"}}]}}"#
    );
    let answer = response("200 OK", "connection: close\r\n", &body);
    let upstream = Upstream::start(vec![vec![Act::send(&answer)]; 2]).await;
    let provider = ProviderSettings {
        base_url: Some(upstream.url.clone()),
        key: Some(Secret::new("k")),
        ..ProviderSettings::default()
    };
    let mut settings = Settings::default();
    settings.providers.insert(FAMILY.to_owned(), provider);
    let providers = Providers::new(&settings).unwrap();
    let model = providers.resolve("gemini:gemini-2.5-flash").unwrap();
    let mut ids = HashSet::new();
    for _ in 0..2 {
        let events = providers.call(&model, greeting(), Answer::Whole);
        let events: Vec<_> = events.collect().await;
        let Some(Ok(ModelEvent::Finished(completion))) = events.last() else {
            panic!("no answer");
        };
        ids.extend(completion.message.tool_calls().map(|call| call.id.clone()));
    }
    assert_eq!(ids.len(), 4, "{ids:?}");
}

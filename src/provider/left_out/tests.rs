use futures_util::StreamExt;

use super::*;
use crate::{
    domain::{completion::ModelEvent, model::ReasoningEffort},
    provider::{
        Providers, families,
        settings::{ProviderSettings, Settings},
        upstream::{Upstream, response},
    },
    run::{port::Models, sample},
};

/// A request that sets everything.
fn demanding() -> Request {
    let tool = sample::tool("look", r#"{"type":"object","properties":{}}"#);
    let options = Options {
        max_output_tokens: Some(100),
        temperature: Some(0.5),
        top_p: Some(0.5),
        top_k: Some(5),
        seed: Some(7),
        stop_sequences: vec!["END".to_owned()],
        reasoning_effort: Some(ReasoningEffort::Low),
        max_reasoning_tokens: Some(2_000),
        tool_choice: ToolChoice::Required,
        parallel_tool_calls: Some(false),
        ..Options::default()
    };
    Request {
        messages: vec![Arc::new(Message::text(Role::User, "hi"))],
        tools: Arc::from([Arc::new(tool)]),
        options: Arc::new(options),
    }
}

#[test]
fn what_a_vendor_has_no_words_for_is_named() {
    let expected: [(&str, &[&str]); 7] = [
        ("cohere", &["reasoning_effort", "parallel_tool_calls"]),
        ("gemini", &["reasoning_effort", "parallel_tool_calls"]),
        (
            "ollama-native",
            &["max_reasoning_tokens", "tool_choice", "parallel_tool_calls"],
        ),
        ("openai", &["top_k", "max_reasoning_tokens"]),
        (
            "openai-responses",
            &["top_k", "seed", "stop_sequences", "max_reasoning_tokens"],
        ),
        ("openrouter", &["reasoning_effort"]),
        (
            "watsonx",
            &["top_k", "max_reasoning_tokens", "parallel_tool_calls"],
        ),
    ];
    let found = expected.map(|(name, _)| {
        let mut families = families::all().iter();
        let family = families.find(|family| family.name == name).unwrap();
        (name, names(family.protocol(), &family.model, &demanding()))
    });
    assert_eq!(found, expected.map(|(name, names)| (name, names.to_vec())));
}

#[test]
fn what_goes_out_and_what_asks_for_nothing_is_not_named() {
    let request = Request {
        options: Arc::new(Options {
            temperature: Some(0.5),
            tool_choice: ToolChoice::None,
            parallel_tool_calls: Some(true),
            ..Options::default()
        }),
        tools: Arc::from([]),
        ..demanding()
    };
    for family in families::all() {
        let found = names(family.protocol(), &family.model, &request);
        assert!(found.is_empty(), "{}: {found:?}", family.name);
    }
}

#[tokio::test]
async fn an_answer_says_which_options_did_not_go_out() {
    let body = r#"{"id":"x","choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}"#;
    let upstream = Upstream::answer(&response("200 OK", "", body)).await;
    let provider = ProviderSettings {
        kind: Some("openai".to_owned()),
        base_url: Some(upstream.url.clone()),
        ..ProviderSettings::default()
    };
    let mut settings = Settings::default();
    settings.providers.insert("mine".to_owned(), provider);
    let providers = Providers::new(&settings).unwrap();
    let model = ModelRef::parse("mine:m").unwrap();
    let mut events = providers.call(&model, demanding(), Answer::Whole);
    let completion = loop {
        match events.next().await.unwrap().unwrap() {
            ModelEvent::Finished(completion) => break completion,
            ModelEvent::Started { .. } | ModelEvent::Delta(_) | ModelEvent::Discarded(_) => {}
        }
    };
    assert_eq!(
        completion.provider_metadata.unwrap().as_str(),
        r#"{"id":"x","left_out_options":["top_k","max_reasoning_tokens"]}"#
    );
}

//! What holds for every vendor that is built in: nothing of a request or an answer is lost, and failures
//! look the same whoever fails.

use std::{fs, path::Path, sync::Arc, time::Duration};

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::{Family, all, turn_of};
use crate::{
    domain::{
        completion::{Delta, Grown, ModelEvent, Request},
        fault::{Fault, Reason},
        json::JsonText,
        message::{Content, Message, Role},
        model::{FinishReason, ModelRef},
        secret::Secret,
        tool::ToolSpec,
    },
    provider::{
        Providers,
        protocol::Call,
        settings::{ProviderSettings, Settings},
        upstream::{Act, END, Upstream, chunk, response, stream_head},
        vendor::{self, Key, Vendor},
    },
    run::{
        port::{Answer, Models},
        sample,
    },
};

/// Those whose answers have the shape of OpenAI's chat completions.
fn speak_like_openai() -> impl Iterator<Item = &'static Family> {
    let kind = |family: &&Family| vendor::built_in(&family.name).map(|vendor| vendor.kind);
    all()
        .iter()
        .filter(move |family| matches!(kind(family), Some("openai" | "azure" | "watsonx")))
}

fn request() -> Request {
    let tool = ToolSpec {
        description: "Looks around.".to_owned(),
        ..sample::tool("look", r#"{"type":"object","properties":{"at":{}}}"#)
    };
    Request {
        messages: vec![
            Arc::new(Message::text(Role::System, "Be brief.")),
            Arc::new(Message::text(Role::User, "What is there?")),
        ],
        tools: Arc::from([Arc::new(tool)]),
        options: Arc::default(),
    }
}

#[test]
fn every_vendor_is_sent_the_messages_and_the_tools() {
    for family in all() {
        let request = request();
        let call = Call {
            model: &family.model,
            request: &request,
            answer: Answer::Whole,
        };
        let encoded = family.protocol().encode(call).unwrap();
        let body = String::from_utf8(encoded.body).unwrap();
        let schema = request.tools[0].input_schema.as_str();
        for text in [
            "Be brief.",
            "What is there?",
            "look",
            "Looks around.",
            schema,
        ] {
            assert!(body.contains(text), "{}: {text} in {body}", family.name);
        }
        // In a path a colon is written otherwise.
        let model = family.model.model.split(':').next().unwrap();
        let named = body.contains(model) || encoded.path.contains(model);
        assert!(named, "{}: the model", family.name);
    }
}

/// A message without content, as vendors send it beside calls.
fn answer(usage: &Value) -> Vec<u8> {
    let call = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "look", "arguments": arguments}});
    json!({
        "id": "chatcmpl-1",
        "choices": [{
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "reasoning_content": "I look twice.",
                "tool_calls": [call("call_a", r#"{"at":1}"#), call("call_b", r#"{"at":2}"#)]
            }
        }],
        "usage": usage
    })
    .to_string()
    .into_bytes()
}

#[test]
fn no_vendor_that_speaks_like_openai_loses_calls_reasoning_finish_reason_or_usage() {
    let usage = json!({
        "prompt_tokens": 11,
        "completion_tokens": 7,
        "total_tokens": 18,
        "prompt_tokens_details": {"cached_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 3}
    });
    let mut vendors = 0;
    for family in speak_like_openai() {
        let request = request();
        let turn = turn_of(family, &family.model.model, &request.tools);
        let completion = family.protocol().decode(turn, &answer(&usage)).unwrap();
        let name = &family.name;
        let calls: Vec<&str> = completion
            .message
            .tool_calls()
            .map(|call| &*call.arguments)
            .collect();
        assert_eq!(calls, [r#"{"at":1}"#, r#"{"at":2}"#], "{name}");
        let thought = Content::Reasoning("I look twice.".to_owned());
        assert!(
            completion
                .message
                .parts
                .iter()
                .any(|part| part.content == thought),
            "{name}"
        );
        assert_eq!(completion.finish_reason, FinishReason::ToolCalls, "{name}");
        assert_eq!(completion.provider_finish_reason, "tool_calls", "{name}");
        let usage = completion.usage;
        assert_eq!((usage.input_tokens, usage.output_tokens), (11, 7), "{name}");
        assert_eq!(
            (usage.cache_read_tokens, usage.reasoning_tokens),
            (5, 3),
            "{name}"
        );
        vendors += 1;
    }
    assert!(vendors >= 20, "only {vendors}");
}

#[test]
fn an_answer_without_usage_is_an_answer() {
    for family in speak_like_openai() {
        let turn = turn_of(family, &family.model.model, &request().tools);
        let completion = family
            .protocol()
            .decode(turn, &answer(&Value::Null))
            .unwrap();
        assert_eq!(completion.usage.total(), 0, "{}", family.name);
    }
}

// === as providers ===

async fn fault_of(providers: &Providers, vendor: &Vendor) -> Fault {
    let model = ModelRef::parse(&format!("{}:some-model", vendor.name)).unwrap();
    let mut events = providers.call(&model, request(), Answer::Whole);
    loop {
        match events.next().await.unwrap() {
            Err(fault) => return fault,
            Ok(ModelEvent::Started { .. } | ModelEvent::Delta(_) | ModelEvent::Discarded(_)) => {}
            Ok(ModelEvent::Finished(_)) => panic!("{} has answered", vendor.name),
        }
    }
}

#[tokio::test]
async fn every_vendor_whose_key_is_missing_names_the_variable() {
    let providers = Providers::new(&Settings::default().with_environment(|_| None)).unwrap();
    for vendor in vendor::BUILT_IN {
        let (Key::Needed(key) | Key::AnyOf(&[key, ..])) = vendor.key else {
            continue;
        };
        // A vendor that has an address for each customer wants to know that one first.
        let address = vendor
            .base_url_variable
            .filter(|_| vendor.base_url.is_empty());
        let variable = address.unwrap_or(key);
        let fault = fault_of(&providers, vendor).await;
        assert_eq!(
            fault.reason,
            Reason::ProviderCredentialsMissing,
            "{}",
            vendor.name
        );
        assert_eq!(fault.metadata["provider"], vendor.name);
        assert_eq!(fault.metadata["variable"], variable, "{}", vendor.name);
    }
}

#[tokio::test]
async fn every_vendor_is_asked_where_the_operator_says_and_fails_in_the_same_words() {
    // Vendors with tokens in place of keys have tests of their own.
    let has_key =
        |vendor: &&Vendor| !matches!(vendor.kind, "aws" | "google" | "script" | "watsonx");
    for vendor in vendor::BUILT_IN.iter().filter(has_key) {
        let body = r#"{"error":{"message":"slow down: my secret prompt"}}"#;
        let answer = response("429 Too Many Requests", "retry-after: 7\r\n", body);
        let upstream = Upstream::answer(&answer).await;
        let provider = ProviderSettings {
            base_url: Some(upstream.url.clone()),
            key: Some(Secret::new("the-key")),
            headers: [("x-team".to_owned(), Secret::new("blue"))].into(),
            options: JsonText::parse_object(r#"{"added":"by the operator"}"#).ok(),
            ..ProviderSettings::default()
        };
        let mut settings = Settings::default();
        settings.providers.insert(vendor.name.to_owned(), provider);
        let providers = Providers::new(&settings).unwrap();
        let fault = fault_of(&providers, vendor).await;
        assert_eq!(fault.reason, Reason::ProviderRateLimited, "{}", vendor.name);
        assert_eq!(
            fault.retry_after,
            Some(Duration::from_secs(7)),
            "{}",
            vendor.name
        );
        assert_eq!(fault.metadata["provider"], vendor.name);
        assert_eq!(fault.metadata["model"], "some-model");
        assert!(!fault.to_string().contains("secret"), "{}", vendor.name);
        let sent = &upstream.requests()[0];
        for word in [
            "the-key",
            "x-team: blue\r\n",
            r#""added":"by the operator""#,
        ] {
            assert!(sent.contains(word), "{}: {word}", vendor.name);
        }
    }
}

#[test]
fn a_local_server_is_found_by_its_variable_in_whatever_form_it_stands_there() {
    for (name, variable, default) in [
        ("ollama", "OLLAMA_API_URL", "http://localhost:11434/v1"),
        ("lmstudio", "LMSTUDIO_API_URL", "http://localhost:1234/v1"),
    ] {
        let address = |said: Option<&str>| {
            let lookup = |asked: &str| said.filter(|_| asked == variable).map(str::to_owned);
            let settings = Settings::default().with_environment(lookup);
            let providers = Providers::new(&settings).unwrap();
            let adapter = providers.providers[name].adapter();
            adapter.address().unwrap().to_owned()
        };
        assert_eq!(address(None), default);
        for said in [
            "http://gpu:1",
            "http://gpu:1/",
            "http://gpu:1/v1",
            "http://gpu:1/v1/",
        ] {
            assert_eq!(address(Some(said)), "http://gpu:1/v1", "{name} {said}");
        }
    }
}

#[tokio::test]
async fn a_router_is_told_who_asks_once_and_nobody_else_is() {
    let refused = response("429 Too Many Requests", "connection: close\r\n", "{}");
    let upstream = Upstream::start(vec![vec![Act::send(&refused)]; 4]).await;
    let attribution = [("HTTP-Referer", "https://mine.test"), ("X-Title", "Mine")];
    let mut settings = Settings::default();
    for name in ["openrouter", "requesty", "nebius"] {
        let said = attribution.iter().filter(|_| name != "nebius");
        let provider = ProviderSettings {
            base_url: Some(upstream.url.clone()),
            key: Some(Secret::new("the-key")),
            headers: said
                .map(|(name, value)| ((*name).to_owned(), Secret::new(value)))
                .collect(),
            ..ProviderSettings::default()
        };
        settings.providers.insert(name.to_owned(), provider);
    }
    let providers = Providers::new(&settings).unwrap();
    for name in ["openrouter", "requesty", "openrouter", "nebius"] {
        let fault = fault_of(&providers, vendor::built_in(name).unwrap()).await;
        assert_eq!(fault.reason, Reason::ProviderRateLimited, "{name}");
    }
    let requests = upstream.requests();
    let told = requests.iter().map(|sent| {
        let count = |header: &str| sent.matches(header).count();
        (
            count("http-referer: https://mine.test\r\n"),
            count("x-title: Mine\r\n"),
        )
    });
    let told: Vec<_> = told.collect();
    assert_eq!(told, [(1, 1), (1, 1), (1, 1), (0, 0)]);
}

#[tokio::test]
async fn a_stream_is_asked_for_once_and_shown_to_its_end() {
    for (name, path, text) in [
        ("anthropic", "POST /v1/messages ", "Hello é"),
        (
            "gemini",
            "POST /v1beta/models/some-model:streamGenerateContent?alt=sse ",
            "Héllo 🌍",
        ),
    ] {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let stream = golden.join(name).join("text_stream/response.sse");
        let stream = chunk(&fs::read_to_string(stream).unwrap());
        let upstream = Upstream::answer(&(stream_head() + &stream + END)).await;
        let provider = ProviderSettings {
            base_url: Some(upstream.url.clone()),
            key: Some(Secret::new("the-key")),
            ..ProviderSettings::default()
        };
        let mut settings = Settings::default();
        settings.providers.insert(name.to_owned(), provider);
        let providers = Providers::new(&settings).unwrap();
        let model = ModelRef::parse(&format!("{name}:some-model")).unwrap();
        let mut events = providers.call(&model, request(), Answer::Streamed);
        let mut shown = String::new();
        let completion = loop {
            match events.next().await.unwrap().unwrap() {
                ModelEvent::Delta(Delta {
                    grown: Grown::Text(piece),
                    ..
                }) => shown.push_str(&piece),
                ModelEvent::Finished(completion) => break completion,
                ModelEvent::Started { .. } | ModelEvent::Delta(_) | ModelEvent::Discarded(_) => {}
            }
        };
        assert_eq!(shown, text, "{name}");
        assert_eq!(completion.message.joined_text(), text, "{name}");
        assert_eq!(completion.finish_reason, FinishReason::Stop, "{name}");
        let requests = upstream.requests();
        assert_eq!(requests.len(), 1, "{name}");
        let sent = &requests[0];
        assert!(sent.starts_with(path), "{sent}");
        for word in [
            "accept: text/event-stream\r\n",
            "Be brief.",
            "What is there?",
        ] {
            assert!(sent.contains(word), "{name}: {word} in {sent}");
        }
    }
}

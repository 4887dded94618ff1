use std::collections::BTreeMap;

use futures_util::StreamExt;
use http::{HeaderMap, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    domain::{
        completion::{Delta, Grown, ModelEvent, Request},
        fault::Reason,
        id::CallId,
        message::{Content, Message, Role},
        model::ModelRef,
        secret::Secret,
    },
    provider::{
        Providers, golden,
        protocol::{Frame, Rejection},
        settings::{ProviderSettings, Settings},
        upstream::{Act, Upstream, response},
    },
    run::port::Models,
};

fn protocol(provider: &str) -> Anthropic {
    match provider {
        "vertex" => Anthropic::new(provider, Surface::Vertex),
        "bedrock" => Anthropic::new(provider, Surface::Bedrock),
        "newer" => Anthropic {
            version: NEWER_VERSION.to_owned(),
            ..Anthropic::new(provider, Surface::Direct)
        },
        _ => Anthropic::new(provider, Surface::Direct),
    }
}

fn turn(headers: &[(&'static str, &'static str)]) -> Turn {
    let mut minted = 0;
    Turn {
        model: ModelRef::parse("anthropic:claude").unwrap(),
        tools: Arc::from([]),
        headers: headers
            .iter()
            .map(|(name, value)| {
                let name = HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            })
            .collect::<HeaderMap>(),
        mint: Box::new(move || {
            minted += 1;
            CallId::parse(&format!("call_{minted}")).unwrap()
        }),
    }
}

#[test]
fn golden_cases_hold() {
    golden::check_family(FAMILY, |provider| Box::new(protocol(provider)));
}

#[test]
fn each_surface_has_its_own_paths_and_place_for_the_version() {
    let (whole, streamed) = (Answer::Whole, Answer::Streamed);
    let model = "eu.anthropic.claude/x:0";
    let escaped = "eu.anthropic.claude%2Fx%3A0";
    assert_eq!(Surface::Direct.path(model, streamed), "/v1/messages");
    assert_eq!(
        Surface::Vertex.path("claude-haiku-4-5@20251001", whole),
        "/publishers/anthropic/models/claude-haiku-4-5@20251001:rawPredict"
    );
    assert_eq!(
        Surface::Bedrock.path(model, whole),
        format!("/model/{escaped}/invoke")
    );
    assert_eq!(
        Surface::Bedrock.path(model, streamed),
        format!("/model/{escaped}/invoke-with-response-stream")
    );
    let headers = protocol("newer").models_headers();
    assert_eq!(headers.len(), 1);
    assert_eq!(headers[0].1, NEWER_VERSION);
    assert!(protocol("vertex").version_header().is_empty());
    assert!(protocol("bedrock").models_path().is_none());
}

#[test]
fn the_request_id_is_kept() {
    let body = json!({"content": [], "stop_reason": "end_turn"}).to_string();
    let completion = protocol("anthropic")
        .decode(turn(&[("request-id", "req_7")]), body.as_bytes())
        .unwrap();
    let metadata = completion.provider_metadata.unwrap();
    assert_eq!(metadata.as_str(), r#"{"request_id":"req_7"}"#);
}

#[test]
fn errors_keep_their_meaning() {
    let check = |status: u16, kind: &str, message: &str, reason: Reason| {
        let body = json!({"type": "error", "error": {"type": kind, "message": message}});
        let body = body.to_string();
        let rejection = Rejection {
            status: StatusCode::from_u16(status).unwrap(),
            body: body.as_bytes(),
        };
        let headers = [("retry-after", "7")];
        let fault = protocol("anthropic")
            .reject(turn(&headers), rejection)
            .unwrap_err();
        assert_eq!(fault.reason, reason, "{status} {kind}");
        assert!(!fault.to_string().contains("said"), "{fault}");
        fault.retry_after.map(|wait| wait.as_secs())
    };
    use Reason as R;
    let said = "said by the vendor";
    check(
        400,
        "invalid_request_error",
        said,
        R::ProviderInvalidRequest,
    );
    check(
        400,
        "invalid_request_error",
        "prompt is too long: 300000 tokens > 200000 maximum",
        R::ContextLengthExceeded,
    );
    check(
        400,
        "invalid_request_error",
        "Your credit balance is too low to access the Anthropic API.",
        R::ProviderQuotaExhausted,
    );
    check(
        401,
        "authentication_error",
        said,
        R::ProviderCredentialsRejected,
    );
    check(402, "billing_error", said, R::ProviderQuotaExhausted);
    check(
        403,
        "permission_error",
        said,
        R::ProviderCredentialsRejected,
    );
    check(404, "not_found_error", "model: claude-9", R::ModelNotFound);
    check(413, "request_too_large", said, R::RequestTooLarge);
    let wait = check(429, "rate_limit_error", said, R::ProviderRateLimited);
    assert_eq!(wait, Some(7));
    check(500, "api_error", said, R::ProviderUnavailable);
    check(504, "timeout_error", said, R::ProviderTimeout);
    let wait = check(529, "overloaded_error", said, R::ProviderOverloaded);
    assert_eq!(wait, Some(7));
}

#[test]
fn models_are_listed_with_what_they_can() {
    let body = json!({"data": [
        {"type": "model", "id": "claude-new", "max_input_tokens": 1_000_000, "max_tokens": 128_000,
         "capabilities": {"image_input": {"supported": true}, "pdf_input": {"supported": true},
                          "structured_outputs": {"supported": true}, "thinking": {"supported": false}}},
        {"type": "model", "id": "claude-old", "display_name": "Old"},
    ], "has_more": false});
    let protocol = protocol("anthropic");
    let models = protocol
        .decode_models("mine", body.to_string().as_bytes())
        .unwrap();
    let names: Vec<String> = models.iter().map(|info| info.model.to_string()).collect();
    assert_eq!(names, ["mine:claude-new", "mine:claude-old"]);
    assert_eq!(models[0].context_tokens, Some(1_000_000));
    assert_eq!(models[0].max_output_tokens, Some(128_000));
    assert_eq!(models[0].supports_reasoning, Some(false));
    assert_eq!(models[0].supports_output_schema, Some(true));
    assert!(
        models[0]
            .input_media_types
            .contains(&"application/pdf".to_owned())
    );
    assert_eq!(models[1].supports_output_schema, None);
    assert!(protocol.decode_models("mine", b"<html>").is_err());
}

// === a stream and a whole answer are the same ===

fn a_block() -> impl Strategy<Value = Value> {
    let text = "[a-z é\"\\\\]{0,12}";
    prop_oneof![
        text.prop_map(|text| json!({"type": "text", "text": text})),
        (text, "[a-z]{1,8}").prop_map(
            |(text, sign)| json!({"type": "thinking", "thinking": text, "signature": sign})
        ),
        "[a-z]{1,8}".prop_map(|data| json!({"type": "redacted_thinking", "data": data})),
        ("[a-z]{1,8}", text).prop_map(|(name, value)| json!({
            "type": "tool_use", "id": format!("toolu_{name}"), "name": name, "input": {"v": value}
        })),
        Just(json!({"type": "tool_use", "id": "toolu_0", "name": "none", "input": {}})),
        text.prop_map(|query| json!({
            "type": "server_tool_use", "id": "srvtoolu_0", "name": "web_search",
            "input": {"query": query}
        })),
        Just(json!({"type": "newer_block", "x": [1]})),
    ]
}

/// The events that stream a block, its content in pieces of `size` characters.
fn streamed(index: usize, block: &Value, size: usize) -> Vec<Value> {
    let pieces = |text: &str| -> Vec<String> {
        let chars: Vec<char> = text.chars().collect();
        chars
            .chunks(size)
            .map(|piece| piece.iter().collect())
            .collect()
    };
    let (mut begun, mut deltas) = (block.clone(), Vec::new());
    let mut cut = |key: &str, kind: &str, delta_key: &str, empty: Value| {
        let Some(value) = block.get(key) else { return };
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        // The vendor streams no pieces of an empty input.
        let pieces = if text == "{}" {
            Vec::new()
        } else {
            pieces(&text)
        };
        begun[key] = empty;
        deltas.extend(
            pieces
                .iter()
                .map(|piece| json!({"type": kind, delta_key: piece})),
        );
    };
    cut("text", "text_delta", "text", json!(""));
    cut("thinking", "thinking_delta", "thinking", json!(""));
    cut("signature", "signature_delta", "signature", json!(""));
    cut("input", "input_json_delta", "partial_json", json!({}));
    let mut events =
        vec![json!({"type": "content_block_start", "index": index, "content_block": begun})];
    events.extend(
        deltas
            .iter()
            .map(|delta| json!({"type": "content_block_delta", "index": index, "delta": delta})),
    );
    events.push(json!({"type": "content_block_stop", "index": index}));
    events
}

/// What the deltas show, part by part; `None` when an index is out of its turn.
fn shown(deltas: &[Delta]) -> Option<BTreeMap<u32, String>> {
    let mut parts: BTreeMap<u32, String> = BTreeMap::new();
    for delta in deltas {
        let next = u32::try_from(parts.len()).ok()?;
        if delta.part_index > next {
            return None;
        }
        let part = parts.entry(delta.part_index).or_default();
        match &delta.grown {
            Grown::Text(text) | Grown::Reasoning(text) | Grown::Arguments(text) => {
                part.push_str(text);
            }
            Grown::ToolCall { .. } => {}
        }
    }
    Some(parts)
}

proptest! {
    #[test]
    fn a_stream_becomes_what_the_whole_answer_becomes(
        blocks in prop::collection::vec(a_block(), 0..6),
        size in 1_usize..5,
        word in "end_turn|stop_sequence|tool_use|max_tokens|refusal|pause_turn|newer",
    ) {
        let end = json!({"stop_reason": word, "stop_sequence": null});
        let usage = json!({"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 5});
        let body = json!({
            "id": "msg_1", "content": blocks, "stop_reason": word, "usage": usage
        });
        let vendor = protocol("anthropic");
        let whole = vendor.decode(turn(&[]), body.to_string().as_bytes()).unwrap();

        let mut events = vec![json!({"type": "message_start", "message": {
            "id": "msg_1", "content": [], "stop_reason": null, "usage": {"input_tokens": 3}
        }})];
        for (index, block) in blocks.iter().enumerate() {
            events.extend(streamed(index, block, size));
        }
        events.push(json!({"type": "message_delta", "delta": end, "usage": usage}));
        let (mut assembler, mut deltas) = (vendor.assemble(turn(&[])), Vec::new());
        for event in &events {
            let data = event.to_string();
            // Hosts bring the payloads without names.
            let frame = Frame { event: "", data: data.as_bytes() };
            assembler.feed(frame, &mut deltas).unwrap();
        }
        let assembled = assembler.finish(&mut deltas).unwrap();
        prop_assert_eq!(&assembled, &whole);

        let shown: Vec<String> = shown(&deltas).unwrap().into_values().collect();
        let said: Vec<String> = assembled.message.parts.iter().map(|part| match &part.content {
            Content::Text(text) | Content::Reasoning(text) => text.clone(),
            Content::ToolCall(call) => call.arguments.clone(),
            Content::Media(_) | Content::ToolResult(_) => String::new(),
        }).collect();
        prop_assert_eq!(shown, said);
    }

    #[test]
    fn no_payload_makes_the_decoder_panic(
        payloads in prop::collection::vec("(\\{\"type\":\"(message|content_block)_(start|delta|stop)\"[^}]{0,40}\\}){0,2}|.{0,40}", 0..6),
    ) {
        let (mut assembler, mut deltas) = (protocol("anthropic").assemble(turn(&[])), Vec::new());
        for payload in &payloads {
            let frame = Frame { event: "", data: payload.as_bytes() };
            if assembler.feed(frame, &mut deltas).is_err() {
                return Ok(());
            }
        }
        prop_assert!(assembler.finish(&mut deltas).is_err());
    }
}

// === as a provider ===

fn providers(url: &str, parameters: &[(&str, &str)]) -> Result<Providers, String> {
    let provider = ProviderSettings {
        kind: Some(FAMILY.to_owned()),
        base_url: Some(format!("{url}/v1/")),
        key: Some(Secret::new("sk-ant")),
        parameters: parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..ProviderSettings::default()
    };
    let settings = Settings {
        providers: BTreeMap::from([("claude".to_owned(), provider)]),
        ..Settings::default()
    };
    Providers::new(&settings).map_err(|errors| errors[0].problem.clone())
}

#[tokio::test]
async fn the_key_and_the_version_travel_in_headers() {
    let body = json!({"content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"});
    let upstream = Upstream::start(vec![vec![
        Act::send(&response("200 OK", "", &body.to_string())),
        Act::Next,
        Act::send(&response("200 OK", "", r#"{"data":[{"id":"claude-x"}]}"#)),
    ]])
    .await;
    let version = [("version", NEWER_VERSION), ("max_tokens", "77")];
    let providers = providers(&upstream.url, &version).unwrap();
    let request = Request {
        messages: vec![Arc::new(Message::text(Role::User, "hello"))],
        tools: Arc::from([]),
        options: Arc::default(),
    };
    let model = ModelRef::parse("claude:claude-sonnet-4-6").unwrap();
    let events: Vec<_> = providers
        .call(&model, request, Answer::Whole)
        .collect()
        .await;
    assert!(matches!(events.last(), Some(Ok(ModelEvent::Finished(_)))));
    let list = providers.list(None).await;
    assert_eq!(list.models[0].model.to_string(), "claude:claude-x");

    let requests = upstream.requests();
    assert!(
        requests[0].starts_with("POST /v1/messages HTTP/1.1"),
        "{}",
        requests[0]
    );
    assert!(requests[0].contains("\"max_tokens\":77"), "{}", requests[0]);
    assert!(
        requests[1].starts_with("GET /v1/models?limit=1000 HTTP/1.1"),
        "{}",
        requests[1]
    );
    for request in &requests {
        assert!(request.contains("x-api-key: sk-ant\r\n"), "{request}");
        assert!(
            request.contains("anthropic-version: 2026-10-21\r\n"),
            "{request}"
        );
        assert!(!request.contains("authorization"), "{request}");
    }
}

#[test]
fn parameters_that_make_no_sense_are_named() {
    let problem = |name, value| providers("http://localhost", &[(name, value)]).unwrap_err();
    assert!(problem("version", "20 23").contains("version"));
    assert!(problem("max_tokens", "0").contains("max_tokens"));
    assert!(problem("max_tokens", "many").contains("max_tokens"));
}

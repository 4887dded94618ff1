use std::time::Duration;

use serde_json::json;

use super::*;
use crate::{
    domain::{
        completion::{Grown, ModelEvent},
        id::CallId,
        json::JsonText,
        message::{Content, Message, Part, Role, ToolResult},
        model::{FinishReason, Options, ToolChoice},
        tool::{ToolName, ToolSpec},
    },
    provider::{Providers, settings::Settings},
    run::{port::Models, sample},
};

fn providers(script: Option<&str>) -> Providers {
    let mut settings = Settings::default().with_environment(|_| None);
    settings.providers.get_mut("script").unwrap().script = script.map(str::to_owned);
    Providers::new(&settings).unwrap()
}

fn tool(name: &str) -> Arc<ToolSpec> {
    let schema =
        json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    Arc::new(sample::tool(name, &schema.to_string()))
}

fn ask(text: &str, tools: &[&str]) -> Request {
    Request {
        messages: vec![Arc::new(Message::text(Role::User, text))],
        tools: tools.iter().map(|name| tool(name)).collect(),
        options: Arc::new(Options::default()),
    }
}

/// Everything that a model says, and the fault in place of an end.
async fn events(
    script: Option<&str>,
    model: &str,
    request: Request,
) -> (Vec<ModelEvent>, Option<Fault>) {
    let providers = providers(script);
    let model = providers.resolve(&format!("script:{model}")).unwrap();
    let mut stream = providers.call(&model, request, Answer::Streamed);
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => events.push(event),
            Err(fault) => return (events, Some(fault)),
        }
    }
    (events, None)
}

async fn complete(model: &str, request: Request) -> crate::domain::completion::Completion {
    let (mut events, fault) = events(None, model, request).await;
    assert_eq!(fault, None);
    let Some(ModelEvent::Finished(completion)) = events.pop() else {
        panic!("no end");
    };
    *completion
}

fn text_deltas(events: &[ModelEvent]) -> String {
    let text = |event: &ModelEvent| {
        if let ModelEvent::Delta(delta) = event
            && let Grown::Text(text) = &delta.grown
        {
            return Some(text.clone());
        }
        None
    };
    events.iter().filter_map(text).collect()
}

/// The conversation after the model's calls were answered with `result`.
fn answered(mut request: Request, message: Message, result: &str) -> Request {
    let results = message.tool_calls().map(|call| {
        Part::new(Content::ToolResult(ToolResult {
            call_id: call.id.clone(),
            parts: vec![Part::new(Content::Text(result.to_owned()))],
            structured: None,
            is_error: false,
        }))
    });
    let results = Message {
        id: None,
        role: Role::Tool,
        parts: results.collect(),
        name: None,
    };
    request
        .messages
        .extend([Arc::new(message), Arc::new(results)]);
    request
}

#[tokio::test(start_paused = true)]
async fn the_demo_asks_a_weather_tool_and_answers_with_its_result() {
    let request = ask("What is the weather in Oslo?", &["clock", "get_weather"]);
    let first = complete("demo", request.clone()).await;
    assert_eq!(first.finish_reason, FinishReason::ToolCalls);
    let call = first.message.tool_calls().next().unwrap();
    assert_eq!(
        (&*call.name, &*call.arguments),
        ("get_weather", r#"{"city":"Oslo"}"#)
    );
    let second = complete("demo", answered(request, first.message, "-3 degrees")).await;
    assert_eq!(second.message.joined_text(), "The answer is: -3 degrees");
    assert_eq!(second.finish_reason, FinishReason::Stop);
}

#[tokio::test(start_paused = true)]
async fn what_is_streamed_adds_up_to_the_completion() {
    let (events, _) = events(None, "demo", ask("hello there", &[])).await;
    assert!(matches!(events.first(), Some(ModelEvent::Started { .. })));
    let Some(ModelEvent::Finished(completion)) = events.last() else {
        panic!("no end");
    };
    assert_eq!(text_deltas(&events), completion.message.joined_text());
    assert!(events.len() > 5);
}

#[tokio::test]
async fn many_calls_come_in_one_turn_with_ids_of_their_own() {
    let completion = complete("tools-8", ask("in Rome", &["a", "b"])).await;
    let calls: Vec<_> = completion.message.tool_calls().collect();
    let names: Vec<&str> = calls.iter().map(|call| &*call.name).collect();
    assert_eq!(names, ["a", "b", "a", "b", "a", "b", "a", "b"]);
    let ids: std::collections::HashSet<&CallId> = calls.iter().map(|call| &call.id).collect();
    assert_eq!(ids.len(), 8);
}

#[tokio::test]
async fn a_forced_tool_is_called_whatever_the_script_says() {
    let mut request = ask("hello", &["a", "b"]);
    request.options = Arc::new(Options {
        tool_choice: ToolChoice::Tool(ToolName::parse("b").unwrap()),
        ..Options::default()
    });
    let completion = complete("echo", request).await;
    assert_eq!(completion.message.tool_calls().next().unwrap().name, "b");
}

#[tokio::test]
async fn a_forbidden_tool_is_not_called() {
    let mut request = ask("hello", &["a"]);
    request.options = Arc::new(Options {
        tool_choice: ToolChoice::None,
        ..Options::default()
    });
    let completion = complete("loop", request).await;
    assert_eq!(completion.finish_reason, FinishReason::Stop);
}

#[tokio::test]
async fn an_output_schema_is_conformed_to() {
    let mut request = ask("in Rome", &[]);
    let schema = r#"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}"#;
    request.options = Arc::new(Options {
        output_schema: Some(JsonText::parse_object(schema).unwrap()),
        ..Options::default()
    });
    let completion = complete("echo", request).await;
    assert_eq!(completion.message.joined_text(), r#"{"n":1}"#);
}

#[tokio::test]
async fn faults_come_where_the_script_puts_them() {
    let (shown, fault) = events(None, "error-PROVIDER_RATE_LIMITED", ask("x", &[])).await;
    assert!(shown.is_empty());
    let fault = fault.unwrap();
    assert_eq!(fault.reason, Reason::ProviderRateLimited);
    assert_eq!(fault.metadata["provider"], "script");
    let (shown, fault) = events(None, "broken", ask("x", &[])).await;
    assert_eq!(text_deltas(&shown), "Half of what ");
    assert_eq!(fault.unwrap().reason, Reason::ProviderStreamBroken);
}

#[tokio::test]
async fn a_fault_can_pass_after_some_times() {
    let providers = providers(None);
    let model = providers.resolve("script:flaky").unwrap();
    let mut ends = Vec::new();
    for _ in 0..2 {
        let stream = providers.call(&model, ask("x", &[]), Answer::Whole);
        ends.push(stream.collect::<Vec<_>>().await.pop().unwrap().is_ok());
    }
    assert_eq!(ends, [false, true]);
}

#[tokio::test(start_paused = true)]
async fn silence_ends_with_the_idle_time_out() {
    let before = tokio::time::Instant::now();
    let (_, fault) = events(None, "hang", ask("x", &[])).await;
    assert_eq!(fault.unwrap().reason, Reason::ProviderTimeout);
    assert_eq!(before.elapsed(), Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn deltas_come_at_their_pace() {
    let before = tokio::time::Instant::now();
    let (events, _) = events(None, "slow-10", ask("x", &[])).await;
    assert_eq!(text_deltas(&events), "word ".repeat(10));
    assert_eq!(before.elapsed(), Duration::from_millis(200));
}

#[tokio::test]
async fn a_users_script_takes_the_place_of_the_embedded_one() {
    let script = r#"
        [models.parrot]
        [[models.parrot.turns]]
        when = { says = "HELLO" }
        deltas = ["hel", "lo {user}"]
        [[models.parrot.turns]]
        calls = [{ tool = "t", arguments = '{"q": "{user}"}' }]
    "#;
    let (shown, _) = events(Some(script), "parrot", ask("well, hello", &[])).await;
    assert_eq!(text_deltas(&shown), "hello well, hello");
    let (shown, _) = events(Some(script), "parrot", ask("say \"hi\"\n", &[])).await;
    let Some(ModelEvent::Finished(completion)) = shown.last() else {
        panic!("no end");
    };
    let call = completion.message.tool_calls().next().unwrap();
    assert_eq!(call.arguments, r#"{"q": "say \"hi\"\n"}"#);
    let (_, fault) = events(Some(script), "demo", ask("x", &[])).await;
    assert_eq!(fault.unwrap().reason, Reason::ModelNotFound);
}

#[test]
fn a_wrong_script_is_refused_with_its_line() {
    let mut settings = Settings::default().with_environment(|_| None);
    let script = "[models.x]\nturns = [{ txt = \"a\" }]";
    settings.providers.get_mut("script").unwrap().script = Some(script.to_owned());
    let errors = Providers::new(&settings).unwrap_err();
    let message = errors[0].to_string();
    assert!(
        message.contains("line 2") && message.contains("txt"),
        "{message}"
    );
}

#[tokio::test]
async fn the_models_without_parameters_are_listed() {
    let list = providers(None).list(Some("script".to_owned())).await;
    let names: Vec<String> = list
        .models
        .iter()
        .map(|info| info.model.to_string())
        .collect();
    assert!(names.contains(&"script:demo".to_owned()));
    assert!(!names.iter().any(|name| name.contains('*')));
    assert!(list.unavailable.is_empty());
}

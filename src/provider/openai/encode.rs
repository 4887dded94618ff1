//! Writes requests. The same call gives the same bytes.

use std::sync::Arc;

use super::{
    Dialect, OpenAi, Quirks, Schema, Thinking,
    strict::is_strict,
    wire::request::{
        Body, Budget, Content, JsonSchema, Message, Name, NamedFunction, ResponseFormat,
        StreamOptions, Switch,
    },
};
use crate::{
    domain::{
        fault::Fault,
        json::JsonText,
        model::{Options, ReasoningEffort},
    },
    provider::{
        body,
        framing::Framing,
        function::{self, Choice, Tool},
        names::PlainNames,
        protocol::{Call, Encoded},
    },
    run::port::Answer,
};

mod messages;

/// Writes a request.
///
/// # Errors
/// `INVALID_REQUEST` when the conversation holds media that the protocol has no words for.
pub(crate) fn encode(vendor: &OpenAi, call: Call<'_>) -> Result<Encoded, Fault> {
    let (request, options) = (call.request, &*call.request.options);
    let quirks = &vendor.quirks;
    let names = PlainNames::new(&request.tools);
    let tools = Tool::all(request.tools.iter().map(Arc::as_ref), &names)?;
    let choice = Choice::of(&options.tool_choice, |name| NamedFunction {
        kind: function::KIND,
        function: Name {
            name: names.to_wire(name.as_str()),
        },
    });
    let streamed = call.answer == Answer::Streamed;
    let has_tools = !tools.is_empty();
    let (limit, new_name) = (options.max_output_tokens, quirks.max_completion_tokens);
    let mut messages = messages::encode(&request.messages, call.model, quirks, &names)?;
    if let (Schema::Described, Some(schema)) = (quirks.schema, &options.output_schema) {
        messages.insert(0, described(schema));
    }
    let thinking = Thought::of(quirks, options);
    let body = Body {
        model: &call.model.model,
        messages,
        tool_choice: choice.filter(|_| has_tools),
        parallel_tool_calls: options.parallel_tool_calls.filter(|_| has_tools),
        tools,
        response_format: options
            .output_schema
            .as_ref()
            .map(|schema| encode_format(schema, quirks.schema))
            .transpose()?,
        max_completion_tokens: limit.filter(|_| new_name),
        max_tokens: limit.filter(|_| !new_name),
        temperature: options.temperature,
        top_p: options.top_p,
        top_k: options.top_k.filter(|_| quirks.top_k),
        seed: options.seed.filter(|_| quirks.dialect == Dialect::OpenAi),
        random_seed: options.seed.filter(|_| quirks.dialect == Dialect::Mistral),
        stop: &options.stop_sequences,
        reasoning_effort: thinking.effort,
        thinking: thinking.switch,
        reasoning: thinking.budget,
        enable_thinking: thinking.enabled,
        thinking_budget: thinking.tokens,
        stream: streamed,
        stream_options: (streamed && quirks.stream_usage).then_some(StreamOptions {
            include_usage: true,
        }),
    };
    Ok(Encoded {
        path: "/chat/completions".to_owned(),
        headers: Vec::new(),
        body: body::write(&body, vendor.overrides(options))?,
        framing: Framing::Sse,
    })
}

fn encode_format(schema: &JsonText, how: Schema) -> Result<ResponseFormat<'_>, Fault> {
    Ok(match how {
        Schema::Described => ResponseFormat::JsonObject,
        Schema::Native => ResponseFormat::JsonSchema {
            json_schema: JsonSchema {
                name: "answer",
                schema: body::raw(schema)?,
                strict: is_strict(schema.as_str()),
            },
        },
    })
}

/// What the model is told of a schema that the vendor does not take.
fn described(schema: &JsonText) -> Message<'_> {
    let text = format!(
        "Answer with one JSON object and nothing else. It must conform to this JSON Schema: {}",
        schema.as_str()
    );
    Message::new("system", Content::Text(text.into()))
}

/// How thinking is asked for, in all the ways there are.
#[derive(Default)]
struct Thought {
    effort: Option<&'static str>,
    switch: Option<Switch>,
    budget: Option<Budget>,
    enabled: Option<bool>,
    tokens: Option<u64>,
}

impl Thought {
    fn of(quirks: &Quirks, options: &Options) -> Self {
        let effort = options.reasoning_effort;
        let word = effort.map(|effort| quirks.word(effort));
        let tokens = options.max_reasoning_tokens;
        match (quirks.thinking, tokens) {
            (Thinking::DeepSeek, _) if effort == Some(ReasoningEffort::None) => Self {
                switch: Some(Switch { kind: "disabled" }),
                ..Self::default()
            },
            (Thinking::OpenRouter, Some(max_tokens)) => Self {
                budget: Some(Budget { max_tokens }),
                ..Self::default()
            },
            (Thinking::Qwen, _) => Self {
                enabled: match effort {
                    Some(effort) => Some(effort != ReasoningEffort::None),
                    None => tokens.map(|_| true),
                },
                tokens: tokens.filter(|_| effort != Some(ReasoningEffort::None)),
                ..Self::default()
            },
            (Thinking::Effort | Thinking::DeepSeek | Thinking::OpenRouter, _) => Self {
                effort: word,
                ..Self::default()
            },
        }
    }
}

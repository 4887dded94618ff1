//! Writes requests. The same call gives the same bytes.

use serde_json::Value;

use super::{
    FAMILY, Gemini,
    wire::{
        Body, CallingConfig, Function, GenerationConfig, Schema, ThinkingConfig, ToolConfig, Tools,
    },
};
use crate::{
    domain::{
        completion::Request,
        fault::Fault,
        json::JsonText,
        model::{Options, ReasoningEffort, ToolChoice},
        tool::ToolSpec,
    },
    provider::{
        body::{self, Overrides},
        framing::Framing,
        protocol::{Call, Encoded},
    },
    run::port::Answer,
};

mod contents;
pub(super) mod names;

use names::Names;

/// What a model's generation changes in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    /// Up to 2.5: thinks within a budget, does not look at signatures of calls.
    Budget,
    /// From 3 on, and every name that tells no number: thinks on a level, and refuses calls of the
    /// present turn without a signature.
    Level,
}

impl Generation {
    /// By a model's name.
    pub(super) fn of(model: &str) -> Self {
        let number = model.split("gemini-").nth(1);
        let number = number.and_then(|rest| rest.split(['.', '-']).next()?.parse::<u32>().ok());
        match number {
            Some(0..=2) => Self::Budget,
            Some(_) => Self::Level,
            None if model.contains("gemini") => Self::Level,
            None => Self::Budget,
        }
    }
}

/// Writes a request to the model at `resource`.
///
/// # Errors
/// `INVALID_REQUEST` when the conversation holds what the protocol has no words for.
pub(super) fn encode(vendor: &Gemini, call: Call<'_>, resource: &str) -> Result<Encoded, Fault> {
    let (request, options) = (call.request, &*call.request.options);
    let generation = Generation::of(&call.model.model);
    let names = Names::new(&request.tools);
    let (system_instruction, contents) = contents::encode(&request.messages, generation, &names)?;
    let tools = encode_tools(request, &names)?;
    let body = Body {
        system_instruction,
        tool_config: encode_choice(&options.tool_choice, &names).filter(|_| !tools.is_empty()),
        tools,
        contents,
        generation_config: encode_config(options, generation)?,
    };
    let method = match call.answer {
        Answer::Whole => "generateContent",
        Answer::Streamed => "streamGenerateContent?alt=sse",
    };
    Ok(Encoded {
        path: format!("{resource}:{method}"),
        headers: Vec::new(),
        body: body::write(
            &body,
            Overrides {
                family: FAMILY,
                provider: &vendor.name,
                operator: vendor.options.as_ref(),
                caller: &options.provider_options,
            },
        )?,
        framing: Framing::Sse,
    })
}

fn encode_tools<'a>(request: &'a Request, names: &Names<'a>) -> Result<Vec<Tools<'a>>, Fault> {
    if request.tools.is_empty() {
        return Ok(Vec::new());
    }
    let functions = request
        .tools
        .iter()
        .map(|tool| encode_tool(tool, names))
        .collect::<Result<_, _>>()?;
    Ok(vec![Tools {
        function_declarations: functions,
    }])
}

fn encode_tool<'a>(tool: &'a ToolSpec, names: &Names<'a>) -> Result<Function<'a>, Fault> {
    let schema = (!is_empty(&tool.input_schema)).then(|| body::raw(&tool.input_schema));
    Ok(Function {
        name: names.to_wire(tool.name.as_str()),
        description: &tool.description,
        parameters_json_schema: schema.transpose()?,
    })
}

/// Whether a schema is that of a function without parameters, which are then not mentioned.
fn is_empty(schema: &JsonText) -> bool {
    let schema: Value = serde_json::from_str(schema.as_str()).unwrap_or_default();
    let members = |key: &str| schema.get(key).and_then(Value::as_object);
    let has_any = members("properties").is_some_and(|properties| !properties.is_empty());
    let is_open = [
        "additionalProperties",
        "patternProperties",
        "anyOf",
        "oneOf",
        "allOf",
        "$ref",
    ]
    .iter()
    .any(|key| {
        schema
            .get(*key)
            .is_some_and(|value| *value != Value::Bool(false))
    });
    !has_any && !is_open
}

fn encode_choice<'a>(choice: &'a ToolChoice, names: &Names<'a>) -> Option<ToolConfig<'a>> {
    let (mode, allowed) = match choice {
        ToolChoice::Auto => return None,
        ToolChoice::None => ("NONE", Vec::new()),
        ToolChoice::Required => ("ANY", Vec::new()),
        ToolChoice::Tool(name) => ("ANY", vec![names.to_wire(name.as_str())]),
    };
    Some(ToolConfig {
        function_calling_config: CallingConfig {
            mode,
            allowed_function_names: allowed,
        },
    })
}

fn encode_config(options: &Options, generation: Generation) -> Result<GenerationConfig<'_>, Fault> {
    let schema = options.output_schema.as_ref().map(body::raw).transpose()?;
    Ok(GenerationConfig {
        max_output_tokens: options.max_output_tokens,
        temperature: options.temperature,
        top_p: options.top_p,
        top_k: options.top_k,
        seed: options.seed,
        stop_sequences: &options.stop_sequences,
        thinking_config: encode_thinking(options, generation),
        response_mime_type: schema.map(|_| "application/json"),
        response_json_schema: schema.map(Schema),
    })
}

/// Thoughts are shown when the caller asks for any. The budgets are those that Google's own
/// OpenAI-compatible surface gives the efforts; a model from 3 on cannot be kept from thinking, but told
/// to think least.
fn encode_thinking(options: &Options, generation: Generation) -> Option<ThinkingConfig> {
    if let Some(tokens) = options.max_reasoning_tokens {
        return Some(ThinkingConfig {
            include_thoughts: tokens > 0,
            thinking_budget: Some(tokens),
            thinking_level: None,
        });
    }
    let effort = options.reasoning_effort?;
    let (budget, level) = match effort {
        ReasoningEffort::None => (0, "MINIMAL"),
        ReasoningEffort::Minimal => (1_024, "MINIMAL"),
        ReasoningEffort::Low => (1_024, "LOW"),
        ReasoningEffort::Medium => (8_192, "MEDIUM"),
        ReasoningEffort::High | ReasoningEffort::Max => (24_576, "HIGH"),
    };
    let is_level = generation == Generation::Level;
    Some(ThinkingConfig {
        include_thoughts: effort != ReasoningEffort::None,
        thinking_budget: (!is_level).then_some(budget),
        thinking_level: is_level.then_some(level),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_generation_is_in_its_name() {
        for (model, generation) in [
            ("gemini-2.5-flash", Generation::Budget),
            ("models/gemini-2.0-flash-001", Generation::Budget),
            ("gemini-3-pro-preview", Generation::Level),
            ("gemini-3.1-flash-lite", Generation::Level),
            ("gemini-10", Generation::Level),
            ("gemini-flash-latest", Generation::Level),
            ("gemma-3-27b-it", Generation::Budget),
        ] {
            assert_eq!(Generation::of(model), generation, "{model}");
        }
    }

    #[test]
    fn a_schema_without_parameters_is_known() {
        for (schema, empty) in [
            (r#"{"type":"object","properties":{}}"#, true),
            (r#"{"type":"object","additionalProperties":false}"#, true),
            (r#"{"type":"object","additionalProperties":true}"#, false),
            (r#"{"type":"object","properties":{"a":{}}}"#, false),
            (r##"{"$ref":"#/$defs/a"}"##, false),
        ] {
            let schema = JsonText::parse_object(schema).unwrap();
            assert_eq!(is_empty(&schema), empty, "{}", schema.as_str());
        }
    }
}

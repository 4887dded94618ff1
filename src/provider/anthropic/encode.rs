//! Writes requests. The same call gives the same bytes.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use self::thinking::Plan;
use super::{
    ANSWER_TOOL, Anthropic, FAMILY, NEWER_VERSION, Surface,
    model::{self, Traits},
    schema,
    wire::{Block, Body, CacheControl, Format, Message, OutputConfig, Thinking, Tool, ToolChoice},
};
use crate::{
    domain::{
        completion::Request,
        fault::Fault,
        json::JsonText,
        model::{Options, ToolChoice as Choice},
        tool::ToolSpec,
    },
    provider::{
        body::{self, Overrides, unwritable},
        merge::merge,
        names::PlainNames,
        protocol::Call,
    },
    run::port::Answer,
};

mod media;
mod messages;
pub(in crate::provider) mod thinking;

/// As many breakpoints as a request may have.
const MAX_BREAKPOINTS: usize = 4;

/// Writes the body of a request.
///
/// # Errors
/// `INVALID_REQUEST` when the conversation holds media that the protocol has no words for, or the
/// options ask for what the model refuses.
pub(crate) fn encode(vendor: &Anthropic, call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let (request, options) = (call.request, &*call.request.options);
    let traits = model::traits(&call.model.model);
    let names = PlainNames::new(&request.tools);
    let asked = Asked::new(request, &traits)?;
    let conversation = messages::encode(&request.messages, &traits, &names)?;
    let forbids_budget = asked.forbids_budget() || is_unthought(&conversation.messages);
    let plan = Plan::new(&traits, options, vendor.max_tokens, forbids_budget);
    let mut tools = encode_tools(request, &names)?;
    if let Some(tool) = asked.answer_tool()? {
        tools.push(tool);
    }
    let tool_choice = asked.tool_choice(&names, !tools.is_empty());
    let samples = traits.sampling
        && vendor.version != NEWER_VERSION
        && !matches!(plan.thinking, Some(Thinking::Enabled { .. }));
    let one = traits.one_sampler && options.temperature.is_some();
    let direct = vendor.surface == Surface::Direct;
    let mut body = Body {
        anthropic_version: (!direct).then_some(&*vendor.version),
        model: direct.then_some(&*call.model.model),
        max_tokens: plan.max_tokens,
        tools,
        tool_choice,
        system: conversation.system,
        messages: conversation.messages,
        thinking: plan.thinking,
        output_config: asked.output_config(&plan)?,
        // Elsewhere the scale goes up to two.
        temperature: options
            .temperature
            .map(|value| value.min(1.0))
            .filter(|_| samples),
        top_p: options.top_p.filter(|_| samples && !one),
        top_k: options.top_k.filter(|_| samples),
        stop_sequences: &options.stop_sequences,
        // On Bedrock the path says it.
        stream: call.answer == Answer::Streamed && vendor.surface != Surface::Bedrock,
    };
    limit_breakpoints(&mut body);
    body::write(
        &body,
        Overrides {
            family: FAMILY,
            provider: &vendor.name,
            operator: vendor.options.as_ref(),
            caller: &options.provider_options,
        },
    )
}

/// What is asked of tools and of the shape of the answer.
struct Asked<'a> {
    options: &'a Options,
    traits: &'a Traits,
    /// The schema, where the model is made to answer by a tool.
    by_tool: Option<&'a JsonText>,
}

impl<'a> Asked<'a> {
    fn new(request: &'a Request, traits: &'a Traits) -> Result<Self, Fault> {
        let options = &*request.options;
        let forces = options.tool_choice.forces_a_call() && !request.tools.is_empty();
        if forces && !traits.forced_tools {
            return Err(Fault::invalid(
                "options.tool_choice",
                "this model decides by itself whether to call a tool; it refuses to be forced",
            ));
        }
        let by_tool = options.output_schema.as_ref();
        let by_tool = by_tool.filter(|_| !traits.native_schema);
        let clash = |tool: &ToolSpec| tool.name.as_str() == ANSWER_TOOL;
        if by_tool.is_some() && request.tools.iter().any(|tool| clash(tool)) {
            return Err(Fault::invalid(
                "tools",
                format!("the name {ANSWER_TOOL} is taken by the answer's schema"),
            ));
        }
        Ok(Self {
            options,
            traits,
            by_tool,
        })
    }

    /// Thinking within a budget and a forced call exclude each other.
    fn forbids_budget(&self) -> bool {
        self.by_tool.is_some() || self.options.tool_choice.forces_a_call()
    }

    fn answer_tool(&self) -> Result<Option<Tool<'a>>, Fault> {
        let tool = |schema: &'a JsonText| {
            Ok(Tool {
                name: Cow::Borrowed(ANSWER_TOOL),
                description: "Gives the final answer. Its input is the answer.",
                input_schema: object_schema(schema)?,
                cache_control: None,
            })
        };
        self.by_tool.map(tool).transpose()
    }

    fn tool_choice(&self, names: &PlainNames<'_>, has_tools: bool) -> Option<ToolChoice<'a>> {
        let single = self.options.parallel_tool_calls == Some(false);
        let choice = match &self.options.tool_choice {
            // No other tool shall be called, so that only the answer is left.
            Choice::None if self.by_tool.is_some() => ToolChoice::Tool {
                name: Cow::Borrowed(ANSWER_TOOL),
                disable_parallel_tool_use: false,
            },
            Choice::Auto | Choice::Required if self.by_tool.is_some() => ToolChoice::Any {
                disable_parallel_tool_use: single,
            },
            Choice::Auto if single => ToolChoice::Auto {
                disable_parallel_tool_use: true,
            },
            Choice::Auto => return None,
            Choice::None => ToolChoice::None,
            Choice::Required => ToolChoice::Any {
                disable_parallel_tool_use: single,
            },
            Choice::Tool(name) => ToolChoice::Tool {
                name: Cow::Owned(names.to_wire(name.as_str()).into_owned()),
                disable_parallel_tool_use: single,
            },
        };
        has_tools.then_some(choice)
    }

    fn output_config(&self, plan: &Plan) -> Result<Option<OutputConfig<'a>>, Fault> {
        let schema = self.options.output_schema.as_ref();
        let schema = schema.filter(|_| self.traits.native_schema);
        let schema = schema.map(schema::fitted).transpose()?;
        let format = schema.map(|schema| Format::JsonSchema { schema });
        let says = format.is_some() || plan.effort.is_some();
        Ok(says.then_some(OutputConfig {
            effort: plan.effort,
            format,
        }))
    }
}

fn encode_tools<'a>(request: &'a Request, names: &PlainNames<'_>) -> Result<Vec<Tool<'a>>, Fault> {
    let encode = |tool: &'a ToolSpec| {
        Ok(Tool {
            name: names.to_wire(tool.name.as_str()),
            description: &tool.description,
            input_schema: object_schema(&tool.input_schema)?,
            cache_control: tool.cache_breakpoint.then_some(CacheControl::Ephemeral),
        })
    };
    request.tools.iter().map(|tool| encode(tool)).collect()
}

/// A schema that says that it is one of an object, as the vendor wants it.
pub(in crate::provider) fn object_schema(schema: &JsonText) -> Result<Cow<'_, RawValue>, Fault> {
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(borrow, default, rename = "type")]
        kind: Option<&'a RawValue>,
    }
    let typed: Typed<'_> = serde_json::from_str(schema.as_str()).map_err(|_error| unwritable())?;
    if typed.kind.is_some() {
        return body::raw(schema).map(Cow::Borrowed);
    }
    merge(schema.as_str(), r#"{"type":"object"}"#)
        .and_then(RawValue::from_string)
        .map(Cow::Owned)
        .map_err(|_error| unwritable())
}

/// Whether the model is in the middle of a turn that began without thinking, such as one that another
/// vendor's model began. Within a turn the vendor does not let thinking with a budget be switched on.
fn is_unthought(messages: &[Message<'_>]) -> bool {
    let goes_on = |message: &&Message<'_>| {
        message.role != "user" || matches!(message.content.first(), Some(Block::ToolResult { .. }))
    };
    let turn = messages.iter().rev().take_while(goes_on);
    let first = turn.filter(|message| message.role == "assistant").last();
    first.is_some_and(|message| {
        let block = message.content.first();
        !matches!(
            block,
            Some(Block::Thinking { .. } | Block::RedactedThinking { .. })
        )
    })
}

/// Leaves only the last breakpoints, in the order of the prompt: tools, system, messages.
fn limit_breakpoints(body: &mut Body<'_>) {
    let messages = body.messages.iter_mut();
    let blocks = body
        .system
        .iter_mut()
        .chain(messages.flat_map(|message| &mut message.content));
    let mut marks: Vec<&mut Option<CacheControl>> = body
        .tools
        .iter_mut()
        .map(|tool| &mut tool.cache_control)
        .chain(blocks.filter_map(Block::cache_control))
        .filter(|mark| mark.is_some())
        .collect();
    let surplus = marks.len().saturating_sub(MAX_BREAKPOINTS);
    for mark in marks.iter_mut().take(surplus) {
        **mark = None;
    }
}

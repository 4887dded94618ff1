//! Writes requests. The same call gives the same bytes.

use std::borrow::Cow;

use super::{
    ANSWER_TOOL, Bedrock, FAMILY,
    model::Maker,
    wire::{
        Block, Body, CachePoint, Fields, InferenceConfig, InputSchema, Message, OutputConfig,
        ReasoningConfig, Structure, TextFormat, Tool, ToolChoice, ToolConfig, ToolSpec, TopK,
    },
};
use crate::{
    domain::{
        completion::Request,
        fault::Fault,
        json::JsonText,
        model::{Options, ReasoningEffort, ToolChoice as Choice},
        tool::ToolSpec as OwnTool,
    },
    provider::{
        anthropic::{
            encode::{object_schema, thinking::Plan},
            schema::fitted,
            wire::Thinking,
        },
        body::{self, Overrides},
        names::PlainNames,
        protocol::Call,
    },
};

mod media;
mod messages;

/// As many marks of a cached prompt as a request may have.
const MAX_CACHE_POINTS: usize = 4;
/// What the name of a schema is.
const SCHEMA_NAME: &str = "answer";

/// Writes the body of a request.
///
/// # Errors
/// `INVALID_REQUEST` when the conversation holds media that the protocol has no words for, or the
/// options ask for what the model refuses.
pub(super) fn encode(vendor: &Bedrock, call: Call<'_>) -> Result<Vec<u8>, Fault> {
    let (request, options) = (call.request, &*call.request.options);
    let maker = Maker::of(&call.model.model);
    let names = PlainNames::new(&request.tools);
    let tool_config = Asked::new(request, maker)?.tool_config(&names)?;
    let rules = messages::Rules {
        names: &names,
        maker,
        tells_calls: tool_config.is_none(),
    };
    let conversation = messages::encode(&request.messages, rules)?;
    let mut body = Body {
        messages: conversation.messages,
        system: conversation.system,
        inference_config: InferenceConfig {
            max_tokens: options.max_output_tokens,
            // Elsewhere the scale goes up to two.
            temperature: options.temperature.map(|value| value.min(1.0)),
            top_p: options.top_p,
            stop_sequences: &options.stop_sequences,
        },
        tool_config,
        additional_model_request_fields: Fields::default(),
        output_config: native_schema(options, maker)?.map(|format| OutputConfig {
            text_format: Some(format),
            effort: None,
        }),
    };
    fit_to(&mut body, options, maker);
    limit_cache_points(&mut body);
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
    request: &'a Request,
    maker: Maker,
    /// The schema, where the model is made to answer by a tool.
    by_tool: Option<&'a JsonText>,
}

impl<'a> Asked<'a> {
    fn new(request: &'a Request, maker: Maker) -> Result<Self, Fault> {
        let options = &*request.options;
        let forces = options.tool_choice.forces_a_call() && !request.tools.is_empty();
        if let (true, Maker::Claude(traits)) = (forces, maker)
            && !traits.forced_tools
        {
            return Err(Fault::invalid(
                "options.tool_choice",
                "this model decides by itself whether to call a tool; it refuses to be forced",
            ));
        }
        let schema = options.output_schema.as_ref();
        let by_tool = schema.filter(|_| !maker.native_schema());
        let clash = |tool: &OwnTool| tool.name.as_str() == ANSWER_TOOL;
        if by_tool.is_some() && request.tools.iter().any(|tool| clash(tool)) {
            return Err(Fault::invalid(
                "tools",
                format!("the name {ANSWER_TOOL} is taken by the answer's schema"),
            ));
        }
        Ok(Self {
            request,
            maker,
            by_tool,
        })
    }

    /// The tools, if any may be called: the vendor has no word for tools that may not.
    fn tool_config(&self, names: &PlainNames<'_>) -> Result<Option<ToolConfig<'a>>, Fault> {
        let choice = &self.request.options.tool_choice;
        if self.by_tool.is_none() && (self.request.tools.is_empty() || *choice == Choice::None) {
            return Ok(None);
        }
        let mut tools = Vec::with_capacity(self.request.tools.len() + 1);
        for tool in &*self.request.tools {
            tools.push(Tool::ToolSpec(ToolSpec {
                name: names.to_wire(tool.name.as_str()),
                description: &tool.description,
                input_schema: InputSchema {
                    json: object_schema(&tool.input_schema)?,
                },
            }));
            if tool.cache_breakpoint && self.maker.caches_tools() {
                tools.push(Tool::CachePoint(CACHE_POINT));
            }
        }
        if let Some(schema) = self.by_tool {
            tools.push(Tool::ToolSpec(ToolSpec {
                name: Cow::Borrowed(ANSWER_TOOL),
                description: "Gives the final answer. Its input is the answer.",
                input_schema: InputSchema {
                    json: object_schema(schema)?,
                },
            }));
        }
        let tool_choice = self.tool_choice(names);
        Ok(Some(ToolConfig { tools, tool_choice }))
    }

    fn tool_choice(&self, names: &PlainNames<'_>) -> Option<ToolChoice<'a>> {
        let alone = self.request.tools.is_empty();
        match &self.request.options.tool_choice {
            Choice::Tool(name) => Some(ToolChoice::Tool {
                name: Cow::Owned(names.to_wire(name.as_str()).into_owned()),
            }),
            // No other tool shall be called, or there is none: only the answer is left.
            Choice::None | Choice::Auto | Choice::Required
                if self.by_tool.is_some()
                    && (alone || self.request.options.tool_choice == Choice::None) =>
            {
                Some(ToolChoice::Tool {
                    name: Cow::Borrowed(ANSWER_TOOL),
                })
            }
            Choice::Required => Some(ToolChoice::Any {}),
            Choice::Auto if self.by_tool.is_some() => Some(ToolChoice::Any {}),
            Choice::Auto | Choice::None => None,
        }
    }
}

/// A cached prompt may end here.
pub(super) const CACHE_POINT: CachePoint = CachePoint { kind: "default" };

fn native_schema(options: &Options, maker: Maker) -> Result<Option<TextFormat<'_>>, Fault> {
    let schema = options.output_schema.as_ref();
    let Some(schema) = schema.filter(|_| maker.native_schema()) else {
        return Ok(None);
    };
    let schema = match fitted(schema)? {
        Cow::Borrowed(raw) => Cow::Borrowed(raw.get()),
        Cow::Owned(raw) => Cow::Owned(raw.get().to_owned()),
    };
    Ok(Some(TextFormat {
        kind: "json_schema",
        structure: Structure::JsonSchema {
            schema,
            name: SCHEMA_NAME,
        },
    }))
}

/// Says what a maker's models have words of their own for, and leaves out what they refuse.
fn fit_to(body: &mut Body<'_>, options: &Options, maker: Maker) {
    let (fields, config) = (
        &mut body.additional_model_request_fields,
        &mut body.inference_config,
    );
    match maker {
        Maker::Claude(traits) => {
            let choice = body.tool_config.as_ref();
            let forces = choice.is_some_and(|config| config.tool_choice.is_some());
            let forbids_budget = forces || is_unthought(&body.messages);
            let plan = Plan::new(&traits, options, None, forbids_budget);
            let budget = matches!(plan.thinking, Some(Thinking::Enabled { .. }));
            let samples = traits.sampling && !budget;
            let one = traits.one_sampler && options.temperature.is_some();
            config.temperature = config.temperature.filter(|_| samples);
            config.top_p = config.top_p.filter(|_| samples && !one);
            fields.top_k = options.top_k.filter(|_| samples);
            if budget {
                // A budget is part of the limit, of which the vendor does not say where it begins.
                config.max_tokens = Some(plan.max_tokens);
            }
            fields.thinking = plan.thinking;
            if plan.effort.is_some() {
                let output = body.output_config.get_or_insert(OutputConfig {
                    text_format: None,
                    effort: None,
                });
                output.effort = plan.effort;
            }
        }
        Maker::Nova { thinks } => {
            fields.inference_config = options.top_k.map(|top_k| TopK { top_k });
            let effort = options.reasoning_effort.filter(|_| thinks).and_then(word);
            fields.reasoning_config = effort.map(|effort| ReasoningConfig {
                kind: "enabled",
                max_reasoning_effort: effort,
            });
            if effort == Some("high") {
                // So hard it thinks only without these.
                config.temperature = None;
                config.top_p = None;
                config.max_tokens = None;
                fields.inference_config = None;
            }
        }
        Maker::OpenAi => fields.reasoning_effort = options.reasoning_effort.and_then(word),
        Maker::Unknown | Maker::Other => {}
    }
}

/// An effort in the word that most models have for it.
const fn word(effort: ReasoningEffort) -> Option<&'static str> {
    match effort {
        ReasoningEffort::None => None,
        ReasoningEffort::Minimal | ReasoningEffort::Low => Some("low"),
        ReasoningEffort::Medium => Some("medium"),
        ReasoningEffort::High | ReasoningEffort::Max => Some("high"),
    }
}

/// Whether the model is in the middle of a turn that began without thinking: within a turn a budget for
/// thinking cannot be switched on.
fn is_unthought(messages: &[Message<'_>]) -> bool {
    let goes_on = |message: &&Message<'_>| {
        message.role != "user" || matches!(message.content.first(), Some(Block::ToolResult(_)))
    };
    let turn = messages.iter().rev().take_while(goes_on);
    let first = turn.filter(|message| message.role == "assistant").last();
    first
        .is_some_and(|message| !matches!(message.content.first(), Some(Block::ReasoningContent(_))))
}

/// Leaves only the last marks, in the order of the prompt: tools, system, messages.
fn limit_cache_points(body: &mut Body<'_>) {
    let is_mark = |block: &Block<'_>| matches!(block, Block::CachePoint(_));
    let is_tool_mark = |tool: &Tool<'_>| matches!(tool, Tool::CachePoint(_));
    let tools = body.tool_config.as_mut().map(|config| &mut config.tools);
    let mut none = Vec::new();
    let tools = tools.unwrap_or(&mut none);
    let marks = tools.iter().filter(|tool| is_tool_mark(tool)).count();
    let blocks = body.messages.iter().flat_map(|message| &message.content);
    let blocks = blocks.chain(&body.system);
    let marks = marks + blocks.filter(|block| is_mark(block)).count();
    let mut surplus = marks.saturating_sub(MAX_CACHE_POINTS);
    let mut goes = |mark: bool| {
        let goes = mark && surplus > 0;
        surplus -= usize::from(goes);
        goes
    };
    tools.retain(|tool| !goes(is_tool_mark(tool)));
    body.system.retain(|block| !goes(is_mark(block)));
    for message in &mut body.messages {
        message.content.retain(|block| !goes(is_mark(block)));
    }
}

//! Tools and options.

use std::{collections::HashSet, sync::Arc};

use super::{At, Intake};
use crate::{
    domain::{
        fault::{Fault, Reason},
        model::{Options, ReasoningEffort, ToolChoice},
        tool::{Annotations, ToolName, ToolSpec},
    },
    pb::v1,
};

const MOST_STOP_SEQUENCES: usize = 16;
const MOST_PROVIDER_OPTIONS: usize = 64;

impl Intake {
    /// A definition of a tool.
    pub(in crate::rpc) fn tool(&self, tool: v1::Tool, at: &At<'_>) -> Result<ToolSpec, Fault> {
        let annotations = tool.annotations.unwrap_or_default();
        Ok(ToolSpec {
            name: tool_name(&tool.name, &at.field("name"))?,
            input_schema: self.schema(&tool.input_schema_json, &at.field("input_schema_json"))?,
            output_schema: self
                .optional_schema(&tool.output_schema_json, &at.field("output_schema_json"))?,
            description: tool.description,
            version: tool.version,
            annotations: Annotations {
                read_only: annotations.read_only,
                idempotent: annotations.idempotent,
                destructive: annotations.destructive,
            },
            cache_breakpoint: tool.cache_breakpoint,
        })
    }

    /// Options, for an agent or a completion with these tools.
    pub(super) fn options(
        &self,
        options: Option<v1::GenerationOptions>,
        tools: &Names,
        at: &At<'_>,
    ) -> Result<Arc<Options>, Fault> {
        let Some(wire) = options else {
            return Ok(Arc::default());
        };
        let effort = effort(wire.reasoning_effort());
        let schema =
            self.optional_schema(&wire.output_schema_json, &at.field("output_schema_json"))?;
        let at_options = at.field("provider_options");
        at_options.at_most(wire.provider_options.len(), MOST_PROVIDER_OPTIONS)?;
        Ok(Arc::new(Options {
            max_output_tokens: positive(wire.max_output_tokens, &at.field("max_output_tokens"))?,
            temperature: in_range(wire.temperature, f32::MAX, &at.field("temperature"))?,
            top_p: in_range(wire.top_p, 1.0, &at.field("top_p"))?,
            top_k: positive(wire.top_k, &at.field("top_k"))?,
            seed: wire.seed,
            stop_sequences: stop_sequences(wire.stop_sequences, &at.field("stop_sequences"))?,
            reasoning_effort: effort,
            max_reasoning_tokens: positive(
                wire.max_reasoning_tokens,
                &at.field("max_reasoning_tokens"),
            )?,
            tool_choice: tool_choice(wire.tool_choice, tools, &at.field("tool_choice"))?,
            parallel_tool_calls: wire.parallel_tool_calls,
            output_schema: schema,
            provider_options: wire
                .provider_options
                .into_iter()
                .map(|(name, json)| {
                    let object = at_options.key(&name).object(&json)?;
                    Ok((name, object))
                })
                .collect::<Result<_, Fault>>()?,
        }))
    }
}

/// The names of the tools of an agent or a completion.
#[derive(Default)]
pub(super) struct Names {
    taken: HashSet<ToolName>,
    /// Whether there are tools whose names only their server knows.
    pub(super) more: bool,
}

impl Names {
    /// Registers a name.
    pub(super) fn claim(&mut self, name: &ToolName, at: &At<'_>) -> Result<(), Fault> {
        if self.taken.insert(name.clone()) {
            return Ok(());
        }
        Err(at
            .fault(Reason::ToolNameClash, "is the name of another tool too")
            .with("tool", name))
    }

    fn may_hold(&self, name: &ToolName) -> bool {
        self.more || self.taken.contains(name)
    }

    fn is_empty(&self) -> bool {
        !self.more && self.taken.is_empty()
    }
}

pub(super) fn tool_name(name: &str, at: &At<'_>) -> Result<ToolName, Fault> {
    ToolName::parse(name)
        .ok_or_else(|| at.invalid("is not a tool's name: 1 to 64 of a-z A-Z 0-9 _ . -"))
}

fn positive<N, P>(value: Option<N>, at: &At<'_>) -> Result<Option<P>, Fault>
where
    P: TryFrom<N> + PartialEq + From<u8>,
{
    value.map(|number| at.positive(number)).transpose()
}

fn in_range(value: Option<f32>, most: f32, at: &At<'_>) -> Result<Option<f32>, Fault> {
    match value {
        Some(number) if !(0.0..=most).contains(&number) => Err(at.invalid("is out of range")),
        in_range => Ok(in_range),
    }
}

fn stop_sequences(texts: Vec<String>, at: &At<'_>) -> Result<Vec<String>, Fault> {
    at.at_most(texts.len(), MOST_STOP_SEQUENCES)?;
    if let Some(index) = texts.iter().position(String::is_empty) {
        return Err(at.index(index).invalid("is empty"));
    }
    Ok(texts)
}

const fn effort(effort: v1::ReasoningEffort) -> Option<ReasoningEffort> {
    Some(match effort {
        v1::ReasoningEffort::Unspecified => return None,
        v1::ReasoningEffort::None => ReasoningEffort::None,
        v1::ReasoningEffort::Minimal => ReasoningEffort::Minimal,
        v1::ReasoningEffort::Low => ReasoningEffort::Low,
        v1::ReasoningEffort::Medium => ReasoningEffort::Medium,
        v1::ReasoningEffort::High => ReasoningEffort::High,
        v1::ReasoningEffort::Max => ReasoningEffort::Max,
    })
}

fn tool_choice(
    choice: Option<v1::ToolChoice>,
    tools: &Names,
    at: &At<'_>,
) -> Result<ToolChoice, Fault> {
    use v1::tool_choice::{Choice, Mode};
    let choice = match choice.and_then(|c| c.choice) {
        None => ToolChoice::Auto,
        Some(Choice::Mode(number)) => match Mode::try_from(number).unwrap_or_default() {
            Mode::Unspecified | Mode::Auto => ToolChoice::Auto,
            Mode::None => ToolChoice::None,
            Mode::Required => ToolChoice::Required,
        },
        Some(Choice::ToolName(name)) => {
            let at = at.field("tool_name");
            let name = tool_name(&name, &at)?;
            if !tools.may_hold(&name) {
                return Err(at.invalid("is none of the tools"));
            }
            ToolChoice::Tool(name)
        }
    };
    if choice == ToolChoice::Required && tools.is_empty() {
        return Err(at.invalid("requires a tool, and there is none"));
    }
    Ok(choice)
}

// === out ===

pub(in crate::rpc) fn encode_tool(tool: &ToolSpec) -> v1::Tool {
    v1::Tool {
        name: tool.name.to_string(),
        description: tool.description.clone(),
        input_schema_json: tool.input_schema.as_str().to_owned(),
        output_schema_json: tool
            .output_schema
            .as_ref()
            .map(|json| json.as_str().to_owned())
            .unwrap_or_default(),
        version: tool.version.clone(),
        annotations: Some(v1::ToolAnnotations {
            read_only: tool.annotations.read_only,
            idempotent: tool.annotations.idempotent,
            destructive: tool.annotations.destructive,
        }),
        cache_breakpoint: tool.cache_breakpoint,
    }
}

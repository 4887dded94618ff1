//! The JSON of Converse: as it is written here, as it is read in [`read`]. Unions are objects with one
//! member, whose name says what it is.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::provider::anthropic::wire::Thinking;

pub(super) mod read;

/// A request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body<'a> {
    /// The conversation.
    pub messages: Vec<Message<'a>>,
    /// The instructions before it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub system: Vec<Block<'a>>,
    /// What all models know of sampling.
    #[serde(skip_serializing_if = "InferenceConfig::is_empty")]
    pub inference_config: InferenceConfig<'a>,
    /// The tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_config: Option<ToolConfig<'a>>,
    /// What only some models know.
    #[serde(skip_serializing_if = "Fields::is_empty")]
    pub additional_model_request_fields: Fields,
    /// The shape of the answer, and how hard the model tries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_config: Option<OutputConfig<'a>>,
}

/// A message.
#[derive(Serialize)]
pub(super) struct Message<'a> {
    /// Who says it.
    pub role: &'static str,
    /// What; never empty.
    pub content: Vec<Block<'a>>,
}

/// A piece of content.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Block<'a> {
    /// Text; never blank.
    Text(Cow<'a, str>),
    /// An image.
    Image(Media<'a>),
    /// A document.
    Document(Media<'a>),
    /// A video.
    Video(Media<'a>),
    /// A sound.
    Audio(Media<'a>),
    /// A call.
    ToolUse(ToolUse<'a>),
    /// The result of a call.
    ToolResult(ToolResult<'a>),
    /// What the model thought, as it came.
    ReasoningContent(Reasoning<'a>),
    /// JSON, in a result.
    Json(&'a RawValue),
    /// A cached prompt may end here.
    CachePoint(CachePoint),
}

/// Media.
#[derive(Serialize)]
pub(super) struct Media<'a> {
    /// Its format, in the vendor's word.
    pub format: &'static str,
    /// A document's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it is.
    pub source: Source<'a>,
}

/// Where the bytes of media are.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Source<'a> {
    /// Here, in Base64.
    Bytes(Cow<'a, str>),
    /// In S3.
    S3Location {
        /// Where.
        uri: &'a str,
    },
}

/// A call.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolUse<'a> {
    /// Its id.
    pub tool_use_id: Cow<'a, str>,
    /// The tool.
    pub name: Cow<'a, str>,
    /// An object.
    pub input: &'a RawValue,
}

/// The result of a call.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolResult<'a> {
    /// The call.
    pub tool_use_id: Cow<'a, str>,
    /// What it returned; never empty.
    pub content: Vec<Block<'a>>,
    /// `error`, where it failed and the model knows the word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'static str>,
}

/// What the model thought.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Reasoning<'a> {
    /// To be read.
    ReasoningText {
        /// It.
        text: &'a str,
        /// What proves it.
        signature: &'a str,
    },
    /// Encrypted, in Base64.
    RedactedContent(&'a str),
}

/// Where a cached prompt may end.
#[derive(Clone, Copy, Serialize)]
pub(super) struct CachePoint {
    /// `default`.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// What all models know of sampling.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InferenceConfig<'a> {
    /// The limit of output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// Sampling temperature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Nucleus sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f32>,
    /// Stop texts.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub stop_sequences: &'a [String],
}

impl InferenceConfig<'_> {
    fn is_empty(&self) -> bool {
        self.max_tokens.is_none()
            && self.temperature.is_none()
            && self.top_p.is_none()
            && self.stop_sequences.is_empty()
    }
}

/// The tools, and whether they must be used.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolConfig<'a> {
    /// The tools; never empty.
    pub tools: Vec<Tool<'a>>,
    /// Whether they must be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice<'a>>,
}

/// A tool, or what stands between tools.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Tool<'a> {
    /// A tool.
    ToolSpec(ToolSpec<'a>),
    /// A cached prompt may end here.
    CachePoint(CachePoint),
}

/// A tool.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolSpec<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// What it does.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub description: &'a str,
    /// What it takes.
    pub input_schema: InputSchema<'a>,
}

/// What a tool takes.
#[derive(Serialize)]
pub(super) struct InputSchema<'a> {
    /// JSON Schema of its arguments.
    pub json: Cow<'a, RawValue>,
}

/// Whether tools must be used.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum ToolChoice<'a> {
    /// At least one call.
    Any {},
    /// This tool.
    Tool {
        /// Its name.
        name: Cow<'a, str>,
    },
}

/// What only some models know, by the models' own names.
#[derive(Default, Serialize)]
pub(super) struct Fields {
    /// Claude: whether and how it thinks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<Thinking>,
    /// Claude: top-k sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Nova: top-k sampling.
    #[serde(rename = "inferenceConfig", skip_serializing_if = "Option::is_none")]
    pub inference_config: Option<TopK>,
    /// Nova from 2 on: how hard it thinks.
    #[serde(rename = "reasoningConfig", skip_serializing_if = "Option::is_none")]
    pub reasoning_config: Option<ReasoningConfig>,
    /// OpenAI's open models: how hard they think.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<&'static str>,
}

impl Fields {
    const fn is_empty(&self) -> bool {
        self.thinking.is_none()
            && self.top_k.is_none()
            && self.inference_config.is_none()
            && self.reasoning_config.is_none()
            && self.reasoning_effort.is_none()
    }
}

/// Nova's top-k sampling.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TopK {
    /// It.
    pub top_k: u32,
}

/// How hard Nova thinks.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReasoningConfig {
    /// `enabled`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// How hard.
    pub max_reasoning_effort: &'static str,
}

/// The shape of the answer, and how hard the model tries.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OutputConfig<'a> {
    /// The shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_format: Option<TextFormat<'a>>,
    /// How hard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<&'static str>,
}

/// The shape of an answer.
#[derive(Serialize)]
pub(super) struct TextFormat<'a> {
    /// `json_schema`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Which.
    pub structure: Structure<'a>,
}

/// Which shape.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Structure<'a> {
    /// That of a schema.
    JsonSchema {
        /// The schema, as a text.
        schema: Cow<'a, str>,
        /// What it is called.
        name: &'static str,
    },
}

//! The JSON of the Messages protocol, as it is written and as it is read.
//!
//! What is read is lenient: members may be missing or null, unknown ones are skipped, and what goes
//! back to the vendor as it came is kept raw.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::model::{ModelInfo, ModelRef};

// === written ===

/// A request.
#[derive(Serialize)]
pub(crate) struct Body<'a> {
    /// The API version, where no header carries it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anthropic_version: Option<&'a str>,
    /// The model, where the URL does not name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<&'a str>,
    /// The limit of output.
    pub max_tokens: u64,
    /// The tools.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool<'a>>,
    /// Whether tools may or must be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice<'a>>,
    /// The instructions before the conversation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub system: Vec<Block<'a>>,
    /// The conversation.
    pub messages: Vec<Message<'a>>,
    /// Whether and how the model thinks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<Thinking>,
    /// How hard it tries, and the shape of its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_config: Option<OutputConfig<'a>>,
    /// Sampling temperature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Nucleus sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f32>,
    /// Top-k sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Stop texts.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub stop_sequences: &'a [String],
    /// Whether the answer is streamed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stream: bool,
}

/// Whether and how the model thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Thinking {
    /// Within a budget.
    Enabled {
        /// Tokens.
        budget_tokens: u64,
    },
    /// As it sees fit.
    Adaptive {
        /// What is shown of it.
        display: &'static str,
    },
    /// Not at all.
    Disabled,
    /// Not before the answer.
    BetweenTools,
}

/// How hard the model tries, and the shape of its answer.
#[derive(Serialize)]
pub(crate) struct OutputConfig<'a> {
    /// How hard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<&'static str>,
    /// The shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format<'a>>,
}

/// The shape of an answer.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Format<'a> {
    /// JSON by a schema.
    JsonSchema {
        /// The schema.
        schema: Cow<'a, RawValue>,
    },
}

/// A tool.
#[derive(Serialize)]
pub(crate) struct Tool<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// What it does.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub description: &'a str,
    /// JSON Schema of its arguments.
    pub input_schema: Cow<'a, RawValue>,
    /// Where a cached prompt may end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<CacheControl>,
}

/// Whether tools may or must be used.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ToolChoice<'a> {
    /// The model decides.
    Auto {
        /// One call at most.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        disable_parallel_tool_use: bool,
    },
    /// At least one call.
    Any {
        /// One call at most.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        disable_parallel_tool_use: bool,
    },
    /// This tool.
    Tool {
        /// Its name.
        name: Cow<'a, str>,
        /// One call at most.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        disable_parallel_tool_use: bool,
    },
    /// No calls.
    None,
}

/// Where a cached prompt may end.
#[derive(Clone, Copy, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum CacheControl {
    /// For some minutes.
    Ephemeral,
}

/// A message.
#[derive(Serialize)]
pub(crate) struct Message<'a> {
    /// Who says it.
    pub role: &'static str,
    /// What; never empty.
    pub content: Vec<Block<'a>>,
}

/// A piece of content.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Block<'a> {
    /// Text; never blank.
    Text {
        /// The text.
        text: Cow<'a, str>,
        /// Where a cached prompt may end.
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
    /// An image.
    Image {
        /// Where it is.
        source: Source<'a>,
        /// Where a cached prompt may end.
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
    /// A document.
    Document {
        /// Where it is.
        source: Source<'a>,
        /// Its name.
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
        /// Where a cached prompt may end.
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
    /// What the model thought, as it came.
    Thinking {
        /// As far as it was shown.
        thinking: &'a str,
        /// What proves it.
        signature: &'a str,
    },
    /// What the model thought, hidden.
    RedactedThinking {
        /// Encrypted.
        data: &'a str,
    },
    /// A call.
    ToolUse {
        /// Its id.
        id: Cow<'a, str>,
        /// The tool.
        name: Cow<'a, str>,
        /// An object.
        input: Cow<'a, RawValue>,
        /// Where a cached prompt may end.
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
    /// The result of a call.
    ToolResult {
        /// The call.
        tool_use_id: Cow<'a, str>,
        /// What it returned.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<Block<'a>>,
        /// Whether it failed.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
        /// Where a cached prompt may end.
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
    /// A block of the vendor's own tools, as it came.
    #[serde(untagged)]
    AsItCame(&'a RawValue),
}

impl Block<'_> {
    /// Where the mark of a breakpoint stands; `None` on blocks that carry none.
    pub(crate) const fn cache_control(&mut self) -> Option<&mut Option<CacheControl>> {
        match self {
            Self::Text { cache_control, .. }
            | Self::Image { cache_control, .. }
            | Self::Document { cache_control, .. }
            | Self::ToolUse { cache_control, .. }
            | Self::ToolResult { cache_control, .. } => Some(cache_control),
            Self::Thinking { .. } | Self::RedactedThinking { .. } | Self::AsItCame(_) => None,
        }
    }
}

/// Where the bytes of media are.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Source<'a> {
    /// Here.
    Base64 {
        /// Their type.
        media_type: String,
        /// In Base64.
        data: Cow<'a, str>,
    },
    /// There.
    Url {
        /// Where.
        url: &'a str,
    },
    /// Here, as plain text.
    Text {
        /// Always `text/plain`.
        media_type: &'static str,
        /// The text.
        data: &'a str,
    },
}

// === read ===

/// An event of a stream.
#[derive(Deserialize)]
pub(crate) struct Event<'a> {
    /// Which.
    #[serde(borrow, default, rename = "type")]
    pub kind: Option<Cow<'a, str>>,
    /// The block it is about.
    #[serde(default)]
    pub index: Option<u64>,
    /// Of `message_start`.
    #[serde(borrow, default)]
    pub message: Option<Said<'a>>,
    /// Of `content_block_start`.
    #[serde(borrow, default)]
    pub content_block: Option<&'a RawValue>,
    /// Of `content_block_delta` and `message_delta`.
    #[serde(borrow, default)]
    pub delta: Option<&'a RawValue>,
    /// Of `message_delta`.
    #[serde(borrow, default)]
    pub usage: Option<Usage<'a>>,
    /// Of `error`.
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
}

/// An answer in one piece, the beginning of one, or how one ended: they differ in what is there.
#[derive(Default, Deserialize)]
pub(crate) struct Said<'a> {
    /// The answer's id.
    #[serde(borrow, default)]
    pub id: Option<&'a RawValue>,
    /// The model that answers.
    #[serde(borrow, default)]
    pub model: Option<&'a RawValue>,
    /// Its blocks.
    #[serde(borrow, default)]
    pub content: Option<Vec<&'a RawValue>>,
    /// Why it stopped.
    #[serde(borrow, default)]
    pub stop_reason: Option<Cow<'a, str>>,
    /// The stop text that was met.
    #[serde(borrow, default)]
    pub stop_sequence: Option<&'a RawValue>,
    /// More on a refusal.
    #[serde(borrow, default)]
    pub stop_details: Option<&'a RawValue>,
    /// Where the vendor ran code.
    #[serde(borrow, default)]
    pub container: Option<&'a RawValue>,
    /// Tokens.
    #[serde(borrow, default)]
    pub usage: Option<Usage<'a>>,
    /// An error in place of an answer.
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
}

/// A block, or the beginning of one.
#[derive(Deserialize)]
pub(crate) struct Begun<'a> {
    /// Which kind.
    #[serde(borrow, rename = "type")]
    pub kind: Cow<'a, str>,
    /// Of `text`.
    #[serde(borrow, default)]
    pub text: Option<Cow<'a, str>>,
    /// Of `text`: its sources.
    #[serde(borrow, default)]
    pub citations: Option<Vec<&'a RawValue>>,
    /// Of `thinking`.
    #[serde(borrow, default)]
    pub thinking: Option<Cow<'a, str>>,
    /// Of `thinking`.
    #[serde(borrow, default)]
    pub signature: Option<Cow<'a, str>>,
    /// Of `redacted_thinking`.
    #[serde(borrow, default)]
    pub data: Option<Cow<'a, str>>,
    /// Of `tool_use`.
    #[serde(borrow, default)]
    pub id: Option<Cow<'a, str>>,
    /// Of `tool_use`.
    #[serde(borrow, default)]
    pub name: Option<Cow<'a, str>>,
    /// Of `tool_use`.
    #[serde(borrow, default)]
    pub input: Option<&'a RawValue>,
}

/// What a block grows by.
#[derive(Deserialize)]
pub(crate) struct Piece<'a> {
    /// Of a text.
    #[serde(borrow, default)]
    pub text: Option<Cow<'a, str>>,
    /// Of a text: a source.
    #[serde(borrow, default)]
    pub citation: Option<&'a RawValue>,
    /// Of thinking.
    #[serde(borrow, default)]
    pub thinking: Option<Cow<'a, str>>,
    /// Of thinking: what proves it.
    #[serde(borrow, default)]
    pub signature: Option<Cow<'a, str>>,
    /// Of a call: its input.
    #[serde(borrow, default)]
    pub partial_json: Option<Cow<'a, str>>,
}

/// Tokens. In a stream later numbers replace earlier ones.
#[derive(Default, Deserialize)]
pub(crate) struct Usage<'a> {
    /// Input that touched no cache.
    #[serde(default)]
    pub input_tokens: Option<u64>,
    /// Input written to a cache.
    #[serde(default)]
    pub cache_creation_input_tokens: Option<u64>,
    /// Input read from a cache.
    #[serde(default)]
    pub cache_read_input_tokens: Option<u64>,
    /// All output.
    #[serde(default)]
    pub output_tokens: Option<u64>,
    /// More on the output.
    #[serde(default)]
    pub output_tokens_details: Option<OutputDetails>,
    /// What was written to caches, by how long it stays.
    #[serde(borrow, default)]
    pub cache_creation: Option<&'a RawValue>,
    /// How often the vendor's own tools were used.
    #[serde(borrow, default)]
    pub server_tool_use: Option<&'a RawValue>,
    /// What was paid for.
    #[serde(borrow, default)]
    pub service_tier: Option<&'a RawValue>,
}

/// More on the output.
#[derive(Clone, Copy, Deserialize)]
pub(crate) struct OutputDetails {
    /// Reasoning.
    #[serde(default)]
    pub thinking_tokens: Option<u64>,
}

/// A list of models.
#[derive(Deserialize)]
pub(crate) struct Models<'a> {
    /// The models.
    #[serde(borrow)]
    pub data: Vec<Model<'a>>,
}

/// A model.
#[derive(Deserialize)]
pub(crate) struct Model<'a> {
    /// Its name.
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(default)]
    max_input_tokens: Option<u64>,
    #[serde(default)]
    max_tokens: Option<u64>,
    #[serde(default)]
    capabilities: Option<Capabilities>,
}

/// What a model can.
#[derive(Clone, Copy, Default, Deserialize)]
struct Capabilities {
    #[serde(default)]
    image_input: Option<Supported>,
    #[serde(default)]
    pdf_input: Option<Supported>,
    #[serde(default)]
    structured_outputs: Option<Supported>,
    #[serde(default)]
    thinking: Option<Supported>,
}

/// Whether a model can something.
#[derive(Clone, Copy, Deserialize)]
struct Supported {
    supported: bool,
}

impl Model<'_> {
    /// What is known of it.
    pub(crate) fn info(&self, provider: &str) -> ModelInfo {
        let can = self.capabilities.unwrap_or_default();
        let says = |capability: Option<Supported>| capability.map(|it| it.supported);
        let mut media = Vec::new();
        if says(can.image_input) == Some(true) {
            let kinds = ["image/jpeg", "image/png", "image/gif", "image/webp"];
            media.extend(kinds.map(str::to_owned));
        }
        if says(can.pdf_input) == Some(true) {
            media.push("application/pdf".to_owned());
        }
        ModelInfo {
            context_tokens: self.max_input_tokens,
            max_output_tokens: self.max_tokens,
            input_media_types: media,
            supports_tools: Some(true),
            supports_reasoning: says(can.thinking),
            supports_output_schema: says(can.structured_outputs),
            ..ModelInfo::named(ModelRef {
                provider: provider.to_owned(),
                model: self.id.to_string(),
            })
        }
    }
}

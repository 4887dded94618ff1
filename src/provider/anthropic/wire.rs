//! The JSON of the Messages protocol: as it is written here, as it is read in [`read`].

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

pub(super) mod read;

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
        input: &'a RawValue,
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

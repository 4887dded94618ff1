//! What Converse and ConverseStream answer. A union is a struct of which one member is there.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A whole answer, and the two events at the end of a stream.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Said<'a> {
    /// What the model said.
    #[serde(borrow)]
    pub output: Option<Output<'a>>,
    /// Why it stopped.
    #[serde(borrow)]
    pub stop_reason: Option<Cow<'a, str>>,
    /// Tokens.
    #[serde(borrow)]
    pub usage: Option<Usage<'a>>,
    /// How long it took.
    #[serde(borrow)]
    pub metrics: Option<&'a RawValue>,
    /// What guardrails and routers did.
    #[serde(borrow)]
    pub trace: Option<&'a RawValue>,
    /// What only some models say.
    #[serde(borrow)]
    pub additional_model_response_fields: Option<&'a RawValue>,
    /// How it was served.
    #[serde(borrow)]
    pub performance_config: Option<&'a RawValue>,
    /// How it was paid.
    #[serde(borrow)]
    pub service_tier: Option<&'a RawValue>,
}

/// What the model said.
#[derive(Deserialize)]
pub(crate) struct Output<'a> {
    /// Its message.
    #[serde(borrow, default)]
    pub message: Option<Message<'a>>,
}

/// A message.
#[derive(Deserialize)]
pub(crate) struct Message<'a> {
    /// Its blocks.
    #[serde(borrow, default)]
    pub content: Vec<Block<'a>>,
}

/// A block of a whole answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Block<'a> {
    /// Text.
    #[serde(borrow, default)]
    pub text: Option<Cow<'a, str>>,
    /// Text with what it stands on.
    #[serde(borrow, default)]
    pub citations_content: Option<Cited<'a>>,
    /// A call.
    #[serde(borrow, default)]
    pub tool_use: Option<ToolUse<'a>>,
    /// What the model thought.
    #[serde(borrow, default)]
    pub reasoning_content: Option<Reasoning<'a>>,
}

/// Text with what it stands on.
#[derive(Deserialize)]
pub(crate) struct Cited<'a> {
    /// The text, in pieces.
    #[serde(borrow, default)]
    pub content: Vec<Block<'a>>,
    /// What it stands on.
    #[serde(borrow, default)]
    pub citations: Vec<&'a RawValue>,
}

/// A call, or its beginning.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ToolUse<'a> {
    /// Its id.
    #[serde(borrow, default)]
    pub tool_use_id: Option<Cow<'a, str>>,
    /// The tool.
    #[serde(borrow, default)]
    pub name: Option<Cow<'a, str>>,
    /// Its arguments; in a stream, a text that is a piece of them.
    #[serde(borrow, default)]
    pub input: Option<&'a RawValue>,
    /// `server_tool_use`, for a tool of the vendor's own.
    #[serde(borrow, default, rename = "type")]
    pub kind: Option<Cow<'a, str>>,
}

/// What the model thought, whole or a piece of it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reasoning<'a> {
    /// A whole thought.
    #[serde(borrow, default)]
    pub reasoning_text: Option<ReasoningText<'a>>,
    /// A piece of one.
    #[serde(borrow, default)]
    pub text: Option<Cow<'a, str>>,
    /// A piece of what proves it.
    #[serde(borrow, default)]
    pub signature: Option<Cow<'a, str>>,
    /// Encrypted, in Base64; perhaps a piece.
    #[serde(borrow, default)]
    pub redacted_content: Option<Cow<'a, str>>,
}

/// A whole thought.
#[derive(Deserialize)]
pub(crate) struct ReasoningText<'a> {
    /// It.
    #[serde(borrow, default)]
    pub text: Option<Cow<'a, str>>,
    /// What proves it.
    #[serde(borrow, default)]
    pub signature: Option<Cow<'a, str>>,
}

/// Tokens.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Usage<'a> {
    /// Input that touched no cache.
    #[serde(default)]
    pub input_tokens: Option<u64>,
    /// Output.
    #[serde(default)]
    pub output_tokens: Option<u64>,
    /// Input that was read from a cache.
    #[serde(default)]
    pub cache_read_input_tokens: Option<u64>,
    /// Input that was written to a cache.
    #[serde(default)]
    pub cache_write_input_tokens: Option<u64>,
    /// What was written for how long.
    #[serde(borrow, default)]
    pub cache_details: Option<&'a RawValue>,
}

/// An event of a block.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event<'a> {
    /// The block.
    #[serde(default)]
    pub content_block_index: Option<u64>,
    /// How it begins.
    #[serde(borrow, default)]
    pub start: Option<Start<'a>>,
    /// What grows.
    #[serde(borrow, default)]
    pub delta: Option<Delta<'a>>,
}

/// How a block begins that is not text.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Start<'a> {
    /// A call.
    #[serde(borrow, default)]
    pub tool_use: Option<ToolUse<'a>>,
}

/// What grows of a block.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Delta<'a> {
    /// Text.
    #[serde(borrow, default)]
    pub text: Option<Cow<'a, str>>,
    /// Arguments.
    #[serde(borrow, default)]
    pub tool_use: Option<ToolUse<'a>>,
    /// Thoughts.
    #[serde(borrow, default)]
    pub reasoning_content: Option<Reasoning<'a>>,
    /// What the text stands on.
    #[serde(borrow, default)]
    pub citation: Option<&'a RawValue>,
}

//! What is read: leniently. Members may be missing or null, unknown ones are skipped, and what goes back
//! to the vendor as it came is kept raw.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::model::{ModelInfo, ModelRef};

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
            supports_media: self.capabilities.map(|_said| !media.is_empty()),
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

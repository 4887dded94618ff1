//! What is written.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::provider::{
    conversation::{self, maybe_text},
    function,
    media::ImageUrl,
};

/// A request.
#[derive(Default, Serialize)]
pub(crate) struct Body<'a> {
    /// The model.
    pub model: &'a str,
    /// The conversation.
    pub messages: Vec<Message<'a>>,
    /// The tools.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<function::Tool<'a>>,
    /// Whether tools may or must be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<function::Choice<NamedFunction<'a>>>,
    /// Whether several calls may come at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    /// The shape of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat<'a>>,
    /// Upper bound of output, by its new name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<u64>,
    /// Upper bound of output, by its old name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// Sampling temperature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Nucleus sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f32>,
    /// Top-k sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Best-effort determinism.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// The same, as Mistral has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random_seed: Option<i64>,
    /// Stop texts.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub stop: &'a [String],
    /// How hard to think.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<&'static str>,
    /// Whether to think, as DeepSeek has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<Switch>,
    /// How much to think, as OpenRouter has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Budget>,
    /// Whether to think, as Qwen has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_thinking: Option<bool>,
    /// How much to think, as Qwen has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking_budget: Option<u64>,
    /// Whether the answer is streamed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stream: bool,
    /// What a stream brings beside the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<StreamOptions>,
}

/// A switch.
#[derive(Serialize)]
pub(crate) struct Switch {
    /// `disabled`: on is the default.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// A budget of thinking.
#[derive(Serialize)]
pub(crate) struct Budget {
    /// In tokens.
    pub max_tokens: u64,
}

/// What a stream brings beside the answer.
#[derive(Serialize)]
pub(crate) struct StreamOptions {
    /// Usage, in a chunk of its own.
    pub include_usage: bool,
}

/// A message.
#[derive(Serialize)]
pub(crate) struct Message<'a> {
    /// Who says it.
    pub role: &'static str,
    /// What; null beside tool calls.
    pub content: Option<Content<'a>>,
    /// The author's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Cow<'a, str>>,
    /// Reasoning, by the name that DeepSeek gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// Reasoning, by the name that OpenRouter gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// Reasoning, in OpenRouter's blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_details: Option<&'a RawValue>,
    /// Calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<function::Call<'a>>,
    /// The call that this is the result of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<Cow<'a, str>>,
    /// Whether the answer goes on from this message, as Mistral has it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub prefix: bool,
}

impl<'a> Message<'a> {
    /// A message of nothing but content.
    pub(crate) const fn new(role: &'static str, content: Content<'a>) -> Self {
        Self {
            role,
            content: Some(content),
            name: None,
            reasoning_content: None,
            reasoning: None,
            reasoning_details: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
            prefix: false,
        }
    }
}

/// Content: a text, or several parts.
pub(crate) type Content<'a> = conversation::Content<'a, Part<'a>>;

/// A part of a message.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Part<'a> {
    /// Text.
    Text {
        /// It.
        text: Cow<'a, str>,
    },
    /// An image.
    ImageUrl {
        /// Where.
        image_url: ImageUrl<'a>,
    },
    /// Audio.
    InputAudio {
        /// The audio.
        input_audio: InputAudio,
    },
    /// A document.
    File {
        /// The document.
        file: File<'a>,
    },
    /// Audio, as Mistral has it.
    #[serde(rename = "input_audio")]
    PlainAudio {
        /// Base64.
        input_audio: String,
    },
    /// A document, as Mistral has it.
    DocumentUrl {
        /// Where, perhaps a data URL.
        document_url: Cow<'a, str>,
        /// Its name.
        #[serde(skip_serializing_if = "Option::is_none")]
        document_name: Option<Cow<'a, str>>,
    },
    /// Reasoning, as Mistral has it.
    Thinking {
        /// One text.
        thinking: [Thought<'a>; 1],
    },
}

maybe_text!(Part);

/// A piece of reasoning.
#[derive(Serialize)]
pub(crate) struct Thought<'a> {
    /// `text`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// It.
    pub text: Cow<'a, str>,
}

/// Audio.
#[derive(Serialize)]
pub(crate) struct InputAudio {
    /// Base64.
    pub data: String,
    /// `wav` or `mp3`.
    pub format: &'static str,
}

/// A document.
#[derive(Serialize)]
pub(crate) struct File<'a> {
    /// Its name.
    pub filename: Cow<'a, str>,
    /// A data URL.
    pub file_data: String,
}

/// One function that must be called.
#[derive(Serialize)]
pub(crate) struct NamedFunction<'a> {
    /// `function`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Which.
    pub function: Name<'a>,
}

/// A function by its name.
#[derive(Serialize)]
pub(crate) struct Name<'a> {
    /// The name.
    pub name: Cow<'a, str>,
}

/// The shape of the answer.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ResponseFormat<'a> {
    /// By a schema.
    JsonSchema {
        /// The schema.
        json_schema: JsonSchema<'a>,
    },
    /// Any JSON object.
    JsonObject,
}

/// A schema for the answer.
#[derive(Serialize)]
pub(crate) struct JsonSchema<'a> {
    /// A name for it.
    pub name: &'static str,
    /// The schema, as it came.
    pub schema: &'a RawValue,
    /// Whether decoding is constrained to it.
    pub strict: bool,
}

//! The JSON of `/v2/chat`, as it is written and as it is read.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::provider::{
    conversation::{self, maybe_text},
    function,
    media::ImageUrl,
};

// === written ===

/// A request.
#[derive(Serialize)]
pub(crate) struct Body<'a> {
    /// The model.
    pub model: &'a str,
    /// The conversation.
    pub messages: Vec<Message<'a>>,
    /// The tools.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<function::Tool<'a>>,
    /// `REQUIRED` or `NONE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<&'static str>,
    /// The shape of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat<'a>>,
    /// Upper bound of output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// Stop texts.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub stop_sequences: &'a [String],
    /// Sampling temperature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Determinism.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Top-k sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k: Option<u32>,
    /// Nucleus sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p: Option<f32>,
    /// Whether and how much to think.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<Thinking>,
    /// Whether the answer is streamed.
    pub stream: bool,
}

/// Whether and how much to think.
#[derive(Serialize)]
pub(crate) struct Thinking {
    /// `enabled` or `disabled`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// At most this much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_budget: Option<u64>,
}

/// The shape of the answer.
#[derive(Serialize)]
pub(crate) struct ResponseFormat<'a> {
    /// `json_object`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The schema, as it came.
    pub json_schema: &'a RawValue,
}

/// A message.
#[derive(Serialize)]
pub(crate) struct Message<'a> {
    /// Who says it.
    pub role: &'static str,
    /// What; missing beside calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Content<'a>>,
    /// What the model means to do by its calls.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tool_plan: String,
    /// Calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<function::Call<'a>>,
    /// The call that this is the result of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<Cow<'a, str>>,
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
    /// Reasoning.
    Thinking {
        /// It.
        thinking: &'a str,
    },
    /// An image.
    ImageUrl {
        /// Where.
        image_url: ImageUrl<'a>,
    },
}

maybe_text!(Part);

// === read ===

/// A whole answer.
#[derive(Deserialize)]
pub(crate) struct Answer<'a> {
    /// Its id.
    #[serde(borrow, default)]
    pub id: Option<Cow<'a, str>>,
    /// What the model said.
    #[serde(borrow, default)]
    pub message: Option<Said<'a>>,
    /// Why it stopped.
    #[serde(borrow, default)]
    pub finish_reason: Option<Cow<'a, str>>,
    /// Tokens.
    #[serde(default)]
    pub usage: Option<Usage>,
}

/// What the model said, as a whole.
#[derive(Deserialize)]
pub(crate) struct Said<'a> {
    /// Text and reasoning.
    #[serde(borrow, default)]
    pub content: Option<Vec<Piece<'a>>>,
    /// What it means to do.
    #[serde(borrow, default)]
    pub tool_plan: Option<Cow<'a, str>>,
    /// Calls.
    #[serde(borrow, default)]
    pub tool_calls: Option<Vec<SaidCall<'a>>>,
    /// Sources.
    #[serde(borrow, default)]
    pub citations: Option<Vec<&'a RawValue>>,
}

/// A piece of text or of reasoning.
#[derive(Deserialize)]
pub(crate) struct Piece<'a> {
    /// Text.
    #[serde(borrow, default)]
    pub text: Option<Cow<'a, str>>,
    /// Reasoning.
    #[serde(borrow, default)]
    pub thinking: Option<Cow<'a, str>>,
}

/// A call, or a piece of one.
#[derive(Deserialize)]
pub(crate) struct SaidCall<'a> {
    /// Its id.
    #[serde(borrow, default)]
    pub id: Option<Cow<'a, str>>,
    /// The function.
    #[serde(borrow, default)]
    pub function: Option<SaidFunction<'a>>,
}

/// The function of a call.
#[derive(Deserialize)]
pub(crate) struct SaidFunction<'a> {
    /// Its name.
    #[serde(borrow, default)]
    pub name: Option<Cow<'a, str>>,
    /// The text of its arguments.
    #[serde(borrow, default)]
    pub arguments: Option<Cow<'a, str>>,
}

/// An event of a stream.
#[derive(Deserialize)]
pub(crate) struct Event<'a> {
    /// What kind of event.
    #[serde(borrow, rename = "type", default)]
    pub kind: Cow<'a, str>,
    /// The answer's id.
    #[serde(borrow, default)]
    pub id: Option<Cow<'a, str>>,
    /// Which content, or which call.
    #[serde(default)]
    pub index: Option<u64>,
    /// What grew.
    #[serde(borrow, default)]
    pub delta: Option<Grown<'a>>,
}

/// What grew.
#[derive(Deserialize)]
pub(crate) struct Grown<'a> {
    /// The message.
    #[serde(borrow, default)]
    pub message: Option<&'a RawValue>,
    /// Why it stopped.
    #[serde(borrow, default)]
    pub finish_reason: Option<Cow<'a, str>>,
    /// What went wrong, where it stopped in an error.
    #[serde(borrow, default)]
    pub error: Option<Cow<'a, str>>,
    /// Tokens.
    #[serde(default)]
    pub usage: Option<Usage>,
}

/// The message of `content-start` and `content-delta`.
#[derive(Deserialize)]
pub(crate) struct GrownContent<'a> {
    /// The piece.
    #[serde(borrow)]
    pub content: Piece<'a>,
}

/// The message of `tool-plan-delta`.
#[derive(Deserialize)]
pub(crate) struct GrownPlan<'a> {
    /// The piece.
    #[serde(borrow)]
    pub tool_plan: Cow<'a, str>,
}

/// The message of `tool-call-start` and `tool-call-delta`.
#[derive(Deserialize)]
pub(crate) struct GrownCall<'a> {
    /// The piece.
    #[serde(borrow)]
    pub tool_calls: SaidCall<'a>,
}

/// The message of `citation-start`.
#[derive(Deserialize)]
pub(crate) struct GrownCitation<'a> {
    /// The citation.
    #[serde(borrow)]
    pub citations: &'a RawValue,
}

/// Tokens.
#[derive(Clone, Copy, Default, Deserialize)]
pub(crate) struct Usage {
    /// What went through the model.
    #[serde(default)]
    pub tokens: Option<Tokens>,
    /// What is paid for.
    #[serde(default)]
    pub billed_units: Option<Tokens>,
    /// Input from a cache.
    #[serde(default)]
    pub cached_tokens: Option<f64>,
}

/// Tokens, in and out. They come as floating-point numbers.
#[derive(Clone, Copy, Default, Deserialize)]
pub(crate) struct Tokens {
    /// In.
    #[serde(default)]
    pub input_tokens: Option<f64>,
    /// Out.
    #[serde(default)]
    pub output_tokens: Option<f64>,
}

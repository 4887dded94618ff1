//! The JSON of the Responses protocol, as it is written and as it is read.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::provider::{
    conversation::{self, maybe_text},
    function,
    openai::wire::request::JsonSchema,
};

// === written ===

/// A request.
#[derive(Serialize)]
pub(crate) struct Body<'a> {
    /// The model.
    pub model: &'a str,
    /// The conversation.
    pub input: Vec<Item<'a>>,
    /// The tools.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool<'a>>,
    /// Whether tools may or must be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<function::Choice<NamedFunction<'a>>>,
    /// Whether several calls may come at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    /// The shape of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Text<'a>>,
    /// Upper bound of output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// Sampling temperature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Nucleus sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f32>,
    /// How hard to think.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Reasoning>,
    /// What comes beside the answer.
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    pub include: &'static [&'static str],
    /// Whether the vendor keeps the answer.
    pub store: bool,
    /// Whether the answer is streamed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stream: bool,
}

/// How hard to think.
#[derive(Serialize)]
pub(crate) struct Reasoning {
    /// The effort.
    pub effort: &'static str,
    /// Whether to tell of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<&'static str>,
}

/// The shape of the answer.
#[derive(Serialize)]
pub(crate) struct Text<'a> {
    /// The schema.
    pub format: Format<'a>,
}

/// A schema for the answer.
#[derive(Serialize)]
pub(crate) struct Format<'a> {
    /// `json_schema`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The schema.
    #[serde(flatten)]
    pub schema: JsonSchema<'a>,
}

/// A tool.
#[derive(Serialize)]
pub(crate) struct Tool<'a> {
    /// `function`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The function.
    #[serde(flatten)]
    pub function: function::Function<'a>,
    /// Strictness is on unless it is said.
    pub strict: bool,
}

/// One function that must be called.
#[derive(Serialize)]
pub(crate) struct NamedFunction<'a> {
    /// `function`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Which.
    pub name: Cow<'a, str>,
}

/// An item of the conversation.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Item<'a> {
    /// A message.
    Message {
        /// Who says it.
        role: &'static str,
        /// What.
        content: Content<'a>,
    },
    /// A call.
    Call {
        /// `function_call`.
        #[serde(rename = "type")]
        kind: &'static str,
        /// Its id.
        call_id: Cow<'a, str>,
        /// The function.
        name: Cow<'a, str>,
        /// The text of a JSON object.
        arguments: &'a str,
    },
    /// The result of a call.
    Output {
        /// `function_call_output`.
        #[serde(rename = "type")]
        kind: &'static str,
        /// The call.
        call_id: Cow<'a, str>,
        /// The result.
        output: Content<'a>,
    },
    /// Reasoning, exactly as it came.
    Kept(&'a RawValue),
}

/// Content: a text, or several parts.
pub(crate) type Content<'a> = conversation::Content<'a, Part<'a>>;

/// A part of a message.
#[derive(Serialize)]
#[serde(tag = "type")]
pub(crate) enum Part<'a> {
    /// Text.
    #[serde(rename = "input_text")]
    Text {
        /// It.
        text: Cow<'a, str>,
    },
    /// An image.
    #[serde(rename = "input_image")]
    Image {
        /// Where, perhaps a data URL.
        image_url: Cow<'a, str>,
        /// `auto`.
        detail: &'static str,
    },
    /// A document.
    #[serde(rename = "input_file")]
    File {
        /// Its name.
        #[serde(skip_serializing_if = "Option::is_none")]
        filename: Option<&'a str>,
        /// A data URL.
        #[serde(skip_serializing_if = "Option::is_none")]
        file_data: Option<String>,
        /// Where.
        #[serde(skip_serializing_if = "Option::is_none")]
        file_url: Option<&'a str>,
    },
}

maybe_text!(Part);

// === read ===

/// An answer.
#[derive(Deserialize)]
pub(crate) struct Response<'a> {
    /// Its id.
    #[serde(borrow, default)]
    pub id: Option<&'a RawValue>,
    /// The model that answered.
    #[serde(borrow, default)]
    pub model: Option<&'a RawValue>,
    /// How far it has come.
    #[serde(borrow, default)]
    pub status: Option<Cow<'a, str>>,
    /// What it holds.
    #[serde(borrow, default)]
    pub output: Vec<&'a RawValue>,
    /// Why it is incomplete.
    #[serde(borrow, default)]
    pub incomplete_details: Option<Incomplete<'a>>,
    /// Why it failed.
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
    /// Tokens.
    #[serde(default)]
    pub usage: Option<Usage>,
    /// What was paid for.
    #[serde(borrow, default)]
    pub service_tier: Option<&'a RawValue>,
}

/// Why an answer is incomplete.
#[derive(Deserialize)]
pub(crate) struct Incomplete<'a> {
    /// The reason.
    #[serde(borrow, default)]
    pub reason: Option<Cow<'a, str>>,
}

/// An item of an answer.
#[derive(Deserialize)]
pub(crate) struct Said<'a> {
    /// `message`, `function_call` or `reasoning`.
    #[serde(borrow, rename = "type", default)]
    pub kind: Cow<'a, str>,
    /// The parts of a message, or of raw reasoning.
    #[serde(borrow, default)]
    pub content: Option<Vec<SaidPart<'a>>>,
    /// The parts of a summary.
    #[serde(borrow, default)]
    pub summary: Option<Vec<SaidPart<'a>>>,
    /// Whether there is reasoning that can be sent back.
    #[serde(borrow, default)]
    pub encrypted_content: Option<Cow<'a, str>>,
    /// A call's id.
    #[serde(borrow, default)]
    pub call_id: Option<Cow<'a, str>>,
    /// A call's function.
    #[serde(borrow, default)]
    pub name: Option<Cow<'a, str>>,
    /// A call's arguments.
    #[serde(borrow, default)]
    pub arguments: Option<Cow<'a, str>>,
}

/// A part of an item.
#[derive(Deserialize)]
pub(crate) struct SaidPart<'a> {
    /// Text.
    #[serde(borrow, default)]
    pub text: Option<Cow<'a, str>>,
    /// Why the model will not answer.
    #[serde(borrow, default)]
    pub refusal: Option<Cow<'a, str>>,
}

/// An event of a stream.
#[derive(Deserialize)]
pub(crate) struct Event<'a> {
    /// What kind of event.
    #[serde(borrow, rename = "type", default)]
    pub kind: Cow<'a, str>,
    /// Which item.
    #[serde(default)]
    pub output_index: u64,
    /// Which part of a summary.
    #[serde(default)]
    pub summary_index: u64,
    /// What grew.
    #[serde(borrow, default)]
    pub delta: Option<Cow<'a, str>>,
    /// The item.
    #[serde(borrow, default)]
    pub item: Option<&'a RawValue>,
    /// The answer.
    #[serde(borrow, default)]
    pub response: Option<&'a RawValue>,
}

/// Tokens.
#[derive(Clone, Copy, Default, Deserialize)]
pub(crate) struct Usage {
    /// Input.
    #[serde(default)]
    pub input_tokens: u64,
    /// More on the input.
    #[serde(default)]
    pub input_tokens_details: Option<InputDetails>,
    /// Output.
    #[serde(default)]
    pub output_tokens: u64,
    /// More on the output.
    #[serde(default)]
    pub output_tokens_details: Option<OutputDetails>,
}

/// More on the input.
#[derive(Clone, Copy, Default, Deserialize)]
pub(crate) struct InputDetails {
    /// Read from a cache.
    #[serde(default)]
    pub cached_tokens: u64,
    /// Written to a cache.
    #[serde(default)]
    pub cache_write_tokens: u64,
}

/// More on the output.
#[derive(Clone, Copy, Default, Deserialize)]
pub(crate) struct OutputDetails {
    /// Reasoning.
    #[serde(default)]
    pub reasoning_tokens: u64,
}

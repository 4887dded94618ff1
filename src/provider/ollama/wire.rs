//! The JSON of `/api/chat`, as it is written and as it is read.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::provider::function;

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
    /// The schema of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<&'a RawValue>,
    /// How the model is run.
    #[serde(skip_serializing_if = "Options::is_empty")]
    pub options: Options<'a>,
    /// Whether, or how hard, to think.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub think: Option<Think>,
    /// Whether the answer is streamed: on unless it is said.
    pub stream: bool,
}

/// How the model is run.
#[derive(Default, PartialEq, Serialize)]
pub(crate) struct Options<'a> {
    /// Upper bound of output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_predict: Option<u64>,
    /// Sampling temperature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Nucleus sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f32>,
    /// Top-k sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Determinism.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Stop texts.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub stop: &'a [String],
}

impl Options<'_> {
    fn is_empty(&self) -> bool {
        *self == Options::default()
    }
}

/// Whether, or how hard, to think.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Think {
    /// Not at all.
    Switch(bool),
    /// `low`, `medium` or `high`; models without levels take any of them for yes.
    Level(&'static str),
}

/// A message.
#[derive(Default, Serialize)]
pub(crate) struct Message<'a> {
    /// Who says it.
    pub role: &'static str,
    /// What.
    pub content: Cow<'a, str>,
    /// Reasoning.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub thinking: Cow<'a, str>,
    /// Base64.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// Calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall<'a>>,
    /// The tool that this is the result of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_name: Option<Cow<'a, str>>,
}

/// A call in an assistant's message.
#[derive(Serialize)]
pub(crate) struct ToolCall<'a> {
    /// Which function, with what.
    pub function: FunctionCall<'a>,
}

/// Which function, with what.
#[derive(Serialize)]
pub(crate) struct FunctionCall<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// A JSON object.
    pub arguments: &'a RawValue,
}

// === read ===

/// A line of a stream, or the whole answer.
#[derive(Deserialize)]
pub(crate) struct Line<'a> {
    /// What the model said.
    #[serde(borrow, default)]
    pub message: Option<Said<'a>>,
    /// Whether it is the last one.
    #[serde(default)]
    pub done: bool,
    /// Why it stopped.
    #[serde(borrow, default)]
    pub done_reason: Option<Cow<'a, str>>,
    /// Input, in tokens.
    #[serde(default)]
    pub prompt_eval_count: Option<u64>,
    /// Output, in tokens.
    #[serde(default)]
    pub eval_count: Option<u64>,
    /// How long it took.
    #[serde(flatten)]
    pub times: Times,
    /// An error in place of all that.
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
}

/// How long it took, in nanoseconds.
#[derive(Default, Deserialize, Serialize)]
pub(crate) struct Times {
    /// All of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_duration: Option<u64>,
    /// Loading the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_duration: Option<u64>,
    /// Reading the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_eval_duration: Option<u64>,
    /// Writing the output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_duration: Option<u64>,
}

/// What the model said.
#[derive(Deserialize)]
pub(crate) struct Said<'a> {
    /// Text.
    #[serde(borrow, default)]
    pub content: Option<Cow<'a, str>>,
    /// Reasoning.
    #[serde(borrow, default)]
    pub thinking: Option<Cow<'a, str>>,
    /// Whole calls.
    #[serde(borrow, default)]
    pub tool_calls: Option<Vec<SaidCall<'a>>>,
}

/// A call.
#[derive(Deserialize)]
pub(crate) struct SaidCall<'a> {
    /// The function.
    #[serde(borrow)]
    pub function: SaidFunction<'a>,
}

/// The function of a call.
#[derive(Deserialize)]
pub(crate) struct SaidFunction<'a> {
    /// Its name.
    #[serde(borrow, default)]
    pub name: Cow<'a, str>,
    /// An object.
    #[serde(borrow, default)]
    pub arguments: Option<&'a RawValue>,
}

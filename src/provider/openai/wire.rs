//! The JSON of the chat completions protocol, as it is written and as it is read.
//!
//! What is read is lenient: every member may be missing or null, unknown ones are skipped, and what
//! vendors send in several shapes is kept raw until it is looked at.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

// === written ===

/// A request.
#[derive(Default, Serialize)]
pub(crate) struct Body<'a> {
    /// The model.
    pub model: &'a str,
    /// The conversation.
    pub messages: Vec<Message<'a>>,
    /// The tools.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool<'a>>,
    /// Whether tools may or must be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice<'a>>,
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
    /// Calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall<'a>>,
    /// The call that this is the result of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<&'a str>,
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
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }
}

/// Content: a text, or several parts.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Content<'a> {
    /// One text.
    Text(Cow<'a, str>),
    /// Parts.
    Parts(Vec<Part<'a>>),
}

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
}

/// Where an image is.
#[derive(Serialize)]
pub(crate) struct ImageUrl<'a> {
    /// A URL, perhaps a data URL.
    pub url: Cow<'a, str>,
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

/// A call in an assistant's message.
#[derive(Serialize)]
pub(crate) struct ToolCall<'a> {
    /// Its id.
    pub id: &'a str,
    /// `function`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Which function, with what.
    pub function: FunctionCall<'a>,
}

/// Which function, with what.
#[derive(Serialize)]
pub(crate) struct FunctionCall<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// The text of a JSON object.
    pub arguments: &'a str,
}

/// A tool.
#[derive(Serialize)]
pub(crate) struct Tool<'a> {
    /// `function`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The function.
    pub function: Function<'a>,
}

/// A function that may be called.
#[derive(Serialize)]
pub(crate) struct Function<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// What it does.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub description: &'a str,
    /// JSON Schema of its arguments, as its author wrote it.
    pub parameters: &'a RawValue,
}

/// Whether tools may or must be used.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum ToolChoice<'a> {
    /// `none` or `required`.
    Mode(&'static str),
    /// One function.
    Function {
        /// `function`.
        #[serde(rename = "type")]
        kind: &'static str,
        /// Which.
        function: NamedFunction<'a>,
    },
}

/// A function by its name.
#[derive(Serialize)]
pub(crate) struct NamedFunction<'a> {
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

// === read ===

/// A response, or one chunk of a stream: the two differ in little.
#[derive(Deserialize)]
pub(crate) struct Chunk<'a> {
    /// The response's id.
    #[serde(borrow, default)]
    pub id: Option<&'a RawValue>,
    /// The model that answered.
    #[serde(borrow, default)]
    pub model: Option<&'a RawValue>,
    /// The answers; we ask for one.
    #[serde(borrow, default)]
    pub choices: Option<Vec<Choice<'a>>>,
    /// Tokens.
    #[serde(default)]
    pub usage: Option<Usage>,
    /// An error in place of an answer.
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
    /// What the vendor runs on.
    #[serde(borrow, default)]
    pub system_fingerprint: Option<&'a RawValue>,
    /// What was paid for.
    #[serde(borrow, default)]
    pub service_tier: Option<&'a RawValue>,
    /// Sources, by those vendors that search.
    #[serde(borrow, default)]
    pub citations: Option<&'a RawValue>,
}

/// One answer.
#[derive(Deserialize)]
pub(crate) struct Choice<'a> {
    /// Which.
    #[serde(default)]
    pub index: Option<i64>,
    /// What grew, in a stream.
    #[serde(borrow, default)]
    pub delta: Option<Said<'a>>,
    /// The whole.
    #[serde(borrow, default)]
    pub message: Option<Said<'a>>,
    /// Why it stopped.
    #[serde(borrow, default)]
    pub finish_reason: Option<Cow<'a, str>>,
    /// Probabilities of tokens.
    #[serde(borrow, default)]
    pub logprobs: Option<LogProbs<'a>>,
}

/// Probabilities of tokens, passed on as they are.
#[derive(Deserialize)]
pub(crate) struct LogProbs<'a> {
    /// Of the content.
    #[serde(borrow, default)]
    pub content: Option<Vec<&'a RawValue>>,
}

/// What the model said.
#[derive(Deserialize)]
pub(crate) struct Said<'a> {
    /// Text: a string, or an array of parts.
    #[serde(borrow, default)]
    pub content: Option<&'a RawValue>,
    /// Reasoning, by the name that DeepSeek gave it.
    #[serde(borrow, default)]
    pub reasoning_content: Option<&'a RawValue>,
    /// Reasoning, by the name that OpenRouter gave it.
    #[serde(borrow, default)]
    pub reasoning: Option<&'a RawValue>,
    /// Why it will not answer.
    #[serde(borrow, default)]
    pub refusal: Option<Cow<'a, str>>,
    /// Calls, or fragments of them.
    #[serde(borrow, default)]
    pub tool_calls: Option<Vec<Fragment<'a>>>,
    /// Sources.
    #[serde(borrow, default)]
    pub annotations: Option<&'a RawValue>,
}

/// A call, or a fragment of one.
#[derive(Deserialize)]
pub(crate) struct Fragment<'a> {
    /// Which call of the message.
    #[serde(default)]
    pub index: Option<i64>,
    /// The call's id.
    #[serde(borrow, default)]
    pub id: Option<Cow<'a, str>>,
    /// The function.
    #[serde(borrow, default)]
    pub function: Option<FragmentFunction<'a>>,
}

/// The function of a fragment.
#[derive(Deserialize)]
pub(crate) struct FragmentFunction<'a> {
    /// Its name.
    #[serde(borrow, default)]
    pub name: Option<Cow<'a, str>>,
    /// Its arguments: text, or, with some vendors, the object itself.
    #[serde(borrow, default)]
    pub arguments: Option<&'a RawValue>,
}

/// A part of content that comes as an array.
#[derive(Deserialize)]
pub(crate) struct ContentPart<'a> {
    /// Text.
    #[serde(borrow, default)]
    pub text: Option<Cow<'a, str>>,
}

/// Tokens.
#[derive(Clone, Copy, Default, Deserialize)]
pub(crate) struct Usage {
    /// Input.
    #[serde(default)]
    pub prompt_tokens: Option<u64>,
    /// Output.
    #[serde(default)]
    pub completion_tokens: Option<u64>,
    /// Both.
    #[serde(default)]
    pub total_tokens: Option<u64>,
    /// More on the input.
    #[serde(default)]
    pub prompt_tokens_details: Option<PromptDetails>,
    /// More on the output.
    #[serde(default)]
    pub completion_tokens_details: Option<CompletionDetails>,
    /// Cached input, as DeepSeek has it.
    #[serde(default)]
    pub prompt_cache_hit_tokens: Option<u64>,
}

/// More on the input.
#[derive(Clone, Copy, Default, Deserialize)]
pub(crate) struct PromptDetails {
    /// Read from a cache.
    #[serde(default)]
    pub cached_tokens: Option<u64>,
    /// Written to a cache.
    #[serde(default)]
    pub cache_write_tokens: Option<u64>,
}

/// More on the output.
#[derive(Clone, Copy, Default, Deserialize)]
pub(crate) struct CompletionDetails {
    /// Reasoning.
    #[serde(default)]
    pub reasoning_tokens: Option<u64>,
}

/// A list of models.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Models<'a> {
    /// As OpenAI has it.
    Listed {
        /// The models.
        #[serde(borrow)]
        data: Vec<Model<'a>>,
    },
    /// As Together has it.
    Bare(#[serde(borrow)] Vec<Model<'a>>),
}

impl<'a> Models<'a> {
    /// The models.
    pub(crate) fn data(&self) -> &[Model<'a>] {
        match self {
            Self::Listed { data } | Self::Bare(data) => data,
        }
    }
}

/// A model.
#[derive(Deserialize)]
pub(crate) struct Model<'a> {
    /// Its name.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
}

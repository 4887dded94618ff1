//! The JSON of `generateContent`, as it is written and as it is read.
//!
//! What is read is lenient: every member may be missing or null, and unknown ones are skipped.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

// === written ===

/// A request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body<'a> {
    /// What stands above the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_instruction: Option<Content<'a>>,
    /// The tools: one entry with all functions, or none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tools<'a>>,
    /// Whether tools may or must be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_config: Option<ToolConfig<'a>>,
    /// The conversation.
    pub contents: Vec<Content<'a>>,
    /// How to generate.
    #[serde(skip_serializing_if = "GenerationConfig::is_empty")]
    pub generation_config: GenerationConfig<'a>,
}

/// A message.
#[derive(Serialize)]
pub(super) struct Content<'a> {
    /// `user` or `model`; absent above the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// What is said.
    pub parts: Vec<Part<'a>>,
}

/// A part: exactly one of its kinds.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Part<'a> {
    /// Text, an image, a call, a result.
    Known(Box<KnownPart<'a>>),
    /// A part as it came.
    Raw(Box<RawValue>),
}

/// A part that the domain has words for.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KnownPart<'a> {
    /// Text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Cow<'a, str>>,
    /// Media, here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inline_data: Option<Blob<'a>>,
    /// Media, elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_data: Option<FileData<'a>>,
    /// A call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_call: Option<FunctionCall<'a>>,
    /// A result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_response: Option<FunctionResponse<'a>>,
    /// Whether it is a thought.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub thought: bool,
    /// The signature that stood on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thought_signature: Option<Cow<'a, str>>,
}

/// Media, here.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Blob<'a> {
    /// What it is.
    pub mime_type: Cow<'a, str>,
    /// Base64.
    pub data: Cow<'a, str>,
}

/// Media, elsewhere.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileData<'a> {
    /// What it is.
    pub mime_type: &'a str,
    /// Where.
    pub file_uri: &'a str,
}

/// A call.
#[derive(Serialize)]
pub(super) struct FunctionCall<'a> {
    /// The provider's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Cow<'a, str>>,
    /// Which function.
    pub name: Cow<'a, str>,
    /// With what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<&'a RawValue>,
}

/// A result.
#[derive(Serialize)]
pub(super) struct FunctionResponse<'a> {
    /// The id of its call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Cow<'a, str>>,
    /// Which function.
    pub name: Cow<'a, str>,
    /// What came of it.
    pub response: Response<'a>,
    /// Its media.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<KnownPart<'a>>,
}

/// What came of a call.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Response<'a> {
    /// An error.
    Error(Cow<'a, str>),
    /// A result.
    Output(Output<'a>),
}

/// A result: text, or JSON as it came.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Output<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// JSON.
    Json(&'a RawValue),
}

/// Tools.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tools<'a> {
    /// The functions.
    pub function_declarations: Vec<Function<'a>>,
}

/// A function that may be called.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Function<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// What it does.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub description: &'a str,
    /// JSON Schema of its arguments, as its author wrote it; absent when it takes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters_json_schema: Option<&'a RawValue>,
}

/// Whether tools may or must be used.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolConfig<'a> {
    /// Functions.
    pub function_calling_config: CallingConfig<'a>,
}

/// Whether functions may or must be called.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallingConfig<'a> {
    /// `ANY` or `NONE`.
    pub mode: &'static str,
    /// Only these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_function_names: Vec<Cow<'a, str>>,
}

/// How to generate.
#[derive(Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GenerationConfig<'a> {
    /// Upper bound of output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
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
    pub stop_sequences: &'a [String],
    /// How to think.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking_config: Option<ThinkingConfig>,
    /// `application/json` with a schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_mime_type: Option<&'static str>,
    /// JSON Schema of the answer, as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_json_schema: Option<Schema<'a>>,
}

impl GenerationConfig<'_> {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A schema, as it came.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Schema<'a>(pub &'a RawValue);

impl PartialEq for Schema<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

/// How to think.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ThinkingConfig {
    /// Whether thoughts are shown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub include_thoughts: bool,
    /// How many tokens; for models up to 2.5, or where the caller says a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking_budget: Option<u64>,
    /// How hard; for models from 3 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking_level: Option<&'static str>,
}

// === read ===

/// A response, or one chunk of a stream.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Chunk<'a> {
    /// The answers; we ask for one.
    #[serde(borrow, default)]
    pub candidates: Option<Vec<Candidate<'a>>>,
    /// What was thought of the prompt.
    #[serde(borrow, default)]
    pub prompt_feedback: Option<Feedback<'a>>,
    /// Tokens.
    #[serde(default)]
    pub usage_metadata: Option<Usage>,
    /// The model that answered.
    #[serde(borrow, default)]
    pub model_version: Option<&'a RawValue>,
    /// The response's id.
    #[serde(borrow, default)]
    pub response_id: Option<&'a RawValue>,
    /// An error in place of an answer.
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
}

/// One answer, or what is new of it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate<'a> {
    /// Which.
    #[serde(default)]
    pub index: Option<i64>,
    /// What is said.
    #[serde(borrow, default)]
    pub content: Option<Said<'a>>,
    /// Why it stopped.
    #[serde(borrow, default)]
    pub finish_reason: Option<Cow<'a, str>>,
    /// The same in a sentence.
    #[serde(borrow, default)]
    pub finish_message: Option<&'a RawValue>,
    /// How harmful it may be.
    #[serde(borrow, default)]
    pub safety_ratings: Option<&'a RawValue>,
    /// Whom it quotes.
    #[serde(borrow, default)]
    pub citation_metadata: Option<&'a RawValue>,
    /// What it rests on.
    #[serde(borrow, default)]
    pub grounding_metadata: Option<&'a RawValue>,
    /// Which pages were read for it.
    #[serde(borrow, default)]
    pub url_context_metadata: Option<&'a RawValue>,
    /// Probabilities of tokens.
    #[serde(borrow, default)]
    pub logprobs_result: Option<&'a RawValue>,
}

/// What is said.
#[derive(Deserialize)]
pub(super) struct Said<'a> {
    /// Its parts, raw: one that has no place in the domain is kept as it came.
    #[serde(borrow, default)]
    pub parts: Option<Vec<&'a RawValue>>,
}

/// A part that is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReadPart<'a> {
    /// Text.
    #[serde(borrow, default)]
    pub text: Option<Cow<'a, str>>,
    /// Whether it is a thought.
    #[serde(default)]
    pub thought: Option<bool>,
    /// Its signature.
    #[serde(borrow, default)]
    pub thought_signature: Option<Cow<'a, str>>,
    /// A call.
    #[serde(borrow, default)]
    pub function_call: Option<ReadCall<'a>>,
    /// Media.
    #[serde(borrow, default)]
    pub inline_data: Option<ReadBlob<'a>>,
    /// Code that the provider runs.
    #[serde(borrow, default)]
    pub executable_code: Option<&'a RawValue>,
    /// What came of it.
    #[serde(borrow, default)]
    pub code_execution_result: Option<&'a RawValue>,
    /// A tool that the provider runs.
    #[serde(borrow, default)]
    pub tool_call: Option<&'a RawValue>,
    /// What came of it.
    #[serde(borrow, default)]
    pub tool_response: Option<&'a RawValue>,
}

impl ReadPart<'_> {
    /// Whether it is of the provider's own doings.
    pub(super) const fn is_foreign(&self) -> bool {
        self.executable_code.is_some()
            || self.code_execution_result.is_some()
            || self.tool_call.is_some()
            || self.tool_response.is_some()
    }
}

/// A call that is read.
#[derive(Deserialize)]
pub(super) struct ReadCall<'a> {
    /// The provider's id.
    #[serde(borrow, default)]
    pub id: Option<Cow<'a, str>>,
    /// Which function.
    #[serde(borrow, default)]
    pub name: Option<Cow<'a, str>>,
    /// With what.
    #[serde(borrow, default)]
    pub args: Option<&'a RawValue>,
}

/// Media that are read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReadBlob<'a> {
    /// What it is.
    #[serde(borrow, default)]
    pub mime_type: Option<Cow<'a, str>>,
    /// Base64.
    #[serde(borrow, default)]
    pub data: Option<Cow<'a, str>>,
}

/// What was thought of the prompt.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Feedback<'a> {
    /// Why it was not answered.
    #[serde(borrow, default)]
    pub block_reason: Option<Cow<'a, str>>,
}

/// Tokens.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Usage {
    /// Input, cached tokens included.
    #[serde(default)]
    pub prompt_token_count: Option<u64>,
    /// Input that the provider's own tools made.
    #[serde(default)]
    pub tool_use_prompt_token_count: Option<u64>,
    /// Of the input, read from a cache.
    #[serde(default)]
    pub cached_content_token_count: Option<u64>,
    /// Output without thoughts.
    #[serde(default)]
    pub candidates_token_count: Option<u64>,
    /// Thoughts.
    #[serde(default)]
    pub thoughts_token_count: Option<u64>,
}

/// A list of models.
#[derive(Deserialize)]
pub(super) struct Models<'a> {
    /// The models.
    #[serde(borrow, default)]
    pub models: Vec<Model<'a>>,
}

/// A model.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Model<'a> {
    /// Its name, with its collection in front.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// The context window.
    #[serde(default)]
    pub input_token_limit: Option<u64>,
    /// The largest output.
    #[serde(default)]
    pub output_token_limit: Option<u64>,
    /// Whether it thinks.
    #[serde(default)]
    pub thinking: Option<bool>,
    /// What it can be asked for.
    #[serde(borrow, default)]
    pub supported_generation_methods: Vec<Cow<'a, str>>,
}

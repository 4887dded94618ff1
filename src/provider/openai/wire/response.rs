//! What is read. Lenient: every member may be missing or null, unknown ones are skipped, and what vendors
//! send in several shapes is kept raw until it is looked at.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

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
    /// What it is: `error` where an error's members stand at the top, as with Mistral and vLLM.
    #[serde(borrow, default)]
    pub object: Option<&'a RawValue>,
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
    /// Reasoning, in OpenRouter's blocks.
    #[serde(borrow, default)]
    pub reasoning_details: Option<&'a RawValue>,
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
    /// Reasoning, as Mistral has it: parts once more.
    #[serde(borrow, default)]
    pub thinking: Option<&'a RawValue>,
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

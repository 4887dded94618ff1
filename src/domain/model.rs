//! Models: their names, what can be asked of them, what they report.

use std::{collections::BTreeMap, fmt, ops::AddAssign};

use serde::{Deserialize, Serialize};

use super::{json::JsonText, tool::ToolName};

/// A model's full name: `provider:model`, split at the first colon (`ollama:llama3.2:1b`). Stored as that
/// text, so that it can be a key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ModelRef {
    /// The provider, as it is named in the configuration.
    pub provider: String,
    /// The provider's name of the model.
    pub model: String,
}

impl ModelRef {
    /// Splits a name; `None` when it has no colon or one side is empty.
    pub fn parse(name: &str) -> Option<Self> {
        let (provider, model) = name.split_once(':')?;
        (!provider.is_empty() && !model.is_empty()).then(|| Self {
            provider: provider.to_owned(),
            model: model.to_owned(),
        })
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.provider, self.model)
    }
}

impl From<ModelRef> for String {
    fn from(model: ModelRef) -> Self {
        model.to_string()
    }
}

impl TryFrom<String> for ModelRef {
    type Error = &'static str;

    /// Reads what was stored: the name of a model that a provider has left empty, too.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (provider, model) = text.split_once(':').ok_or("a model's name has a colon")?;
        Ok(Self {
            provider: provider.to_owned(),
            model: model.to_owned(),
        })
    }
}

impl fmt::Debug for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The common knobs of generation. `None` is the provider's default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Upper bound of output tokens.
    pub max_output_tokens: Option<u64>,
    /// Sampling temperature.
    pub temperature: Option<f32>,
    /// Nucleus sampling.
    pub top_p: Option<f32>,
    /// Top-k sampling.
    pub top_k: Option<u32>,
    /// Best-effort determinism.
    pub seed: Option<i64>,
    /// Texts that end the answer.
    pub stop_sequences: Vec<String>,
    /// How hard to think.
    pub reasoning_effort: Option<ReasoningEffort>,
    /// A budget of reasoning tokens; wins over the effort where a provider takes one.
    pub max_reasoning_tokens: Option<u64>,
    /// Whether tools may or must be used.
    pub tool_choice: ToolChoice,
    /// `Some(false)` forbids more than one call a turn.
    pub parallel_tool_calls: Option<bool>,
    /// JSON Schema that the answer's text must conform to.
    pub output_schema: Option<JsonText>,
    /// Provider name to a JSON object that is merged into its request last.
    pub provider_options: BTreeMap<String, JsonText>,
}

/// How hard to think, mapped to an effort or a budget by each provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReasoningEffort {
    /// Not at all.
    None,
    /// As little as the provider offers without switching it off.
    Minimal,
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// As much as the provider offers.
    Max,
}

/// Whether tools may or must be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// No tools.
    None,
    /// At least one call.
    Required,
    /// This tool.
    Tool(ToolName),
}

impl ToolChoice {
    /// Whether a turn must make a call. In a run that holds until the first call, then it is
    /// [`ToolChoice::Auto`]: the run would never end otherwise.
    pub const fn forces_a_call(&self) -> bool {
        matches!(self, Self::Required | Self::Tool(_))
    }
}

/// Why generation stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FinishReason {
    /// A natural end or a stop sequence.
    Stop,
    /// The output limit or the context window was reached.
    Length,
    /// The model asks for tool calls.
    ToolCalls,
    /// Stopped or refused for safety or policy: a billed outcome, no error.
    ContentFilter,
    /// Another reason; the provider's own word says more.
    Other,
}

/// Tokens. Totals are inclusive: input counts cached tokens, output counts reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// All input.
    pub input_tokens: u64,
    /// Of which read from a prompt cache.
    pub cache_read_tokens: u64,
    /// Of which written to a prompt cache.
    pub cache_write_tokens: u64,
    /// All output.
    pub output_tokens: u64,
    /// Of which reasoning.
    pub reasoning_tokens: u64,
}

impl Usage {
    /// Input and output.
    pub const fn total(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.cache_read_tokens = self
            .cache_read_tokens
            .saturating_add(other.cache_read_tokens);
        self.cache_write_tokens = self
            .cache_write_tokens
            .saturating_add(other.cache_write_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.reasoning_tokens = self.reasoning_tokens.saturating_add(other.reasoning_tokens);
    }
}

/// A model that can be reached, as far as it is known.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// Its name.
    pub model: ModelRef,
    /// Other names for it in this server's configuration.
    pub aliases: Vec<String>,
    /// The context window, in tokens.
    pub context_tokens: Option<u64>,
    /// The largest output, in tokens.
    pub max_output_tokens: Option<u64>,
    /// Whether it takes anything but text.
    pub supports_media: Option<bool>,
    /// Media types that it takes beside text.
    pub input_media_types: Vec<String>,
    /// Whether it takes tools.
    pub supports_tools: Option<bool>,
    /// Whether it makes several calls in one turn.
    pub supports_parallel_tool_calls: Option<bool>,
    /// Whether it reasons.
    pub supports_reasoning: Option<bool>,
    /// Whether it answers piece by piece.
    pub supports_streaming: Option<bool>,
    /// Whether an output schema is enforced.
    pub supports_output_schema: Option<bool>,
    /// How an output schema is brought about.
    pub output_schema_method: Option<OutputSchemaMethod>,
    /// The price of a million input tokens, in millionths of a US dollar.
    pub input_price_micros: Option<u64>,
    /// The price of a million output tokens, in millionths of a US dollar.
    pub output_price_micros: Option<u64>,
}

/// How an answer is made to conform to an output schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputSchemaMethod {
    /// The vendor constrains the answer.
    Native,
    /// The model must call a tool with the schema for its arguments.
    ToolCall,
    /// The model is told, and asked for JSON.
    Prompt,
}

impl ModelInfo {
    /// A model of which nothing but the name is known.
    pub const fn named(model: ModelRef) -> Self {
        Self {
            model,
            aliases: Vec::new(),
            context_tokens: None,
            max_output_tokens: None,
            supports_media: None,
            input_media_types: Vec::new(),
            supports_tools: None,
            supports_parallel_tool_calls: None,
            supports_reasoning: None,
            supports_streaming: None,
            supports_output_schema: None,
            output_schema_method: None,
            input_price_micros: None,
            output_price_micros: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_name_is_split_at_the_first_colon() {
        let model = ModelRef::parse("ollama:llama3.2:1b").unwrap();
        assert_eq!((&*model.provider, &*model.model), ("ollama", "llama3.2:1b"));
        for bad in ["", "gpt-5", ":gpt-5", "openai:"] {
            assert_eq!(ModelRef::parse(bad), None, "{bad}");
        }
    }
}

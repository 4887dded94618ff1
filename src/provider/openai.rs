//! The OpenAI chat completions protocol, and what its many speakers make of it.
//!
//! Source: OpenAI API reference, "Chat Completions" (platform.openai.com/docs/api-reference/chat),
//! with the vendors' deviations as [`Quirks`].

mod calls;
mod decode;
mod details;
mod encode;
mod models;
pub mod responses;
mod strict;
mod think;
mod wire;

use std::sync::Arc;

use super::{
    auth::KeyHeader,
    body::Overrides,
    endpoint::Adapter,
    fault::{self, Words},
    protocol::{Assemble, Call, Encoded, Protocol, Rejection, Turn},
    registry::Parts,
    vendor::Vendor,
};
use crate::domain::{
    completion::Completion,
    fault::Fault,
    json::JsonText,
    message::Media,
    model::{ModelInfo, Options, ReasoningEffort},
};

/// The family: the name under which its state travels and its options are given.
pub const FAMILY: &str = "openai";

/// How a vendor differs from the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quirks {
    /// The output limit is called `max_completion_tokens`; else `max_tokens`.
    pub max_completion_tokens: bool,
    /// Takes `top_k`. Where it does not, the option is left out.
    pub top_k: bool,
    /// Takes `stream_options.include_usage`. Where it does not, usage comes by itself or never.
    pub stream_usage: bool,
    /// What the greatest reasoning effort is called.
    pub max_effort: &'static str,
    /// Text that begins with `<think>` holds reasoning up to `</think>`.
    pub think_tags: bool,
    /// The member in which the vendor wants the reasoning of earlier turns back. `None`: not at all.
    pub reasoning_back: Option<ReasoningField>,
    /// Fetches images by their URLs.
    pub image_urls: bool,
    /// Takes the names of authors. Where it does not, they are left out.
    pub names: bool,
    /// How thinking is asked for.
    pub thinking: Thinking,
    /// How an output schema is asked for.
    pub schema: Schema,
    /// Whose words it uses where they part ways.
    pub dialect: Dialect,
}

/// Whose words a vendor uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's.
    OpenAi,
    /// Mistral's (docs.mistral.ai/api, "Chat Completion", and the types of its SDK): ids of calls are
    /// nine letters and digits, the seed is `random_seed`, reasoning comes and goes as chunks of the
    /// content, results carry their media themselves, documents are `document_url`, a user does not
    /// speak straight after a tool, and an assistant's message at the end is a prefix to go on from.
    Mistral,
}

/// How vendors are told how hard to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thinking {
    /// `reasoning_effort`. A budget is left out.
    Effort,
    /// `reasoning_effort`, and `thinking` to switch it off.
    DeepSeek,
    /// `reasoning_effort`, or `reasoning.max_tokens` for a budget.
    OpenRouter,
    /// `enable_thinking`, with `thinking_budget`: there are no efforts.
    Qwen,
}

/// How vendors are told of an output schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// `response_format` takes it, and the answer conforms.
    Native,
    /// `response_format` promises JSON and nothing more: the schema is told in words, by a message of
    /// the system before all others.
    Described,
}

/// What vendors call the reasoning of an assistant's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasoningField {
    /// `reasoning_content`.
    ReasoningContent,
    /// `reasoning`, or `reasoning_details` where they came and the same model is asked again: signed
    /// or encrypted, other models could not read them (openrouter.ai/docs, "Reasoning Tokens",
    /// "Preserving reasoning").
    Reasoning,
}

impl Quirks {
    /// OpenAI itself.
    pub const OPENAI: Self = Self {
        max_completion_tokens: true,
        top_k: false,
        stream_usage: true,
        max_effort: "max",
        think_tags: true,
        reasoning_back: None,
        image_urls: true,
        names: true,
        thinking: Thinking::Effort,
        schema: Schema::Native,
        dialect: Dialect::OpenAi,
    };

    /// A server that says it is compatible: the older words, which all of them know.
    pub const COMPATIBLE: Self = Self {
        max_completion_tokens: false,
        top_k: false,
        stream_usage: true,
        max_effort: "high",
        think_tags: true,
        reasoning_back: None,
        image_urls: true,
        names: true,
        thinking: Thinking::Effort,
        schema: Schema::Native,
        dialect: Dialect::OpenAi,
    };

    /// What an effort is called.
    const fn word(&self, effort: ReasoningEffort) -> &'static str {
        match effort {
            ReasoningEffort::None => "none",
            ReasoningEffort::Minimal => "minimal",
            ReasoningEffort::Low => "low",
            ReasoningEffort::Medium => "medium",
            ReasoningEffort::High => "high",
            ReasoningEffort::Max => self.max_effort,
        }
    }
}

/// The protocol, set up for one vendor.
#[derive(Debug)]
pub struct OpenAi {
    /// The provider's name: its options are given under this name too.
    pub name: String,
    /// How it differs.
    pub quirks: Quirks,
    /// A JSON object that the operator merges into every request.
    pub options: Option<JsonText>,
}

impl OpenAi {
    /// What is merged into a request with these options.
    fn overrides<'a>(&'a self, options: &'a Options) -> Overrides<'a> {
        Overrides {
            family: FAMILY,
            provider: &self.name,
            operator: self.options.as_ref(),
            caller: &options.provider_options,
        }
    }
}

/// Builds a provider of kind `openai`.
///
/// # Errors
/// When the settings do not make one.
pub(crate) fn build(parts: &mut Parts<'_>) -> Result<Arc<dyn Adapter>, String> {
    let is_ollama = parts.vendor.is_some_and(|vendor| vendor.name == "ollama");
    let has_responses = match parts.parameter("api") {
        None | Some("chat") => false,
        Some("responses") => true,
        Some("native") if is_ollama => return super::ollama::build(parts),
        Some(_) => return Err("parameters.api is chat or responses, or ollama's native".to_owned()),
    };
    let openai = OpenAi {
        name: parts.name.to_owned(),
        quirks: parts
            .vendor
            .map_or(Quirks::COMPATIBLE, |vendor| vendor.quirks),
        options: parts.settings.options.clone(),
    };
    let protocol: Box<dyn Protocol> = if has_responses {
        Box::new(responses::Responses { openai })
    } else {
        Box::new(openai)
    };
    let authorize = parts.authorize(KeyHeader::bearer)?;
    parts.endpoint(base_url(parts)?, protocol, authorize)
}

/// Where it is. Ollama and LM Studio are known by their address alone; both serve the protocol under
/// `/v1`.
pub(super) fn base_url(parts: &Parts<'_>) -> Result<String, String> {
    let mut base_url = parts.base_url()?;
    let is_local = |vendor: &Vendor| matches!(vendor.name, "ollama" | "lmstudio");
    if parts.vendor.is_some_and(is_local) && !base_url.ends_with("/v1") {
        base_url.push_str("/v1");
    }
    Ok(base_url)
}

impl Protocol for OpenAi {
    fn encode(&self, call: Call<'_>) -> Result<Encoded, Fault> {
        encode::encode(self, call)
    }

    fn takes_uri(&self, _model: &str, media: &Media) -> bool {
        let is_image = media.media_type.starts_with("image/");
        match self.quirks.dialect {
            Dialect::OpenAi => is_image && self.quirks.image_urls,
            Dialect::Mistral => is_image || media.media_type == "application/pdf",
        }
    }

    fn decode(&self, turn: Turn, body: &[u8]) -> Result<Completion, Fault> {
        decode::decode(&self.quirks, turn, body)
    }

    fn assemble(&self, turn: Turn) -> Box<dyn Assemble> {
        Box::new(decode::Assembler::new(&self.quirks, turn))
    }

    fn reject(&self, turn: Turn, rejection: Rejection<'_>) -> Result<Completion, Fault> {
        let words = Words::parse(rejection.body);
        if ["content_filter", "content_policy_violation"].contains(&&*words.code) {
            return Ok(decode::filtered(turn, &words.code));
        }
        Err(fault::of_status(rejection.status, &turn.headers, &words))
    }

    fn models_path(&self) -> Option<&'static str> {
        Some("/models")
    }

    fn decode_models(&self, provider: &str, body: &[u8]) -> Result<Vec<ModelInfo>, Fault> {
        models::decode(provider, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{golden, vendor};

    fn protocol(provider: &str) -> Box<dyn Protocol> {
        let quirks = vendor::built_in(provider).map_or(Quirks::COMPATIBLE, |vendor| vendor.quirks);
        Box::new(OpenAi {
            name: provider.to_owned(),
            quirks,
            options: None,
        })
    }

    #[test]
    fn golden_cases_hold() {
        golden::check_family(FAMILY, protocol);
        golden::check_family("mistral", protocol);
        golden::check_family("huggingface", protocol);
    }
}

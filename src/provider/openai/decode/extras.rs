//! What comes beside the answer: tokens, and what only this provider says.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    domain::model::Usage,
    provider::{
        draft::is_empty,
        openai::wire::response::{Chunk, Usage as WireUsage},
        protocol::Turn,
    },
};

/// What the provider says beside the answer.
#[derive(Default, Serialize)]
pub(super) struct Extras {
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_fingerprint: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    citations: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) annotations: Option<Box<RawValue>>,
    /// Of the content, all chunks joined.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) logprobs: Vec<Box<RawValue>>,
}

impl Extras {
    /// Extras of the response to a turn.
    pub(super) fn new(turn: &Turn) -> Self {
        Self {
            request_id: turn.header("x-request-id"),
            ..Self::default()
        }
    }

    /// Remembers the first of each.
    pub(super) fn note(&mut self, chunk: &Chunk<'_>) {
        for (slot, found) in [
            (&mut self.id, chunk.id),
            (&mut self.model, chunk.model),
            (&mut self.system_fingerprint, chunk.system_fingerprint),
            (&mut self.service_tier, chunk.service_tier),
            (&mut self.citations, chunk.citations),
        ] {
            if slot.is_none()
                && let Some(found) = found.filter(|raw| !is_empty(raw))
            {
                *slot = Some(found.to_owned());
            }
        }
    }
}

/// Totals that include their parts. xAI counts reasoning beside the output, which its own total shows.
pub(super) fn usage_of(wire: &WireUsage) -> Usage {
    let prompt = wire.prompt_tokens_details.unwrap_or_default();
    let completion = wire.completion_tokens_details.unwrap_or_default();
    let input = wire.prompt_tokens.unwrap_or(0);
    let mut output = wire.completion_tokens.unwrap_or(0);
    let reasoning = completion.reasoning_tokens.unwrap_or(0);
    let beside = input.saturating_add(output).saturating_add(reasoning);
    if reasoning > 0 && wire.total_tokens == Some(beside) {
        output = output.saturating_add(reasoning);
    }
    Usage {
        input_tokens: input,
        cache_read_tokens: prompt
            .cached_tokens
            .or(wire.prompt_cache_hit_tokens)
            .unwrap_or(0),
        cache_write_tokens: prompt.cache_write_tokens.unwrap_or(0),
        output_tokens: output,
        reasoning_tokens: reasoning,
    }
}

//! Reads answers. One assembler for streams and for whole answers: the latter are one large chunk.
//!
//! A signature stays on the part that it came on: a text with one is never joined with its neighbours.
//! A signature without a text of its own, and parts of which the domain knows nothing, become reasoning
//! without words. Media stand behind all other parts: they cannot be shown as they grow.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    encode::names::Names,
    error,
    wire::{Candidate, Chunk, ReadPart, Usage as WireUsage},
};
use crate::{
    domain::{
        completion::{Completion, Delta, Grown},
        fault::{Fault, Reason},
        model::{FinishReason, ModelRef, Usage},
        tool::ToolSpec,
    },
    provider::{
        draft::{self, End, is_empty},
        fault,
        protocol::{Assemble, Frame, Mint, Progress, Turn},
    },
};

mod part;

use part::{Growing, media_of};

/// Reads an answer that came in one piece.
///
/// # Errors
/// When it is no answer, or an error under a status of success.
pub(super) fn decode(turn: Turn, body: &[u8]) -> Result<Completion, Fault> {
    let chunk: Chunk<'_> = serde_json::from_slice(body).map_err(|_error| {
        fault::invalid_response("the provider's answer is not the JSON of one")
    })?;
    if is_error(&chunk) {
        return Err(error::in_band(body, Reason::ProviderUnavailable));
    }
    let mut assembler = Assembler::new(turn);
    assembler
        .take(&chunk, &mut Vec::new())
        .and_then(|()| {
            if assembler.answered {
                Ok(assembler.complete())
            } else {
                Err(fault::invalid_response(
                    "the provider's answer holds no candidate",
                ))
            }
        })
        .map_err(fault::of_whole)
}

fn is_error(chunk: &Chunk<'_>) -> bool {
    chunk.error.is_some_and(|error| error.get() != "null")
}

/// Puts an answer together.
pub(super) struct Assembler {
    model: ModelRef,
    tools: Arc<[Arc<ToolSpec>]>,
    mint: Mint,
    parts: Vec<Growing>,
    media: Vec<crate::domain::message::Part>,
    /// Whether there was a candidate, or a word on why there is none.
    answered: bool,
    blocked: bool,
    finish: String,
    usage: Usage,
    extras: Extras,
}

/// What the provider says beside the answer.
#[derive(Default, Serialize)]
struct Extras {
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_message: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    safety_ratings: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    citation_metadata: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grounding_metadata: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url_context_metadata: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logprobs: Vec<Box<RawValue>>,
}

impl Assembler {
    /// For an answer of which nothing has come as yet.
    pub(super) fn new(turn: Turn) -> Self {
        let request_id = turn.header("x-request-id");
        Self {
            model: turn.model,
            tools: turn.tools,
            mint: turn.mint,
            parts: Vec::new(),
            media: Vec::new(),
            answered: false,
            blocked: false,
            finish: String::new(),
            usage: Usage::default(),
            extras: Extras {
                request_id,
                ..Extras::default()
            },
        }
    }

    /// Takes a chunk without an error in it.
    fn take(&mut self, chunk: &Chunk<'_>, out: &mut Vec<Delta>) -> Result<(), Fault> {
        self.extras.note(chunk);
        if let Some(usage) = &chunk.usage_metadata {
            self.usage = usage_of(usage);
        }
        let feedback = chunk.prompt_feedback.as_ref();
        if let Some(word) = feedback.and_then(|feedback| feedback.block_reason.as_deref()) {
            word.clone_into(&mut self.finish);
            (self.answered, self.blocked) = (true, true);
        }
        // Asked for by provider options, several answers may come; the first one is the answer.
        let first = |candidate: &&Candidate<'_>| candidate.index.unwrap_or(0) == 0;
        for candidate in chunk.candidates.iter().flatten().filter(first) {
            self.answered = true;
            self.extras.note_candidate(candidate);
            let said = candidate.content.as_ref();
            for raw in said
                .and_then(|said| said.parts.as_ref())
                .into_iter()
                .flatten()
            {
                self.take_part(raw, out)?;
            }
            if let Some(word) = candidate.finish_reason.as_deref()
                && !word.is_empty()
            {
                word.clone_into(&mut self.finish);
            }
        }
        Ok(())
    }

    fn take_part(&mut self, raw: &RawValue, out: &mut Vec<Delta>) -> Result<(), Fault> {
        let part: ReadPart<'_> = serde_json::from_str(raw.get())
            .map_err(|_error| fault::broken_stream("a part of the answer is none"))?;
        if part.is_foreign() {
            self.push(Growing::Foreign(raw.to_owned()), out);
            return Ok(());
        }
        if let Some(blob) = &part.inline_data {
            let signature = part.thought_signature.as_deref();
            let media = media_of(blob, signature, part.thought.unwrap_or(false))?;
            self.media.extend(media);
            return Ok(());
        }
        if let Some(call) = &part.function_call {
            let name = call.name.as_deref().filter(|name| !name.is_empty());
            let name = name.ok_or_else(|| {
                fault::broken_stream("the provider sent a tool call without a name")
            })?;
            let call = Growing::Call {
                id: (self.mint)(),
                name: Names::new(&self.tools).to_own(name).to_owned(),
                arguments: call.args.map_or("", RawValue::get).to_owned(),
                provider_id: call
                    .id
                    .as_deref()
                    .filter(|id| !id.is_empty())
                    .map(str::to_owned),
                signature: part.thought_signature.as_deref().map(str::to_owned),
            };
            self.push(call, out);
            return Ok(());
        }
        self.take_text(&part, out);
        Ok(())
    }

    fn take_text(&mut self, part: &ReadPart<'_>, out: &mut Vec<Delta>) {
        let words = part.text.as_deref().unwrap_or_default();
        let thought = part.thought.unwrap_or(false);
        let Some(signature) = part.thought_signature.as_deref() else {
            if words.is_empty() {
                return;
            }
            if let Some(last) = self.parts.last_mut()
                && last.extend(words, thought)
            {
                let grown = grown_text(words, thought);
                out.push(Delta {
                    part_index: index_of(self.parts.len() - 1),
                    grown,
                });
                return;
            }
            self.push(Growing::text(words, thought, None), out);
            return;
        };
        self.push(Growing::text(words, thought, Some(signature)), out);
    }

    fn push(&mut self, part: Growing, out: &mut Vec<Delta>) {
        part.show(index_of(self.parts.len()), out);
        self.parts.push(part);
    }

    /// The answer, complete or not.
    fn complete(&mut self) -> Completion {
        let finish_reason = self.finish_reason();
        let grown = std::mem::take(&mut self.parts).into_iter();
        let mut parts: Vec<_> = grown.map(Growing::into_part).collect();
        parts.append(&mut self.media);
        let end = End {
            reason: finish_reason,
            word: &std::mem::take(&mut self.finish),
            usage: self.usage,
            metadata: draft::metadata(&self.extras),
        };
        end.of(self.model.clone(), parts)
    }

    fn finish_reason(&self) -> FinishReason {
        let called = self.parts.iter().any(Growing::is_call);
        match &*self.finish {
            _ if self.blocked => FinishReason::ContentFilter,
            // There is no word of its own for a turn that ends in calls.
            "" | "STOP" if called => FinishReason::ToolCalls,
            "" | "STOP" => FinishReason::Stop,
            "MAX_TOKENS" => FinishReason::Length,
            "SAFETY"
            | "RECITATION"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION"
            | "MODEL_ARMOR"
            | "ESCALATION"
            | "PUP_LIMITED_DISABLED" => FinishReason::ContentFilter,
            _ => FinishReason::Other,
        }
    }

    const fn progress(&self) -> Progress {
        if self.finish.is_empty() {
            Progress::Open
        } else {
            Progress::Complete
        }
    }
}

impl Assemble for Assembler {
    fn feed(&mut self, frame: Frame<'_>, out: &mut Vec<Delta>) -> Result<Progress, Fault> {
        let data = frame.data.trim_ascii();
        let chunk: Chunk<'_> = match serde_json::from_slice(data) {
            Ok(chunk) => chunk,
            // An event of a name that the protocol does not have is the vendor's own affair.
            Err(_error) if !matches!(frame.event, "" | "message" | "error") => {
                return Ok(self.progress());
            }
            Err(_error) if data == b"[DONE]" => return Ok(self.progress()),
            Err(_error) => {
                return Err(fault::broken_stream(
                    "a chunk of the answer is not the JSON of one",
                ));
            }
        };
        if is_error(&chunk) || frame.event == "error" {
            return Err(error::in_band(data, Reason::ProviderStreamBroken));
        }
        self.take(&chunk, out)?;
        Ok(self.progress())
    }

    fn finish(mut self: Box<Self>, _out: &mut Vec<Delta>) -> Result<Completion, Fault> {
        if self.finish.is_empty() {
            return Err(fault::broken_stream(
                "the stream ended before the model said why it stopped",
            ));
        }
        Ok(self.complete())
    }
}

impl Extras {
    /// Remembers the first of each.
    fn note(&mut self, chunk: &Chunk<'_>) {
        for (slot, found) in [
            (&mut self.id, chunk.response_id),
            (&mut self.model, chunk.model_version),
        ] {
            if slot.is_none()
                && let Some(found) = found.filter(|raw| !is_empty(raw))
            {
                *slot = Some(found.to_owned());
            }
        }
    }

    /// Remembers the last of each: they grow with the answer. Probabilities come piece by piece.
    fn note_candidate(&mut self, candidate: &Candidate<'_>) {
        for (slot, found) in [
            (&mut self.finish_message, candidate.finish_message),
            (&mut self.safety_ratings, candidate.safety_ratings),
            (&mut self.citation_metadata, candidate.citation_metadata),
            (&mut self.grounding_metadata, candidate.grounding_metadata),
            (
                &mut self.url_context_metadata,
                candidate.url_context_metadata,
            ),
        ] {
            if let Some(found) = found.filter(|raw| !is_empty(raw)) {
                *slot = Some(found.to_owned());
            }
        }
        let logprobs = candidate.logprobs_result.filter(|raw| !is_empty(raw));
        self.logprobs.extend(logprobs.map(ToOwned::to_owned));
    }
}

fn index_of(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

fn grown_text(words: &str, thought: bool) -> Grown {
    if thought {
        Grown::Reasoning(words.to_owned())
    } else {
        Grown::Text(words.to_owned())
    }
}

/// Totals that include their parts: thoughts are counted beside the answer, cached tokens within the
/// prompt, and what the provider's own tools have read beside it.
fn usage_of(wire: &WireUsage) -> Usage {
    let tools = wire.tool_use_prompt_token_count.unwrap_or(0);
    let thoughts = wire.thoughts_token_count.unwrap_or(0);
    Usage {
        input_tokens: wire.prompt_token_count.unwrap_or(0).saturating_add(tools),
        cache_read_tokens: wire.cached_content_token_count.unwrap_or(0),
        cache_write_tokens: 0,
        output_tokens: wire
            .candidates_token_count
            .unwrap_or(0)
            .saturating_add(thoughts),
        reasoning_tokens: thoughts,
    }
}

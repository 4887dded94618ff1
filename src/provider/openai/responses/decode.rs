//! Reads answers. A stream is put together item by item; a whole answer is all items at once.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    kept,
    wire::{Event, Response, Said, SaidPart, Usage as WireUsage},
};
use crate::{
    domain::{
        completion::{Completion, Delta},
        fault::{Fault, Reason},
        model::{FinishReason, Usage},
    },
    provider::{
        draft::{self, Draft, End, Slot},
        fault::{self, Words},
        openai::FAMILY,
        protocol::{Assemble, Frame, Progress, Turn},
    },
};

/// Reads an answer that came in one piece.
///
/// # Errors
/// When it is no answer, or an error under a status of success.
pub(crate) fn decode(turn: Turn, body: &[u8]) -> Result<Completion, Fault> {
    let response: Response<'_> = serde_json::from_slice(body).map_err(|_error| {
        fault::invalid_response("the provider's answer is not the JSON of one")
    })?;
    let mut assembler = Box::new(Assembler::new(turn));
    let mut unseen = Vec::new();
    assembler
        .end_with(&response, &mut unseen)
        .and_then(|()| assembler.finish(&mut unseen))
        .map_err(fault::of_whole)
}

/// Puts an answer together.
pub(crate) struct Assembler {
    draft: Draft,
    /// The part of each item, by the item's index.
    items: BTreeMap<u64, Growing>,
    refused: bool,
    extras: Extras,
    end: Option<(FinishReason, String, Usage)>,
}

/// An item that grows.
#[derive(Default)]
struct Growing {
    slot: Slot,
    /// Which part of a summary it is at.
    summary: u64,
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
    service_tier: Option<Box<RawValue>>,
}

impl Assembler {
    /// For an answer of which nothing has come as yet.
    pub(crate) fn new(turn: Turn) -> Self {
        let request_id = turn.header("x-request-id");
        Self {
            draft: Draft::new(turn),
            items: BTreeMap::new(),
            refused: false,
            extras: Extras {
                request_id,
                ..Extras::default()
            },
            end: None,
        }
    }

    /// An item that has begun: of interest when it is a call.
    fn begin(&mut self, index: u64, said: &Said<'_>, out: &mut Vec<Delta>) -> Result<(), Fault> {
        let growing = self.items.entry(index).or_default();
        if said.kind == "function_call" && growing.slot.is_none() {
            growing.slot = Some(
                self.draft
                    .call(said.name.as_deref().unwrap_or_default(), out)?,
            );
        }
        Ok(())
    }

    /// An item that is whole: what had not come by pieces is added.
    fn complete(&mut self, index: u64, raw: &RawValue, out: &mut Vec<Delta>) -> Result<(), Fault> {
        let said = read(raw)?;
        match &*said.kind {
            "function_call" => {
                self.begin(index, &said, out)?;
                let growing = self.items.entry(index).or_default();
                let Some(at) = growing.slot else {
                    return Ok(());
                };
                if self.draft.len(at) == 0 {
                    let arguments = said.arguments.as_deref().unwrap_or_default();
                    self.draft.arguments(at, arguments, out);
                }
                if let Some(id) = said.call_id.as_deref().filter(|id| !id.is_empty()) {
                    self.draft.keep(at, FAMILY, id);
                }
            }
            "reasoning" => {
                let growing = self.items.entry(index).or_default();
                if growing.slot.is_none() {
                    let whole = joined(said.summary.as_deref().or(said.content.as_deref()));
                    self.draft.reasoning(&mut growing.slot, &whole, out);
                }
                if said.encrypted_content.is_some() {
                    if growing.slot.is_none() {
                        self.draft.hidden_reasoning(&mut growing.slot, "", out);
                    }
                    if let Some(at) = growing.slot {
                        let state = kept::state(self.draft.provider(), raw);
                        self.draft.keep(at, FAMILY, state);
                    }
                }
            }
            "message" => {
                let growing = self.items.entry(index).or_default();
                let parts = said.content.as_deref().unwrap_or_default();
                self.refused |= parts.iter().any(|part| part.refusal.is_some());
                if growing.slot.is_none() {
                    for part in parts {
                        let text = part.text.as_deref().or(part.refusal.as_deref());
                        self.draft
                            .text(&mut growing.slot, text.unwrap_or_default(), out);
                    }
                }
            }
            // Tools of the vendor, which only provider options switch on.
            _ => {}
        }
        Ok(())
    }

    /// The answer has ended, well or not.
    fn end_with(&mut self, response: &Response<'_>, out: &mut Vec<Delta>) -> Result<(), Fault> {
        for (index, item) in (0..).zip(&response.output) {
            if !self.is_complete(index) {
                self.complete(index, item, out)?;
            }
        }
        for (slot, found) in [
            (&mut self.extras.id, response.id),
            (&mut self.extras.model, response.model),
            (&mut self.extras.service_tier, response.service_tier),
        ] {
            *slot = found
                .filter(|raw| raw.get() != "null")
                .map(ToOwned::to_owned);
        }
        let status = response.status.as_deref().unwrap_or_default();
        let detail = response.incomplete_details.as_ref();
        let word = detail
            .and_then(|detail| detail.reason.as_deref())
            .unwrap_or(status);
        let reason = match (status, word) {
            ("completed", _) if self.refused => FinishReason::ContentFilter,
            ("completed", _) if self.draft.has_calls() => FinishReason::ToolCalls,
            ("completed", _) => FinishReason::Stop,
            ("incomplete", "max_output_tokens") => FinishReason::Length,
            ("incomplete", "content_filter") => FinishReason::ContentFilter,
            ("incomplete", _) => FinishReason::Other,
            _ => return Err(failed(response.error)),
        };
        let usage = usage_of(response.usage.unwrap_or_default());
        self.end = Some((reason, word.to_owned(), usage));
        Ok(())
    }

    /// Whether an item's end was seen in the stream. What keeps something for the vendor, has.
    fn is_complete(&self, index: u64) -> bool {
        let growing = self.items.get(&index);
        growing.is_some_and(|growing| growing.slot.is_some())
    }

    fn take(&mut self, event: &Event<'_>, out: &mut Vec<Delta>) -> Result<Progress, Fault> {
        let index = event.output_index;
        let piece = event.delta.as_deref().unwrap_or_default();
        match &*event.kind {
            "response.output_item.added" => {
                if let Some(item) = event.item {
                    self.begin(index, &read(item)?, out)?;
                }
            }
            "response.output_text.delta" | "response.refusal.delta" => {
                self.refused |= event.kind == "response.refusal.delta";
                let growing = self.items.entry(index).or_default();
                self.draft.text(&mut growing.slot, piece, out);
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                let growing = self.items.entry(index).or_default();
                if growing.slot.is_some() && growing.summary != event.summary_index {
                    self.draft.reasoning(&mut growing.slot, "\n\n", out);
                }
                growing.summary = event.summary_index;
                self.draft.reasoning(&mut growing.slot, piece, out);
            }
            "response.function_call_arguments.delta" => {
                let slot = self.items.get(&index).and_then(|growing| growing.slot);
                let Some(at) = slot else {
                    return Err(fault::broken_stream("a piece of a call that never began"));
                };
                self.draft.arguments(at, piece, out);
            }
            "response.output_item.done" => {
                if let Some(item) = event.item {
                    self.complete(index, item, out)?;
                }
            }
            "response.completed" | "response.incomplete" | "response.failed" => {
                let response = event.response.map(|raw| serde_json::from_str(raw.get()));
                let Some(Ok(response)) = response else {
                    return Err(fault::broken_stream("the end of the answer is not whole"));
                };
                self.end_with(&response, out)?;
                return Ok(Progress::Ended);
            }
            // Progress of all kinds, and what is new.
            _ => {}
        }
        Ok(Progress::Open)
    }
}

impl Assemble for Assembler {
    fn feed(&mut self, frame: Frame<'_>, out: &mut Vec<Delta>) -> Result<Progress, Fault> {
        let data = frame.data.trim_ascii();
        if data == b"[DONE]" {
            return Ok(Progress::Open);
        }
        let event: Event<'_> = serde_json::from_slice(data).map_err(|_error| {
            fault::broken_stream("an event of the answer is not the JSON of one")
        })?;
        if event.kind == "error" || event.kind.is_empty() {
            let words = Words::parse(data);
            return Err(fault::of_words(&words, Reason::ProviderStreamBroken));
        }
        self.take(&event, out)
    }

    fn finish(mut self: Box<Self>, _out: &mut Vec<Delta>) -> Result<Completion, Fault> {
        let Some((reason, word, usage)) = self.end.take() else {
            return Err(fault::broken_stream(
                "the stream ended before the provider said how the answer ended",
            ));
        };
        Ok(self.draft.complete(End {
            reason,
            word: &word,
            usage,
            metadata: draft::metadata(&self.extras),
        }))
    }
}

fn read(raw: &RawValue) -> Result<Said<'_>, Fault> {
    serde_json::from_str(raw.get())
        .map_err(|_error| fault::broken_stream("an item of the answer has another shape"))
}

/// The texts of parts, apart as paragraphs.
fn joined(parts: Option<&[SaidPart<'_>]>) -> String {
    let texts = parts.unwrap_or_default().iter();
    let texts: Vec<&str> = texts.filter_map(|part| part.text.as_deref()).collect();
    texts.join("\n\n")
}

fn failed(error: Option<&RawValue>) -> Fault {
    let other = Reason::ProviderStreamBroken;
    match error {
        Some(error) => fault::in_band(error, other),
        None => fault::of_words(&Words::default(), other),
    }
}

fn usage_of(wire: WireUsage) -> Usage {
    let input = wire.input_tokens_details.unwrap_or_default();
    let output = wire.output_tokens_details.unwrap_or_default();
    Usage {
        input_tokens: wire.input_tokens,
        cache_read_tokens: input.cached_tokens,
        cache_write_tokens: input.cache_write_tokens,
        output_tokens: wire.output_tokens,
        reasoning_tokens: output.reasoning_tokens,
    }
}

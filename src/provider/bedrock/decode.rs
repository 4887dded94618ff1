//! Reads answers, whole ones and streams of events.
//!
//! A part's state says what must go back as it came: for a call its id, for reasoning `signature:…` or
//! `redacted:…`. Calls of the vendor's own tools, and their results, are left out.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    ANSWER_TOOL, FAMILY,
    wire::read::{Block, Event, Reasoning, Said, ToolUse, Usage as WireUsage},
};
use crate::{
    domain::{
        completion::{Completion, Delta},
        fault::Fault,
        model::{FinishReason, Usage},
    },
    provider::{
        draft::{Draft, End, Slot, metadata},
        fault,
        protocol::{Assemble, Frame, Progress, Turn},
    },
};

/// Reads an answer that came in one piece.
///
/// # Errors
/// When it is no answer.
pub(super) fn decode(turn: Turn, body: &[u8]) -> Result<Completion, Fault> {
    let said: Said<'_> = serde_json::from_slice(body).map_err(|_error| {
        fault::invalid_response("the provider's answer is not the JSON of one")
    })?;
    let message = said.output.as_ref().and_then(|it| it.message.as_ref());
    let (Some(message), Some(_)) = (message, &said.stop_reason) else {
        return Err(fault::invalid_response(
            "the provider's answer holds no message",
        ));
    };
    let mut assembler = Box::new(Assembler::new(turn));
    let mut unseen = Vec::new();
    assembler.note(&said);
    for (index, block) in (0..).zip(&message.content) {
        assembler
            .whole(index, block, &mut unseen)
            .map_err(fault::of_whole)?;
    }
    assembler.finish(&mut unseen).map_err(fault::of_whole)
}

/// Puts an answer together.
pub(super) struct Assembler {
    draft: Draft,
    /// The tools that were offered have no claim on the name of the answer's own.
    answers_by_tool: bool,
    blocks: BTreeMap<u64, Growing>,
    finish: String,
    usage: Usage,
    extras: Extras,
}

/// What is known of a block that grows.
#[derive(Default)]
struct Growing {
    slot: Slot,
    /// What proves a thought, as far as it has come.
    signature: String,
    /// An encrypted thought, as far as it has come.
    redacted: Vec<u8>,
    kind: Kind,
}

/// What a block is, once it is more than text and thoughts.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    /// Text or thoughts.
    #[default]
    Plain,
    /// A call.
    Call,
    /// The answer by a schema, which comes as a call.
    Answer,
    /// A call of the vendor's own.
    Foreign,
}

/// What the provider says beside the answer.
#[derive(Default, Serialize)]
struct Extras {
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_model_response_fields: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    performance_config: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_details: Option<Box<RawValue>>,
    /// Of all texts, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    citations: Vec<Box<RawValue>>,
}

impl Assembler {
    /// For an answer of which nothing has come as yet.
    pub(super) fn new(turn: Turn) -> Self {
        let request_id = turn.header("x-amzn-requestid");
        let mut tools = turn.tools.iter();
        Self {
            answers_by_tool: !tools.any(|tool| tool.name.as_str() == ANSWER_TOOL),
            draft: Draft::new(turn),
            blocks: BTreeMap::new(),
            finish: String::new(),
            usage: Usage::default(),
            extras: Extras {
                request_id,
                ..Extras::default()
            },
        }
    }

    /// A block that is there as a whole.
    fn whole(&mut self, index: u64, block: &Block<'_>, out: &mut Vec<Delta>) -> Result<(), Fault> {
        if let Some(cited) = &block.citations_content {
            for piece in &cited.content {
                self.text(index, piece.text.as_deref().unwrap_or_default(), out);
            }
            self.extras.cite(cited.citations.iter().copied());
        }
        self.text(index, block.text.as_deref().unwrap_or_default(), out);
        if let Some(call) = &block.tool_use {
            self.begin(index, call, out)?;
            if let Some(input) = call.input {
                self.arguments(index, input.get(), out);
            }
        }
        if let Some(reasoning) = &block.reasoning_content {
            let whole = reasoning.reasoning_text.as_ref();
            let whole = whole.map(|whole| Reasoning {
                reasoning_text: None,
                text: whole.text.clone(),
                signature: whole.signature.clone(),
                redacted_content: None,
            });
            self.reasoning(index, whole.as_ref().unwrap_or(reasoning), out)?;
        }
        Ok(())
    }

    fn text(&mut self, index: u64, piece: &str, out: &mut Vec<Delta>) {
        let block = self.blocks.entry(index).or_default();
        self.draft.text(&mut block.slot, piece, out);
    }

    fn reasoning(
        &mut self,
        index: u64,
        piece: &Reasoning<'_>,
        out: &mut Vec<Delta>,
    ) -> Result<(), Fault> {
        let block = self.blocks.entry(index).or_default();
        let text = piece.text.as_deref().unwrap_or_default();
        self.draft.reasoning(&mut block.slot, text, out);
        if let Some(signature) = &piece.signature {
            block.signature.push_str(signature);
        }
        if let Some(redacted) = &piece.redacted_content {
            let bytes = STANDARD.decode(&**redacted).map_err(|_error| {
                fault::broken_stream("an encrypted thought of the answer is no Base64")
            })?;
            block.redacted.extend(bytes);
        }
        if !block.signature.is_empty() || !block.redacted.is_empty() {
            // A part that shows nothing still takes its place among those that do.
            if block.slot.is_none() {
                self.draft.hidden_reasoning(&mut block.slot, "", out);
            }
        }
        Ok(())
    }

    fn begin(&mut self, index: u64, call: &ToolUse<'_>, out: &mut Vec<Delta>) -> Result<(), Fault> {
        let block = self.blocks.entry(index).or_default();
        if block.slot.is_some() || block.kind != Kind::Plain {
            return Err(fault::broken_stream("a block of the answer begins twice"));
        }
        let name = call.name.as_deref().unwrap_or_default();
        if call.kind.is_some() {
            block.kind = Kind::Foreign;
        } else if self.answers_by_tool && name == ANSWER_TOOL {
            block.kind = Kind::Answer;
        } else {
            let at = self.draft.call(name, out)?;
            block.kind = Kind::Call;
            block.slot = Some(at);
            if let Some(id) = call.tool_use_id.as_deref().filter(|id| !id.is_empty()) {
                self.draft.keep(at, FAMILY, id);
            }
        }
        Ok(())
    }

    fn arguments(&mut self, index: u64, piece: &str, out: &mut Vec<Delta>) {
        let Some(block) = self.blocks.get_mut(&index) else {
            return;
        };
        match (block.kind, block.slot) {
            (Kind::Answer, _) => self.draft.text(&mut block.slot, piece, out),
            (Kind::Call, Some(at)) => self.draft.arguments(at, piece, out),
            (Kind::Call | Kind::Plain | Kind::Foreign, _) => {}
        }
    }

    /// Notes what is said of the answer.
    fn note(&mut self, said: &Said<'_>) {
        self.extras.note(said);
        if let Some(usage) = &said.usage {
            self.usage = usage_of(usage);
        }
        if let Some(word) = said.stop_reason.as_deref() {
            word.clone_into(&mut self.finish);
        }
    }

    fn grow(&mut self, event: &Event<'_>, out: &mut Vec<Delta>) -> Result<(), Fault> {
        let index = event.content_block_index.ok_or_else(unplaced)?;
        let Some(delta) = &event.delta else {
            return Err(fault::broken_stream("an event of the answer lacks a piece"));
        };
        self.text(index, delta.text.as_deref().unwrap_or_default(), out);
        self.extras.cite(delta.citation);
        if let Some(reasoning) = &delta.reasoning_content {
            self.reasoning(index, reasoning, out)?;
        }
        if let Some(call) = &delta.tool_use {
            let begun = self.blocks.get(&index).map(|block| block.kind);
            if matches!(begun, None | Some(Kind::Plain)) {
                return Err(fault::broken_stream("a piece of a call that never began"));
            }
            let piece: String = match call.input {
                Some(input) => serde_json::from_str(input.get()).map_err(|_error| garbage())?,
                None => String::new(),
            };
            self.arguments(index, &piece, out);
        }
        Ok(())
    }
}

impl Assemble for Assembler {
    fn feed(&mut self, frame: Frame<'_>, out: &mut Vec<Delta>) -> Result<Progress, Fault> {
        match frame.event {
            "contentBlockStart" => {
                let event: Event<'_> = read(frame)?;
                let index = event.content_block_index.ok_or_else(unplaced)?;
                if let Some(call) = event.start.and_then(|start| start.tool_use) {
                    self.begin(index, &call, out)?;
                }
            }
            "contentBlockDelta" => self.grow(&read(frame)?, out)?,
            "messageStop" => {
                self.note(&read(frame)?);
                if self.finish.is_empty() {
                    return Err(fault::broken_stream(
                        "the stream ended before the model said why it stopped",
                    ));
                }
            }
            "metadata" => {
                self.note(&read(frame)?);
                if !self.finish.is_empty() {
                    return Ok(Progress::Ended);
                }
            }
            // The beginning of the message, ends of blocks, and what is new.
            _ => {}
        }
        Ok(if self.finish.is_empty() {
            Progress::Open
        } else {
            Progress::Complete
        })
    }

    fn finish(mut self: Box<Self>, _out: &mut Vec<Delta>) -> Result<Completion, Fault> {
        if self.finish.is_empty() {
            return Err(fault::broken_stream(
                "the stream ended before the model said why it stopped",
            ));
        }
        for block in std::mem::take(&mut self.blocks).into_values() {
            let Some(at) = block.slot else { continue };
            if !block.redacted.is_empty() {
                let state = format!("redacted:{}", STANDARD.encode(&block.redacted));
                self.draft.keep(at, FAMILY, state);
            } else if !block.signature.is_empty() {
                let state = format!("signature:{}", block.signature);
                self.draft.keep(at, FAMILY, state);
            }
        }
        let reason = finish_reason(&self.finish, self.draft.has_calls());
        Ok(self.draft.complete(End {
            reason,
            word: &self.finish,
            usage: self.usage,
            metadata: metadata(&self.extras),
        }))
    }
}

impl Extras {
    fn note(&mut self, said: &Said<'_>) {
        let details = said.usage.as_ref().and_then(|usage| usage.cache_details);
        for (slot, found) in [
            (&mut self.metrics, said.metrics),
            (&mut self.trace, said.trace),
            (
                &mut self.additional_model_response_fields,
                said.additional_model_response_fields,
            ),
            (&mut self.performance_config, said.performance_config),
            (&mut self.service_tier, said.service_tier),
            (&mut self.cache_details, details),
        ] {
            if let Some(found) = found.filter(|raw| raw.get() != "null") {
                *slot = Some(found.to_owned());
            }
        }
    }

    fn cite<'a>(&mut self, citations: impl IntoIterator<Item = &'a RawValue>) {
        let citations = citations.into_iter().map(RawValue::to_owned);
        self.citations.extend(citations);
    }
}

fn read<'a, T: Deserialize<'a>>(frame: Frame<'a>) -> Result<T, Fault> {
    serde_json::from_slice(frame.data).map_err(|_error| garbage())
}

fn garbage() -> Fault {
    fault::broken_stream("an event of the answer is not the JSON of one")
}

fn unplaced() -> Fault {
    fault::broken_stream("an event of the answer does not say what block it is about")
}

/// Totals that include their parts: on the wire input that touches a cache is counted apart.
fn usage_of(wire: &WireUsage<'_>) -> Usage {
    let read = wire.cache_read_input_tokens.unwrap_or(0);
    let written = wire.cache_write_input_tokens.unwrap_or(0);
    let uncached = wire.input_tokens.unwrap_or(0);
    Usage {
        input_tokens: uncached.saturating_add(read).saturating_add(written),
        cache_read_tokens: read,
        cache_write_tokens: written,
        output_tokens: wire.output_tokens.unwrap_or(0),
        // The vendor does not tell them apart.
        reasoning_tokens: 0,
    }
}

fn finish_reason(word: &str, called: bool) -> FinishReason {
    match word {
        "end_turn" | "stop_sequence" | "tool_use" if called => FinishReason::ToolCalls,
        // `tool_use` without a call: the answer itself came as one.
        "end_turn" | "stop_sequence" | "tool_use" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "guardrail_intervened" | "content_filtered" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    }
}

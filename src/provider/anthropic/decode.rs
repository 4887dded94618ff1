//! Reads answers. One assembler for streams and for whole answers: the latter's blocks begin complete.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    ANSWER_TOOL,
    wire::read::{Begun, Event, Piece, Said, Usage as WireUsage},
};
use crate::{
    domain::{
        completion::{Completion, Delta},
        fault::{Fault, Reason},
        id::CallId,
        model::{FinishReason, ModelRef, Usage},
        tool::ToolSpec,
    },
    provider::{
        draft::{self, End},
        fault,
        names::PlainNames,
        protocol::{Assemble, Frame, Mint, Progress, Turn},
    },
};

mod block;

use block::Block;

/// Reads an answer that came in one piece.
///
/// # Errors
/// When it is no answer, or an error under a status of success.
pub(crate) fn decode(turn: Turn, body: &[u8]) -> Result<Completion, Fault> {
    let said: Said<'_> = serde_json::from_slice(body).map_err(|_error| {
        fault::invalid_response("the provider's answer is not the JSON of one")
    })?;
    if let Some(error) = said.error {
        return Err(fault::in_band(error, Reason::ProviderUnavailable));
    }
    if said.content.is_none() || said.stop_reason.is_none() {
        return Err(fault::invalid_response(
            "the provider's answer holds no message",
        ));
    }
    let mut assembler = Assembler::new(turn);
    let mut unseen = Vec::new();
    let whole = assembler.take_whole(&said, &mut unseen);
    whole
        .and_then(|()| assembler.complete(&mut unseen))
        .map_err(fault::of_whole)
}

/// Puts an answer together.
pub(crate) struct Assembler {
    around: Around,
    model: ModelRef,
    /// The blocks with their indexes on the wire, in the order they began.
    blocks: Vec<(u64, Block)>,
    finish: String,
    tokens: Tokens,
    extras: Extras,
}

/// What the blocks share: where places, ids and names come from.
pub(crate) struct Around {
    mint: Mint,
    tools: Arc<[Arc<ToolSpec>]>,
    parts: u32,
}

/// The newest numbers that the provider gave.
#[derive(Clone, Copy, Default)]
struct Tokens {
    uncached: u64,
    written: u64,
    read: u64,
    output: u64,
    thinking: u64,
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
    stop_sequence: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_details: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_creation: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_tool_use: Option<Box<RawValue>>,
    /// Of all texts, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    citations: Vec<Box<RawValue>>,
}

impl Assembler {
    /// For an answer of which nothing has come as yet.
    pub(crate) fn new(turn: Turn) -> Self {
        // On Bedrock and Vertex the header is the host's.
        let request_id = turn.header("request-id");
        let request_id = request_id.or_else(|| turn.header("x-amzn-requestid"));
        Self {
            around: Around {
                mint: turn.mint,
                tools: turn.tools,
                parts: 0,
            },
            model: turn.model,
            blocks: Vec::new(),
            finish: String::new(),
            tokens: Tokens::default(),
            extras: Extras {
                request_id,
                ..Extras::default()
            },
        }
    }

    fn take_whole(&mut self, said: &Said<'_>, out: &mut Vec<Delta>) -> Result<(), Fault> {
        self.note(said);
        for (index, raw) in (0..).zip(said.content.iter().flatten()) {
            self.begin(index, raw, out)?;
            self.close(index, out);
        }
        Ok(())
    }

    /// Notes what is said of the answer.
    fn note(&mut self, said: &Said<'_>) {
        self.extras.note(said);
        if let Some(usage) = &said.usage {
            self.take_usage(usage);
        }
        if let Some(word) = said.stop_reason.as_deref()
            && !word.is_empty()
        {
            word.clone_into(&mut self.finish);
        }
    }

    fn take_usage(&mut self, usage: &WireUsage<'_>) {
        self.tokens.take(usage);
        self.extras.note_usage(usage);
    }

    fn begin(&mut self, index: u64, raw: &RawValue, out: &mut Vec<Delta>) -> Result<(), Fault> {
        let begun: Begun<'_> = serde_json::from_str(raw.get())
            .map_err(|_error| fault::broken_stream("a block of the answer is none"))?;
        if self.blocks.iter().any(|(known, _)| *known == index) {
            return Err(fault::broken_stream("a block of the answer begins twice"));
        }
        self.extras.cite(begun.citations.iter().flatten().copied());
        let block = Block::begin(&begun, raw, &mut self.around, out)?;
        self.blocks.push((index, block));
        Ok(())
    }

    fn grow(&mut self, index: u64, raw: &RawValue, out: &mut Vec<Delta>) -> Result<(), Fault> {
        let piece: Piece<'_> = serde_json::from_str(raw.get())
            .map_err(|_error| fault::broken_stream("a piece of the answer is none"))?;
        self.extras.cite(piece.citation);
        let block = self
            .blocks
            .iter_mut()
            .rev()
            .find(|(known, _)| *known == index);
        let Some((_, block)) = block else {
            return Err(fault::broken_stream(
                "a piece of the answer belongs to a block that has not begun",
            ));
        };
        block.grow(&piece, &mut self.around, out);
        Ok(())
    }

    fn close(&mut self, index: u64, out: &mut Vec<Delta>) {
        let block = self
            .blocks
            .iter_mut()
            .rev()
            .find(|(known, _)| *known == index);
        if let Some((_, block)) = block {
            block.close(&mut self.around, out);
        }
    }

    fn complete(&mut self, out: &mut Vec<Delta>) -> Result<Completion, Fault> {
        let mut blocks = std::mem::take(&mut self.blocks);
        // A server that forgets to close a block has still ended its answer.
        for (_, block) in &mut blocks {
            block.close(&mut self.around, out);
        }
        blocks.sort_by_key(|(_, block)| block.place());
        let called = blocks.iter().any(|(_, block)| block.is_call());
        let mut parts = Vec::with_capacity(blocks.len());
        for (_, block) in blocks {
            parts.extend(block.into_part()?);
        }
        let end = End {
            reason: finish_reason(&self.finish, called),
            word: &std::mem::take(&mut self.finish),
            usage: self.tokens.usage(),
            metadata: draft::metadata(&self.extras),
        };
        Ok(end.of(self.model.clone(), parts))
    }

    const fn progress(&self) -> Progress {
        if self.finish.is_empty() {
            Progress::Open
        } else {
            Progress::Complete
        }
    }

    fn take(&mut self, event: &Event<'_>, out: &mut Vec<Delta>) -> Result<Progress, Fault> {
        let missing = || fault::broken_stream("an event of the answer lacks what it is about");
        match event.kind.as_deref().unwrap_or_default() {
            "message_start" => self.note(event.message.as_ref().ok_or_else(missing)?),
            "content_block_start" => {
                let block = event.content_block.ok_or_else(missing)?;
                self.begin(event.index.ok_or_else(missing)?, block, out)?;
            }
            "content_block_delta" => {
                let piece = event.delta.ok_or_else(missing)?;
                self.grow(event.index.ok_or_else(missing)?, piece, out)?;
            }
            "content_block_stop" => self.close(event.index.ok_or_else(missing)?, out),
            "message_delta" => {
                if let Some(usage) = &event.usage {
                    self.take_usage(usage);
                }
                let end: Said<'_> = serde_json::from_str(event.delta.ok_or_else(missing)?.get())
                    .map_err(|_error| missing())?;
                self.note(&end);
            }
            "message_stop" if self.finish.is_empty() => {
                return Err(fault::broken_stream(
                    "the stream ended before the model said why it stopped",
                ));
            }
            "message_stop" => return Ok(Progress::Ended),
            "" => return Err(missing()),
            // `ping`, and events that are newer than this.
            _ => {}
        }
        Ok(self.progress())
    }
}

impl Assemble for Assembler {
    fn feed(&mut self, frame: Frame<'_>, out: &mut Vec<Delta>) -> Result<Progress, Fault> {
        let event: Event<'_> = match serde_json::from_slice(frame.data) {
            Ok(event) => event,
            // An event of a name that the protocol does not have is the vendor's own affair.
            Err(_error) if !is_known(frame.event) => return Ok(self.progress()),
            Err(_error) => {
                return Err(fault::broken_stream(
                    "an event of the answer is not the JSON of one",
                ));
            }
        };
        if let Some(error) = event.error {
            return Err(fault::in_band(error, Reason::ProviderStreamBroken));
        }
        self.take(&event, out)
    }

    fn finish(mut self: Box<Self>, out: &mut Vec<Delta>) -> Result<Completion, Fault> {
        if self.finish.is_empty() {
            return Err(fault::broken_stream(
                "the stream ended before the model said why it stopped",
            ));
        }
        self.complete(out)
    }
}

impl Around {
    /// The place of a new part.
    pub(crate) const fn place(&mut self) -> u32 {
        let place = self.parts;
        self.parts = self.parts.saturating_add(1);
        place
    }

    /// A new id for a call.
    pub(crate) fn mint(&mut self) -> CallId {
        (self.mint)()
    }

    /// The tool's own name for what the model wrote.
    pub(crate) fn own_name(&self, wire: &str) -> String {
        PlainNames::new(&self.tools).to_own(wire).to_owned()
    }

    /// Whether a call of this name is no call but the answer by a schema.
    pub(crate) fn is_answer(&self, wire: &str) -> bool {
        wire == ANSWER_TOOL && !self.tools.iter().any(|tool| tool.name.as_str() == wire)
    }
}

impl Tokens {
    fn take(&mut self, usage: &WireUsage<'_>) {
        let thinking = usage
            .output_tokens_details
            .and_then(|details| details.thinking_tokens);
        for (slot, found) in [
            (&mut self.uncached, usage.input_tokens),
            (&mut self.written, usage.cache_creation_input_tokens),
            (&mut self.read, usage.cache_read_input_tokens),
            (&mut self.output, usage.output_tokens),
            (&mut self.thinking, thinking),
        ] {
            *slot = found.unwrap_or(*slot);
        }
    }

    /// Totals that include their parts: on the wire input that touches a cache is counted apart.
    const fn usage(self) -> Usage {
        Usage {
            input_tokens: self
                .uncached
                .saturating_add(self.written)
                .saturating_add(self.read),
            cache_read_tokens: self.read,
            cache_write_tokens: self.written,
            output_tokens: self.output,
            reasoning_tokens: self.thinking,
        }
    }
}

impl Extras {
    fn note(&mut self, said: &Said<'_>) {
        keep(&mut self.id, said.id);
        keep(&mut self.model, said.model);
        keep(&mut self.stop_sequence, said.stop_sequence);
        keep(&mut self.stop_details, said.stop_details);
        keep(&mut self.container, said.container);
    }

    fn note_usage(&mut self, usage: &WireUsage<'_>) {
        keep(&mut self.service_tier, usage.service_tier);
        keep(&mut self.cache_creation, usage.cache_creation);
        keep(&mut self.server_tool_use, usage.server_tool_use);
    }

    fn cite<'a>(&mut self, citations: impl IntoIterator<Item = &'a RawValue>) {
        let citations = citations.into_iter().map(RawValue::to_owned);
        self.citations.extend(citations);
    }
}

/// Keeps what was said last, if it says anything.
fn keep(slot: &mut Option<Box<RawValue>>, found: Option<&RawValue>) {
    if let Some(found) = found.filter(|raw| raw.get() != "null") {
        *slot = Some(found.to_owned());
    }
}

fn finish_reason(word: &str, called: bool) -> FinishReason {
    match word {
        "end_turn" | "stop_sequence" | "tool_use" if called => FinishReason::ToolCalls,
        // `tool_use` without a call: the answer itself came as one.
        "end_turn" | "stop_sequence" | "tool_use" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "refusal" => FinishReason::ContentFilter,
        // `pause_turn`: the vendor's own tools want another turn.
        _ => FinishReason::Other,
    }
}

fn is_known(event: &str) -> bool {
    [
        "",
        "message",
        "message_start",
        "message_delta",
        "message_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "error",
    ]
    .contains(&event)
}

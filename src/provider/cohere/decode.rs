//! Reads answers, whole ones and streams of events.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    FAMILY,
    wire::{
        Answer, Event, Grown, GrownCall, GrownCitation, GrownContent, GrownPlan, Piece, SaidCall,
        Usage as WireUsage,
    },
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
        protocol::{Assemble, Frame, Progress, Turn},
    },
};

/// Reads an answer that came in one piece.
///
/// # Errors
/// When it is no answer, or an error under a status of success.
pub(crate) fn decode(turn: Turn, body: &[u8]) -> Result<Completion, Fault> {
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|_error| {
        fault::invalid_response("the provider's answer is not the JSON of one")
    })?;
    let (Some(said), Some(word)) = (&answer.message, &answer.finish_reason) else {
        let words = Words::parse(body);
        return Err(fault::of_words(&words, Reason::ProviderResponseInvalid));
    };
    let mut assembler = Box::new(Assembler::new(turn));
    let mut unseen = Vec::new();
    assembler.extras.id = answer.id.as_deref().map(str::to_owned);
    assembler.plan(said.tool_plan.as_deref().unwrap_or_default(), &mut unseen);
    for (index, piece) in (0..).zip(said.content.iter().flatten()) {
        assembler.piece(index, piece, &mut unseen);
    }
    for (index, call) in (0..).zip(said.tool_calls.iter().flatten()) {
        assembler.begin_call(index, call, &mut unseen)?;
    }
    let citations = said.citations.iter().flatten();
    assembler.extras.citations = citations.map(|raw| (*raw).to_owned()).collect();
    assembler.end = Some((word.to_string(), answer.usage.unwrap_or_default()));
    assembler.finish(&mut unseen).map_err(|mut fault| {
        if fault.reason == Reason::ProviderStreamBroken {
            fault.reason = Reason::ProviderUnavailable;
        }
        fault
    })
}

/// Puts an answer together.
pub(crate) struct Assembler {
    draft: Draft,
    plan: Slot,
    /// The parts of the contents, by index and by whether it is text.
    contents: BTreeMap<(u64, bool), Slot>,
    /// The parts of the calls, by index.
    calls: BTreeMap<u64, usize>,
    extras: Extras,
    /// What the vendor says went wrong, in lower case. Never shown.
    error: String,
    end: Option<(String, WireUsage)>,
}

/// What the provider says beside the answer.
#[derive(Default, Serialize)]
struct Extras {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    citations: Vec<Box<RawValue>>,
}

impl Assembler {
    /// For an answer of which nothing has come as yet.
    pub(crate) fn new(turn: Turn) -> Self {
        Self {
            draft: Draft::new(turn),
            plan: None,
            contents: BTreeMap::new(),
            calls: BTreeMap::new(),
            extras: Extras::default(),
            error: String::new(),
            end: None,
        }
    }

    fn plan(&mut self, piece: &str, out: &mut Vec<Delta>) {
        self.draft.text(&mut self.plan, piece, out);
    }

    fn piece(&mut self, index: u64, piece: &Piece<'_>, out: &mut Vec<Delta>) {
        if let Some(thinking) = &piece.thinking {
            let slot = self.contents.entry((index, false)).or_default();
            self.draft.reasoning(slot, thinking, out);
        }
        if let Some(text) = &piece.text {
            let slot = self.contents.entry((index, true)).or_default();
            self.draft.text(slot, text, out);
        }
    }

    fn begin_call(
        &mut self,
        index: u64,
        call: &SaidCall<'_>,
        out: &mut Vec<Delta>,
    ) -> Result<(), Fault> {
        let function = call.function.as_ref();
        let name = function.and_then(|function| function.name.as_deref());
        let at = self.draft.call(name.unwrap_or_default(), out)?;
        if let Some(id) = call.id.as_deref().filter(|id| !id.is_empty()) {
            self.draft.keep(at, FAMILY, id);
        }
        self.calls.insert(index, at);
        self.grow_call(index, call, out)
    }

    fn grow_call(
        &mut self,
        index: u64,
        call: &SaidCall<'_>,
        out: &mut Vec<Delta>,
    ) -> Result<(), Fault> {
        let Some(at) = self.calls.get(&index) else {
            return Err(fault::broken_stream("a piece of a call that never began"));
        };
        let function = call.function.as_ref();
        if let Some(arguments) = function.and_then(|function| function.arguments.as_deref()) {
            self.draft.arguments(*at, arguments, out);
        }
        Ok(())
    }

    /// What an answer that ended in an error means. There are words for it at most, and no code.
    fn failure(&mut self, word: &str) -> Fault {
        let words = Words {
            message: std::mem::take(&mut self.error),
            status: (word == "TIMEOUT").then_some(StatusCode::GATEWAY_TIMEOUT),
            ..Words::default()
        };
        fault::of_words(&words, Reason::ProviderStreamBroken)
    }

    fn take(&mut self, event: &Event<'_>, out: &mut Vec<Delta>) -> Result<Progress, Fault> {
        let index = event.index.unwrap_or(0);
        let grown = event.delta.as_ref();
        match &*event.kind {
            "message-start" => self.extras.id = event.id.as_deref().map(str::to_owned),
            "content-start" | "content-delta" => {
                if let Some(GrownContent { content }) = message(grown)? {
                    self.piece(index, &content, out);
                }
            }
            "tool-plan-delta" => {
                if let Some(GrownPlan { tool_plan }) = message(grown)? {
                    self.plan(&tool_plan, out);
                }
            }
            "tool-call-start" => {
                if let Some(GrownCall { tool_calls }) = message(grown)? {
                    self.begin_call(index, &tool_calls, out)?;
                }
            }
            "tool-call-delta" => {
                if let Some(GrownCall { tool_calls }) = message(grown)? {
                    self.grow_call(index, &tool_calls, out)?;
                }
            }
            "citation-start" => {
                if let Some(GrownCitation { citations }) = message(grown)? {
                    self.extras.citations.push(citations.to_owned());
                }
            }
            "message-end" => {
                let word = grown.and_then(|grown| grown.finish_reason.as_deref());
                let error = grown.and_then(|grown| grown.error.as_deref());
                let usage = grown.and_then(|grown| grown.usage).unwrap_or_default();
                self.error = error.unwrap_or_default().to_lowercase();
                self.end = Some((word.unwrap_or_default().to_owned(), usage));
                return Ok(Progress::Ended);
            }
            // Ends of parts, and what is new.
            _ => {}
        }
        Ok(Progress::Open)
    }
}

impl Assemble for Assembler {
    fn feed(&mut self, frame: Frame<'_>, out: &mut Vec<Delta>) -> Result<Progress, Fault> {
        if frame.data.trim_ascii() == b"[DONE]" {
            return Ok(Progress::Open);
        }
        let event: Event<'_> = serde_json::from_slice(frame.data).map_err(|_error| {
            fault::broken_stream("an event of the answer is not the JSON of one")
        })?;
        if event.kind.is_empty() {
            // An error has no type.
            let words = Words::parse(frame.data);
            return Err(fault::of_words(&words, Reason::ProviderStreamBroken));
        }
        self.take(&event, out)
    }

    fn finish(mut self: Box<Self>, _out: &mut Vec<Delta>) -> Result<Completion, Fault> {
        let Some((word, usage)) = self.end.take() else {
            return Err(fault::broken_stream(
                "the stream ended before the model said why it stopped",
            ));
        };
        let reason = match &*word {
            "COMPLETE" | "STOP_SEQUENCE" | "TOOL_CALL" if self.draft.has_calls() => {
                FinishReason::ToolCalls
            }
            "COMPLETE" | "STOP_SEQUENCE" => FinishReason::Stop,
            "MAX_TOKENS" => FinishReason::Length,
            "ERROR_TOXIC" => FinishReason::ContentFilter,
            "ERROR" | "TIMEOUT" | "" => return Err(self.failure(&word)),
            _ => FinishReason::Other,
        };
        Ok(self.draft.complete(End {
            reason,
            word: &word,
            usage: usage_of(&usage),
            metadata: draft::metadata(&self.extras),
        }))
    }
}

/// The message of an event, in the shape that the event has it.
fn message<'a, T: Deserialize<'a>>(grown: Option<&Grown<'a>>) -> Result<Option<T>, Fault> {
    let raw = grown.and_then(|grown| grown.message);
    raw.map(|raw| serde_json::from_str(raw.get()))
        .transpose()
        .map_err(|_error| fault::broken_stream("an event of the answer has another shape"))
}

fn usage_of(wire: &WireUsage) -> Usage {
    let tokens = wire.tokens.or(wire.billed_units).unwrap_or_default();
    let of = |number: Option<f64>| number.map_or(0, count);
    Usage {
        input_tokens: of(tokens.input_tokens),
        cache_read_tokens: of(wire.cached_tokens),
        output_tokens: of(tokens.output_tokens),
        ..Usage::default()
    }
}

/// A count that came as a floating-point number.
pub(super) fn count(number: f64) -> u64 {
    number as u64
}

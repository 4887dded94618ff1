//! Reads answers. One assembler for streams and for whole answers: the latter are one large chunk.

mod extras;

use std::{borrow::Cow, sync::Arc};

use serde_json::value::RawValue;

use self::extras::{Extras, usage_of};
use super::{
    Quirks, ReasoningField,
    calls::{Calls, Surroundings},
    details::Details,
    think::{Kind, Splitter},
    wire::response::{Choice, Chunk, ContentPart, Said},
};
use crate::{
    domain::{
        completion::{Completion, Delta, Grown},
        fault::{Fault, Reason},
        id::CallId,
        message::{Content, Part},
        model::{FinishReason, Usage},
        tool::ToolSpec,
    },
    provider::{
        draft::{self, End, is_empty},
        fault::{self, Words},
        names::PlainNames,
        protocol::{Assemble, Frame, Mint, Progress, Turn},
    },
};

/// Reads an answer that came in one piece.
///
/// # Errors
/// When it is no answer, or an error under a status of success.
pub(crate) fn decode(quirks: &Quirks, turn: Turn, body: &[u8]) -> Result<Completion, Fault> {
    let chunk: Chunk<'_> = serde_json::from_slice(body).map_err(|_error| {
        fault::invalid_response("the provider's answer is not the JSON of one")
    })?;
    if let Some(fault) = reported(&chunk, body, Reason::ProviderUnavailable) {
        return Err(fault);
    }
    let choice = chunk.choices.iter().flatten().next();
    if choice.is_none_or(|choice| choice.message.is_none()) {
        return Err(fault::invalid_response(
            "the provider's answer holds no message",
        ));
    }
    let mut assembler = Assembler::new(quirks, turn);
    let mut unseen = Vec::new();
    assembler
        .take(&chunk, &mut unseen)
        .and_then(|()| assembler.complete(&mut unseen))
        .map_err(fault::of_whole)
}

/// The outcome of a request that the vendor's filter has refused with a status: nothing was said.
pub(crate) fn filtered(turn: Turn, word: &str) -> Completion {
    let end = End {
        reason: FinishReason::ContentFilter,
        word,
        usage: Usage::default(),
        metadata: String::new(),
    };
    end.of(turn.model, Vec::new())
}

/// What stands at a place among the parts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Text,
    Reasoning,
    Call(usize),
}

/// Puts an answer together.
pub(crate) struct Assembler {
    around: Around,
    model: crate::domain::model::ModelRef,
    splitter: Splitter,
    text: String,
    reasoning: String,
    /// What goes back in place of the reasoning, where the vendor has such.
    details: Option<Details>,
    calls: Calls,
    refused: bool,
    finish: String,
    usage: Usage,
    extras: Extras,
}

/// What the parts share: their order, and where ids and names come from.
struct Around {
    places: Vec<Place>,
    mint: Mint,
    tools: Arc<[Arc<ToolSpec>]>,
}

impl Assembler {
    /// For an answer of which nothing has come as yet.
    pub(crate) fn new(quirks: &Quirks, turn: Turn) -> Self {
        let extras = Extras::new(&turn);
        Self {
            around: Around {
                places: Vec::new(),
                mint: turn.mint,
                tools: turn.tools,
            },
            model: turn.model,
            splitter: Splitter::new(quirks.think_tags),
            text: String::new(),
            reasoning: String::new(),
            details: (quirks.reasoning_back == Some(ReasoningField::Reasoning))
                .then(Details::default),
            calls: Calls::default(),
            refused: false,
            finish: String::new(),
            usage: Usage::default(),
            extras,
        }
    }

    /// Takes a chunk without an error in it.
    fn take(&mut self, chunk: &Chunk<'_>, out: &mut Vec<Delta>) -> Result<(), Fault> {
        self.extras.note(chunk);
        if let Some(usage) = &chunk.usage {
            self.usage = usage_of(usage);
        }
        // Asked for by provider options, several answers may come; the first one is the answer.
        let first = |choice: &&Choice<'_>| choice.index.unwrap_or(0) == 0;
        for choice in chunk.choices.iter().flatten().filter(first) {
            if let Some(said) = choice.delta.as_ref().or(choice.message.as_ref()) {
                self.take_said(said, choice.delta.is_some(), out)?;
                for (fragment, number) in said.tool_calls.iter().flatten().zip(0..) {
                    // In one piece, each is a call of its own, whatever its id.
                    let index = choice.delta.is_none().then_some(number).or(fragment.index);
                    self.calls.take(fragment, index, &mut self.around, out)?;
                }
            }
            let probabilities = choice
                .logprobs
                .iter()
                .flat_map(|l| l.content.iter().flatten());
            self.extras
                .logprobs
                .extend(probabilities.map(|raw| (*raw).to_owned()));
            if let Some(word) = choice.finish_reason.as_deref()
                && !word.is_empty()
            {
                word.clone_into(&mut self.finish);
            }
        }
        Ok(())
    }

    fn take_said(
        &mut self,
        said: &Said<'_>,
        in_pieces: bool,
        out: &mut Vec<Delta>,
    ) -> Result<(), Fault> {
        for reasoning in [said.reasoning_content, said.reasoning]
            .into_iter()
            .flatten()
        {
            let reasoning = text_of(reasoning)?;
            if !reasoning.is_empty() {
                self.grow(Kind::Reasoning, &reasoning, out);
                break;
            }
        }
        if let (Some(raw), Some(details)) = (said.reasoning_details, &mut self.details) {
            details.take(raw, in_pieces)?;
            if self.reasoning.is_empty() && !details.is_empty() {
                // Reasoning that shows nothing still takes its place.
                self.grow(Kind::Reasoning, "", out);
            }
        }
        if let Some(content) = said.content {
            for (kind, piece) in pieces_of(content)? {
                match kind {
                    Kind::Text => self.split(&piece, out),
                    Kind::Reasoning if piece.is_empty() => {}
                    Kind::Reasoning => self.grow(Kind::Reasoning, &piece, out),
                }
            }
        }
        if let Some(refusal) = said.refusal.as_deref().filter(|text| !text.is_empty()) {
            self.refused = true;
            self.grow(Kind::Text, refusal, out);
        }
        if let Some(annotations) = said.annotations.filter(|raw| !is_empty(raw)) {
            self.extras.annotations = Some(annotations.to_owned());
        }
        Ok(())
    }

    fn split(&mut self, content: &str, out: &mut Vec<Delta>) {
        let mut splitter = std::mem::replace(&mut self.splitter, Splitter::new(false));
        splitter.feed(content, &mut |kind, piece| self.grow(kind, piece, out));
        self.splitter = splitter;
    }

    fn grow(&mut self, kind: Kind, piece: &str, out: &mut Vec<Delta>) {
        let (whole, place, grown) = match kind {
            Kind::Text => (&mut self.text, Place::Text, Grown::Text(piece.to_owned())),
            Kind::Reasoning => (
                &mut self.reasoning,
                Place::Reasoning,
                Grown::Reasoning(piece.to_owned()),
            ),
        };
        whole.push_str(piece);
        out.push(Delta {
            part_index: self.around.index_of(place),
            grown,
        });
    }

    /// The answer, complete or not.
    fn complete(&mut self, out: &mut Vec<Delta>) -> Result<Completion, Fault> {
        let mut splitter = std::mem::replace(&mut self.splitter, Splitter::new(false));
        splitter.finish(&mut |kind, piece| self.grow(kind, piece, out));
        self.calls.check()?;
        let finish_reason = self.finish_reason()?;
        let mut parts = Vec::with_capacity(self.around.places.len());
        for place in &self.around.places {
            parts.push(match place {
                Place::Text => Part::new(Content::Text(std::mem::take(&mut self.text))),
                Place::Reasoning => {
                    let reasoning = std::mem::take(&mut self.reasoning);
                    let mut part = Part::new(Content::Reasoning(reasoning));
                    let details = self.details.take().filter(|details| !details.is_empty());
                    part.provider_state = details.and_then(|details| details.state(&self.model));
                    part
                }
                Place::Call(number) => self.calls.part(*number, &self.around)?,
            });
        }
        let end = End {
            reason: finish_reason,
            word: &std::mem::take(&mut self.finish),
            usage: self.usage,
            metadata: draft::metadata(&self.extras),
        };
        Ok(end.of(self.model.clone(), parts))
    }

    fn finish_reason(&self) -> Result<FinishReason, Fault> {
        let called = !self.calls.is_empty();
        Ok(match &*self.finish {
            _ if self.refused => FinishReason::ContentFilter,
            // Some vendors say "stop" when the model stops to call.
            "" | "stop" | "eos" | "end_turn" | "stop_sequence" if called => FinishReason::ToolCalls,
            "" | "stop" | "eos" | "end_turn" | "stop_sequence" => FinishReason::Stop,
            "tool_calls" | "function_call" if called => FinishReason::ToolCalls,
            "length" | "max_tokens" | "model_length" => FinishReason::Length,
            "content_filter" | "safety" | "SAFETY" => FinishReason::ContentFilter,
            "error" => {
                return Err(fault::broken_stream(
                    "the provider ended its answer in an error",
                ));
            }
            _ => FinishReason::Other,
        })
    }
}

impl Assemble for Assembler {
    fn feed(&mut self, frame: Frame<'_>, out: &mut Vec<Delta>) -> Result<Progress, Fault> {
        let data = frame.data.trim_ascii();
        if data == b"[DONE]" {
            return Ok(Progress::Ended);
        }
        let chunk: Chunk<'_> = match serde_json::from_slice(data) {
            Ok(chunk) => chunk,
            // An event of a name that the protocol does not have is the vendor's own affair.
            Err(_error) if !matches!(frame.event, "" | "message" | "error") => {
                return Ok(self.progress());
            }
            Err(_error) => {
                return Err(fault::broken_stream(
                    "a chunk of the answer is not the JSON of one",
                ));
            }
        };
        if let Some(fault) = reported(&chunk, data, Reason::ProviderStreamBroken) {
            return Err(fault);
        }
        if frame.event == "error" {
            return Err(fault::of_words(
                &Words::parse(data),
                Reason::ProviderStreamBroken,
            ));
        }
        self.take(&chunk, out)?;
        Ok(self.progress())
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

impl Assembler {
    fn progress(&self) -> Progress {
        if self.finish.is_empty() {
            Progress::Open
        } else {
            Progress::Complete
        }
    }
}

impl Around {
    fn index_of(&mut self, place: Place) -> u32 {
        let known = self.places.iter().position(|other| *other == place);
        let index = known.unwrap_or_else(|| {
            self.places.push(place);
            self.places.len() - 1
        });
        u32::try_from(index).unwrap_or(u32::MAX)
    }
}

impl Surroundings for Around {
    fn mint(&mut self) -> CallId {
        (self.mint)()
    }

    fn own_name(&self, wire: &str) -> String {
        PlainNames::new(&self.tools).to_own(wire).to_owned()
    }

    fn place(&mut self, call: usize) -> u32 {
        self.index_of(Place::Call(call))
    }
}

/// The error that a chunk is instead of one.
fn reported(chunk: &Chunk<'_>, data: &[u8], other: Reason) -> Option<Fault> {
    if let Some(error) = chunk.error.filter(|error| error.get() != "null") {
        return Some(fault::in_band(error, other));
    }
    let at_top = chunk
        .object
        .is_some_and(|object| object.get() == "\"error\"");
    at_top.then(|| fault::of_words(&Words::parse(data), other))
}

/// Content as text: a string, or the texts of an array of parts. Anything else is nothing.
fn text_of(raw: &RawValue) -> Result<Cow<'_, str>, Fault> {
    let mut pieces = pieces_of(raw)?;
    if pieces.len() > 1 {
        let whole: String = pieces.into_iter().map(|(_, piece)| piece).collect();
        return Ok(whole.into());
    }
    Ok(pieces.pop().map(|(_, piece)| piece).unwrap_or_default())
}

/// Content in pieces: text, and the reasoning that Mistral puts beside it.
fn pieces_of(raw: &RawValue) -> Result<Vec<(Kind, Cow<'_, str>)>, Fault> {
    let wrong = |_error| fault::broken_stream("the text of the answer is not text");
    match raw.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw.get())
            .map(|text: String| vec![(Kind::Text, Cow::Owned(text))])
            .map_err(wrong),
        Some(b'[') => {
            let parts: Vec<ContentPart<'_>> = serde_json::from_str(raw.get()).map_err(wrong)?;
            let mut pieces = Vec::with_capacity(parts.len());
            for part in parts {
                pieces.extend(part.text.map(|text| (Kind::Text, text)));
                let thought = part.thinking.map(thought_of).transpose()?;
                pieces.extend(thought.map(|text| (Kind::Reasoning, Cow::Owned(text))));
            }
            Ok(pieces)
        }
        _ => Ok(Vec::new()),
    }
}

/// The texts of a piece of reasoning: a string, or an array of parts, which are nested no further.
fn thought_of(raw: &RawValue) -> Result<String, Fault> {
    let wrong = |_error| fault::broken_stream("the reasoning of the answer is not text");
    match raw.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw.get()).map_err(wrong),
        Some(b'[') => {
            let parts: Vec<ContentPart<'_>> = serde_json::from_str(raw.get()).map_err(wrong)?;
            Ok(parts.into_iter().filter_map(|part| part.text).collect())
        }
        _ => Ok(String::new()),
    }
}

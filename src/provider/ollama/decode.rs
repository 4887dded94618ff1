//! Reads answers: a stream is a line for each piece, a whole answer is one line.

use super::wire::{Line, Said};
use crate::{
    domain::{
        completion::{Completion, Delta},
        fault::{Fault, Reason},
        model::{FinishReason, Usage},
    },
    provider::{
        draft::{Draft, End, Slot},
        fault::{self, Words},
        protocol::{Assemble, Frame, Progress, Turn},
    },
};

/// Reads an answer that came in one piece.
///
/// # Errors
/// When it is no answer, or an error under a status of success.
pub(crate) fn decode(turn: Turn, body: &[u8]) -> Result<Completion, Fault> {
    let mut assembler = Box::new(Assembler::new(turn));
    let frame = Frame {
        event: "",
        data: body,
    };
    let mut unseen = Vec::new();
    let fed = assembler.feed(frame, &mut unseen);
    fed.and_then(|_progress| assembler.finish(&mut unseen))
        .map_err(fault::of_whole)
}

/// Puts an answer together.
pub(crate) struct Assembler {
    draft: Draft,
    text: Slot,
    thinking: Slot,
    /// The reason and the rest of the last line, once it came.
    end: Option<(String, Usage, String)>,
}

impl Assembler {
    /// For an answer of which nothing has come as yet.
    pub(crate) fn new(turn: Turn) -> Self {
        Self {
            draft: Draft::new(turn),
            text: None,
            thinking: None,
            end: None,
        }
    }

    fn take(&mut self, said: &Said<'_>, out: &mut Vec<Delta>) -> Result<(), Fault> {
        if let Some(thinking) = &said.thinking {
            self.draft.reasoning(&mut self.thinking, thinking, out);
        }
        if let Some(content) = &said.content {
            self.draft.text(&mut self.text, content, out);
        }
        for call in said.tool_calls.iter().flatten() {
            let at = self.draft.call(&call.function.name, out)?;
            let arguments = call.function.arguments.map_or("{}", |raw| raw.get());
            self.draft.arguments(at, arguments, out);
        }
        Ok(())
    }
}

impl Assemble for Assembler {
    fn feed(&mut self, frame: Frame<'_>, out: &mut Vec<Delta>) -> Result<Progress, Fault> {
        let line: Line<'_> = serde_json::from_slice(frame.data).map_err(|_error| {
            fault::broken_stream("a line of the answer is not the JSON of one")
        })?;
        if line.error.is_some() {
            let words = Words::parse(frame.data);
            return Err(fault::of_words(&words, Reason::ProviderStreamBroken));
        }
        if let Some(said) = &line.message {
            self.take(said, out)?;
        }
        if !line.done {
            return Ok(Progress::Open);
        }
        let usage = Usage {
            input_tokens: line.prompt_eval_count.unwrap_or(0),
            output_tokens: line.eval_count.unwrap_or(0),
            ..Usage::default()
        };
        let word = line.done_reason.as_deref().unwrap_or("stop").to_owned();
        let times = serde_json::to_string(&line.times).unwrap_or_default();
        self.end = Some((word, usage, times));
        Ok(Progress::Ended)
    }

    fn finish(mut self: Box<Self>, _out: &mut Vec<Delta>) -> Result<Completion, Fault> {
        let Some((word, usage, metadata)) = self.end.take() else {
            return Err(fault::broken_stream(
                "the stream ended before the model said why it stopped",
            ));
        };
        let reason = match &*word {
            "stop" | "tool_calls" if self.draft.has_calls() => FinishReason::ToolCalls,
            "stop" => FinishReason::Stop,
            "length" => FinishReason::Length,
            _ => FinishReason::Other,
        };
        Ok(self.draft.complete(End {
            reason,
            word: &word,
            usage,
            metadata,
        }))
    }
}

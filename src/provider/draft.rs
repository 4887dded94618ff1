//! An answer that grows part by part, for protocols that say where each piece belongs.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    fault,
    names::PlainNames,
    protocol::{Mint, Turn},
};
use crate::domain::{
    completion::{Completion, Delta, Grown},
    fault::Fault,
    id::CallId,
    json::JsonText,
    message::{Content, Message, Part, ProviderState, Role, ToolCall},
    model::{FinishReason, ModelRef, Usage},
    tool::ToolSpec,
};

/// The part that pieces go to; `None` before the first.
pub(crate) type Slot = Option<usize>;

/// An answer of which not all is there as yet. Its parts stand in the order in which they began.
pub(crate) struct Draft {
    model: ModelRef,
    tools: Arc<[Arc<ToolSpec>]>,
    mint: Mint,
    parts: Vec<Part>,
}

/// How an answer ended.
#[derive(Debug)]
pub(crate) struct End<'a> {
    /// Why.
    pub reason: FinishReason,
    /// The provider's word for it.
    pub word: &'a str,
    /// Tokens.
    pub usage: Usage,
    /// The provider's extra fields, a JSON object; `{}` is none.
    pub metadata: String,
}

impl End<'_> {
    /// The whole answer.
    pub(crate) fn of(self, model: ModelRef, parts: Vec<Part>) -> Completion {
        let metadata = Some(self.metadata).filter(|text| text != "{}");
        Completion {
            model,
            message: Message {
                id: None,
                role: Role::Assistant,
                parts,
                name: None,
            },
            finish_reason: self.reason,
            provider_finish_reason: self.word.to_owned(),
            usage: self.usage,
            provider_metadata: metadata.and_then(|text| JsonText::parse_object(&text).ok()),
        }
    }
}

/// What a provider says beside an answer, as [`End`] takes it.
pub(crate) fn metadata(extras: &impl Serialize) -> String {
    serde_json::to_string(extras).unwrap_or_default()
}

/// Whether a value says nothing.
pub(crate) fn is_empty(raw: &RawValue) -> bool {
    matches!(raw.get(), "null" | "\"\"" | "[]" | "{}")
}

impl Draft {
    /// An answer that has not begun.
    pub(crate) fn new(turn: Turn) -> Self {
        Self {
            model: turn.model,
            tools: turn.tools,
            mint: turn.mint,
            parts: Vec::new(),
        }
    }

    /// Who answers.
    pub(crate) fn provider(&self) -> &str {
        &self.model.provider
    }

    /// Whether there is a call among its parts.
    pub(crate) fn has_calls(&self) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(part.content, Content::ToolCall(_)))
    }

    /// Text grows. An empty piece begins nothing.
    pub(crate) fn text(&mut self, slot: &mut Slot, piece: &str, out: &mut Vec<Delta>) {
        if !piece.is_empty() {
            let at = *slot.get_or_insert_with(|| self.open(Content::Text(String::new())));
            if let Some(Content::Text(text)) = self.content(at) {
                text.push_str(piece);
                out.push(delta(at, Grown::Text(piece.to_owned())));
            }
        }
    }

    /// Reasoning grows. An empty piece begins nothing.
    pub(crate) fn reasoning(&mut self, slot: &mut Slot, piece: &str, out: &mut Vec<Delta>) {
        if !piece.is_empty() {
            self.hidden_reasoning(slot, piece, out);
        }
    }

    /// Reasoning grows, or begins with nothing to be seen of it.
    pub(crate) fn hidden_reasoning(&mut self, slot: &mut Slot, piece: &str, out: &mut Vec<Delta>) {
        let at = *slot.get_or_insert_with(|| self.open(Content::Reasoning(String::new())));
        if let Some(Content::Reasoning(text)) = self.content(at) {
            text.push_str(piece);
            out.push(delta(at, Grown::Reasoning(piece.to_owned())));
        }
    }

    /// A call begins.
    ///
    /// # Errors
    /// `PROVIDER_STREAM_BROKEN` when it has no name.
    pub(crate) fn call(&mut self, wire_name: &str, out: &mut Vec<Delta>) -> Result<usize, Fault> {
        if wire_name.is_empty() {
            return Err(fault::broken_stream(
                "the provider sent a tool call without a name",
            ));
        }
        let id: CallId = (self.mint)();
        let name = PlainNames::new(&self.tools).to_own(wire_name).to_owned();
        let at = self.open(Content::ToolCall(ToolCall {
            id: id.clone(),
            name: name.clone(),
            arguments: String::new(),
        }));
        out.push(delta(at, Grown::ToolCall { id, name }));
        Ok(at)
    }

    /// A call's arguments grow.
    pub(crate) fn arguments(&mut self, at: usize, piece: &str, out: &mut Vec<Delta>) {
        if let Some(Content::ToolCall(call)) = self.content(at)
            && !piece.is_empty()
        {
            call.arguments.push_str(piece);
            out.push(delta(at, Grown::Arguments(piece.to_owned())));
        }
    }

    /// How many bytes of a part are there.
    pub(crate) fn len(&self, at: usize) -> usize {
        match self.parts.get(at).map(|part| &part.content) {
            Some(Content::Text(text) | Content::Reasoning(text)) => text.len(),
            Some(Content::ToolCall(call)) => call.arguments.len(),
            Some(Content::Media(_) | Content::ToolResult(_)) | None => 0,
        }
    }

    /// What the provider wants back with a part.
    pub(crate) fn keep(&mut self, at: usize, family: &str, state: impl Into<Vec<u8>>) {
        if let Some(part) = self.parts.get_mut(at) {
            part.provider_state = Some(ProviderState::new(family, state.into()));
        }
    }

    /// The answer, at its end. The draft is empty then.
    pub(crate) fn complete(&mut self, end: End<'_>) -> Completion {
        end.of(self.model.clone(), std::mem::take(&mut self.parts))
    }

    fn open(&mut self, content: Content) -> usize {
        self.parts.push(Part::new(content));
        self.parts.len() - 1
    }

    fn content(&mut self, at: usize) -> Option<&mut Content> {
        self.parts.get_mut(at).map(|part| &mut part.content)
    }
}

fn delta(at: usize, grown: Grown) -> Delta {
    Delta {
        part_index: u32::try_from(at).unwrap_or(u32::MAX),
        grown,
    }
}

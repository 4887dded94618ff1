//! A block of an answer, as it grows and as the part that it becomes.
//!
//! A part's state says what must go back as it came: for a call its id, for reasoning one of
//! `signature:…`, `redacted:…` and `block:…`, the last with the JSON of a block of the vendor's own
//! tools, which stands as reasoning that shows nothing.

use serde_json::value::RawValue;

use super::{super::FAMILY, Around, Begun, Piece};
use crate::{
    domain::{
        completion::{Delta, Grown},
        fault::Fault,
        id::CallId,
        message::{Content, Part, ProviderState, ToolCall},
    },
    provider::{fault, merge::merge},
};

/// A block of an answer.
pub(crate) struct Block {
    /// Its place among the parts, once it was shown.
    place: Option<u32>,
    content: Held,
}

/// What is known of a block's content.
enum Held {
    Text(String),
    Thinking {
        text: String,
        signature: String,
    },
    Redacted {
        data: String,
    },
    Call(Call),
    /// A block of the vendor's own tools; `input` is what came of it in pieces.
    AsItCame {
        raw: Box<RawValue>,
        input: String,
    },
}

struct Call {
    wire_id: String,
    id: CallId,
    name: String,
    arguments: String,
    /// The input that the block began with, for as long as none comes in pieces.
    whole: Option<Box<RawValue>>,
}

impl Block {
    /// A block begins. Appends what it shows.
    ///
    /// # Errors
    /// When it is a call without a name.
    pub(crate) fn begin(
        begun: &Begun<'_>,
        raw: &RawValue,
        around: &mut Around,
        out: &mut Vec<Delta>,
    ) -> Result<Self, Fault> {
        let text = |value: &Option<std::borrow::Cow<'_, str>>| {
            value.as_deref().unwrap_or_default().to_owned()
        };
        let name = begun.name.as_deref().unwrap_or_default();
        let (content, shown) = match &*begun.kind {
            "text" => (Held::Text(String::new()), text(&begun.text)),
            "thinking" => {
                let held = Held::Thinking {
                    text: String::new(),
                    signature: text(&begun.signature),
                };
                (held, text(&begun.thinking))
            }
            "redacted_thinking" => {
                let data = text(&begun.data);
                (Held::Redacted { data }, String::new())
            }
            "tool_use" if name.is_empty() => {
                return Err(fault::broken_stream(
                    "the provider sent a tool call without a name",
                ));
            }
            "tool_use" if around.is_answer(name) => {
                // The whole input, if it is there, is the answer.
                let input = begun.input.map(RawValue::get).filter(|raw| *raw != "{}");
                (
                    Held::Text(String::new()),
                    input.unwrap_or_default().to_owned(),
                )
            }
            "tool_use" => {
                let call = Call {
                    wire_id: text(&begun.id),
                    id: around.mint(),
                    name: around.own_name(name),
                    arguments: String::new(),
                    whole: begun.input.map(RawValue::to_owned),
                };
                (Held::Call(call), String::new())
            }
            _ => {
                let held = Held::AsItCame {
                    raw: raw.to_owned(),
                    input: String::new(),
                };
                (held, String::new())
            }
        };
        let mut block = Self {
            place: None,
            content,
        };
        if block.is_call() {
            block.show_call(around, out);
        }
        block.extend(&shown, around, out);
        Ok(block)
    }

    /// A piece of it comes. Appends what it shows.
    pub(crate) fn grow(&mut self, piece: &Piece<'_>, around: &mut Around, out: &mut Vec<Delta>) {
        if let (Held::Thinking { signature, .. }, Some(more)) =
            (&mut self.content, &piece.signature)
        {
            signature.push_str(more);
        }
        let grown = match &self.content {
            // The answer by a schema comes as the input of a call.
            Held::Text(_) => piece.text.as_deref().or(piece.partial_json.as_deref()),
            Held::Thinking { .. } => piece.thinking.as_deref(),
            Held::Call(_) | Held::AsItCame { .. } => piece.partial_json.as_deref(),
            Held::Redacted { .. } => None,
        };
        self.extend(grown.unwrap_or_default(), around, out);
    }

    /// Nothing more of it comes.
    pub(crate) fn close(&mut self, around: &mut Around, out: &mut Vec<Delta>) {
        if let Held::Call(call) = &mut self.content
            && call.arguments.is_empty()
            && let Some(whole) = call.whole.take()
        {
            let whole = whole.get().to_owned();
            self.extend(&whole, around, out);
        }
        let hidden = match &self.content {
            Held::Thinking { .. } | Held::Redacted { .. } | Held::AsItCame { .. } => true,
            Held::Text(_) | Held::Call(_) => false,
        };
        // A part that shows nothing still takes its place among those that do.
        if hidden && self.place.is_none() {
            let part_index = self.place_in(around);
            out.push(Delta {
                part_index,
                grown: Grown::Reasoning(String::new()),
            });
        }
    }

    /// Its place among the parts; behind all others while it has shown nothing.
    pub(crate) fn place(&self) -> u32 {
        self.place.unwrap_or(u32::MAX)
    }

    /// Whether it is a call of a tool.
    pub(crate) const fn is_call(&self) -> bool {
        matches!(self.content, Held::Call(_))
    }

    /// The part that it is; `None` when it holds nothing.
    ///
    /// # Errors
    /// When what came in pieces makes no block.
    pub(crate) fn into_part(self) -> Result<Option<Part>, Fault> {
        let (content, state) = match self.content {
            Held::Text(text) if text.is_empty() => return Ok(None),
            Held::Text(text) => (Content::Text(text), None),
            Held::Thinking { text, signature } => {
                let state = (!signature.is_empty()).then(|| format!("signature:{signature}"));
                (Content::Reasoning(text), state)
            }
            Held::Redacted { data } => {
                let state = format!("redacted:{data}");
                (Content::Reasoning(String::new()), Some(state))
            }
            Held::Call(call) => {
                let state = (!call.wire_id.is_empty()).then_some(call.wire_id);
                let content = Content::ToolCall(ToolCall {
                    id: call.id,
                    name: call.name,
                    arguments: call.arguments,
                });
                (content, state)
            }
            Held::AsItCame { raw, input } => {
                let block = with_input(&raw, &input)?;
                (
                    Content::Reasoning(String::new()),
                    Some(format!("block:{block}")),
                )
            }
        };
        let mut part = Part::new(content);
        part.provider_state = state.map(|state| ProviderState::new(FAMILY, state.into_bytes()));
        Ok(Some(part))
    }

    fn extend(&mut self, more: &str, around: &mut Around, out: &mut Vec<Delta>) {
        if more.is_empty() {
            return;
        }
        let grown = match &mut self.content {
            Held::Text(text) => {
                text.push_str(more);
                Grown::Text(more.to_owned())
            }
            Held::Thinking { text, .. } => {
                text.push_str(more);
                Grown::Reasoning(more.to_owned())
            }
            Held::Call(call) => {
                call.arguments.push_str(more);
                Grown::Arguments(more.to_owned())
            }
            Held::AsItCame { input, .. } => return input.push_str(more),
            Held::Redacted { .. } => return,
        };
        let part_index = self.place_in(around);
        out.push(Delta { part_index, grown });
    }

    fn show_call(&mut self, around: &mut Around, out: &mut Vec<Delta>) {
        let part_index = self.place_in(around);
        if let Held::Call(call) = &self.content {
            out.push(Delta {
                part_index,
                grown: Grown::ToolCall {
                    id: call.id.clone(),
                    name: call.name.clone(),
                },
            });
        }
    }

    fn place_in(&mut self, around: &mut Around) -> u32 {
        *self.place.get_or_insert_with(|| around.place())
    }
}

/// A block of the vendor's own with the input that came in pieces.
fn with_input(raw: &RawValue, input: &str) -> Result<String, Fault> {
    if input.is_empty() {
        return Ok(raw.get().to_owned());
    }
    merge(raw.get(), &format!("{{\"input\":{input}}}"))
        .map_err(|_error| fault::broken_stream("the input of a block is no JSON"))
}

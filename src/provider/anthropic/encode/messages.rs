//! Conversations, in the words of the protocol.
//!
//! Rules, where the two do not meet:
//! - Instructions before the conversation become `system`. Later ones stay where they are, behind what
//!   the user says next to them, with models that take them there; with others they join `system`.
//! - What stands between two turns of the model is one message of the user: first the results of the
//!   calls before, in the order of the calls, then the rest.
//! - Reasoning goes back only with the state that this family gave it, and then as it came: a signature
//!   covers it. Other reasoning is left out.
//! - A call goes out under the id that this family has given it, else under its own, made to fit.
//! - Arguments that are no JSON object go out as `{}`, as the vendor takes nothing else.
//! - Blank text is left out: the vendor refuses it. So is a message of which nothing is left.
//! - Media in an assistant's message become a note in its text, and so does media in a result that
//!   the vendor does not take. In a user's message they are refused.
//! - A conversation that the model begins, or that is empty, gets an opening of the user.

use std::{borrow::Cow, sync::Arc};

use serde_json::value::RawValue;

use super::media;
use crate::{
    domain::{
        fault::Fault,
        id::CallId,
        message::{Content, Message, Part, Role, ToolCall, ToolResult},
    },
    provider::{
        anthropic::{
            FAMILY,
            model::Traits,
            wire::{Block, CacheControl, Message as WireMessage},
        },
        conversation::{Form, Ids},
        function::arguments_object,
        media::note,
        names::PlainNames,
    },
};

/// Ids of calls as the vendor takes them.
const ID: Form = Form {
    shortest: 1,
    longest: 64,
    takes: |b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'),
};
/// What the user says where the protocol wants a word and there is none.
const OPENING: &str = "(begin)";

/// A conversation in the words of the protocol.
pub(super) struct Conversation<'a> {
    /// The instructions before it.
    pub system: Vec<Block<'a>>,
    /// The turns.
    pub messages: Vec<WireMessage<'a>>,
}

/// Writes a conversation.
///
/// # Errors
/// `INVALID_REQUEST` naming the part whose media the protocol has no words for.
pub(super) fn encode<'a>(
    messages: &'a [Arc<Message>],
    traits: &Traits,
    names: &PlainNames<'_>,
) -> Result<Conversation<'a>, Fault> {
    let mut encoder = Encoder {
        system_turns: traits.system_turns,
        names,
        ids: Ids::new(messages, FAMILY, ID),
        out: Conversation {
            system: Vec::new(),
            messages: Vec::new(),
        },
        calls: Vec::new(),
        results: Vec::new(),
        said: Vec::new(),
        instructions: Vec::new(),
    };
    for (number, message) in messages.iter().enumerate() {
        match message.role {
            Role::System => encoder.system(message),
            Role::User => encoder.user(message, number)?,
            Role::Assistant => encoder.assistant(message)?,
            Role::Tool => encoder.results(message),
        }
    }
    Ok(encoder.finish())
}

struct Encoder<'a, 'n> {
    system_turns: bool,
    names: &'n PlainNames<'n>,
    ids: Ids<'a>,
    out: Conversation<'a>,
    /// The calls of the model's last turn.
    calls: Vec<&'a CallId>,
    /// Since the model's last turn: results, what the user says, and instructions.
    results: Vec<(&'a CallId, Block<'a>)>,
    said: Vec<Block<'a>>,
    instructions: Vec<Block<'a>>,
}

impl<'a> Encoder<'a, '_> {
    fn system(&mut self, message: &'a Message) {
        let begun = !self.out.messages.is_empty() || !self.said.is_empty();
        let blocks = if self.system_turns && begun {
            &mut self.instructions
        } else {
            &mut self.out.system
        };
        for part in &message.parts {
            if let Content::Text(text) = &part.content {
                push_text(blocks, text);
            }
            mark(blocks, part);
        }
    }

    fn user(&mut self, message: &'a Message, number: usize) -> Result<(), Fault> {
        for (index, part) in message.parts.iter().enumerate() {
            match &part.content {
                Content::Text(text) => push_text(&mut self.said, text),
                Content::Media(media) => self.said.push(media::encode(media).map_err(|what| {
                    Fault::invalid(format!("messages[{number}].parts[{index}]"), what)
                })?),
                Content::Reasoning(_) | Content::ToolCall(_) | Content::ToolResult(_) => {}
            }
            mark(&mut self.said, part);
        }
        Ok(())
    }

    fn results(&mut self, message: &'a Message) {
        for part in &message.parts {
            if let Content::ToolResult(result) = &part.content {
                let mut block = [self.result(result)];
                mark(&mut block, part);
                let [block] = block;
                self.results.push((&result.call_id, block));
            }
        }
    }

    fn result(&self, result: &'a ToolResult) -> Block<'a> {
        let mut content = Vec::with_capacity(result.parts.len());
        for part in &result.parts {
            match &part.content {
                Content::Text(text) => push_text(&mut content, text),
                Content::Media(media) => content
                    .push(media::encode(media).unwrap_or_else(|_what| text_block(note(media)))),
                Content::Reasoning(_) | Content::ToolCall(_) | Content::ToolResult(_) => {}
            }
        }
        if let (true, Some(json)) = (content.is_empty(), &result.structured) {
            push_text(&mut content, json.as_str());
        }
        Block::ToolResult {
            tool_use_id: self.ids.of(&result.call_id),
            content,
            is_error: result.is_error,
            cache_control: None,
        }
    }

    fn assistant(&mut self, message: &'a Message) -> Result<(), Fault> {
        let mut blocks = Vec::with_capacity(message.parts.len());
        let mut calls = Vec::new();
        for part in &message.parts {
            match &part.content {
                Content::Text(text) => push_text(&mut blocks, text),
                Content::Media(media) => blocks.push(text_block(note(media))),
                Content::Reasoning(text) => blocks.extend(reasoning(part, text)?),
                Content::ToolCall(call) => {
                    blocks.push(self.call(call)?);
                    calls.push(&call.id);
                }
                Content::ToolResult(_) => {}
            }
            mark(&mut blocks, part);
        }
        if blocks.is_empty() {
            return Ok(());
        }
        self.turn_of_the_user();
        self.calls.extend(calls);
        match self.out.messages.last_mut() {
            Some(last) if last.role == "assistant" => last.content.extend(blocks),
            Some(_) => self.push("assistant", blocks),
            None => {
                self.push("user", vec![text_block(OPENING)]);
                self.push("assistant", blocks);
            }
        }
        Ok(())
    }

    fn call(&self, call: &'a ToolCall) -> Result<Block<'a>, Fault> {
        Ok(Block::ToolUse {
            id: self.ids.of(&call.id),
            name: self.names.to_wire(&call.name),
            input: arguments_object(call)?,
            cache_control: None,
        })
    }

    /// What was said since the model's last turn becomes a turn of the user, and, behind it, one of the
    /// system: it may stand nowhere else.
    fn turn_of_the_user(&mut self) {
        if self.results.is_empty() && self.said.is_empty() {
            return;
        }
        let calls = std::mem::take(&mut self.calls);
        let mut results = std::mem::take(&mut self.results);
        let place = |id: &CallId| calls.iter().position(|call| *call == id);
        results.sort_by_key(|(id, _)| place(id).unwrap_or(usize::MAX));
        let mut blocks: Vec<Block<'a>> = results.into_iter().map(|(_, block)| block).collect();
        blocks.append(&mut self.said);
        self.push("user", blocks);
        let instructions = std::mem::take(&mut self.instructions);
        if !instructions.is_empty() {
            self.push("system", instructions);
        }
    }

    fn push(&mut self, role: &'static str, content: Vec<Block<'a>>) {
        self.out.messages.push(WireMessage { role, content });
    }

    fn finish(mut self) -> Conversation<'a> {
        self.turn_of_the_user();
        if !self.instructions.is_empty() || self.out.messages.is_empty() {
            // Instructions that no word of the user follows need one to stand behind.
            self.said.push(text_block(OPENING));
            self.turn_of_the_user();
        }
        if let Some(last) = self.out.messages.last_mut()
            && last.role == "assistant"
            && let Some(Block::Text { text, .. }) = last.content.last_mut()
        {
            // An answer that the model shall continue may not end in a blank.
            let kept = text.trim_end().len();
            match text {
                Cow::Borrowed(whole) => *text = Cow::Borrowed(whole.trim_end()),
                Cow::Owned(whole) => whole.truncate(kept),
            }
        }
        self.out
    }
}

/// Reasoning as it came; nothing when it came from elsewhere.
fn reasoning<'a>(part: &'a Part, text: &'a str) -> Result<Option<Block<'a>>, Fault> {
    let state = part.provider_state.as_ref();
    let Some((kind, data)) = state.and_then(|state| state.text_of(FAMILY)?.split_once(':')) else {
        return Ok(None);
    };
    Ok(match kind {
        "signature" => Some(Block::Thinking {
            thinking: text,
            signature: data,
        }),
        "redacted" => Some(Block::RedactedThinking { data }),
        "block" => {
            let raw: &RawValue = serde_json::from_str(data).map_err(|_error| {
                Fault::invalid("messages", "the provider state of a part was changed")
            })?;
            Some(Block::AsItCame(raw))
        }
        _ => None,
    })
}

fn push_text<'a>(blocks: &mut Vec<Block<'a>>, text: &'a str) {
    if !text.trim().is_empty() {
        blocks.push(text_block(text));
    }
}

fn text_block<'a>(text: impl Into<Cow<'a, str>>) -> Block<'a> {
    Block::Text {
        text: text.into(),
        cache_control: None,
    }
}

/// Marks the last block that can be marked, if the part asks for it.
fn mark(blocks: &mut [Block<'_>], part: &Part) {
    if part.cache_breakpoint
        && let Some(mark) = blocks.iter_mut().rev().find_map(Block::cache_control)
    {
        *mark = Some(CacheControl::Ephemeral);
    }
}

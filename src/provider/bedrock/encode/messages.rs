//! Conversations, in the words of the protocol.
//!
//! Rules, where the two do not meet:
//! - Instructions become `system`, wherever they stand.
//! - What stands between two turns of the model is one message of the user: first the results of the
//!   calls before, in the order of the calls, then the rest.
//! - Reasoning goes back only with the state that this family gave it, and then as it came: a signature
//!   covers it. Other reasoning is left out, and so is all of it with makers whose models sign none.
//! - A call goes out under the id that this family has given it, else under its own, made to fit.
//! - Arguments that are no JSON object go out as `{}`, as the vendor takes nothing else.
//! - Where no tool may be called, past calls and results are told as text: the vendor takes neither then.
//! - Blank text is left out: the vendor refuses it. So is a message of which nothing is left.
//! - Media in an assistant's message become a note in its text, and so does media in a result that
//!   the vendor does not take. In a user's message they are refused.
//! - A document stands beside text, so that one that comes alone gets some.
//! - A conversation that the model begins, or that is empty, gets an opening of the user.
//! - Marks of a cached prompt go to models that have a cache to mark.

use std::{borrow::Cow, sync::Arc};

use super::{CACHE_POINT, media};
use crate::{
    domain::{
        fault::Fault,
        id::CallId,
        message::{Content, Message, Part, Role, ToolCall, ToolResult},
    },
    provider::{
        bedrock::{
            FAMILY,
            model::Maker,
            wire::{Block, Message as WireMessage, Reasoning, ToolResult as WireResult, ToolUse},
        },
        conversation::{Form, Ids},
        function::{arguments, arguments_object},
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
/// What stands beside documents that come without a word.
const BESIDE_DOCUMENTS: &str = "(documents)";
/// What a result says that says nothing.
const NOTHING: &str = "(empty)";

/// How a conversation is written.
#[derive(Clone, Copy)]
pub(super) struct Rules<'n> {
    /// The names of the tools.
    pub names: &'n PlainNames<'n>,
    /// Who has made the model.
    pub maker: Maker,
    /// Calls and results are told as text.
    pub tells_calls: bool,
}

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
    rules: Rules<'_>,
) -> Result<Conversation<'a>, Fault> {
    let mut encoder = Encoder {
        rules,
        ids: Ids::new(messages, FAMILY, ID),
        documents: media::Names::default(),
        out: Conversation {
            system: Vec::new(),
            messages: Vec::new(),
        },
        calls: Vec::new(),
        results: Vec::new(),
        said: Vec::new(),
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
    rules: Rules<'n>,
    ids: Ids<'a>,
    documents: media::Names,
    out: Conversation<'a>,
    /// The calls of the model's last turn.
    calls: Vec<&'a ToolCall>,
    /// Since the model's last turn: results with what follows them, and what the user says.
    results: Vec<(&'a CallId, Vec<Block<'a>>)>,
    said: Vec<Block<'a>>,
}

impl<'a> Encoder<'a, '_> {
    fn system(&mut self, message: &'a Message) {
        for part in &message.parts {
            if let Content::Text(text) = &part.content {
                push_text(&mut self.out.system, text);
            }
            mark(&mut self.out.system, part, self.rules.maker);
        }
    }

    fn user(&mut self, message: &'a Message, number: usize) -> Result<(), Fault> {
        for (index, part) in message.parts.iter().enumerate() {
            match &part.content {
                Content::Text(text) => push_text(&mut self.said, text),
                Content::Media(media) => {
                    let block = self.documents.encode(media).map_err(|what| {
                        Fault::invalid(format!("messages[{number}].parts[{index}]"), what)
                    })?;
                    self.said.push(block);
                }
                Content::Reasoning(_) | Content::ToolCall(_) | Content::ToolResult(_) => {}
            }
            mark(&mut self.said, part, self.rules.maker);
        }
        Ok(())
    }

    fn results(&mut self, message: &'a Message) {
        for part in &message.parts {
            if let Content::ToolResult(result) = &part.content {
                let mut blocks = if self.rules.tells_calls {
                    self.told(result)
                } else {
                    vec![self.result(result)]
                };
                mark(&mut blocks, part, self.rules.maker);
                self.results.push((&result.call_id, blocks));
            }
        }
    }

    fn result(&mut self, result: &'a ToolResult) -> Block<'a> {
        let status = (result.is_error && self.rules.maker.knows_status()).then_some("error");
        let mut content = Vec::with_capacity(result.parts.len());
        if result.is_error && status.is_none() {
            content.push(text_block("Error:"));
        }
        content.extend(self.contents(result));
        if content.is_empty() {
            content.push(text_block(NOTHING));
        }
        Block::ToolResult(WireResult {
            tool_use_id: self.ids.of(&result.call_id),
            content,
            status,
        })
    }

    /// What a result holds. A structure stands for itself where there is nothing else.
    fn contents(&mut self, result: &'a ToolResult) -> Vec<Block<'a>> {
        let mut content = Vec::with_capacity(result.parts.len());
        for part in &result.parts {
            match &part.content {
                Content::Text(text) => push_text(&mut content, text),
                Content::Media(media) => content.push(match self.documents.encode(media) {
                    Ok(block) if !matches!(block, Block::Audio(_)) => block,
                    Ok(_) | Err(_) => text_block(note(media)),
                }),
                Content::Reasoning(_) | Content::ToolCall(_) | Content::ToolResult(_) => {}
            }
        }
        if let (true, Some(json)) = (content.is_empty(), &result.structured) {
            content.push(match json.to_raw() {
                Ok(raw) if raw.get().starts_with('{') && !self.rules.tells_calls => {
                    Block::Json(raw)
                }
                Ok(_) | Err(_) => text_block(json.as_str()),
            });
        }
        content
    }

    /// A result, told as text.
    fn told(&mut self, result: &'a ToolResult) -> Vec<Block<'a>> {
        let call = self.calls.iter().find(|call| call.id == result.call_id);
        let name = call.map_or("a tool", |call| &call.name);
        let verb = if result.is_error {
            "failed"
        } else {
            "returned"
        };
        let mut blocks = vec![text_block(format!("[{name} {verb}:]"))];
        blocks.extend(self.contents(result));
        blocks
    }

    fn assistant(&mut self, message: &'a Message) -> Result<(), Fault> {
        let mut blocks = Vec::with_capacity(message.parts.len());
        let mut calls = Vec::new();
        for part in &message.parts {
            match &part.content {
                Content::Text(text) => push_text(&mut blocks, text),
                Content::Media(media) => blocks.push(text_block(note(media))),
                Content::Reasoning(text) if self.rules.maker.takes_thoughts() => {
                    blocks.extend(reasoning(part, text));
                }
                Content::Reasoning(_) => {}
                Content::ToolCall(call) => {
                    blocks.push(self.call(call)?);
                    calls.push(call);
                }
                Content::ToolResult(_) => {}
            }
            mark(&mut blocks, part, self.rules.maker);
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
        if self.rules.tells_calls {
            let (name, input) = (&call.name, arguments(call));
            return Ok(text_block(format!("[called {name} with {input}]")));
        }
        Ok(Block::ToolUse(ToolUse {
            tool_use_id: self.ids.of(&call.id),
            name: self.rules.names.to_wire(&call.name),
            input: arguments_object(call)?,
        }))
    }

    /// What was said since the model's last turn becomes a turn of the user.
    fn turn_of_the_user(&mut self) {
        if self.results.is_empty() && self.said.is_empty() {
            return;
        }
        let calls = std::mem::take(&mut self.calls);
        let mut results = std::mem::take(&mut self.results);
        let place = |id: &CallId| calls.iter().position(|call| call.id == *id);
        results.sort_by_key(|(id, _)| place(id).unwrap_or(usize::MAX));
        let mut blocks: Vec<Block<'a>> =
            results.into_iter().flat_map(|(_, blocks)| blocks).collect();
        blocks.append(&mut self.said);
        let documents = blocks
            .iter()
            .any(|block| matches!(block, Block::Document(_)));
        let texts = blocks.iter().any(|block| matches!(block, Block::Text(_)));
        if documents && !texts {
            blocks.push(text_block(BESIDE_DOCUMENTS));
        }
        self.push("user", blocks);
    }

    fn push(&mut self, role: &'static str, content: Vec<Block<'a>>) {
        self.out.messages.push(WireMessage { role, content });
    }

    fn finish(mut self) -> Conversation<'a> {
        self.turn_of_the_user();
        if self.out.messages.is_empty() {
            self.push("user", vec![text_block(OPENING)]);
        }
        if let Some(last) = self.out.messages.last_mut()
            && last.role == "assistant"
            && let Some(Block::Text(text)) = last.content.last_mut()
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
fn reasoning<'a>(part: &'a Part, text: &'a str) -> Option<Block<'a>> {
    let state = part.provider_state.as_ref()?;
    let (kind, data) = state.text_of(FAMILY)?.split_once(':')?;
    Some(Block::ReasoningContent(match kind {
        "signature" => Reasoning::ReasoningText {
            text,
            signature: data,
        },
        "redacted" => Reasoning::RedactedContent(data),
        _ => return None,
    }))
}

fn push_text<'a>(blocks: &mut Vec<Block<'a>>, text: &'a str) {
    if !text.trim().is_empty() {
        blocks.push(text_block(text));
    }
}

fn text_block<'a>(text: impl Into<Cow<'a, str>>) -> Block<'a> {
    Block::Text(text.into())
}

/// Marks where a cached prompt may end, if the part asks for it and there is anything to cache.
fn mark(blocks: &mut Vec<Block<'_>>, part: &Part, maker: Maker) {
    let marked = matches!(blocks.last(), None | Some(Block::CachePoint(_)));
    if part.cache_breakpoint && maker.caches() && !marked {
        blocks.push(Block::CachePoint(CACHE_POINT));
    }
}

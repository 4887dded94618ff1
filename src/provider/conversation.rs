//! Conversations for wires on which every author, the model and every result have messages of their
//! own: the walk through them, which is the same for all, and what it meets.

mod content;
mod ids;

use std::sync::Arc;

pub(crate) use self::{
    content::{Content, MaybeText, maybe_text, media_of, said, text_of},
    ids::{Form, Ids},
};
use crate::domain::{
    fault::Fault,
    message::{Content as Held, Message, Role, ToolResult},
};

/// What a conversation is told to, message by message.
pub(crate) trait Tell<'a> {
    /// A message of the `system` or the `user`.
    ///
    /// # Errors
    /// When it holds what the protocol has no words for.
    fn author(&mut self, role: &'static str, message: &'a Message, at: At) -> Result<(), Fault>;

    /// A message of the model.
    ///
    /// # Errors
    /// When it cannot be written.
    fn assistant(&mut self, message: &'a Message) -> Result<(), Fault>;

    /// The result of a call.
    ///
    /// # Errors
    /// When it holds what the protocol has no words for.
    fn result(&mut self, result: &'a ToolResult, at: At) -> Result<(), Fault>;

    /// All results of a turn are told, if there were any.
    fn end_of_results(&mut self) {}
}

/// A place in a conversation, for what is said of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    message: usize,
    part: usize,
}

impl At {
    /// Another part of the same message.
    pub(crate) const fn part(self, part: usize) -> Self {
        Self { part, ..self }
    }

    /// What stands here cannot be told.
    pub(crate) fn refuse(self, why: &'static str) -> Fault {
        let Self { message, part } = self;
        Fault::invalid(format!("messages[{message}].parts[{part}]"), why)
    }
}

/// Tells a conversation.
///
/// # Errors
/// When a part of it cannot be told.
pub(crate) fn tell<'a>(messages: &'a [Arc<Message>], to: &mut impl Tell<'a>) -> Result<(), Fault> {
    for (number, message) in messages.iter().enumerate() {
        let at = At {
            message: number,
            part: 0,
        };
        if message.role != Role::Tool {
            to.end_of_results();
        }
        match message.role {
            Role::System => to.author("system", message, at)?,
            Role::User => to.author("user", message, at)?,
            Role::Assistant => to.assistant(message)?,
            Role::Tool => {
                for (number, part) in message.parts.iter().enumerate() {
                    if let Held::ToolResult(result) = &part.content {
                        to.result(result, at.part(number))?;
                    }
                }
            }
        }
    }
    to.end_of_results();
    Ok(())
}

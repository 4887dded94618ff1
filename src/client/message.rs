//! Constructors and readers of the contract's messages.

use crate::pb::v1::{Message, Part, Role, part::Content};

/// A part of plain text.
pub fn text(text: impl Into<String>) -> Part {
    Part {
        content: Some(Content::Text(text.into())),
        ..Part::default()
    }
}

/// A message of the end user.
pub fn user(words: impl Into<String>) -> Message {
    of(Role::User, words)
}

/// Instructions.
pub fn system(words: impl Into<String>) -> Message {
    of(Role::System, words)
}

/// A message of the model.
pub fn assistant(words: impl Into<String>) -> Message {
    of(Role::Assistant, words)
}

fn of(role: Role, words: impl Into<String>) -> Message {
    Message {
        role: role.into(),
        parts: vec![text(words)],
        ..Message::default()
    }
}

/// The text parts of a message, joined; empty when there is none.
pub fn text_of(message: Option<&Message>) -> String {
    let parts = message.map(|message| message.parts.as_slice());
    parts
        .unwrap_or_default()
        .iter()
        .filter_map(|part| match &part.content {
            Some(Content::Text(text)) => Some(text.as_str()),
            Some(
                Content::Reasoning(_)
                | Content::Media(_)
                | Content::ToolCall(_)
                | Content::ToolResult(_),
            )
            | None => None,
        })
        .collect()
}

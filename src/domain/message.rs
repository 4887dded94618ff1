//! What a conversation is made of.

mod base64_text;

use std::{fmt, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    id::{CallId, MessageId},
    json::JsonText,
};

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Instructions.
    System,
    /// The end user.
    User,
    /// The model.
    Assistant,
    /// Results of tool calls.
    Tool,
}

/// One entry of a conversation: ordered parts by one author.
///
/// Which parts a role may hold is checked where messages enter (`rpc::convert`): tool calls and
/// reasoning stand in assistant messages only, tool results in tool messages only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Its id; conversations that callers bring may have none.
    pub id: Option<MessageId>,
    /// The author.
    pub role: Role,
    /// The content, in order.
    pub parts: Vec<Part>,
    /// The author's name, in threads of several users.
    pub name: Option<String>,
}

impl Message {
    /// A message of one text.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self {
            id: None,
            role,
            parts: vec![Part::new(Content::Text(text.into()))],
            name: None,
        }
    }

    /// Its texts, joined: no reasoning, no calls.
    pub fn joined_text(&self) -> String {
        self.parts
            .iter()
            .filter_map(|part| {
                if let Content::Text(text) = &part.content {
                    Some(&**text)
                } else {
                    None
                }
            })
            .collect()
    }

    /// The calls it asks for, in order.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.parts.iter().filter_map(|part| {
            if let Content::ToolCall(call) = &part.content {
                Some(call)
            } else {
                None
            }
        })
    }
}

/// One piece of content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// What it holds.
    pub content: Content,
    /// What the provider that made it needs back in later turns.
    pub provider_state: Option<ProviderState>,
    /// Asks the provider to cache the prompt up to and including this part, where it can.
    pub cache_breakpoint: bool,
}

impl Part {
    /// A part of nothing but content.
    pub const fn new(content: Content) -> Self {
        Self {
            content,
            provider_state: None,
            cache_breakpoint: false,
        }
    }
}

/// What a part holds.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// The model's reasoning; empty when the provider hides it and only its state is known.
    Reasoning(String),
    /// An image, audio, video or document.
    Media(Media),
    /// A call the model makes.
    ToolCall(ToolCall),
    /// The result of a call.
    ToolResult(ToolResult),
}

impl fmt::Debug for Content {
    /// Kinds and sizes only: the content is a prompt, and prompts are never logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Reasoning(text) => write!(f, "Reasoning({} bytes)", text.len()),
            Self::Media(media) => write!(f, "Media({})", media.media_type),
            Self::ToolCall(call) => write!(f, "ToolCall({} {})", call.name, call.id),
            Self::ToolResult(result) => write!(f, "ToolResult({})", result.call_id),
        }
    }
}

/// Content that is not text, inline or by reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Media {
    /// Its IANA media type.
    pub media_type: String,
    /// Where the bytes are.
    pub source: MediaSource,
    /// A file name, for documents.
    pub filename: Option<String>,
}

/// Where the bytes of a media part are.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum MediaSource {
    /// Here.
    Inline(#[serde(with = "base64_text")] Bytes),
    /// At a URI that the provider fetches, or the server for it where its operator allows that.
    Uri(String),
}

impl fmt::Debug for MediaSource {
    /// No bytes and no URI: a URI may be signed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(bytes) => write!(f, "Inline({} bytes)", bytes.len()),
            Self::Uri(_) => f.write_str("Uri"),
        }
    }
}

/// A call that the model asks for.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The call's id, and its idempotency key.
    pub id: CallId,
    /// The tool's name as the model wrote it: perhaps of no tool.
    pub name: String,
    /// The arguments' text as the model wrote it: perhaps no JSON. [`ToolCall::arguments`] checks.
    pub arguments: String,
}

impl ToolCall {
    /// The arguments, when they are a JSON object. Many models write nothing for a tool without
    /// parameters; that reads as `{}`.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn arguments(&self) -> Result<JsonText, super::json::InvalidJson> {
        if self.arguments.trim().is_empty() {
            return JsonText::parse_object("{}");
        }
        JsonText::parse_object(&self.arguments)
    }
}

impl fmt::Debug for ToolCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ToolCall({} {})", self.name, self.id)
    }
}

/// What a call returned, as the model sees it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolResult {
    /// The call.
    pub call_id: CallId,
    /// Text and media parts only.
    pub parts: Vec<Part>,
    /// Structured output, conforming to the tool's output schema.
    pub structured: Option<JsonText>,
    /// Whether the model sees it as an error.
    pub is_error: bool,
}

impl ToolResult {
    /// An error told to the model in place of a result.
    pub fn error(call_id: CallId, text: impl Into<String>) -> Self {
        Self {
            call_id,
            parts: vec![Part::new(Content::Text(text.into()))],
            structured: None,
            is_error: true,
        }
    }

    /// Its texts, joined by line ends; the structured output when there is no text.
    pub fn joined_text(&self) -> String {
        let texts: Vec<&str> = self
            .parts
            .iter()
            .filter_map(|part| {
                if let Content::Text(text) = &part.content {
                    Some(&**text)
                } else {
                    None
                }
            })
            .collect();
        match &self.structured {
            Some(json) if texts.is_empty() => json.as_str().to_owned(),
            Some(_) | None => texts.join("\n"),
        }
    }
}

impl fmt::Debug for ToolResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ToolResult({})", self.call_id)
    }
}

/// State that a provider wants back unchanged: its own id of a call, a signature, encrypted reasoning.
///
/// Only the protocol family that wrote it reads it; another drops it. On the wire it is
/// `family NUL data`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ProviderState {
    /// The protocol family, such as `openai`.
    pub family: Arc<str>,
    /// The family's own text.
    #[serde(with = "base64_text")]
    pub data: Bytes,
}

impl ProviderState {
    /// Of a family, from its data.
    pub fn new(family: &str, data: impl Into<Bytes>) -> Self {
        Self {
            family: Arc::from(family),
            data: data.into(),
        }
    }

    /// Reads the envelope; `None` when it is not one.
    pub fn from_envelope(envelope: &Bytes) -> Option<Self> {
        let end = memchr::memchr(0, envelope)?;
        let family = std::str::from_utf8(envelope.get(..end)?).ok()?;
        let named =
            (1..=32).contains(&family.len()) && family.bytes().all(|b| b.is_ascii_graphic());
        named.then(|| Self {
            family: Arc::from(family),
            data: envelope.slice(end + 1..),
        })
    }

    /// Writes the envelope.
    pub fn to_envelope(&self) -> Bytes {
        [self.family.as_bytes(), &[0], &self.data].concat().into()
    }

    /// The data, if this family wrote it and it is text.
    pub fn text_of(&self, family: &str) -> Option<&str> {
        if &*self.family == family {
            std::str::from_utf8(&self.data).ok()
        } else {
            None
        }
    }
}

impl fmt::Debug for ProviderState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ProviderState({}, {} bytes)",
            self.family,
            self.data.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provider_state_survives_its_envelope() {
        let state = ProviderState::new("openai", "call_1\0x");
        assert_eq!(
            ProviderState::from_envelope(&state.to_envelope()),
            Some(state)
        );
        for bad in ["", "openai", "\0x", "two words\0x"] {
            assert_eq!(
                ProviderState::from_envelope(&Bytes::from(bad)),
                None,
                "{bad:?}"
            );
        }
    }

    #[test]
    fn missing_arguments_are_an_empty_object() {
        let call = |arguments: &str| ToolCall {
            id: CallId::mint(),
            name: "t".to_owned(),
            arguments: arguments.to_owned(),
        };
        assert_eq!(call(" ").arguments().unwrap().as_str(), "{}");
        assert!(call("[]").arguments().is_err());
        assert!(call("{").arguments().is_err());
    }

    #[test]
    fn debug_shows_no_content() {
        let message = Message::text(Role::User, "my secret");
        assert!(!format!("{message:?}").contains("secret"));
    }
}

//! The parts of an answer while it is put together.

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use serde_json::value::RawValue;

use super::grown_text;
use crate::{
    domain::{
        completion::{Delta, Grown},
        fault::Fault,
        id::CallId,
        message::{Content, Media, MediaSource, Part, ToolCall},
    },
    provider::{
        fault,
        gemini::{state::State, wire::ReadBlob},
    },
};

/// Base64, with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A part of an answer.
pub(super) enum Growing {
    /// Text, or a thought.
    Text {
        words: String,
        thought: bool,
        signature: Option<String>,
    },
    /// A call. It never comes in pieces.
    Call {
        id: CallId,
        name: String,
        arguments: String,
        provider_id: Option<String>,
        signature: Option<String>,
    },
    /// A part that the domain has no words for, as it came.
    Foreign(Box<RawValue>),
}

impl Growing {
    /// A text, or a thought, that begins so.
    pub(super) fn text(words: &str, thought: bool, signature: Option<&str>) -> Self {
        Self::Text {
            words: words.to_owned(),
            thought,
            signature: signature.map(str::to_owned),
        }
    }

    /// Whether it is a call.
    pub(super) const fn is_call(&self) -> bool {
        matches!(self, Self::Call { .. })
    }

    /// Adds words without a signature, if they belong here. Says whether they do.
    pub(super) fn extend(&mut self, more: &str, is_thought: bool) -> bool {
        match self {
            Self::Text {
                words,
                thought,
                signature: None,
            } if *thought == is_thought => {
                words.push_str(more);
                true
            }
            Self::Text { .. } | Self::Call { .. } | Self::Foreign(_) => false,
        }
    }

    /// Appends what a caller is shown of the part's beginning.
    pub(super) fn show(&self, part_index: u32, out: &mut Vec<Delta>) {
        let mut push = |grown| out.push(Delta { part_index, grown });
        match self {
            Self::Text { words, thought, .. } => {
                push(grown_text(words, *thought || words.is_empty()));
            }
            Self::Call {
                id,
                name,
                arguments,
                ..
            } => {
                push(Grown::ToolCall {
                    id: id.clone(),
                    name: name.clone(),
                });
                if !arguments.is_empty() {
                    push(Grown::Arguments(arguments.clone()));
                }
            }
            Self::Foreign(_) => push(Grown::Reasoning(String::new())),
        }
    }

    /// The whole part.
    pub(super) fn into_part(self) -> Part {
        let (content, state) = match self {
            Self::Text {
                words,
                thought,
                signature,
            } => {
                let state = State {
                    signature,
                    thought,
                    ..State::default()
                };
                if thought || words.is_empty() {
                    (Content::Reasoning(words), state)
                } else {
                    (Content::Text(words), state)
                }
            }
            Self::Call {
                id,
                name,
                arguments,
                provider_id,
                signature,
            } => (
                Content::ToolCall(ToolCall {
                    id,
                    name,
                    arguments,
                }),
                State {
                    id: provider_id,
                    signature,
                    ..State::default()
                },
            ),
            Self::Foreign(raw) => (
                Content::Reasoning(String::new()),
                State {
                    part: Some(raw),
                    ..State::default()
                },
            ),
        };
        Part {
            provider_state: state.to_provider_state(),
            ..Part::new(content)
        }
    }
}

/// Media that the model has made. Drafts that belong to its thoughts are left out.
///
/// # Errors
/// When they are no base64.
pub(super) fn media_of(
    blob: &ReadBlob<'_>,
    signature: Option<&str>,
    thought: bool,
) -> Result<Option<Part>, Fault> {
    if thought {
        return Ok(None);
    }
    let data = blob.data.as_deref().unwrap_or_default();
    let bytes = BASE64
        .decode(data)
        .map_err(|_error| fault::broken_stream("media of the answer are not base64"))?;
    let media = Media {
        media_type: blob
            .mime_type
            .as_deref()
            .unwrap_or("application/octet-stream")
            .to_owned(),
        source: MediaSource::Inline(Bytes::from(bytes)),
        filename: None,
    };
    let state = State {
        signature: signature.map(str::to_owned),
        ..State::default()
    };
    Ok(Some(Part {
        provider_state: state.to_provider_state(),
        ..Part::new(Content::Media(media))
    }))
}

//! What a message holds: one text, or several parts.

use std::borrow::Cow;

use serde::Serialize;

use super::At;
use crate::domain::{
    fault::Fault,
    message::{Content as Held, Media, Message, ToolResult},
};

/// Content: a text, or several parts.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Content<'a, P> {
    /// One text.
    Text(Cow<'a, str>),
    /// Parts.
    Parts(Vec<P>),
}

/// A part, as a protocol writes it.
pub(crate) trait MaybeText<'a>: Sized {
    /// A text.
    fn text(text: Cow<'a, str>) -> Self;

    /// The text that it is.
    ///
    /// # Errors
    /// Itself, when it is something else.
    fn into_text(self) -> Result<Cow<'a, str>, Self>;
}

/// What is so with every enum of parts that has a variant `Text { text }`.
macro_rules! maybe_text {
    ($part:ident) => {
        impl<'a> $crate::provider::conversation::MaybeText<'a> for $part<'a> {
            fn text(text: std::borrow::Cow<'a, str>) -> Self {
                Self::Text { text }
            }

            fn into_text(self) -> Result<std::borrow::Cow<'a, str>, Self> {
                if let Self::Text { text } = self {
                    Ok(text)
                } else {
                    Err(self)
                }
            }
        }
    };
}
pub(crate) use maybe_text;

impl<'a, P: MaybeText<'a>> Content<'a, P> {
    /// One text stands alone, as every vendor takes it; anything else is an array.
    pub(crate) fn of(mut parts: Vec<P>) -> Self {
        match (parts.pop(), parts.is_empty()) {
            (None, _) => Self::Text(Cow::Borrowed("")),
            (Some(only), true) => match only.into_text() {
                Ok(text) => Self::Text(text),
                Err(only) => Self::Parts(vec![only]),
            },
            (Some(last), false) => {
                parts.push(last);
                Self::Parts(parts)
            }
        }
    }
}

/// The texts and the media of an author's message. `encode` writes media, or says why the vendor does
/// not take them.
///
/// # Errors
/// When there are media that the vendor does not take.
pub(crate) fn said<'a, P: MaybeText<'a>>(
    message: &'a Message,
    at: At,
    encode: impl Fn(&'a Media) -> Result<P, &'static str>,
) -> Result<Vec<P>, Fault> {
    let mut parts = Vec::with_capacity(message.parts.len());
    for (number, part) in message.parts.iter().enumerate() {
        match &part.content {
            Held::Text(text) => parts.push(P::text(text.into())),
            Held::Media(media) => {
                parts.push(encode(media).map_err(|why| at.part(number).refuse(why))?);
            }
            Held::Reasoning(_) | Held::ToolCall(_) | Held::ToolResult(_) => {}
        }
    }
    Ok(parts)
}

/// The text of a result. What the model shall see as an error says so: there is no other word for it.
pub(crate) fn text_of(result: &ToolResult) -> Cow<'static, str> {
    let text = result.joined_text();
    if result.is_error {
        format!("Error: {text}").into()
    } else {
        text.into()
    }
}

/// The media of a result.
pub(crate) fn media_of(result: &ToolResult) -> impl Iterator<Item = &Media> {
    result.parts.iter().filter_map(|part| match &part.content {
        Held::Media(media) => Some(media),
        Held::Text(_) | Held::Reasoning(_) | Held::ToolCall(_) | Held::ToolResult(_) => None,
    })
}

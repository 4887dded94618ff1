//! Conversations, in the words of the protocol.
//!
//! Rules, where the two do not meet:
//! - Reasoning of earlier turns is left out, unless the vendor wants it back.
//! - A tool's result is text only: its media follow in a message of the user, after all results of
//!   the turn. What the model shall see as an error begins with `Error: `.
//! - A call goes out under the id that this family has given it, else under its own.
//! - Arguments that are no JSON object go out as `{}`: vendors refuse the whole conversation otherwise.
//! - Media in an assistant's message become a note in its text: no vendor takes them back.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use super::Text;
use crate::{
    domain::{
        fault::Fault,
        id::CallId,
        message::{Content, Media, MediaSource, Message, Part, Role, ToolResult},
    },
    provider::{
        names::PlainNames,
        openai::{
            Dialect, FAMILY, Quirks, ReasoningField,
            wire::request::{
                Content as WireContent, File, FunctionCall, ImageUrl, InputAudio,
                Message as WireMessage, Part as WirePart, Thought, ToolCall,
            },
        },
    },
};

/// Writes a conversation.
///
/// # Errors
/// `INVALID_REQUEST` naming the part whose media the protocol has no words for.
pub(crate) fn encode<'a>(
    messages: &'a [Arc<Message>],
    quirks: &Quirks,
    names: &PlainNames<'_>,
) -> Result<Vec<WireMessage<'a>>, Fault> {
    let mut encoder = Encoder {
        quirks,
        names,
        ids: wire_ids(messages),
        out: Vec::with_capacity(messages.len()),
        shown: Vec::new(),
    };
    for (number, message) in messages.iter().enumerate() {
        if message.role != Role::Tool {
            encoder.show();
        }
        let field = |part: usize| format!("messages[{number}].parts[{part}]");
        match message.role {
            Role::System => encoder.author("system", message, &field)?,
            Role::User => encoder.author("user", message, &field)?,
            Role::Assistant => encoder.assistant(message),
            Role::Tool => encoder.results(message, &field)?,
        }
    }
    encoder.show();
    if let (Dialect::Mistral, Some(last)) = (quirks.dialect, encoder.out.last_mut()) {
        last.prefix = last.role == "assistant" && last.tool_calls.is_empty();
    }
    Ok(encoder.out)
}

/// The ids that the family itself has given to calls.
fn wire_ids(messages: &[Arc<Message>]) -> HashMap<&CallId, &str> {
    messages
        .iter()
        .flat_map(|message| message.parts.iter().filter_map(wire_id))
        .collect()
}

/// Nine letters and digits that stand for an id: the same ones wherever it stands.
fn nine(id: &str) -> Text<'_> {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    if id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return id.into();
    }
    let digest = Sha256::digest(id);
    let digit = |byte: &u8| DIGITS.get(usize::from(*byte) % DIGITS.len());
    digest
        .iter()
        .filter_map(digit)
        .take(9)
        .map(|digit| char::from(*digit))
        .collect::<String>()
        .into()
}

fn wire_id(part: &Part) -> Option<(&CallId, &str)> {
    let Content::ToolCall(call) = &part.content else {
        return None;
    };
    let state = part.provider_state.as_ref()?;
    Some((&call.id, state.text_of(FAMILY)?))
}

struct Encoder<'a, 'q> {
    quirks: &'q Quirks,
    names: &'q PlainNames<'q>,
    ids: HashMap<&'a CallId, &'a str>,
    out: Vec<WireMessage<'a>>,
    /// Media of results, to be shown once all results of the turn are told.
    shown: Vec<WirePart<'a>>,
}

impl<'a> Encoder<'a, '_> {
    /// A message of the system or the user.
    fn author(
        &mut self,
        role: &'static str,
        message: &'a Message,
        field: &dyn Fn(usize) -> String,
    ) -> Result<(), Fault> {
        let mut parts = Vec::with_capacity(message.parts.len());
        for (number, part) in message.parts.iter().enumerate() {
            match &part.content {
                Content::Text(text) => parts.push(WirePart::Text {
                    text: Text::Borrowed(text),
                }),
                Content::Media(media) => {
                    parts.push(encode_media(media, self.quirks.dialect, &|| field(number))?);
                }
                Content::Reasoning(_) | Content::ToolCall(_) | Content::ToolResult(_) => {}
            }
        }
        if role == "user" {
            self.speak_between();
        }
        let mut encoded = WireMessage::new(role, content_of(parts));
        encoded.name = self.name_of(message);
        self.out.push(encoded);
        Ok(())
    }

    fn assistant(&mut self, message: &'a Message) {
        let mut encoded = WireMessage::new("assistant", content_of(Vec::new()));
        let (mut parts, mut reasoning) = (Vec::new(), String::new());
        for part in &message.parts {
            match &part.content {
                Content::Text(text) => parts.push(WirePart::Text {
                    text: Text::Borrowed(text),
                }),
                Content::Media(media) => parts.push(WirePart::Text {
                    text: format!("[{}]", media.media_type).into(),
                }),
                Content::Reasoning(text) if text.is_empty() => {}
                Content::Reasoning(text) if self.quirks.dialect == Dialect::Mistral => {
                    parts.push(thinking(text));
                }
                Content::Reasoning(text) => reasoning.push_str(text),
                Content::ToolCall(call) => encoded.tool_calls.push(ToolCall {
                    id: self.id_of(&call.id),
                    kind: "function",
                    function: FunctionCall {
                        name: self.names.to_wire(&call.name),
                        arguments: match call.arguments() {
                            Ok(_) if !call.arguments.trim().is_empty() => &call.arguments,
                            Ok(_) | Err(_) => "{}",
                        },
                    },
                }),
                Content::ToolResult(_) => {}
            }
        }
        let is_thought = |part: &WirePart<'_>| matches!(part, WirePart::Thinking { .. });
        if parts.iter().all(is_thought) && encoded.tool_calls.is_empty() {
            // Nothing that could be told, such as reasoning alone.
            return;
        }
        encoded.content = (!parts.is_empty()).then(|| content_of(parts));
        encoded.name = self.name_of(message);
        if !reasoning.is_empty() {
            match self.quirks.reasoning_back {
                Some(ReasoningField::ReasoningContent) => {
                    encoded.reasoning_content = Some(reasoning);
                }
                Some(ReasoningField::Reasoning) => encoded.reasoning = Some(reasoning),
                None => {}
            }
        }
        self.out.push(encoded);
    }

    fn results(
        &mut self,
        message: &'a Message,
        field: &dyn Fn(usize) -> String,
    ) -> Result<(), Fault> {
        for (number, part) in message.parts.iter().enumerate() {
            let Content::ToolResult(result) = &part.content else {
                continue;
            };
            let id = self.id_of(&result.call_id);
            let mut parts = vec![WirePart::Text {
                text: result_text(result),
            }];
            if self.quirks.dialect == Dialect::Mistral {
                for media in media_of(result) {
                    parts.push(encode_media(media, Dialect::Mistral, &|| field(number))?);
                }
            } else {
                self.show_later(result, &id, &|| field(number))?;
            }
            let mut encoded = WireMessage::new("tool", content_of(parts));
            encoded.tool_call_id = Some(id);
            self.out.push(encoded);
        }
        Ok(())
    }

    fn show_later(
        &mut self,
        result: &'a ToolResult,
        id: &str,
        field: &dyn Fn() -> String,
    ) -> Result<(), Fault> {
        let mut first = true;
        for media in media_of(result) {
            if std::mem::take(&mut first) {
                self.shown.push(WirePart::Text {
                    text: format!("Part of the result of the tool call {id}:").into(),
                });
            }
            self.shown
                .push(encode_media(media, self.quirks.dialect, field)?);
        }
        Ok(())
    }

    /// Tells the media of results, if there are any.
    fn show(&mut self) {
        if !self.shown.is_empty() {
            let parts = std::mem::take(&mut self.shown);
            self.out
                .push(WireMessage::new("user", WireContent::Parts(parts)));
        }
    }

    fn name_of(&self, message: &Message) -> Option<Text<'a>> {
        let name = message.name.as_deref().filter(|_| self.quirks.names)?;
        plain_name(name)
    }

    fn id_of(&self, id: &'a CallId) -> Text<'a> {
        let id = self.ids.get(id).copied().unwrap_or_else(|| id.as_str());
        match self.quirks.dialect {
            Dialect::OpenAi => id.into(),
            Dialect::Mistral => nine(id),
        }
    }

    /// Where a user may not speak straight after a tool, the assistant takes notice in between.
    fn speak_between(&mut self) {
        let after_a_tool = self.out.last().is_some_and(|last| last.role == "tool");
        if after_a_tool && self.quirks.dialect == Dialect::Mistral {
            let notice = WireContent::Text(Cow::Borrowed("OK."));
            self.out.push(WireMessage::new("assistant", notice));
        }
    }
}

fn thinking(text: &str) -> WirePart<'_> {
    let text = Text::Borrowed(text);
    WirePart::Thinking {
        thinking: [Thought { kind: "text", text }],
    }
}

fn media_of(result: &ToolResult) -> impl Iterator<Item = &Media> {
    result.parts.iter().filter_map(|part| match &part.content {
        Content::Media(media) => Some(media),
        Content::Text(_)
        | Content::Reasoning(_)
        | Content::ToolCall(_)
        | Content::ToolResult(_) => None,
    })
}

/// One text stands alone, as every vendor takes it; anything else is an array.
fn content_of(mut parts: Vec<WirePart<'_>>) -> WireContent<'_> {
    match (parts.pop(), parts.is_empty()) {
        (None, _) => WireContent::Text(Cow::Borrowed("")),
        (Some(WirePart::Text { text }), true) => WireContent::Text(text),
        (Some(last), _) => {
            parts.push(last);
            WireContent::Parts(parts)
        }
    }
}

fn result_text(result: &ToolResult) -> Text<'_> {
    let text = result.joined_text();
    if result.is_error {
        format!("Error: {text}").into()
    } else {
        text.into()
    }
}

/// A name as OpenAI takes it: at most 64 of `a-z A-Z 0-9 _ -`, others replaced.
fn plain_name<'a>(name: &str) -> Option<Text<'a>> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let cut = name.chars().take(64);
    let name: String = cut.map(|c| if plain(c) { c } else { '_' }).collect();
    (!name.is_empty()).then(|| name.into())
}

fn encode_media<'a>(
    media: &'a Media,
    dialect: Dialect,
    field: &dyn Fn() -> String,
) -> Result<WirePart<'a>, Fault> {
    let refuse = |what: &str| Err(Fault::invalid(field(), what));
    let kind = media.media_type.split_once('/').map(|(kind, _)| kind);
    match (kind, &media.source) {
        (Some("image"), MediaSource::Uri(uri)) => Ok(WirePart::ImageUrl {
            image_url: ImageUrl { url: uri.into() },
        }),
        (Some("image"), MediaSource::Inline(bytes)) => Ok(WirePart::ImageUrl {
            image_url: ImageUrl {
                url: data_url(&media.media_type, bytes).into(),
            },
        }),
        (Some("audio"), MediaSource::Inline(bytes)) if dialect == Dialect::Mistral => {
            Ok(WirePart::PlainAudio {
                input_audio: STANDARD.encode(bytes),
            })
        }
        (Some("audio"), MediaSource::Inline(bytes)) => match audio_format(&media.media_type) {
            Some(format) => Ok(WirePart::InputAudio {
                input_audio: InputAudio {
                    data: STANDARD.encode(bytes),
                    format,
                },
            }),
            None => refuse("the provider takes audio as WAV or MP3 only"),
        },
        (Some("audio"), MediaSource::Uri(_)) => refuse("the provider takes audio inline only"),
        _ if media.media_type == "application/pdf" && dialect == Dialect::Mistral => {
            Ok(WirePart::DocumentUrl {
                document_url: match &media.source {
                    MediaSource::Inline(bytes) => data_url(&media.media_type, bytes).into(),
                    MediaSource::Uri(uri) => uri.into(),
                },
                document_name: media.filename.as_deref().map(Cow::Borrowed),
            })
        }
        _ if media.media_type == "application/pdf" => match &media.source {
            MediaSource::Inline(bytes) => Ok(WirePart::File {
                file: File {
                    filename: media.filename.as_deref().unwrap_or("document.pdf").into(),
                    file_data: data_url(&media.media_type, bytes),
                },
            }),
            MediaSource::Uri(_) => refuse("the provider takes documents inline only"),
        },
        _ => refuse("the provider does not take media of this type"),
    }
}

fn audio_format(media_type: &str) -> Option<&'static str> {
    match media_type {
        "audio/wav" | "audio/x-wav" | "audio/wave" => Some("wav"),
        "audio/mpeg" | "audio/mp3" => Some("mp3"),
        _ => None,
    }
}

fn data_url(media_type: &str, bytes: &[u8]) -> String {
    let mut url = format!("data:{media_type};base64,");
    STANDARD.encode_string(bytes, &mut url);
    url
}

//! Conversations, in the words of the protocol.
//!
//! Rules, where the two do not meet:
//! - Reasoning of earlier turns is left out, unless the vendor wants it back.
//! - A tool's result is text only: its media follow in a message of the user, after all results of
//!   the turn. What the model shall see as an error begins with `Error: `.
//! - A call goes out under the id that this family has given it, else under its own, made to fit.
//! - Arguments that are no JSON object go out as `{}`: vendors refuse the whole conversation otherwise.
//! - Media in an assistant's message become a note in its text: no vendor takes them back.

use std::{borrow::Cow, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::value::RawValue;

use crate::{
    domain::{
        fault::Fault,
        message::{Content, Media, MediaSource, Message, Part, ToolResult},
        model::ModelRef,
    },
    provider::{
        conversation::{At, Form, Ids, MaybeText, Tell, media_of, said, tell, text_of},
        function,
        media::{ImageUrl, data_url, note, url},
        names::PlainNames,
        openai::{
            Dialect, FAMILY, Quirks, ReasoningField, details,
            wire::request::{
                Content as WireContent, File, InputAudio, Message as WireMessage, Part as WirePart,
                Thought,
            },
        },
    },
};

/// Ids as OpenAI takes them: it refuses longer ones.
const OPENAI_ID: Form = Form {
    shortest: 1,
    longest: 40,
    takes: |b| b.is_ascii_graphic(),
};
/// Ids as Mistral takes them.
const MISTRAL_ID: Form = Form {
    shortest: 9,
    longest: 9,
    takes: |b| b.is_ascii_alphanumeric(),
};

/// Writes a conversation.
///
/// # Errors
/// `INVALID_REQUEST` naming the part whose media the protocol has no words for.
pub(crate) fn encode<'a>(
    messages: &'a [Arc<Message>],
    model: &ModelRef,
    quirks: &Quirks,
    names: &PlainNames<'_>,
) -> Result<Vec<WireMessage<'a>>, Fault> {
    let form = match quirks.dialect {
        Dialect::OpenAi => OPENAI_ID,
        Dialect::Mistral => MISTRAL_ID,
    };
    let mut encoder = Encoder {
        model,
        quirks,
        names,
        ids: Ids::new(messages, FAMILY, form),
        out: Vec::with_capacity(messages.len()),
        shown: Vec::new(),
    };
    tell(messages, &mut encoder)?;
    if let (Dialect::Mistral, Some(last)) = (quirks.dialect, encoder.out.last_mut()) {
        last.prefix = last.role == "assistant" && last.tool_calls.is_empty();
    }
    Ok(encoder.out)
}

struct Encoder<'a, 'q> {
    model: &'q ModelRef,
    quirks: &'q Quirks,
    names: &'q PlainNames<'q>,
    ids: Ids<'a>,
    out: Vec<WireMessage<'a>>,
    /// Media of results, to be shown once all results of the turn are told.
    shown: Vec<WirePart<'a>>,
}

impl<'a> Tell<'a> for Encoder<'a, '_> {
    fn author(&mut self, role: &'static str, message: &'a Message, at: At) -> Result<(), Fault> {
        let dialect = self.quirks.dialect;
        let parts = said(message, at, |media| encode_media(media, dialect))?;
        if role == "user" {
            self.speak_between();
        }
        let mut encoded = WireMessage::new(role, WireContent::of(parts));
        encoded.name = self.name_of(message);
        self.out.push(encoded);
        Ok(())
    }

    fn assistant(&mut self, message: &'a Message) -> Result<(), Fault> {
        let mut encoded = WireMessage::new("assistant", WireContent::of(Vec::new()));
        let (mut parts, mut reasoning) = (Vec::new(), String::new());
        for part in &message.parts {
            match &part.content {
                Content::Text(text) => parts.push(WirePart::text(text.into())),
                Content::Media(media) => parts.push(WirePart::text(note(media).into())),
                Content::Reasoning(_) if self.details_of(part).is_some() => {
                    encoded.reasoning_details = self.details_of(part);
                }
                Content::Reasoning(text) if text.is_empty() => {}
                Content::Reasoning(text) if self.quirks.dialect == Dialect::Mistral => {
                    parts.push(thinking(text));
                }
                Content::Reasoning(text) => reasoning.push_str(text),
                Content::ToolCall(call) => {
                    let id = self.ids.of(&call.id);
                    let call = function::Call::of(call, id, self.names);
                    encoded.tool_calls.push(call);
                }
                Content::ToolResult(_) => {}
            }
        }
        let is_thought = |part: &WirePart<'_>| matches!(part, WirePart::Thinking { .. });
        if parts.iter().all(is_thought) && encoded.tool_calls.is_empty() {
            // Nothing that could be told, such as reasoning alone.
            return Ok(());
        }
        encoded.content = (!parts.is_empty()).then(|| WireContent::of(parts));
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
        Ok(())
    }

    fn result(&mut self, result: &'a ToolResult, at: At) -> Result<(), Fault> {
        let dialect = self.quirks.dialect;
        let mut media = media_of(result)
            .map(|media| encode_media(media, dialect).map_err(|why| at.refuse(why)))
            .collect::<Result<Vec<_>, _>>()?;
        let id = self.ids.of(&result.call_id);
        let mut parts = vec![WirePart::text(text_of(result))];
        if dialect == Dialect::Mistral {
            parts.append(&mut media);
        } else if !media.is_empty() {
            let of = format!("Part of the result of the tool call {id}:");
            self.shown.push(WirePart::text(of.into()));
            self.shown.append(&mut media);
        }
        let mut encoded = WireMessage::new("tool", WireContent::of(parts));
        encoded.tool_call_id = Some(id);
        self.out.push(encoded);
        Ok(())
    }

    fn end_of_results(&mut self) {
        if !self.shown.is_empty() {
            let parts = std::mem::take(&mut self.shown);
            self.out
                .push(WireMessage::new("user", WireContent::Parts(parts)));
        }
    }
}

impl<'a> Encoder<'a, '_> {
    /// What goes back in place of reasoning, where the vendor has such.
    fn details_of(&self, part: &'a Part) -> Option<&'a RawValue> {
        let has_such = self.quirks.reasoning_back == Some(ReasoningField::Reasoning);
        has_such.then(|| details::of(part, self.model)).flatten()
    }

    fn name_of(&self, message: &Message) -> Option<Cow<'a, str>> {
        let name = message.name.as_deref().filter(|_| self.quirks.names)?;
        plain_name(name)
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
    let text = Cow::Borrowed(text);
    WirePart::Thinking {
        thinking: [Thought { kind: "text", text }],
    }
}

/// A name as OpenAI takes it: at most 64 of `a-z A-Z 0-9 _ -`, others replaced.
fn plain_name<'a>(name: &str) -> Option<Cow<'a, str>> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let cut = name.chars().take(64);
    let name: String = cut.map(|c| if plain(c) { c } else { '_' }).collect();
    (!name.is_empty()).then(|| name.into())
}

fn encode_media(media: &Media, dialect: Dialect) -> Result<WirePart<'_>, &'static str> {
    let kind = media.media_type.split_once('/').map(|(kind, _)| kind);
    match (kind, &media.source) {
        (Some("image"), _) => Ok(WirePart::ImageUrl {
            image_url: ImageUrl { url: url(media) },
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
            None => Err("the provider takes audio as WAV or MP3 only"),
        },
        (Some("audio"), MediaSource::Uri(_)) => Err("the provider takes audio inline only"),
        _ if media.media_type != "application/pdf" => {
            Err("the provider does not take media of this type")
        }
        _ if dialect == Dialect::Mistral => Ok(WirePart::DocumentUrl {
            document_url: url(media),
            document_name: media.filename.as_deref().map(Cow::Borrowed),
        }),
        (_, MediaSource::Inline(bytes)) => Ok(WirePart::File {
            file: File {
                filename: media.filename.as_deref().unwrap_or("document.pdf").into(),
                file_data: data_url(&media.media_type, bytes),
            },
        }),
        (_, MediaSource::Uri(_)) => Err("the provider takes documents inline only"),
    }
}

fn audio_format(media_type: &str) -> Option<&'static str> {
    match media_type {
        "audio/wav" | "audio/x-wav" | "audio/wave" => Some("wav"),
        "audio/mpeg" | "audio/mp3" => Some("mp3"),
        _ => None,
    }
}

//! Conversations, in the words of the protocol.
//!
//! Rules, where the two do not meet:
//! - System messages in front stand above the conversation; later ones are the user's, in `<system>`
//!   tags.
//! - Messages of one role that follow each other are one. A conversation begins with the user: where
//!   the model comes first, or nobody, a placeholder of the user's stands in front.
//! - What the model has said goes back with its signatures, each on its own part. Thoughts without one
//!   are left out, and so is the reasoning of other families.
//! - A call that another model has made has no signature. Models that insist on one take a word in its
//!   place that Google's guide "Thought signatures" names for this very purpose.
//! - Results stand in the order of their calls. Media of results are parts of the result, or follow all
//!   results of the turn where the model is too old for that.
//! - Arguments that are no JSON object go out as none.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Generation, Names};
use crate::{
    domain::{
        fault::Fault,
        id::CallId,
        message::{Content, Media, MediaSource, Message, Part, Role, ToolCall, ToolResult},
    },
    provider::{
        body::{self, unwritable},
        gemini::{
            state::State,
            wire::{
                Blob, Content as WireContent, FileData, FunctionCall, FunctionResponse, KnownPart,
                Output, Part as WirePart, Response,
            },
        },
        media::in_data_url,
    },
};

/// Stands for a signature on a call that was made elsewhere.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";
/// Stands for a user who has said nothing.
const PLACEHOLDER: &str = "(continued)";

/// Writes a conversation: what stands above it, and its messages.
///
/// # Errors
/// `INVALID_REQUEST` naming what the protocol has no words for.
pub(super) fn encode<'a>(
    messages: &'a [Arc<Message>],
    generation: Generation,
    names: &Names<'_>,
) -> Result<(Option<WireContent<'a>>, Vec<WireContent<'a>>), Fault> {
    let mut encoder = Encoder {
        generation,
        names,
        calls: calls(messages),
        system: Vec::new(),
        out: Vec::with_capacity(messages.len() + 1),
        results: Vec::new(),
        shown: Vec::new(),
    };
    for (number, message) in messages.iter().enumerate() {
        encoder.message(message, &|part| format!("messages[{number}].parts[{part}]"))?;
    }
    encoder.end_of_results();
    if encoder
        .out
        .first()
        .is_none_or(|first| first.role != Some(USER))
    {
        let parts = vec![text(PLACEHOLDER)];
        encoder.out.insert(
            0,
            WireContent {
                role: Some(USER),
                parts,
            },
        );
    }
    let system = (!encoder.system.is_empty()).then_some(WireContent {
        role: None,
        parts: encoder.system,
    });
    Ok((system, encoder.out))
}

const USER: &str = "user";
const MODEL: &str = "model";

/// A call, as its result needs to know it.
struct Called<'a> {
    /// Its place among all calls.
    place: usize,
    name: &'a str,
    /// The family's own id.
    id: Option<String>,
}

fn calls(messages: &[Arc<Message>]) -> HashMap<&CallId, Called<'_>> {
    let parts = messages.iter().flat_map(|message| &message.parts);
    parts
        .enumerate()
        .filter_map(|(place, part)| called(place, part))
        .collect()
}

fn called(place: usize, part: &Part) -> Option<(&CallId, Called<'_>)> {
    let Content::ToolCall(call) = &part.content else {
        return None;
    };
    let id = State::of(part).and_then(|state| state.id);
    let name = &*call.name;
    Some((&call.id, Called { place, name, id }))
}

struct Encoder<'a, 'n> {
    generation: Generation,
    names: &'n Names<'n>,
    calls: HashMap<&'a CallId, Called<'a>>,
    system: Vec<WirePart<'a>>,
    out: Vec<WireContent<'a>>,
    /// The results of the turn, with the places of their calls.
    results: Vec<(usize, WirePart<'a>)>,
    /// Media of results that cannot stand in them.
    shown: Vec<WirePart<'a>>,
}

impl<'a> Encoder<'a, '_> {
    fn message(
        &mut self,
        message: &'a Message,
        field: &dyn Fn(usize) -> String,
    ) -> Result<(), Fault> {
        if message.role != Role::Tool {
            self.end_of_results();
        }
        match message.role {
            Role::System => self.system(message, field),
            Role::User => {
                let parts = said(message, field)?;
                self.add(USER, parts);
                Ok(())
            }
            Role::Assistant => self.assistant(message),
            Role::Tool => self.tool(message, field),
        }
    }

    fn system(
        &mut self,
        message: &'a Message,
        field: &dyn Fn(usize) -> String,
    ) -> Result<(), Fault> {
        for (number, part) in message.parts.iter().enumerate() {
            if let Content::Media(_) = part.content {
                return Err(Fault::invalid(
                    field(number),
                    "the provider takes no media in system messages",
                ));
            }
        }
        if self.out.is_empty() {
            self.system.extend(said(message, field)?);
        } else {
            let wrapped = format!("<system>{}</system>", message.joined_text());
            self.add(USER, vec![text(wrapped)]);
        }
        Ok(())
    }

    fn assistant(&mut self, message: &'a Message) -> Result<(), Fault> {
        let mut parts = Vec::with_capacity(message.parts.len());
        let mut is_first_call = true;
        for part in &message.parts {
            let state = State::of(part).unwrap_or_default();
            match &part.content {
                Content::Text(_) | Content::Media(_) | Content::Reasoning(_) => {
                    parts.extend(model_part(part, state)?);
                }
                Content::ToolCall(call) => {
                    parts.push(self.call(call, state, is_first_call)?);
                    is_first_call = false;
                }
                Content::ToolResult(_) => {}
            }
        }
        self.add(MODEL, parts);
        Ok(())
    }

    fn call(
        &self,
        call: &'a ToolCall,
        state: State,
        is_first: bool,
    ) -> Result<WirePart<'a>, Fault> {
        let is_object = !call.arguments.trim().is_empty() && call.arguments().is_ok();
        let args = is_object.then(|| serde_json::from_str(&call.arguments));
        // Of calls that come together only the first is signed.
        let insists = is_first && self.generation == Generation::Level;
        let placeholder = insists.then_some(Cow::Borrowed(NO_SIGNATURE));
        Ok(known(KnownPart {
            function_call: Some(FunctionCall {
                id: state.id.map(Cow::Owned),
                name: self.names.to_wire(&call.name),
                args: args.transpose().map_err(|_error| unwritable())?,
            }),
            thought_signature: state.signature.map(Cow::Owned).or(placeholder),
            ..KnownPart::default()
        }))
    }

    fn tool(&mut self, message: &'a Message, field: &dyn Fn(usize) -> String) -> Result<(), Fault> {
        for (number, part) in message.parts.iter().enumerate() {
            let Content::ToolResult(result) = &part.content else {
                continue;
            };
            let Some(called) = self.calls.get(&result.call_id) else {
                return Err(Fault::invalid(
                    field(number),
                    "the result belongs to no call of the conversation",
                ));
            };
            let (place, name, id) = (called.place, called.name, called.id.clone());
            let mut media = Vec::new();
            for part in &result.parts {
                if let Content::Media(one) = &part.content {
                    media.push(encode_media(one));
                }
            }
            if self.generation == Generation::Budget && !media.is_empty() {
                self.shown
                    .push(text(format!("Part of the result of {name}:")));
                self.shown.extend(media.drain(..).map(known));
            }
            let response = FunctionResponse {
                id: id.map(Cow::Owned),
                name: self.names.to_wire(name),
                response: response_of(result)?,
                parts: media,
            };
            let part = known(KnownPart {
                function_response: Some(response),
                ..KnownPart::default()
            });
            self.results.push((place, part));
        }
        Ok(())
    }

    /// Tells the results of the turn, if there are any, in the order of their calls.
    fn end_of_results(&mut self) {
        if self.results.is_empty() {
            return;
        }
        self.results.sort_by_key(|(place, _)| *place);
        let results = std::mem::take(&mut self.results).into_iter();
        let mut parts: Vec<_> = results.map(|(_, part)| part).collect();
        parts.append(&mut self.shown);
        // A turn of results is answered as one: nothing else is folded into it.
        self.out.push(WireContent {
            role: Some(USER),
            parts,
        });
    }

    /// Adds what somebody says, to the message before if that is of the same role and no result.
    fn add(&mut self, role: &'static str, mut parts: Vec<WirePart<'a>>) {
        if parts.is_empty() {
            return;
        }
        match self.out.last_mut() {
            Some(last) if last.role == Some(role) && !has_results(last) => {
                last.parts.append(&mut parts);
            }
            Some(_) | None => self.out.push(WireContent {
                role: Some(role),
                parts,
            }),
        }
    }
}

fn has_results(content: &WireContent<'_>) -> bool {
    let is_result = |part: &WirePart<'_>| match part {
        WirePart::Known(part) => part.function_response.is_some(),
        WirePart::Raw(_) => false,
    };
    content.parts.iter().any(is_result)
}

/// Texts and media, without empty texts: the provider refuses a message of nothing else.
fn said<'a>(
    message: &'a Message,
    field: &dyn Fn(usize) -> String,
) -> Result<Vec<WirePart<'a>>, Fault> {
    let mut parts = Vec::with_capacity(message.parts.len());
    for (number, part) in message.parts.iter().enumerate() {
        match &part.content {
            Content::Text(words) if words.is_empty() => {}
            Content::Text(words) => parts.push(text(&**words)),
            Content::Media(media) if media.media_type.contains('/') => {
                parts.push(known(encode_media(media)));
            }
            Content::Media(_) => {
                return Err(Fault::invalid(field(number), "media have no media type"));
            }
            Content::Reasoning(_) | Content::ToolCall(_) | Content::ToolResult(_) => {}
        }
    }
    Ok(parts)
}

/// A part of the model's own words, with its signature.
fn model_part(part: &Part, state: State) -> Result<Option<WirePart<'_>>, Fault> {
    if let Some(raw) = state.part {
        return Ok(Some(WirePart::Raw(raw)));
    }
    let signature = state.signature.map(Cow::Owned);
    let mut encoded = match &part.content {
        Content::Text(words) if words.is_empty() && signature.is_none() => return Ok(None),
        Content::Text(words) => KnownPart {
            text: Some(words.into()),
            ..KnownPart::default()
        },
        Content::Reasoning(words) if signature.is_some() => KnownPart {
            text: Some(words.into()),
            thought: state.thought,
            ..KnownPart::default()
        },
        Content::Media(media) => encode_media(media),
        Content::Reasoning(_) | Content::ToolCall(_) | Content::ToolResult(_) => return Ok(None),
    };
    encoded.thought_signature = signature;
    Ok(Some(known(encoded)))
}

fn response_of(result: &ToolResult) -> Result<Response<'_>, Fault> {
    if result.is_error {
        return Ok(Response::Error(result.joined_text().into()));
    }
    let has_text = |part: &Part| matches!(part.content, Content::Text(_));
    Ok(Response::Output(match &result.structured {
        Some(json) if !result.parts.iter().any(has_text) => Output::Json(body::raw(json)?),
        Some(_) | None => Output::Text(result.joined_text().into()),
    }))
}

fn encode_media(media: &Media) -> KnownPart<'_> {
    let inline = |mime_type, data| KnownPart {
        inline_data: Some(Blob { mime_type, data }),
        ..KnownPart::default()
    };
    match &media.source {
        MediaSource::Inline(bytes) => {
            inline((&media.media_type).into(), STANDARD.encode(bytes).into())
        }
        MediaSource::Uri(uri) => match in_data_url(uri) {
            Some((mime_type, data)) => inline(mime_type.into(), data.into()),
            None => KnownPart {
                file_data: Some(FileData {
                    mime_type: &media.media_type,
                    file_uri: uri,
                }),
                ..KnownPart::default()
            },
        },
    }
}

fn text<'a>(words: impl Into<Cow<'a, str>>) -> WirePart<'a> {
    known(KnownPart {
        text: Some(words.into()),
        ..KnownPart::default()
    })
}

fn known(part: KnownPart<'_>) -> WirePart<'_> {
    WirePart::Known(Box::new(part))
}

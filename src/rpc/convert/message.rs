//! Messages, their parts, and how they grow.

use std::sync::Arc;

use bytes::Bytes;

use super::{At, count, small_count};
use crate::{
    domain::{
        completion::{Delta, Grown},
        fault::Fault,
        id::{CallId, MessageId},
        message::{
            Content, Media, MediaSource, Message, Part, ProviderState, Role, ToolCall, ToolResult,
        },
        model::{FinishReason, Usage},
    },
    pb::v1,
};

/// Most messages of one request, and most parts of one message.
const MOST_MESSAGES: usize = 10_000;
const MOST_PARTS: usize = 1_000;

/// A conversation: at least one message.
pub(super) fn decode_all(
    messages: Vec<v1::Message>,
    at: &At<'_>,
) -> Result<Vec<Arc<Message>>, Fault> {
    if messages.is_empty() {
        return Err(at.invalid("holds no message"));
    }
    at.at_most(messages.len(), MOST_MESSAGES)?;
    messages
        .into_iter()
        .enumerate()
        .map(|(index, message)| decode(message, &at.index(index)).map(Arc::new))
        .collect()
}

fn decode(message: v1::Message, at: &At<'_>) -> Result<Message, Fault> {
    let role = decode_role(message.role(), &at.field("role"))?;
    let id = if message.id.is_empty() {
        None
    } else {
        let id = MessageId::parse(&message.id);
        Some(id.map_err(|error| at.field("id").invalid(error.to_string()))?)
    };
    let at_parts = at.field("parts");
    // A model may answer nothing at all, and callers send back what they were given.
    if message.parts.is_empty() && role != Role::Assistant {
        return Err(at_parts.invalid("holds no part"));
    }
    at_parts.at_most(message.parts.len(), MOST_PARTS)?;
    let mut parts = Vec::with_capacity(message.parts.len());
    for (index, part) in message.parts.into_iter().enumerate() {
        let at_part = at_parts.index(index);
        let part = decode_part(part, &at_part)?;
        if !may_hold(role, &part.content) {
            return Err(at_part.invalid(format!("does not belong in a message of role {role:?}")));
        }
        parts.push(part);
    }
    Ok(Message {
        id,
        role,
        parts,
        name: (!message.name.is_empty()).then_some(message.name),
    })
}

fn decode_role(role: v1::Role, at: &At<'_>) -> Result<Role, Fault> {
    Ok(match role {
        v1::Role::Unspecified => return Err(at.invalid("is required")),
        v1::Role::System => Role::System,
        v1::Role::User => Role::User,
        v1::Role::Assistant => Role::Assistant,
        v1::Role::Tool => Role::Tool,
    })
}

const fn may_hold(role: Role, content: &Content) -> bool {
    match content {
        Content::Text(_) | Content::Media(_) => !matches!(role, Role::Tool),
        Content::Reasoning(_) | Content::ToolCall(_) => matches!(role, Role::Assistant),
        Content::ToolResult(_) => matches!(role, Role::Tool),
    }
}

fn decode_part(part: v1::Part, at: &At<'_>) -> Result<Part, Fault> {
    use v1::part::Content as Wire;
    let content = match at.field("content").required(part.content)? {
        Wire::Text(text) => Content::Text(text),
        Wire::Reasoning(reasoning) => Content::Reasoning(reasoning.text),
        Wire::Media(media) => Content::Media(decode_media(media, &at.field("media"))?),
        Wire::ToolCall(call) => Content::ToolCall(decode_call(call, &at.field("tool_call"))?),
        Wire::ToolResult(result) => {
            Content::ToolResult(decode_result(result, &at.field("tool_result"))?)
        }
    };
    Ok(Part {
        content,
        provider_state: decode_state(&part.provider_state, &at.field("provider_state"))?,
        cache_breakpoint: part.cache_breakpoint,
    })
}

fn decode_state(envelope: &Bytes, at: &At<'_>) -> Result<Option<ProviderState>, Fault> {
    if envelope.is_empty() {
        return Ok(None);
    }
    let state = ProviderState::from_envelope(envelope);
    at.required(state)
        .map(Some)
        .map_err(|_missing| at.invalid("is not a state that this server gave out"))
}

fn decode_media(media: v1::Media, at: &At<'_>) -> Result<Media, Fault> {
    let at_type = at.field("media_type");
    if !media.media_type.contains('/') || !media.media_type.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(at_type.invalid("is not a media type"));
    }
    let source = match at.field("source").required(media.source)? {
        v1::media::Source::Data(data) if data.is_empty() => {
            return Err(at.field("data").invalid("is empty"));
        }
        v1::media::Source::Data(data) => MediaSource::Inline(data),
        v1::media::Source::Uri(uri) => {
            if !uri.contains(':') || !uri.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(at.field("uri").invalid("is not a URI"));
            }
            MediaSource::Uri(uri)
        }
    };
    Ok(Media {
        media_type: media.media_type,
        source,
        filename: (!media.filename.is_empty()).then_some(media.filename),
    })
}

fn decode_call(call: v1::ToolCall, at: &At<'_>) -> Result<ToolCall, Fault> {
    if call.name.is_empty() {
        return Err(at.field("name").invalid("is required"));
    }
    Ok(ToolCall {
        id: decode_call_id(&call.id, &at.field("id"))?,
        name: call.name,
        // The model's own text, which may be no JSON: a conversation that holds it must go on.
        arguments: call.arguments_json,
    })
}

/// The id of a call.
pub(super) fn decode_call_id(id: &str, at: &At<'_>) -> Result<CallId, Fault> {
    CallId::parse(id).map_err(|error| at.invalid(error.to_string()))
}

/// A result of a tool: text and media only.
pub(super) fn decode_result(result: v1::ToolResult, at: &At<'_>) -> Result<ToolResult, Fault> {
    let call_id = decode_call_id(&result.call_id, &at.field("call_id"))?;
    let at_json = at.field("structured_json");
    let structured = match &*result.structured_json {
        "" => None,
        text => Some(at_json.json(text)?),
    };
    Ok(ToolResult {
        call_id,
        parts: decode_output(result.parts, &at.field("parts"))?,
        structured,
        is_error: result.is_error,
    })
}

/// Output of a tool: text and media only.
pub(super) fn decode_output(parts: Vec<v1::Part>, at: &At<'_>) -> Result<Vec<Part>, Fault> {
    at.at_most(parts.len(), MOST_PARTS)?;
    let mut output = Vec::with_capacity(parts.len());
    for (index, part) in parts.into_iter().enumerate() {
        let at_part = at.index(index);
        let part = decode_part(part, &at_part)?;
        match part.content {
            Content::Text(_) | Content::Media(_) => output.push(part),
            Content::Reasoning(_) | Content::ToolCall(_) | Content::ToolResult(_) => {
                return Err(at_part.invalid("is neither text nor media"));
            }
        }
    }
    Ok(output)
}

// === out ===

pub(in crate::rpc) fn encode(message: &Message) -> v1::Message {
    v1::Message {
        id: message
            .id
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        role: match message.role {
            Role::System => v1::Role::System,
            Role::User => v1::Role::User,
            Role::Assistant => v1::Role::Assistant,
            Role::Tool => v1::Role::Tool,
        }
        .into(),
        parts: encode_parts(&message.parts),
        name: message.name.clone().unwrap_or_default(),
    }
}

pub(super) fn encode_parts(parts: &[Part]) -> Vec<v1::Part> {
    parts.iter().map(encode_part).collect()
}

fn encode_part(part: &Part) -> v1::Part {
    use v1::part::Content as Wire;
    let content = match &part.content {
        Content::Text(text) => Wire::Text(text.clone()),
        Content::Reasoning(text) => Wire::Reasoning(v1::Reasoning { text: text.clone() }),
        Content::Media(media) => Wire::Media(encode_media(media)),
        Content::ToolCall(call) => Wire::ToolCall(encode_call(call)),
        Content::ToolResult(result) => Wire::ToolResult(encode_result(result)),
    };
    v1::Part {
        content: Some(content),
        provider_state: part
            .provider_state
            .as_ref()
            .map(ProviderState::to_envelope)
            .unwrap_or_default(),
        cache_breakpoint: part.cache_breakpoint,
    }
}

fn encode_media(media: &Media) -> v1::Media {
    v1::Media {
        media_type: media.media_type.clone(),
        source: Some(match &media.source {
            MediaSource::Inline(data) => v1::media::Source::Data(data.clone()),
            MediaSource::Uri(uri) => v1::media::Source::Uri(uri.clone()),
        }),
        filename: media.filename.clone().unwrap_or_default(),
    }
}

pub(super) fn encode_call(call: &ToolCall) -> v1::ToolCall {
    v1::ToolCall {
        id: call.id.to_string(),
        name: call.name.clone(),
        arguments_json: call.arguments.clone(),
    }
}

pub(super) fn encode_result(result: &ToolResult) -> v1::ToolResult {
    v1::ToolResult {
        call_id: result.call_id.to_string(),
        parts: encode_parts(&result.parts),
        structured_json: result
            .structured
            .as_ref()
            .map(|json| json.as_str().to_owned())
            .unwrap_or_default(),
        is_error: result.is_error,
    }
}

pub(super) fn encode_delta(delta: &Delta) -> v1::MessageDelta {
    use v1::message_delta::Delta as Wire;
    let fragment = |id: String, name: String, arguments_json: String| {
        Wire::ToolCall(v1::ToolCallDelta {
            id,
            name,
            arguments_json,
        })
    };
    let grown = match &delta.grown {
        Grown::Text(text) => Wire::Text(text.clone()),
        Grown::Reasoning(text) => Wire::Reasoning(text.clone()),
        Grown::ToolCall { id, name } => fragment(id.to_string(), name.clone(), String::new()),
        Grown::Arguments(text) => fragment(String::new(), String::new(), text.clone()),
    };
    v1::MessageDelta {
        part_index: small_count(delta.part_index),
        delta: Some(grown),
    }
}

pub(super) const fn encode_finish(reason: FinishReason) -> v1::FinishReason {
    match reason {
        FinishReason::Stop => v1::FinishReason::Stop,
        FinishReason::Length => v1::FinishReason::Length,
        FinishReason::ToolCalls => v1::FinishReason::ToolCalls,
        FinishReason::ContentFilter => v1::FinishReason::ContentFilter,
        FinishReason::Other => v1::FinishReason::Other,
    }
}

pub(super) fn encode_usage(usage: &Usage) -> v1::Usage {
    v1::Usage {
        input_tokens: count(usage.input_tokens),
        cache_read_tokens: count(usage.cache_read_tokens),
        cache_write_tokens: count(usage.cache_write_tokens),
        output_tokens: count(usage.output_tokens),
        reasoning_tokens: count(usage.reasoning_tokens),
    }
}

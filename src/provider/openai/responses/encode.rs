//! Writes requests. The same call gives the same bytes.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::value::RawValue;

use super::wire::{
    Body, Content as WireContent, Format, Item, Part, Reasoning, Text, Tool, ToolChoice,
};
use crate::{
    domain::{
        fault::{Fault, Reason},
        id::CallId,
        message::{Content, Media, MediaSource, Message, Part as MessagePart, Role, ToolResult},
        model::{Options, ReasoningEffort, ToolChoice as Choice},
        tool::ToolSpec,
    },
    provider::{
        framing::Framing,
        merge::merge,
        names::PlainNames,
        openai::{FAMILY, OpenAi, strict::is_strict},
        protocol::{Call, Encoded},
    },
    run::port::Answer,
};

/// Writes a request.
///
/// # Errors
/// `INVALID_REQUEST` when the conversation holds media that the protocol has no words for.
pub(crate) fn encode(vendor: &OpenAi, call: Call<'_>) -> Result<Encoded, Fault> {
    let (request, options) = (call.request, &*call.request.options);
    let names = PlainNames::new(&request.tools);
    let tools = request
        .tools
        .iter()
        .map(|tool| encode_tool(tool, &names))
        .collect::<Result<Vec<_>, _>>()?;
    let has_tools = !tools.is_empty();
    let body = Body {
        model: &call.model.model,
        input: Encoder::encode(&request.messages, &names)?,
        tool_choice: encode_choice(&options.tool_choice, &names).filter(|_| has_tools),
        parallel_tool_calls: options.parallel_tool_calls.filter(|_| has_tools),
        tools,
        text: encode_format(options)?,
        max_output_tokens: options.max_output_tokens,
        temperature: options.temperature,
        top_p: options.top_p,
        reasoning: options.reasoning_effort.map(|effort| Reasoning {
            effort: word(effort, vendor.quirks.max_effort),
            summary: (effort != ReasoningEffort::None).then_some("auto"),
        }),
        include: if may_reason(&call.model.model) {
            &["reasoning.encrypted_content"]
        } else {
            &[]
        },
        store: false,
        stream: call.answer == Answer::Streamed,
    };
    let mut body = serde_json::to_string(&body).map_err(|_error| unwritable())?;
    let own = (vendor.name != FAMILY).then(|| options.provider_options.get(&vendor.name));
    let patches = [
        vendor.options.as_ref(),
        options.provider_options.get(FAMILY),
        own.flatten(),
    ];
    for patch in patches.into_iter().flatten() {
        body = merge(&body, patch.as_str()).map_err(|_error| unwritable())?;
    }
    Ok(Encoded {
        path: "/responses".to_owned(),
        headers: Vec::new(),
        body: body.into_bytes(),
        framing: Framing::Sse,
    })
}

/// Models that are known not to reason refuse to be asked for what they thought.
fn may_reason(model: &str) -> bool {
    !["gpt-3", "gpt-4", "chatgpt-4", "ft:gpt-3", "ft:gpt-4"]
        .iter()
        .any(|older| model.starts_with(older))
}

const fn word(effort: ReasoningEffort, max: &'static str) -> &'static str {
    match effort {
        ReasoningEffort::None => "none",
        ReasoningEffort::Minimal => "minimal",
        ReasoningEffort::Low => "low",
        ReasoningEffort::Medium => "medium",
        ReasoningEffort::High => "high",
        ReasoningEffort::Max => max,
    }
}

fn encode_tool<'a>(tool: &'a ToolSpec, names: &PlainNames<'_>) -> Result<Tool<'a>, Fault> {
    Ok(Tool {
        kind: "function",
        name: names.to_wire(tool.name.as_str()),
        description: &tool.description,
        parameters: tool.input_schema.to_raw().map_err(|_error| unwritable())?,
        strict: false,
    })
}

fn encode_choice<'a>(choice: &'a Choice, names: &PlainNames<'_>) -> Option<ToolChoice<'a>> {
    match choice {
        Choice::Auto => None,
        Choice::None => Some(ToolChoice::Mode("none")),
        Choice::Required => Some(ToolChoice::Mode("required")),
        Choice::Tool(name) => Some(ToolChoice::Function {
            kind: "function",
            name: names.to_wire(name.as_str()),
        }),
    }
}

fn encode_format(options: &Options) -> Result<Option<Text<'_>>, Fault> {
    let Some(schema) = &options.output_schema else {
        return Ok(None);
    };
    let format = Format {
        kind: "json_schema",
        name: "answer",
        schema: schema.to_raw().map_err(|_error| unwritable())?,
        strict: is_strict(schema.as_str()),
    };
    Ok(Some(Text { format }))
}

struct Encoder<'a, 'n> {
    names: &'n PlainNames<'n>,
    ids: HashMap<&'a CallId, &'a str>,
    out: Vec<Item<'a>>,
}

impl<'a, 'n> Encoder<'a, 'n> {
    fn encode(
        messages: &'a [Arc<Message>],
        names: &'n PlainNames<'n>,
    ) -> Result<Vec<Item<'a>>, Fault> {
        let parts = messages.iter().flat_map(|message| &message.parts);
        let mut encoder = Self {
            names,
            ids: parts.filter_map(wire_id).collect(),
            out: Vec::with_capacity(messages.len()),
        };
        for (number, message) in messages.iter().enumerate() {
            let field = |part: usize| format!("messages[{number}].parts[{part}]");
            match message.role {
                Role::System => encoder.author("system", message, &field)?,
                Role::User => encoder.author("user", message, &field)?,
                Role::Assistant => encoder.assistant(message),
                Role::Tool => encoder.results(message, &field)?,
            }
        }
        Ok(encoder.out)
    }

    fn author(
        &mut self,
        role: &'static str,
        message: &'a Message,
        field: &dyn Fn(usize) -> String,
    ) -> Result<(), Fault> {
        let content = content_of(&message.parts, field)?;
        self.out.push(Item::Message { role, content });
        Ok(())
    }

    /// The parts in their order, as reasoning must stand before what it led to.
    fn assistant(&mut self, message: &'a Message) {
        for part in &message.parts {
            let text = match &part.content {
                Content::Text(text) if text.is_empty() => continue,
                Content::Text(text) => Cow::Borrowed(&**text),
                Content::Media(media) => format!("[{}]", media.media_type).into(),
                Content::Reasoning(_) => {
                    self.out.extend(kept(part).map(Item::Kept));
                    continue;
                }
                Content::ToolCall(call) => {
                    self.out.push(Item::Call {
                        kind: "function_call",
                        call_id: self.id_of(&call.id),
                        name: self.names.to_wire(&call.name),
                        arguments: match call.arguments() {
                            Ok(_) if !call.arguments.trim().is_empty() => &call.arguments,
                            Ok(_) | Err(_) => "{}",
                        },
                    });
                    continue;
                }
                Content::ToolResult(_) => continue,
            };
            self.out.push(Item::Message {
                role: "assistant",
                content: WireContent::Text(text),
            });
        }
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
            let is_media = |part: &MessagePart| matches!(part.content, Content::Media(_));
            let output = if result.parts.iter().any(is_media) {
                let mut parts = vec![Part::Text {
                    text: text_of(result),
                }];
                for part in &result.parts {
                    if let Content::Media(media) = &part.content {
                        parts.push(encode_media(media, &|| field(number))?);
                    }
                }
                WireContent::Parts(parts)
            } else {
                WireContent::Text(text_of(result))
            };
            self.out.push(Item::Output {
                kind: "function_call_output",
                call_id: self.id_of(&result.call_id),
                output,
            });
        }
        Ok(())
    }

    fn id_of(&self, id: &'a CallId) -> &'a str {
        self.ids.get(id).copied().unwrap_or_else(|| id.as_str())
    }
}

fn wire_id(part: &MessagePart) -> Option<(&CallId, &str)> {
    let Content::ToolCall(call) = &part.content else {
        return None;
    };
    Some((&call.id, part.provider_state.as_ref()?.text_of(FAMILY)?))
}

/// A reasoning item of our own, as it came.
fn kept(part: &MessagePart) -> Option<&RawValue> {
    let item = part.provider_state.as_ref()?.text_of(FAMILY)?;
    serde_json::from_str(item).ok()
}

fn content_of<'a>(
    parts: &'a [MessagePart],
    field: &dyn Fn(usize) -> String,
) -> Result<WireContent<'a>, Fault> {
    let mut encoded = Vec::with_capacity(parts.len());
    for (number, part) in parts.iter().enumerate() {
        match &part.content {
            Content::Text(text) => encoded.push(Part::Text { text: text.into() }),
            Content::Media(media) => encoded.push(encode_media(media, &|| field(number))?),
            Content::Reasoning(_) | Content::ToolCall(_) | Content::ToolResult(_) => {}
        }
    }
    Ok(match (encoded.pop(), encoded.is_empty()) {
        (None, _) => WireContent::Text(Cow::Borrowed("")),
        (Some(Part::Text { text }), true) => WireContent::Text(text),
        (Some(last), _) => {
            encoded.push(last);
            WireContent::Parts(encoded)
        }
    })
}

fn text_of(result: &ToolResult) -> Cow<'static, str> {
    let text = result.joined_text();
    if result.is_error {
        format!("Error: {text}").into()
    } else {
        text.into()
    }
}

fn encode_media<'a>(media: &'a Media, field: &dyn Fn() -> String) -> Result<Part<'a>, Fault> {
    if media.media_type.starts_with("image/") {
        return Ok(Part::Image {
            image_url: match &media.source {
                MediaSource::Uri(uri) => uri.into(),
                MediaSource::Inline(bytes) => data_url(&media.media_type, bytes).into(),
            },
            detail: "auto",
        });
    }
    if media.media_type != "application/pdf" {
        return Err(Fault::invalid(
            field(),
            "the provider takes images and PDF documents only",
        ));
    }
    Ok(match &media.source {
        MediaSource::Uri(uri) => Part::File {
            filename: None,
            file_data: None,
            file_url: Some(uri),
        },
        MediaSource::Inline(bytes) => Part::File {
            filename: Some(media.filename.as_deref().unwrap_or("document.pdf")),
            file_data: Some(data_url(&media.media_type, bytes)),
            file_url: None,
        },
    })
}

fn data_url(media_type: &str, bytes: &[u8]) -> String {
    let mut url = format!("data:{media_type};base64,");
    STANDARD.encode_string(bytes, &mut url);
    url
}

fn unwritable() -> Fault {
    Fault::new(Reason::Internal, "the request cannot be written as JSON")
}

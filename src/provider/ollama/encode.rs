//! Writes requests. The same call gives the same bytes.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    FAMILY, Ollama,
    wire::{Body, FunctionCall, Message as WireMessage, Options, Think, ToolCall},
};
use crate::{
    domain::{
        fault::Fault,
        id::CallId,
        message::{Content, Media, MediaSource, Message, ToolResult},
        model::{ReasoningEffort, ToolChoice},
        tool::ToolSpec,
    },
    provider::{
        body::{self, Overrides},
        conversation::{At, Tell, media_of, tell, text_of},
        framing::Framing,
        function::{Tool, arguments_object},
        media::{IMAGES_OF_RESULTS, note},
        names::PlainNames,
        protocol::{Call, Encoded},
    },
    run::port::Answer,
};

/// Writes a request.
///
/// # Errors
/// `INVALID_REQUEST` when the conversation holds media that the protocol has no words for.
pub(crate) fn encode(server: &Ollama, call: Call<'_>) -> Result<Encoded, Fault> {
    let (request, options) = (call.request, &*call.request.options);
    let names = PlainNames::new(&request.tools);
    let offered: &[Arc<ToolSpec>] = match options.tool_choice {
        ToolChoice::None => &[],
        ToolChoice::Auto | ToolChoice::Required | ToolChoice::Tool(_) => &request.tools,
    };
    let body = Body {
        model: &call.model.model,
        messages: encode_messages(&request.messages, &names)?,
        tools: Tool::all(offered.iter().map(Arc::as_ref), &names)?,
        format: options.output_schema.as_ref().map(body::raw).transpose()?,
        options: Options {
            num_predict: options.max_output_tokens,
            temperature: options.temperature,
            top_p: options.top_p,
            top_k: options.top_k,
            seed: options.seed,
            stop: &options.stop_sequences,
        },
        think: options.reasoning_effort.map(|effort| match effort {
            ReasoningEffort::None => Think::Switch(false),
            ReasoningEffort::Minimal | ReasoningEffort::Low => Think::Level("low"),
            ReasoningEffort::Medium => Think::Level("medium"),
            ReasoningEffort::High | ReasoningEffort::Max => Think::Level("high"),
        }),
        stream: call.answer == Answer::Streamed,
    };
    Ok(Encoded {
        path: "/api/chat".to_owned(),
        headers: Vec::new(),
        body: body::write(
            &body,
            Overrides {
                family: FAMILY,
                provider: &server.name,
                operator: server.options.as_ref(),
                caller: &options.provider_options,
            },
        )?,
        framing: Framing::Lines,
    })
}

fn encode_messages<'a>(
    messages: &'a [Arc<Message>],
    names: &PlainNames<'_>,
) -> Result<Vec<WireMessage<'a>>, Fault> {
    let calls = messages.iter().flat_map(|message| message.tool_calls());
    let mut encoder = Encoder {
        names,
        tools: calls.map(|call| (&call.id, &*call.name)).collect(),
        out: Vec::with_capacity(messages.len()),
        shown: Vec::new(),
    };
    tell(messages, &mut encoder)?;
    Ok(encoder.out)
}

struct Encoder<'a, 'n> {
    names: &'n PlainNames<'n>,
    /// The tool of each call, to tell the results by.
    tools: HashMap<&'a CallId, &'a str>,
    out: Vec<WireMessage<'a>>,
    /// Images of results, to be shown once all results of the turn are told.
    shown: Vec<String>,
}

impl<'a> Tell<'a> for Encoder<'a, '_> {
    fn author(&mut self, role: &'static str, message: &'a Message, at: At) -> Result<(), Fault> {
        let mut images = Vec::new();
        for (number, part) in message.parts.iter().enumerate() {
            if let Content::Media(media) = &part.content {
                images.push(image(media).map_err(|why| at.part(number).refuse(why))?);
            }
        }
        self.out.push(WireMessage {
            role,
            content: message.joined_text().into(),
            images,
            ..WireMessage::default()
        });
        Ok(())
    }

    fn assistant(&mut self, message: &'a Message) -> Result<(), Fault> {
        let mut encoded = WireMessage {
            role: "assistant",
            ..WireMessage::default()
        };
        for part in &message.parts {
            match &part.content {
                Content::Text(text) => encoded.content.to_mut().push_str(text),
                Content::Reasoning(text) => encoded.thinking.to_mut().push_str(text),
                Content::Media(media) => encoded.content.to_mut().push_str(&note(media)),
                Content::ToolCall(call) => encoded.tool_calls.push(ToolCall {
                    function: FunctionCall {
                        name: self.names.to_wire(&call.name),
                        arguments: arguments_object(call)?,
                    },
                }),
                Content::ToolResult(_) => {}
            }
        }
        if !encoded.content.is_empty() || !encoded.tool_calls.is_empty() {
            self.out.push(encoded);
        }
        Ok(())
    }

    fn result(&mut self, result: &'a ToolResult, at: At) -> Result<(), Fault> {
        let tool = self.tools.get(&result.call_id).copied();
        self.out.push(WireMessage {
            role: "tool",
            content: text_of(result),
            tool_name: tool.map(|name| self.names.to_wire(name)),
            ..WireMessage::default()
        });
        for media in media_of(result) {
            self.shown.push(image(media).map_err(|why| at.refuse(why))?);
        }
        Ok(())
    }

    fn end_of_results(&mut self) {
        let images = std::mem::take(&mut self.shown);
        if !images.is_empty() {
            self.out.push(WireMessage {
                role: "user",
                content: Cow::Borrowed(IMAGES_OF_RESULTS),
                images,
                ..WireMessage::default()
            });
        }
    }
}

fn image(media: &Media) -> Result<String, &'static str> {
    match &media.source {
        _ if !media.media_type.starts_with("image/") => Err("the provider takes images only"),
        MediaSource::Inline(bytes) => Ok(STANDARD.encode(bytes)),
        MediaSource::Uri(_) => Err("the provider takes images inline only"),
    }
}

//! Writes requests. The same call gives the same bytes.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::value::RawValue;

use super::{
    FAMILY, Ollama,
    wire::{Body, Function, FunctionCall, Message as WireMessage, Options, Think, Tool, ToolCall},
};
use crate::{
    domain::{
        fault::{Fault, Reason},
        id::CallId,
        message::{Content, Media, MediaSource, Message, Role, ToolResult},
        model::{ReasoningEffort, ToolChoice},
        tool::ToolSpec,
    },
    provider::{
        framing::Framing,
        merge::merge,
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
    let format = options.output_schema.as_ref();
    let body = Body {
        model: &call.model.model,
        messages: Encoder::encode(&request.messages, &names)?,
        tools: offered
            .iter()
            .map(|tool| encode_tool(tool, &names))
            .collect::<Result<_, _>>()?,
        format: format
            .map(|schema| schema.to_raw())
            .transpose()
            .map_err(|_error| unwritable())?,
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
    let mut body = serde_json::to_string(&body).map_err(|_error| unwritable())?;
    let own = (server.name != FAMILY).then(|| options.provider_options.get(&server.name));
    let patches = [
        server.options.as_ref(),
        options.provider_options.get(FAMILY),
        own.flatten(),
    ];
    for patch in patches.into_iter().flatten() {
        body = merge(&body, patch.as_str()).map_err(|_error| unwritable())?;
    }
    Ok(Encoded {
        path: "/api/chat".to_owned(),
        headers: Vec::new(),
        body: body.into_bytes(),
        framing: Framing::Lines,
    })
}

fn encode_tool<'a>(tool: &'a ToolSpec, names: &PlainNames<'_>) -> Result<Tool<'a>, Fault> {
    Ok(Tool {
        kind: "function",
        function: Function {
            name: names.to_wire(tool.name.as_str()),
            description: &tool.description,
            parameters: tool.input_schema.to_raw().map_err(|_error| unwritable())?,
        },
    })
}

struct Encoder<'a, 'n> {
    names: &'n PlainNames<'n>,
    /// The tool of each call, to tell the results by.
    tools: HashMap<&'a CallId, &'a str>,
    out: Vec<WireMessage<'a>>,
    /// Images of results, to be shown once all results of the turn are told.
    shown: Vec<String>,
}

impl<'a, 'n> Encoder<'a, 'n> {
    fn encode(
        messages: &'a [Arc<Message>],
        names: &'n PlainNames<'n>,
    ) -> Result<Vec<WireMessage<'a>>, Fault> {
        let calls = messages.iter().flat_map(|message| message.tool_calls());
        let mut encoder = Self {
            names,
            tools: calls.map(|call| (&call.id, &*call.name)).collect(),
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
                Role::Assistant => encoder.assistant(message)?,
                Role::Tool => encoder.results(message, &field)?,
            }
        }
        encoder.show();
        Ok(encoder.out)
    }

    fn author(
        &mut self,
        role: &'static str,
        message: &'a Message,
        field: &dyn Fn(usize) -> String,
    ) -> Result<(), Fault> {
        let mut images = Vec::new();
        for (number, part) in message.parts.iter().enumerate() {
            if let Content::Media(media) = &part.content {
                images.push(image(media, &|| field(number))?);
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
                Content::Media(media) => {
                    let note = format!("[{}]", media.media_type);
                    encoded.content.to_mut().push_str(&note);
                }
                Content::ToolCall(call) => {
                    let arguments = call.arguments();
                    let text = arguments.as_ref().map_or("{}", |json| json.as_str());
                    encoded.tool_calls.push(ToolCall {
                        function: FunctionCall {
                            name: self.names.to_wire(&call.name),
                            arguments: RawValue::from_string(text.to_owned())
                                .map_err(|_error| unwritable())?,
                        },
                    });
                }
                Content::ToolResult(_) => {}
            }
        }
        if !encoded.content.is_empty() || !encoded.tool_calls.is_empty() {
            self.out.push(encoded);
        }
        Ok(())
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
            let tool = self.tools.get(&result.call_id).copied();
            self.out.push(WireMessage {
                role: "tool",
                content: text_of(result),
                tool_name: tool.map(|name| self.names.to_wire(name)),
                ..WireMessage::default()
            });
            for part in &result.parts {
                if let Content::Media(media) = &part.content {
                    self.shown.push(image(media, &|| field(number))?);
                }
            }
        }
        Ok(())
    }

    /// Shows the images of results, if there are any.
    fn show(&mut self) {
        let images = std::mem::take(&mut self.shown);
        if !images.is_empty() {
            self.out.push(WireMessage {
                role: "user",
                content: Cow::Borrowed("Images of the results of the tools, in their order:"),
                images,
                ..WireMessage::default()
            });
        }
    }
}

fn text_of(result: &ToolResult) -> Cow<'static, str> {
    let text = result.joined_text();
    if result.is_error {
        format!("Error: {text}").into()
    } else {
        text.into()
    }
}

fn image(media: &Media, field: &dyn Fn() -> String) -> Result<String, Fault> {
    match &media.source {
        _ if !media.media_type.starts_with("image/") => {
            Err(Fault::invalid(field(), "the provider takes images only"))
        }
        MediaSource::Inline(bytes) => Ok(STANDARD.encode(bytes)),
        MediaSource::Uri(_) => Err(Fault::invalid(
            field(),
            "the provider takes images inline only",
        )),
    }
}

fn unwritable() -> Fault {
    Fault::new(Reason::Internal, "the request cannot be written as JSON")
}

//! Writes requests. The same call gives the same bytes.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    Cohere, FAMILY,
    wire::{
        Body, Content as WireContent, Function, FunctionCall, ImageUrl, Message as WireMessage,
        Part as WirePart, ResponseFormat, Thinking, Tool, ToolCall,
    },
};
use crate::{
    domain::{
        fault::{Fault, Reason},
        id::CallId,
        message::{Content, Media, MediaSource, Message, Role, ToolResult},
        model::{Options, ReasoningEffort, ToolChoice},
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
pub(crate) fn encode(vendor: &Cohere, call: Call<'_>) -> Result<Encoded, Fault> {
    let (request, options) = (call.request, &*call.request.options);
    let names = PlainNames::new(&request.tools);
    let (tool_choice, only) = match &options.tool_choice {
        ToolChoice::Auto => (None, None),
        ToolChoice::None => (Some("NONE"), None),
        ToolChoice::Required => (Some("REQUIRED"), None),
        ToolChoice::Tool(name) => (Some("REQUIRED"), Some(name)),
    };
    let tools = request
        .tools
        .iter()
        .filter(|tool| only.is_none_or(|only| tool.name == *only))
        .map(|tool| encode_tool(tool, &names))
        .collect::<Result<Vec<_>, _>>()?;
    let body = Body {
        model: &call.model.model,
        messages: Encoder::encode(&request.messages, &names)?,
        tool_choice: tool_choice.filter(|_| !tools.is_empty()),
        tools,
        response_format: encode_format(options)?,
        max_tokens: options.max_output_tokens,
        stop_sequences: &options.stop_sequences,
        temperature: options.temperature,
        seed: options.seed,
        k: options.top_k,
        p: options.top_p,
        thinking: thinking(options),
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
        path: "/v2/chat".to_owned(),
        headers: Vec::new(),
        body: body.into_bytes(),
        framing: Framing::Sse,
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

fn encode_format(options: &Options) -> Result<Option<ResponseFormat<'_>>, Fault> {
    let Some(schema) = &options.output_schema else {
        return Ok(None);
    };
    Ok(Some(ResponseFormat {
        kind: "json_object",
        json_schema: schema.to_raw().map_err(|_error| unwritable())?,
    }))
}

/// Thinking is on or off; how much of it is a budget.
fn thinking(options: &Options) -> Option<Thinking> {
    let budget = options.max_reasoning_tokens;
    match options.reasoning_effort {
        Some(ReasoningEffort::None) => Some(Thinking {
            kind: "disabled",
            token_budget: None,
        }),
        None if budget.is_none() => None,
        Some(
            ReasoningEffort::Minimal
            | ReasoningEffort::Low
            | ReasoningEffort::Medium
            | ReasoningEffort::High
            | ReasoningEffort::Max,
        )
        | None => Some(Thinking {
            kind: "enabled",
            token_budget: budget,
        }),
    }
}

struct Encoder<'a, 'n> {
    names: &'n PlainNames<'n>,
    ids: HashMap<&'a CallId, &'a str>,
    out: Vec<WireMessage<'a>>,
    /// Images of results, to be shown once all results of the turn are told.
    shown: Vec<WirePart<'a>>,
}

impl<'a, 'n> Encoder<'a, 'n> {
    fn encode(
        messages: &'a [Arc<Message>],
        names: &'n PlainNames<'n>,
    ) -> Result<Vec<WireMessage<'a>>, Fault> {
        let mut encoder = Self {
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
        Ok(encoder.out)
    }

    fn author(
        &mut self,
        role: &'static str,
        message: &'a Message,
        field: &dyn Fn(usize) -> String,
    ) -> Result<(), Fault> {
        let mut parts = Vec::with_capacity(message.parts.len());
        for (number, part) in message.parts.iter().enumerate() {
            match &part.content {
                Content::Text(text) => parts.push(WirePart::Text { text: text.into() }),
                Content::Media(media) => parts.push(image(media, &|| field(number))?),
                Content::Reasoning(_) | Content::ToolCall(_) | Content::ToolResult(_) => {}
            }
        }
        self.out.push(plain(role, content_of(parts)));
        Ok(())
    }

    fn assistant(&mut self, message: &'a Message) {
        let (mut parts, mut thoughts) = (Vec::new(), Vec::new());
        let mut encoded = plain("assistant", WireContent::Text(Cow::Borrowed("")));
        for part in &message.parts {
            match &part.content {
                Content::Text(text) => parts.push(Cow::Borrowed(&**text)),
                Content::Media(media) => parts.push(format!("[{}]", media.media_type).into()),
                Content::Reasoning(text) if text.is_empty() => {}
                Content::Reasoning(text) => thoughts.push(WirePart::Thinking { thinking: text }),
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
        if !encoded.tool_calls.is_empty() {
            encoded.tool_plan = parts.concat();
            encoded.content = (!thoughts.is_empty()).then_some(WireContent::Parts(thoughts));
        } else if parts.is_empty() {
            // Nothing that could be told, such as reasoning alone.
            return;
        } else {
            encoded.content = Some(WireContent::Text(parts.concat().into()));
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
            let mut encoded = plain("tool", WireContent::Text(text_of(result)));
            encoded.tool_call_id = Some(self.id_of(&result.call_id));
            self.out.push(encoded);
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
        let mut images = std::mem::take(&mut self.shown);
        if !images.is_empty() {
            let text = Cow::Borrowed("Images of the results of the tools, in their order:");
            images.insert(0, WirePart::Text { text });
            self.out.push(plain("user", WireContent::Parts(images)));
        }
    }

    fn id_of(&self, id: &'a CallId) -> &'a str {
        self.ids.get(id).copied().unwrap_or_else(|| id.as_str())
    }
}

/// The ids that the family itself has given to calls.
fn wire_ids(messages: &[Arc<Message>]) -> HashMap<&CallId, &str> {
    let parts = messages.iter().flat_map(|message| &message.parts);
    parts
        .filter_map(|part| {
            let Content::ToolCall(call) = &part.content else {
                return None;
            };
            Some((&call.id, part.provider_state.as_ref()?.text_of(FAMILY)?))
        })
        .collect()
}

const fn plain<'a>(role: &'static str, content: WireContent<'a>) -> WireMessage<'a> {
    WireMessage {
        role,
        content: Some(content),
        tool_plan: String::new(),
        tool_calls: Vec::new(),
        tool_call_id: None,
    }
}

/// One text stands alone; anything else is an array.
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

fn text_of(result: &ToolResult) -> Cow<'static, str> {
    let text = result.joined_text();
    if result.is_error {
        format!("Error: {text}").into()
    } else {
        text.into()
    }
}

fn image<'a>(media: &'a Media, field: &dyn Fn() -> String) -> Result<WirePart<'a>, Fault> {
    if !media.media_type.starts_with("image/") {
        return Err(Fault::invalid(field(), "the provider takes images only"));
    }
    let url = match &media.source {
        MediaSource::Uri(uri) => uri.into(),
        MediaSource::Inline(bytes) => {
            let mut url = format!("data:{};base64,", media.media_type);
            STANDARD.encode_string(bytes, &mut url);
            url.into()
        }
    };
    Ok(WirePart::ImageUrl {
        image_url: ImageUrl { url },
    })
}

fn unwritable() -> Fault {
    Fault::new(Reason::Internal, "the request cannot be written as JSON")
}

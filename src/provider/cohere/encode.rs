//! Writes requests. The same call gives the same bytes.

use std::sync::Arc;

use super::{
    Cohere, FAMILY,
    wire::{
        Body, Content as WireContent, Message as WireMessage, Part as WirePart, ResponseFormat,
        Thinking,
    },
};
use crate::{
    domain::{
        fault::Fault,
        message::{Content, Media, Message, ToolResult},
        model::{Options, ReasoningEffort, ToolChoice},
    },
    provider::{
        body::{self, Overrides},
        conversation::{At, Form, Ids, MaybeText, Tell, media_of, said, tell, text_of},
        framing::Framing,
        function::{self, Tool},
        media::{IMAGES_OF_RESULTS, ImageUrl, note, url},
        names::PlainNames,
        protocol::{Call, Encoded},
    },
    run::port::Answer,
};

/// Ids of calls. The vendor names no limits, and gives such as these.
const ID: Form = Form {
    shortest: 1,
    longest: 64,
    takes: |b| b.is_ascii_graphic(),
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
    let tools = request.tools.iter().map(Arc::as_ref);
    let tools = tools.filter(|tool| only.is_none_or(|only| tool.name == *only));
    let tools = Tool::all(tools, &names)?;
    let body = Body {
        model: &call.model.model,
        messages: encode_messages(&request.messages, &names)?,
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
    Ok(Encoded {
        path: "/v2/chat".to_owned(),
        headers: Vec::new(),
        body: body::write(
            &body,
            Overrides {
                family: FAMILY,
                provider: &vendor.name,
                operator: vendor.options.as_ref(),
                caller: &options.provider_options,
            },
        )?,
        framing: Framing::Sse,
    })
}

fn encode_format(options: &Options) -> Result<Option<ResponseFormat<'_>>, Fault> {
    let Some(schema) = &options.output_schema else {
        return Ok(None);
    };
    Ok(Some(ResponseFormat {
        kind: "json_object",
        json_schema: body::raw(schema)?,
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

fn encode_messages<'a>(
    messages: &'a [Arc<Message>],
    names: &PlainNames<'_>,
) -> Result<Vec<WireMessage<'a>>, Fault> {
    let mut encoder = Encoder {
        names,
        ids: Ids::new(messages, FAMILY, ID),
        out: Vec::with_capacity(messages.len()),
        shown: Vec::new(),
    };
    tell(messages, &mut encoder)?;
    Ok(encoder.out)
}

struct Encoder<'a, 'n> {
    names: &'n PlainNames<'n>,
    ids: Ids<'a>,
    out: Vec<WireMessage<'a>>,
    /// Images of results, to be shown once all results of the turn are told.
    shown: Vec<WirePart<'a>>,
}

impl<'a> Tell<'a> for Encoder<'a, '_> {
    fn author(&mut self, role: &'static str, message: &'a Message, at: At) -> Result<(), Fault> {
        let parts = said(message, at, image)?;
        self.out.push(plain(role, WireContent::of(parts)));
        Ok(())
    }

    fn assistant(&mut self, message: &'a Message) -> Result<(), Fault> {
        let (mut text, mut thoughts) = (String::new(), Vec::new());
        let mut encoded = plain("assistant", WireContent::of(Vec::new()));
        for part in &message.parts {
            match &part.content {
                Content::Text(more) => text.push_str(more),
                Content::Media(media) => text.push_str(&note(media)),
                Content::Reasoning(text) if text.is_empty() => {}
                Content::Reasoning(text) => thoughts.push(WirePart::Thinking { thinking: text }),
                Content::ToolCall(call) => {
                    let id = self.ids.of(&call.id);
                    let call = function::Call::of(call, id, self.names);
                    encoded.tool_calls.push(call);
                }
                Content::ToolResult(_) => {}
            }
        }
        if !encoded.tool_calls.is_empty() {
            encoded.tool_plan = text;
            encoded.content = (!thoughts.is_empty()).then_some(WireContent::Parts(thoughts));
        } else if text.is_empty() {
            // Nothing that could be told, such as reasoning alone.
            return Ok(());
        } else {
            encoded.content = Some(WireContent::Text(text.into()));
        }
        self.out.push(encoded);
        Ok(())
    }

    fn result(&mut self, result: &'a ToolResult, at: At) -> Result<(), Fault> {
        let mut encoded = plain("tool", WireContent::Text(text_of(result)));
        encoded.tool_call_id = Some(self.ids.of(&result.call_id));
        self.out.push(encoded);
        for media in media_of(result) {
            self.shown.push(image(media).map_err(|why| at.refuse(why))?);
        }
        Ok(())
    }

    fn end_of_results(&mut self) {
        let mut images = std::mem::take(&mut self.shown);
        if !images.is_empty() {
            images.insert(0, WirePart::text(IMAGES_OF_RESULTS.into()));
            self.out.push(plain("user", WireContent::Parts(images)));
        }
    }
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

fn image(media: &Media) -> Result<WirePart<'_>, &'static str> {
    if !media.media_type.starts_with("image/") {
        return Err("the provider takes images only");
    }
    Ok(WirePart::ImageUrl {
        image_url: ImageUrl { url: url(media) },
    })
}

//! Writes requests. The same call gives the same bytes.

use std::{borrow::Cow, sync::Arc};

use super::{
    kept,
    wire::{
        Body, Content as WireContent, Format, Item, NamedFunction, Part, Reasoning, Text, Tool,
    },
};
use crate::{
    domain::{
        fault::Fault,
        message::{Content, Media, MediaSource, Message, ToolResult},
        model::{Options, ReasoningEffort},
        tool::ToolSpec,
    },
    provider::{
        body,
        conversation::{At, Form, Ids, MaybeText, Tell, media_of, said, tell, text_of},
        framing::Framing,
        function::{self, Choice, Function},
        media::{data_url, note, url},
        names::PlainNames,
        openai::{FAMILY, OpenAi, strict::is_strict, wire::request::JsonSchema},
        protocol::{Call, Encoded},
    },
    run::port::Answer,
};

/// Ids of calls as the vendor takes them: it refuses longer ones.
const ID: Form = Form {
    shortest: 1,
    longest: 64,
    takes: |b| b.is_ascii_graphic(),
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
    let choice = Choice::of(&options.tool_choice, |name| NamedFunction {
        kind: function::KIND,
        name: names.to_wire(name.as_str()),
    });
    let has_tools = !tools.is_empty();
    let body = Body {
        model: &call.model.model,
        input: encode_items(&request.messages, &vendor.name, &names)?,
        tool_choice: choice.filter(|_| has_tools),
        parallel_tool_calls: options.parallel_tool_calls.filter(|_| has_tools),
        tools,
        text: encode_format(options)?,
        max_output_tokens: options.max_output_tokens,
        temperature: options.temperature,
        top_p: options.top_p,
        reasoning: options.reasoning_effort.map(|effort| Reasoning {
            effort: vendor.quirks.word(effort),
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
    Ok(Encoded {
        path: "/responses".to_owned(),
        headers: Vec::new(),
        body: body::write(&body, vendor.overrides(options))?,
        framing: Framing::Sse,
    })
}

/// Models that are known not to reason refuse to be asked for what they thought.
fn may_reason(model: &str) -> bool {
    !["gpt-3", "gpt-4", "chatgpt-4", "ft:gpt-3", "ft:gpt-4"]
        .iter()
        .any(|older| model.starts_with(older))
}

fn encode_tool<'a>(tool: &'a ToolSpec, names: &PlainNames<'_>) -> Result<Tool<'a>, Fault> {
    Ok(Tool {
        kind: function::KIND,
        function: Function::of(tool, names)?,
        strict: false,
    })
}

fn encode_format(options: &Options) -> Result<Option<Text<'_>>, Fault> {
    let Some(schema) = &options.output_schema else {
        return Ok(None);
    };
    let format = Format {
        kind: "json_schema",
        schema: JsonSchema {
            name: "answer",
            schema: body::raw(schema)?,
            strict: is_strict(schema.as_str()),
        },
    };
    Ok(Some(Text { format }))
}

fn encode_items<'a>(
    messages: &'a [Arc<Message>],
    provider: &str,
    names: &PlainNames<'_>,
) -> Result<Vec<Item<'a>>, Fault> {
    let mut encoder = Encoder {
        provider,
        names,
        ids: Ids::new(messages, FAMILY, ID),
        out: Vec::with_capacity(messages.len()),
    };
    tell(messages, &mut encoder)?;
    Ok(encoder.out)
}

struct Encoder<'a, 'n> {
    /// Who is asked: reasoning of others stays away.
    provider: &'n str,
    names: &'n PlainNames<'n>,
    ids: Ids<'a>,
    out: Vec<Item<'a>>,
}

impl<'a> Tell<'a> for Encoder<'a, '_> {
    fn author(&mut self, role: &'static str, message: &'a Message, at: At) -> Result<(), Fault> {
        let content = WireContent::of(said(message, at, encode_media)?);
        self.out.push(Item::Message { role, content });
        Ok(())
    }

    /// The parts in their order, as reasoning must stand before what it led to.
    fn assistant(&mut self, message: &'a Message) -> Result<(), Fault> {
        for part in &message.parts {
            let text = match &part.content {
                Content::Text(text) if text.is_empty() => continue,
                Content::Text(text) => Cow::Borrowed(&**text),
                Content::Media(media) => note(media).into(),
                Content::Reasoning(_) => {
                    self.out
                        .extend(kept::item(part, self.provider).map(Item::Kept));
                    continue;
                }
                Content::ToolCall(call) => {
                    self.out.push(Item::Call {
                        kind: "function_call",
                        call_id: self.ids.of(&call.id),
                        name: self.names.to_wire(&call.name),
                        arguments: function::arguments(call),
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
        Ok(())
    }

    fn result(&mut self, result: &'a ToolResult, at: At) -> Result<(), Fault> {
        let mut parts = vec![Part::text(text_of(result))];
        for media in media_of(result) {
            parts.push(encode_media(media).map_err(|why| at.refuse(why))?);
        }
        self.out.push(Item::Output {
            kind: "function_call_output",
            call_id: self.ids.of(&result.call_id),
            output: WireContent::of(parts),
        });
        Ok(())
    }
}

fn encode_media(media: &Media) -> Result<Part<'_>, &'static str> {
    if media.media_type.starts_with("image/") {
        return Ok(Part::Image {
            image_url: url(media),
            detail: "auto",
        });
    }
    if media.media_type != "application/pdf" {
        return Err("the provider takes images and PDF documents only");
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

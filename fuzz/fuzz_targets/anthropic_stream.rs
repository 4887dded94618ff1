//! Any stream of the Messages protocol is put together without a panic, and what was shown is what there
//! is in the end.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use runwire::{
    domain::{
        completion::{Delta, Grown},
        id::CallId,
        message::Content,
        model::ModelRef,
    },
    provider::{
        anthropic::{Anthropic, Surface},
        protocol::{Frame, Progress, Protocol, Turn},
        sse::Decoder,
    },
};

fuzz_target!(|stream: &[u8]| {
    let mut minted = 0_u32;
    let turn = Turn {
        model: ModelRef {
            provider: "p".to_owned(),
            model: "m".to_owned(),
        },
        tools: Arc::from([]),
        headers: http::HeaderMap::new(),
        mint: Box::new(move || {
            minted += 1;
            CallId::parse(&format!("call_{minted}")).unwrap_or_else(|_| CallId::mint())
        }),
    };
    let protocol = Anthropic::new("p", Surface::Direct);
    let (mut assembler, mut shown) = (protocol.assemble(turn), Vec::new());
    let mut decoder = Decoder::new(1 << 16);
    let mut progress = Progress::Open;
    let fed = decoder.feed(stream, &mut |event| {
        if progress != Progress::Ended {
            let frame = Frame {
                event: std::str::from_utf8(event.name).unwrap_or_default(),
                data: event.data,
            };
            progress = assembler.feed(frame, &mut shown)?;
        }
        Ok(())
    });
    if fed.is_err() {
        return;
    }
    let Ok(completion) = assembler.finish(&mut shown) else {
        return;
    };
    for (part, at) in completion.message.parts.iter().zip(0..) {
        let grown: String = shown.iter().filter(|delta| delta.part_index == at).map(text).collect();
        match &part.content {
            Content::Text(text) | Content::Reasoning(text) => assert_eq!(*text, grown),
            Content::ToolCall(call) => assert_eq!(call.arguments, grown),
            Content::Media(_) | Content::ToolResult(_) => panic!("nobody sent that"),
        }
    }
});

fn text(delta: &Delta) -> &str {
    match &delta.grown {
        Grown::Text(text) | Grown::Reasoning(text) | Grown::Arguments(text) => text,
        Grown::ToolCall { .. } => "",
    }
}

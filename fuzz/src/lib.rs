//! What the fuzz targets share: how bytes become an answer, and what must hold whatever the bytes.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use runwire::{
    domain::{
        completion::{Completion, Delta, Grown},
        fault::{Fault, Reason},
        id::CallId,
        message::Content,
        model::ModelRef,
    },
    provider::{
        framing::{Decoder, Framing},
        protocol::{Frame, Progress, Protocol, Turn},
    },
};

/// Cuts any bytes into frames: the same for every way to cut the bytes, and none beyond the limit.
pub fn frames(framing: Framing, stream: &[u8]) {
    const MAX_FRAME_BYTES: usize = 64;
    let decode = |pieces: &[&[u8]]| {
        let mut frames = Vec::new();
        let mut decoder = Decoder::new(framing, MAX_FRAME_BYTES);
        let mut sink = |frame: Frame<'_>| {
            assert!(frame.data.len() <= 2 * MAX_FRAME_BYTES);
            frames.push((frame.event.to_owned(), frame.data.to_vec()));
            Ok(())
        };
        let fed = pieces.iter().try_for_each(|piece| decoder.feed(piece, &mut sink));
        let end = fed.and_then(|()| decoder.finish(&mut sink));
        (frames, end.map_err(|fault| fault.reason))
    };
    let whole = decode(&[stream]);
    assert_eq!(decode(&pieces(stream)), whole);
    assert_eq!(decode(&stream.chunks(1).collect::<Vec<_>>()), whole);
}

/// Puts any stream together: without a panic, the same for every way to cut it, and what was shown as it
/// grew is what there is in the end.
pub fn stream(protocol: &dyn Protocol, framing: Framing, stream: &[u8]) {
    let (shown, end) = assemble(protocol, framing, &[stream]);
    let (shown_in_pieces, end_in_pieces) = assemble(protocol, framing, &pieces(stream));
    assert_eq!(grown(&shown_in_pieces), grown(&shown));
    assert_eq!(outcome(&end_in_pieces), outcome(&end));
    let Ok(completion) = end else {
        return;
    };
    let shown = grown(&shown);
    for (part, index) in completion.message.parts.iter().zip(0..) {
        let shown = shown.get(&index).map(String::as_str).unwrap_or_default();
        match &part.content {
            Content::Text(text) | Content::Reasoning(text) => assert_eq!(text, shown),
            Content::ToolCall(call) => assert_eq!(call.arguments, shown),
            Content::Media(_) => assert_eq!(shown, "", "media are not shown as they grow"),
            Content::ToolResult(_) => panic!("no vendor sends results"),
        }
    }
}

/// Lines as the messages of an event stream of AWS: a name, a blank, a payload; with `!` in front of an
/// exception's name. What is in a `chunk` is wrapped as Bedrock wraps it.
pub fn messages(lines: &[u8]) -> Vec<u8> {
    let message = |line: &[u8]| {
        let at = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let (name, payload) = line.split_at(at);
        let (kind, named, name) = match name.split_first() {
            Some((b'!', name)) => ("exception", ":exception-type", name),
            _ => ("event", ":event-type", name),
        };
        let headers = [header(":message-type", kind.as_bytes()), header(named, name)].concat();
        if name == b"chunk" {
            let payload = STANDARD.encode(payload);
            return self::message(&headers, format!("{{\"bytes\":\"{payload}\"}}").as_bytes());
        }
        self::message(&headers, payload)
    };
    lines.split(|byte| *byte == b'\n').flat_map(message).collect()
}

/// A message of an event stream of AWS, with the right lengths and checksums.
pub fn message(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = |length: usize| u32::try_from(length).expect("inputs are short").to_be_bytes();
    let mut out = length(16 + headers.len() + payload.len()).to_vec();
    out.extend(length(headers.len()));
    out.extend(crc32fast::hash(&out).to_be_bytes());
    out.extend(headers);
    out.extend(payload);
    out.extend(crc32fast::hash(&out).to_be_bytes());
    out
}

/// A header that is a text, cut to what one may hold.
fn header(name: &str, value: &[u8]) -> Vec<u8> {
    let value = &value[..value.len().min(1 << 10)];
    let length = u16::try_from(value.len()).expect("it was cut").to_be_bytes();
    let name_length = u8::try_from(name.len()).expect("names are short");
    [&[name_length][..], name.as_bytes(), &[7], &length, value].concat()
}

fn assemble(
    protocol: &dyn Protocol,
    framing: Framing,
    pieces: &[&[u8]],
) -> (Vec<Delta>, Result<Completion, Fault>) {
    let (mut assembler, mut shown) = (protocol.assemble(turn()), Vec::new());
    let mut decoder = Decoder::new(framing, 1 << 16);
    let mut progress = Progress::Open;
    let mut feed = |frame: Frame<'_>| {
        if progress != Progress::Ended {
            progress = assembler.feed(frame, &mut shown)?;
        }
        Ok(())
    };
    let fed = pieces.iter().try_for_each(|piece| decoder.feed(piece, &mut feed));
    let fed = fed.and_then(|()| decoder.finish(&mut feed));
    let end = fed.and_then(|()| assembler.finish(&mut shown));
    (shown, end)
}

fn turn() -> Turn {
    let mut minted = 0_u32;
    Turn {
        model: ModelRef {
            provider: "p".to_owned(),
            // Amazon hosts Claude in two protocols.
            model: "anthropic.claude-sonnet-4-5".to_owned(),
        },
        tools: Arc::from([]),
        headers: http::HeaderMap::new(),
        mint: Box::new(move || {
            minted += 1;
            CallId::parse(&format!("call_{minted}")).expect("a word is an id")
        }),
    }
}

/// The last byte says how the stream is cut, so that the fuzzer can look for a cut that matters.
fn pieces(stream: &[u8]) -> Vec<&[u8]> {
    let length = 1 + usize::from(stream.last().copied().unwrap_or_default() % 16);
    stream.chunks(length).collect()
}

/// What was shown of each part.
fn grown(deltas: &[Delta]) -> BTreeMap<u32, String> {
    let mut parts = BTreeMap::<u32, String>::new();
    for delta in deltas {
        let part = parts.entry(delta.part_index).or_default();
        match &delta.grown {
            Grown::Text(text) | Grown::Reasoning(text) | Grown::Arguments(text) => part.push_str(text),
            Grown::ToolCall { .. } => {}
        }
    }
    parts
}

fn outcome(end: &Result<Completion, Fault>) -> Result<&Completion, Reason> {
    end.as_ref().map_err(|fault| fault.reason)
}

//! How a streamed answer is cut into frames, whatever pieces it comes in.

use crate::domain::fault::Fault;

use super::{eventstream, lines, protocol::Frame, sse};

/// How a stream is cut into frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    Sse,
    /// Lines, one JSON value each.
    Lines,
    /// Messages of AWS, with checksums.
    EventStream,
}

impl Framing {
    /// What a client says that it accepts.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream",
            Self::Lines => "application/x-ndjson",
            Self::EventStream => "application/vnd.amazon.eventstream",
        }
    }

    /// Whether what should be a stream begins like one JSON value, or like a page of HTML. A stream of
    /// lines always begins like the former, and its decoder takes a single one as well; a message that
    /// does would be a gigabyte long.
    pub(super) fn looks_whole(self, first: &[u8]) -> bool {
        let first = first.trim_ascii_start().first();
        match self {
            Self::Sse | Self::EventStream => matches!(first, Some(b'{' | b'[' | b'<')),
            Self::Lines => first == Some(&b'<'),
        }
    }
}

/// Where frames go. A fault of its own ends the decoding.
pub type Sink<'a> = dyn FnMut(Frame<'_>) -> Result<(), Fault> + 'a;

/// What cuts the bytes of a stream into frames.
#[derive(Debug)]
pub enum Decoder {
    /// Of server-sent events.
    Sse(sse::Decoder),
    /// Of lines.
    Lines(lines::Decoder),
    /// Of messages of AWS.
    EventStream(eventstream::Decoder),
}

impl Decoder {
    /// A decoder that takes frames of at most this length.
    pub const fn new(framing: Framing, max_frame_bytes: usize) -> Self {
        match framing {
            Framing::Sse => Self::Sse(sse::Decoder::new(max_frame_bytes)),
            Framing::Lines => Self::Lines(lines::Decoder::new(max_frame_bytes)),
            Framing::EventStream => Self::EventStream(eventstream::Decoder::new(max_frame_bytes)),
        }
    }

    /// Takes a piece, and hands over each frame that it completes.
    ///
    /// # Errors
    /// `PROVIDER_STREAM_BROKEN` for what cannot be cut into frames; what `sink` fails with.
    pub fn feed(&mut self, piece: &[u8], sink: &mut Sink<'_>) -> Result<(), Fault> {
        match self {
            Self::Sse(decoder) => decoder.feed(piece, &mut |event| sink(frame(event))),
            Self::Lines(decoder) => decoder.feed(piece, &mut |line| sink(nameless(line))),
            Self::EventStream(decoder) => {
                decoder.feed(piece, &mut |message| sink(message.into_frame()?))
            }
        }
    }

    /// Hands over what the end of the stream completes.
    ///
    /// # Errors
    /// As for [`Decoder::feed`].
    pub fn finish(&mut self, sink: &mut Sink<'_>) -> Result<(), Fault> {
        match self {
            Self::Sse(decoder) => decoder.finish(&mut |event| sink(frame(event))),
            Self::Lines(decoder) => decoder.finish(&mut |line| sink(nameless(line))),
            // Its messages say where they end.
            Self::EventStream(_) => Ok(()),
        }
    }
}

fn frame<'a>(event: sse::Event<'a>) -> Frame<'a> {
    Frame {
        event: std::str::from_utf8(event.name).unwrap_or_default(),
        data: event.data,
    }
}

const fn nameless(data: &[u8]) -> Frame<'_> {
    Frame { event: "", data }
}

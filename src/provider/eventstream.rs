//! Cuts a stream of `application/vnd.amazon.eventstream` into messages, whatever pieces it comes in.
//!
//! Source: the "Amazon Event Stream" specification (smithy.io) and "Event stream encoding" of Amazon's
//! guides. A message is, in big-endian order: its whole length (4 bytes), the length of its headers (4),
//! the CRC-32 of these eight bytes (4), the headers, the payload, the CRC-32 of everything before (4).

use super::{aws, fault, protocol::Frame};
use crate::domain::fault::Fault;

/// The two lengths and their checksum.
const PRELUDE_BYTES: usize = 12;
/// A checksum.
const CRC_BYTES: usize = 4;
/// The most that the headers of a message may take, by the specification.
const MAX_HEADERS_BYTES: usize = 128 << 10;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An event of the stream.
    Event,
    /// An error that the service's model knows.
    Exception,
    /// Any other error.
    Error,
}

/// A message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it is.
    pub kind: Kind,
    /// The event's, exception's or error's name; empty when it has none.
    pub name: &'a str,
    /// The payload.
    pub payload: &'a [u8],
}

impl std::fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, bytes) = (self.kind, self.payload.len());
        write!(f, "Message({kind:?} {:?}, {bytes} bytes)", self.name)
    }
}

impl<'a> Message<'a> {
    /// The frame that an event is.
    ///
    /// # Errors
    /// What an exception or error means.
    pub(crate) fn into_frame(self) -> Result<Frame<'a>, Fault> {
        match self.kind {
            Kind::Event => Ok(Frame {
                event: self.name,
                data: self.payload,
            }),
            Kind::Exception | Kind::Error => Err(aws::error::in_band(self.name, self.payload)),
        }
    }
}

/// Holds the message that has not ended as yet.
#[derive(Debug)]
pub struct Decoder {
    held: Vec<u8>,
    /// The lengths of the message and of its headers, once they are known.
    lengths: Option<(usize, usize)>,
    max_message_bytes: usize,
}

impl Decoder {
    /// A decoder that takes messages of at most this length.
    pub const fn new(max_message_bytes: usize) -> Self {
        Self {
            held: Vec::new(),
            lengths: None,
            max_message_bytes,
        }
    }

    /// Takes a piece, and hands over each message that it ends. A piece of a message at the end of the
    /// stream is dropped: whoever assembles the answer knows whether anything is missing.
    ///
    /// # Errors
    /// `PROVIDER_STREAM_BROKEN` for a message that is too long, whose checksums are wrong, or that is
    /// none; what `sink` fails with. The decoder is of no use then.
    pub fn feed(
        &mut self,
        mut piece: &[u8],
        sink: &mut dyn FnMut(Message<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        while !piece.is_empty() {
            let wanted = self.lengths.map_or(PRELUDE_BYTES, |(total, _)| total);
            let missing = wanted.saturating_sub(self.held.len());
            let (head, rest) = piece.split_at(missing.min(piece.len()));
            self.held.extend_from_slice(head);
            piece = rest;
            if self.held.len() < wanted {
                break;
            }
            match self.lengths {
                None => self.lengths = Some(self.prelude()?),
                Some((_, headers)) => {
                    let message = read(&self.held, headers).ok_or_else(damaged)?;
                    sink(message)?;
                    self.held.clear();
                    self.lengths = None;
                }
            }
        }
        Ok(())
    }

    /// Reads the lengths. Their checksum comes first: a length that is garbage is not waited for.
    fn prelude(&self) -> Result<(usize, usize), Fault> {
        let (lengths, crc) = self.held.split_at_checked(8).ok_or_else(damaged)?;
        if number(crc) != Some(crc32fast::hash(lengths)) {
            return Err(damaged());
        }
        let length = |at: usize| usize::try_from(number(lengths.get(at..)?)?).ok();
        let (total, headers) = length(0).zip(length(4)).ok_or_else(damaged)?;
        if total > self.max_message_bytes || headers > MAX_HEADERS_BYTES {
            return Err(fault::broken_stream(
                "a message of the answer is larger than the server takes",
            ));
        }
        let around = PRELUDE_BYTES + CRC_BYTES;
        if total < around || headers > total - around {
            return Err(damaged());
        }
        Ok((total, headers))
    }
}

/// Reads a whole message.
fn read(message: &[u8], headers_bytes: usize) -> Option<Message<'_>> {
    let (checked, crc) = message.split_last_chunk::<CRC_BYTES>()?;
    if u32::from_be_bytes(*crc) != crc32fast::hash(checked) {
        return None;
    }
    let rest = checked.get(PRELUDE_BYTES..)?;
    let (headers, payload) = rest.split_at_checked(headers_bytes)?;
    let named = Named::read(headers)?;
    let (kind, name) = match named.message_type {
        "event" | "" => (Kind::Event, named.event_type),
        "exception" => (Kind::Exception, named.exception_type),
        "error" => (Kind::Error, named.error_code),
        _ => return None,
    };
    Some(Message {
        kind,
        name,
        payload,
    })
}

/// The headers that say what a message is.
#[derive(Default)]
struct Named<'a> {
    message_type: &'a str,
    event_type: &'a str,
    exception_type: &'a str,
    error_code: &'a str,
}

impl<'a> Named<'a> {
    fn read(mut headers: &'a [u8]) -> Option<Self> {
        let mut named = Self::default();
        while let Some((length, rest)) = headers.split_first() {
            let (name, rest) = rest.split_at_checked(usize::from(*length))?;
            let (value, rest) = value(rest)?;
            headers = rest;
            let slot = match name {
                b":message-type" => &mut named.message_type,
                b":event-type" => &mut named.event_type,
                b":exception-type" => &mut named.exception_type,
                b":error-code" => &mut named.error_code,
                _ => continue,
            };
            *slot = value?;
        }
        Some(named)
    }
}

/// A text, where a header holds one.
type Text<'a> = Option<&'a str>;

/// Reads a header's value, and what follows it. The value is `None` when it is no text.
fn value(bytes: &[u8]) -> Option<(Text<'_>, &[u8])> {
    /// The type of texts.
    const STRING: u8 = 7;
    let (kind, rest) = bytes.split_first()?;
    let length = match kind {
        // True and false.
        0 | 1 => 0,
        // Integers of one, two, four and eight bytes.
        2 => 1,
        3 => 2,
        4 => 4,
        5 => 8,
        // Bytes and texts say their length.
        6 | &STRING => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            let text = (*kind == STRING).then(|| std::str::from_utf8(value).ok());
            return Some((text.flatten(), rest));
        }
        // A time stamp and a UUID.
        8 => 8,
        9 => 16,
        _ => return None,
    };
    let (_value, rest) = rest.split_at_checked(length)?;
    Some((None, rest))
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|four| u32::from_be_bytes(*four))
}

fn damaged() -> Fault {
    fault::broken_stream("the provider sent something that is no event stream")
}

#[cfg(test)]
pub(crate) mod tests;

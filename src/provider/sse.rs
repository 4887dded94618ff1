//! Server-sent events, decoded from bytes: bounded, without input or output.
//!
//! Follows the stream format of the HTML standard, section 9.2.6 ("interpreting an event stream"),
//! but for two points. An event that the end of the stream cuts off is handed over (some servers
//! leave out the last empty line; a cut payload is found by whoever parses it), and bytes stay bytes:
//! a payload that is not UTF-8 is the payload parser's business.

use memchr::memchr2;

use crate::domain::fault::{Fault, Reason};

/// One event. The fields borrow from the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its name; empty when it has none.
    pub name: &'a [u8],
    /// Its `data` lines, joined by line feeds.
    pub data: &'a [u8],
}

/// Takes a stream in pieces of any size and hands over its events, the same ones for every way to cut
/// it.
#[derive(Debug)]
pub struct Decoder {
    /// Most bytes of an event, and of a line.
    max_event_bytes: usize,
    /// The line that the last piece has left unfinished.
    line: Vec<u8>,
    /// The data lines of the event so far, each with a line feed behind it.
    data: Vec<u8>,
    /// The name of the event so far.
    name: Vec<u8>,
    /// The last piece ended in a carriage return: a line feed in front of the next belongs to it.
    after_return: bool,
    /// No line has been read: a byte order mark may stand here.
    at_start: bool,
}

impl Decoder {
    /// A decoder that takes events, and lines, of at most this many bytes.
    pub const fn new(max_event_bytes: usize) -> Self {
        Self {
            max_event_bytes,
            line: Vec::new(),
            data: Vec::new(),
            name: Vec::new(),
            after_return: false,
            at_start: true,
        }
    }

    /// Takes the next piece of the stream and hands every event that it completes to `sink`.
    ///
    /// # Errors
    /// `PROVIDER_STREAM_BROKEN` when a line or an event is too long; whatever `sink` fails with. The
    /// decoder is of no use after an error.
    pub fn feed(
        &mut self,
        mut piece: &[u8],
        sink: &mut dyn FnMut(Event<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if self.after_return && !piece.is_empty() {
            self.after_return = false;
            piece = piece.strip_prefix(b"\n").unwrap_or(piece);
        }
        while let Some(end) = memchr2(b'\n', b'\r', piece) {
            let (start, rest) = piece.split_at(end);
            if self.line.is_empty() {
                self.check_room(0, start.len())?;
                self.take_line(start, sink)?;
            } else {
                self.hold(start)?;
                let line = std::mem::take(&mut self.line);
                self.take_line(&line, sink)?;
                // Its room serves the next line that comes in pieces.
                self.line = line;
                self.line.clear();
            }
            piece = match rest {
                [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => {
                    self.after_return = rest.is_empty() && piece.ends_with(b"\r");
                    rest
                }
                [] => rest,
            };
        }
        self.hold(piece)
    }

    /// The stream has ended: hands over what it has left unfinished.
    ///
    /// # Errors
    /// Whatever `sink` fails with.
    pub fn finish(
        &mut self,
        sink: &mut dyn FnMut(Event<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.take_line(&line, sink)?;
        }
        self.dispatch(sink)
    }

    /// Keeps the beginning of a line.
    fn hold(&mut self, piece: &[u8]) -> Result<(), Fault> {
        self.check_room(self.line.len(), piece.len())?;
        self.line.extend_from_slice(piece);
        Ok(())
    }

    fn take_line(
        &mut self,
        mut line: &[u8],
        sink: &mut dyn FnMut(Event<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if std::mem::take(&mut self.at_start) {
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        if line.is_empty() {
            return self.dispatch(sink);
        }
        let (field, value) = match memchr::memchr(b':', line) {
            Some(colon) => {
                let (field, value) = line.split_at(colon);
                let value = value.get(1..).unwrap_or_default();
                (field, value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &[][..]),
        };
        match field {
            b"data" => {
                self.check_room(self.data.len(), value.len())?;
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"event" => {
                self.name.clear();
                self.name.extend_from_slice(value);
            }
            // `id` and `retry` are for clients that reconnect, an empty field is a comment, and the
            // rest is to be ignored.
            _ => {}
        }
        Ok(())
    }

    fn dispatch(
        &mut self,
        sink: &mut dyn FnMut(Event<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let done = match self.data.split_last() {
            // An event without data is none.
            None => Ok(()),
            Some((_line_feed, data)) => sink(Event {
                name: &self.name,
                data,
            }),
        };
        self.data.clear();
        self.name.clear();
        done
    }

    fn check_room(&self, held: usize, more: usize) -> Result<(), Fault> {
        if held.saturating_add(more) <= self.max_event_bytes {
            return Ok(());
        }
        Err(Fault::new(
            Reason::ProviderStreamBroken,
            format!(
                "the provider sent an event of more than {} bytes",
                self.max_event_bytes
            ),
        ))
    }
}

#[cfg(test)]
mod tests;

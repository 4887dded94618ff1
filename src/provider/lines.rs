//! Cuts a stream of lines, one JSON value each, whatever pieces it comes in.

use crate::domain::fault::Fault;

use super::fault;

/// Holds the line that has not ended as yet.
#[derive(Debug)]
pub struct Decoder {
    held: Vec<u8>,
    max_line_bytes: usize,
}

impl Decoder {
    /// A decoder that takes lines of at most this length.
    pub const fn new(max_line_bytes: usize) -> Self {
        Self {
            held: Vec::new(),
            max_line_bytes,
        }
    }

    /// Takes a piece, and hands over each line that it ends. Blank lines are skipped.
    ///
    /// # Errors
    /// `PROVIDER_STREAM_BROKEN` for a line that is too long; what `sink` fails with.
    pub fn feed(
        &mut self,
        mut piece: &[u8],
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        while let Some(end) = memchr::memchr(b'\n', piece) {
            let (line, rest) = piece.split_at(end);
            self.hold(line)?;
            self.hand_over(sink)?;
            piece = rest.get(1..).unwrap_or_default();
        }
        self.hold(piece)
    }

    /// Hands over a last line that has no end.
    ///
    /// # Errors
    /// What `sink` fails with.
    pub fn finish(
        &mut self,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.hand_over(sink)
    }

    fn hold(&mut self, piece: &[u8]) -> Result<(), Fault> {
        if self.held.len().saturating_add(piece.len()) > self.max_line_bytes {
            return Err(fault::broken_stream(
                "a line of the answer is larger than the server takes",
            ));
        }
        self.held.extend_from_slice(piece);
        Ok(())
    }

    fn hand_over(&mut self, sink: &mut dyn FnMut(&[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
        let line = self.held.trim_ascii();
        let taken = if line.is_empty() { Ok(()) } else { sink(line) };
        self.held.clear();
        taken
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::fault::Reason;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut found = Vec::new();
        let mut decoder = Decoder::new(1000);
        let mut sink = |line: &[u8]| {
            found.push(String::from_utf8_lossy(line).into_owned());
            Ok(())
        };
        for piece in pieces {
            decoder.feed(piece, &mut sink).unwrap();
        }
        decoder.finish(&mut sink).unwrap();
        found
    }

    #[test]
    fn every_line_comes_out_once_and_blank_ones_do_not() {
        assert_eq!(lines(&[b"{1}\r\n\n {2}\n{3}"]), ["{1}", "{2}", "{3}"]);
        assert_eq!(lines(&[b""]), Vec::<String>::new());
    }

    #[test]
    fn a_line_without_end_is_cut_off() {
        let mut decoder = Decoder::new(10);
        let mut feed = || decoder.feed(b"12345", &mut |_| Ok(()));
        assert!(feed().is_ok());
        assert!(feed().is_ok());
        assert_eq!(feed().unwrap_err().reason, Reason::ProviderStreamBroken);
    }

    proptest! {
        #[test]
        fn every_cut_gives_the_same(
            text in "[a\\r\\n ü]{0,40}",
            cuts in prop::collection::vec(0_usize..40, 0..6),
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| (*cut).min(bytes.len())).collect();
            cuts.sort_unstable();
            let (mut pieces, mut start) = (Vec::new(), 0);
            for cut in cuts {
                pieces.push(&bytes[start..cut]);
                start = cut;
            }
            pieces.push(&bytes[start..]);
            prop_assert_eq!(lines(&pieces), lines(&[bytes]));
        }
    }
}

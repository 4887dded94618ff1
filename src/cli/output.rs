//! Where a command writes: answers to standard output, everything else to standard error.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

use serde_json::Value;

/// Writes a text as it is, and shows it at once.
pub(super) fn text(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes a line.
pub(super) fn line(line: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Writes one JSON object in a line.
pub(super) fn json(value: &Value) -> io::Result<()> {
    line(value)
}

/// Tells people something in one line.
pub(super) fn note(note: impl Display) {
    // A terminal that is gone reads no notes.
    let _gone = writeln!(io::stderr(), "runwire: {note}");
}

/// Writes to standard error as it is, and shows it at once.
pub(super) fn aside(text: &str) {
    let mut out = io::stderr().lock();
    // As above.
    let _gone = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

//! Reasoning that models write into their text, between `<think>` and `</think>`.

/// Opens reasoning. Counts only at the start of the text.
const OPEN: &str = "<think>";
/// Closes it.
const CLOSE: &str = "</think>";
/// White space in front of the first word, beyond which it is no longer looked for a tag.
const MAX_BLANK_BYTES: usize = 1024;

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The answer.
    Text,
    /// Reasoning, without the white space around it.
    Reasoning,
}

/// Tells reasoning from text while both come in pieces. However they are cut, the joined outputs are
/// the same; a tag that is never closed leaves all of it reasoning, as when the output limit cuts it.
#[derive(Debug)]
pub(crate) struct Splitter {
    state: State,
    /// What may still be a part of a tag, or white space that may be the last.
    held: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing but white space as yet.
    Start,
    /// Behind the tag, but for white space.
    Opened,
    /// Within the reasoning.
    Thinking,
    /// Behind the closing tag, but for white space.
    Closed,
    /// Text, to the end.
    Plain,
}

impl Splitter {
    /// A splitter; one that is off takes everything for text.
    pub(crate) const fn new(on: bool) -> Self {
        Self {
            state: if on { State::Start } else { State::Plain },
            held: String::new(),
        }
    }

    /// Takes the next piece and hands over what it is certain of. Never an empty piece.
    pub(crate) fn feed(&mut self, piece: &str, sink: &mut dyn FnMut(Kind, &str)) {
        if self.state == State::Plain {
            if !piece.is_empty() {
                sink(Kind::Text, piece);
            }
            return;
        }
        let mut text = std::mem::take(&mut self.held);
        text.push_str(piece);
        let rest = self.advance(&text, sink);
        self.held = text.split_off(text.len() - rest);
    }

    /// The text has ended: hands over what was held back.
    pub(crate) fn finish(&mut self, sink: &mut dyn FnMut(Kind, &str)) {
        let held = std::mem::take(&mut self.held);
        let (kind, rest) = match self.state {
            State::Start | State::Plain => (Kind::Text, &*held),
            State::Opened | State::Thinking => (Kind::Reasoning, held.trim_end()),
            State::Closed => return,
        };
        if !rest.is_empty() {
            sink(kind, rest);
        }
    }

    /// Consumes text; returns how many bytes at its end must be held.
    fn advance(&mut self, text: &str, sink: &mut dyn FnMut(Kind, &str)) -> usize {
        let mut text = text;
        loop {
            match self.state {
                State::Start => {
                    let begun = text.trim_start();
                    if let Some(rest) = begun.strip_prefix(OPEN) {
                        self.state = State::Opened;
                        text = rest;
                    } else if OPEN.starts_with(begun) && text.len() <= MAX_BLANK_BYTES {
                        return text.len();
                    } else {
                        self.state = State::Plain;
                    }
                }
                State::Opened => {
                    text = text.trim_start();
                    if text.is_empty() {
                        return 0;
                    }
                    self.state = State::Thinking;
                }
                State::Thinking => {
                    let Some((reasoning, rest)) = text.split_once(CLOSE) else {
                        let held = uncertain(text);
                        let (certain, _) = text.split_at(text.len() - held);
                        if !certain.is_empty() {
                            sink(Kind::Reasoning, certain);
                        }
                        return held;
                    };
                    let reasoning = reasoning.trim_end();
                    if !reasoning.is_empty() {
                        sink(Kind::Reasoning, reasoning);
                    }
                    self.state = State::Closed;
                    text = rest;
                }
                State::Closed => {
                    text = text.trim_start();
                    if text.is_empty() {
                        return 0;
                    }
                    self.state = State::Plain;
                }
                State::Plain => {
                    if !text.is_empty() {
                        sink(Kind::Text, text);
                    }
                    return 0;
                }
            }
        }
    }
}

/// How many bytes at the end of `text` may be the beginning of the closing tag, or white space in
/// front of it.
fn uncertain(text: &str) -> usize {
    let tag = (1..CLOSE.len())
        .rev()
        .find(|length| {
            CLOSE
                .get(..*length)
                .is_some_and(|part| text.ends_with(part))
        })
        .unwrap_or(0);
    let (before, _) = text.split_at(text.len() - tag);
    text.len() - before.trim_end().len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(pieces: &[&str]) -> (String, String) {
        let (mut text, mut reasoning) = (String::new(), String::new());
        let mut sink = |kind, piece: &str| {
            assert!(!piece.is_empty());
            match kind {
                Kind::Text => text.push_str(piece),
                Kind::Reasoning => reasoning.push_str(piece),
            }
        };
        let mut splitter = Splitter::new(true);
        for piece in pieces {
            splitter.feed(piece, &mut sink);
        }
        splitter.finish(&mut sink);
        (text, reasoning)
    }

    #[track_caller]
    fn check(whole: &str, text: &str, reasoning: &str) {
        let expected = (text.to_owned(), reasoning.to_owned());
        assert_eq!(split(&[whole]), expected);
        let each: Vec<String> = whole.chars().map(String::from).collect();
        let each: Vec<&str> = each.iter().map(|piece| &**piece).collect();
        assert_eq!(split(&each), expected, "by characters");
    }

    #[test]
    fn reasoning_is_taken_out_and_trimmed() {
        check("<think>\n a b \n</think>\n\nanswer ", "answer ", "a b");
        check(" \n<think>x</think>y", "y", "x");
    }

    #[test]
    fn an_empty_thought_is_none() {
        check("<think>\n\n</think>\n\nanswer", "answer", "");
    }

    #[test]
    fn a_tag_counts_only_at_the_start() {
        check("so <think>x</think>", "so <think>x</think>", "");
        check(
            "<think>a</think>b<think>c</think>",
            "b<think>c</think>",
            "a",
        );
    }

    #[test]
    fn what_only_begins_like_a_tag_is_text() {
        check("<thin air", "<thin air", "");
        check(" <th", " <th", "");
        check("  ", "  ", "");
    }

    #[test]
    fn a_tag_that_is_never_closed_leaves_reasoning() {
        check("<think>cut off </thi", "", "cut off </thi");
    }

    #[test]
    fn a_switched_off_splitter_changes_nothing() {
        let mut out = String::new();
        let mut splitter = Splitter::new(false);
        splitter.feed("<think>x", &mut |_kind, piece| out.push_str(piece));
        splitter.finish(&mut |_kind, piece| out.push_str(piece));
        assert_eq!(out, "<think>x");
    }

    proptest! {
        #[test]
        fn every_cut_gives_the_same(pieces in prop::collection::vec(
            prop::sample::select(vec!["<think>", "</think>", "<", "/", "think", ">", " ", "\n", "a", "ü"]),
            0..12,
        )) {
            let whole: String = pieces.concat();
            prop_assert_eq!(split(&pieces), split(&[&whole]));
        }
    }
}

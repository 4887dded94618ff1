//! The message in progress: its text as far as it has come, and marks that say which of it came when.
//!
//! A reader at any earlier place of the log gets what it lacks as one delta per part. A mark that nobody
//! has read yet grows with the next delta, so that an unwatched message takes no more than its text.

use crate::domain::{
    completion::{Delta, Grown},
    id::{CallId, MessageId, RunId},
};

/// Most text behind one mark, so that a batch can be cut between marks.
const MARK_BYTES: usize = 16 * 1024;

/// Most text handed out at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// A message in progress.
#[derive(Debug)]
pub(super) struct Partial {
    run_id: Option<RunId>,
    message_id: MessageId,
    parts: Vec<PartText>,
    marks: Vec<Mark>,
    /// Whether the last mark was read, or something else happened since: the next delta needs a new one.
    sealed: bool,
}

#[derive(Debug)]
struct PartText {
    kind: Kind,
    text: String,
}

#[derive(Debug)]
enum Kind {
    Text,
    Reasoning,
    Call { id: CallId, name: String },
    Arguments,
}

/// Which text came with a sequence: a range of one part.
#[derive(Clone, Copy, Debug)]
struct Mark {
    sequence: u64,
    part: u32,
    start: u32,
    end: u32,
    /// Whether the part begins here.
    opens: bool,
}

impl Partial {
    pub(super) const fn new(run_id: Option<RunId>, message_id: MessageId) -> Self {
        Self {
            run_id,
            message_id,
            parts: Vec::new(),
            marks: Vec::new(),
            sealed: false,
        }
    }

    /// Whose it is, when it is a subagent's.
    pub(super) const fn run_id(&self) -> Option<RunId> {
        self.run_id
    }

    /// Where its first text after a place is.
    pub(super) fn first(&self, after: u64) -> Option<u64> {
        let first = self.marks.partition_point(|mark| mark.sequence <= after);
        self.marks.get(first).map(|mark| mark.sequence)
    }

    pub(super) const fn message_id(&self) -> &MessageId {
        &self.message_id
    }

    /// Adds a delta and says whether it took the sequence `next`. One that is out of order adds nothing:
    /// deltas are for display, the completed message is the truth.
    pub(super) fn grow(&mut self, delta: Delta, next: u64) -> bool {
        let index = delta.part_index as usize;
        let opens = index == self.parts.len();
        let (kind, text) = match delta.grown {
            Grown::Text(text) => (Kind::Text, text),
            Grown::Reasoning(text) => (Kind::Reasoning, text),
            Grown::ToolCall { id, name } => (Kind::Call { id, name }, String::new()),
            Grown::Arguments(text) => (Kind::Arguments, text),
        };
        if opens {
            self.parts.push(PartText {
                kind,
                text: String::new(),
            });
        } else if text.is_empty() {
            return false;
        }
        let Some(part) = self.parts.get_mut(index) else {
            return false;
        };
        let start = offset(part.text.len());
        part.text.push_str(&text);
        let mark = Mark {
            sequence: next,
            part: delta.part_index,
            start,
            end: offset(part.text.len()),
            opens,
        };
        self.mark(mark)
    }

    fn mark(&mut self, mark: Mark) -> bool {
        if let Some(last) = self.marks.last_mut()
            && !self.sealed
            && !mark.opens
            && last.part == mark.part
            && (mark.end - last.start) as usize <= MARK_BYTES
        {
            last.end = mark.end;
            return false;
        }
        self.marks.push(mark);
        self.sealed = false;
        true
    }

    /// What comes next is something else: it gets a sequence of its own.
    pub(super) const fn seal(&mut self) {
        self.sealed = true;
    }

    /// What came after one sequence and before another, oldest first, one delta per part, with the
    /// sequence that it reaches. Long text comes in several chunks; `None` when there is no more.
    pub(super) fn chunk(&mut self, after: u64, before: u64) -> Option<(u64, Vec<Delta>)> {
        self.cut(after, before, CHUNK_BYTES)
    }

    /// All that came before a sequence, one delta per part.
    pub(super) fn whole(&mut self, before: u64) -> Vec<Delta> {
        self.cut(0, before, usize::MAX)
            .map(|(_, deltas)| deltas)
            .unwrap_or_default()
    }

    fn cut(&mut self, after: u64, before: u64, max_bytes: usize) -> Option<(u64, Vec<Delta>)> {
        let first = self.marks.partition_point(|mark| mark.sequence <= after);
        let end = self.marks.partition_point(|mark| mark.sequence < before);
        let mut spans: Vec<Mark> = Vec::new();
        let mut bytes = 0;
        let mut last = None;
        for mark in self.marks.get(first..end).unwrap_or_default() {
            bytes += (mark.end - mark.start) as usize;
            if last.is_some() && bytes > max_bytes {
                break;
            }
            last = Some(mark.sequence);
            match spans.iter_mut().find(|span| span.part == mark.part) {
                Some(span) => span.end = mark.end,
                None => spans.push(*mark),
            }
        }
        let last = last?;
        if self.marks.last().is_some_and(|mark| mark.sequence == last) {
            self.sealed = true;
        }
        Some((last, spans.iter().flat_map(|s| self.deltas(s)).collect()))
    }

    /// The one delta of a span; two where a call begins: its name, then its arguments so far.
    fn deltas(&self, span: &Mark) -> impl Iterator<Item = Delta> {
        let mut grown = [None, None];
        if let Some(part) = self.parts.get(span.part as usize) {
            let range = span.start as usize..span.end as usize;
            let text = part.text.get(range).unwrap_or_default().to_owned();
            grown = match &part.kind {
                Kind::Text => [Some(Grown::Text(text)), None],
                Kind::Reasoning => [Some(Grown::Reasoning(text)), None],
                Kind::Arguments => [Some(Grown::Arguments(text)), None],
                Kind::Call { id, name } => [
                    span.opens.then(|| Grown::ToolCall {
                        id: id.clone(),
                        name: name.clone(),
                    }),
                    (!text.is_empty()).then_some(Grown::Arguments(text)),
                ],
            };
        }
        let part_index = span.part;
        grown
            .into_iter()
            .flatten()
            .map(move |grown| Delta { part_index, grown })
    }
}

/// Messages are far shorter than 4 GiB: the decoders see to that.
fn offset(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(part_index: u32, text: &str) -> Delta {
        Delta {
            part_index,
            grown: Grown::Text(text.to_owned()),
        }
    }

    fn partial() -> Partial {
        Partial::new(None, MessageId::parse("msg_1").unwrap())
    }

    /// Grows it from sequence 1 on, with a reader after each delta.
    fn read_each(deltas: &[Delta]) -> (Partial, u64) {
        let mut partial = partial();
        let mut next = 1;
        for delta in deltas {
            if partial.grow(delta.clone(), next) {
                next += 1;
            }
            partial.seal();
        }
        (partial, next - 1)
    }

    #[test]
    fn unread_deltas_of_a_part_are_one_delta() {
        let mut partial = partial();
        assert!(partial.grow(text(0, "Hel"), 7));
        assert!(!partial.grow(text(0, "lo"), 8));
        assert_eq!(partial.marks.len(), 1);
        assert_eq!(partial.chunk(0, 100), Some((7, vec![text(0, "Hello")])));
    }

    #[test]
    fn a_delta_after_a_read_has_its_own_place() {
        let mut partial = partial();
        partial.grow(text(0, "Hel"), 7);
        assert!(partial.chunk(0, 100).is_some());
        assert!(partial.grow(text(0, "lo"), 8));
        assert_eq!(partial.chunk(7, 100), Some((8, vec![text(0, "lo")])));
        assert_eq!(partial.chunk(8, 100), None);
    }

    #[test]
    fn a_call_begins_with_its_name_for_those_who_have_not_seen_it() {
        let id = CallId::parse("call_1").unwrap();
        let call = Delta {
            part_index: 0,
            grown: Grown::ToolCall {
                id,
                name: "add".to_owned(),
            },
        };
        let arguments = |text: &str| Delta {
            part_index: 0,
            grown: Grown::Arguments(text.to_owned()),
        };
        let (mut partial, last) = read_each(&[call.clone(), arguments("{\"a\""), arguments(":1}")]);
        assert_eq!(
            partial.chunk(0, 100),
            Some((last, vec![call, arguments("{\"a\":1}")]))
        );
        assert_eq!(partial.chunk(2, 100), Some((last, vec![arguments(":1}")])));
    }

    #[test]
    fn a_delta_out_of_order_adds_nothing() {
        let mut partial = partial();
        assert!(!partial.grow(text(1, "x"), 1));
        assert_eq!(partial.whole(100), []);
    }

    #[test]
    fn long_text_comes_in_chunks_between_marks() {
        let piece = "x".repeat(10_000);
        let deltas: Vec<Delta> = (0..20).map(|_| text(0, &piece)).collect();
        let (mut partial, last) = read_each(&deltas);
        let (mut at, mut bytes) = (0, 0);
        while let Some((sequence, deltas)) = partial.chunk(at, u64::MAX) {
            assert!(sequence > at);
            at = sequence;
            for delta in deltas {
                let Grown::Text(text) = delta.grown else {
                    panic!("{delta:?}")
                };
                assert!(text.len() <= CHUNK_BYTES);
                bytes += text.len();
            }
        }
        assert_eq!((at, bytes), (last, 200_000));
    }

    proptest! {
        #[test]
        fn what_any_reader_lacks_completes_what_it_has(
            pieces in prop::collection::vec((0_u32..3, "[a-zü]{0,4}"), 1..40),
            at in 0_u64..40,
        ) {
            let deltas: Vec<Delta> = pieces.iter().map(|(part, piece)| text(*part, piece)).collect();
            let (mut partial, last) = read_each(&deltas);
            let mut joined = String::new();
            for part in 0..3 {
                for half in [partial.chunk(0, at + 1), partial.chunk(at, u64::MAX)] {
                    for delta in half.into_iter().flat_map(|(_, deltas)| deltas) {
                        if let Grown::Text(text) = &delta.grown && delta.part_index == part {
                            joined.push_str(text);
                        }
                    }
                }
                joined.push('|');
            }
            let mut whole = String::new();
            for part in 0..3 {
                for delta in partial.whole(last + 1) {
                    if let Grown::Text(text) = &delta.grown && delta.part_index == part {
                        whole.push_str(text);
                    }
                }
                whole.push('|');
            }
            prop_assert_eq!(joined, whole);
        }
    }
}

//! However a recorded stream is cut into chunks, it becomes the same events.

use proptest::prelude::*;

use super::{recorded, turn};
use crate::provider::golden;

/// Cuts a stream at these places, given in parts of 65,536.
fn pieces<'s>(mut stream: &'s [u8], cuts: &[u16]) -> Vec<&'s [u8]> {
    let whole = stream.len();
    let mut cuts: Vec<usize> = cuts
        .iter()
        .map(|cut| (whole * usize::from(*cut)) >> 16)
        .collect();
    cuts.sort_unstable();
    let mut pieces = Vec::with_capacity(cuts.len() + 1);
    let mut at = 0;
    for cut in cuts {
        let (piece, rest) = stream.split_at(cut - at);
        pieces.push(piece);
        (stream, at) = (rest, cut);
    }
    pieces.push(stream);
    pieces
}

#[test]
fn any_split_of_any_recorded_stream_becomes_the_same_events() {
    let mut cases = recorded();
    cases.retain(|(_, case)| case.stream.is_some());
    assert!(cases.len() > 60, "only {} streams", cases.len());
    for (family, case) in &cases {
        let (framing, stream) = case.stream.as_ref().unwrap();
        let read = |pieces: &[&[u8]]| {
            golden::assemble(family.protocol(), turn(family, case), *framing, pieces)
        };
        let whole = read(&[stream]);
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
            cases: 24,
            failure_persistence: None,
            ..ProptestConfig::default()
        });
        let cuts = prop::collection::vec(any::<u16>(), 0..24);
        let split = runner.run(&cuts, |cuts| {
            prop_assert_eq!(read(&pieces(stream, &cuts)), whole.clone());
            Ok(())
        });
        assert!(split.is_ok(), "{}: {}", case.name, split.unwrap_err());
    }
}

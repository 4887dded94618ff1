//! Any bytes, cut anywhere, decode to the same events, and never to one beyond the limit.

#![no_main]

use libfuzzer_sys::fuzz_target;
use runwire::provider::sse::Decoder;

const MAX_EVENT_BYTES: usize = 64;

fn decode(pieces: &[&[u8]]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut events = Vec::new();
    let mut decoder = Decoder::new(MAX_EVENT_BYTES);
    let mut sink = |event: runwire::provider::sse::Event<'_>| {
        assert!(event.data.len() <= 2 * MAX_EVENT_BYTES);
        events.push((event.name.to_vec(), event.data.to_vec()));
        Ok(())
    };
    for piece in pieces {
        decoder.feed(piece, &mut sink).ok()?;
    }
    decoder.finish(&mut sink).ok()?;
    Some(events)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (cut, stream) = input;
    let (head, tail) = stream.split_at(usize::from(cut).min(stream.len()));
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    let whole = decode(&[stream]);
    assert_eq!(decode(&[head, tail]), whole);
    assert_eq!(decode(&bytes), whole);
});

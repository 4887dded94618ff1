#![no_main]

use runwire::provider::framing::Framing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    runwire_fuzz::frames(Framing::EventStream, bytes);
    // No mutation finds a checksum: the same bytes again, as the headers and the payload of one message.
    let at = usize::from(bytes.first().copied().unwrap_or_default()).min(bytes.len());
    let (headers, payload) = bytes.split_at(at);
    let message = runwire_fuzz::message(headers, payload);
    runwire_fuzz::frames(Framing::EventStream, &[&*message, bytes].concat());
});

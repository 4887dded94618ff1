#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    runwire_fuzz::frames(runwire::provider::framing::Framing::Lines, bytes);
});

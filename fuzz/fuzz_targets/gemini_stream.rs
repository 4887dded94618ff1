#![no_main]

use runwire::provider::{
    framing::Framing,
    gemini::{Gemini, Place},
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let protocol = Gemini {
        name: "p".to_owned(),
        place: Place::Developer,
        options: None,
    };
    runwire_fuzz::stream(&protocol, Framing::Sse, bytes);
});

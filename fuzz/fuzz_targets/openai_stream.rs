#![no_main]

use runwire::provider::{
    framing::Framing,
    openai::{OpenAi, Quirks},
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let protocol = OpenAi {
        name: "p".to_owned(),
        quirks: Quirks::COMPATIBLE,
        options: None,
    };
    runwire_fuzz::stream(&protocol, Framing::Sse, bytes);
});

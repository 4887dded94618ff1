#![no_main]

use runwire::provider::{
    framing::Framing,
    openai::{OpenAi, Quirks, responses::Responses},
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let protocol = Responses {
        openai: OpenAi {
            name: "p".to_owned(),
            quirks: Quirks::OPENAI,
            options: None,
        },
    };
    runwire_fuzz::stream(&protocol, Framing::Sse, bytes);
});

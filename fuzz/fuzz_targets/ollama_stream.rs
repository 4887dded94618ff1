#![no_main]

use runwire::provider::{
    framing::Framing,
    ollama::Ollama,
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let protocol = Ollama {
        name: "p".to_owned(),
        options: None,
    };
    runwire_fuzz::stream(&protocol, Framing::Lines, bytes);
});

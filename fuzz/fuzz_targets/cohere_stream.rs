#![no_main]

use runwire::provider::{
    cohere::Cohere,
    framing::Framing,
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let protocol = Cohere {
        name: "p".to_owned(),
        options: None,
    };
    runwire_fuzz::stream(&protocol, Framing::Sse, bytes);
});

#![no_main]

use runwire::provider::{
    anthropic::{Anthropic, Surface},
    framing::Framing,
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let protocol = Anthropic::new("p", Surface::Direct);
    runwire_fuzz::stream(&protocol, Framing::Sse, bytes);
});

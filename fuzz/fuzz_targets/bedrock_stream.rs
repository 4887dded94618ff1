#![no_main]

use runwire::provider::{
    bedrock::{Api, Bedrock},
    framing::Framing,
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let stream = runwire_fuzz::messages(bytes);
    for api in [Api::Converse, Api::Messages] {
        let protocol = Bedrock::new("p", api);
        runwire_fuzz::stream(&protocol, Framing::EventStream, &stream);
    }
});

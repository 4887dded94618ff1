//! OpenAI's Responses protocol: what the models that reason are at home in.
//!
//! Source: OpenAI API reference, "Responses" and "Streaming events"
//! (platform.openai.com/docs/api-reference/responses), and the guide "Reasoning models", section on
//! encrypted reasoning.
//!
//! Chosen by `parameters.api = "responses"`. Nothing is stored at the vendor (`store` is false):
//! reasoning comes encrypted, is kept whole in the part's provider state, and goes back unchanged in
//! later turns.
//!
//! What a caller may not expect:
//! - `seed`, `stop_sequences` and `top_k` have no words and are left out.
//! - A summary of the reasoning is asked for together with an effort.
//! - Audio is refused; a result's images and documents stand in the result itself.
//! - Reasoning of others is left out: a vendor can read none but its own.

mod decode;
mod encode;
mod kept;
mod wire;

use super::OpenAi;
use crate::{
    domain::{completion::Completion, fault::Fault, model::ModelInfo},
    provider::protocol::{Assemble, Call, Encoded, Protocol, Rejection, Turn},
};

/// The protocol, set up for one vendor.
#[derive(Debug)]
pub struct Responses {
    /// The vendor: its name, its options, its list of models.
    pub openai: OpenAi,
}

impl Protocol for Responses {
    fn encode(&self, call: Call<'_>) -> Result<Encoded, Fault> {
        encode::encode(&self.openai, call)
    }

    fn decode(&self, turn: Turn, body: &[u8]) -> Result<Completion, Fault> {
        decode::decode(turn, body)
    }

    fn assemble(&self, turn: Turn) -> Box<dyn Assemble> {
        Box::new(decode::Assembler::new(turn))
    }

    fn reject(&self, turn: Turn, rejection: Rejection<'_>) -> Result<Completion, Fault> {
        self.openai.reject(turn, rejection)
    }

    fn models_path(&self) -> Option<&'static str> {
        self.openai.models_path()
    }

    fn decode_models(&self, provider: &str, body: &[u8]) -> Result<Vec<ModelInfo>, Fault> {
        self.openai.decode_models(provider, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{golden, openai::Quirks};

    #[test]
    fn golden_cases_hold() {
        golden::check_family("responses", |name| {
            Box::new(Responses {
                openai: OpenAi {
                    name: name.to_owned(),
                    quirks: Quirks::OPENAI,
                    options: None,
                },
            })
        });
    }
}

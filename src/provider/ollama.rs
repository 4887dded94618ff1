//! Ollama's own protocol, `/api/chat`: what its OpenAI surface loses, such as the context size
//! (`options.num_ctx`), how long a model stays loaded (`keep_alive`), and thinking as a switch.
//!
//! Source: docs.ollama.com/api/chat, /api/streaming, /capabilities/thinking, /capabilities/tool-calling,
//! /capabilities/structured-outputs.
//!
//! Chosen by `parameters.api = "native"`. `num_ctx`, `keep_alive` and the like are set by `options`, for
//! all requests or in a request's `provider_options`.
//!
//! What a caller may not expect:
//! - A tool cannot be forced: `tool_choice` NONE leaves the tools out, the others change nothing.
//! - Calls have no ids: results are matched by their order, and carry the tool's name.
//! - Images go inline only; a result's images follow in a message of the user. Other media are refused.

mod decode;
mod encode;
mod wire;

use std::sync::Arc;

use serde::Deserialize;

use super::{
    auth::KeyHeader,
    endpoint::Adapter,
    protocol::{Assemble, Call, Encoded, Protocol, Turn, read_list},
    registry::Parts,
};
use crate::domain::{
    completion::Completion,
    fault::Fault,
    json::JsonText,
    message::Media,
    model::{ModelInfo, ModelRef},
};

/// The family: the name under which its options are given.
pub const FAMILY: &str = "ollama";

/// The protocol, set up for one server.
#[derive(Debug)]
pub struct Ollama {
    /// The provider's name: its options are given under this name too.
    pub name: String,
    /// A JSON object that the operator merges into every request.
    pub options: Option<JsonText>,
}

/// Builds a provider that speaks it.
///
/// # Errors
/// When the settings do not make one.
pub(crate) fn build(parts: &mut Parts<'_>) -> Result<Arc<dyn Adapter>, String> {
    let base_url = parts.base_url()?;
    let base_url = base_url.strip_suffix("/v1").unwrap_or(&base_url).to_owned();
    let protocol = Ollama {
        name: parts.name.to_owned(),
        options: parts.settings.options.clone(),
    };
    let authorize = parts.authorize(KeyHeader::bearer)?;
    parts.endpoint(base_url, Box::new(protocol), authorize)
}

impl Protocol for Ollama {
    fn encode(&self, call: Call<'_>) -> Result<Encoded, Fault> {
        encode::encode(self, call)
    }

    fn takes_uri(&self, _model: &str, _media: &Media) -> bool {
        false
    }

    fn decode(&self, turn: Turn, body: &[u8]) -> Result<Completion, Fault> {
        decode::decode(turn, body)
    }

    fn assemble(&self, turn: Turn) -> Box<dyn Assemble> {
        Box::new(decode::Assembler::new(turn))
    }

    fn models_path(&self) -> Option<&'static str> {
        Some("/api/tags")
    }

    fn decode_models(&self, provider: &str, body: &[u8]) -> Result<Vec<ModelInfo>, Fault> {
        #[derive(Deserialize)]
        struct List {
            models: Vec<Model>,
        }
        #[derive(Deserialize)]
        struct Model {
            name: String,
        }
        let list: List = read_list(body)?;
        let named = |model: Model| {
            ModelInfo::named(ModelRef {
                provider: provider.to_owned(),
                model: model.name,
            })
        };
        Ok(list.models.into_iter().map(named).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::golden;

    fn protocol(name: &str) -> Box<dyn Protocol> {
        Box::new(Ollama {
            name: name.to_owned(),
            options: JsonText::parse_object(r#"{"keep_alive":"10m"}"#).ok(),
        })
    }

    #[test]
    fn golden_cases_hold() {
        golden::check_family(FAMILY, protocol);
    }

    #[test]
    fn models_are_listed() {
        let body = br#"{"models":[{"name":"llama3.2:1b","size":1}]}"#;
        let models = protocol("ollama").decode_models("ollama", body).unwrap();
        assert_eq!(models[0].model.to_string(), "ollama:llama3.2:1b");
    }
}

//! Cohere's chat protocol, version 2.
//!
//! Source: docs.cohere.com/reference/chat, /reference/chat-stream, /docs/tool-use-overview,
//! /docs/tool-use-streaming, /docs/reasoning, /docs/structured-outputs.
//!
//! - The text beside calls is the `tool_plan`, both ways. Reasoning goes back beside calls only.
//! - `tool_choice` with a name offers that tool alone and forces a call: the vendor knows no names there.
//! - `output_schema` is enforced by `response_format`. `parallel_tool_calls` has no word and is left out.
//! - Citations stand in `provider_metadata`.
//! - Images go out as URLs or data URLs, a result's images in a message of the user. Other media are
//!   refused.

mod decode;
mod encode;
mod wire;

use std::sync::Arc;

use serde::Deserialize;

use super::{
    auth::KeyHeader,
    endpoint::Adapter,
    fault::{self, Words},
    protocol::{Assemble, Call, Encoded, Protocol, Rejection, Turn, read_list},
    registry::Parts,
};
use crate::domain::{
    completion::Completion,
    fault::{Fault, Reason},
    json::JsonText,
    model::{ModelInfo, ModelRef},
};

/// The family: the name under which its state travels and its options are given.
pub const FAMILY: &str = "cohere";

/// The protocol, set up for one vendor.
#[derive(Debug)]
pub struct Cohere {
    /// The provider's name: its options are given under this name too.
    pub name: String,
    /// A JSON object that the operator merges into every request.
    pub options: Option<JsonText>,
}

/// Builds a provider of kind `cohere`.
///
/// # Errors
/// When the settings do not make one.
pub(crate) fn build(parts: &mut Parts<'_>) -> Result<Arc<dyn Adapter>, String> {
    let protocol = Cohere {
        name: parts.name.to_owned(),
        options: parts.settings.options.clone(),
    };
    let authorize = parts.authorize(KeyHeader::bearer)?;
    parts.endpoint(parts.base_url()?, Box::new(protocol), authorize)
}

impl Protocol for Cohere {
    fn encode(&self, call: Call<'_>) -> Result<Encoded, Fault> {
        encode::encode(self, call)
    }

    fn decode(&self, turn: Turn, body: &[u8]) -> Result<Completion, Fault> {
        decode::decode(turn, body)
    }

    fn assemble(&self, turn: Turn) -> Box<dyn Assemble> {
        Box::new(decode::Assembler::new(turn))
    }

    fn reject(&self, turn: Turn, rejection: Rejection<'_>) -> Result<Completion, Fault> {
        let words = Words::parse(rejection.body);
        let mut fault = fault::of_status(rejection.status, &turn.headers, &words);
        // By the vendor's list of errors: a token that is blocked or not known.
        if rejection.status.as_u16() == 498 {
            fault.reason = Reason::ProviderCredentialsRejected;
        }
        Err(fault)
    }

    fn models_path(&self) -> Option<&'static str> {
        Some("/v1/models?endpoint=chat&page_size=1000")
    }

    fn decode_models(&self, provider: &str, body: &[u8]) -> Result<Vec<ModelInfo>, Fault> {
        #[derive(Deserialize)]
        struct List {
            models: Vec<Model>,
        }
        #[derive(Deserialize)]
        struct Model {
            name: String,
            #[serde(default)]
            context_length: Option<f64>,
            #[serde(default)]
            features: Option<Vec<String>>,
        }
        let list: List = read_list(body)?;
        let can = |model: &Model, feature: &str| {
            let features = model.features.as_ref()?;
            Some(features.iter().any(|name| name == feature))
        };
        let named = |model: Model| ModelInfo {
            context_tokens: model.context_length.map(decode::count),
            supports_media: can(&model, "vision"),
            supports_tools: can(&model, "tools"),
            supports_output_schema: can(&model, "json_schema"),
            ..ModelInfo::named(ModelRef {
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
        Box::new(Cohere {
            name: name.to_owned(),
            options: None,
        })
    }

    #[test]
    fn golden_cases_hold() {
        golden::check_family(FAMILY, protocol);
    }

    #[test]
    fn models_are_listed_with_what_is_known_of_them() {
        let body = br#"{"models":[{"name":"command-a-03-2025","context_length":256000.0,
            "features":["tools","json_schema"]}]}"#;
        let models = protocol("cohere").decode_models("cohere", body).unwrap();
        assert_eq!(models[0].model.to_string(), "cohere:command-a-03-2025");
        assert_eq!(models[0].context_tokens, Some(256_000));
        assert_eq!(models[0].supports_tools, Some(true));
        assert_eq!(models[0].supports_media, Some(false));
    }
}

//! The Gemini protocol: `generateContent`, at the Gemini Developer API and on Vertex AI.
//!
//! Sources: Gemini API reference, "generateContent" and "models" (ai.google.dev/api), and its guides
//! "Function calling", "Thinking", "Thought signatures" and "Structured output"; for the values of
//! enumerations the published types of Google's own client library.
//!
//! Structured output is native (`responseJsonSchema`). There is no switch against parallel calls:
//! `parallel_tool_calls` has no effect.

mod decode;
mod encode;
mod error;
mod state;
mod wire;

use std::sync::Arc;

use http::HeaderName;

use super::{
    auth::KeyHeader,
    endpoint::Adapter,
    fetching,
    protocol::{Assemble, Call, Encoded, Protocol, Rejection, Turn, read_list},
    registry::Parts,
};
use crate::domain::{
    completion::Completion,
    fault::Fault,
    json::JsonText,
    message::{Media, MediaSource},
    model::{ModelInfo, ModelRef},
};

/// The family: the name under which its state travels and its options are given.
pub const FAMILY: &str = "gemini";

/// The version of the API where neither the base URL nor the parameter `version` says another: the
/// one whose published description has tools.
const API_VERSION: &str = "v1beta";

/// Where the protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the Gemini Developer API.
    Developer,
    /// On Vertex AI.
    Vertex,
}

/// The protocol, set up for one provider.
#[derive(Debug)]
pub struct Gemini {
    /// The provider's name: its options are given under this name too.
    pub name: String,
    /// Where it is spoken.
    pub place: Place,
    /// A JSON object that the operator merges into every request.
    pub options: Option<JsonText>,
}

/// Builds a provider of kind `gemini`.
///
/// # Errors
/// When the settings do not make one.
pub(crate) fn build(parts: &mut Parts<'_>) -> Result<Arc<dyn Adapter>, String> {
    let base_url = parts.base_url()?;
    let version = parts.settings.parameters.get("version");
    let base_url = with_version(base_url, version.map_or(API_VERSION, |version| version));
    let protocol = Gemini {
        name: parts.name.to_owned(),
        place: Place::Developer,
        options: parts.settings.options.clone(),
    };
    // In a header, never in the URL: URLs are logged.
    let authorize =
        parts.authorize(|key| KeyHeader::new(HeaderName::from_static("x-goog-api-key"), key))?;
    parts.endpoint(base_url, Box::new(protocol), authorize)
}

/// A base URL that ends in a version, such as `/v1`, keeps it.
pub(super) fn with_version(mut base_url: String, version: &str) -> String {
    let last = base_url.rsplit('/').next().unwrap_or_default();
    let is_version = last
        .strip_prefix('v')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if !is_version {
        base_url.push('/');
        base_url.push_str(version);
    }
    base_url
}

/// Where a model is below the base URL, unless its name says another collection.
fn resource(place: Place, model: &str) -> String {
    let collection = match place {
        Place::Developer => "/models/",
        Place::Vertex => "/publishers/google/models/",
    };
    let mut path = String::from(if model.contains('/') { "/" } else { collection });
    for byte in model.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/@".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

impl Protocol for Gemini {
    fn encode(&self, call: Call<'_>) -> Result<Encoded, Fault> {
        encode::encode(self, call, &resource(self.place, &call.model.model))
    }

    fn takes_uri(&self, _model: &str, media: &Media) -> bool {
        match (self.place, &media.source) {
            // It fetches by TLS only (ai.google.dev/gemini-api/docs/file-input-methods).
            (Place::Developer, MediaSource::Uri(uri)) => fetching::scheme(uri) != "http",
            (Place::Developer | Place::Vertex, _) => true,
        }
    }

    fn decode(&self, turn: Turn, body: &[u8]) -> Result<Completion, Fault> {
        decode::decode(turn, body)
    }

    fn assemble(&self, turn: Turn) -> Box<dyn Assemble> {
        Box::new(decode::Assembler::new(turn))
    }

    fn reject(&self, turn: Turn, rejection: Rejection<'_>) -> Result<Completion, Fault> {
        Err(error::of_status(
            rejection.status,
            &turn.headers,
            rejection.body,
        ))
    }

    fn models_path(&self) -> Option<&'static str> {
        Some("/models?pageSize=1000")
    }

    fn decode_models(&self, provider: &str, body: &[u8]) -> Result<Vec<ModelInfo>, Fault> {
        let list: wire::Models<'_> = read_list(body)?;
        let generates = |model: &&wire::Model<'_>| {
            let methods = &model.supported_generation_methods;
            methods.is_empty() || methods.iter().any(|method| method == "generateContent")
        };
        let known = |model: &wire::Model<'_>| {
            let name = model.name.strip_prefix("models/").unwrap_or(&model.name);
            let named = ModelInfo::named(ModelRef {
                provider: provider.to_owned(),
                model: name.to_owned(),
            });
            ModelInfo {
                context_tokens: model.input_token_limit,
                max_output_tokens: model.output_token_limit,
                supports_reasoning: model.thinking,
                ..named
            }
        };
        Ok(list.models.iter().filter(generates).map(known).collect())
    }
}

#[cfg(test)]
mod tests;

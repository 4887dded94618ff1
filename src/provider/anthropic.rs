//! The Anthropic Messages protocol: at Anthropic itself, and as Google Vertex AI and Amazon Bedrock
//! host it.
//!
//! Source: Claude API reference, "Create a Message", "Streaming Messages", "Thinking", "Effort",
//! "Structured outputs", "Prompt caching", "Mid-conversation system messages", "Preserved thinking",
//! "Migrate to API version 2026-10-21" (platform.claude.com/docs); for the two hosts the pages "Amazon
//! Bedrock" and "Vertex AI" there.
//!
//! What a caller may not expect:
//! - `temperature`, `top_p` and `top_k` are left out where the vendor refuses them: by API version
//!   2026-10-21, by models from 4.7 on, and beside a thinking budget. In `provider_options` they go out
//!   as they are, and the vendor answers.
//! - `max_tokens` must be said: without a limit it is 8,192 (4,096 before Claude 3.5), and room for the
//!   thinking that is asked for or that the model does by itself.
//! - An output schema is native from 4.5 on; earlier models are made to call a tool whose arguments are
//!   the answer, which comes out as text.
//! - Of more than four cache breakpoints the last four count.
//! - Authors' names and `seed` have no place in the protocol.

mod decode;
pub(super) mod encode;
pub(super) mod model;
pub(super) mod schema;
pub(super) mod wire;

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::{
    auth::KeyHeader,
    endpoint::Adapter,
    fetching,
    framing::Framing,
    protocol::{Assemble, Call, Encoded, Protocol, Turn, read_list},
    registry::Parts,
};
use crate::{
    domain::{
        completion::Completion,
        fault::Fault,
        json::JsonText,
        message::{Media, MediaSource},
        model::ModelInfo,
    },
    run::port::Answer,
};

/// The family: the name under which its state travels and its options are given.
pub const FAMILY: &str = "anthropic";

/// The API version without sampling parameters, on all surfaces.
const NEWER_VERSION: &str = "2026-10-21";
/// The tool that a model without native structured output is made to answer by.
const ANSWER_TOOL: &str = "final_answer_json";

/// Where the protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// At Anthropic, or a gateway that speaks like it: `/v1/messages`, the version in a header.
    Direct,
    /// On Google Vertex AI: `:rawPredict` and `:streamRawPredict`, the version in the body.
    Vertex,
    /// On Amazon Bedrock: `/invoke` and `/invoke-with-response-stream`, the version in the body.
    Bedrock,
}

impl Surface {
    /// The API version that is spoken unless the operator names another.
    pub const fn version(self) -> &'static str {
        match self {
            Self::Direct => "2023-06-01",
            Self::Vertex => "vertex-2023-10-16",
            Self::Bedrock => "bedrock-2023-05-31",
        }
    }

    /// Where a model is asked, below the base URL. On Vertex the base URL ends with the location, as
    /// in `…/v1/projects/P/locations/L`.
    fn path(self, model: &str, answer: Answer) -> String {
        let model = percent_encoded(model);
        match (self, answer) {
            (Self::Direct, _) => "/v1/messages".to_owned(),
            (Self::Vertex, Answer::Whole) => {
                format!("/publishers/anthropic/models/{model}:rawPredict")
            }
            (Self::Vertex, Answer::Streamed) => {
                format!("/publishers/anthropic/models/{model}:streamRawPredict")
            }
            (Self::Bedrock, Answer::Whole) => format!("/model/{model}/invoke"),
            (Self::Bedrock, Answer::Streamed) => {
                format!("/model/{model}/invoke-with-response-stream")
            }
        }
    }
}

/// The protocol, set up for one vendor. A host of it uses this as it is and replaces what its transport
/// does differently, such as the framing.
#[derive(Clone, Debug)]
pub struct Anthropic {
    /// The provider's name: its options are given under this name too.
    pub name: String,
    /// Where it is spoken.
    pub surface: Surface,
    /// The API version.
    pub version: String,
    /// The limit of output where the caller names none, without room for thinking. `None`: by model.
    pub max_tokens: Option<u64>,
    /// A JSON object that the operator merges into every request.
    pub options: Option<JsonText>,
}

impl Anthropic {
    /// With everything by default.
    pub fn new(name: impl Into<String>, surface: Surface) -> Self {
        Self {
            name: name.into(),
            surface,
            version: surface.version().to_owned(),
            max_tokens: None,
            options: None,
        }
    }

    fn version_header(&self) -> Vec<(HeaderName, HeaderValue)> {
        let version = HeaderValue::from_str(&self.version);
        match (self.surface, version) {
            (Surface::Direct, Ok(version)) => {
                vec![(HeaderName::from_static("anthropic-version"), version)]
            }
            (Surface::Direct, Err(_)) | (Surface::Vertex | Surface::Bedrock, _) => Vec::new(),
        }
    }
}

/// Builds a provider of kind `anthropic`.
///
/// # Errors
/// When the settings do not make one.
pub(crate) fn build(parts: &mut Parts<'_>) -> Result<Arc<dyn Adapter>, String> {
    let parameters = &parts.settings.parameters;
    let mut protocol = Anthropic::new(parts.name, Surface::Direct);
    protocol.options = parts.settings.options.clone();
    if let Some(version) = parameters.get("version") {
        if version.is_empty() || !version.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("version is no version, such as 2023-06-01".to_owned());
        }
        protocol.version.clone_from(version);
    }
    if let Some(limit) = parameters.get("max_tokens") {
        let parsed = limit.parse().ok().filter(|limit| *limit > 0);
        protocol.max_tokens = Some(parsed.ok_or("max_tokens is no number above zero")?);
    }
    // The paths bring their own.
    let base_url = parts.base_url()?;
    let base_url = base_url.strip_suffix("/v1").unwrap_or(&base_url).to_owned();
    let authorize =
        parts.authorize(|key| KeyHeader::new(HeaderName::from_static("x-api-key"), key))?;
    parts.endpoint(base_url, Box::new(protocol), authorize)
}

impl Protocol for Anthropic {
    fn encode(&self, call: Call<'_>) -> Result<Encoded, Fault> {
        Ok(Encoded {
            path: self.surface.path(&call.model.model, call.answer),
            headers: self.version_header(),
            body: encode::encode(self, call)?,
            framing: Framing::Sse,
        })
    }

    fn takes_uri(&self, _model: &str, media: &Media) -> bool {
        let MediaSource::Uri(uri) = &media.source else {
            return true;
        };
        // Clouds take what stands in the request only
        // (platform.claude.com/docs/en/build-with-claude/vision); text documents go as text everywhere.
        let scheme = fetching::scheme(uri);
        match self.surface {
            _ if media.media_type.starts_with("text/") => false,
            Surface::Direct => true,
            Surface::Vertex | Surface::Bedrock => !matches!(&*scheme, "http" | "https"),
        }
    }

    fn decode(&self, turn: Turn, body: &[u8]) -> Result<Completion, Fault> {
        decode::decode(turn, body)
    }

    fn assemble(&self, turn: Turn) -> Box<dyn Assemble> {
        Box::new(decode::Assembler::new(turn))
    }

    fn models_path(&self) -> Option<&'static str> {
        match self.surface {
            Surface::Direct => Some("/v1/models?limit=1000"),
            Surface::Vertex | Surface::Bedrock => None,
        }
    }

    fn models_headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        self.version_header()
    }

    fn decode_models(&self, provider: &str, body: &[u8]) -> Result<Vec<ModelInfo>, Fault> {
        let list: wire::read::Models<'_> = read_list(body)?;
        Ok(list.data.iter().map(|model| model.info(provider)).collect())
    }
}

/// Whether the model with that name enforces output schemas itself; others are made to call a tool.
pub(super) fn enforces_schemas(model: &str) -> bool {
    model::traits(model).native_schema
}

/// A model's name as one segment of a path.
fn percent_encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests;

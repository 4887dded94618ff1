//! Azure: OpenAI's models at Azure OpenAI, everybody's at Azure AI inference. Both speak the chat
//! completions protocol, at addresses and with credentials of their own.
//!
//! Source: learn.microsoft.com, "Azure OpenAI in Microsoft Foundry Models REST API reference", "API
//! version lifecycle" (for `/openai/v1`), "Content filtering", "Azure AI Model Inference REST API", and
//! "OAuth 2.0 client credentials flow" with its cases of a shared secret and of a federated credential.
//!
//! - The model's name is that of the deployment.
//! - The base URL decides how it is asked: see `Style`.
//! - The key goes out in `api-key`. With the parameters `tenant_id` and `client_id` the key is the
//!   secret of an application in Entra ID, and what goes out is a token that it is exchanged for.
//!   Without a key the file `federated_token_file` vouches for the application: workload identity.
//! - Azure AI inference refuses members that its schema does not have, such as `stream_options`, unless
//!   it is told by `extra-parameters` to pass them on to the model.
//! - What the content filter refuses comes with status 400: it is an outcome, `CONTENT_FILTER`.

mod entra;

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use serde_json::Value;

use self::entra::Entra;
use super::{
    auth::{KeyHeader, Missing},
    endpoint::Adapter,
    openai::{OpenAi, Quirks},
    protocol::{Assemble, Call, Encoded, Protocol, Rejection, Turn},
    registry::Parts,
    token::{TokenCache, TokenSettings},
};
use crate::domain::{
    completion::Completion, fault::Fault, json::JsonText, message::Media, model::ModelInfo,
};

/// Parameters that the environment may hold, and the variables that are looked at.
pub(super) const PARAMETERS: &[(&str, &[&str])] = &[
    ("api_version", &["AZURE_API_VERSION"]),
    ("federated_token_file", &["AZURE_FEDERATED_TOKEN_FILE"]),
];

/// The variable that holds the base URL.
const BASE_URL: &str = "AZURE_BASE_URL";
/// The header of a key, at both services.
const API_KEY: HeaderName = HeaderName::from_static("api-key");
/// Says what becomes of members that the schema of Azure AI inference does not have.
const EXTRA: HeaderName = HeaderName::from_static("extra-parameters");
/// The API version for addresses that need one, where nobody names another.
const OPENAI_VERSION: &str = "2024-10-21";
const INFERENCE_VERSION: &str = "2024-05-01-preview";

/// How a model is asked, by the shape of the base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Style {
    /// `https://NAME.openai.azure.com/openai/v1`, or the bare resource without an API version: no API
    /// version, the deployment in the body.
    V1 {
        /// What is missing of the base URL.
        prefix: &'static str,
    },
    /// The bare resource with an API version: the deployment stands in the path.
    Deployments {
        /// The version.
        version: String,
    },
    /// `…/openai/deployments/NAME`: one deployment, whatever the model is called.
    Deployment {
        /// The version.
        version: String,
    },
    /// `https://NAME.services.ai.azure.com/models`: the model in the body.
    Inference {
        /// The version.
        version: String,
    },
}

impl Style {
    fn of(base_url: &str, version: Option<&str>) -> Self {
        let or = |default: &str| version.unwrap_or(default).to_owned();
        if base_url.ends_with("/openai/v1") {
            Self::V1 { prefix: "" }
        } else if base_url.ends_with("/models") {
            Self::Inference {
                version: or(INFERENCE_VERSION),
            }
        } else if base_url.contains("/openai/deployments/") {
            Self::Deployment {
                version: or(OPENAI_VERSION),
            }
        } else {
            match version {
                Some(version) => Self::Deployments {
                    version: version.to_owned(),
                },
                None => Self::V1 {
                    prefix: "/openai/v1",
                },
            }
        }
    }

    fn path(&self, model: &str) -> Result<String, Fault> {
        Ok(match self {
            Self::V1 { prefix } => format!("{prefix}/chat/completions"),
            Self::Deployments { version } => {
                let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
                if model.is_empty() || !model.bytes().all(plain) {
                    return Err(Fault::invalid(
                        "model",
                        "a deployment's name is of a-z A-Z 0-9 - _ .",
                    ));
                }
                format!("/openai/deployments/{model}/chat/completions?api-version={version}")
            }
            Self::Deployment { version } | Self::Inference { version } => {
                format!("/chat/completions?api-version={version}")
            }
        })
    }

    fn models_path(&self) -> Option<&'static str> {
        match self {
            Self::V1 { prefix: "" } => Some("/models"),
            Self::V1 { .. } => Some("/openai/v1/models"),
            // What there is under an API version lists base models, not deployments.
            Self::Deployments { .. } | Self::Deployment { .. } | Self::Inference { .. } => None,
        }
    }
}

/// The protocol, at one resource.
#[derive(Debug)]
struct Azure {
    openai: OpenAi,
    style: Style,
}

/// Builds a provider of kind `azure`.
///
/// # Errors
/// When the settings do not make one.
pub(crate) fn build(parts: &mut Parts<'_>) -> Result<Arc<dyn Adapter>, String> {
    let base_url = parts.own_base_url()?;
    let version = parts.parameter("api_version");
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    if version.is_some_and(|version| !version.bytes().all(fits)) {
        return Err("parameters.api_version is no version, such as 2024-10-21".to_owned());
    }
    let style = Style::of(base_url.as_deref().unwrap_or_default(), version);
    let quirks = match style {
        Style::Inference { .. } => Quirks::COMPATIBLE,
        Style::V1 { .. } | Style::Deployments { .. } | Style::Deployment { .. } => Quirks::OPENAI,
    };
    let protocol = Azure {
        openai: OpenAi {
            name: parts.name.to_owned(),
            quirks,
            options: parts.settings.options.clone(),
        },
        style,
    };
    let Some(base_url) = base_url else {
        let missing = Missing {
            variable: BASE_URL.to_owned(),
        };
        let nowhere = "https://azure.invalid".to_owned();
        return parts.endpoint(nowhere, Box::new(protocol), Arc::new(missing));
    };
    let authorize = match Entra::of(parts)? {
        Some(entra) => Arc::new(TokenCache::new(entra, TokenSettings::default())),
        None => parts.authorize(|key| KeyHeader::new(API_KEY, key))?,
    };
    parts.endpoint(base_url, Box::new(protocol), authorize)
}

impl Protocol for Azure {
    fn encode(&self, call: Call<'_>) -> Result<Encoded, Fault> {
        let path = self.style.path(&call.model.model)?;
        let mut encoded = self.openai.encode(call)?;
        encoded.path = path;
        if matches!(self.style, Style::Inference { .. }) {
            let pass_on = HeaderValue::from_static("pass-through");
            encoded.headers.push((EXTRA, pass_on));
        }
        Ok(encoded)
    }

    fn takes_uri(&self, model: &str, media: &Media) -> bool {
        self.openai.takes_uri(model, media)
    }

    fn decode(&self, turn: Turn, body: &[u8]) -> Result<Completion, Fault> {
        self.openai.decode(turn, body)
    }

    fn assemble(&self, turn: Turn) -> Box<dyn Assemble> {
        self.openai.assemble(turn)
    }

    fn reject(&self, turn: Turn, rejection: Rejection<'_>) -> Result<Completion, Fault> {
        let mut completion = self.openai.reject(turn, rejection)?;
        completion.provider_metadata = filter_result(rejection.body);
        Ok(completion)
    }

    fn models_path(&self) -> Option<&'static str> {
        self.style.models_path()
    }

    fn decode_models(&self, provider: &str, body: &[u8]) -> Result<Vec<ModelInfo>, Fault> {
        self.openai.decode_models(provider, body)
    }
}

/// What the content filter found, by category.
fn filter_result(body: &[u8]) -> Option<JsonText> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let found = body.pointer("/error/innererror/content_filter_result")?;
    let metadata = serde_json::json!({ "content_filter_result": found });
    JsonText::parse_object(&metadata.to_string()).ok()
}

#[cfg(test)]
mod tests;

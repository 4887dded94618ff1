//! Google Vertex AI: Gemini models, and Claude models in Anthropic's protocol.
//!
//! Sources: Vertex AI REST reference, "generateContent" and "rawPredict", and its guides "Deployments and
//! endpoints" and "Claude models" (docs.cloud.google.com/vertex-ai); for credentials "How Application
//! Default Credentials works" (docs.cloud.google.com/docs/authentication) and RFC 7523.
//!
//! What a provider of kind `google` is told, as parameters or by the environment:
//!
//! | parameter | variables | default |
//! | --- | --- | --- |
//! | `project` | `GOOGLE_PROJECT_ID`, `GOOGLE_CLOUD_PROJECT` | that of the service account |
//! | `region` | `GOOGLE_REGION`, `GOOGLE_CLOUD_LOCATION` | `global` |
//! | `credentials_file` | `GOOGLE_APPLICATION_CREDENTIALS` | the metadata server's |
//! | `metadata_host` | `GCE_METADATA_HOST` | `metadata.google.internal` |
//! | `version` | | `v1` |
//! | `anthropic_version` | | as Anthropic has it for Vertex |
//!
//! Credentials are a service account's key, or a user's that `gcloud` has written; identities of other
//! clouds are not exchanged.

mod assertion;
mod credentials;

use std::{path::Path, sync::Arc};

use self::credentials::{Credentials, Source};
use super::{
    anthropic::{Anthropic, Surface},
    auth::{Authorize, Missing, Standing},
    endpoint::Adapter,
    gemini::{Gemini, Place, with_version},
    protocol::{Assemble, Call, Encoded, Protocol, Rejection, Turn},
    registry::Parts,
    settings::ProviderSettings,
    token::{TokenCache, TokenSettings},
};
use crate::domain::{
    completion::Completion,
    fault::{Fault, Reason},
    message::Media,
    model::ModelInfo,
};

/// The version of the API.
const API_VERSION: &str = "v1";
/// Where models are asked unless a region is named: wherever there is room.
const REGION: &str = "global";
/// Where a machine of Google's finds the token of its own service account.
const METADATA_HOST: &str = "metadata.google.internal";

/// The parameters that the environment may hold, and the variables that are looked at, in order.
pub(super) const PARAMETERS: &[(&str, &[&str])] = &[
    ("project", &["GOOGLE_PROJECT_ID", "GOOGLE_CLOUD_PROJECT"]),
    ("region", &["GOOGLE_REGION", "GOOGLE_CLOUD_LOCATION"]),
    ("credentials_file", &["GOOGLE_APPLICATION_CREDENTIALS"]),
    ("metadata_host", &["GCE_METADATA_HOST"]),
];

/// Both protocols that are spoken there.
#[derive(Debug)]
struct Vertex {
    gemini: Gemini,
    anthropic: Anthropic,
}

/// Builds a provider of kind `google`.
///
/// # Errors
/// When the settings do not make one.
pub(crate) fn build(parts: &mut Parts<'_>) -> Result<Arc<dyn Adapter>, String> {
    let credentials = credentials(parts.settings);
    if let (Err(problem), false) = (&credentials, parts.settings.implied) {
        return Err(problem.clone());
    }
    let project = project(parts.settings, credentials.as_ref().ok());
    let base_url = base_url(parts, project.as_deref().unwrap_or("-"))?;
    let authorize: Arc<dyn Authorize> = match (project, credentials) {
        (None, _) => Arc::new(Missing {
            variable: "GOOGLE_PROJECT_ID".to_owned(),
        }),
        (Some(_), Err(problem)) => Arc::new(Unusable { problem }),
        (Some(_), Ok(credentials)) => {
            let settings = TokenSettings::default();
            let source = Source::new(credentials, parts.client()?, settings.fetch);
            Arc::new(TokenCache::new(source, settings))
        }
    };
    let protocol = Vertex::new(parts.name, parts.settings);
    parts.endpoint(base_url, Box::new(protocol), authorize)
}

fn credentials(settings: &ProviderSettings) -> Result<Credentials, String> {
    let parameter = |name: &str| settings.parameters.get(name).map(|value| &**value);
    match parameter("credentials_file") {
        Some(path) => Credentials::read(Path::new(path)),
        None => Ok(Credentials::Metadata {
            host: parameter("metadata_host")
                .unwrap_or(METADATA_HOST)
                .to_owned(),
        }),
    }
}

fn project(settings: &ProviderSettings, credentials: Option<&Credentials>) -> Option<String> {
    let named = settings.parameters.get("project").map(|name| &**name);
    let project = named.or_else(|| credentials?.project());
    project.filter(|name| !name.is_empty()).map(str::to_owned)
}

/// Everything in front of a model, such as `https://HOST/v1/projects/P/locations/R`.
fn base_url(parts: &Parts<'_>, project: &str) -> Result<String, String> {
    let parameters = &parts.settings.parameters;
    let region = parameters.get("region").map_or(REGION, |region| region);
    let is_name = |name: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
        !name.is_empty() && name.bytes().all(plain)
    };
    if !is_name(project) || !is_name(region) {
        return Err("project or region is no name".to_owned());
    }
    let host = match &parts.settings.base_url {
        Some(_) => parts.base_url()?,
        None => host(region),
    };
    let version = parameters.get("version");
    let base = with_version(host, version.map_or(API_VERSION, |version| version));
    Ok(format!("{base}/projects/{project}/locations/{region}"))
}

fn host(region: &str) -> String {
    match region {
        "global" => "https://aiplatform.googleapis.com".to_owned(),
        // Not one region but several.
        "us" | "eu" => format!("https://aiplatform.{region}.rep.googleapis.com"),
        _ => format!("https://{region}-aiplatform.googleapis.com"),
    }
}

/// Credentials that are there and cannot be used. Every call says so.
#[derive(Debug)]
struct Unusable {
    problem: String,
}

impl Authorize for Unusable {
    fn standing(&self) -> Standing {
        Standing::Unusable {
            problem: self.problem.clone(),
        }
    }

    fn authorize<'a>(
        &'a self,
        _request: &'a mut http::Request<bytes::Bytes>,
    ) -> futures_util::future::BoxFuture<'a, Result<(), Fault>> {
        let fault = Fault::new(Reason::ProviderCredentialsMissing, self.problem.clone());
        Box::pin(std::future::ready(Err(fault)))
    }
}

impl Vertex {
    fn new(name: &str, settings: &ProviderSettings) -> Self {
        let mut anthropic = Anthropic::new(name, Surface::Vertex);
        anthropic.options.clone_from(&settings.options);
        if let Some(version) = settings.parameters.get("anthropic_version") {
            anthropic.version.clone_from(version);
        }
        Self {
            gemini: Gemini {
                name: name.to_owned(),
                place: Place::Vertex,
                options: settings.options.clone(),
            },
            anthropic,
        }
    }

    fn of(&self, model: &str) -> &dyn Protocol {
        if model.starts_with("claude-") {
            &self.anthropic
        } else {
            &self.gemini
        }
    }
}

impl Protocol for Vertex {
    fn encode(&self, call: Call<'_>) -> Result<Encoded, Fault> {
        self.of(&call.model.model).encode(call)
    }

    fn takes_uri(&self, model: &str, media: &Media) -> bool {
        self.of(model).takes_uri(model, media)
    }

    fn decode(&self, turn: Turn, body: &[u8]) -> Result<Completion, Fault> {
        self.of(&turn.model.model).decode(turn, body)
    }

    fn assemble(&self, turn: Turn) -> Box<dyn Assemble> {
        self.of(&turn.model.model).assemble(turn)
    }

    fn reject(&self, turn: Turn, rejection: Rejection<'_>) -> Result<Completion, Fault> {
        self.of(&turn.model.model).reject(turn, rejection)
    }

    fn models_path(&self) -> Option<&'static str> {
        // A project's location lists the models that were trained or uploaded there, not those to ask.
        None
    }

    fn decode_models(&self, _provider: &str, _body: &[u8]) -> Result<Vec<ModelInfo>, Fault> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests;

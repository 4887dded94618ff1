//! IBM watsonx.ai: the chat completions protocol with names of its own, behind tokens that an API key
//! is exchanged for.
//!
//! Source: cloud.ibm.com/apidocs/watsonx-ai ("Infer text chat", "Infer text chat event stream", "List
//! the available foundation models") and cloud.ibm.com/apidocs/iam-identity-token-api ("Create an IAM
//! access token").
//!
//! - The parameter `project_id` or `space_id` is needed; `version` is the API's date.
//! - `parallel_tool_calls` has no word there and is left out.
//! - A reported error is the first of `errors`.

use std::{fmt, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    auth::{Authorize, Missing},
    endpoint::Adapter,
    fault::{self, Words},
    http::Client,
    merge::merge,
    openai::{OpenAi, Quirks},
    protocol::{Assemble, Call, Encoded, Protocol, Rejection, Turn, read_list},
    registry::Parts,
    token::{self, Token, TokenCache, TokenSettings, TokenSource},
};
use crate::{
    domain::{
        completion::Completion,
        fault::{Fault, Reason},
        message::Media,
        model::{ModelInfo, ModelRef, ToolChoice},
        secret::Secret,
    },
    run::port::Answer,
};

/// Parameters that the environment may hold, and the variables that are looked at.
pub(super) const PARAMETERS: &[(&str, &[&str])] = &[("project_id", &["WATSONX_PROJECT_ID"])];

/// The API's date, where nobody names another.
const VERSION: &str = "2024-10-08";
const MODELS: &str =
    "/ml/v1/foundation_model_specs?version=2024-10-08&limit=200&filters=function_text_chat";
const IAM: &str = "https://iam.cloud.ibm.com";

/// The protocol, for one project or space.
#[derive(Debug)]
struct Watsonx {
    openai: OpenAi,
    /// `project_id` or `space_id`, and which; `None` when nobody says.
    container: Option<(&'static str, String)>,
    version: String,
}

/// Builds a provider of kind `watsonx`.
///
/// # Errors
/// When the settings do not make one.
pub(crate) fn build(parts: &mut Parts<'_>) -> Result<Arc<dyn Adapter>, String> {
    let container = ["project_id", "space_id"]
        .into_iter()
        .find_map(|name| Some((name, parts.parameter(name)?.to_owned())));
    let version = parts.parameter("version").unwrap_or(VERSION).to_owned();
    if !version.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        return Err("parameters.version is no date, such as 2024-10-08".to_owned());
    }
    let key = parts.key().cloned();
    let authorize: Arc<dyn Authorize> = match (key, &container) {
        (None, _) => {
            let variable = parts.settings.key_variable.as_deref();
            Arc::new(Missing {
                variable: variable.unwrap_or("WATSONX_API_KEY").to_owned(),
            })
        }
        (Some(_), None) => Arc::new(Missing {
            variable: "WATSONX_PROJECT_ID".to_owned(),
        }),
        (Some(key), Some(_)) => {
            let iam = parts.parameter("iam_url").unwrap_or(IAM);
            let source = Iam {
                url: format!("{}/identity/token", iam.trim_end_matches('/')),
                client: parts.client()?,
                key,
            };
            Arc::new(TokenCache::new(source, TokenSettings::default()))
        }
    };
    let protocol = Watsonx {
        openai: OpenAi {
            name: parts.name.to_owned(),
            quirks: Quirks {
                stream_usage: false,
                names: false,
                ..Quirks::COMPATIBLE
            },
            options: parts.settings.options.clone(),
        },
        container,
        version,
    };
    parts.endpoint(parts.base_url()?, Box::new(protocol), authorize)
}

impl Watsonx {
    /// What a request is in watsonx's own words.
    fn patch(&self, call: Call<'_>) -> String {
        let mut patch = Map::new();
        for none in ["model", "stream", "parallel_tool_calls"] {
            patch.insert(none.to_owned(), Value::Null);
        }
        patch.insert("model_id".to_owned(), json!(call.model.model));
        if let Some((name, id)) = &self.container {
            patch.insert((*name).to_owned(), json!(id));
        }
        let mode = match call.request.options.tool_choice {
            ToolChoice::None => Some("none"),
            ToolChoice::Required => Some("required"),
            ToolChoice::Auto | ToolChoice::Tool(_) => None,
        };
        if let Some(mode) = mode.filter(|_| !call.request.tools.is_empty()) {
            patch.insert("tool_choice".to_owned(), Value::Null);
            patch.insert("tool_choice_option".to_owned(), json!(mode));
        }
        Value::Object(patch).to_string()
    }
}

impl Protocol for Watsonx {
    fn encode(&self, call: Call<'_>) -> Result<Encoded, Fault> {
        let mut encoded = self.openai.encode(call)?;
        let unwritable =
            |_error| Fault::new(Reason::Internal, "the request cannot be written as JSON");
        let body = String::from_utf8_lossy(&encoded.body);
        encoded.body = merge(&body, &self.patch(call))
            .map_err(unwritable)?
            .into_bytes();
        let method = match call.answer {
            Answer::Whole => "chat",
            Answer::Streamed => "chat_stream",
        };
        encoded.path = format!("/ml/v1/text/{method}?version={}", self.version);
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
        let body: Option<Value> = serde_json::from_slice(rejection.body).ok();
        let first = body.as_ref().and_then(|body| body.pointer("/errors/0"));
        let mut words = first.map(Words::of).unwrap_or_default();
        words.code = match &*words.code {
            "model_not_supported" => "model_not_found".to_owned(),
            "token_quota_reached" => "insufficient_quota".to_owned(),
            _ => words.code,
        };
        Err(fault::of_status(rejection.status, &turn.headers, &words))
    }

    fn models_path(&self) -> Option<&'static str> {
        Some(MODELS)
    }

    fn decode_models(&self, provider: &str, body: &[u8]) -> Result<Vec<ModelInfo>, Fault> {
        #[derive(Deserialize)]
        struct List {
            resources: Vec<Model>,
        }
        #[derive(Deserialize)]
        struct Model {
            model_id: String,
        }
        let list: List = read_list(body)?;
        let named = |model: Model| {
            ModelInfo::named(ModelRef {
                provider: provider.to_owned(),
                model: model.model_id,
            })
        };
        Ok(list.resources.into_iter().map(named).collect())
    }
}

/// An API key that tokens are granted for.
struct Iam {
    client: Client,
    url: String,
    key: Secret,
}

impl fmt::Debug for Iam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Iam({})", self.url)
    }
}

impl TokenSource for Iam {
    fn fetch(&self) -> BoxFuture<'_, Result<Token, Fault>> {
        async move {
            let fields = [
                ("grant_type", "urn:ibm:params:oauth:grant-type:apikey"),
                ("apikey", self.key.expose()),
            ];
            let limit = TokenSettings::default().fetch;
            token::post_form(&self.client, &self.url, &fields, limit).await
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;

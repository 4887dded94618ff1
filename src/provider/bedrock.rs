//! Amazon Bedrock: Converse and ConverseStream for all models, and Claude in Anthropic's own protocol.
//!
//! Sources: Amazon Bedrock API Reference, "Converse", "ConverseStream", "InvokeModel",
//! "InvokeModelWithResponseStream", "ListFoundationModels" and "ListInferenceProfiles"; the User Guide's
//! pages on tool use, prompt caching, structured output, reasoning and API keys
//! (docs.aws.amazon.com/bedrock). For signatures and credentials see the `aws` module.
//!
//! What a caller may not expect of Converse:
//! - `provider_options` are merged into its body: what only a model knows stands in
//!   `additionalModelRequestFields` there.
//! - `top_k` goes to Claude and Nova. Reasoning is asked for with Claude, Nova from 2 on, and the open
//!   models of OpenAI; Nova thinks hardest only without `temperature`, `top_p`, `top_k` and a limit of
//!   output, which are left out then.
//! - An output schema is native with Claude from 4.5 on. Other models are made to call a tool whose
//!   arguments are the answer, which comes out as text; those that cannot be forced refuse.
//! - `parallel_tool_calls`, `seed` and authors' names have no place in the protocol.
//! - Media by URL are taken from S3 only.
//! - Cache markers go to Claude and Nova; of more than four the last four count.
//! - Reasoning tokens are not told apart.

mod decode;
mod encode;
mod model;
mod wire;

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;

use super::{
    anthropic::{Anthropic, Surface},
    auth::{Authorize, KeyHeader, Missing},
    aws::{self, Identity, Signer, Source},
    endpoint::Adapter,
    fault, fetching,
    framing::Framing,
    protocol::{Assemble, Call, Encoded, Frame, Progress, Protocol, Rejection, Turn, read_list},
    registry::Parts,
    token::{TokenCache, TokenSettings},
};
use crate::{
    domain::{
        completion::{Completion, Delta},
        fault::Fault,
        json::JsonText,
        message::{Media, MediaSource},
        model::{ModelInfo, ModelRef},
    },
    run::port::Answer,
};

/// The kind, by the name that it has in the configuration.
pub(crate) const KIND: &str = "aws";
/// The family: the name under which its state travels and its options are given.
pub const FAMILY: &str = "bedrock";

/// What signatures are for.
const SERVICE: &str = "bedrock";
/// The tool that a model without native structured output is made to answer by.
const ANSWER_TOOL: &str = "final_answer_json";
/// What is listed: models that may be asked by their own names, and profiles of several regions.
const LISTS: [&str; 2] = [
    "/foundation-models?byInferenceType=ON_DEMAND&byOutputModality=TEXT",
    "/inference-profiles?maxResults=1000",
];

/// What is spoken with Claude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Converse, as with all models.
    Converse,
    /// Anthropic Messages.
    Messages,
}

/// Both protocols that are spoken there.
#[derive(Clone, Debug)]
pub struct Bedrock {
    /// The provider's name: its options are given under this name too.
    pub name: String,
    /// A JSON object that the operator merges into every request.
    pub options: Option<JsonText>,
    /// What is spoken with Claude.
    pub api: Api,
    claude: Anthropic,
}

impl Bedrock {
    /// With everything by default.
    pub fn new(name: impl Into<String>, api: Api) -> Self {
        let name = name.into();
        Self {
            claude: Anthropic::new(name.clone(), Surface::Bedrock),
            name,
            options: None,
            api,
        }
    }

    fn speaks_messages(&self, model: &str) -> bool {
        match self.api {
            Api::Converse => false,
            // A profile of one's own does not say what its model is.
            Api::Messages => model::is_claude(model) || model::is_own_profile(model),
        }
    }
}

/// Builds a provider of kind `aws`.
///
/// # Errors
/// When the settings do not make one.
pub(crate) fn build(parts: &mut Parts<'_>) -> Result<Arc<dyn Adapter>, String> {
    let identity = Identity::new(parts.settings);
    let region = match identity.region() {
        Err(problem) if !parts.settings.implied => return Err(problem),
        found => found.ok().flatten(),
    };
    if let Some(region) = &region
        && !aws::is_region(region)
    {
        return Err("region is no region, such as us-east-1".to_owned());
    }
    let own = parts.own_base_url()?;
    let hosts = |service: &str| {
        // Without a region nothing is sent.
        let region = region.as_deref().unwrap_or("us-east-1");
        format!("https://{service}.{region}.{}", aws::domain(region))
    };
    let control = match parts.parameter("models_url") {
        Some(url) => Some(url.trim_end_matches('/').to_owned()),
        None => own.is_none().then(|| hosts("bedrock")),
    };
    let base_url = own.unwrap_or_else(|| hosts("bedrock-runtime"));
    let lists = control.map(|url| LISTS.map(|path| format!("{url}{path}")));
    let mut protocol = Bedrock::new(parts.name, api(parts)?);
    protocol.options.clone_from(&parts.settings.options);
    protocol.claude.options.clone_from(&parts.settings.options);
    if let Some(version) = parts.parameter("anthropic_version") {
        version.clone_into(&mut protocol.claude.version);
    }
    let authorize = authorize(parts, identity, region)?;
    let lists = lists.into_iter().flatten().collect();
    parts.endpoint_listed_at(base_url, lists, Box::new(protocol), authorize)
}

fn api(parts: &Parts<'_>) -> Result<Api, String> {
    match parts.parameter("api") {
        None | Some("converse") => Ok(Api::Converse),
        Some("messages") => Ok(Api::Messages),
        Some(_) => Err("api is neither converse nor messages".to_owned()),
    }
}

/// A key of Bedrock's own goes before all other credentials.
fn authorize(
    parts: &mut Parts<'_>,
    identity: Identity,
    region: Option<String>,
) -> Result<Arc<dyn Authorize>, String> {
    let Some(region) = region else {
        return Ok(Arc::new(Missing {
            variable: "AWS_REGION".to_owned(),
        }));
    };
    if let Some(key) = parts.key() {
        let key = KeyHeader::bearer(key).map_err(|fault| fault.message.into_owned())?;
        return Ok(Arc::new(key));
    }
    let settings = TokenSettings::default();
    let source = Source::new(identity, region.clone(), parts.client()?, settings.fetch);
    Ok(Arc::new(Signer {
        keys: TokenCache::new(source.clone(), settings),
        source,
        region,
        service: SERVICE,
    }))
}

impl Protocol for Bedrock {
    fn encode(&self, call: Call<'_>) -> Result<Encoded, Fault> {
        let model = &call.model.model;
        if matches!(&**model, "." | "..") {
            return Err(Fault::invalid("model", "this is the name of no model"));
        }
        if self.speaks_messages(model) {
            return Ok(Encoded {
                framing: Framing::EventStream,
                ..self.claude.encode(call)?
            });
        }
        let method = match call.answer {
            Answer::Whole => "converse",
            Answer::Streamed => "converse-stream",
        };
        Ok(Encoded {
            path: format!("/model/{}/{method}", percent_encoded(model)),
            headers: Vec::new(),
            body: encode::encode(self, call)?,
            framing: Framing::EventStream,
        })
    }

    fn takes_uri(&self, model: &str, media: &Media) -> bool {
        if self.speaks_messages(model) {
            return self.claude.takes_uri(model, media);
        }
        match &media.source {
            MediaSource::Uri(uri) => !matches!(&*fetching::scheme(uri), "http" | "https"),
            MediaSource::Inline(_) => true,
        }
    }

    fn decode(&self, turn: Turn, body: &[u8]) -> Result<Completion, Fault> {
        if self.speaks_messages(&turn.model.model) {
            self.claude.decode(turn, body)
        } else {
            decode::decode(turn, body)
        }
    }

    fn assemble(&self, turn: Turn) -> Box<dyn Assemble> {
        if self.speaks_messages(&turn.model.model) {
            let inner = self.claude.assemble(turn);
            Box::new(Unwrapped {
                inner,
                progress: Progress::Open,
            })
        } else {
            Box::new(decode::Assembler::new(turn))
        }
    }

    fn reject(&self, turn: Turn, rejection: Rejection<'_>) -> Result<Completion, Fault> {
        let Rejection { status, body } = rejection;
        Err(aws::error::of_status(status, &turn.headers, body))
    }

    fn models_path(&self) -> Option<&'static str> {
        // They are listed elsewhere.
        None
    }

    fn decode_models(&self, provider: &str, body: &[u8]) -> Result<Vec<ModelInfo>, Fault> {
        let list: List = read_list(body)?;
        let named = |model: String| {
            ModelInfo::named(ModelRef {
                provider: provider.to_owned(),
                model,
            })
        };
        let models = list.model_summaries.into_iter().map(|model| {
            let images = model.input_modalities.iter().any(|word| word == "IMAGE");
            ModelInfo {
                input_media_types: if images {
                    vec!["image/*".to_owned()]
                } else {
                    Vec::new()
                },
                ..named(model.model_id)
            }
        });
        let profiles = list.inference_profile_summaries.into_iter();
        Ok(models
            .chain(profiles.map(|profile| named(profile.inference_profile_id)))
            .collect())
    }
}

/// A list of models, or of profiles.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct List {
    model_summaries: Vec<Model>,
    inference_profile_summaries: Vec<Profile>,
}

/// A model of such a list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Model {
    model_id: String,
    #[serde(default)]
    input_modalities: Vec<String>,
}

/// A profile of such a list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    inference_profile_id: String,
}

/// Another protocol's stream, of which each event comes in Base64 within an event of Bedrock.
struct Unwrapped {
    inner: Box<dyn Assemble>,
    /// How far it has come: events around no other one change nothing.
    progress: Progress,
}

/// An event of Bedrock around another one.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    bytes: std::borrow::Cow<'a, str>,
}

impl Assemble for Unwrapped {
    fn feed(&mut self, frame: Frame<'_>, out: &mut Vec<Delta>) -> Result<Progress, Fault> {
        if frame.event != "chunk" {
            return Ok(self.progress);
        }
        let chunk: Option<Chunk<'_>> = serde_json::from_slice(frame.data).ok();
        let event = chunk.and_then(|chunk| STANDARD.decode(&*chunk.bytes).ok());
        let event = event
            .ok_or_else(|| fault::broken_stream("an event of the answer is not the JSON of one"))?;
        let unwrapped = Frame {
            event: "",
            data: &event,
        };
        self.progress = self.inner.feed(unwrapped, out)?;
        Ok(self.progress)
    }

    fn finish(self: Box<Self>, out: &mut Vec<Delta>) -> Result<Completion, Fault> {
        self.inner.finish(out)
    }
}

/// A model's name as one segment of a path.
fn percent_encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests;

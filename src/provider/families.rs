//! For tests: every family of protocols that the registry can build, and what must hold for all of them.
//!
//! A new kind in the registry is here by itself, under the strictest rule; so are new golden cases.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use super::{
    Providers,
    endpoint::Adapter,
    golden::{self, Case},
    protocol::{Protocol, Turn},
    settings::{ProviderSettings, Settings},
};
use crate::domain::{completion::Completion, id::CallId, model::ModelRef, tool::ToolSpec};

mod bytes;
mod moved;
mod splits;
mod vendors;

/// A way to speak to models.
pub(crate) struct Family {
    /// The provider's name in these tests.
    pub(crate) name: String,
    /// A model of it.
    pub(crate) model: ModelRef,
    adapter: Arc<dyn Adapter>,
}

impl Family {
    pub(crate) fn protocol(&self) -> &dyn Protocol {
        self.adapter.protocol().unwrap()
    }
}

/// Providers beside those that are built in: their names, their kinds, and the API that is chosen.
const FURTHER: &[(&str, &str, Option<&str>)] = &[
    ("aws-messages", "aws", Some("messages")),
    ("gemini-budget", "gemini", None),
    ("google-claude", "google", None),
    ("ollama-native", "ollama", Some("native")),
    ("openai-responses", "openai", Some("responses")),
    ("other-responses", "openai", Some("responses")),
];

fn model_of(provider: &str) -> &'static str {
    match provider {
        "anthropic" => "claude-sonnet-4-6",
        "aws" | "aws-messages" => "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "gemini" | "google" => "gemini-3-pro-preview",
        "gemini-budget" => "gemini-2.5-flash",
        "google-claude" => "claude-sonnet-4-6",
        "openai" | "openai-responses" | "other-responses" | "azure" => "gpt-5",
        "openrouter" => "anthropic/claude-sonnet-4.5",
        _ => "some-model",
    }
}

/// All of them.
pub(crate) fn all() -> &'static [Family] {
    static ALL: LazyLock<Vec<Family>> = LazyLock::new(build);
    &ALL
}

fn build() -> Vec<Family> {
    let further = FURTHER.iter().map(|(name, kind, api)| {
        let api = api.map(|api| ("api".to_owned(), api.to_owned()));
        let settings = ProviderSettings {
            kind: Some((*kind).to_owned()),
            base_url: Some("http://localhost".to_owned()),
            parameters: api.into_iter().collect(),
            implied: true,
            ..ProviderSettings::default()
        };
        ((*name).to_owned(), settings)
    });
    let settings = Settings {
        providers: further.collect(),
        ..Settings::default()
    };
    let providers = Providers::new(&settings.with_environment(|_| None)).unwrap();
    let family = |(name, listed): (&String, &super::listing::Listed)| {
        let adapter = listed.adapter();
        adapter.protocol()?;
        Some(Family {
            name: name.clone(),
            model: ModelRef {
                provider: name.clone(),
                model: model_of(name).to_owned(),
            },
            adapter,
        })
    };
    providers.providers.iter().filter_map(family).collect()
}

/// Who speaks like a case of a folder: its provider, or else whom the folder is named after.
fn speaker(
    families: &BTreeMap<&str, &'static Family>,
    folder: &str,
    case: &Case,
) -> &'static Family {
    let name = match folder {
        "anthropic" => folder,
        "ollama" => "ollama-native",
        "responses" => "openai-responses",
        _ if families.contains_key(&*case.model.provider) => &case.model.provider,
        "bedrock" => "aws",
        _ => folder,
    };
    let known = families.get(name).copied();
    known.unwrap_or_else(|| panic!("nobody speaks like {folder}"))
}

/// A turn of a model, with ids as long as those that the server mints.
fn turn_of(family: &Family, model: &str, tools: &Arc<[Arc<ToolSpec>]>) -> Turn {
    let mut minted = 0_u32;
    Turn {
        model: ModelRef {
            provider: family.name.clone(),
            model: model.to_owned(),
        },
        tools: Arc::clone(tools),
        headers: http::HeaderMap::new(),
        mint: Box::new(move || {
            minted += 1;
            CallId::parse(&format!("call_{minted:032x}")).unwrap()
        }),
    }
}

/// A turn of a case.
fn turn(family: &Family, case: &Case) -> Turn {
    turn_of(family, &case.model.model, &case.request.tools)
}

/// What a case's answer becomes, unless it ends in a fault.
fn answer(family: &Family, case: &Case) -> Option<Completion> {
    if let Some(body) = &case.whole {
        return family.protocol().decode(turn(family, case), body).ok();
    }
    let (framing, stream) = case.stream.as_ref()?;
    golden::complete(family.protocol(), turn(family, case), *framing, stream)
}

/// All recorded answers, with who has given them.
fn recorded() -> Vec<(&'static Family, Case)> {
    let families: BTreeMap<&str, &Family> =
        all().iter().map(|family| (&*family.name, family)).collect();
    let mut cases = Vec::new();
    for folder in golden::folders() {
        for case in golden::cases(&folder) {
            cases.push((speaker(&families, &folder, &case), case));
        }
    }
    cases
}

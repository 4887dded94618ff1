//! The providers: every model vendor behind one port, [`Models`].
//!
//! ```text
//! Providers ─► Adapter ─┬► Endpoint ─► exchange (async: http, time-outs, framing)
//!  (names,              │                 └► Protocol (pure: encode, decode, assemble)
//!   aliases, lists)     └► script (plays a file)
//! ```
//!
//! A vendor that speaks the OpenAI protocol is one row in [`vendor`]; a protocol is a folder of pure
//! functions and one line in [`registry`].

pub mod anthropic;
pub mod auth;
mod aws;
pub mod azure;
pub mod bedrock;
mod body;
mod capability;
pub mod check;
pub mod cohere;
mod conversation;
mod date;
mod draft;
mod endpoint;
pub mod eventstream;
mod exchange;
#[cfg(test)]
mod families;
mod fault;
pub mod fetching;
pub mod framing;
mod function;
pub mod gemini;
#[cfg(test)]
mod golden;
mod http;
mod left_out;
pub mod lines;
mod listing;
mod media;
mod merge;
mod names;
pub mod ollama;
pub mod openai;
pub mod protocol;
mod record;
pub mod registry;
mod script;
pub mod settings;
pub mod sse;
mod token;
#[cfg(test)]
mod upstream;
pub mod vendor;
mod vertex;
mod wait;
pub mod watsonx;

use std::collections::BTreeMap;

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};

use self::{listing::Listed, registry::BuildError, settings::Settings};
use crate::{
    domain::{
        completion::Request,
        fault::{Fault, Reason},
        model::ModelRef,
    },
    run::port::{Answer, ModelList, ModelStream, Models},
};

/// Every configured provider.
pub struct Providers {
    providers: BTreeMap<String, Listed>,
    aliases: BTreeMap<String, ModelRef>,
    listing: settings::Listing,
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.providers.keys()).finish()
    }
}

impl Providers {
    /// Builds the providers that the settings name. Nothing is connected to.
    ///
    /// # Errors
    /// Every provider that cannot be built, and why.
    pub fn new(settings: &Settings) -> Result<Self, Vec<BuildError>> {
        let built = registry::build(settings)?;
        Ok(Self {
            providers: built,
            aliases: settings.aliases.clone(),
            listing: settings.listing,
        })
    }

    fn not_found(&self, provider: &str) -> Fault {
        let known: Vec<&str> = self.providers.keys().map(|name| &**name).collect();
        Fault::new(
            Reason::ProviderNotFound,
            format!("no provider of this name; there are {}", known.join(", ")),
        )
        .with("provider", provider.chars().take(64).collect::<String>())
    }
}

impl Models for Providers {
    fn resolve(&self, name: &str) -> Result<ModelRef, Fault> {
        let model = match self.aliases.get(name) {
            Some(model) => model.clone(),
            None => ModelRef::parse(name).ok_or_else(|| {
                Fault::new(
                    Reason::ModelNameInvalid,
                    "a model is named provider:model, or by an alias of the configuration",
                )
            })?,
        };
        if self.providers.contains_key(&model.provider) {
            Ok(model)
        } else {
            Err(self.not_found(&model.provider))
        }
    }

    fn call(&self, model: &ModelRef, request: Request, answer: Answer) -> ModelStream {
        match self.providers.get(&model.provider) {
            Some(provider) => provider.adapter().call(model.clone(), request, answer),
            None => {
                let fault = self.not_found(&model.provider);
                stream::once(std::future::ready(Err(fault))).boxed()
            }
        }
    }

    fn list(&self, provider: Option<String>) -> BoxFuture<'_, ModelList> {
        async move { listing::list(&self.providers, &self.aliases, provider, self.listing).await }
            .boxed()
    }
}

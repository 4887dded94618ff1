//! From settings to providers: which kinds there are, and how each is built.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use super::{
    auth::{Anonymous, Authorize, KeyHeader, Missing},
    endpoint::{Adapter, Endpoint, parse_headers},
    http::Client,
    listing::Listed,
    openai, script,
    settings::{Limits, ProviderSettings, Settings, Timeouts},
    vendor::{self, Key, Vendor},
};
use crate::domain::{fault::Fault, secret::Secret};

/// The protocols, by the name they have in the configuration.
const KINDS: &[(&str, Build)] = &[("openai", openai::build), ("script", script::build)];

/// Builds a provider of one kind.
type Build = fn(&mut Parts<'_>) -> Result<Arc<dyn Adapter>, String>;

/// The kinds that the configuration may name.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(kind, _)| *kind)
}

/// A provider that cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("provider {provider}: {problem}")]
pub struct BuildError {
    /// Which.
    pub provider: String,
    /// Why. Holds no key.
    pub problem: String,
}

/// What a provider is built from.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    /// Its name.
    pub name: &'a str,
    /// What the operator says.
    pub settings: &'a ProviderSettings,
    /// What is built in under this name.
    pub vendor: Option<&'static Vendor>,
    /// Its time-outs.
    pub timeouts: Timeouts,
    clients: &'a mut Clients,
}

impl Parts<'_> {
    /// Where it is, without a slash at the end.
    ///
    /// # Errors
    /// When nobody says, or it is no HTTP URL.
    pub(crate) fn base_url(&self) -> Result<String, String> {
        let built_in = self.vendor.map(|vendor| vendor.base_url);
        let url = self.settings.base_url.as_deref().or(built_in);
        let url = url
            .ok_or("base_url is missing")?
            .trim()
            .trim_end_matches('/');
        let parsed: http::Uri = url.parse().map_err(|_error| "base_url is no URL")?;
        let known = matches!(parsed.scheme_str(), Some("http" | "https"));
        if known && parsed.query().is_none() {
            Ok(url.to_owned())
        } else {
            Err("base_url is no http or https URL without a query".to_owned())
        }
    }

    /// Credentials made of the key by `with_key`, or by their absence.
    ///
    /// # Errors
    /// What `with_key` fails with.
    pub(crate) fn authorize(
        &self,
        with_key: fn(&Secret) -> Result<KeyHeader, Fault>,
    ) -> Result<Arc<dyn Authorize>, String> {
        let key = self.settings.key.as_ref().filter(|key| !key.is_empty());
        let optional = matches!(
            self.vendor.map(|vendor| vendor.key),
            Some(Key::None | Key::Optional(_))
        );
        Ok(match (key, &self.settings.key_variable) {
            (Some(key), _) => Arc::new(with_key(key).map_err(|fault| fault.message.into_owned())?),
            (None, Some(variable)) if !optional => Arc::new(Missing {
                variable: variable.clone(),
            }),
            (None, _) => Arc::new(Anonymous),
        })
    }

    /// The parts that all providers over HTTP share.
    ///
    /// # Errors
    /// When a header is none, or there is no TLS.
    pub(crate) fn endpoint(
        &mut self,
        base_url: String,
        protocol: Box<dyn super::protocol::Protocol>,
        authorize: Arc<dyn Authorize>,
    ) -> Result<Arc<dyn Adapter>, String> {
        let headers = parse_headers(&self.settings.headers)
            .map_err(|name| format!("header {name} cannot be sent"))?;
        Ok(Arc::new(Endpoint {
            name: self.name.to_owned(),
            protocol,
            base_url,
            authorize,
            headers,
            timeouts: self.timeouts,
            client: self.clients.get(self.timeouts.connect)?,
        }))
    }
}

/// One client for all providers that agree on what a client is set up with.
#[derive(Debug)]
struct Clients {
    limits: Limits,
    made: HashMap<Duration, Client>,
}

impl Clients {
    fn get(&mut self, connect: Duration) -> Result<Client, String> {
        if let Some(client) = self.made.get(&connect) {
            return Ok(client.clone());
        }
        let client =
            Client::new(connect, self.limits).map_err(|fault| fault.message.into_owned())?;
        self.made.insert(connect, client.clone());
        Ok(client)
    }
}

/// Builds every provider of the settings.
///
/// # Errors
/// All that cannot be built.
pub(crate) fn build(settings: &Settings) -> Result<BTreeMap<String, Listed>, Vec<BuildError>> {
    let mut clients = Clients {
        limits: settings.limits,
        made: HashMap::new(),
    };
    let (mut built, mut errors) = (BTreeMap::new(), Vec::new());
    for (name, provider) in &settings.providers {
        let mut parts = Parts {
            name,
            settings: provider,
            vendor: vendor::built_in(name),
            timeouts: provider.timeouts.unwrap_or(settings.timeouts),
            clients: &mut clients,
        };
        match build_one(&mut parts) {
            Ok(adapter) => {
                built.insert(name.clone(), Listed::new(adapter, provider.implied));
            }
            Err(problem) => errors.push(BuildError {
                provider: name.clone(),
                problem,
            }),
        }
    }
    for (alias, model) in &settings.aliases {
        if !settings.providers.contains_key(&model.provider) {
            errors.push(BuildError {
                provider: model.provider.clone(),
                problem: format!("the alias {alias} wants it, and it is not there"),
            });
        }
    }
    if errors.is_empty() {
        Ok(built)
    } else {
        Err(errors)
    }
}

fn build_one(parts: &mut Parts<'_>) -> Result<Arc<dyn Adapter>, String> {
    let name = parts.name;
    if name.is_empty() || name.contains(':') || !name.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("a name is visible ASCII without a colon".to_owned());
    }
    let built_in = parts.vendor.map(|vendor| vendor.kind);
    let kind = parts.settings.kind.as_deref().or(built_in);
    let kind = kind.ok_or("kind is missing, and no provider of this name is built in")?;
    match KINDS.iter().find(|(name, _)| *name == kind) {
        Some((_, build)) => build(parts),
        None => {
            let known: Vec<&str> = kinds().collect();
            Err(format!("no kind {kind:?}; there are {}", known.join(", ")))
        }
    }
}

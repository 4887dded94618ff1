//! From settings to providers: which kinds there are, and how each is built.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
    time::Duration,
};

use super::{
    anthropic,
    auth::{Anonymous, Authorize, KeyHeader, Missing},
    azure, bedrock,
    check::Probe,
    cohere,
    endpoint::{Adapter, Endpoint, parse_headers},
    fetching::Bringer,
    gemini,
    http::Client,
    listing::{Facts, Listed},
    openai, script,
    settings::{Limits, ProviderSettings, Settings, Timeouts},
    vendor::{self, Key, Vendor},
    vertex, watsonx,
};
use crate::domain::{fault::Fault, secret::Secret};

/// The protocols, by the name they have in the configuration.
const KINDS: &[(&str, Build)] = &[
    ("anthropic", anthropic::build),
    (bedrock::KIND, bedrock::build),
    ("azure", azure::build),
    ("cohere", cohere::build),
    ("gemini", gemini::build),
    ("google", vertex::build),
    ("openai", openai::build),
    ("script", script::build),
    ("watsonx", watsonx::build),
];

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
    media: &'a Bringer,
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
        let path = protocol.models_path();
        let lists = path.map(|path| format!("{base_url}{path}"));
        self.endpoint_listed_at(base_url, lists.into_iter().collect(), protocol, authorize)
    }

    /// The same, for a vendor whose models are listed elsewhere: by these URLs.
    ///
    /// # Errors
    /// As [`Parts::endpoint`].
    pub(crate) fn endpoint_listed_at(
        &mut self,
        base_url: String,
        lists: Vec<String>,
        protocol: Box<dyn super::protocol::Protocol>,
        authorize: Arc<dyn Authorize>,
    ) -> Result<Arc<dyn Adapter>, String> {
        let headers = parse_headers(&self.settings.headers)
            .map_err(|name| format!("header {name} cannot be sent"))?;
        let authorize: Arc<dyn Authorize> = match &self.settings.missing_variable {
            Some(variable) => Arc::new(Missing {
                variable: variable.clone(),
            }),
            None => authorize,
        };
        Ok(Arc::new(Endpoint {
            name: self.name.to_owned(),
            protocol,
            base_url,
            lists,
            authorize,
            headers,
            timeouts: self.timeouts,
            client: self.client()?,
            media: self.media.clone(),
            probe: Probe::of(self.vendor),
        }))
    }

    /// What connects to it, and to whoever gives out its tokens.
    ///
    /// # Errors
    /// When the proxy is no URL, or there is no TLS.
    pub(crate) fn client(&mut self) -> Result<Client, String> {
        self.clients
            .get(self.timeouts.connect, self.settings.proxy.as_ref())
    }

    /// The protocol, by the name it has in the configuration.
    fn kind(&self) -> Option<&str> {
        let built_in = self.vendor.map(|vendor| vendor.kind);
        built_in.or(self.settings.kind.as_deref())
    }

    /// A parameter that only some protocols know.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.settings.parameters.get(name).map(String::as_str)
    }

    /// Its key, if there is one.
    pub(crate) fn key(&self) -> Option<&Secret> {
        self.settings.key.as_ref().filter(|key| !key.is_empty())
    }

    /// Where it is, of a vendor that has an address for each customer. Without one every call fails and
    /// names the variable.
    ///
    /// # Errors
    /// When it is no HTTP URL.
    pub(crate) fn own_base_url(&self) -> Result<Option<String>, String> {
        match &self.settings.base_url {
            None => Ok(None),
            Some(_) => self.base_url().map(Some),
        }
    }
}

/// One client for all providers that agree on what a client is set up with.
struct Clients {
    limits: Limits,
    /// By time to connect and proxy, which may hold a password.
    made: HashMap<(Duration, Option<String>), Client>,
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clients({})", self.made.len())
    }
}

impl Clients {
    fn get(&mut self, connect: Duration, proxy: Option<&Secret>) -> Result<Client, String> {
        let proxy = proxy.map(Secret::expose);
        let key = (connect, proxy.map(str::to_owned));
        if let Some(client) = self.made.get(&key) {
            return Ok(client.clone());
        }
        let client =
            Client::new(connect, self.limits, proxy).map_err(|fault| fault.message.into_owned())?;
        self.made.insert(key, client.clone());
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
    let media = Bringer::new(&settings.fetching).map_err(|fault| {
        vec![BuildError {
            provider: "*".to_owned(),
            problem: fault.message.into_owned(),
        }]
    })?;
    for (name, provider) in &settings.providers {
        let mut parts = Parts {
            name,
            settings: provider,
            vendor: vendor_of(name, provider),
            timeouts: provider.timeouts.unwrap_or(settings.timeouts),
            clients: &mut clients,
            media: &media,
        };
        match build_one(&mut parts) {
            Ok(adapter) => {
                let facts = facts(&parts);
                built.insert(name.clone(), Listed::new(adapter, facts));
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

/// What is built in for a provider: by its kind, when that is a vendor's name and no protocol's, else by
/// its own name.
pub(crate) fn vendor_of(name: &str, provider: &ProviderSettings) -> Option<&'static Vendor> {
    let is_protocol = |kind: &&str| kinds().any(|known| known == *kind);
    match provider.kind.as_deref() {
        None => vendor::built_in(name),
        Some(kind) => Some(kind)
            .filter(|kind| !is_protocol(kind))
            .and_then(vendor::built_in)
            .or_else(|| vendor::built_in(name).filter(|vendor| vendor.kind == kind)),
    }
}

/// The parameters that the environment may hold for a vendor, and the variables that are looked at, in
/// order.
pub(crate) fn parameters_of(vendor: &Vendor) -> &'static [(&'static str, &'static [&'static str])] {
    match vendor.kind {
        "azure" => azure::PARAMETERS,
        "google" => vertex::PARAMETERS,
        "watsonx" => watsonx::PARAMETERS,
        _ => &[],
    }
}

fn facts(parts: &Parts<'_>) -> Facts {
    let settings = parts.settings;
    let file = settings.parameters.get("credentials_file");
    let source = match &settings.key_source {
        Some(source) => Some(source.to_string()),
        None => file.map(|file| format!("file {file}")),
    };
    Facts {
        kind: parts.kind().unwrap_or_default().to_owned(),
        vendor: parts.vendor.map(|vendor| vendor.name),
        source,
        implied: settings.implied,
    }
}

fn build_one(parts: &mut Parts<'_>) -> Result<Arc<dyn Adapter>, String> {
    let name = parts.name;
    if name.is_empty() || name.contains(':') || !name.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("a name is visible ASCII without a colon".to_owned());
    }
    let kind = parts.kind();
    let kind = kind.ok_or("kind is missing, and no provider of this name is built in")?;
    match KINDS.iter().find(|(name, _)| *name == kind) {
        Some((_, build)) => build(parts),
        None => {
            let known: Vec<&str> = kinds().collect();
            Err(format!("no kind {kind:?}; there are {}", known.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;
    use crate::{
        domain::{
            completion::Request,
            fault::Reason,
            message::{Message, Role},
            model::ModelRef,
        },
        provider::{Providers, settings::Fetching},
        run::port::{Answer, Models},
    };

    fn settings(name: &str, provider: ProviderSettings) -> Settings {
        let mut settings = Settings::default();
        settings.providers.insert(name.to_owned(), provider);
        settings.with_environment(|_| None)
    }

    /// The base URL that a provider ends up with.
    fn base_url(name: &str, kind: Option<&str>, base_url: Option<&str>) -> Result<String, String> {
        let provider = ProviderSettings {
            kind: kind.map(str::to_owned),
            base_url: base_url.map(str::to_owned),
            ..ProviderSettings::default()
        };
        let parts = Parts {
            name,
            settings: &provider,
            vendor: vendor_of(name, &provider),
            timeouts: Timeouts::default(),
            clients: &mut Clients {
                limits: Limits::default(),
                made: HashMap::new(),
            },
            media: &Bringer::new(&Fetching::default()).unwrap(),
        };
        openai::base_url(&parts)
    }

    #[test]
    fn a_local_server_is_asked_under_exactly_one_v1() {
        for url in [
            "http://gpu:11434",
            "http://gpu:11434/",
            "http://gpu:11434/v1",
            "http://gpu:11434/v1/",
        ] {
            for (name, kind) in [
                ("ollama", None),
                ("lmstudio", None),
                ("mine", Some("ollama")),
            ] {
                let found = base_url(name, kind, Some(url)).unwrap();
                assert_eq!(found, "http://gpu:11434/v1", "{name} {url}");
            }
        }
        assert_eq!(
            base_url("ollama", None, None).unwrap(),
            "http://localhost:11434/v1"
        );
        assert_eq!(
            base_url("lmstudio", None, None).unwrap(),
            "http://localhost:1234/v1"
        );
    }

    #[test]
    fn a_provider_of_a_protocol_is_where_the_operator_says() {
        assert!(base_url("mine", Some("openai"), None).is_err());
        assert!(base_url("mine", Some("openai"), Some("ftp://x")).is_err());
        let url = base_url("mine", Some("openai"), Some("https://x/api/")).unwrap();
        assert_eq!(url, "https://x/api");
    }

    #[test]
    fn everything_that_cannot_be_built_is_named() {
        let mut settings = settings("odd", ProviderSettings::default());
        let strange = ProviderSettings {
            kind: Some("telepathy".to_owned()),
            ..ProviderSettings::default()
        };
        settings.providers.insert("mind".to_owned(), strange);
        let nowhere = ModelRef::parse("nobody:x").unwrap();
        settings.aliases.insert("best".to_owned(), nowhere);
        let errors = Providers::new(&settings).unwrap_err();
        let named: Vec<&str> = errors.iter().map(|error| &*error.provider).collect();
        assert_eq!(named, ["mind", "odd", "nobody"]);
        assert!(errors[0].problem.contains("openai"), "{}", errors[0]);
    }

    #[tokio::test]
    async fn a_missing_key_is_named_by_its_variable_and_nothing_is_sent() {
        let providers = Providers::new(&Settings::default().with_environment(|_| None)).unwrap();
        let request = Request {
            messages: vec![Arc::new(Message::text(Role::User, "hi"))],
            tools: Arc::from([]),
            options: Arc::default(),
        };
        let model = providers.resolve("openai:gpt-5").unwrap();
        let end = providers.call(&model, request, Answer::Whole).next().await;
        let fault = end.unwrap().unwrap_err();
        assert_eq!(fault.reason, Reason::ProviderCredentialsMissing);
        assert_eq!(fault.metadata["variable"], "OPENAI_API_KEY");
        assert_eq!(fault.metadata["provider"], "openai");
    }

    #[test]
    fn names_are_resolved_by_alias_and_by_provider() {
        let mut settings = Settings::default().with_environment(|_| None);
        let model = ModelRef::parse("ollama:llama3.2:1b").unwrap();
        settings.aliases.insert("small".to_owned(), model.clone());
        let providers = Providers::new(&settings).unwrap();
        assert_eq!(providers.resolve("small").unwrap(), model);
        assert_eq!(providers.resolve("ollama:llama3.2:1b").unwrap(), model);
        let reason = |name: &str| providers.resolve(name).unwrap_err().reason;
        assert_eq!(reason("gpt-5"), Reason::ModelNameInvalid);
        assert_eq!(reason("nobody:x"), Reason::ProviderNotFound);
    }
}

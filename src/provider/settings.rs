//! What the operator says about providers. Plain values: the configuration fills them in.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use super::{fetching::Network, registry, vendor};
use crate::domain::{json::JsonText, model::ModelRef, secret::Secret};

/// All providers, and what holds for each of them unless it says otherwise.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Providers by name. [`Settings::with_environment`] adds those that need no words.
    pub providers: BTreeMap<String, ProviderSettings>,
    /// Other names for models.
    pub aliases: BTreeMap<String, ModelRef>,
    /// Time-outs of a call.
    pub timeouts: Timeouts,
    /// How much of an answer is taken.
    pub limits: Limits,
    /// How models are listed.
    pub listing: Listing,
    /// What is fetched for callers.
    pub fetching: Fetching,
}

impl Settings {
    /// Adds every built-in provider that is not named, and looks up keys and base URLs in the
    /// environment, of which only `lookup` knows.
    #[must_use]
    pub fn with_environment(mut self, lookup: impl Fn(&str) -> Option<String>) -> Self {
        for vendor in vendor::BUILT_IN {
            self.providers
                .entry(vendor.name.to_owned())
                .or_insert_with(|| ProviderSettings {
                    implied: true,
                    ..ProviderSettings::default()
                });
        }
        for (name, provider) in &mut self.providers {
            provider.read_environment(name, &lookup);
        }
        self
    }
}

/// One provider. What is unset comes from the built-in provider of the same name, if there is one.
#[derive(Clone, Debug, Default)]
pub struct ProviderSettings {
    /// The protocol it speaks, or the name of a built-in provider that it is another one of; by default
    /// the built-in provider of its own name.
    pub kind: Option<String>,
    /// Where it is, such as `https://api.openai.com/v1`.
    pub base_url: Option<String>,
    /// The environment variable that holds its key. Only the name ever appears in a message.
    pub key_variable: Option<String>,
    /// The key.
    pub key: Option<Secret>,
    /// Where the key was found.
    pub key_source: Option<KeySource>,
    /// A variable that something else needs and that is not set: every call fails and names it.
    pub missing_variable: Option<String>,
    /// Headers that every request carries. The values may be keys.
    pub headers: BTreeMap<String, Secret>,
    /// A JSON object merged into every request, before what the caller says.
    pub options: Option<JsonText>,
    /// What only some protocols know: an API version, a region, a project, a deployment.
    pub parameters: BTreeMap<String, String>,
    /// What only some protocols know and nobody may see, beside the key.
    pub secrets: BTreeMap<String, Secret>,
    /// The URL of an HTTP proxy through which it is asked, perhaps with a user and a password.
    pub proxy: Option<Secret>,
    /// Time-outs of its own.
    pub timeouts: Option<Timeouts>,
    /// For kind `script`: the text of the script in place of the embedded one.
    pub script: Option<String>,
    /// Nobody has asked for it: it is there because it is built in.
    pub implied: bool,
}

impl ProviderSettings {
    fn read_environment(&mut self, name: &str, lookup: &impl Fn(&str) -> Option<String>) {
        let vendor = registry::vendor_of(name, self);
        let kind = vendor.map(|vendor| vendor.kind).or(self.kind.as_deref());
        if kind == Some(super::bedrock::KIND) {
            // Who this process is at Amazon does not depend on what a provider is called.
            super::aws::read_environment(self, lookup);
        }
        let Some(vendor) = vendor else {
            let variable = self.key_variable.clone();
            self.find_key(variable.as_slice(), lookup);
            return;
        };
        if self.base_url.is_none() {
            self.base_url = vendor.base_url_variable.and_then(lookup);
        }
        let variables = match &self.key_variable {
            Some(variable) => vec![variable.clone()],
            None => vendor
                .key
                .variables()
                .iter()
                .map(|&v| v.to_owned())
                .collect(),
        };
        self.find_key(&variables, lookup);
        for (parameter, variables) in registry::parameters_of(vendor) {
            if let Some(value) = variables.iter().find_map(|variable| lookup(variable)) {
                self.parameters
                    .entry((*parameter).to_owned())
                    .or_insert(value);
            }
        }
        // Whoever gives a key, or an address, wants to hear when the vendor does not answer.
        let has_file = self.parameters.contains_key("credentials_file");
        self.implied &= self.key.is_none() && self.base_url.is_none() && !has_file;
        self.key_variable = variables.into_iter().next();
    }

    /// Takes the key from the first of the variables that is set, where there is none as yet.
    fn find_key(&mut self, variables: &[String], lookup: &impl Fn(&str) -> Option<String>) {
        if self.key.is_some() {
            return;
        }
        let mut set = variables
            .iter()
            .filter_map(|variable| Some((variable, lookup(variable)?)));
        if let Some((variable, value)) = set.next() {
            self.key = Some(Secret::new(&value));
            self.key_source = Some(KeySource::Variable(variable.clone()));
        }
    }
}

/// Where a key was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In this environment variable.
    Variable(String),
    /// In this file.
    File(PathBuf),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
        }
    }
}

/// How long each part of a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To be connected, name resolution and TLS included.
    pub connect: Duration,
    /// Until a streamed answer begins. An answer in one piece begins when it is complete: only
    /// [`Timeouts::whole`] bounds it.
    pub first_byte: Duration,
    /// Between two pieces of an answer. Whatever arrives counts as life, comments included.
    pub idle: Duration,
    /// The whole call.
    pub whole: Duration,
    /// After the model has said why it stopped: for usage and the end of the stream, without which
    /// the answer is complete all the same.
    pub tail: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(120),
            idle: Duration::from_secs(60),
            whole: Duration::from_secs(600),
            tail: Duration::from_secs(5),
        }
    }
}

/// How much is read of what a provider sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// An answer in one piece, in bytes, after decompression.
    pub max_body_bytes: usize,
    /// All of a stream, in bytes, after decompression.
    pub max_stream_bytes: usize,
    /// One event of a stream, in bytes.
    pub max_event_bytes: usize,
    /// What is read of an error, in bytes.
    pub max_error_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 32 << 20,
            max_stream_bytes: 256 << 20,
            max_event_bytes: 8 << 20,
            max_error_bytes: 16 << 10,
        }
    }
}

/// Whether the server fetches the URLs of media for vendors that take them inline only, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetching {
    /// Without it no URL is fetched.
    pub enabled: bool,
    /// How long one URL may take, redirects included.
    pub timeout: Duration,
    /// What the URLs of one request may bring together, in bytes, after decompression.
    pub max_bytes: usize,
    /// Most URLs of one request.
    pub max_urls: usize,
    /// Most redirects of one URL.
    pub max_redirects: u32,
    /// Most URLs at a time, of all requests.
    pub max_concurrent: usize,
    /// Networks that may be fetched from though they are not public.
    pub private_networks: Vec<Network>,
}

impl Default for Fetching {
    fn default() -> Self {
        Self {
            enabled: false,
            timeout: Duration::from_secs(20),
            max_bytes: 20 << 20,
            max_urls: 16,
            max_redirects: 3,
            max_concurrent: 32,
            private_networks: Vec::new(),
        }
    }
}

/// How models are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    /// How long a list is kept.
    pub keep: Duration,
    /// How long it is kept that a provider could not be asked.
    pub keep_failure: Duration,
    /// How long a provider may take to answer.
    pub timeout: Duration,
    /// How many providers are asked at a time.
    pub max_concurrent: usize,
    /// Most models that are kept of one provider.
    pub max_models: usize,
}

impl Default for Listing {
    fn default() -> Self {
        Self {
            keep: Duration::from_secs(60),
            keep_failure: Duration::from_secs(10),
            timeout: Duration::from_secs(10),
            max_concurrent: 8,
            max_models: 10_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "OPENAI_API_KEY" => Some("sk-1\n".to_owned()),
            "OLLAMA_API_URL" => Some("http://gpu:11434".to_owned()),
            "MY_KEY" => Some("mine".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn built_in_providers_read_their_own_variables() {
        let settings = Settings::default().with_environment(environment);
        let openai = &settings.providers["openai"];
        assert_eq!(openai.key, Some(Secret::new("sk-1")));
        assert!(!openai.implied);
        let source = openai.key_source.as_ref().unwrap().to_string();
        assert_eq!(source, "variable OPENAI_API_KEY");
        assert!(settings.providers["lmstudio"].implied);
        assert!(!settings.providers["ollama"].implied);
        assert_eq!(
            settings.providers["ollama"].base_url.as_deref(),
            Some("http://gpu:11434")
        );
    }

    #[test]
    fn a_key_is_found_under_each_of_its_names_and_asked_for_under_the_first() {
        let settings = Settings::default()
            .with_environment(|name| (name == "TONGYI_API_KEY").then(|| "k".to_owned()));
        let tongyi = &settings.providers["tongyi"];
        assert_eq!(tongyi.key, Some(Secret::new("k")));
        assert_eq!(tongyi.key_variable.as_deref(), Some("DASHSCOPE_API_KEY"));
        let source = tongyi.key_source.as_ref().unwrap().to_string();
        assert_eq!(source, "variable TONGYI_API_KEY");
    }

    #[test]
    fn what_the_operator_says_wins_over_the_environment() {
        let mut settings = Settings::default();
        settings.providers.insert(
            "openai".to_owned(),
            ProviderSettings {
                key_variable: Some("MY_KEY".to_owned()),
                base_url: Some("http://proxy/v1".to_owned()),
                ..ProviderSettings::default()
            },
        );
        let settings = settings.with_environment(environment);
        let openai = &settings.providers["openai"];
        assert_eq!(openai.key, Some(Secret::new("mine")));
        assert_eq!(openai.base_url.as_deref(), Some("http://proxy/v1"));
        assert!(!openai.implied);
    }
}

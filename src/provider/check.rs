//! Whether providers can be used: what is known of their credentials, and what they say of them when
//! they are asked for something cheap. Never shows a credential, only where it was found.

use std::fmt;

use futures_util::{FutureExt, StreamExt, stream};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::{Providers, auth::Standing, fault, listing::Listed, vendor::Vendor};
use crate::domain::fault::{Fault, Reason};

/// What was found of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its name.
    pub provider: String,
    /// The protocol that it speaks.
    pub kind: String,
    /// Where it is; `None` when it is nowhere.
    pub base_url: Option<String>,
    /// Somebody has configured it, given it a key, or named one of its models by an alias.
    pub is_in_use: bool,
    /// What is known of its credentials without asking.
    pub standing: Standing,
    /// Where they stand, such as `variable OPENAI_API_KEY`.
    pub source: Option<String>,
    /// What it says of them; `None` when it was not asked.
    pub verdict: Option<Verdict>,
}

/// What a provider says of its credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It takes them.
    Accepted {
        /// How many models it lists, when that was what it was asked for.
        models: Option<usize>,
    },
    /// It does not.
    Rejected(Fault),
    /// It cannot be asked now.
    Failed(Fault),
    /// There is nothing cheap that it could be asked for.
    Untested,
}

impl Finding {
    /// Whether nothing speaks against using it.
    pub const fn is_good(&self) -> bool {
        match (&self.standing, &self.verdict) {
            (Standing::Missing { .. } | Standing::Unusable { .. }, _)
            | (_, Some(Verdict::Rejected(_) | Verdict::Failed(_))) => false,
            (
                Standing::Held | Standing::Unneeded,
                None | Some(Verdict::Accepted { .. } | Verdict::Untested),
            ) => true,
        }
    }
}

impl Finding {
    /// All of it as a JSON object; what is not known is left out.
    pub fn to_json(&self) -> Value {
        let mut json = Map::new();
        let mut put = |key: &str, value: Value| {
            if !value.is_null() {
                json.insert(key.to_owned(), value);
            }
        };
        put("provider", json!(self.provider));
        put("kind", json!(self.kind));
        put("base_url", json!(self.base_url));
        put("in_use", json!(self.is_in_use));
        let (credentials, variable, problem) = match &self.standing {
            Standing::Unneeded => ("not_needed", None, None),
            Standing::Held => ("found", None, None),
            Standing::Missing { variable } => ("missing", Some(variable), None),
            Standing::Unusable { problem } => ("unusable", None, Some(problem)),
        };
        put("credentials", json!(credentials));
        put("source", json!(self.source));
        put("variable", json!(variable));
        put("problem", json!(problem));
        let (check, models, fault) = match &self.verdict {
            None => (None, None, None),
            Some(Verdict::Accepted { models }) => (Some("accepted"), *models, None),
            Some(Verdict::Rejected(fault)) => (Some("rejected"), None, Some(fault)),
            Some(Verdict::Failed(fault)) => (Some("failed"), None, Some(fault)),
            Some(Verdict::Untested) => (Some("untested"), None, None),
        };
        put("check", json!(check));
        put("models", json!(models));
        let error = fault.map(|f| json!({"reason": f.reason.name(), "message": f.message}));
        put("error", json!(error));
        Value::Object(json)
    }
}

impl fmt::Display for Finding {
    /// One line, without the name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.standing, &self.source) {
            (Standing::Unneeded, _) => f.write_str("no credentials needed")?,
            (Standing::Held, Some(source)) => write!(f, "credentials found: {source}")?,
            (Standing::Held, None) => f.write_str("credentials found")?,
            (Standing::Missing { variable }, _) => {
                write!(f, "credentials missing: set {variable}")?;
            }
            (Standing::Unusable { problem }, _) => write!(f, "credentials unusable: {problem}")?,
        }
        match &self.verdict {
            None => Ok(()),
            Some(Verdict::Accepted { models: None }) => f.write_str("; accepted"),
            Some(Verdict::Accepted {
                models: Some(count),
            }) => write!(f, "; accepted, {count} models"),
            Some(Verdict::Rejected(_)) => f.write_str("; rejected"),
            Some(Verdict::Failed(fault)) => write!(f, "; {fault}"),
            Some(Verdict::Untested) => f.write_str("; untested"),
        }
    }
}

/// What a vendor is asked for to see whether it takes the credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Its models.
    Models,
    /// This, below the base URL.
    Path(&'static str),
    /// Nothing: it shows its models to everybody.
    Nothing,
}

/// The vendors whose list of models proves nothing, because it needs no key.
///
/// Sources: openrouter.ai/docs/api-reference ("Get current API key"), huggingface.co/docs/inference-providers
/// ("Hub API"), docs.requesty.ai ("List models"), featherless.ai/docs ("Models"), docs.edenai.co ("List
/// LLM models").
const OPEN_LISTS: &[(&str, Probe)] = &[
    ("edenai", Probe::Nothing),
    ("featherless", Probe::Nothing),
    ("huggingface", Probe::Nothing),
    ("openrouter", Probe::Path("/key")),
    ("requesty", Probe::Nothing),
];

impl Probe {
    /// What a vendor is asked for; a server that is nobody's in particular for its models.
    pub(crate) fn of(vendor: Option<&Vendor>) -> Self {
        let open = OPEN_LISTS
            .iter()
            .find(|(name, _)| vendor.is_some_and(|vendor| vendor.name == *name));
        open.map_or(Self::Models, |(_, probe)| *probe)
    }
}

impl Providers {
    /// Says of the named providers, or of all, whether they can be used. With `ask`, those that are named
    /// or in use are asked; the others are not.
    ///
    /// # Errors
    /// `PROVIDER_NOT_FOUND` when a name is nobody's.
    pub async fn check(&self, names: &[String], ask: bool) -> Result<Vec<Finding>, Fault> {
        if let Some(name) = names
            .iter()
            .find(|name| !self.providers.contains_key(*name))
        {
            return Err(self.not_found(name));
        }
        let is_named = |name: &String| names.is_empty() || names.contains(name);
        let findings: Vec<_> = self
            .providers
            .iter()
            .filter(|(name, _)| is_named(name))
            .map(|(name, listed)| {
                let finding = self.finding(name, listed);
                let ask = ask && (finding.is_in_use || !names.is_empty());
                async move {
                    let verdict = if ask && finding.is_good() {
                        Some(self.verdict(listed).await)
                    } else {
                        None
                    };
                    Finding { verdict, ..finding }
                }
                .boxed()
            })
            .collect();
        let at_a_time = self.listing.max_concurrent.max(1);
        Ok(stream::iter(findings).buffered(at_a_time).collect().await)
    }

    /// Logs whose credentials are missing: a warning for each that is in use, one line for all others.
    pub fn log_missing(&self) {
        let mut unused = Vec::new();
        for (name, listed) in &self.providers {
            let finding = self.finding(name, listed);
            match &finding.standing {
                Standing::Unneeded | Standing::Held => {}
                Standing::Missing { variable } if finding.is_in_use => {
                    tracing::warn!(provider = name, variable, "credentials missing");
                }
                Standing::Unusable { problem } if finding.is_in_use => {
                    tracing::warn!(provider = name, problem, "credentials unusable");
                }
                Standing::Missing { .. } | Standing::Unusable { .. } => unused.push(name.as_str()),
            }
        }
        if !unused.is_empty() {
            tracing::info!(
                providers = unused.join(","),
                "without credentials, and not used by the configuration"
            );
        }
    }

    fn finding(&self, name: &str, listed: &Listed) -> Finding {
        let adapter = listed.adapter();
        let has_alias = self.aliases.values().any(|model| model.provider == name);
        Finding {
            provider: name.to_owned(),
            kind: listed.facts().kind.clone(),
            base_url: adapter.address().map(str::to_owned),
            is_in_use: !listed.facts().implied || has_alias,
            standing: adapter.standing(),
            source: listed.facts().source.clone(),
            verdict: None,
        }
    }

    async fn verdict(&self, listed: &Listed) -> Verdict {
        let limit = self.listing.timeout;
        let adapter = listed.adapter();
        let answer = timeout(limit, adapter.try_out()).await;
        let answer = answer
            .unwrap_or_else(|_elapsed| Some(Err(fault::timeout("asking the provider", limit))));
        match answer {
            None => Verdict::Untested,
            Some(Ok(models)) => Verdict::Accepted { models },
            Some(Err(fault)) if fault.reason == Reason::ProviderCredentialsRejected => {
                Verdict::Rejected(fault)
            }
            // A server that lists no models may answer all the same.
            Some(Err(fault)) if is_not_there(&fault) => Verdict::Untested,
            Some(Err(fault)) => Verdict::Failed(fault),
        }
    }
}

fn is_not_there(fault: &Fault) -> bool {
    let status = fault.metadata.get("status").map(String::as_str);
    matches!(status, Some("404" | "405"))
}

#[cfg(test)]
mod tests;

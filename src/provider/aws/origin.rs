//! Where the server's credentials come from: decided by what the operator, the environment and the shared
//! files say.

use std::{collections::BTreeMap, fmt, fs, path::PathBuf};

use super::{
    Keys, domain,
    profile::{Profiles, Settings},
};
use crate::{domain::secret::Secret, provider::settings::ProviderSettings};

/// The profile that is read when nobody names one.
const DEFAULT_PROFILE: &str = "default";
/// Where a container of ECS asks.
const CONTAINER_HOST: &str = "http://169.254.170.2";
/// Hosts that a container may ask without TLS: itself, ECS, and the agent of EKS.
const CONTAINER_HOSTS: &[&str] = &[
    "localhost",
    "169.254.170.2",
    "169.254.170.23",
    "[fd00:ec2::23]",
    "[::1]",
];
/// Where a machine of EC2 asks.
const METADATA_URL: &str = "http://169.254.169.254";
/// What a session is called when nobody names it.
const SESSION: &str = "runwire";
/// How many profiles may stand on each other's credentials.
const MAX_PROFILES: usize = 5;

/// Where credentials come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// They are known.
    Keys(Keys),
    /// STS gives them for a token of another identity provider.
    WebIdentity {
        role: String,
        session: String,
        token_file: PathBuf,
    },
    /// STS gives them to whoever has others.
    Role {
        role: String,
        session: String,
        external_id: Option<String>,
        from: Box<Self>,
    },
    /// The container's agent gives them.
    Container {
        url: String,
        token: Option<Secret>,
        token_file: Option<PathBuf>,
    },
    /// The machine's metadata service gives them.
    Machine { url: String },
}

/// Who the server is, as far as it was told. The files are read anew each time.
#[derive(Clone)]
pub(crate) struct Identity {
    parameters: BTreeMap<String, String>,
    secrets: BTreeMap<String, Secret>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

impl Identity {
    /// As the settings have it.
    pub(crate) fn new(settings: &ProviderSettings) -> Self {
        Self {
            parameters: settings.parameters.clone(),
            secrets: settings.secrets.clone(),
        }
    }

    /// The region, where somebody names one.
    ///
    /// # Errors
    /// When the profile that names it cannot be read.
    pub(crate) fn region(&self) -> Result<Option<String>, String> {
        if let Some(region) = self.parameter("region") {
            return Ok(Some(region.to_owned()));
        }
        let profiles = self.profiles()?;
        let settings = profiles.get(self.profile_name());
        Ok(settings.and_then(|settings| settings.get("region").cloned()))
    }

    /// Where STS is asked.
    pub(super) fn sts_url(&self, region: &str) -> String {
        match self.parameter("sts_url") {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("https://sts.{region}.{}", domain(region)),
        }
    }

    /// Where the credentials come from.
    ///
    /// # Errors
    /// What is wrong with what was said; nothing of any key.
    pub(super) fn origin(&self) -> Result<Origin, String> {
        if let Some(name) = self.parameter("profile") {
            return self
                .of_profile(&self.profiles()?, name, MAX_PROFILES)?
                .ok_or_else(|| format!("the profile {name} holds no credentials"));
        }
        if let Some(keys) = self.keys() {
            return Ok(Origin::Keys(keys));
        }
        if let (Some(role), Some(file)) = (
            self.parameter("role_arn"),
            self.parameter("web_identity_token_file"),
        ) {
            return Ok(Origin::WebIdentity {
                role: role.to_owned(),
                session: self.session(None),
                token_file: PathBuf::from(file),
            });
        }
        let profiles = self.profiles()?;
        let name = self.profile_name();
        let is_named = self.parameter("default_profile").is_some();
        if (is_named || profiles.get(name).is_some())
            && let Some(origin) = self.of_profile(&profiles, name, MAX_PROFILES)?
        {
            return Ok(origin);
        }
        match self.container()? {
            Some(origin) => Ok(origin),
            None => self.machine(),
        }
    }

    fn keys(&self) -> Option<Keys> {
        Some(Keys {
            id: self.parameter("access_key_id")?.to_owned(),
            secret: self.secrets.get("secret_access_key")?.clone(),
            session: self.secrets.get("session_token").cloned(),
        })
    }

    fn profile_name(&self) -> &str {
        let named = self.parameter("profile");
        let named = named.or_else(|| self.parameter("default_profile"));
        named.unwrap_or(DEFAULT_PROFILE)
    }

    /// What a profile says; `None` when it says nothing of credentials.
    fn of_profile(
        &self,
        profiles: &Profiles,
        name: &str,
        depth: usize,
    ) -> Result<Option<Origin>, String> {
        let settings = profiles
            .get(name)
            .ok_or_else(|| format!("there is no profile {name}"))?;
        let get = |key: &str| settings.get(key).filter(|text| !text.is_empty());
        let Some(role) = get("role_arn") else {
            return Ok(keys_of(settings).map(Origin::Keys));
        };
        let (role, session) = (role.clone(), self.session(get("role_session_name")));
        if let Some(file) = get("web_identity_token_file") {
            return Ok(Some(Origin::WebIdentity {
                role,
                session,
                token_file: PathBuf::from(file),
            }));
        }
        let from = match (get("source_profile"), get("credential_source")) {
            (Some(source), _) if source == name => keys_of(settings).map(Origin::Keys),
            (Some(_), _) if depth == 0 => {
                return Err(format!("the profile {name} stands on too many others"));
            }
            (Some(source), _) => self.of_profile(profiles, source, depth - 1)?,
            (None, Some(source)) => match source.as_str() {
                "Environment" => self.keys().map(Origin::Keys),
                "EcsContainer" => self.container()?,
                "Ec2InstanceMetadata" => Some(self.machine()?),
                _ => return Err(format!("the credential_source of the profile {name}")),
            },
            (None, None) => None,
        };
        let from = from.ok_or_else(|| {
            format!("the profile {name} assumes a role, but with no credentials that there are")
        })?;
        Ok(Some(Origin::Role {
            role,
            session,
            external_id: get("external_id").cloned(),
            from: Box::new(from),
        }))
    }

    fn container(&self) -> Result<Option<Origin>, String> {
        let path = self.parameter("container_path");
        let url = match (path, self.parameter("container_url")) {
            (Some(path), _) if path.starts_with('/') => format!("{CONTAINER_HOST}{path}"),
            (Some(_), _) => return Err("the container's path has no slash in front".to_owned()),
            (None, Some(url)) if is_for_containers(url) => url.to_owned(),
            (None, Some(_)) => {
                return Err("the container's URL is neither https nor one of AWS".to_owned());
            }
            (None, None) => return Ok(None),
        };
        let file = self.parameter("container_token_file");
        Ok(Some(Origin::Container {
            url,
            token: self.secrets.get("container_token").cloned(),
            token_file: file.map(PathBuf::from),
        }))
    }

    fn machine(&self) -> Result<Origin, String> {
        let disabled = self.parameter("metadata_disabled");
        if disabled.is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            return Err("there are no AWS credentials".to_owned());
        }
        let url = self.parameter("metadata_url").unwrap_or(METADATA_URL);
        Ok(Origin::Machine {
            url: url.trim_end_matches('/').to_owned(),
        })
    }

    fn session(&self, of_profile: Option<&String>) -> String {
        let named = of_profile.map(|name| &**name);
        let named = named.or_else(|| self.parameter("role_session_name"));
        named.unwrap_or(SESSION).to_owned()
    }

    /// Both files. One that is not there says nothing.
    fn profiles(&self) -> Result<Profiles, String> {
        let config = self.read("config_file", "config")?;
        let credentials = self.read("credentials_file", "credentials")?;
        Ok(Profiles::parse(&config, &credentials))
    }

    fn read(&self, parameter: &str, name: &str) -> Result<String, String> {
        let path = match (self.parameter(parameter), self.parameter("home")) {
            (Some(path), _) => PathBuf::from(path),
            (None, Some(home)) => PathBuf::from(home).join(".aws").join(name),
            (None, None) => return Ok(String::new()),
        };
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(format!(
                "the AWS {name} file cannot be read: {}",
                error.kind()
            )),
        }
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        let value = self.parameters.get(name)?.trim();
        (!value.is_empty()).then_some(value)
    }
}

fn keys_of(settings: &Settings) -> Option<Keys> {
    let get = |key: &str| settings.get(key).filter(|text| !text.is_empty());
    Some(Keys {
        id: get("aws_access_key_id")?.clone(),
        secret: Secret::new(get("aws_secret_access_key")?),
        session: get("aws_session_token").map(|token| Secret::new(token)),
    })
}

/// Whether a container's token may be sent there: over TLS, or no further than to the machine's own
/// agents.
fn is_for_containers(url: &str) -> bool {
    let Ok(url) = url.parse::<http::Uri>() else {
        return false;
    };
    let host = url.host().unwrap_or_default();
    match url.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => CONTAINER_HOSTS.contains(&host) || is_loopback(host),
        Some(_) | None => false,
    }
}

fn is_loopback(host: &str) -> bool {
    let address: Result<std::net::Ipv4Addr, _> = host.parse();
    address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests;

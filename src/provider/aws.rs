//! Amazon Web Services: who the server is there, and how its requests are signed.
//!
//! Sources: AWS SDKs and Tools Reference Guide, "Standardized credential providers" and its pages on
//! access keys, web identity, containers and instance metadata (docs.aws.amazon.com/sdkref); IAM User
//! Guide, "AWS Signature Version 4 for API requests"; STS API Reference.
//!
//! Credentials are looked for in this order, and the first that are there are used:
//! 1. the profile that the operator's `profile` names;
//! 2. `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, with `AWS_SESSION_TOKEN`;
//! 3. the web identity of `AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN`;
//! 4. the profile of `AWS_PROFILE`, else `default`, in the shared files;
//! 5. the container's, by `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `…_FULL_URI`;
//! 6. the machine's own, by version 2 of the instance metadata service.
//!
//! A profile holds keys, or the role of a web identity, or a role that is assumed with the credentials of
//! another profile. IAM Identity Center and `credential_process` are not read: a server has neither a
//! browser nor a reason to start programs that a file names.

pub(crate) mod error;
mod fetch;
mod origin;
mod profile;
mod signer;
mod sigv4;

use std::fmt;

pub(crate) use self::{fetch::Source, origin::Identity, signer::Signer};
use super::settings::{KeySource, ProviderSettings};
use crate::domain::secret::Secret;

/// Parameters that the environment may hold, and the variables that are looked at, in order.
const PARAMETERS: &[(&str, &[&str])] = &[
    ("region", &["AWS_REGION", "AWS_DEFAULT_REGION"]),
    ("access_key_id", &["AWS_ACCESS_KEY_ID"]),
    ("default_profile", &["AWS_PROFILE"]),
    ("config_file", &["AWS_CONFIG_FILE"]),
    ("credentials_file", &["AWS_SHARED_CREDENTIALS_FILE"]),
    ("home", &["HOME", "USERPROFILE"]),
    ("role_arn", &["AWS_ROLE_ARN"]),
    ("role_session_name", &["AWS_ROLE_SESSION_NAME"]),
    ("web_identity_token_file", &["AWS_WEB_IDENTITY_TOKEN_FILE"]),
    ("sts_url", &["AWS_ENDPOINT_URL_STS"]),
    (
        "container_path",
        &["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"],
    ),
    ("container_url", &["AWS_CONTAINER_CREDENTIALS_FULL_URI"]),
    (
        "container_token_file",
        &["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"],
    ),
    ("metadata_disabled", &["AWS_EC2_METADATA_DISABLED"]),
    ("metadata_url", &["AWS_EC2_METADATA_SERVICE_ENDPOINT"]),
];

/// What the environment may hold and nobody may see.
const SECRETS: &[(&str, &str)] = &[
    ("secret_access_key", "AWS_SECRET_ACCESS_KEY"),
    ("session_token", "AWS_SESSION_TOKEN"),
    ("container_token", "AWS_CONTAINER_AUTHORIZATION_TOKEN"),
];

/// Reads what the environment says of the server's identity. What the operator says stays.
pub(crate) fn read_environment(
    settings: &mut ProviderSettings,
    lookup: &impl Fn(&str) -> Option<String>,
) {
    let lookup = |variable: &str| lookup(variable).filter(|value| !value.trim().is_empty());
    for (parameter, variables) in PARAMETERS {
        if let Some(value) = variables.iter().find_map(|variable| lookup(variable)) {
            let known = settings.parameters.entry((*parameter).to_owned());
            known.or_insert(value);
        }
    }
    for (name, variable) in SECRETS {
        if let Some(value) = lookup(variable) {
            let known = settings.secrets.entry((*name).to_owned());
            known.or_insert_with(|| Secret::new(&value));
        }
    }
    if settings.secrets.contains_key("secret_access_key") {
        // Whoever gives a key wants to hear when the vendor does not answer.
        settings.implied = false;
        let source = || KeySource::Variable("AWS_SECRET_ACCESS_KEY".to_owned());
        settings.key_source.get_or_insert_with(source);
    }
}

/// Keys, as a request is signed with them.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    /// Which key it is.
    pub id: String,
    /// The key.
    pub secret: Secret,
    /// What goes with a temporary key.
    pub session: Option<Secret>,
}

impl fmt::Debug for Keys {
    /// Nothing of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(…)")
    }
}

/// The domain of a region's hosts.
pub(crate) fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    }
}

/// Whether a text may be a region's name, and so a part of a host's.
pub(crate) fn is_region(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.len() <= 32 && text.bytes().all(plain)
}

/// Seconds since 1970.
#[expect(
    clippy::disallowed_types,
    reason = "a signature holds the time of the world, and nothing is decided by it"
)]
pub(super) fn now() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;

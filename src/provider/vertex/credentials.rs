//! Whose tokens are used, and how they are asked for.

use std::{fmt, fs, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use rustls::sign::SigningKey;
use serde::Deserialize;

use super::assertion;
use crate::{
    domain::{
        fault::{Fault, Reason},
        secret::Secret,
    },
    provider::{
        http::Client,
        token::{self, Token, TokenSource},
    },
};

/// Where a user's token is renewed, when the file does not say.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// Credentials, as they were found.
pub(super) enum Credentials {
    /// A service account's key.
    ServiceAccount {
        account: String,
        key: Arc<dyn SigningKey>,
        key_id: Option<String>,
        project: Option<String>,
        token_uri: String,
    },
    /// A user's, as `gcloud auth application-default login` writes them.
    User {
        client_id: String,
        client_secret: Secret,
        refresh_token: Secret,
        project: Option<String>,
        token_uri: String,
    },
    /// Those of the machine.
    Metadata { host: String },
}

impl fmt::Debug for Credentials {
    /// The kind only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ServiceAccount { .. } => "ServiceAccount",
            Self::User { .. } => "User",
            Self::Metadata { .. } => "Metadata",
        })
    }
}

/// A file of credentials.
#[derive(Deserialize)]
struct File {
    #[serde(rename = "type")]
    kind: String,
    client_email: Option<String>,
    private_key: Option<String>,
    private_key_id: Option<String>,
    project_id: Option<String>,
    quota_project_id: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    refresh_token: Option<String>,
    token_uri: Option<String>,
}

impl Credentials {
    /// Reads a file of credentials.
    ///
    /// # Errors
    /// What is wrong with it; nothing of what is in it.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path)
            .map_err(|error| format!("the credentials file cannot be read: {}", error.kind()))?;
        Self::parse(&text).map_err(|problem| format!("the credentials file: {problem}"))
    }

    /// Reads the text of such a file.
    ///
    /// # Errors
    /// As [`Credentials::read`].
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let file: File =
            serde_json::from_str(text).map_err(|_error| "it is not the JSON of credentials")?;
        let token_uri = file.token_uri.unwrap_or_else(|| TOKEN_URI.to_owned());
        match &*file.kind {
            "service_account" => Ok(Self::ServiceAccount {
                account: file.client_email.ok_or("client_email is missing")?,
                key: assertion::parse_key(&file.private_key.ok_or("private_key is missing")?)?,
                key_id: file.private_key_id,
                project: file.project_id,
                token_uri,
            }),
            "authorized_user" => Ok(Self::User {
                client_id: file.client_id.ok_or("client_id is missing")?,
                client_secret: Secret::new(&file.client_secret.ok_or("client_secret is missing")?),
                refresh_token: Secret::new(&file.refresh_token.ok_or("refresh_token is missing")?),
                project: file.quota_project_id,
                token_uri,
            }),
            _ => Err("its type is neither service_account nor authorized_user"),
        }
    }

    /// The project they belong to, where they say.
    pub(super) fn project(&self) -> Option<&str> {
        match self {
            Self::ServiceAccount { project, .. } | Self::User { project, .. } => project.as_deref(),
            Self::Metadata { .. } => None,
        }
    }
}

/// Asks for tokens with credentials.
#[derive(Debug)]
pub(super) struct Source {
    credentials: Credentials,
    client: Client,
    limit: Duration,
}

impl Source {
    /// Asks with these, through this client, for this long at most.
    pub(super) const fn new(credentials: Credentials, client: Client, limit: Duration) -> Self {
        Self {
            credentials,
            client,
            limit,
        }
    }

    async fn ask(&self) -> Result<Token, Fault> {
        match &self.credentials {
            Credentials::ServiceAccount {
                account,
                key,
                key_id,
                token_uri,
                ..
            } => {
                let key_id = key_id.as_deref();
                let assertion = assertion::sign(&**key, key_id, account, token_uri, now());
                let assertion = assertion.ok_or_else(|| {
                    Fault::new(Reason::Internal, "the service account's key does not sign")
                })?;
                let fields = [
                    ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                    ("assertion", &*assertion),
                ];
                token::post_form(&self.client, token_uri, &fields, self.limit).await
            }
            Credentials::User {
                client_id,
                client_secret,
                refresh_token,
                token_uri,
                ..
            } => {
                let fields = [
                    ("grant_type", "refresh_token"),
                    ("client_id", client_id),
                    ("client_secret", client_secret.expose()),
                    ("refresh_token", refresh_token.expose()),
                ];
                token::post_form(&self.client, token_uri, &fields, self.limit).await
            }
            Credentials::Metadata { host } => self.ask_machine(host).await,
        }
    }

    async fn ask_machine(&self, host: &str) -> Result<Token, Fault> {
        let request = http::Request::builder()
            .uri(format!(
                "http://{host}/computeMetadata/v1/instance/service-accounts/default/token"
            ))
            .header("metadata-flavor", "Google")
            .body(Bytes::new())
            .map_err(|_error| Fault::new(Reason::Internal, "metadata_host is no host"))?;
        let answer = token::ask(&self.client, request, self.limit).await;
        // Elsewhere than on a machine of Google's nobody answers: then credentials are what is missing.
        answer.map_err(|fault| {
            if fault.reason != Reason::ProviderUnavailable {
                return fault;
            }
            Fault::new(
                Reason::ProviderCredentialsMissing,
                "the environment variable GOOGLE_APPLICATION_CREDENTIALS is not set, and this \
                 machine has no service account",
            )
            .with("variable", "GOOGLE_APPLICATION_CREDENTIALS")
        })
    }
}

impl TokenSource for Source {
    fn fetch(&self) -> BoxFuture<'_, Result<Token, Fault>> {
        self.ask().boxed()
    }
}

/// Seconds since 1970.
#[expect(
    clippy::disallowed_types,
    reason = "an assertion says when it was made, and nothing else of the providers needs to know"
)]
fn now() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
    since.map_or(0, |since| since.as_secs())
}

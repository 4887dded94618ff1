//! Tokens of Microsoft Entra ID for an application.
//!
//! Source: learn.microsoft.com, "Microsoft identity platform and the OAuth 2.0 client credentials flow":
//! "First case: Access token request with a shared secret" and "Third case: Access token request with a
//! federated credential"; "Workload identity" for Azure Kubernetes Service, which writes the file.

use std::{fmt, path::PathBuf};

use futures_util::{FutureExt, future::BoxFuture};

use super::super::{
    http::Client,
    registry::Parts,
    token::{self, Token, TokenSettings, TokenSource},
};
use crate::domain::{
    fault::{Fault, Reason},
    secret::Secret,
};

/// What a token is good for.
const SCOPE: &str = "https://cognitiveservices.azure.com/.default";
const AUTHORITY: &str = "https://login.microsoftonline.com";
/// What a federated credential is.
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An application in Entra ID.
pub(super) struct Entra {
    client: Client,
    url: String,
    client_id: String,
    proof: Proof,
    scope: String,
}

/// What shows that a token is asked for by the application.
enum Proof {
    /// A secret that it shares with Entra ID.
    Secret(Secret),
    /// A token of somebody else whom Entra ID trusts. Whoever writes the file renews it, so it is read
    /// each time.
    File(PathBuf),
}

impl Entra {
    /// The application that the parameters name; `None` when they name none, or nothing speaks for it.
    ///
    /// # Errors
    /// When they name half of one.
    pub(super) fn of(parts: &mut Parts<'_>) -> Result<Option<Self>, String> {
        let (tenant, client_id) = (parts.parameter("tenant_id"), parts.parameter("client_id"));
        let (tenant, client_id) = match (tenant, client_id) {
            (None, None) => return Ok(None),
            (Some(tenant), Some(client_id)) => (tenant, client_id.to_owned()),
            (Some(_), None) | (None, Some(_)) => {
                return Err("parameters.tenant_id and parameters.client_id go together".to_owned());
            }
        };
        let file = parts.parameter("federated_token_file").map(PathBuf::from);
        let secret = parts.key().cloned().map(Proof::Secret);
        let Some(proof) = secret.or(file.map(Proof::File)) else {
            return Ok(None);
        };
        let authority = parts.parameter("authority").unwrap_or(AUTHORITY);
        let authority = authority.trim_end_matches('/');
        let url = format!("{authority}/{tenant}/oauth2/v2.0/token");
        let scope = parts.parameter("scope").unwrap_or(SCOPE).to_owned();
        Ok(Some(Self {
            client: parts.client()?,
            url,
            client_id,
            proof,
            scope,
        }))
    }
}

impl fmt::Debug for Entra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entra({})", self.client_id)
    }
}

impl TokenSource for Entra {
    fn fetch(&self) -> BoxFuture<'_, Result<Token, Fault>> {
        async move {
            let mut fields = vec![
                ("grant_type", "client_credentials"),
                ("client_id", &*self.client_id),
            ];
            let assertion;
            match &self.proof {
                Proof::Secret(secret) => fields.push(("client_secret", secret.expose())),
                Proof::File(path) => {
                    // A few kilobytes that the kernel holds: nothing is waited for.
                    assertion = std::fs::read_to_string(path).map_err(|error| missing(&error))?;
                    fields.push(("client_assertion_type", ASSERTION));
                    fields.push(("client_assertion", assertion.trim()));
                }
            }
            fields.push(("scope", &self.scope));
            let limit = TokenSettings::default().fetch;
            token::post_form(&self.client, &self.url, &fields, limit).await
        }
        .boxed()
    }
}

fn missing(error: &std::io::Error) -> Fault {
    Fault::new(
        Reason::ProviderCredentialsMissing,
        format!("the federated token cannot be read: {}", error.kind()),
    )
    .with("variable", "AZURE_FEDERATED_TOKEN_FILE")
}

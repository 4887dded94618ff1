//! Asks for credentials where they come from.
//!
//! Sources: STS API Reference, "AssumeRole" and "AssumeRoleWithWebIdentity" (version 2011-06-15); SDKs and
//! Tools Reference Guide, "Container credential provider"; EC2 User Guide, "Use the Instance Metadata
//! Service" (version 2 only) and "Retrieve security credentials from instance metadata".

use std::{fs, path::Path, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{
    Method, Request,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    Identity, Keys, error, now,
    origin::Origin,
    sigv4::{self, Scope},
};
use crate::{
    domain::{
        fault::{Fault, Reason},
        secret::Secret,
    },
    provider::{
        date, fault,
        http::{Client, Until},
        token::{Token, TokenSource, form},
    },
};

/// How long keys that do not expire are used before they are looked for again: those of the files may be
/// others then.
const LOOKED_FOR_AGAIN: Duration = Duration::from_secs(300);
/// How long the metadata service of a machine may take: elsewhere nobody answers.
const METADATA_LIMIT: Duration = Duration::from_secs(2);
/// How long a token of the metadata service is asked for, in seconds: it is used at once.
const METADATA_TOKEN_SECONDS: &str = "60";
/// How much of an answer is read.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Where a machine of EC2 finds the name of its role, and its credentials below.
const METADATA_PATH: &str = "/latest/meta-data/iam/security-credentials/";

/// Asks for credentials.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    identity: Identity,
    region: String,
    client: Client,
    limit: Duration,
}

/// What containers and machines answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Granted {
    access_key_id: String,
    secret_access_key: String,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    expiration: Option<String>,
}

impl Source {
    /// Asks for the credentials of `identity` through this client; STS in this region. No single question
    /// takes longer than `limit`.
    pub(crate) const fn new(
        identity: Identity,
        region: String,
        client: Client,
        limit: Duration,
    ) -> Self {
        Self {
            identity,
            region,
            client,
            limit,
        }
    }

    /// What is known to be wrong without asking anybody.
    pub(crate) fn problem(&self) -> Option<String> {
        self.identity.origin().err()
    }

    /// Asks STS whose these keys are, which anybody may ask.
    ///
    /// # Errors
    /// `PROVIDER_CREDENTIALS_REJECTED` when they are nobody's.
    pub(crate) async fn identify(&self, keys: &Keys) -> Result<(), Fault> {
        let fields = [("Action", "GetCallerIdentity"), ("Version", "2011-06-15")];
        self.post_sts(&fields, Some(keys)).await.map(drop)
    }

    /// The credentials of an origin, which may stand on another.
    fn ask<'a>(&'a self, origin: &'a Origin) -> BoxFuture<'a, Result<Token<Keys>, Fault>> {
        async move {
            match origin {
                Origin::Keys(keys) => Ok(Token {
                    value: keys.clone(),
                    lifetime: LOOKED_FOR_AGAIN,
                }),
                Origin::WebIdentity {
                    role,
                    session,
                    token_file,
                } => {
                    let token = read_token(token_file)?;
                    let fields = [
                        ("Action", "AssumeRoleWithWebIdentity"),
                        ("Version", "2011-06-15"),
                        ("RoleArn", role),
                        ("RoleSessionName", session),
                        ("WebIdentityToken", token.expose()),
                    ];
                    self.ask_sts(&fields, None).await
                }
                Origin::Role {
                    role,
                    session,
                    external_id,
                    from,
                } => {
                    let keys = self.ask(from).await?.value;
                    let mut fields = vec![
                        ("Action", "AssumeRole"),
                        ("Version", "2011-06-15"),
                        ("RoleArn", role),
                        ("RoleSessionName", session),
                    ];
                    fields.extend(external_id.as_deref().map(|id| ("ExternalId", id)));
                    self.ask_sts(&fields, Some(&keys)).await
                }
                Origin::Container {
                    url,
                    token,
                    token_file,
                } => self.ask_container(url, token, token_file.as_deref()).await,
                Origin::Machine { url } => self.ask_machine(url).await,
            }
        }
        .boxed()
    }

    async fn ask_sts(
        &self,
        fields: &[(&str, &str)],
        keys: Option<&Keys>,
    ) -> Result<Token<Keys>, Fault> {
        let answer = self.post_sts(fields, keys).await?;
        let answer = String::from_utf8_lossy(&answer);
        let granted = element(&answer, "Credentials").and_then(|credentials| {
            Some(Granted {
                access_key_id: element(credentials, "AccessKeyId")?.to_owned(),
                secret_access_key: element(credentials, "SecretAccessKey")?.to_owned(),
                token: Some(element(credentials, "SessionToken")?.to_owned()),
                expiration: element(credentials, "Expiration").map(str::to_owned),
            })
        });
        granted.ok_or_else(no_credentials).map(Granted::into_token)
    }

    async fn post_sts(&self, fields: &[(&str, &str)], keys: Option<&Keys>) -> Result<Bytes, Fault> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/", self.identity.sts_url(&self.region)))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/xml")
            .body(Bytes::from(form(fields)))
            .map_err(|_error| no_url())?;
        if let Some(keys) = keys {
            let scope = Scope {
                region: &self.region,
                service: "sts",
            };
            sigv4::sign(&mut request, keys, scope, now())?;
        }
        self.send(request, self.limit).await
    }

    async fn ask_container(
        &self,
        url: &str,
        token: &Option<Secret>,
        token_file: Option<&Path>,
    ) -> Result<Token<Keys>, Fault> {
        let token = match token_file {
            Some(path) => Some(read_token(path)?),
            None => token.clone(),
        };
        let mut request = Request::builder()
            .uri(url)
            .header(ACCEPT, "application/json");
        if let Some(token) = &token {
            request = request.header(AUTHORIZATION, token.expose());
        }
        let request = request.body(Bytes::new()).map_err(|_error| no_url())?;
        read(&self.send(request, self.limit).await?)
    }

    async fn ask_machine(&self, url: &str) -> Result<Token<Keys>, Fault> {
        self.ask_metadata(url).await.map_err(|fault| {
            // Elsewhere than on a machine of Amazon's nobody answers: then credentials are what is missing.
            let nobody = [Reason::ProviderUnavailable, Reason::ProviderTimeout];
            if nobody.contains(&fault.reason) {
                missing(
                    "the environment variable AWS_ACCESS_KEY_ID is not set, there is no profile with \
                     credentials, and this machine has no role",
                )
            } else {
                fault
            }
        })
    }

    async fn ask_metadata(&self, url: &str) -> Result<Token<Keys>, Fault> {
        let request = Request::builder()
            .method(Method::PUT)
            .uri(format!("{url}/latest/api/token"))
            .header(
                "x-aws-ec2-metadata-token-ttl-seconds",
                METADATA_TOKEN_SECONDS,
            )
            .body(Bytes::new())
            .map_err(|_error| no_url())?;
        let token = self.send(request, METADATA_LIMIT).await?;
        let get = |path: String| {
            Request::builder()
                .uri(path)
                .header("x-aws-ec2-metadata-token", token.as_ref())
                .body(Bytes::new())
                .map_err(|_error| no_url())
        };
        let roles = get(format!("{url}{METADATA_PATH}"))?;
        let roles = self.send(roles, METADATA_LIMIT).await?;
        let roles = String::from_utf8_lossy(&roles);
        let role = roles.lines().next().unwrap_or_default().trim();
        let granted = get(format!("{url}{METADATA_PATH}{role}"))?;
        read(&self.send(granted, METADATA_LIMIT).await?)
    }

    /// Sends a request and reads the answer.
    async fn send(&self, request: Request<Bytes>, limit: Duration) -> Result<Bytes, Fault> {
        let until = Until::after(Instant::now(), limit, "asking for AWS credentials");
        let mut response = self.client.send(request, until).await?;
        if response.status.is_success() {
            let body = &mut response.body;
            return body.rest(Bytes::new(), MAX_ANSWER_BYTES, until).await;
        }
        let body = response.body.beginning(MAX_ANSWER_BYTES, until).await;
        let status = response.status.as_u16();
        Err(match status {
            // STS says so for tokens that have expired, and for roles that may not be assumed.
            400 | 401 | 403 => Fault::new(
                Reason::ProviderCredentialsRejected,
                "the server's AWS credentials are not given out",
            )
            .with("status", status),
            404 => missing("the container or machine has no role"),
            _ => error::of_status(response.status, &response.headers, &body),
        })
    }
}

impl TokenSource<Keys> for Source {
    fn fetch(&self) -> BoxFuture<'_, Result<Token<Keys>, Fault>> {
        async move {
            // Some kilobytes of the local disk, a few times an hour.
            let origin = self.identity.origin().map_err(missing)?;
            self.ask(&origin).await
        }
        .boxed()
    }
}

impl Granted {
    fn into_token(self) -> Token<Keys> {
        let end = self.expiration.as_deref().and_then(date::parse_rfc3339);
        let lifetime = end.map(|end| Duration::from_secs(end.saturating_sub(now())));
        Token {
            value: Keys {
                id: self.access_key_id,
                secret: Secret::new(&self.secret_access_key),
                session: self.token.map(|token| Secret::new(&token)),
            },
            lifetime: lifetime.unwrap_or(LOOKED_FOR_AGAIN),
        }
    }
}

fn read(answer: &[u8]) -> Result<Token<Keys>, Fault> {
    let granted: Granted = serde_json::from_slice(answer).map_err(|_error| no_credentials())?;
    Ok(granted.into_token())
}

/// A token that somebody keeps fresh in a file.
fn read_token(path: &Path) -> Result<Secret, Fault> {
    fs::read_to_string(path)
        .map(|text| Secret::new(&text))
        .map_err(|error| {
            missing(format!(
                "the file of the AWS token cannot be read: {}",
                error.kind()
            ))
        })
}

/// The text of the first element of that name, which has no attributes.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim())
}

fn missing(what: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
    Fault::new(Reason::ProviderCredentialsMissing, what).with("variable", "AWS_ACCESS_KEY_ID")
}

fn no_credentials() -> Fault {
    fault::invalid_response("what was asked for AWS credentials answers with none")
}

fn no_url() -> Fault {
    Fault::new(
        Reason::Internal,
        "where AWS credentials are asked for is no URL",
    )
}

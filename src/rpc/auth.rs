//! Who calls: from nothing, from a bearer token, or from a client certificate, to a [`Principal`].

use std::{collections::HashMap, fmt, sync::Arc};

use http::{HeaderMap, header};
use sha2::{Digest, Sha256};

use crate::domain::{
    fault::{Fault, Reason},
    principal::{Principal, Scope},
};

/// How callers are known.
#[derive(Clone)]
pub enum Auth {
    /// Everybody is this principal.
    Open(Arc<Principal>),
    /// By bearer token. The keys are SHA-256 digests: the server keeps no token, and the time of a
    /// look-up says nothing about one.
    Tokens(HashMap<[u8; 32], Arc<Principal>>),
    /// By a name in the client's certificate: a URI, a DNS name, or the common name.
    Certificates(HashMap<String, Arc<Principal>>),
}

/// The other end of a connection.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// The names in its certificate, the most specific first.
    pub names: Vec<String>,
}

/// What a method asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing.
    Anybody,
    /// To be known.
    Known,
    /// To hold one of these scopes.
    Scoped(&'static [Scope]),
}

/// What the method at this path asks of its caller. A method that is not there asks for nothing: it
/// answers `UNIMPLEMENTED`.
pub(super) fn access(path: &str) -> Access {
    use Scope::{Completions, RunsAnswer, RunsRead, RunsWrite, ThreadsDelete, ToolsHost, ToolsUse};
    let Some((service, method)) = path.trim_start_matches('/').split_once('/') else {
        return Access::Anybody;
    };
    match (service, method) {
        ("runwire.v1.CompletionService" | "runwire.v1.ModelService", _) => {
            Access::Scoped(&[Completions])
        }
        ("runwire.v1.RunService", "CreateRun" | "AttachRun" | "CancelRun" | "AddRunMessages") => {
            Access::Scoped(&[RunsWrite])
        }
        ("runwire.v1.RunService", "AnswerInput") => Access::Scoped(&[RunsAnswer]),
        ("runwire.v1.ThreadService", "DeleteThread") => Access::Scoped(&[ThreadsDelete]),
        ("runwire.v1.RunService" | "runwire.v1.ThreadService", _) => Access::Scoped(&[RunsRead]),
        // Who attaches to runs runs their tools without hosting any.
        ("runwire.v1.ToolService", "ReportToolCall") => Access::Scoped(&[ToolsHost, RunsWrite]),
        ("runwire.v1.ToolService", "ListTools") => Access::Scoped(&[ToolsUse]),
        ("runwire.v1.ToolService", _) => Access::Scoped(&[ToolsHost]),
        ("grpc.reflection.v1.ServerReflection" | "grpc.reflection.v1alpha.ServerReflection", _) => {
            Access::Known
        }
        _ => Access::Anybody,
    }
}

// === impl Auth ===

impl Auth {
    /// The caller, if it may call the method at this path.
    ///
    /// # Errors
    /// `CREDENTIALS_MISSING`, `CREDENTIALS_INVALID`, `PERMISSION_DENIED`.
    pub(super) fn admit(
        &self,
        path: &str,
        headers: &HeaderMap,
        peer: &Peer,
    ) -> Result<Option<Arc<Principal>>, Fault> {
        let scopes = match access(path) {
            Access::Anybody => return Ok(None),
            Access::Known => &[][..],
            Access::Scoped(scopes) => scopes,
        };
        let principal = self.identify(headers, peer)?;
        if !scopes.is_empty() && !scopes.iter().any(|scope| principal.has(*scope)) {
            let names: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
            let message = format!("the caller lacks the scope {}", names.join(" or "));
            return Err(
                Fault::new(Reason::PermissionDenied, message).with("scope", names.join(","))
            );
        }
        Ok(Some(principal))
    }

    fn identify(&self, headers: &HeaderMap, peer: &Peer) -> Result<Arc<Principal>, Fault> {
        let known = match self {
            Self::Open(principal) => Some(principal),
            Self::Tokens(principals) => {
                let digest: [u8; 32] = Sha256::digest(bearer(headers)?).into();
                principals.get(&digest)
            }
            Self::Certificates(principals) if !peer.names.is_empty() => {
                peer.names.iter().find_map(|name| principals.get(name))
            }
            Self::Certificates(_) => {
                return Err(Fault::new(
                    Reason::CredentialsMissing,
                    "the connection has no client certificate",
                ));
            }
        };
        known.cloned().ok_or_else(|| {
            Fault::new(
                Reason::CredentialsInvalid,
                "the credentials are not known here",
            )
        })
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(_) => f.write_str("Open"),
            Self::Tokens(tokens) => write!(f, "Tokens({})", tokens.len()),
            Self::Certificates(names) => write!(f, "Certificates({})", names.len()),
        }
    }
}

fn bearer(headers: &HeaderMap) -> Result<&[u8], Fault> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Err(Fault::new(
            Reason::CredentialsMissing,
            "the call carries no bearer token",
        ));
    };
    match value.as_bytes().split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => Ok(token.trim_ascii()),
        Some(_) | None => Err(Fault::new(
            Reason::CredentialsInvalid,
            "the authorization is not a bearer token",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &str = "/runwire.v1.RunService/GetRun";
    const HEALTH: &str = "/grpc.health.v1.Health/Check";
    const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

    fn reader() -> Arc<Principal> {
        Arc::new(Principal {
            name: Arc::from("reader"),
            scopes: vec![Scope::RunsRead],
            ..Principal::anonymous()
        })
    }

    fn tokens() -> Auth {
        Auth::Tokens([(Sha256::digest("open sesame").into(), reader())].into())
    }

    #[track_caller]
    fn check(auth: &Auth, path: &str, authorization: Option<&str>, expected: Result<(), Reason>) {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        let admitted = auth.admit(path, &headers, &Peer::default());
        assert_eq!(admitted.map(|_| ()).map_err(|f| f.reason), expected);
    }

    #[test]
    fn a_token_is_found_by_its_digest() {
        let auth = tokens();
        check(&auth, GET, Some("Bearer open sesame"), Ok(()));
        check(&auth, GET, Some("bearer open sesame "), Ok(()));
        check(&auth, GET, None, Err(Reason::CredentialsMissing));
        for bad in ["Bearer open", "Bearer ", "Basic eA==", "x"] {
            check(&auth, GET, Some(bad), Err(Reason::CredentialsInvalid));
        }
    }

    #[test]
    fn a_method_asks_for_its_scope() {
        let (auth, token) = (tokens(), Some("Bearer open sesame"));
        for denied in [
            "/runwire.v1.RunService/CreateRun",
            "/runwire.v1.RunService/CancelRun",
            "/runwire.v1.RunService/AnswerInput",
            "/runwire.v1.RunService/AttachRun",
            "/runwire.v1.ToolService/HostTools",
            "/runwire.v1.ToolService/ReportToolCall",
            "/runwire.v1.ToolService/ListTools",
            "/runwire.v1.CompletionService/GenerateCompletion",
            "/runwire.v1.ModelService/ListModels",
        ] {
            check(&auth, denied, token, Err(Reason::PermissionDenied));
        }
        check(&auth, REFLECTION, token, Ok(()));
    }

    #[test]
    fn health_is_open_and_reflection_is_not() {
        check(&tokens(), HEALTH, None, Ok(()));
        check(&tokens(), REFLECTION, None, Err(Reason::CredentialsMissing));
    }

    #[test]
    fn a_certificate_counts_by_any_of_its_names() {
        let auth = Auth::Certificates([("billing.acme".to_owned(), reader())].into());
        let admit = |names: &[&str]| {
            let names = names.iter().map(ToString::to_string).collect();
            auth.admit(GET, &HeaderMap::new(), &Peer { names })
                .map(|principal| principal.unwrap().name.to_string())
                .map_err(|fault| fault.reason)
        };
        assert_eq!(
            admit(&["spiffe://x", "billing.acme"]),
            Ok("reader".to_owned())
        );
        assert_eq!(admit(&["spiffe://x"]), Err(Reason::CredentialsInvalid));
        assert_eq!(admit(&[]), Err(Reason::CredentialsMissing));
    }
}

//! Credentials on the way out.

use std::fmt;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, ready};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::AUTHORIZATION};

use crate::domain::{
    fault::{Fault, Reason},
    secret::Secret,
};

/// What is known of a provider's credentials without asking anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// None are needed, or none were given where none need be.
    Unneeded,
    /// They are there.
    Held,
    /// They are not there.
    Missing {
        /// The environment variable that would hold them.
        variable: String,
    },
    /// They are there, and nothing can be done with them.
    Unusable {
        /// Why. Holds no credential.
        problem: String,
    },
}

/// Puts a provider's credentials on a request. Sees the whole request, so that it can sign it.
pub(crate) trait Authorize: fmt::Debug + Send + Sync + 'static {
    /// Adds what the provider wants. The last thing that happens to a request.
    fn authorize<'a>(
        &'a self,
        request: &'a mut http::Request<Bytes>,
    ) -> BoxFuture<'a, Result<(), Fault>>;

    /// What is known without asking anybody.
    fn standing(&self) -> Standing {
        Standing::Held
    }

    /// Gets the credentials of a request without making one. `None` when nobody would be asked for
    /// them, so that it would show nothing.
    fn try_out(&self) -> BoxFuture<'_, Option<Result<(), Fault>>> {
        ready(None).boxed()
    }

    /// Whether the head of an answer says that the credentials are not good, while fresher ones may be.
    fn is_outdated(&self, status: StatusCode, _headers: &HeaderMap) -> bool {
        status == StatusCode::UNAUTHORIZED
    }

    /// The credentials are outdated. Says whether there are fresher ones now, so that asking once more
    /// makes sense.
    fn renew(&self) -> BoxFuture<'_, bool> {
        ready(false).boxed()
    }
}

/// No credentials.
#[derive(Debug)]
pub(crate) struct Anonymous;

impl Authorize for Anonymous {
    fn standing(&self) -> Standing {
        Standing::Unneeded
    }

    fn authorize<'a>(
        &'a self,
        _request: &'a mut http::Request<Bytes>,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        ready(Ok(())).boxed()
    }
}

/// A key that is needed and is not there: every call fails and says which variable to set.
#[derive(Debug)]
pub(crate) struct Missing {
    /// The environment variable.
    pub variable: String,
}

impl Authorize for Missing {
    fn standing(&self) -> Standing {
        Standing::Missing {
            variable: self.variable.clone(),
        }
    }

    fn authorize<'a>(
        &'a self,
        _request: &'a mut http::Request<Bytes>,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        let fault = Fault::new(
            Reason::ProviderCredentialsMissing,
            format!("the environment variable {} is not set", self.variable),
        )
        .with("variable", &self.variable);
        ready(Err(fault)).boxed()
    }
}

/// A key in a header, which is marked sensitive: it shows in no log.
#[derive(Debug)]
pub(crate) struct KeyHeader {
    name: HeaderName,
    value: HeaderValue,
}

impl KeyHeader {
    /// `authorization: Bearer KEY`.
    ///
    /// # Errors
    /// `PROVIDER_CREDENTIALS_REJECTED` when the key cannot stand in a header.
    pub(crate) fn bearer(key: &Secret) -> Result<Self, Fault> {
        Self::new(
            AUTHORIZATION,
            &Secret::new(&format!("Bearer {}", key.expose())),
        )
    }

    /// The key itself in a header of this name.
    ///
    /// # Errors
    /// `PROVIDER_CREDENTIALS_REJECTED` when the key cannot stand in a header.
    pub(crate) fn new(name: HeaderName, key: &Secret) -> Result<Self, Fault> {
        let mut value = HeaderValue::from_str(key.expose()).map_err(|_invalid| {
            Fault::new(
                Reason::ProviderCredentialsRejected,
                "the key holds characters that no header can carry",
            )
        })?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }
}

impl Authorize for KeyHeader {
    fn authorize<'a>(
        &'a self,
        request: &'a mut http::Request<Bytes>,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        request
            .headers_mut()
            .insert(self.name.clone(), self.value.clone());
        ready(Ok(())).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_key_is_named_by_its_variable() {
        let missing = Missing {
            variable: "OPENAI_API_KEY".to_owned(),
        };
        let fault = missing
            .authorize(&mut http::Request::new(Bytes::new()))
            .await
            .unwrap_err();
        assert_eq!(fault.reason, Reason::ProviderCredentialsMissing);
        assert_eq!(fault.metadata["variable"], "OPENAI_API_KEY");
    }

    #[test]
    fn a_key_is_never_shown() {
        let header = KeyHeader::bearer(&Secret::new("sk-1")).unwrap();
        assert!(!format!("{header:?}").contains("sk-1"));
        let fault = KeyHeader::bearer(&Secret::new("sk\n-1")).unwrap_err();
        assert!(!format!("{fault:?}").contains("-1"));
    }
}

//! Signs what goes out, with the credentials that are good now.

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderMap, StatusCode};

use super::{
    Keys, Source, error, now,
    sigv4::{self, Scope},
};
use crate::{
    domain::fault::Fault,
    provider::{
        auth::{Authorize, Standing},
        token::TokenCache,
    },
};

/// Signs requests to one service in one region. Each attempt gets a signature of its own.
#[derive(Debug)]
pub(crate) struct Signer {
    /// The credentials.
    pub keys: TokenCache<Keys>,
    /// Where they come from.
    pub source: Source,
    /// The region.
    pub region: String,
    /// The service, by its signing name.
    pub service: &'static str,
}

impl Authorize for Signer {
    fn authorize<'a>(
        &'a self,
        request: &'a mut http::Request<Bytes>,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        async move {
            let keys = self.keys.token().await?;
            let scope = Scope {
                region: &self.region,
                service: self.service,
            };
            sigv4::sign(request, &keys, scope, now())
        }
        .boxed()
    }

    fn standing(&self) -> Standing {
        match self.source.problem() {
            Some(problem) => Standing::Unusable { problem },
            None => Standing::Held,
        }
    }

    fn try_out(&self) -> BoxFuture<'_, Option<Result<(), Fault>>> {
        async move {
            let identified = async { self.source.identify(&self.keys.token().await?).await };
            Some(identified.await)
        }
        .boxed()
    }

    fn is_outdated(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        error::is_outdated(status, headers)
    }

    fn renew(&self) -> BoxFuture<'_, bool> {
        async move {
            let before = self.keys.token().await.ok();
            // The environment's keys stay what they are: nothing would come of asking once more.
            self.keys.replace().await && self.keys.token().await.ok() != before
        }
        .boxed()
    }
}

//! The one HTTP client: time-outs, bounds, and nothing of what it carries in its errors.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::{
    fault,
    settings::{Limits, Timeouts},
};
use crate::domain::fault::{Fault, Reason};

/// Sends requests over pooled connections. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    inner: reqwest::Client,
    limits: Limits,
}

impl Client {
    /// A client. It follows no redirects (a key must not travel to where its owner did not send it)
    /// and reads proxies from nowhere but the settings.
    ///
    /// # Errors
    /// `INVALID_REQUEST` when the proxy is no URL, `INTERNAL` when the system offers no TLS roots.
    pub(crate) fn new(
        connect: Duration,
        limits: Limits,
        proxy: Option<&str>,
    ) -> Result<Self, Fault> {
        // Whoever came first has decided; all of this process use the same.
        let _already_installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("runwire/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(connect)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(30))
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(256)
            .http2_adaptive_window(true);
        if let Some(proxy) = proxy {
            let proxy = reqwest::Proxy::all(proxy)
                .map_err(|_error| Fault::new(Reason::InvalidRequest, "proxy is no URL"))?;
            builder = builder.proxy(proxy);
        }
        let inner = builder
            .build()
            .map_err(|_error| Fault::new(Reason::Internal, "cannot set up TLS for providers"))?;
        Ok(Self { inner, limits })
    }

    /// How much of an answer is taken.
    pub(crate) const fn limits(&self) -> Limits {
        self.limits
    }

    /// Sends a request and waits for the head of its response. Dropping the future, or the body, closes
    /// the exchange.
    ///
    /// # Errors
    /// `PROVIDER_TIMEOUT` and `PROVIDER_UNAVAILABLE`.
    pub(crate) async fn send(
        &self,
        request: http::Request<Bytes>,
        until: Until,
    ) -> Result<Response, Fault> {
        let request = reqwest::Request::try_from(request)
            .map_err(|_error| Fault::new(Reason::Internal, "the provider's address is no URL"))?;
        let response = until
            .limit(self.inner.execute(request))
            .await?
            .map_err(|error| {
                if error.is_timeout() {
                    Fault::new(Reason::ProviderTimeout, "connecting took too long")
                        .retry_after(Duration::from_millis(500))
                } else if error.is_connect() {
                    fault::unreachable("the provider cannot be reached")
                } else {
                    fault::unreachable("the provider hung up before it answered")
                }
            })?;
        Ok(Response {
            status: response.status(),
            headers: response.headers().clone(),
            body: Body { inner: response },
        })
    }
}

/// A moment to wait until, and what it is called when it has passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until {
    /// The moment.
    at: Instant,
    /// What took too long.
    what: &'static str,
    /// The limit it had.
    limit: Duration,
}

impl Until {
    /// This long after `start`.
    pub(crate) fn after(start: Instant, limit: Duration, what: &'static str) -> Self {
        Self {
            at: start + limit,
            what,
            limit,
        }
    }

    /// The earlier of the two.
    #[must_use]
    pub(crate) fn or(self, other: Self) -> Self {
        if other.at < self.at { other } else { self }
    }

    /// The whole call, begun at `start`.
    pub(crate) fn whole(start: Instant, timeouts: &Timeouts) -> Self {
        Self::after(start, timeouts.whole, "the whole call")
    }

    /// Waits for a future, but not longer.
    ///
    /// # Errors
    /// `PROVIDER_TIMEOUT` when the moment has passed.
    pub(crate) async fn limit<F: Future>(self, future: F) -> Result<F::Output, Fault> {
        timeout_at(self.at, future)
            .await
            .map_err(|_elapsed| fault::timeout(self.what, self.limit))
    }
}

/// The head of a response, and its body to come.
#[derive(Debug)]
pub(crate) struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
}

/// A body as it comes, decompressed. Dropping it closes the exchange.
#[derive(Debug)]
pub(crate) struct Body {
    inner: reqwest::Response,
}

impl Body {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// `PROVIDER_TIMEOUT`, and `PROVIDER_STREAM_BROKEN` when the connection breaks or the encoding is
    /// wrong.
    pub(crate) async fn next(&mut self, until: Until) -> Result<Option<Bytes>, Fault> {
        until.limit(self.inner.chunk()).await?.map_err(|_error| {
            fault::broken_stream("the connection broke in the middle of the answer")
        })
    }

    /// The rest in one piece, behind what was already read.
    ///
    /// # Errors
    /// As [`Body::next`], and `PROVIDER_RESPONSE_INVALID` when it is longer than `max_bytes`.
    pub(crate) async fn rest(
        &mut self,
        begun: Bytes,
        max_bytes: usize,
        until: Until,
    ) -> Result<Bytes, Fault> {
        let Some(first) = self.next(until).await? else {
            return Ok(begun);
        };
        let mut whole = BytesMut::from(begun);
        let mut next = Some(first);
        while let Some(piece) = next {
            if whole.len().saturating_add(piece.len()) > max_bytes {
                return Err(fault::invalid_response(
                    "the provider's answer is larger than the server takes",
                ));
            }
            whole.extend_from_slice(&piece);
            next = self.next(until).await?;
        }
        Ok(whole.freeze())
    }

    /// The beginning of the body, as much as there is of it within the bound and the time. What cannot
    /// be had is left out.
    pub(crate) async fn beginning(&mut self, max_bytes: usize, until: Until) -> Bytes {
        let mut held = BytesMut::new();
        while held.len() < max_bytes {
            let Ok(Some(piece)) = self.next(until).await else {
                break;
            };
            let room = max_bytes - held.len();
            held.extend_from_slice(piece.get(..room).unwrap_or(&piece));
        }
        held.freeze()
    }
}

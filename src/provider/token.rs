//! Tokens that are asked for and expire: held, renewed ahead of their end, asked for once at a time.
//!
//! What differs between vendors is a [`TokenSource`]: how a token is asked for. [`TokenCache`] does the
//! rest and is an [`Authorize`]. Nothing runs in the background: whoever comes shortly before the end
//! renews the token, while all others go on with the old one.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{
    HeaderValue, Method,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use serde::Deserialize;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::{Instant, timeout},
};

use super::{
    auth::Authorize,
    fault::{self, Words},
    http::{Client, Until},
};
use crate::domain::{
    fault::{Fault, Reason},
    secret::Secret,
};

/// How long a token is believed in that comes without its lifetime.
const ASSUMED_LIFETIME: Duration = Duration::from_secs(300);
/// The longest lifetime that is believed.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// How much of a token endpoint's answer is read.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// A token, as it was given out. Some are more than one text.
#[derive(Clone, Debug)]
pub(crate) struct Token<V = Secret> {
    /// It.
    pub value: V,
    /// How long it is good for, from now.
    pub lifetime: Duration,
}

/// How a vendor's token is asked for.
pub(crate) trait TokenSource<V = Secret>: fmt::Debug + Send + Sync + 'static {
    /// Asks for a new one. May be dropped at any point.
    fn fetch(&self) -> BoxFuture<'_, Result<Token<V>, Fault>>;
}

/// When tokens are renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TokenSettings {
    /// How long before its end a token is renewed; half its lifetime where that is shorter.
    pub ahead: Duration,
    /// How long asking may take.
    pub fetch: Duration,
    /// How long to go on with a good token after it could not be renewed.
    pub retry: Duration,
    /// A token that is younger was not yet known to a request that has just been rejected.
    pub settle: Duration,
}

impl Default for TokenSettings {
    fn default() -> Self {
        Self {
            ahead: Duration::from_secs(240),
            fetch: Duration::from_secs(10),
            retry: Duration::from_secs(10),
            settle: Duration::from_secs(5),
        }
    }
}

/// Holds a token.
#[derive(Debug)]
pub(crate) struct TokenCache<V = Secret> {
    source: Box<dyn TokenSource<V>>,
    settings: TokenSettings,
    /// The token in use. Never locked across a wait.
    held: std::sync::Mutex<Option<Held<V>>>,
    /// Locked by the one who asks for a new one.
    asking: Mutex<Option<Fault>>,
    /// How often a new one was asked for, to the end.
    asked: AtomicU64,
}

/// A token in use.
#[derive(Clone, Debug)]
struct Held<V> {
    value: V,
    since: Instant,
    /// From when on it is renewed.
    renew_at: Instant,
    expires_at: Instant,
    /// Whether there was another one before it.
    is_successor: bool,
}

impl<V: Clone + Send + Sync + 'static> TokenCache<V> {
    /// Holds tokens of a source; none as yet.
    pub(crate) fn new(source: impl TokenSource<V>, settings: TokenSettings) -> Self {
        Self {
            source: Box::new(source),
            settings,
            held: std::sync::Mutex::new(None),
            asking: Mutex::new(None),
            asked: AtomicU64::new(0),
        }
    }

    /// A token that is good now.
    ///
    /// # Errors
    /// When there is none and none is to be had.
    pub(crate) async fn token(&self) -> Result<V, Fault> {
        let now = Instant::now();
        match self.held().filter(|held| now < held.expires_at) {
            Some(held) if now < held.renew_at => Ok(held.value),
            // Somebody else is renewing it already, or this caller does.
            Some(held) => match self.asking.try_lock() {
                Err(_busy) => Ok(held.value),
                Ok(guard) => Ok(self.ask(guard).await.unwrap_or_else(|_fault| {
                    self.renew_later();
                    held.value
                })),
            },
            None => self.first().await,
        }
    }

    /// A token where there is none that is good: waits for the one who asks, and shares what comes of it.
    async fn first(&self) -> Result<V, Fault> {
        let before = self.asked.load(Ordering::Acquire);
        let guard = self.asking.lock().await;
        if self.asked.load(Ordering::Acquire) != before {
            if let Some(fault) = &*guard {
                return Err(fault.clone());
            }
            if let Some(held) = self.held().filter(|held| Instant::now() < held.expires_at) {
                return Ok(held.value);
            }
        }
        self.ask(guard).await
    }

    /// Asks for a new token because the one in use was rejected. Says whether there is another one now.
    pub(crate) async fn replace(&self) -> bool {
        let guard = self.asking.lock().await;
        let young = |held: &Held<V>| held.since.elapsed() < self.settings.settle;
        if let Some(held) = self.held().filter(young) {
            return held.is_successor;
        }
        self.ask(guard).await.is_ok()
    }

    async fn ask(&self, mut last: MutexGuard<'_, Option<Fault>>) -> Result<V, Fault> {
        let limit = self.settings.fetch;
        let token = timeout(limit, self.source.fetch()).await;
        let token = token
            .unwrap_or_else(|_elapsed| Err(fault::timeout("asking for an access token", limit)));
        self.asked.fetch_add(1, Ordering::Release);
        *last = token.as_ref().err().cloned();
        let token = token?;
        let (lifetime, since) = (token.lifetime.min(MAX_LIFETIME), Instant::now());
        let ahead = self.settings.ahead.min(lifetime / 2);
        let held = Held {
            value: token.value.clone(),
            since,
            renew_at: since + (lifetime - ahead),
            expires_at: since + lifetime,
            is_successor: self.held().is_some(),
        };
        self.with_held(|slot| *slot = Some(held));
        Ok(token.value)
    }

    fn renew_later(&self) {
        let at = Instant::now() + self.settings.retry;
        self.with_held(|slot| {
            if let Some(held) = slot {
                held.renew_at = at;
            }
        });
    }

    fn held(&self) -> Option<Held<V>> {
        self.with_held(|slot| slot.clone())
    }

    fn with_held<T>(&self, see: impl FnOnce(&mut Option<Held<V>>) -> T) -> T {
        // Nothing panics while it is locked, so what is in it is whole.
        let mut slot = self
            .held
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        see(&mut slot)
    }
}

impl Authorize for TokenCache {
    fn authorize<'a>(
        &'a self,
        request: &'a mut http::Request<Bytes>,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        async move {
            let token = self.token().await?;
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
                .map_err(|_invalid| unusable())?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
            Ok(())
        }
        .boxed()
    }

    fn try_out(&self) -> BoxFuture<'_, Option<Result<(), Fault>>> {
        async move { Some(self.token().await.map(drop)) }.boxed()
    }

    fn renew(&self) -> BoxFuture<'_, bool> {
        self.replace().boxed()
    }
}

/// What a token endpoint answers, by RFC 6749 section 5.1; the lifetime is text with some.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default)]
    expires_in: Option<Seconds>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
}

/// Posts a form to a token endpoint, and reads the token that it grants.
///
/// # Errors
/// `PROVIDER_CREDENTIALS_REJECTED` when it grants none; else what the status means.
pub(crate) async fn post_form(
    client: &Client,
    url: &str,
    fields: &[(&str, &str)],
    limit: Duration,
) -> Result<Token, Fault> {
    let request = http::Request::builder()
        .method(Method::POST)
        .uri(url)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ACCEPT, "application/json")
        .body(Bytes::from(form(fields)))
        .map_err(|_error| not_a_url())?;
    ask(client, request, limit).await
}

/// Sends a request to a token endpoint, and reads the token that it grants.
///
/// # Errors
/// As [`post_form`].
pub(crate) async fn ask(
    client: &Client,
    request: http::Request<Bytes>,
    limit: Duration,
) -> Result<Token, Fault> {
    let until = Until::after(Instant::now(), limit, "asking for an access token");
    let mut response = client.send(request, until).await?;
    if !response.status.is_success() {
        let body = response.body.beginning(MAX_ANSWER_BYTES, until).await;
        let status = response.status.as_u16();
        return Err(match status {
            400 | 401 | 403 => Fault::new(
                Reason::ProviderCredentialsRejected,
                "the token endpoint rejects the server's credentials",
            )
            .with("status", status),
            _ => fault::of_status(response.status, &response.headers, &Words::parse(&body)),
        });
    }
    let body = response
        .body
        .rest(Bytes::new(), MAX_ANSWER_BYTES, until)
        .await?;
    read(&body)
}

fn read(body: &[u8]) -> Result<Token, Fault> {
    let granted: Granted = serde_json::from_slice(body)
        .map_err(|_error| fault::invalid_response("the token endpoint's answer holds no token"))?;
    let seconds = match granted.expires_in {
        Some(Seconds::Number(seconds)) => Some(seconds),
        Some(Seconds::Text(text)) => text.trim().parse().ok(),
        None => None,
    };
    let lifetime = seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .unwrap_or(ASSUMED_LIFETIME);
    Ok(Token {
        value: Secret::new(&granted.access_token),
        lifetime,
    })
}

/// Fields as `application/x-www-form-urlencoded`.
pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in fields {
        if !out.is_empty() {
            out.push('&');
        }
        escape(name, &mut out);
        out.push('=');
        escape(value, &mut out);
    }
    out
}

fn escape(text: &str, out: &mut String) {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                out.push(HEX.get(usize::from(nibble)).copied().unwrap_or('0'));
            }
        }
    }
}

fn unusable() -> Fault {
    Fault::new(
        Reason::ProviderCredentialsRejected,
        "the access token holds characters that no header can carry",
    )
}

fn not_a_url() -> Fault {
    Fault::new(Reason::Internal, "the token endpoint's address is no URL")
}

#[cfg(test)]
pub(crate) mod server;
#[cfg(test)]
mod tests;

//! Fetches a URL that a caller has named, without being led anywhere that the caller could not reach by
//! itself.
//!
//! The addresses that a name resolves to are filtered where the connection is made, by the resolver of
//! the client: what was judged is what is connected to, and no second answer of a name server can come
//! between. Redirects are followed by hand, each judged like the first URL. Connections are not kept, no
//! proxy is taken from anywhere, and nothing of the caller or of the server is sent along.

use std::{
    error::Error,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::{
    StatusCode,
    header::{ACCEPT, CONTENT_TYPE, LOCATION},
};
use reqwest::{
    Response, Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use tokio::{sync::Semaphore, time::timeout};

use super::address::Filter;
use crate::{
    domain::fault::{Fault, Reason},
    provider::settings::Fetching,
};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// What was fetched.
#[derive(Debug)]
pub(super) struct Fetched {
    /// Its media type, as the caller or, where it knows better, the server says.
    pub media_type: String,
    /// It.
    pub bytes: Bytes,
}

/// Why a URL was not fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// It is of another scheme.
    #[error("only http and https URLs are fetched")]
    Scheme,
    /// It is none, or holds a user's name.
    #[error("this is no URL that is fetched: it needs a host, and no user")]
    Url,
    /// It leads to an address that is not everybody's.
    #[error("the URL leads to an address that is not public")]
    Address,
    /// Nobody answers there.
    #[error("nobody answers at the URL")]
    Unreachable,
    /// Somebody answers, and not with a document.
    #[error("the URL is answered with status {0}")]
    Status(StatusCode),
    /// It leads on and on.
    #[error("the URL redirects more than {0} times")]
    Redirects(u32),
    /// There is too much behind it.
    #[error("there is more behind the URLs of the request than the {0} bytes that are fetched")]
    TooLarge(usize),
    /// It takes too long.
    #[error("fetching the URL took more than {} s", .0.as_secs_f64())]
    TooSlow(Duration),
    /// Something else is behind it.
    #[error("there is something else behind the URL than the media type says")]
    MediaType,
}

impl Problem {
    /// What it is called in the metadata of a fault.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Scheme => "SCHEME",
            Self::Url => "URL",
            Self::Address => "ADDRESS",
            Self::Unreachable => "UNREACHABLE",
            Self::Status(_) => "STATUS",
            Self::Redirects(_) => "REDIRECTS",
            Self::TooLarge(_) => "TOO_LARGE",
            Self::TooSlow(_) => "TOO_SLOW",
            Self::MediaType => "MEDIA_TYPE",
        }
    }
}

/// How many bytes the URLs of one request may still bring.
#[derive(Debug)]
pub(super) struct Room {
    left: AtomicUsize,
    limit: usize,
}

impl Room {
    /// All of it.
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            left: AtomicUsize::new(limit),
            limit,
        }
    }

    fn take(&self, bytes: usize) -> Result<(), Problem> {
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            })
            .map(|_before| ())
            .map_err(|_left| Problem::TooLarge(self.limit))
    }
}

/// Asks for the addresses of a name.
pub(super) type Lookup =
    Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// Asks the system.
pub(super) fn system() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// Fetches URLs, only so many at a time.
pub(super) struct Fetcher {
    client: reqwest::Client,
    filter: Filter,
    settings: Fetching,
    busy: Semaphore,
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fetcher({:?})", self.settings)
    }
}

impl Fetcher {
    /// A fetcher that asks `lookup` for addresses.
    ///
    /// # Errors
    /// `INTERNAL` when the system offers no TLS roots.
    pub(super) fn new(settings: Fetching, lookup: Lookup) -> Result<Self, Fault> {
        // Whoever came first has decided; all of this process use the same.
        let _already_installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let filter = Filter {
            allowed: settings.private_networks.clone(),
        };
        let client = reqwest::Client::builder()
            .user_agent(concat!("runwire/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .pool_max_idle_per_host(0)
            .dns_resolver(Arc::new(Guard {
                filter: filter.clone(),
                lookup,
            }))
            .build()
            .map_err(|_error| Fault::new(Reason::Internal, "cannot set up TLS for media"))?;
        Ok(Self {
            client,
            filter,
            busy: Semaphore::new(settings.max_concurrent.min(Semaphore::MAX_PERMITS)),
            settings,
        })
    }

    /// Fetches a URL that is said to hold media of a type.
    ///
    /// # Errors
    /// Why it was not fetched.
    pub(super) async fn fetch(
        &self,
        url: &str,
        media_type: &str,
        room: &Room,
    ) -> Result<Fetched, Problem> {
        let limit = self.settings.timeout;
        let fetched = timeout(limit, async {
            let _turn = self.busy.acquire().await;
            let mut answer = self.follow(url, media_type).await?;
            let said = answer.headers().get(CONTENT_TYPE);
            let said = said.and_then(|said| said.to_str().ok());
            let media_type = agreed(media_type, said.unwrap_or_default())?;
            let length = answer.content_length().unwrap_or(0);
            if usize::try_from(length).map_or(true, |length| length > room.limit) {
                return Err(Problem::TooLarge(room.limit));
            }
            let mut bytes = BytesMut::new();
            while let Some(piece) = answer
                .chunk()
                .await
                .map_err(|_error| Problem::Unreachable)?
            {
                room.take(piece.len())?;
                bytes.extend_from_slice(&piece);
            }
            Ok(Fetched {
                media_type,
                bytes: bytes.freeze(),
            })
        });
        fetched
            .await
            .unwrap_or_else(|_elapsed| Err(Problem::TooSlow(limit)))
    }

    /// Goes where a URL leads, up to the answer that is none more of the way.
    async fn follow(&self, url: &str, media_type: &str) -> Result<Response, Problem> {
        let mut url = Url::parse(url).map_err(|_error| Problem::Url)?;
        for _ in 0..=self.settings.max_redirects {
            self.judge(&url)?;
            let request = self
                .client
                .get(url.clone())
                .header(ACCEPT, format!("{media_type}, */*;q=0.1"));
            let answer = request.send().await.map_err(|error| problem_of(&error))?;
            match answer.status().as_u16() {
                200 => return Ok(answer),
                301 | 302 | 303 | 307 | 308 => {
                    let next = answer.headers().get(LOCATION);
                    let next = next.and_then(|next| url.join(next.to_str().ok()?).ok());
                    url = next.ok_or(Problem::Status(answer.status()))?;
                }
                _ => return Err(Problem::Status(answer.status())),
            }
        }
        Err(Problem::Redirects(self.settings.max_redirects))
    }

    /// Judges what can be judged before a name is looked up. A number in place of a name, however it is
    /// written, is an address by now: URLs are read as browsers read them.
    fn judge(&self, url: &Url) -> Result<(), Problem> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Problem::Scheme);
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or(Problem::Url)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Problem::Url);
        }
        let address = host.trim_start_matches('[').trim_end_matches(']');
        match address.parse::<IpAddr>() {
            Ok(address) if !self.filter.permits(address) => Err(Problem::Address),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// The media type that both ends can mean. A server that says nothing, or that it is some bytes, is
/// taken at the caller's word; one that says another type of the same kind knows better.
fn agreed(wanted: &str, said: &str) -> Result<String, Problem> {
    let essence = |text: &str| {
        let essence = text.split(';').next().unwrap_or_default().trim();
        essence.to_ascii_lowercase()
    };
    let kind = |essence: &str| essence.split('/').next().map(str::to_owned);
    let (wanted, said) = (essence(wanted), essence(said));
    match &*said {
        "" | "application/octet-stream" | "binary/octet-stream" => Ok(wanted),
        _ if said == wanted => Ok(wanted),
        // Two of these have nothing in common but their kind's name.
        _ if wanted.starts_with("application/") => Err(Problem::MediaType),
        _ if kind(&said) == kind(&wanted) => Ok(said),
        _ => Err(Problem::MediaType),
    }
}

fn problem_of(error: &reqwest::Error) -> Problem {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<NotPublic>() {
            return Problem::Address;
        }
        cause = error.source();
    }
    Problem::Unreachable
}

/// A name that no permitted address stands behind.
#[derive(Debug, thiserror::Error)]
#[error("the name stands for no public address")]
struct NotPublic;

/// Resolves names to permitted addresses only.
struct Guard {
    filter: Filter,
    lookup: Lookup,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (filter, found) = (self.filter.clone(), (self.lookup)(name.as_str().to_owned()));
        Box::pin(async move {
            let found = found.await?;
            let permitted: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| filter.permits(*address))
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            if permitted.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests;

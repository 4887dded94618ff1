//! How to reach a server.

use std::{io, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::{
    metadata::{Ascii, MetadataValue},
    transport::{Certificate, ClientTlsConfig, Endpoint, Identity},
};

use super::{Backoff, Client, Error};

/// The HTTP/2 window of one stream.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;

/// The HTTP/2 window of one connection. Large on purpose: small unread frames of many streams draw on
/// it, and when it is used up the whole connection ends.
const CONNECTION_WINDOW_BYTES: u32 = 256 << 20;

/// The largest list of response headers.
const MAX_HEADER_LIST_BYTES: u32 = 16 << 10;

/// What a connection needs beside an address.
#[derive(Clone)]
pub struct Connector {
    url: String,
    tls: Tls,
    token: Option<String>,
    connect_timeout: Duration,
    backoff: Backoff,
}

/// TLS, for `https://` URLs. PEM texts.
#[derive(Clone, Default)]
pub struct Tls {
    /// The authorities to trust instead of the system's.
    pub ca: Option<String>,
    /// The certificate chain and the private key of this client.
    pub identity: Option<(String, String)>,
    /// The name that the server's certificate must have, when it is not the URL's host.
    pub server_name: Option<String>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("url", &self.url)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

impl Connector {
    /// To the server at `url`, in plain text or with the system's authorities, as its scheme says;
    /// without a scheme in plain text.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            tls: Tls::default(),
            token: None,
            connect_timeout: Duration::from_secs(5),
            backoff: Backoff::default(),
        }
    }

    /// With these certificates.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// With this bearer token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Waiting this long for a connection. Default 5 s.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Trying again like this.
    #[must_use]
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// The client. Connects when first used, and again whenever the connection is lost.
    ///
    /// # Errors
    /// When the URL, a certificate or the token cannot be used.
    pub fn connect(self) -> Result<Client, Error> {
        let mut endpoint = Endpoint::from_shared(with_scheme(&self.url))
            .map_err(|_| Error::invalid(format!("{:?} is not a URL", self.url)))?
            .connect_timeout(self.connect_timeout);
        match endpoint.uri().scheme_str() {
            Some("http") => {}
            Some("https") => {
                endpoint = endpoint
                    .tls_config(self.tls.config())
                    .map_err(|error| Error::invalid(format!("TLS cannot be set up: {error}")))?;
            }
            Some(_) | None => {
                let message = format!("{:?} does not begin with http:// or https://", self.url);
                return Err(Error::invalid(message));
            }
        }
        let endpoint = tuned(endpoint);
        Ok(Client {
            streams: endpoint.connect_lazy(),
            control: endpoint.connect_lazy(),
            authorization: self.token.as_deref().map(bearer).transpose()?,
            deadline: None,
            backoff: self.backoff,
        })
    }
}

impl Client {
    /// A client of a server at the other end of `io`, such as one in this process. There is one
    /// connection, and when it ends there is no other.
    pub fn in_process(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let mut io = Some(io);
        Self::over(move || io.take())
    }

    /// A client that gets each of its connections from `connect`: whenever the one before has ended,
    /// until there are no more.
    pub fn over<IO>(mut connect: impl FnMut() -> Option<IO> + Send + 'static) -> Self
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let connector = tower::service_fn(move |_| {
            let io = connect().map(TokioIo::new);
            async move { io.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
        });
        let endpoint = tuned(Endpoint::from_static("http://in-process"));
        let channel = endpoint.connect_with_connector_lazy(connector);
        Self {
            streams: channel.clone(),
            control: channel,
            authorization: None,
            deadline: None,
            backoff: Backoff::default(),
        }
    }
}

impl Tls {
    fn config(&self) -> ClientTlsConfig {
        let mut config = ClientTlsConfig::new();
        config = match &self.ca {
            Some(ca) => config.ca_certificate(Certificate::from_pem(ca)),
            None => config.with_native_roots(),
        };
        if let Some((certificate, key)) = &self.identity {
            config = config.identity(Identity::from_pem(certificate, key));
        }
        match &self.server_name {
            Some(name) => config.domain_name(name),
            None => config,
        }
    }
}

/// A bare `host:port` is one in plain text.
fn with_scheme(url: &str) -> String {
    if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    }
}

fn tuned(endpoint: Endpoint) -> Endpoint {
    endpoint
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(MAX_HEADER_LIST_BYTES)
        .http2_keep_alive_interval(Duration::from_secs(60))
        .keep_alive_timeout(Duration::from_secs(20))
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
}

fn bearer(token: &str) -> Result<MetadataValue<Ascii>, Error> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {token}")
        .parse()
        // Not shown: it is a secret, however broken.
        .map_err(|_| Error::invalid("the token is not visible ASCII"))?;
    value.set_sensitive(true);
    Ok(value)
}

//! Connections: accepted, bounded, kept alive, and ended. The loop is our own because their lifecycle is:
//! the HTTP/2 windows, the time-out of the preface, GOAWAY, and an end that comes.

use std::{fmt, io, sync::Arc, time::Duration};

use http::Request;
use hyper::{body::Incoming, rt, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{auth::Peer, gate::Gate, preface::Prefaced, tls};

/// The numbers of connections.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// HTTP/2 window of one stream, in bytes.
    pub stream_window: u32,
    /// HTTP/2 window of one connection, in bytes.
    pub connection_window: u32,
    /// Most streams of one connection.
    pub max_concurrent_streams: u32,
    /// Most connections; more are closed at once.
    pub max_connections: usize,
    /// Largest header list of a request, in bytes.
    pub max_header_list: u32,
    /// Time for the TLS handshake, and for the HTTP/2 preface after it.
    pub handshake_timeout: Duration,
    /// An HTTP/2 ping goes out this often.
    pub keepalive_interval: Duration,
    /// A connection is closed when a ping stays unanswered for this long.
    pub keepalive_timeout: Duration,
}

/// How a server comes to its end, step by step. Cancelled in this order.
#[derive(Clone, Debug, Default)]
pub struct Phases {
    /// No new connections; the old ones are told to go away when their calls have ended.
    pub draining: CancellationToken,
    /// Every stream ends, and says why.
    pub closing: CancellationToken,
    /// Whatever is left is cut.
    pub cut: CancellationToken,
}

/// h2 ends a connection after this many streams that it had to reset because the peer wrote to them after
/// their end. A late half-close does that, so the default of 1,024 is too small for a connection that
/// lives for days; endless is too many for a peer that does nothing else.
const MAX_LOCAL_RESETS: usize = 65_536;

/// How long accepting rests when the process has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves connections.
#[derive(Clone)]
pub(super) struct Connections {
    gate: Gate,
    settings: Settings,
    tls: Option<TlsAcceptor>,
    room: Arc<Semaphore>,
    tracker: TaskTracker,
    phases: Phases,
}

/// Runs the streams of a connection where the shutdown can wait for them.
#[derive(Clone)]
struct OnTracker(TaskTracker);

impl<F> rt::Executor<F> for OnTracker
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

// === impl Connections ===

impl Connections {
    pub(super) fn new(
        gate: Gate,
        settings: Settings,
        tls: Option<Arc<rustls::ServerConfig>>,
        tracker: TaskTracker,
        phases: Phases,
    ) -> Self {
        Self {
            gate,
            settings,
            tls: tls.map(TlsAcceptor::from),
            room: Arc::new(Semaphore::new(settings.max_connections)),
            tracker,
            phases,
        }
    }

    /// Accepts connections until the drain begins.
    pub(super) async fn accept(&self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.phases.draining.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _address)) => self.admit(stream),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream) {
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            tracing::warn!(most = self.settings.max_connections, "too many connections");
            return;
        };
        // Without it, small messages wait for the peer's delayed acknowledgement: 40 ms each.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot switch off Nagle's algorithm");
        }
        let connections = self.clone();
        self.tracker.spawn(async move {
            if let Err(error) = Box::pin(connections.shake_hands(stream, room)).await {
                tracing::debug!(%error, "connection ended");
            }
        });
    }

    async fn shake_hands(&self, stream: TcpStream, room: OwnedSemaphorePermit) -> io::Result<()> {
        let Some(acceptor) = &self.tls else {
            return self.converse(stream, Peer::default(), Some(room)).await;
        };
        let accepted = timeout(self.settings.handshake_timeout, acceptor.accept(stream));
        let stream = accepted
            .await
            .map_err(|_elapsed| io::ErrorKind::TimedOut)??;
        let peer = tls::peer(stream.get_ref().1.peer_certificates());
        self.converse(stream, peer, Some(room)).await
    }

    /// Serves one connection to its end.
    pub(super) async fn converse<IO>(
        &self,
        io: IO,
        peer: Peer,
        _room: Option<OwnedSemaphorePermit>,
    ) -> io::Result<()>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let preface = timeout(self.settings.handshake_timeout, Prefaced::read(io));
        let io = preface
            .await
            .map_err(|_elapsed| io::ErrorKind::TimedOut)??;
        let (gate, peer) = (self.gate.clone(), Arc::new(peer));
        let service = service_fn(move |request: Request<Incoming>| {
            gate.clone().pass(Arc::clone(&peer), request)
        });
        let connection = self.protocol().serve_connection(TokioIo::new(io), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return ended.map_err(io::Error::other),
            () = self.phases.draining.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            ended = connection => ended.map_err(io::Error::other),
            () = self.phases.cut.cancelled() => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    fn protocol(&self) -> http2::Builder<OnTracker> {
        let settings = &self.settings;
        let mut builder = http2::Builder::new(OnTracker(self.tracker.clone()));
        builder
            .timer(TokioTimer::new())
            .adaptive_window(false)
            .initial_stream_window_size(settings.stream_window)
            .initial_connection_window_size(settings.connection_window)
            .max_concurrent_streams(settings.max_concurrent_streams)
            .max_header_list_size(settings.max_header_list)
            .keep_alive_interval(settings.keepalive_interval)
            .keep_alive_timeout(settings.keepalive_timeout)
            .max_local_error_reset_streams(MAX_LOCAL_RESETS);
        builder
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

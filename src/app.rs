//! The composition root: from the configuration to a server that can be started. The only module that
//! knows everybody.

mod clock;
mod mcp;
mod provider;
mod rest;
mod serve;
mod settings;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, duplex},
    net::TcpListener,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{Config, Environment, StoreKind},
    domain::fault::Fault,
    mcp::{Mcp, SchemaCheck},
    provider::{Providers, registry::BuildError},
    rpc::{self, Auth, Backend, Intake, Peer, Phases, TlsError},
    run::{
        self, Ports, Runs,
        port::{Clock, Models, Store},
    },
    store::{memory::Memory, sqlite::Sqlite},
    toolhost::Hub,
};

pub use clock::WallClock;
pub use provider::check_providers;
pub use rest::{Access, AtRest};
pub use serve::serve;

// For the command line, which knows no store.
pub use crate::store::sqlite::{
    ExportError, OpenError, check as check_store, export as export_store, vacuum as vacuum_store,
};

/// Bytes under way between a command and the server in its own process.
const PIPE_BYTES: usize = 256 << 10;

/// The server cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Providers are configured in a way that cannot work.
    #[error("{}", one_a_line(.0))]
    Providers(Vec<BuildError>),
    /// TLS is.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The build is broken.
    #[error("the contract's descriptor cannot be read: {0}")]
    Descriptor(#[from] rpc::DescriptorError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The system does not hand over its signals.
    #[error("cannot take over the signals that end the server: {0}")]
    Signals(io::Error),
    /// Nobody has this name.
    #[error(transparent)]
    Unknown(#[from] Fault),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The store does not say which runs an earlier process has left.
    #[error("runs of an earlier process cannot be taken over: {0}")]
    Recovery(Fault),
    /// Nobody can be called that.
    #[error("{0:?} is not a tenant's name: 1 to 63 of a-z 0-9 - _")]
    Tenant(String),
    /// The store forgets.
    #[error("store.kind is \"memory\": nothing is kept that could be looked at without its server")]
    NothingKept,
    /// Nothing says where the store is.
    #[error("store.data_dir is not set, and neither XDG_DATA_HOME nor HOME says where it is")]
    NoDirectory,
    /// A file of the configuration cannot be read.
    #[error("cannot read {path}: {error}")]
    File {
        /// Which.
        path: String,
        /// Why.
        error: io::Error,
    },
}

/// A server that can be started, with everything behind it.
pub struct App {
    server: rpc::Server,
    runs: Arc<Runs>,
    hub: Arc<Hub>,
    phases: Phases,
    /// Ends runs and timers.
    stop: CancellationToken,
    /// Connections and their streams.
    connections: TaskTracker,
    /// Runs.
    work: TaskTracker,
    drain: Duration,
}

/// The parts of the world that tests bring themselves.
pub struct World {
    /// Models.
    pub models: Arc<dyn Models>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl World {
    /// The world that the configuration describes. Opening a store on the disk waits for the disk.
    ///
    /// # Errors
    /// When providers are configured in a way that cannot work, or the store cannot be opened.
    pub fn configured(config: &Config, environment: &Environment) -> Result<Self, AppError> {
        let clock: Arc<dyn Clock> = Arc::new(WallClock::default());
        let providers = provider::build(config, environment)?;
        let store = open_store(config, &clock)?;
        Ok(Self::of(providers, store, clock))
    }

    /// The same world with a store that forgets: for a server that lives as long as one command.
    ///
    /// # Errors
    /// When providers are configured in a way that cannot work.
    pub fn passing(config: &Config, environment: &Environment) -> Result<Self, AppError> {
        let clock: Arc<dyn Clock> = Arc::new(WallClock::default());
        let providers = provider::build(config, environment)?;
        let store = Memory::new(settings::memory(config), Arc::clone(&clock));
        Ok(Self::of(providers, Arc::new(store), clock))
    }

    fn of(providers: Providers, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        providers.log_missing();
        Self {
            models: Arc::new(providers),
            store,
            clock,
        }
    }
}

fn open_store(config: &Config, clock: &Arc<dyn Clock>) -> Result<Arc<dyn Store>, AppError> {
    let clock = Arc::clone(clock);
    match (config.store.kind, &config.store.data_dir) {
        (StoreKind::Memory, _) => Ok(Arc::new(Memory::new(settings::memory(config), clock))),
        (StoreKind::Sqlite, Some(directory)) => {
            let store = Sqlite::open(directory, settings::sqlite(config), clock)?;
            Ok(Arc::new(store))
        }
        (StoreKind::Sqlite, None) => Err(AppError::NoDirectory),
    }
}

// === impl App ===

impl App {
    /// Puts everything together. Nothing listens as yet.
    ///
    /// # Errors
    /// When the configuration describes what cannot be built.
    pub async fn build(config: &Config, world: World) -> Result<Self, AppError> {
        let security = (settings::auth(config), settings::tls(config)?);
        let app = Self::assemble(config, world, security, Runs::new).await?;
        // Before anybody can ask for one of them.
        let taken_over = app.runs.recover().await.map_err(AppError::Recovery)?;
        if taken_over > 0 {
            tracing::info!(runs = taken_over, "runs of an earlier process go on");
        }
        Ok(app)
    }

    async fn assemble(
        config: &Config,
        world: World,
        security: (Auth, Option<Arc<rustls::ServerConfig>>),
        runs: impl FnOnce(Ports, run::Settings, TaskTracker, CancellationToken) -> Arc<Runs>,
    ) -> Result<Self, AppError> {
        let phases = Phases::default();
        let stop = CancellationToken::new();
        let (connections, work) = (TaskTracker::new(), TaskTracker::new());
        let hub = Hub::new(settings::hub(config), &connections, stop.clone());
        let schemas = Arc::clone(&hub);
        let schema: SchemaCheck = Arc::new(move |schema| schemas.check_schema(schema));
        let hosts = Arc::clone(&hub);
        let mcp = Mcp::new(mcp::servers(config), hosts, &schema, &connections, &stop);
        let ports = Ports {
            models: Arc::clone(&world.models),
            tools: Arc::clone(&mcp) as Arc<_>,
            store: world.store,
            clock: world.clock,
        };
        let runner = settings::runs(config);
        let limits = runner.default_limits;
        let runs = runs(ports, runner, work.clone(), stop.clone());
        let backend = Backend {
            runs: Arc::clone(&runs),
            hub: Arc::clone(&hub),
            intake: Intake {
                models: world.models,
                limits,
                schema,
                mcp,
            },
        };
        let numbers = settings::rpc(config);
        let server = rpc::Server::new(
            backend,
            security,
            numbers,
            connections.clone(),
            phases.clone(),
        );
        Ok(Self {
            server: server.await?,
            runs,
            hub,
            phases,
            stop,
            connections,
            work,
            drain: config.server.drain,
        })
    }

    /// Accepts connections until [`App::drain`].
    pub async fn accept(&self, listener: TcpListener) {
        self.server.accept(listener).await;
    }

    /// Serves one connection to its end: for a server inside its client's process.
    ///
    /// # Errors
    /// What ended the connection, if that was no good end.
    pub async fn serve<IO>(&self, io: IO) -> io::Result<()>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.server.serve(io, Peer::default()).await
    }

    /// A connection of this process to itself; serving it ends when this end is dropped.
    pub fn connect(self: &Arc<Self>) -> DuplexStream {
        let (io, served) = duplex(PIPE_BYTES);
        let server = Arc::clone(self);
        // Not among the connections: it ends with the client in this process, not with a drain.
        TaskTracker::new().spawn(async move { server.serve(served).await });
        io
    }

    /// Ends the server: it says that it no longer serves, takes nothing new, tells tool hosts to go away,
    /// and lets what is under way end by itself for the drain's time. Then every stream is told why it
    /// ends, and what is left after that is cut. `now` shortens the wait. Returns in bounded time.
    pub async fn drain(&self, now: CancellationToken) {
        self.server.set_serving(false).await;
        self.runs.drain();
        self.hub.go_away(self.drain);
        self.phases.draining.cancel();
        self.work.close();
        self.connections.close();
        let ended = async {
            self.work.wait().await;
            self.settle().await;
        };
        tokio::select! {
            _ended = timeout(self.drain, ended) => {}
            () = now.cancelled() => {}
        }
        self.close().await;
    }

    /// Lets what the last work had to say get out: the end of a run to its watchers, a receipt to its
    /// host. Idle streams stay, so this is bounded.
    async fn settle(&self) {
        const SETTLING: Duration = Duration::from_millis(500);
        let _connections_left = timeout(SETTLING, self.connections.wait()).await;
    }

    /// Ends every stream with a word, then cuts what is left.
    async fn close(&self) {
        /// For the last words to get out.
        const FAREWELL: Duration = Duration::from_secs(2);
        self.phases.closing.cancel();
        self.stop.cancel();
        if timeout(FAREWELL, self.connections.wait()).await.is_err() {
            tracing::warn!("connections are cut: their peers do not end them");
        }
        self.phases.cut.cancel();
        let cut = timeout(FAREWELL, async {
            self.connections.wait().await;
            self.work.wait().await;
        });
        if cut.await.is_err() {
            tracing::error!("tasks are left at the end");
        }
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("World")
    }
}

fn one_a_line(errors: &[BuildError]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

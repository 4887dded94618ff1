//! MCP servers: processes and addresses that the operator has configured, whose tools runs can be bound to.
//!
//! ```text
//! run ─► Mcp (the Tools of everybody else, and these) ─► Server: kept by a task of its own
//!                                                          ├─ Catalog: what it has; pure
//!                                                          ├─ Link: the SDK over bounded pipes or HTTP
//!                                                          └─ Call: one task for each call in flight
//! ```
//!
//! To a run, a server is a host: it accepts a call when there is a connection and room, begins when the
//! acceptance is stored, and is lost when its connection ends. So at most once and at least once mean here
//! what they mean everywhere.
//!
//! The SDK stays in this module, and its log stays silent: it writes what is said.

mod call;
mod catalog;
mod link;
mod process;
mod result;
mod server;
mod tools;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::HeaderName;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use catalog::SchemaCheck;
pub use process::Program;

use crate::{
    domain::{call::Delivery, secret::Secret},
    run::port::Tools,
};
use server::{Keeping, Server};

/// Where a server is.
#[derive(Clone, Debug)]
pub enum Address {
    /// A process of ours, over its standard input and output.
    Stdio(Program),
    /// Elsewhere, over streamable HTTP.
    Http {
        /// Its endpoint.
        url: String,
        /// Sent with every request.
        headers: Vec<(HeaderName, Secret)>,
    },
}

/// What the operator says of a server. Defaults are those of the configuration.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is.
    pub address: Address,
    /// Only these of its tools, by its own names; empty: all.
    pub tools: Vec<String>,
    /// What stands before the names of its tools.
    pub prefix: String,
    /// Whether what it says of the effects of its tools counts.
    pub trust_annotations: bool,
    /// Time to start or reach it, to agree on the protocol, and to list its tools.
    pub connect_timeout: Duration,
    /// Time for one call; `None`: what the run says.
    pub call_timeout: Option<Duration>,
    /// The longest message that it may send, in bytes.
    pub max_message: usize,
    /// Most calls at once.
    pub max_concurrent: usize,
    /// Most tools that are taken.
    pub max_tools: usize,
    /// The wait before it is started or reached again; each further one is twice as long.
    pub restart_delay: Duration,
    /// The longest such wait.
    pub restart_max_delay: Duration,
}

/// All servers, and the tools that are not theirs. Implements [`Tools`].
pub struct Mcp {
    servers: BTreeMap<Arc<str>, Arc<Server>>,
    /// Who has the tools of hosts.
    others: Arc<dyn Tools>,
    /// Calls that are not over; cancelled when nobody wants them any more.
    calls: Mutex<HashMap<Delivery, CancellationToken>>,
    /// Rung when a server has shown its tools anew, or could not be reached.
    told: watch::Sender<()>,
    tracker: TaskTracker,
}

impl Mcp {
    /// Servers over the tools of others. Nothing is started or reached before somebody wants it. What is
    /// kept runs on `tracker` until `shutdown`.
    pub fn new(
        settings: Vec<ServerSettings>,
        others: Arc<dyn Tools>,
        schema: &SchemaCheck,
        tracker: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Arc<Self> {
        let told = watch::channel(()).0;
        let mut servers = BTreeMap::new();
        for settings in settings {
            let server = Arc::new(Server::new(settings));
            let keeping = Keeping {
                tracker: tracker.clone(),
                schema: Arc::clone(schema),
                told: told.clone(),
                shutdown: shutdown.clone(),
            };
            tracker.spawn(Arc::clone(&server).keep(keeping));
            servers.insert(Arc::clone(server.name()), server);
        }
        Arc::new(Self {
            servers,
            others,
            calls: Mutex::default(),
            told,
            tracker: tracker.clone(),
        })
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<Delivery, CancellationToken>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Mcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.servers.keys();
        f.debug_struct("Mcp").field("servers", &names).finish()
    }
}

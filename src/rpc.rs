//! The rim of the server: gRPC outside, the domain inside. Nothing else knows that there is a wire,
//! but for [`crate::client`], which is the other end of it.
//!
//! A call passes the *gate* (who, until when, with what outcome) to its *service*, where a method is:
//! convert, call the domain, convert back. The long streams share the ways of `stream`.

mod attach;
mod auth;
mod completion;
mod convert;
mod deadline;
mod gate;
mod host;
mod model;
mod outcome;
mod page;
mod preface;
mod run;
mod serve;
mod services;
mod status;
mod stream;
mod thread;
mod tls;
mod tool;
mod watch;

use std::{fmt, io, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic_health::{ServingStatus, server::HealthReporter};
/// The contract's descriptor cannot be read.
pub use tonic_reflection::server::Error as DescriptorError;

pub use auth::{Auth, Peer};
pub use completion::Settings as CompletionSettings;
pub use convert::{Intake, SchemaCheck};
pub use serve::{Phases, Settings as ConnectionSettings};
pub use services::Limits as MessageLimits;
pub use status::{DOMAIN, status};
pub use stream::Settings as StreamSettings;
pub use tls::{TlsError, server_config as tls_config};

use crate::{pb, run::Runs, toolhost::Hub};

/// All numbers of the rim.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Of connections.
    pub connections: ConnectionSettings,
    /// Of long streams.
    pub streams: StreamSettings,
    /// Of completions.
    pub completions: CompletionSettings,
    /// Of messages.
    pub messages: MessageLimits,
}

/// What stands behind the rim.
#[derive(Clone)]
pub struct Backend {
    /// Runs.
    pub runs: Arc<Runs>,
    /// Tool hosts.
    pub hub: Arc<Hub>,
    /// What requests are checked against.
    pub intake: Intake,
}

/// The gRPC server: every service behind one gate, on any number of connections.
#[derive(Clone)]
pub struct Server {
    connections: serve::Connections,
    health: HealthReporter,
}

// === impl Server ===

impl Server {
    /// Puts the server together. Its tasks run on `tracker`; `phases` end them. Healthy from the start.
    ///
    /// # Errors
    /// When the embedded descriptor of the contract cannot be read: a broken build.
    pub async fn new(
        backend: Backend,
        security: (Auth, Option<Arc<rustls::ServerConfig>>),
        settings: Settings,
        tracker: TaskTracker,
        phases: Phases,
    ) -> Result<Self, DescriptorError> {
        let (auth, tls) = security;
        let (health, health_service) = tonic_health::server::health_reporter();
        let standard = Routes::default()
            .add_service(health_service)
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?)
            .prepare();
        let streams =
            stream::Streams::new(settings.streams, tracker.clone(), phases.closing.clone());
        let completions = completion::Completions::new(
            backend.intake.clone(),
            settings.completions,
            streams.clone(),
        );
        let hosting = host::Hosting {
            runs: backend.runs,
            hub: backend.hub,
            intake: backend.intake.clone(),
            streams,
            page_bytes: settings.messages.response_bytes,
        };
        let services = services::Services::new(
            completions,
            hosting,
            model::Catalogue::new(backend.intake.models, settings.messages.response_bytes),
            standard,
            settings.messages,
        );
        let gate = gate::Gate::new(services, auth);
        let server = Self {
            connections: serve::Connections::new(gate, settings.connections, tls, tracker, phases),
            health,
        };
        server.set_serving(true).await;
        Ok(server)
    }

    /// Accepts connections until the drain begins.
    pub async fn accept(&self, listener: TcpListener) {
        self.connections.accept(listener).await;
    }

    /// Serves one connection to its end, whatever carries it.
    ///
    /// # Errors
    /// What ended the connection, if that was no good end.
    pub async fn serve<IO>(&self, io: IO, peer: Peer) -> io::Result<()>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.connections.converse(io, peer, None).await
    }

    /// Says of every service, and of the whole, whether it serves.
    pub async fn set_serving(&self, serving: bool) {
        let status = if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for name in [""].iter().chain(&services::NAMES) {
            self.health.set_service_status(*name, status).await;
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.connections.fmt(f)
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backend")
    }
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::DESCRIPTOR)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

//! Which server a command talks to.

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use futures_util::future::BoxFuture;
use tokio::io::DuplexStream;

use super::{
    Stop,
    args::{Common, RunsPlace},
};
use crate::{
    app::{Access, AppError, AtRest, OpenError},
    client::{Client, Connector, Tls},
    config::{Config, Environment, Flag, Layers},
};

/// A server in this process; dropping it ends it.
pub struct LocalServer {
    /// The client's end of its connection.
    pub io: DuplexStream,
    /// Whatever keeps it alive.
    pub guard: Box<dyn Send>,
}

impl std::fmt::Debug for LocalServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LocalServer")
    }
}

/// Starts a server in this process. Fails with one line that says why.
pub type Local =
    Box<dyn FnOnce(Config, Environment) -> BoxFuture<'static, Result<LocalServer, String>> + Send>;

/// A client, and the server behind it when that is in this process.
pub(super) struct Target {
    pub(super) client: Client,
    /// Keeps the server alive.
    _server: Option<Box<dyn Send>>,
}

impl Target {
    /// The server that the arguments name, else one in this process.
    pub(super) async fn new(
        common: &Common,
        environment: Environment,
        local: Local,
    ) -> Result<Self, Stop> {
        if let Some(client) = remote(common, &environment)? {
            return Ok(Self {
                client,
                _server: None,
            });
        }
        let config = configuration(common.config.clone(), &environment, None)?;
        let server = local(config, environment).await.map_err(Stop::Failed)?;
        Ok(Self {
            client: Client::in_process(server.io),
            _server: Some(server.guard),
        })
    }

    /// The server that the arguments name, else the one that would serve with this configuration.
    pub(super) fn configured(common: &Common, environment: &Environment) -> Result<Client, Stop> {
        if let Some(client) = remote(common, environment)? {
            return Ok(client);
        }
        let server = configuration(common.config.clone(), environment, None)?.server;
        let mut address = server.listen;
        if address.ip().is_unspecified() {
            // Whoever listens everywhere listens on the loopback, too.
            let is_v6 = address.is_ipv6();
            address.set_ip(if is_v6 {
                Ipv6Addr::LOCALHOST.into()
            } else {
                Ipv4Addr::LOCALHOST.into()
            });
        }
        let scheme = if server.tls.cert.is_some() {
            "https"
        } else {
            "http"
        };
        connect(common, environment, &format!("{scheme}://{address}"))
    }

    /// The server that the arguments name, for a run that outlives this process.
    pub(super) fn remote(common: &Common, environment: &Environment) -> Result<Client, Stop> {
        remote(common, environment)?.ok_or_else(|| {
            let message = "only a server goes on with a run that is left: name it with --server or \
                           RUNWIRE_SERVER";
            Stop::Usage(message.to_owned())
        })
    }
}

/// Where runs are kept: a server, or a data directory of which this process serves what is in it.
pub(super) struct Keeper {
    pub(super) client: Client,
    rest: Option<AtRest>,
}

impl Keeper {
    /// The server that the arguments name, else the data directory, of which `access` is wanted. What the
    /// arguments say of the directory stands above a server that the environment names.
    pub(super) async fn new(
        place: &RunsPlace,
        environment: &Environment,
        access: Access,
    ) -> Result<Self, Stop> {
        if !place.is_local()
            && let Some(client) = remote(&place.common, environment)?
        {
            return Ok(Self { client, rest: None });
        }
        let file = place.common.config.clone();
        let config = configuration(file, environment, place.data_dir.clone())?;
        let rest = AtRest::open(&config, access, place.tenant.as_deref()).await?;
        Ok(Self {
            client: Client::in_process(rest.app.connect()),
            rest: Some(rest),
        })
    }

    /// Whether there is a server that the runs go on in.
    pub(super) fn is_served(&self) -> Result<bool, Stop> {
        match &self.rest {
            Some(rest) => Ok(rest.is_served()?),
            None => Ok(true),
        }
    }
}

impl From<AppError> for Stop {
    fn from(error: AppError) -> Self {
        match error {
            AppError::Store(OpenError::InUse { path }) => Self::Failed(format!(
                "{} belongs to a server that runs: name it with --server or RUNWIRE_SERVER",
                path.display()
            )),
            AppError::Tenant(_) => Self::Usage(error.to_string()),
            AppError::NothingKept | AppError::NoDirectory => Self::Usage(format!(
                "{error}; or name a server with --server or RUNWIRE_SERVER"
            )),
            AppError::Providers(_)
            | AppError::Tls(_)
            | AppError::Descriptor(_)
            | AppError::Listen { .. }
            | AppError::Signals(_)
            | AppError::Unknown(_)
            | AppError::Store(_)
            | AppError::Recovery(_)
            | AppError::File { .. } => Self::Failed(error.to_string()),
        }
    }
}

fn remote(common: &Common, environment: &Environment) -> Result<Option<Client>, Stop> {
    let named = common.server.as_deref();
    let url = named.or_else(|| environment.get("RUNWIRE_SERVER"));
    url.map(|url| connect(common, environment, url)).transpose()
}

fn connect(common: &Common, environment: &Environment, url: &str) -> Result<Client, Stop> {
    let identity = match (&common.cert, &common.key) {
        (Some(cert), Some(key)) => Some((read(cert)?, read(key)?)),
        (Some(_) | None, Some(_) | None) => None,
    };
    let tls = Tls {
        ca: common.ca.as_ref().map(read).transpose()?,
        identity,
        server_name: None,
    };
    let mut connector = Connector::new(url).tls(tls);
    if let Some(token) = environment.get(&common.token_env) {
        connector = connector.token(token.trim());
    }
    let client = connector.connect();
    client.map_err(|error| Stop::Usage(error.message))
}

/// The configuration of a server in this process, or of the one whose data directory this is.
pub(super) fn configuration(
    file: Option<PathBuf>,
    environment: &Environment,
    data_dir: Option<String>,
) -> Result<Config, Stop> {
    let flag = |value| Flag {
        flag: "--data-dir",
        key: "store.data_dir",
        value,
    };
    let layers = Layers {
        file,
        environment: environment.clone(),
        flags: data_dir.map(flag).into_iter().collect(),
    };
    Ok(Config::load(&layers)?)
}

/// A file as text.
pub(super) fn read(path: impl AsRef<Path>) -> Result<String, Stop> {
    let path: PathBuf = path.as_ref().to_owned();
    fs::read_to_string(&path)
        .map_err(|error| Stop::Usage(format!("cannot read {}: {error}", path.display())))
}

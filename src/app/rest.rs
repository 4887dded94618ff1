//! What a server has left, or has open, in the hands of a command: its runs are shown or cancelled, and
//! none goes on.

use std::{path::PathBuf, sync::Arc};

use super::{App, AppError, WallClock, World, settings};
use crate::{
    config::{Config, StoreKind},
    domain::principal::{Principal, Tenant},
    provider::{Providers, settings::Settings},
    rpc::Auth,
    run::Runs,
    store::sqlite::{Sqlite, is_open},
};

/// What a command wants of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To read it, also while a server has it open.
    Read,
    /// To write to it, which nobody else may do meanwhile.
    Write,
}

/// A store and the server over it that runs nothing.
#[derive(Debug)]
pub struct AtRest {
    /// Serves one tenant's runs to whoever connects in this process.
    pub app: Arc<App>,
    directory: PathBuf,
}

impl AtRest {
    /// Opens the store that the configuration names, for a tenant's runs; `None` is `default`. Whoever can read its files may read everything, so
    /// no credentials are asked for.
    ///
    /// # Errors
    /// When the tenant's name is none, there is no store, another process writes to what is to be written, or another version has
    /// written it.
    pub async fn open(
        config: &Config,
        access: Access,
        tenant: Option<&str>,
    ) -> Result<Self, AppError> {
        let tenant = tenant.map_or_else(
            || Ok(Tenant::default_tenant()),
            |name| Tenant::parse(name).ok_or_else(|| AppError::Tenant(name.to_owned())),
        )?;
        let directory = match (config.store.kind, &config.store.data_dir) {
            (StoreKind::Memory, _) => return Err(AppError::NothingKept),
            (StoreKind::Sqlite, None) => return Err(AppError::NoDirectory),
            (StoreKind::Sqlite, Some(directory)) => directory.clone(),
        };
        let clock = Arc::new(WallClock::default());
        let numbers = settings::sqlite(config);
        let store = match access {
            Access::Read => Sqlite::read_only(&directory, numbers)?,
            Access::Write => Sqlite::open_existing(&directory, numbers, Arc::clone(&clock) as _)?,
        };
        let world = World {
            // No model is asked.
            models: Arc::new(Providers::new(&Settings::default()).map_err(AppError::Providers)?),
            store: Arc::new(store),
            clock,
        };
        let principal = Principal {
            tenant,
            ..Principal::anonymous()
        };
        let security = (Auth::Open(Arc::new(principal)), None);
        let app = App::assemble(config, world, security, Runs::at_rest).await?;
        Ok(Self {
            app: Arc::new(app),
            directory,
        })
    }

    /// Whether a process has the store open to write to it: a server, whose runs go on.
    ///
    /// # Errors
    /// When its directory cannot be looked at.
    pub fn is_served(&self) -> Result<bool, AppError> {
        Ok(is_open(&self.directory)?)
    }
}

//! Runs: the loop of model turns and tool calls.

pub mod generate;
pub(crate) mod lock;
pub mod log;
pub mod port;
pub mod retry;
pub mod watch;

use std::{sync::Arc, time::Duration};

use port::{Clock, Inbox, Models, RetryPolicy, RunFilter, Store, Tools};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::watch::{Detail, Feed, FeedBatch, From, Seen, Snapshot, Watch, WatchMany};

use crate::domain::{
    call::{Delivery, Disposition, Report},
    fault::Fault,
    id::{RequestId, RunId},
    principal::{Principal, Tenant},
    run::{Limits, Run, RunSpec},
};

/// The world a run lives in.
#[derive(Clone)]
pub struct Ports {
    /// Models.
    pub models: Arc<dyn Models>,
    /// Tools.
    pub tools: Arc<dyn Tools>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// The numbers of the Runner. Defaults are those of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What a caller's unset limits become, and at most can be.
    pub default_limits: Limits,
    /// Time for one tool execution, from acceptance.
    pub tool_timeout: Duration,
    /// Time to wait for a host to accept a call.
    pub accept_timeout: Duration,
    /// How long a cancelled host is waited for.
    pub cancel_grace: Duration,
    /// Most deliveries of one call.
    pub max_attempts: u32,
    /// The largest result of a tool; a larger one becomes an error result.
    pub max_result_bytes: usize,
    /// Most live runs of the server; more are refused with `SERVER_OVERLOADED`.
    pub max_live_runs: usize,
    /// Retries of model calls.
    pub retry: RetryPolicy,
}

/// All runs of the server: the only way to them.
pub struct Runs {}

impl Runs {
    /// Builds the Runner. Tasks go on `tracker`, and end when `shutdown` is cancelled.
    pub fn new(
        ports: Ports,
        settings: Settings,
        tracker: TaskTracker,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        todo!()
    }

    /// Stores a run and starts it. The same request again returns the same run.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED`, `PERMISSION_DENIED` (a hosted tool's name), `SERVER_OVERLOADED`,
    /// `SERVER_DRAINING`, `STORE_UNAVAILABLE`.
    pub async fn create(
        &self,
        principal: &Principal,
        spec: RunSpec,
        request_id: Option<RequestId>,
    ) -> Result<Arc<Run>, Fault> {
        todo!()
    }

    /// A run.
    ///
    /// # Errors
    /// `RUN_NOT_FOUND`, `STORE_UNAVAILABLE`.
    pub async fn get(&self, tenant: &Tenant, run_id: RunId) -> Result<Arc<Run>, Fault> {
        todo!()
    }

    /// What a run runs.
    pub async fn spec(&self, tenant: &Tenant, run_id: RunId) -> Result<Arc<RunSpec>, Fault> {
        todo!()
    }

    /// Runs that match, newest first, at most `limit`, older than `before`.
    pub async fn list(
        &self,
        tenant: &Tenant,
        filter: &RunFilter,
        before: Option<RunId>,
        limit: usize,
    ) -> Result<Vec<Arc<Run>>, Fault> {
        todo!()
    }

    /// Asks a run to stop. Idempotent; of a run that has ended, returns it as it is.
    pub async fn cancel(
        &self,
        tenant: &Tenant,
        run_id: RunId,
        reason: String,
    ) -> Result<Arc<Run>, Fault> {
        todo!()
    }

    /// The mailbox of a live run.
    ///
    /// # Errors
    /// `RUN_NOT_FOUND`, `RUN_FINISHED`.
    pub fn inbox(&self, tenant: &Tenant, run_id: RunId) -> Result<Inbox, Fault> {
        todo!()
    }

    /// What to answer to a report on a delivery that no run waits for any more.
    ///
    /// # Errors
    /// `TOOL_CALL_NOT_FOUND`, `STORE_UNAVAILABLE`.
    pub async fn late_report(
        &self,
        tenant: &Tenant,
        delivery: &Delivery,
        report: &Report,
    ) -> Result<Disposition, Fault> {
        todo!()
    }

    /// Watches one run.
    ///
    /// # Errors
    /// `RUN_NOT_FOUND`, `STORE_UNAVAILABLE`.
    pub async fn watch(
        &self,
        tenant: &Tenant,
        run_id: RunId,
        from: From,
        detail: Detail,
    ) -> Result<Watch, Fault> {
        todo!()
    }

    /// Watches all runs that match.
    ///
    /// # Errors
    /// `CURSOR_INVALID`, `STORE_UNAVAILABLE`.
    pub async fn watch_many(&self, tenant: &Tenant, request: WatchMany) -> Result<Feed, Fault> {
        todo!()
    }
}

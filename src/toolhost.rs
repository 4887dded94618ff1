//! Tool hosts: who offers which tool, which call is where, what happens when a stream is lost.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    domain::{
        call::{Command, Delivery, Disposition, Report},
        fault::Fault,
        id::{HostId, RunId, SessionId},
        principal::{Principal, Tenant},
        tool::ToolSpec,
    },
    run::port::Inbox,
};

/// The numbers of tool hosting. Defaults are those of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Both sides send something at least this often.
    pub heartbeat_interval: Duration,
    /// A stream silent for this long is dead.
    pub dead_after: Duration,
    /// How long a lost session's calls stay reserved.
    pub grace: Duration,
    /// The window of a host that names none.
    pub default_window: u32,
    /// The largest window.
    pub max_window: u32,
    /// Most tools of one host.
    pub max_tools_per_host: usize,
    /// Most hosts of one tenant.
    pub max_hosts_per_tenant: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_secs(15),
            dead_after: Duration::from_secs(45),
            grace: Duration::from_secs(30),
            default_window: 16,
            max_window: 4096,
            max_tools_per_host: 512,
            max_hosts_per_tenant: 10_000,
        }
    }
}

/// All hosts, sessions and calls in flight. Implements [`crate::run::port::Tools`].
pub struct Hub {}

impl Hub {
    /// An empty hub. Its timers run on `tracker` until `shutdown`.
    pub fn new(
        settings: Settings,
        tracker: &TaskTracker,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        todo!()
    }

    /// A host opens a stream. One with the same id and principal takes over the older stream's calls;
    /// the older stream ends with `SUPERSEDED`. Tools that are not taken are named; the rest is live.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` (no scope, or the id belongs to another principal), `SERVER_OVERLOADED`,
    /// `SERVER_DRAINING`, `INVALID_REQUEST`.
    pub fn connect(
        self: &Arc<Self>,
        principal: &Principal,
        hello: Hello,
    ) -> Result<Connected, Fault> {
        todo!()
    }

    /// A run's own stream opens: its attached tools run there. Takes over like [`Hub::connect`].
    ///
    /// # Errors
    /// As [`Hub::connect`].
    pub fn attach(
        self: &Arc<Self>,
        principal: &Principal,
        inbox: Inbox,
        attachment: Attachment,
    ) -> Result<Connected, Fault> {
        todo!()
    }

    /// A report without a stream. `Ok(None)`: no live run waits for it; ask
    /// [`crate::run::Runs::late_report`].
    ///
    /// # Errors
    /// `PERMISSION_DENIED` when the call was assigned to a host of another principal.
    pub async fn report(
        &self,
        principal: &Principal,
        delivery: Delivery,
        report: Report,
    ) -> Result<Option<Disposition>, Fault> {
        todo!()
    }

    /// A run has ended: its attachment ends well, and nothing about it is kept.
    pub fn forget_run(&self, run_id: RunId) {
        todo!()
    }

    /// The tools that hosts of the tenant offer now, by name and version, and how many offer each.
    pub fn list(&self, tenant: &Tenant) -> Vec<(Arc<ToolSpec>, usize)> {
        todo!()
    }

    /// Tells every session that its stream will end.
    pub fn go_away(&self, time_left: Duration) {
        todo!()
    }
}

/// A host introduces itself.
#[derive(Clone, Debug)]
pub struct Hello {
    /// The host process.
    pub host_id: HostId,
    /// Its tools, each with the fault that parsing it gave, by the name that was sent.
    pub tools: Vec<Result<Arc<ToolSpec>, (String, Fault)>>,
    /// Most calls at once; `None`: the default.
    pub window: Option<u32>,
    /// For logs and routing.
    pub labels: BTreeMap<String, String>,
    /// Every call that runs at the host or whose last report has no receipt as yet.
    pub in_flight: Vec<Delivery>,
}

/// A run's stream introduces itself.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// The process behind it; `None` when it takes no calls.
    pub host_id: Option<HostId>,
    /// Most calls at once; `None`: the default; 0: events only.
    pub window: Option<u32>,
    /// As [`Hello::in_flight`].
    pub in_flight: Vec<Delivery>,
    /// Whether losing the stream for longer than the grace abandons the run
    /// ([`crate::run::port::RunInput::Abandoned`]).
    pub cancel_when_lost: bool,
}

/// An open session, in two halves that live in different tasks.
pub struct Connected {
    /// Its terms.
    pub session_id: SessionId,
    /// Tools that were not taken, by name.
    pub rejected: Vec<(String, Fault)>,
    /// What the host says goes in here.
    pub inward: Inward,
    /// What the host is told comes out here.
    pub outward: Outward,
}

/// What a host says.
#[derive(Debug)]
pub enum FromHost {
    /// About a delivery.
    Report(Delivery, Report),
    /// Its window or its set of tools has changed.
    Update {
        /// The new window.
        window: Option<u32>,
        /// The new tools, whole.
        tools: Option<Vec<Result<Arc<ToolSpec>, (String, Fault)>>>,
    },
    /// It lives.
    Heartbeat,
}

/// The host's half of a session.
pub struct Inward {}

impl Inward {
    /// Takes what the host says. Waits for the run's mailbox at most, never for the host's reading.
    /// `Ok(Some(..))` is a report that no live run waits for: answer it with
    /// [`crate::run::Runs::late_report`] and [`Inward::receipt`].
    ///
    /// # Errors
    /// `STREAM_PROTOCOL_VIOLATION`, which ends the stream.
    pub async fn receive(&self, said: FromHost) -> Result<Option<(Delivery, Report)>, Fault> {
        todo!()
    }

    /// Answers a late report.
    pub fn receipt(&self, delivery: Delivery, disposition: Disposition) {
        todo!()
    }

    /// The host will say nothing more: it takes no more calls. Its stream stays open until the calls
    /// that it has are over for it; half-close is not cancel.
    pub fn half_close(&self) {
        todo!()
    }
}

/// The server's half of a session. Dropping it is the loss of the stream: the grace begins.
pub struct Outward {}

impl Outward {
    /// The next command, heartbeats included. `None`: the session has ended well (the host has
    /// half-closed and holds no calls). Cancel-safe.
    ///
    /// # Errors
    /// `SUPERSEDED`, `HEARTBEAT_MISSED`, `SLOW_READER`, `SERVER_DRAINING`: the stream ends with it.
    pub async fn next(&mut self) -> Option<Result<Command, Fault>> {
        todo!()
    }
}

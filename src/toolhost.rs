//! Tool hosts: who offers which tool, which call is where, what happens when a stream is lost.
//!
//! ```text
//! rpc ── Inward ──► Hub (one lock) ──► Book: hosts, windows, calls; pure, answers with effects
//! rpc ◄─ Outward ◄─ Link ◄──┤
//! run ◄─ Inbox  ◄─ Courier ◄┘
//! ```
//!
//! A host lives longer than its streams: when one is lost, the calls of the host stay with it for the
//! grace, and a new stream takes them over. What the host then says it has, it has; what it does not
//! name, it does not have. A call that was never accepted was never begun; a call that was accepted
//! and is gone may have had its effect, and its run is told so.

mod book;
mod courier;
mod hub;
mod link;
mod recent;
mod schema;
mod session;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

pub use hub::Hub;
pub use session::{Inward, Outward};

use crate::domain::{
    call::{Delivery, Report},
    fault::Fault,
    id::{HostId, SessionId},
    tool::ToolSpec,
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

/// A tool that a host wants to offer, or the fault that parsing it gave, by the name that was sent.
pub type Proposed = Result<Arc<ToolSpec>, (String, Fault)>;

/// A host introduces itself.
#[derive(Clone, Debug)]
pub struct Hello {
    /// The host process.
    pub host_id: HostId,
    /// Its tools.
    pub tools: Vec<Proposed>,
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
#[derive(Debug)]
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
        tools: Option<Vec<Proposed>>,
    },
    /// It lives.
    Heartbeat,
}

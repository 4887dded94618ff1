//! A place that calls run at: a tool host of a tenant, or the stream of one run.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use tokio::time::Instant;

use super::Key;
use crate::domain::{
    call::Delivery,
    id::{HostId, RunId},
    principal::Tenant,
    tool::{ToolName, ToolSpec},
};

/// A seat outlives its streams: it is the host that keeps its calls while it opens another one.
#[derive(Debug)]
pub(super) struct Seat<S, I> {
    pub(super) tenant: Tenant,
    /// Who used it first; nobody else may.
    pub(super) principal: Arc<str>,
    pub(super) role: Role<I>,
    /// Most calls at once.
    pub(super) window: u32,
    /// What counts against the window.
    pub(super) held: HashSet<Delivery>,
    pub(super) stream: Stream<S>,
    /// Where it stands in the book's deadlines.
    pub(super) deadline: Option<Instant>,
}

/// Whose calls it takes.
#[derive(Debug)]
pub(super) enum Role<I> {
    /// Those of any run, for the tools that it has registered.
    Host(Host),
    /// Those of one run.
    Attached(Attached<I>),
}

/// A tool host.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) host_id: HostId,
    pub(super) labels: BTreeMap<String, String>,
    /// Its definitions by name; several versions of one name may be live.
    pub(super) tools: HashMap<ToolName, Vec<Arc<ToolSpec>>>,
}

/// A run's own stream.
#[derive(Debug)]
pub(super) struct Attached<I> {
    pub(super) run_id: RunId,
    /// `None` when it takes no calls.
    pub(super) host_id: Option<HostId>,
    pub(super) inbox: I,
    pub(super) cancel_when_lost: bool,
}

/// How it can be reached.
#[derive(Debug)]
pub(super) enum Stream<S> {
    /// Its current session.
    Open {
        session: Key,
        address: S,
        last_heard: Instant,
        inward: InwardSide,
    },
    /// Its session was lost: nothing happens to its calls until its deadline.
    Lost,
}

/// What can still be heard on an open stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InwardSide {
    /// Anything.
    Open,
    /// Nothing: the host has half-closed. It takes no more calls.
    Closed,
    /// Nothing, and the session has been told that it ended well.
    Finished,
}

// === impl Seat ===

impl<S, I> Seat<S, I> {
    /// Whether one more call may go there now.
    pub(super) fn has_room(&self) -> bool {
        let listens = matches!(
            self.stream,
            Stream::Open {
                inward: InwardSide::Open,
                ..
            }
        );
        listens && self.held.len() < self.window as usize
    }

    /// Whether it will have room again by itself: it is not draining.
    pub(super) fn will_have_room(&self) -> bool {
        let listens = match &self.stream {
            Stream::Open { inward, .. } => *inward == InwardSide::Open,
            Stream::Lost => true,
        };
        listens && self.window > 0
    }

    /// Whether this session is the current one.
    pub(super) fn is_current(&self, ticket: Key) -> bool {
        matches!(&self.stream, Stream::Open { session, .. } if *session == ticket)
    }

    /// Where commands go, while there is a session that has not ended, and its number.
    pub(super) fn current(&self) -> Option<(&S, Key)> {
        match &self.stream {
            Stream::Open {
                address,
                session,
                inward: InwardSide::Open | InwardSide::Closed,
                ..
            } => Some((address, *session)),
            Stream::Open { .. } | Stream::Lost => None,
        }
    }

    /// Where commands go, while there is a session that has not ended.
    pub(super) fn address(&self) -> Option<&S> {
        self.current().map(|(address, _)| address)
    }

    /// The process behind it, for the run's log.
    pub(super) fn host_id(&self) -> Option<&HostId> {
        match &self.role {
            Role::Host(host) => Some(&host.host_id),
            Role::Attached(attached) => attached.host_id.as_ref(),
        }
    }

    /// Whether somebody depends on noticing that the peer has died. A stream that only watches may be
    /// silent.
    pub(super) fn must_be_heard(&self) -> bool {
        match &self.role {
            Role::Host(_) => true,
            Role::Attached(attached) => {
                attached.cancel_when_lost || self.window > 0 || !self.held.is_empty()
            }
        }
    }

    /// Whether it is the less loaded one, by the share of the window that is taken.
    pub(super) fn is_less_loaded_than(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.held.len() as u64, other.held.len() as u64);
        mine * u64::from(other.window) < theirs * u64::from(self.window)
    }
}

// === impl Host ===

impl Host {
    /// Whether it offers exactly this definition.
    pub(super) fn offers(&self, wanted: &Arc<ToolSpec>) -> bool {
        self.tools
            .get(&wanted.name)
            .is_some_and(|specs| specs.iter().any(|spec| is_same(spec, wanted)))
    }

    /// Whether it has all these labels.
    pub(super) fn has_labels(&self, wanted: &BTreeMap<String, String>) -> bool {
        has_labels(&self.labels, wanted)
    }
}

/// Whether two definitions are one. Registrations are interned, so that as a rule the first look tells.
pub(super) fn is_same(a: &Arc<ToolSpec>, b: &Arc<ToolSpec>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

/// Whether all these labels are there.
pub(super) fn has_labels(
    labels: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
) -> bool {
    wanted
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}

//! Threads: lines of runs. A run is to a thread as a commit is to a branch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    id::{RunId, ThreadId},
    time::Timestamp,
};

/// What a run goes on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Continuation {
    /// A thread, at its end.
    Thread {
        /// Which.
        id: ThreadId,
        /// The head that the caller has seen; another one is refused.
        expected_head: Option<RunId>,
        /// What is done when a run of the thread has not ended.
        busy: BusyPolicy,
    },
    /// The end of a run, in a new thread.
    Run(RunId),
    /// The middle of a run, in a new thread: rounded down to where every call has its result.
    Fork {
        /// Which run.
        run_id: RunId,
        /// The last event of it that counts.
        sequence: u64,
    },
}

impl Continuation {
    /// How much of the run before it counts; `None`: all.
    pub const fn until(&self) -> Option<u64> {
        match self {
            Self::Thread { .. } | Self::Run(_) => None,
            Self::Fork { sequence, .. } => Some(*sequence),
        }
    }

    /// Whether the runs of the thread that have not ended are to be cancelled.
    pub const fn cancels_active(&self) -> bool {
        match self {
            Self::Thread { busy, .. } => matches!(busy, BusyPolicy::CancelActive),
            Self::Run(_) | Self::Fork { .. } => false,
        }
    }
}

/// What is done with a run whose thread has one that has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BusyPolicy {
    /// It is refused.
    #[default]
    Reject,
    /// It waits until those before it have ended.
    Enqueue,
    /// Those before it are cancelled.
    CancelActive,
}

/// A thread: the newest run of a line, and what comes behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its id.
    pub id: ThreadId,
    /// The run that ended last.
    pub head: Option<RunId>,
    /// The runs that have not ended, in their order: the first works, the others wait.
    pub line: Vec<RunId>,
    /// When it was made.
    pub create_time: Timestamp,
    /// When its head moved last, or it was made.
    pub update_time: Timestamp,
    /// Where it stands among the tenant's threads: the one that moved last has the highest.
    pub moved: u64,
}

impl Thread {
    /// The run that works.
    pub fn active(&self) -> Option<RunId> {
        self.line.first().copied()
    }

    /// The run that stands for it in lists: the newest.
    pub fn newest(&self) -> Option<RunId> {
        self.line.last().copied().or(self.head)
    }
}

/// Which threads. All set conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadFilter {
    /// With all these labels on their newest run.
    pub labels: BTreeMap<String, String>,
}

//! What finds the runs of a tenant, and what says which of them are to be dropped.

use std::{
    collections::{BTreeMap, HashMap, VecDeque, hash_map},
    time::Duration,
};

use super::threads::Threads;
use crate::domain::{
    id::{CallId, RequestId, RunId},
    time::Timestamp,
};

/// How long a request id is remembered.
pub(super) const REQUESTS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Most things that one operation clears away: more than it adds, so that what is over is gone in the
/// end and no single call pays for it.
pub(super) const CLEARED_AT_ONCE: usize = 4;

/// What finds runs, and what says which are to be dropped.
#[derive(Default)]
pub(super) struct Index {
    pub(super) requests: HashMap<RequestId, Request>,
    pub(super) requests_by_age: VecDeque<(Timestamp, RequestId)>,
    pub(super) calls: HashMap<CallId, RunId>,
    /// Which root's log has a subagent's run.
    pub(super) children: BTreeMap<RunId, RunId>,
    pub(super) threads: Threads,
}

pub(super) struct Request {
    pub(super) digest: [u8; 32],
    pub(super) run_id: RunId,
    pub(super) time: Timestamp,
}

impl Index {
    pub(super) fn forget_request_of(&mut self, request_id: &RequestId, run_id: RunId) {
        if let hash_map::Entry::Occupied(request) = self.requests.entry(request_id.clone())
            && request.get().run_id == run_id
        {
            request.remove();
        }
    }

    pub(super) fn forget_requests(&mut self, now: Timestamp) {
        for _ in 0..CLEARED_AT_ONCE {
            let oldest = self.requests_by_age.front();
            if oldest.is_none_or(|(time, _)| now.since(*time) < REQUESTS_KEPT) {
                return;
            }
            let Some((_, request_id)) = self.requests_by_age.pop_front() else {
                return;
            };
            // The id may have been used again since.
            if let hash_map::Entry::Occupied(request) = self.requests.entry(request_id)
                && now.since(request.get().time) >= REQUESTS_KEPT
            {
                request.remove();
            }
        }
    }
}

//! What stands in the rows: the domain's own values as JSON.
//!
//! Every row with a body says in which encoding it is. Encoding 1 is the JSON that the types of
//! [`crate::domain`] make of themselves: UTF-8, enum variants by name, ids and models as text, bytes as
//! base64, durations as seconds and nanoseconds. It grows by fields with a default and by variants, so
//! that every later version reads what an earlier one wrote; `tests/golden/store` holds such rows. A
//! version that meets a variant it does not know refuses the row, and does not guess.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};

use super::failure::unreadable;
use crate::{
    domain::{
        event::{Event, Fact},
        id::{CallId, RequestId, RunId},
        principal::Tenant,
        run::{Run, RunSpec},
        thread::Continuation,
    },
    run::port::{self, StoreError},
};

/// How bodies are written.
pub(super) const ENCODING: i64 = 1;

/// A value's body.
pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|_error| unreadable("a value to be stored"))
}

/// Reads a body.
pub(super) fn decode<T: DeserializeOwned>(encoding: i64, body: &[u8]) -> Result<T, StoreError> {
    if encoding != ENCODING {
        return Err(unreadable("a row of a newer version"));
    }
    serde_json::from_slice(body).map_err(|error| {
        tracing::error!(%error, "a stored row does not read");
        unreadable("a stored row")
    })
}

/// An event on its way into the database.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) sequence: u64,
    pub(super) body: Vec<u8>,
    /// Whether it says how the run stands, and if so, whether the run has ended.
    pub(super) state: Option<Ended>,
    /// The run of a subagent that it says the state of.
    pub(super) child: Option<RunId>,
}

/// Whether a state is a run's last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Yes,
    No,
}

impl Row {
    fn encode(event: &Event) -> Result<Self, StoreError> {
        let state = event.root().map(|run| {
            if run.state.is_terminal() {
                Ended::Yes
            } else {
                Ended::No
            }
        });
        Ok(Self {
            sequence: event.sequence,
            body: encode(event)?,
            state,
            child: event.child().map(|run| run.id),
        })
    }
}

/// Events to be appended, encoded where they come from: the writer has other things to do.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) tenant: Tenant,
    pub(super) run_id: RunId,
    pub(super) expected: u64,
    pub(super) rows: Vec<Row>,
    /// Calls that the events bring into the world.
    pub(super) calls: Vec<CallId>,
}

impl Append {
    pub(super) fn encode(
        tenant: Tenant,
        run_id: RunId,
        expected: u64,
        events: &[Arc<Event>],
    ) -> Result<Self, StoreError> {
        let rows = events.iter().map(|event| Row::encode(event));
        Ok(Self {
            tenant,
            run_id,
            expected,
            rows: rows.collect::<Result<_, _>>()?,
            calls: events
                .iter()
                .flat_map(|event| event.new_calls().cloned())
                .collect(),
        })
    }
}

/// A run to be created.
#[derive(Debug)]
pub(super) struct NewRun {
    pub(super) tenant: Tenant,
    pub(super) run_id: RunId,
    pub(super) spec: Vec<u8>,
    pub(super) run: Arc<Run>,
    /// Its first state, unless it depends on what it goes on from.
    pub(super) first: Option<Row>,
    pub(super) continuation: Option<Continuation>,
    pub(super) most_queued: usize,
    pub(super) request: Option<(RequestId, [u8; 32])>,
}

impl NewRun {
    pub(super) fn encode(new: port::NewRun) -> Result<Self, StoreError> {
        let run = new.run.seen_at(1);
        let continuation = new.spec.continuation.clone();
        let first = match &continuation {
            Some(_) => None,
            None => Some(Self::first(&run)?),
        };
        Ok(Self {
            tenant: run.tenant.clone(),
            run_id: run.id,
            spec: encode::<RunSpec>(&new.spec)?,
            run,
            first,
            continuation,
            most_queued: new.most_queued,
            request: new.request,
        })
    }

    /// The first event of a run.
    pub(super) fn first(run: &Arc<Run>) -> Result<Row, StoreError> {
        Row::encode(&Event {
            sequence: 1,
            run_id: None,
            time: run.create_time,
            fact: Fact::RunUpdated(Arc::clone(run)),
        })
    }
}

//! The connections that read, and what they ask.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension as _, Row, params, types::Value};
use tokio::{sync::Semaphore, task};

use super::{
    OpenError, ended,
    failure::{unavailable, unreadable},
    home::Home,
    record::decode,
    schema::{self, number, unsigned},
};
use crate::{
    domain::{
        event::{Event, Fact},
        id::{CallId, RunId},
        principal::Tenant,
        run::{Run, RunSpec},
    },
    run::port::{FeedEntry, RunFilter, StoreError, StoreFuture},
};

/// Runs looked at before it is asked again whether there is more.
const PAGE: usize = 256;

/// Above every id.
const BEYOND: [u8; 17] = [0xff; 17];

/// A few connections that take turns.
pub(super) struct Readers {
    idle: Arc<Idle>,
    turns: Arc<Semaphore>,
}

type Idle = Mutex<Vec<Connection>>;

/// A connection that goes back when it is dropped, also by a panic.
struct Lent {
    idle: Arc<Idle>,
    connection: Option<Connection>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.extend(self.connection.take());
    }
}

impl Readers {
    pub(super) fn open(home: &Home, count: usize) -> Result<Self, OpenError> {
        let count = count.max(1);
        let connections = (0..count).map(|_| home.connect_reader());
        Ok(Self {
            idle: Arc::new(Mutex::new(connections.collect::<Result<_, _>>()?)),
            turns: Arc::new(Semaphore::new(count)),
        })
    }

    /// Reads on a thread that may wait for the disk, when it is one's turn.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Reading<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<'static, T> {
        let (idle, turns) = (Arc::clone(&self.idle), Arc::clone(&self.turns));
        Box::pin(async move {
            let turn = turns.acquire_owned().await.map_err(|_closed| ended())?;
            let answer = task::spawn_blocking(move || {
                let connection = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let lent = Lent { idle, connection };
                let answer = match &lent.connection {
                    Some(connection) => question(&Reading(connection)),
                    None => Err(ended()),
                };
                // The connection first: whoever has the next turn finds it.
                drop(lent);
                drop(turn);
                answer
            });
            answer.await.unwrap_or_else(|_panicked| Err(ended()))
        })
    }
}

/// A connection that reads.
pub(super) struct Reading<'a>(pub(super) &'a Connection);

impl Reading<'_> {
    pub(super) fn tenant(&self, tenant: &Tenant) -> Result<Option<i64>, StoreError> {
        let found = self
            .0
            .prepare_cached("SELECT key FROM tenant WHERE name = ?1")
            .and_then(|mut statement| {
                statement
                    .query_row([tenant.as_str()], |row| row.get(0))
                    .optional()
            });
        found.map_err(|error| unavailable(&error))
    }

    fn run_key(&self, tenant: &Tenant, run_id: RunId) -> Result<i64, StoreError> {
        let found = self
            .0
            .prepare_cached(
                "SELECT run.key FROM run JOIN tenant ON tenant.key = run.tenant
                 WHERE tenant.name = ?1 AND run.id = ?2",
            )
            .and_then(|mut statement| {
                statement
                    .query_row(params![tenant.as_str(), run_id.to_bytes()], |row| {
                        row.get(0)
                    })
                    .optional()
            });
        found
            .map_err(|error| unavailable(&error))?
            .ok_or(StoreError::NotFound)
    }

    pub(super) fn events(
        &self,
        tenant: &Tenant,
        run_id: RunId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, StoreError> {
        let key = self.run_key(tenant, run_id)?;
        self.all(
            "SELECT encoding, body FROM event WHERE run = ?1 AND sequence > ?2
             ORDER BY sequence LIMIT ?3",
            params![key, number(after), number(limit as u64)],
            |row| Ok(body(row, 0)),
        )?
        .into_iter()
        .map(|stored| stored?.read::<Event>().map(Arc::new))
        .collect()
    }

    pub(super) fn run(
        &self,
        tenant: &Tenant,
        run_id: RunId,
    ) -> Result<(Arc<Run>, Arc<RunSpec>), StoreError> {
        let key = self.run_key(tenant, run_id)?;
        let found = self.all(
            "SELECT event.encoding, event.body, spec.encoding, spec.body,
                    (SELECT max(sequence) FROM event WHERE run = run.key)
             FROM run JOIN event ON event.position = run.newest JOIN spec ON spec.run = run.key
             WHERE run.key = ?1",
            [key],
            |row| Ok((body(row, 0), body(row, 2), row.get::<_, i64>(4)?)),
        )?;
        let (newest, spec, head) = found.into_iter().next().ok_or(StoreError::NotFound)?;
        let run = newest?.run(unsigned(head))?;
        Ok((run, Arc::new(spec?.read::<RunSpec>()?)))
    }

    /// The newest state of a subagent's run.
    pub(super) fn child(&self, tenant: &Tenant, run_id: RunId) -> Result<Arc<Run>, StoreError> {
        let found = self.all(
            "SELECT event.encoding, event.body,
                    (SELECT max(sequence) FROM event WHERE run = child.run)
             FROM child JOIN tenant ON tenant.key = child.tenant
                 JOIN event ON event.position = child.newest
             WHERE tenant.name = ?1 AND child.id = ?2",
            params![tenant.as_str(), run_id.to_bytes()],
            |row| Ok((body(row, 0), row.get::<_, i64>(2)?)),
        )?;
        let (newest, head) = found.into_iter().next().ok_or(StoreError::NotFound)?;
        newest?.run(unsigned(head))
    }

    pub(super) fn list(
        &self,
        tenant: &Tenant,
        filter: &RunFilter,
        before: Option<RunId>,
        limit: usize,
    ) -> Result<Vec<Arc<Run>>, StoreError> {
        let Some(tenant) = self.tenant(tenant)? else {
            return Ok(Vec::new());
        };
        let thread = match filter.thread_id {
            None => None,
            Some(thread_id) => match self.thread_key(tenant, thread_id)? {
                None => return Ok(Vec::new()),
                found => found,
            },
        };
        let live_only =
            !filter.states.is_empty() && !filter.states.iter().any(|state| state.is_terminal());
        let sql = if thread.is_some() {
            "SELECT run.id, event.encoding, event.body,
                    (SELECT max(sequence) FROM event WHERE run = run.key)
             FROM run INDEXED BY run_of_thread JOIN event ON event.position = run.newest
             WHERE run.thread = ?4 AND run.tenant = ?1 AND run.id < ?2
             ORDER BY run.id DESC LIMIT ?3"
        } else if filter.include_subagents {
            "WITH any_run (id, newest, run) AS (
                 SELECT id, newest, key FROM run WHERE tenant = ?1 AND id < ?2
                 UNION ALL SELECT id, newest, run FROM child WHERE tenant = ?1 AND id < ?2
             )
             SELECT any_run.id, event.encoding, event.body,
                    (SELECT max(sequence) FROM event WHERE run = any_run.run)
             FROM any_run JOIN event ON event.position = any_run.newest
             ORDER BY any_run.id DESC LIMIT ?3"
        } else if live_only {
            "SELECT run.id, event.encoding, event.body,
                    (SELECT max(sequence) FROM event WHERE run = run.key)
             FROM run INDEXED BY run_that_lives JOIN event ON event.position = run.newest
             WHERE run.finished IS NULL AND run.tenant = ?1 AND run.id < ?2
             ORDER BY run.id DESC LIMIT ?3"
        } else {
            "SELECT run.id, event.encoding, event.body,
                    (SELECT max(sequence) FROM event WHERE run = run.key)
             FROM run JOIN event ON event.position = run.newest
             WHERE run.tenant = ?1 AND run.id < ?2 ORDER BY run.id DESC LIMIT ?3"
        };
        let mut found = Vec::new();
        let mut end = before.map_or(BEYOND.to_vec(), |id| id.to_bytes().to_vec());
        loop {
            let page = limit.saturating_sub(found.len()).clamp(1, PAGE);
            let page = if *filter == RunFilter::default() {
                page
            } else {
                PAGE
            };
            let values = rusqlite::params_from_iter(
                [
                    Value::from(tenant),
                    end.clone().into(),
                    number(page as u64).into(),
                ]
                .into_iter()
                .chain(thread.map(Value::from)),
            );
            let rows = self.all(sql, values, |row| {
                let id: [u8; 16] = row.get(0)?;
                Ok((id, body(row, 1), row.get::<_, i64>(3)?))
            })?;
            let Some((last, _, _)) = rows.last() else {
                return Ok(found);
            };
            end = last.to_vec();
            for (_, newest, head) in rows {
                if found.len() >= limit {
                    return Ok(found);
                }
                let run = newest?.run(unsigned(head))?;
                if filter.matches(&run) {
                    found.push(run);
                }
            }
        }
    }

    pub(super) fn feed(
        &self,
        tenant: &Tenant,
        after: u64,
        limit: usize,
    ) -> Result<Vec<FeedEntry>, StoreError> {
        let Some(tenant) = self.tenant(tenant)? else {
            return Ok(Vec::new());
        };
        self.all(
            "SELECT event.position, run.id, event.encoding, event.body
             FROM event INDEXED BY event_of_tenant JOIN run ON run.key = event.run
             WHERE event.tenant = ?1 AND event.position > ?2 ORDER BY event.position LIMIT ?3",
            params![tenant, number(after), number(limit as u64)],
            |row| {
                let (position, id): (i64, [u8; 16]) = (row.get(0)?, row.get(1)?);
                Ok((unsigned(position), RunId::from_bytes(id), body(row, 2)))
            },
        )?
        .into_iter()
        .map(|(position, run_id, stored)| {
            Ok(FeedEntry {
                position,
                run_id,
                event: Arc::new(stored?.read()?),
            })
        })
        .collect()
    }

    pub(super) fn run_of_call(
        &self,
        tenant: &Tenant,
        call_id: &CallId,
    ) -> Result<Option<RunId>, StoreError> {
        let found = self.all(
            "SELECT run.id FROM call JOIN tenant ON tenant.key = call.tenant
                 JOIN run ON run.key = call.run
             WHERE tenant.name = ?1 AND call.id = ?2",
            params![tenant.as_str(), call_id.as_str()],
            |row| row.get(0),
        )?;
        Ok(found.into_iter().next().map(RunId::from_bytes))
    }

    pub(super) fn position(&self) -> Result<u64, StoreError> {
        schema::position(self.0).map_err(|error| unavailable(&error))
    }

    /// All rows of a question.
    pub(super) fn all<T>(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = || {
            let mut statement = self.0.prepare_cached(sql)?;
            let rows = statement.query_map(values, read)?;
            rows.collect::<Result<Vec<T>, rusqlite::Error>>()
        };
        rows().map_err(|error| {
            tracing::error!(%error, "the store does not read");
            unavailable(&error)
        })
    }
}

/// A body as it is stored.
pub(super) struct Stored {
    encoding: i64,
    body: Vec<u8>,
}

impl Stored {
    pub(super) fn read<T: serde::de::DeserializeOwned>(&self) -> Result<T, StoreError> {
        decode(self.encoding, &self.body)
    }

    /// The run in an event that says how it stands, seen when `head` is the newest event of its log.
    pub(super) fn run(&self, head: u64) -> Result<Arc<Run>, StoreError> {
        let event: Event = self.read()?;
        match event.fact {
            Fact::RunUpdated(run) => Ok(run.seen_at(head)),
            Fact::MessageCompleted(_)
            | Fact::MessageDiscarded { .. }
            | Fact::ToolCallUpdated(_)
            | Fact::InputAnswered(_)
            | Fact::PolicyDecided(_) => Err(unreadable("the state of a run")),
        }
    }
}

/// A body in two columns, from this one on.
pub(super) fn body(row: &Row<'_>, column: usize) -> Result<Stored, StoreError> {
    let read = || -> Result<Stored, rusqlite::Error> {
        Ok(Stored {
            encoding: row.get(column)?,
            body: row.get(column + 1)?,
        })
    };
    read().map_err(|_error| unreadable("a stored row"))
}

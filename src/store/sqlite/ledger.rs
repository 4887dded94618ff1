//! What the writer does to the tables, and what it knows of them by heart.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    OpenError, Settings,
    record::{Append, ENCODING, Ended, NewRun, Row},
    retention::{Finished, REQUESTS_KEPT, Shelf},
    schema::{self, number, unsigned},
};
use crate::{
    domain::{id::RunId, principal::Tenant, run::Run, time::Timestamp},
    run::{
        fail::{self, Point},
        port::{Claimed, StoreError},
    },
};

/// What a statement gives, or why the transaction is void.
pub(super) type Sql<T> = Result<T, rusqlite::Error>;

/// The writing connection. What it knows by heart is true while its transactions hold; after one that
/// does not, it forgets all of it and looks again.
pub(super) struct Ledger {
    pub(super) connection: Connection,
    pub(super) settings: Settings,
    pub(super) now: Timestamp,
    pub(super) shelves: HashMap<Tenant, Shelf>,
    /// Runs that live and were written to.
    runs: HashMap<RunId, Known>,
    /// The newest position that was given out.
    pub(super) position: u64,
}

/// A run that lives.
#[derive(Clone, Copy, Debug)]
struct Known {
    key: i64,
    tenant: i64,
    /// Its thread.
    thread: i64,
    /// The newest event.
    head: u64,
    /// What its rows take.
    bytes: usize,
    ended: bool,
}

/// The outcome of a creation.
#[derive(Debug)]
pub(super) enum Created {
    New(Arc<Run>),
    /// The same request has created this run before.
    Known {
        tenant: Tenant,
        run_id: RunId,
    },
}

impl Ledger {
    pub(super) fn open(connection: Connection, settings: Settings) -> Result<Self, OpenError> {
        let position = schema::position(&connection)?;
        Ok(Self {
            connection,
            settings,
            now: Timestamp::default(),
            shelves: HashMap::new(),
            runs: HashMap::new(),
            position,
        })
    }

    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// Does the work as one transaction, which is on the disk when this returns.
    pub(super) fn transact(
        &mut self,
        now: Timestamp,
        work: impl FnOnce(&mut Self) -> Sql<()>,
    ) -> Sql<()> {
        self.now = now;
        let position = self.position;
        let done = self.connection.execute_batch("BEGIN IMMEDIATE");
        let done = done.and_then(|()| work(self));
        let done = done.and_then(|()| {
            fail::pass(Point::InTransaction);
            self.connection.execute_batch("COMMIT")
        });
        if done.is_err() {
            // Nobody has seen those that were given out.
            self.position = position;
            self.shelves.clear();
            self.runs.clear();
            if !self.connection.is_autocommit() {
                // When even this fails, so will the next beginning.
                let _failed = self.connection.execute_batch("ROLLBACK");
            }
        }
        done
    }

    // --- what a job asks for ---

    pub(super) fn create(&mut self, new: &NewRun) -> Sql<Result<Created, StoreError>> {
        let tenant = self.shelf(&new.tenant)?.key;
        self.forget_requests()?;
        if let Some((request_id, digest)) = &new.request
            && let Some((known, run_id)) = self.request(tenant, request_id.as_str())?
        {
            if known != *digest {
                return Ok(Err(StoreError::RequestIdReused));
            }
            let tenant = new.tenant.clone();
            return Ok(Ok(Created::Known { tenant, run_id }));
        }
        let place = match self.place(tenant, new)? {
            Ok(place) => place,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let first = match &new.first {
            Some(_) => None,
            // Nothing was written as yet.
            None => match NewRun::first(&place.run) {
                Ok(first) => Some(first),
                Err(error) => return Ok(Err(error)),
            },
        };
        if let Some((request_id, digest)) = &new.request {
            self.execute(
                "INSERT OR REPLACE INTO request VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    tenant,
                    request_id.as_str(),
                    digest,
                    new.run_id.to_bytes(),
                    number(self.now.as_millis())
                ],
            )?;
        }
        let thread = self.enter(tenant, &place)?;
        if let Some(first) = new.first.as_ref().or(first.as_ref()) {
            self.insert_run((tenant, thread), new, first)?;
        }
        self.drop_finished(&new.tenant)?;
        Ok(Ok(Created::New(place.run)))
    }

    fn insert_run(&mut self, (tenant, thread): (i64, i64), new: &NewRun, first: &Row) -> Sql<()> {
        let request = new.request.as_ref().map(|(id, _)| id.as_str());
        self.execute(
            "INSERT INTO run (tenant, id, newest, bytes, request, thread)
             VALUES (?1, ?2, 0, 0, ?3, ?4)",
            params![tenant, new.run_id.to_bytes(), request, thread],
        )?;
        let key = self.connection.last_insert_rowid();
        self.execute(
            "INSERT INTO spec VALUES (?1, ?2, ?3)",
            params![key, ENCODING, new.spec],
        )?;
        let mut known = Known {
            key,
            tenant,
            thread,
            head: 0,
            bytes: new.spec.len(),
            ended: false,
        };
        self.add(&mut known, first)?;
        self.keep(new.run_id, known);
        Ok(())
    }

    pub(super) fn append(&mut self, append: &Append) -> Sql<Result<(), StoreError>> {
        let shelf = self.shelf(&append.tenant)?.key;
        let Some(mut known) = self.known(shelf, append.run_id)? else {
            return Ok(Err(StoreError::NotFound));
        };
        if known.head != append.expected {
            let (expected, found) = (append.expected, known.head);
            return Ok(Err(StoreError::Conflict { expected, found }));
        }
        let had_ended = known.ended;
        for row in &append.rows {
            self.add(&mut known, row)?;
        }
        for call_id in &append.calls {
            self.execute(
                "INSERT OR REPLACE INTO call VALUES (?1, ?2, ?3)",
                params![known.tenant, call_id.as_str(), known.key],
            )?;
        }
        if known.ended && !had_ended {
            self.finish(append, known)?;
        }
        self.keep(append.run_id, known);
        Ok(Ok(()))
    }

    /// Adds an event to a run's log and to the feed.
    fn add(&mut self, known: &mut Known, row: &Row) -> Sql<()> {
        self.position += 1;
        let position = number(self.position);
        self.execute(
            "INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                position,
                known.tenant,
                known.key,
                number(row.sequence),
                ENCODING,
                row.body
            ],
        )?;
        known.head = row.sequence;
        known.bytes += row.body.len();
        if let Some(ended) = row.state {
            known.ended |= ended == Ended::Yes;
            self.execute(
                "UPDATE run SET newest = ?2 WHERE key = ?1",
                params![known.key, position],
            )?;
        }
        if let Some(child) = row.child {
            self.execute(
                "INSERT OR REPLACE INTO child VALUES (?1, ?2, ?3, ?4)",
                params![known.tenant, child.to_bytes(), known.key, position],
            )?;
        }
        Ok(())
    }

    fn finish(&mut self, append: &Append, known: Known) -> Sql<()> {
        self.execute(
            "UPDATE run SET finished = ?2, bytes = ?3 WHERE key = ?1",
            params![
                known.key,
                number(self.now.as_millis()),
                number(known.bytes as u64)
            ],
        )?;
        self.leave(known.thread, append.run_id)?;
        self.shelf(&append.tenant)?.add(Finished {
            count: 1,
            bytes: known.bytes,
        });
        self.drop_finished(&append.tenant)
    }

    /// The next runs that live, each claimed once more.
    pub(super) fn claim(&mut self, after: Option<RunId>, limit: usize) -> Sql<Vec<Claimed>> {
        let after = after.map(RunId::to_bytes);
        let after: &[u8] = after.as_ref().map_or(&[], |bytes| bytes.as_slice());
        let mut statement = self.connection.prepare_cached(
            "SELECT run.key, run.id, tenant.name, claims, claimed_at,
                    (SELECT max(sequence) FROM event WHERE run = run.key)
             FROM run INDEXED BY run_that_lives JOIN tenant ON tenant.key = run.tenant
             WHERE finished IS NULL AND run.id > ?1 ORDER BY run.id LIMIT ?2",
        )?;
        let found = statement.query_map(params![after, number(limit as u64)], |row| {
            let name: String = row.get(2)?;
            let (claims, claimed_at): (u32, i64) = (row.get(3)?, row.get(4)?);
            let head: i64 = row.get(5)?;
            let claims = if claimed_at == head { claims } else { 0 };
            let key: i64 = row.get(0)?;
            Ok((key, RunId::from_bytes(row.get(1)?), name, claims + 1, head))
        })?;
        let found: Vec<_> = found.collect::<Sql<_>>()?;
        drop(statement);
        let mut claimed = Vec::with_capacity(found.len());
        for (key, run_id, name, claims, head) in found {
            self.execute(
                "UPDATE run SET claims = ?2, claimed_at = ?3 WHERE key = ?1",
                params![key, claims, head],
            )?;
            // A name that is none can only have been written by somebody else.
            if let Some(tenant) = Tenant::parse(&name) {
                claimed.push(Claimed {
                    tenant,
                    run_id,
                    claims,
                });
            }
        }
        Ok(claimed)
    }

    // --- what is known by heart ---

    pub(super) fn execute(&self, sql: &str, values: impl rusqlite::Params) -> Sql<usize> {
        self.connection.prepare_cached(sql)?.execute(values)
    }

    fn keep(&mut self, run_id: RunId, known: Known) {
        if known.ended {
            self.runs.remove(&run_id);
        } else {
            self.runs.insert(run_id, known);
        }
    }

    fn known(&self, tenant: i64, run_id: RunId) -> Sql<Option<Known>> {
        if let Some(known) = self.runs.get(&run_id) {
            return Ok(Some(*known).filter(|known| known.tenant == tenant));
        }
        let mut statement = self.connection.prepare_cached(
            "SELECT run.key, run.finished IS NOT NULL, max(event.sequence),
                    sum(length(event.body)), (SELECT length(body) FROM spec WHERE run = run.key),
                    run.thread
             FROM run JOIN event ON event.run = run.key
             WHERE run.tenant = ?1 AND run.id = ?2 GROUP BY run.key",
        )?;
        statement
            .query_row(params![tenant, run_id.to_bytes()], |row| {
                let (events, spec): (i64, i64) = (row.get(3)?, row.get(4)?);
                let head: i64 = row.get(2)?;
                Ok(Known {
                    key: row.get(0)?,
                    tenant,
                    thread: row.get(5)?,
                    head: unsigned(head),
                    bytes: usize::try_from(events + spec).unwrap_or(0),
                    ended: row.get(1)?,
                })
            })
            .optional()
    }

    fn request(&self, tenant: i64, request_id: &str) -> Sql<Option<([u8; 32], RunId)>> {
        let oldest = self.requests_kept_since();
        self.connection
            .prepare_cached(
                "SELECT digest, run FROM request WHERE tenant = ?1 AND id = ?2 AND time > ?3",
            )?
            .query_row(params![tenant, request_id, oldest], |row| {
                Ok((row.get(0)?, RunId::from_bytes(row.get(1)?)))
            })
            .optional()
    }

    /// Requests of this time and before are forgotten.
    pub(super) fn requests_kept_since(&self) -> i64 {
        let kept = u64::try_from(REQUESTS_KEPT.as_millis()).unwrap_or(u64::MAX);
        self.now.as_millis().checked_sub(kept).map_or(-1, number)
    }
}

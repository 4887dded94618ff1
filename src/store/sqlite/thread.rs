//! Threads in the tables: who may join one, what moves its head, how they are found and deleted.

use std::sync::Arc;

use rusqlite::{OptionalExtension as _, params};

use super::{
    ledger::{Ledger, Sql},
    reader::{Reading, Stored, body},
    record::NewRun,
    schema::{number, unsigned},
};
use crate::{
    domain::{
        id::{RunId, ThreadId},
        principal::Tenant,
        run::Run,
        thread::{Continuation, Thread, ThreadFilter},
        time::Timestamp,
    },
    run::{
        port::{StoreError, has_labels},
        thread::{Joined, Standing, Wish, join, placed},
    },
};

/// Above every position.
const BEYOND: u64 = u64::MAX;

/// Threads looked at before it is asked again whether there is more.
const PAGE: usize = 256;

/// The place of a new run.
pub(super) struct Place {
    /// The run at its place.
    pub(super) run: Arc<Run>,
    within: Within,
}

/// The thread of a new run.
enum Within {
    /// One of its own.
    Own,
    /// One of its own, which leaves another in the middle.
    Fork { family: i64, origin: i64 },
    /// One that is there.
    Known { key: i64, family: i64 },
}

/// A thread as a new run finds it.
struct Row {
    key: i64,
    family: i64,
    head: Option<RunId>,
}

impl Ledger {
    /// Where a new run goes. Writes nothing.
    pub(super) fn place(&self, tenant: i64, new: &NewRun) -> Sql<Result<Place, StoreError>> {
        let (before, ended) = match &new.continuation {
            None => {
                return Ok(Ok(Place {
                    run: Arc::clone(&new.run),
                    within: Within::Own,
                }));
            }
            Some(Continuation::Thread {
                id,
                expected_head,
                busy,
            }) => {
                let wish = Wish {
                    thread_id: *id,
                    expected_head: *expected_head,
                    busy: *busy,
                    most_queued: new.most_queued,
                };
                return self.join(tenant, new, &wish);
            }
            Some(Continuation::Run(run_id)) => (*run_id, true),
            Some(Continuation::Fork { run_id, .. }) => (*run_id, false),
        };
        let found: Option<(bool, i64, i64)> = self
            .connection
            .prepare_cached(
                "SELECT run.finished IS NOT NULL, thread.key, thread.family
                 FROM run JOIN thread ON thread.key = run.thread
                 WHERE run.tenant = ?1 AND run.id = ?2",
            )?
            .query_row(params![tenant, before.to_bytes()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        Ok(match found {
            None => Err(StoreError::NotFound),
            Some((false, ..)) if ended => Err(StoreError::ThreadBusy { active: before }),
            Some((_, origin, family)) => {
                let joined = Joined {
                    previous: Some(before),
                    waits: false,
                };
                Ok(Place {
                    run: placed(&new.run, None, joined),
                    within: Within::Fork { family, origin },
                })
            }
        })
    }

    fn join(&self, tenant: i64, new: &NewRun, wish: &Wish) -> Sql<Result<Place, StoreError>> {
        let Some(thread) = self.thread_row(tenant, wish.thread_id)? else {
            return Ok(Err(StoreError::ThreadNotFound));
        };
        let standing = Standing {
            head: thread.head,
            line: Reading(&self.connection).line(thread.key)?,
        };
        Ok(join(&standing, wish).map(|joined| Place {
            run: placed(&new.run, Some(wish.thread_id), joined),
            within: Within::Known {
                key: thread.key,
                family: thread.family,
            },
        }))
    }

    /// Writes that a run has begun in its thread. Gives the thread's key.
    pub(super) fn enter(&self, tenant: i64, place: &Place) -> Sql<i64> {
        let (key, family) = match place.within {
            Within::Known { key, family } => (key, family),
            Within::Fork { family, origin } => {
                let key = self.begin_thread(tenant, &place.run, Some((family, origin)))?;
                (key, family)
            }
            Within::Own => return self.begin_thread(tenant, &place.run, None),
        };
        self.execute("UPDATE thread SET busy = busy + 1 WHERE key = ?1", [family])?;
        Ok(key)
    }

    fn begin_thread(&self, tenant: i64, run: &Run, forks: Option<(i64, i64)>) -> Sql<i64> {
        let (family, origin) = forks.unzip();
        let busy = forks.is_none().then_some(1);
        let now = number(self.now.as_millis());
        // The run's first event comes next.
        let moved = number(self.position + 1);
        self.execute(
            "INSERT INTO thread (tenant, id, family, origin, created, updated, moved, busy)
             VALUES (?1, ?2, coalesce(?3, 0), ?4, ?5, ?5, ?6, ?7)",
            params![
                tenant,
                run.thread_id().to_bytes(),
                family,
                origin,
                now,
                moved,
                busy
            ],
        )?;
        let key = self.connection.last_insert_rowid();
        if forks.is_none() {
            self.execute("UPDATE thread SET family = key WHERE key = ?1", [key])?;
        }
        Ok(key)
    }

    /// Writes that a run of a thread has ended with the newest event.
    pub(super) fn leave(&self, thread: i64, run_id: RunId) -> Sql<()> {
        let now = number(self.now.as_millis());
        self.execute(
            "UPDATE thread SET head = ?2, updated = ?3, moved = ?4 WHERE key = ?1",
            params![thread, run_id.to_bytes(), now, number(self.position)],
        )?;
        self.execute(
            "UPDATE thread SET busy = busy - 1, rested = ?2
             WHERE key = (SELECT family FROM thread WHERE key = ?1)",
            params![thread, now],
        )?;
        Ok(())
    }

    /// Deletes a thread with its runs.
    pub(super) fn delete_thread(
        &mut self,
        tenant: &Tenant,
        thread_id: ThreadId,
    ) -> Sql<Result<(), StoreError>> {
        let key = self.shelf(tenant)?.key;
        let Some(thread) = self.thread_row(key, thread_id)? else {
            return Ok(Err(StoreError::ThreadNotFound));
        };
        if let Some(active) = Reading(&self.connection).line(thread.key)?.first() {
            return Ok(Err(StoreError::ThreadBusy { active: *active }));
        }
        let fork: Option<[u8; 16]> = self
            .connection
            .prepare_cached("SELECT id FROM thread WHERE family = ?1 AND origin = ?2 LIMIT 1")?
            .query_row([thread.family, thread.key], |row| row.get(0))
            .optional()?;
        if let Some(fork) = fork.map(ThreadId::from_bytes) {
            return Ok(Err(StoreError::ThreadForked { fork }));
        }
        let gone = self.drop_thread(key, thread.key)?;
        self.shelf(tenant)?.take(gone);
        self.keep_position()?;
        Ok(Ok(()))
    }

    fn thread_row(&self, tenant: i64, thread_id: ThreadId) -> Sql<Option<Row>> {
        self.connection
            .prepare_cached("SELECT key, family, head FROM thread WHERE tenant = ?1 AND id = ?2")?
            .query_row(params![tenant, thread_id.to_bytes()], |row| {
                let head: Option<[u8; 16]> = row.get(2)?;
                Ok(Row {
                    key: row.get(0)?,
                    family: row.get(1)?,
                    head: head.map(RunId::from_bytes),
                })
            })
            .optional()
    }
}

const COLUMNS: &str = "SELECT key, id, head, created, updated, moved FROM thread";

impl Reading<'_> {
    /// A thread.
    pub(super) fn thread(&self, tenant: &Tenant, id: ThreadId) -> Result<Thread, StoreError> {
        let tenant = self.tenant(tenant)?.ok_or(StoreError::ThreadNotFound)?;
        let found = self.all(
            &format!("{COLUMNS} WHERE tenant = ?1 AND id = ?2"),
            params![tenant, id.to_bytes()],
            read_thread,
        )?;
        let found = found.into_iter().next();
        let (key, mut thread) = found.ok_or(StoreError::ThreadNotFound)?;
        thread.line = self.in_line(key)?;
        Ok(thread)
    }

    /// Threads that match, the one that moved last first.
    pub(super) fn threads(
        &self,
        tenant: &Tenant,
        filter: &ThreadFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Thread>, StoreError> {
        let Some(tenant) = self.tenant(tenant)? else {
            return Ok(Vec::new());
        };
        let (mut found, mut end) = (Vec::new(), before.unwrap_or(BEYOND));
        loop {
            let page = limit.saturating_sub(found.len()).clamp(1, PAGE);
            let rows = self.all(
                &format!(
                    "{COLUMNS} INDEXED BY thread_by_move WHERE tenant = ?1 AND moved < ?2
                     ORDER BY moved DESC LIMIT ?3"
                ),
                params![tenant, number(end), number(page as u64)],
                read_thread,
            )?;
            let Some((_, last)) = rows.last() else {
                return Ok(found);
            };
            end = last.moved;
            for (key, mut thread) in rows {
                if found.len() >= limit {
                    return Ok(found);
                }
                thread.line = self.in_line(key)?;
                if filter.labels.is_empty() || self.matches(tenant, filter, &thread)? {
                    found.push(thread);
                }
            }
        }
    }

    fn matches(
        &self,
        tenant: i64,
        filter: &ThreadFilter,
        thread: &Thread,
    ) -> Result<bool, StoreError> {
        let Some(newest) = thread.newest() else {
            return Ok(false);
        };
        let stored: Vec<Result<Stored, StoreError>> = self.all(
            "SELECT event.encoding, event.body
             FROM run JOIN event ON event.position = run.newest
             WHERE run.tenant = ?1 AND run.id = ?2",
            params![tenant, newest.to_bytes()],
            |row| Ok(body(row, 0)),
        )?;
        match stored.into_iter().next() {
            None => Ok(false),
            Some(stored) => Ok(has_labels(&*stored?.run(0)?, &filter.labels)),
        }
    }

    pub(super) fn thread_key(&self, tenant: i64, id: ThreadId) -> Result<Option<i64>, StoreError> {
        let found = self.all(
            "SELECT key FROM thread WHERE tenant = ?1 AND id = ?2",
            params![tenant, id.to_bytes()],
            |row| row.get(0),
        )?;
        Ok(found.into_iter().next())
    }

    fn in_line(&self, thread: i64) -> Result<Vec<RunId>, StoreError> {
        self.line(thread)
            .map_err(|error| super::failure::unavailable(&error))
    }

    /// The runs of a thread that have not ended, in their order.
    fn line(&self, thread: i64) -> Sql<Vec<RunId>> {
        let mut statement = self.0.prepare_cached(
            "SELECT id FROM run INDEXED BY run_of_thread
             WHERE thread = ?1 AND finished IS NULL ORDER BY key",
        )?;
        let rows = statement.query_map([thread], |row| Ok(RunId::from_bytes(row.get(0)?)))?;
        rows.collect()
    }
}

fn read_thread(row: &rusqlite::Row<'_>) -> Sql<(i64, Thread)> {
    let (id, head): ([u8; 16], Option<[u8; 16]>) = (row.get(1)?, row.get(2)?);
    let time = |column| -> Sql<Timestamp> {
        let millis: i64 = row.get(column)?;
        Ok(Timestamp::from_millis(unsigned(millis)))
    };
    let moved: i64 = row.get(5)?;
    let thread = Thread {
        id: ThreadId::from_bytes(id),
        head: head.map(RunId::from_bytes),
        line: Vec::new(),
        create_time: time(3)?,
        update_time: time(4)?,
        moved: unsigned(moved),
    };
    Ok((row.get(0)?, thread))
}

//! What is dropped, and when: a little with every run that begins or ends, so that no single write pays
//! for much. Runs that go on from one another are dropped together, a line is never cut.

use std::time::Duration;

use rusqlite::params;

use super::{
    ledger::Ledger,
    schema::{number, unsigned},
};
use crate::domain::{id::RunId, principal::Tenant, time::Timestamp};

/// How long a request id is remembered.
pub(super) const REQUESTS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Most things that one write clears away: more than it adds, so that what is over is gone in the end.
const CLEARED_AT_ONCE: usize = 4;

/// What a tenant's finished runs come to.
#[derive(Debug)]
pub(super) struct Shelf {
    /// The tenant's key in the tables.
    pub(super) key: i64,
    finished: Finished,
}

/// So many finished runs of so many bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finished {
    pub(super) count: usize,
    pub(super) bytes: usize,
}

impl Finished {
    const fn add(&mut self, more: Self) {
        self.count += more.count;
        self.bytes += more.bytes;
    }
}

impl Shelf {
    pub(super) const fn add(&mut self, more: Finished) {
        self.finished.add(more);
    }

    pub(super) const fn take(&mut self, less: Finished) {
        self.finished.count = self.finished.count.saturating_sub(less.count);
        self.finished.bytes = self.finished.bytes.saturating_sub(less.bytes);
    }
}

/// Threads that go on from one another, at the end of the shelf: no run of theirs works.
struct Oldest {
    family: i64,
    rested: Timestamp,
    /// No other family rests.
    last: bool,
}

/// A run that is dropped.
struct Gone {
    key: i64,
    id: [u8; 16],
    bytes: usize,
    request: Option<String>,
}

impl Ledger {
    /// The tenant's part.
    pub(super) fn shelf(&mut self, tenant: &Tenant) -> Result<&mut Shelf, rusqlite::Error> {
        if !self.shelves.contains_key(tenant) {
            let shelf = self.look_up_shelf(tenant)?;
            self.shelves.insert(tenant.clone(), shelf);
        }
        // It was put there just now.
        self.shelves
            .get_mut(tenant)
            .ok_or(rusqlite::Error::QueryReturnedNoRows)
    }

    fn look_up_shelf(&self, tenant: &Tenant) -> Result<Shelf, rusqlite::Error> {
        self.execute(
            "INSERT OR IGNORE INTO tenant (name) VALUES (?1)",
            [tenant.as_str()],
        )?;
        let mut statement = self.connection.prepare_cached(
            "SELECT tenant.key, count(run.key), coalesce(sum(run.bytes), 0)
             FROM tenant LEFT JOIN run ON run.tenant = tenant.key AND run.finished IS NOT NULL
             WHERE tenant.name = ?1 GROUP BY tenant.key",
        )?;
        statement.query_row([tenant.as_str()], |row| {
            let (count, bytes): (i64, i64) = (row.get(1)?, row.get(2)?);
            Ok(Shelf {
                key: row.get(0)?,
                finished: Finished {
                    count: usize::try_from(count).unwrap_or(0),
                    bytes: usize::try_from(bytes).unwrap_or(0),
                },
            })
        })
    }

    /// Drops finished runs that are too many, too large together, or too old.
    pub(super) fn drop_finished(&mut self, tenant: &Tenant) -> Result<(), rusqlite::Error> {
        let mut dropped = false;
        for _ in 0..CLEARED_AT_ONCE {
            let shelf = self.shelf(tenant)?;
            let (key, finished) = (shelf.key, shelf.finished);
            if finished.count == 0 {
                break;
            }
            let Some(oldest) = self.oldest(key)? else {
                break;
            };
            // Never what ended last, however large it is: somebody is about to read how it went.
            let crowded = !oldest.last
                && (finished.count > self.settings.max_finished_runs
                    || finished.bytes > self.settings.max_finished_bytes);
            if !crowded && self.now.since(oldest.rested) < self.settings.retention {
                break;
            }
            let gone = self.drop_family(key, oldest.family)?;
            self.shelf(tenant)?.take(gone);
            dropped = true;
        }
        if dropped {
            self.keep_position()?;
        }
        Ok(())
    }

    fn oldest(&self, tenant: i64) -> Result<Option<Oldest>, rusqlite::Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT key, rested FROM thread INDEXED BY thread_at_rest
             WHERE tenant = ?1 AND busy = 0 ORDER BY rested, key LIMIT 2",
        )?;
        let mut rows = statement.query([tenant])?;
        let Some(first) = rows.next()? else {
            return Ok(None);
        };
        let (family, rested) = (first.get(0)?, first.get(1)?);
        Ok(Some(Oldest {
            family,
            rested: Timestamp::from_millis(unsigned(rested)),
            last: rows.next()?.is_none(),
        }))
    }

    /// Drops all threads of a family with their runs.
    fn drop_family(&self, tenant: i64, family: i64) -> Result<Finished, rusqlite::Error> {
        let mut threads: Vec<i64> = self
            .connection
            .prepare_cached("SELECT key FROM thread WHERE family = ?1 AND origin IS NOT NULL")?
            .query_map([family], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        threads.push(family);
        let mut gone = Finished { count: 0, bytes: 0 };
        for thread in threads {
            gone.add(self.drop_thread(tenant, thread)?);
        }
        Ok(gone)
    }

    /// Drops a thread with its runs.
    pub(super) fn drop_thread(
        &self,
        tenant: i64,
        thread: i64,
    ) -> Result<Finished, rusqlite::Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT key, id, bytes, request FROM run INDEXED BY run_of_thread WHERE thread = ?1",
        )?;
        let runs = statement.query_map([thread], |row| {
            let bytes: i64 = row.get(2)?;
            Ok(Gone {
                key: row.get(0)?,
                id: row.get(1)?,
                bytes: usize::try_from(bytes).unwrap_or(0),
                request: row.get(3)?,
            })
        })?;
        let runs: Vec<Gone> = runs.collect::<Result<_, _>>()?;
        let mut gone = Finished { count: 0, bytes: 0 };
        for run in runs {
            self.drop_run(tenant, &run)?;
            gone.count += 1;
            gone.bytes += run.bytes;
        }
        self.execute("DELETE FROM thread WHERE key = ?1", [thread])?;
        Ok(gone)
    }

    fn drop_run(&self, tenant: i64, run: &Gone) -> Result<(), rusqlite::Error> {
        for table in [
            "DELETE FROM event WHERE run = ?1",
            "DELETE FROM spec WHERE run = ?1",
            "DELETE FROM call WHERE run = ?1",
            "DELETE FROM child WHERE run = ?1",
            "DELETE FROM run WHERE key = ?1",
        ] {
            self.execute(table, [run.key])?;
        }
        if let Some(request) = &run.request {
            self.execute(
                "DELETE FROM request WHERE tenant = ?1 AND id = ?2 AND run = ?3",
                params![tenant, request, run.id],
            )?;
        }
        tracing::debug!(run.id = %RunId::from_bytes(run.id), "a finished run was dropped");
        Ok(())
    }

    /// What was dropped may have had the newest position, which is never given out again.
    pub(super) fn keep_position(&self) -> Result<(), rusqlite::Error> {
        self.execute(
            "UPDATE meta SET value = ?1 WHERE key = 'position'",
            [number(self.position)],
        )?;
        Ok(())
    }

    /// Forgets request ids that are too old.
    pub(super) fn forget_requests(&self) -> Result<(), rusqlite::Error> {
        self.execute(
            "DELETE FROM request WHERE (tenant, id) IN
                (SELECT tenant, id FROM request WHERE time <= ?1 ORDER BY time LIMIT ?2)",
            params![self.requests_kept_since(), number(CLEARED_AT_ONCE as u64)],
        )?;
        Ok(())
    }
}

//! What is dropped, and when: a little with every run that begins or ends, so that no single write pays
//! for much.

use std::time::Duration;

use rusqlite::{OptionalExtension as _, params};

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

impl Shelf {
    pub(super) const fn add(&mut self, more: Finished) {
        self.finished.count += more.count;
        self.finished.bytes += more.bytes;
    }

    const fn take(&mut self, less: Finished) {
        self.finished.count = self.finished.count.saturating_sub(less.count);
        self.finished.bytes = self.finished.bytes.saturating_sub(less.bytes);
    }
}

/// A finished run at the end of the shelf.
struct Oldest {
    key: i64,
    id: [u8; 16],
    finished: Timestamp,
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
            // Never the run that ended last, however large it is: somebody is about to read how it went.
            let crowded = finished.count > 1
                && (finished.count > self.settings.max_finished_runs
                    || finished.bytes > self.settings.max_finished_bytes);
            if !crowded && self.now.since(oldest.finished) < self.settings.retention {
                break;
            }
            self.drop_run(key, &oldest)?;
            self.shelf(tenant)?.take(Finished {
                count: 1,
                bytes: oldest.bytes,
            });
            dropped = true;
        }
        if dropped {
            // What was dropped may have had the newest position, which is never given out again.
            self.execute(
                "UPDATE meta SET value = ?1 WHERE key = 'position'",
                [number(self.position)],
            )?;
        }
        Ok(())
    }

    fn oldest(&self, tenant: i64) -> Result<Option<Oldest>, rusqlite::Error> {
        self.connection
            .prepare_cached(
                "SELECT key, id, finished, bytes, request FROM run INDEXED BY run_by_end
                 WHERE tenant = ?1 AND finished IS NOT NULL ORDER BY finished, key LIMIT 1",
            )?
            .query_row([tenant], |row| {
                let (finished, bytes): (i64, i64) = (row.get(2)?, row.get(3)?);
                Ok(Oldest {
                    key: row.get(0)?,
                    id: row.get(1)?,
                    finished: Timestamp::from_millis(unsigned(finished)),
                    bytes: usize::try_from(bytes).unwrap_or(0),
                    request: row.get(4)?,
                })
            })
            .optional()
    }

    fn drop_run(&self, tenant: i64, run: &Oldest) -> Result<(), rusqlite::Error> {
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

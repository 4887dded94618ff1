//! The tables, and how older ones become them.
//!
//! A migration is never changed once a version with it was released; a new one is added behind it. The
//! table `schema_version` says which have been applied, and when.

use std::cmp::Ordering;

use rusqlite::{Connection, TransactionBehavior, params};

use super::OpenError;
use crate::domain::time::Timestamp;

/// `RUNW`, so that `file` and others can tell what this is.
const APPLICATION_ID: i32 = 0x5255_4e57;

/// Each brings the schema to the version that is its place here, from 1.
const MIGRATIONS: &[&str] = &[
    "
    -- What there is one of: `position`, which no event has had before.
    CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

    CREATE TABLE tenant (key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

    -- `newest` is the position of the newest event that says how the run stands. `finished` is when it
    -- ended, in milliseconds since the epoch, and `bytes` what it takes then. `claims` counts how often
    -- a process took it over while its log ended at `claimed_at`.
    CREATE TABLE run (
        key INTEGER PRIMARY KEY,
        tenant INTEGER NOT NULL,
        id BLOB NOT NULL,
        newest INTEGER NOT NULL,
        finished INTEGER,
        bytes INTEGER NOT NULL,
        request TEXT,
        claims INTEGER NOT NULL DEFAULT 0,
        claimed_at INTEGER NOT NULL DEFAULT 0
    );
    CREATE UNIQUE INDEX run_by_id ON run (tenant, id);
    CREATE INDEX run_that_lives ON run (id) WHERE finished IS NULL;
    CREATE INDEX run_by_end ON run (tenant, finished) WHERE finished IS NOT NULL;

    -- What a run runs: its RunSpec.
    CREATE TABLE spec (run INTEGER PRIMARY KEY, encoding INTEGER NOT NULL, body BLOB NOT NULL);

    -- Rows are added and, with their run, dropped; never changed. `position` is the order of commits.
    CREATE TABLE event (
        position INTEGER PRIMARY KEY,
        tenant INTEGER NOT NULL,
        run INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        encoding INTEGER NOT NULL,
        body BLOB NOT NULL
    );
    CREATE UNIQUE INDEX event_of_run ON event (run, sequence);
    CREATE INDEX event_of_tenant ON event (tenant);

    CREATE TABLE request (
        tenant INTEGER NOT NULL,
        id TEXT NOT NULL,
        digest BLOB NOT NULL,
        run BLOB NOT NULL,
        time INTEGER NOT NULL,
        PRIMARY KEY (tenant, id)
    ) WITHOUT ROWID;
    CREATE INDEX request_by_time ON request (time);

    CREATE TABLE call (
        tenant INTEGER NOT NULL,
        id TEXT NOT NULL,
        run INTEGER NOT NULL,
        PRIMARY KEY (tenant, id)
    ) WITHOUT ROWID;
    CREATE INDEX call_of_run ON call (run);

    CREATE TABLE thread (
        tenant INTEGER NOT NULL,
        id BLOB NOT NULL,
        head BLOB NOT NULL,
        PRIMARY KEY (tenant, id)
    ) WITHOUT ROWID;
",
    "
    -- Runs of subagents: `run` has their events in its log, `newest` is as in `run`.
    CREATE TABLE child (
        tenant INTEGER NOT NULL,
        id BLOB NOT NULL,
        run INTEGER NOT NULL,
        newest INTEGER NOT NULL,
        PRIMARY KEY (tenant, id)
    ) WITHOUT ROWID;
    CREATE INDEX child_of_run ON child (run);
",
    "
    -- Nothing was in it before this version.
    DROP TABLE thread;

    -- A line of runs. `family` is the first of all threads that go on from one another, be it itself: they
    -- are kept and dropped together. `origin` is the thread that it has left in the middle. `head` is the
    -- run that ended last, `moved` the position of that end, or of the beginning. Only a family's first
    -- thread has `busy`, how many runs of the family have not ended, and `rested`, when the last one did.
    CREATE TABLE thread (
        key INTEGER PRIMARY KEY,
        tenant INTEGER NOT NULL,
        id BLOB NOT NULL,
        family INTEGER NOT NULL,
        origin INTEGER,
        head BLOB,
        created INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        moved INTEGER NOT NULL,
        busy INTEGER,
        rested INTEGER
    );
    CREATE UNIQUE INDEX thread_by_id ON thread (tenant, id);
    CREATE INDEX thread_by_move ON thread (tenant, moved);
    CREATE INDEX thread_that_forks ON thread (family) WHERE origin IS NOT NULL;
    CREATE INDEX thread_at_rest ON thread (tenant, rested) WHERE busy = 0;

    ALTER TABLE run ADD COLUMN thread INTEGER NOT NULL DEFAULT 0;
    -- Every run of an earlier version is a thread of its own.
    INSERT INTO thread (tenant, id, family, head, created, updated, moved, busy, rested)
        SELECT tenant, id, 0, CASE WHEN finished IS NULL THEN NULL ELSE id END,
            coalesce(finished, 0), coalesce(finished, 0), newest, finished IS NULL, finished
        FROM run ORDER BY key;
    UPDATE thread SET family = key;
    UPDATE run SET thread =
        (SELECT key FROM thread WHERE thread.tenant = run.tenant AND thread.id = run.id);
    CREATE INDEX run_of_thread ON run (thread, finished);
    DROP INDEX run_by_end;
",
];

/// Says whether the tables are those of this version, and changes nothing.
pub(super) fn check(connection: &Connection) -> Result<(), OpenError> {
    let application: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if application != APPLICATION_ID {
        return Err(OpenError::Foreign);
    }
    let found = version(connection)?;
    let known = number(MIGRATIONS.len() as u64);
    match found.cmp(&known) {
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(OpenError::Newer { found, known }),
        Ordering::Less => Err(OpenError::Older { found, known }),
    }
}

/// The newest migration that was applied; 0 is none.
fn version(connection: &Connection) -> Result<i64, rusqlite::Error> {
    let newest = "SELECT coalesce(max(version), 0) FROM schema_version";
    connection.query_row(newest, [], |row| row.get(0))
}

/// Brings the schema to the newest version.
pub(super) fn migrate(connection: &mut Connection, now: Timestamp) -> Result<(), OpenError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, time INTEGER NOT NULL)",
    )?;
    let (found, known) = (version(&transaction)?, number(MIGRATIONS.len() as u64));
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    for (version, migration) in (1..).zip(MIGRATIONS) {
        if version > found {
            transaction.execute_batch(migration)?;
            transaction.execute(
                "INSERT INTO schema_version VALUES (?1, ?2)",
                params![version, number(now.as_millis())],
            )?;
        }
    }
    if found == 0 {
        // Above all that an earlier store in this place has given out, so that a cursor of its time means
        // "from the beginning" and never skips anything: room for 1,024 events in each millisecond.
        transaction.execute(
            "INSERT INTO meta VALUES ('position', ?1)",
            [number(now.as_millis().saturating_mul(1_024))],
        )?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    transaction.commit()?;
    Ok(())
}

/// The newest position that was given out.
pub(super) fn position(connection: &Connection) -> Result<u64, rusqlite::Error> {
    let newest = "SELECT max(value, coalesce((SELECT max(position) FROM event), 0))
                  FROM meta WHERE key = 'position'";
    connection.query_row(newest, [], |row| row.get(0).map(unsigned))
}

/// A number as SQLite has it: signed. Ours stay below 2^63.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number that SQLite gave back.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store as version 1 has left it: a run that works, and one that has ended.
    fn version_1() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE schema_version (version INTEGER PRIMARY KEY, time INTEGER NOT NULL);
                 INSERT INTO schema_version VALUES (1, 0);",
            )
            .unwrap();
        connection.execute_batch(MIGRATIONS[0]).unwrap();
        connection
            .execute_batch(
                "INSERT INTO tenant VALUES (1, 'acme');
                 INSERT INTO run (key, tenant, id, newest, finished, bytes)
                     VALUES (3, 1, x'01', 10, NULL, 0), (4, 1, x'02', 12, 700, 99);",
            )
            .unwrap();
        connection
    }

    #[test]
    fn every_run_of_version_1_becomes_a_thread_of_its_own() {
        let mut connection = version_1();
        for _ in 0..2 {
            migrate(&mut connection, Timestamp::from_millis(1_000)).unwrap();
        }
        let mut statement = connection
            .prepare(
                "SELECT run.id = thread.id, family = thread.key, head IS NULL, busy, rested, moved
                 FROM run JOIN thread ON thread.key = run.thread ORDER BY run.key",
            )
            .unwrap();
        let rows = statement.query_map([], |row| {
            let same: (bool, bool, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let numbers: (i64, Option<i64>, i64) = (row.get(3)?, row.get(4)?, row.get(5)?);
            Ok((same, numbers))
        });
        let rows: Vec<_> = rows.unwrap().map(Result::unwrap).collect();
        let works = ((true, true, true), (1, None, 10));
        let ended = ((true, true, false), (0, Some(700), 12));
        assert_eq!(rows, [works, ended]);
    }
}

//! What an operator does with a store that no server has open: check it, shrink it, write it out.

use std::{io::Write, path::Path};

use super::{
    OpenError,
    home::Home,
    reader::{Reading, Stored, body},
    schema::{migrate, unsigned},
};
use crate::{
    domain::{event::Event, id::RunId, run::RunSpec, time::Timestamp},
    run::port::StoreError,
};

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Runs that were read.
    pub runs: u64,
    /// Events that were read.
    pub events: u64,
    /// What is wrong, one line each; empty when all is well.
    pub problems: Vec<String>,
}

/// A run as the maintenance sees it.
struct Kept {
    key: i64,
    id: RunId,
    tenant: String,
    finished: bool,
}

/// Reads everything, and says what is wrong with it.
///
/// # Errors
/// When the store cannot be opened or read at all.
pub fn check(directory: &Path) -> Result<Report, OpenError> {
    let home = Home::of_store(directory)?;
    let mut connection = home.connect()?;
    migrate(&mut connection, Timestamp::default())?;
    let reading = Reading(&connection);
    let mut report = Report::default();
    let integrity: Vec<String> = reading
        .all("PRAGMA integrity_check", [], |row| row.get(0))
        .map_err(OpenError::Content)?;
    let damage = integrity.into_iter().filter(|line| line != "ok");
    report.problems.extend(damage);
    for run in runs(&reading)? {
        report.runs += 1;
        let found = check_run(&reading, &run, &mut report.events);
        let found = found.map_err(OpenError::Content)?;
        let lines = found.into_iter().map(|line| format!("{}: {line}", run.id));
        report.problems.extend(lines);
    }
    Ok(report)
}

/// Gives the room of dropped runs back to the disk. Returns the bytes before and after.
///
/// # Errors
/// When the store cannot be opened, or the disk has no room for the copy that is made.
pub fn vacuum(directory: &Path) -> Result<(u64, u64), OpenError> {
    let home = Home::of_store(directory)?;
    let mut connection = home.connect()?;
    migrate(&mut connection, Timestamp::default())?;
    let before = home.bytes();
    connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")?;
    Ok((before, home.bytes()))
}

/// Writes every run's events, one JSON object a line: runs in the order of their ids, events in that of
/// their sequences.
///
/// # Errors
/// When the store cannot be opened or read, or the lines cannot be written.
pub fn export(directory: &Path, to: &mut dyn Write) -> Result<(), ExportError> {
    let home = Home::of_store(directory)?;
    let mut connection = home.connect()?;
    migrate(&mut connection, Timestamp::default())?;
    let reading = Reading(&connection);
    for run in runs(&reading)? {
        for event in events(&reading, run.key).map_err(OpenError::Content)? {
            let line = serde_json::json!({
                "tenant": run.tenant,
                "run_id": run.id,
                "sequence": event.sequence,
                "time": event.time,
                "fact": event.fact,
            });
            writeln!(to, "{line}").map_err(ExportError::Output)?;
        }
    }
    to.flush().map_err(ExportError::Output)
}

/// An export did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store does not open or read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The lines cannot be written.
    #[error("cannot write: {0}")]
    Output(std::io::Error),
}

fn runs(reading: &Reading<'_>) -> Result<Vec<Kept>, OpenError> {
    reading
        .all(
            "SELECT run.key, run.id, tenant.name, run.finished IS NOT NULL
             FROM run JOIN tenant ON tenant.key = run.tenant ORDER BY run.id, tenant.name",
            [],
            |row| {
                Ok(Kept {
                    key: row.get(0)?,
                    id: RunId::from_bytes(row.get(1)?),
                    tenant: row.get(2)?,
                    finished: row.get(3)?,
                })
            },
        )
        .map_err(OpenError::Content)
}

fn events(reading: &Reading<'_>, run: i64) -> Result<Vec<Event>, StoreError> {
    let stored = reading.all(
        "SELECT encoding, body FROM event WHERE run = ?1 ORDER BY sequence",
        [run],
        |row| Ok(body(row, 0)),
    )?;
    stored.into_iter().map(|row| row?.read()).collect()
}

/// What is wrong with a run.
fn check_run(
    reading: &Reading<'_>,
    run: &Kept,
    count: &mut u64,
) -> Result<Vec<String>, StoreError> {
    let mut problems = Vec::new();
    let spec = reading.all(
        "SELECT encoding, body FROM spec WHERE run = ?1",
        [run.key],
        |row| Ok(body(row, 0)),
    )?;
    let reads = |spec: Result<Stored, StoreError>| spec.and_then(|spec| spec.read::<RunSpec>());
    match spec.into_iter().next().map(reads) {
        Some(Ok(_)) => {}
        Some(Err(_)) => problems.push("what it runs does not read".to_owned()),
        None => problems.push("what it runs is missing".to_owned()),
    }
    let sequences = reading.all(
        "SELECT sequence, encoding, body FROM event WHERE run = ?1 ORDER BY sequence",
        [run.key],
        |row| Ok((row.get::<_, i64>(0)?, body(row, 1))),
    )?;
    let mut state = None;
    for (sequence, stored) in sequences {
        *count += 1;
        let Ok(event) = stored.and_then(|stored| stored.read::<Event>()) else {
            problems.push(format!("event {sequence} does not read"));
            continue;
        };
        if event.sequence != unsigned(sequence) {
            problems.push(format!("event {sequence} says that it is another"));
        }
        if state.is_some_and(|ended| ended) {
            problems.push(format!("event {sequence} comes after the end"));
        }
        if let Some(run) = event.root() {
            state = Some(run.state.is_terminal());
        }
    }
    match state {
        None => problems.push("its first event is missing".to_owned()),
        Some(ended) if ended != run.finished => {
            problems.push("its state is not that of its log".to_owned());
        }
        Some(_) => {}
    }
    Ok(problems)
}

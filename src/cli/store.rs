//! `runwire store`: what an operator does with a data directory that no server has open.

use std::{
    io::{self, BufWriter},
    path::PathBuf,
};

use super::{
    Stop,
    args::{StoreArgs, StoreCommand, StorePlace},
    output,
    target::configuration,
};
use crate::{
    app::{ExportError, OpenError, check_store, export_store, vacuum_store},
    config::Environment,
};

/// Checks, shrinks or writes out a store.
pub(super) fn store(args: StoreArgs, environment: &Environment) -> Result<(), Stop> {
    match args.command {
        StoreCommand::Check(place) => check(&directory(place, environment)?),
        StoreCommand::Vacuum(place) => {
            let (before, after) = vacuum_store(&directory(place, environment)?)?;
            output::line(format_args!("{before} bytes before, {after} bytes after"))?;
            Ok(())
        }
        StoreCommand::Export(place) => {
            let directory = directory(place, environment)?;
            let mut lines = BufWriter::new(io::stdout().lock());
            export_store(&directory, &mut lines)?;
            Ok(())
        }
    }
}

fn check(directory: &std::path::Path) -> Result<(), Stop> {
    let report = check_store(directory)?;
    for problem in &report.problems {
        output::line(problem)?;
    }
    if !report.problems.is_empty() {
        let count = report.problems.len();
        return Err(Stop::Failed(format!("{count} problems")));
    }
    output::line(format_args!(
        "the store is good: {} runs, {} events",
        report.runs, report.events
    ))?;
    Ok(())
}

/// The data directory of the server that has this configuration.
fn directory(place: StorePlace, environment: &Environment) -> Result<PathBuf, Stop> {
    let config = configuration(place.config, environment, place.data_dir)?;
    config
        .store
        .data_dir
        .ok_or_else(|| Stop::Usage("say --data-dir".to_owned()))
}

impl From<OpenError> for Stop {
    fn from(error: OpenError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<ExportError> for Stop {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Output(error) => error.into(),
            ExportError::Open(error) => error.into(),
        }
    }
}

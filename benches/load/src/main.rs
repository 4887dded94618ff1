//! Loads a server with concurrent runs whose tools live here, and prints what they cost.
//!
//! `runwire-load SERVER_BINARY OUTPUT.json [RUNS]` starts the server, runs every scenario against it,
//! prints a table and writes the same figures as JSON.

mod hosted;
mod parallel;
mod server;

use std::{env, error::Error, fs, process::ExitCode};

use serde::Serialize;
use server::Server;

/// A figure, and what it counts.
#[derive(Debug, Serialize)]
pub struct Figure {
    scenario: &'static str,
    what: &'static str,
    value: f64,
    unit: &'static str,
}

impl Figure {
    /// A figure of a scenario.
    pub fn new(scenario: &'static str, what: &'static str, value: f64, unit: &'static str) -> Self {
        Self {
            scenario,
            what,
            value,
            unit,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match measure().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("runwire-load: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let usage = "usage: runwire-load SERVER_BINARY OUTPUT.json [RUNS]";
    let (binary, output) = (
        arguments.next().ok_or(usage)?,
        arguments.next().ok_or(usage)?,
    );
    let runs: usize = arguments.next().map_or(Ok(10_000), |runs| runs.parse())?;

    let mut figures = Vec::new();
    for scenario in [parallel::SCENARIOS[0], parallel::SCENARIOS[1]] {
        let server = Server::start(&binary).await?;
        figures.extend(parallel::measure(&server, scenario).await?);
        server.stop().await?;
    }
    let server = Server::start(&binary).await?;
    figures.extend(hosted::measure(&server, runs).await?);
    server.stop().await?;

    for Figure {
        scenario,
        what,
        value,
        unit,
    } in &figures
    {
        println!("{scenario:<34} {what:<28} {value:>12.2} {unit}");
    }
    fs::write(output, serde_json::to_vec_pretty(&figures)?)?;
    Ok(())
}

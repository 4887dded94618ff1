//! The command line: `runwire complete`, `chat`, `run`, `models`, `providers`, `runs`, `health`, `config`, `token`,
//! `store`; `serve` is started by `main`.
//!
//! Every command that needs one talks to a server, over the network (`--server`) or in this process, through
//! [`crate::client`]. Answers go to standard output as they come; everything else, errors too, to
//! standard error. Exit codes: 0 done, 1 failed, 64 wrong usage or configuration, 75 unfinished with nobody to go on,
//! 130 interrupted.

mod agent;
mod args;
mod complete;
mod config;
mod health;
mod json;
mod models;
mod output;
mod providers;
mod run;
mod runs;
mod store;
mod target;
mod token;

use std::{ffi::OsString, fmt, process::ExitCode};

pub use args::{
    Args, ChatArgs, Command, Common, CompleteArgs, ConfigArgs, ConfigCommand, Generation,
    HealthArgs, ModelsArgs, ProvidersArgs, ProvidersCommand, RunArgs, RunsArgs, RunsCommand,
    RunsPlace, ServeArgs, StoreArgs, StoreCommand, StorePlace, TokenArgs, TokenCommand,
};
use clap::Parser as _;
pub use target::{Local, LocalServer};

use crate::{
    client,
    config::{Environment, Problems},
};

/// Wrong usage or configuration (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;

/// Not done as yet, and may be later (`EX_TEMPFAIL`).
const EXIT_UNFINISHED: u8 = 75;

/// Interrupted, as shells report it.
const EXIT_INTERRUPTED: u8 = 130;

/// Parses arguments. Help, the version and mistakes are printed here.
///
/// # Errors
/// The code to exit with.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Args, ExitCode> {
    Args::try_parse_from(args).map_err(|error| {
        let code = if error.use_stderr() { EXIT_USAGE } else { 0 };
        // Nowhere to report that the terminal is gone.
        let _gone = error.print();
        ExitCode::from(code)
    })
}

/// Runs a command; `local` starts a server in this process for those that name none.
pub async fn run(args: Args, environment: Environment, local: Local) -> ExitCode {
    match perform(args.command, environment, local).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            stop.tell();
            ExitCode::from(stop.code())
        }
    }
}

async fn perform(command: Command, environment: Environment, local: Local) -> Result<(), Stop> {
    match command {
        // `main` serves.
        Command::Serve(_) => Ok(()),
        Command::Complete(command) => {
            Box::pin(complete::complete(command, environment, local)).await
        }
        Command::Chat(command) => Box::pin(complete::chat(command, environment, local)).await,
        Command::Run(command) => Box::pin(run::run(command, environment, local)).await,
        Command::Models(command) => Box::pin(models::list(command, environment, local)).await,
        Command::Providers(command) => Box::pin(providers::providers(command, environment)).await,
        Command::Runs(command) => Box::pin(runs::runs(command, environment)).await,
        Command::Health(command) => Box::pin(health::health(command, environment)).await,
        Command::Config(command) => config::config(command, environment),
        Command::Token(command) => token::token(command),
        Command::Store(command) => store::store(command, &environment),
    }
}

/// Why a command ends before it is done.
#[derive(Debug)]
enum Stop {
    /// It failed: one line says why.
    Failed(String),
    /// The arguments do not fit each other, or a file that they name is wrong.
    Usage(String),
    /// The configuration is wrong.
    Config(Problems),
    /// What was watched is not over, and nobody goes on with it.
    Unfinished(String),
    /// Ctrl-C.
    Interrupted,
    /// Nobody reads the output any more.
    OutputGone,
}

impl Stop {
    const fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) | Self::Config(_) => EXIT_USAGE,
            Self::Unfinished(_) => EXIT_UNFINISHED,
            Self::Interrupted => EXIT_INTERRUPTED,
            // As if the signal had ended the process.
            Self::OutputGone => 141,
        }
    }

    fn tell(&self) {
        match self {
            Self::Failed(message) | Self::Usage(message) | Self::Unfinished(message) => {
                output::note(message);
            }
            Self::Config(problems) => {
                for problem in &problems.0 {
                    output::note(problem);
                }
            }
            Self::Interrupted | Self::OutputGone => {}
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(message) | Self::Usage(message) | Self::Unfinished(message) => {
                f.write_str(message)
            }
            Self::Config(problems) => problems.fmt(f),
            Self::Interrupted => f.write_str("interrupted"),
            Self::OutputGone => f.write_str("the output is gone"),
        }
    }
}

impl From<client::Error> for Stop {
    fn from(error: client::Error) -> Self {
        // One line, whatever the message holds.
        let line: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
        Self::Failed(line.join(" "))
    }
}

impl From<Problems> for Stop {
    fn from(problems: Problems) -> Self {
        Self::Config(problems)
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::OutputGone
        } else {
            Self::Failed(error.to_string())
        }
    }
}

/// Does the work until it ends or somebody presses Ctrl-C, which drops it.
async fn interruptible<T>(work: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
    tokio::select! {
        // In this order: from the first word of the work on, Ctrl-C is ours to handle.
        biased;
        _ = tokio::signal::ctrl_c() => Err(Stop::Interrupted),
        done = work => done,
    }
}

//! The `runwire` program.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use runwire::{
    app,
    config::{Config, Environment, Flag, Layers},
    telemetry,
};

/// What a usage or configuration error exits with (`EX_USAGE`).
const USAGE: u8 = 64;

/// One gRPC API over all large-language-model providers, an agent Runner, and remote tools.
#[derive(Parser)]
#[command(name = "runwire", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the server.
    Serve {
        /// The configuration, in TOML.
        #[arg(long)]
        config: Option<PathBuf>,
        /// Address to listen on.
        #[arg(long)]
        listen: Option<String>,
        /// The directory of everything that the server keeps.
        #[arg(long)]
        data_dir: Option<String>,
        /// Allows no authentication on an address that is not loopback.
        #[arg(long)]
        insecure: bool,
    },
}

fn main() -> ExitCode {
    let Ok(arguments) = Arguments::try_parse().map_err(|usage| usage.print()) else {
        return ExitCode::from(USAGE);
    };
    let Command::Serve {
        config,
        listen,
        data_dir,
        insecure,
    } = arguments.command;
    let flag = |flag, key, value: Option<String>| value.map(|value| Flag { flag, key, value });
    let layers = Layers {
        file: config,
        environment: Environment::of_process(),
        flags: [
            flag("--listen", "server.listen", listen),
            flag("--data-dir", "store.data_dir", data_dir),
            flag(
                "--insecure",
                "server.insecure",
                insecure.then(|| "true".to_owned()),
            ),
        ]
        .into_iter()
        .flatten()
        .collect(),
    };
    let config = match Config::load(&layers) {
        Ok(config) => config,
        Err(problems) => return fail(&problems, USAGE),
    };
    if let Err(error) = telemetry::init(&config.log) {
        return fail(&error, USAGE);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, 1),
    };
    match runtime.block_on(app::serve(&config, &layers.environment)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, 1),
    }
}

#[expect(clippy::print_stderr, reason = "the reason of the exit code")]
fn fail(error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    eprintln!("runwire: {error}");
    ExitCode::from(code)
}

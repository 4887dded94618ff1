//! Puts load on a running server and prints what it took: wall clock, CPU and memory of the server.

mod hosted;
mod latency;
mod process;

use std::error::Error;

use clap::{Parser, Subcommand};
use runwire::client::Client;

/// Load on a running server.
#[derive(Parser)]
struct Arguments {
    /// The server, such as `127.0.0.1:50051`.
    #[arg(long)]
    server: String,
    /// The server's process, whose CPU and memory are read.
    #[arg(long)]
    pid: u32,
    #[command(subcommand)]
    load: Load,
}

/// What to do.
#[derive(Subcommand)]
enum Load {
    /// Many runs by one tool host and one watch; no tool answers before all calls are outstanding.
    Hosted {
        /// How many runs.
        #[arg(default_value_t = 10_000)]
        runs: usize,
    },
    /// One run whose turn has 8 tools of 50 ms, several times.
    Latency {
        /// How many times.
        #[arg(default_value_t = 21)]
        rounds: usize,
    },
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let client = Client::connect(&format!("http://{}", arguments.server))?;
    match arguments.load {
        Load::Hosted { runs } => hosted::measure(&client, arguments.pid, runs).await,
        Load::Latency { rounds } => latency::measure(&client, arguments.pid, rounds).await,
    }
}

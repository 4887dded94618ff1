//! The log: on standard error, as text for people or JSON for machines. It never holds prompts, keys or
//! tool arguments; what is logged are names, ids, sizes, codes and times.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{self, LogFormat};

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is none.
    #[error("log.filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Somebody else has set up a log in this process.
    #[error("the log is set up already")]
    Taken(#[from] tracing_subscriber::util::TryInitError),
}

/// Sets up the log of this process.
///
/// # Errors
/// When the filter cannot be parsed, or there is a log already.
pub fn init(log: &config::Log) -> Result<(), TelemetryError> {
    // The SDK of MCP writes what is said into the log, at every level.
    let filter = EnvFilter::builder()
        .parse(&log.filter)?
        .add_directive("rmcp=off".parse()?);
    let registry = tracing_subscriber::registry().with(filter);
    let layer = fmt::layer()
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal());
    match log.format {
        LogFormat::Text => registry.with(layer.with_target(false)).try_init()?,
        LogFormat::Json => registry
            .with(
                layer
                    .json()
                    .flatten_event(true)
                    .with_current_span(true)
                    .with_span_list(false),
            )
            .try_init()?,
    }
    Ok(())
}

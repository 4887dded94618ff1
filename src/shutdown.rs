//! What makes a server end: the first signal begins the drain, the second one ends it.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask this process to end. Registered at once, so that none is missed while the
/// server starts.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals over from the system, whose way is to end the process.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn register() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Completes with the next signal, and names it.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _signal = self.terminate.recv() => "SIGTERM",
            _signal = self.interrupt.recv() => "SIGINT",
        }
    }
}

//! `runwire serve`: from the configuration to the end of the process.

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{App, AppError, World};
use crate::{
    config::{Config, Environment},
    shutdown::Signals,
};

/// Serves until a signal asks for the end, and drains. The second signal shortens the drain.
///
/// When the socket is bound, `runwire listening on ADDRESS` goes to standard error, whatever the log's
/// filter: scripts wait for it.
///
/// # Errors
/// What kept the server from starting.
pub async fn serve(config: &Config, environment: &Environment) -> Result<(), AppError> {
    let mut signals = Signals::register().map_err(AppError::Signals)?;
    let app = App::build(config, World::configured(config, environment)?).await?;
    let address = config.server.listen;
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|error| AppError::Listen { address, error })?;
    let bound = listener.local_addr().unwrap_or(address);
    announce(bound);

    let signal = tokio::select! {
        () = app.accept(listener) => return Ok(()),
        signal = signals.next() => signal,
    };
    tracing::info!(signal, drain = ?config.server.drain, "draining");
    let now = CancellationToken::new();
    let drained = app.drain(now.clone());
    let mut drained = std::pin::pin!(drained);
    tokio::select! {
        () = drained.as_mut() => {}
        signal = signals.next() => {
            tracing::info!(signal, "ending at once");
            now.cancel();
            drained.await;
        }
    }
    tracing::info!("ended");
    Ok(())
}

#[expect(
    clippy::print_stderr,
    reason = "the ready line is for whoever started the server"
)]
fn announce(address: std::net::SocketAddr) {
    eprintln!("runwire listening on {address}");
}

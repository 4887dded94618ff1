//! The Rust client: completions, runs, and tools that live in your process.
//!
//! [`Client`] is cheap to clone; all clones share two HTTP/2 connections, one for what streams and one
//! for short calls, so that a full stream never holds up a cancellation. Messages are those of the
//! contract ([`crate::pb::v1`]), with constructors for the common ones in [`message`].
//!
//! What can be tried again is tried again: calls that change nothing, or carry an id that makes them
//! idempotent, when the server is unavailable; watches and tool streams from where they stood. A
//! completion is never repeated: the server retries providers already.
//!
//! ```no_run
//! use runwire::client::{Client, Tool, message};
//! use runwire::pb::v1::{Agent, RunSpec};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("http://127.0.0.1:50051")?;
//! let weather = Tool::new("weather", "The weather in a city.", r#"{"type":"object"}"#, |call| async move {
//!     Ok(format!("sunny, for {}", call.arguments()))
//! });
//! let spec = RunSpec {
//!     agent: Some(Agent {
//!         name: "guide".to_owned(),
//!         model: "script:demo".to_owned(),
//!         tools: vec![weather.attached()],
//!         ..Agent::default()
//!     }),
//!     input: vec![message::user("What is the weather in Paris?")],
//!     ..RunSpec::default()
//! };
//! let run = client.attach(spec, vec![weather]).finish().await?;
//! println!("{}", message::text_of(run.output.as_ref()));
//! # Ok(())
//! # }
//! ```

mod attach;
mod backoff;
mod completion;
mod connect;
mod engine;
mod error;
mod health;
mod host;
pub mod message;
mod run;
mod session;
mod tool;
mod watch;

use std::time::Duration;

pub use attach::AttachedRun;
pub use backoff::Backoff;
pub use completion::CompletionStream;
pub use connect::{Connector, Tls};
pub use error::{Error, Violation};
pub use host::{HostEnd, ToolHost};
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};
pub use tool::{Call, Output, Tool, ToolError};
pub use watch::{RunFeed, RunWatch, Since};

/// The largest message that is taken from a server.
const MAX_RESPONSE_BYTES: usize = 64 << 20;

/// A connection to a server.
#[derive(Clone)]
pub struct Client {
    /// What streams.
    streams: Channel,
    /// What is short.
    control: Channel,
    authorization: Option<MetadataValue<Ascii>>,
    deadline: Option<Duration>,
    backoff: Backoff,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("deadline", &self.deadline)
            .field("backoff", &self.backoff)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the server at `url` (`http://host:port` or just `host:port`, or `https://` with the
    /// system's certificate authorities). Connects when first used; [`Connector`] has more to choose
    /// from.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn connect(url: &str) -> Result<Self, Error> {
        Connector::new(url).connect()
    }

    /// The same client, with a deadline for each completion and unary call from now on.
    #[must_use]
    pub const fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// A request with credentials and no deadline: for what lives long.
    fn lasting<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            request
                .metadata_mut()
                .insert("authorization", authorization.clone());
        }
        request
    }

    /// A request with credentials and the deadline.
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = self.lasting(message);
        if let Some(deadline) = self.deadline {
            request.set_timeout(deadline);
        }
        request
    }
}

//! What all long streams have in common.
//!
//! A bidirectional stream has two halves that never wait for each other: a *listener*, a task that reads
//! what the caller says, and a *speaker*, the response's stream itself, which is polled only as fast as
//! the caller reads. They share one line: the listener sends the fault that ends the stream, and learns
//! from the closed line that the speaker has gone.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use tokio::{
    sync::{Semaphore, oneshot},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Status, Streaming, metadata::MetadataMap};

use super::{
    gate::Caller,
    status::{diagnose, status},
};
use crate::domain::{
    fault::{Fault, Reason},
    principal::Principal,
    trace::Trace,
};

/// The response's half of a stream.
pub(super) type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The numbers of long streams.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// A watch that has shown nothing for this long shows a heartbeat.
    pub heartbeat_interval: Duration,
    /// How long the caller may take for its first message.
    pub start_timeout: Duration,
    /// How long a call that has ended is still read, for the caller's half-close to arrive. Ending it
    /// at once would reset the stream, and HTTP/2 ends a connection with many of those.
    pub linger: Duration,
    /// Most ended calls that are read at once.
    pub max_lingering: usize,
    /// How often both ends of a tool host's session say something; told to hosts.
    pub session_heartbeat: Duration,
    /// How long a session of a tool host survives its stream; told to hosts.
    pub session_grace: Duration,
}

/// Where long streams live.
#[derive(Clone)]
pub(super) struct Streams {
    pub(super) settings: Settings,
    tracker: TaskTracker,
    /// Ends every stream, with a word why.
    closing: CancellationToken,
    lingering: Arc<Semaphore>,
}

/// The speaker's end of the line.
#[derive(Debug)]
pub(super) struct Verdict(Option<oneshot::Receiver<Fault>>);

/// The listener's end of the line.
pub(super) type Line = oneshot::Sender<Fault>;

/// What a listener does with what it hears.
pub(super) trait Listener: Send + 'static {
    /// What the caller sends.
    type Message: Send + 'static;

    /// Takes a message. Must not wait for the caller to read.
    ///
    /// # Errors
    /// What ends the stream.
    fn hear(&self, message: Self::Message) -> impl Future<Output = Result<(), Fault>> + Send;

    /// The caller will say nothing more. That does not end the stream.
    fn half_closed(&self);
}

// === impl Streams ===

impl Streams {
    pub(super) fn new(
        settings: Settings,
        tracker: TaskTracker,
        closing: CancellationToken,
    ) -> Self {
        Self {
            settings,
            tracker,
            closing,
            lingering: Arc::new(Semaphore::new(settings.max_lingering)),
        }
    }

    /// Completes when every stream is to end, with the word for it.
    pub(super) async fn closed(&self) -> Fault {
        self.closing.cancelled().await;
        Fault::new(Reason::ServerDraining, "the server is shutting down")
            .retry_after(Duration::from_secs(1))
    }

    /// The first message of a stream.
    ///
    /// # Errors
    /// `STREAM_PROTOCOL_VIOLATION` when there is none, or not in time.
    pub(super) async fn first<T>(&self, inbound: &mut Streaming<T>) -> Result<T, Fault> {
        match timeout(self.settings.start_timeout, inbound.message()).await {
            Ok(Ok(Some(message))) => Ok(message),
            Ok(Ok(None)) => Err(violation("the stream ended before its first message")),
            Ok(Err(made)) => Err(heard_badly(&made)),
            Err(_elapsed) => Err(violation("the first message did not come in time")),
        }
    }

    /// Starts the listener of a stream. It ends when the caller has half-closed or gone, or a while
    /// after the speaker has ended.
    pub(super) fn listen<L: Listener>(
        &self,
        inbound: Streaming<L::Message>,
        listener: L,
    ) -> Verdict {
        let (line, verdict) = oneshot::channel();
        let streams = self.clone();
        self.tracker.spawn(async move {
            if let Some(rest) = listen(inbound, listener, line).await {
                streams.linger(rest).await;
            }
        });
        Verdict(Some(verdict))
    }

    /// Ends a stream that never had a listener: the caller gets `fault`, and is read for a while.
    pub(super) fn refuse<T: Send + 'static>(&self, inbound: Streaming<T>, fault: &Fault) -> Status {
        let streams = self.clone();
        self.tracker
            .spawn(async move { streams.linger(inbound).await });
        status(fault)
    }

    /// Reads and forgets until the caller has half-closed.
    async fn linger<T>(&self, mut inbound: Streaming<T>) {
        let Ok(_room) = self.lingering.try_acquire() else {
            return;
        };
        let drained = async { while let Ok(Some(_)) = inbound.message().await {} };
        // After that the caller's half of the stream is reset.
        let _half_closed = timeout(self.settings.linger, drained).await;
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

/// Reads a stream. Returns it when its caller may still say something that nobody waits for.
async fn listen<L: Listener>(
    mut inbound: Streaming<L::Message>,
    listener: L,
    mut line: Line,
) -> Option<Streaming<L::Message>> {
    loop {
        let message = tokio::select! {
            biased;
            () = line.closed() => return Some(inbound),
            message = inbound.message() => message,
        };
        let heard = match message {
            Ok(Some(message)) => listener.hear(message).await,
            Ok(None) => {
                listener.half_closed();
                return None;
            }
            Err(made) => Err(heard_badly(&made)),
        };
        if let Err(fault) = heard {
            // A speaker that has gone has no use for it.
            let _gone = line.send(fault);
            return Some(inbound);
        }
    }
}

// === impl Verdict ===

impl Verdict {
    /// Completes when the listener has found a fault; never, when it ends without.
    pub(super) async fn fault(&mut self) -> Fault {
        if let Some(line) = self.0.as_mut() {
            let said = line.await;
            self.0 = None;
            if let Ok(fault) = said {
                return fault;
            }
        }
        std::future::pending().await
    }
}

/// Says one thing after another.
pub(super) trait Speaker: Send + 'static {
    /// What the caller is sent.
    type Reply: Send + 'static;

    /// The next thing; `None`: that was all, and all is well.
    fn next(&mut self) -> impl Future<Output = Option<Result<Self::Reply, Fault>>> + Send;
}

/// The response's stream of a speaker: it ends with the first fault.
pub(super) fn replies<S: Speaker>(speaker: S) -> Replies<S::Reply> {
    Box::pin(stream::unfold(Some(speaker), |speaking| async move {
        let mut speaker = speaking?;
        match speaker.next().await? {
            Ok(reply) => Some((Ok(reply), Some(speaker))),
            Err(fault) => Some((Err(status(&fault)), None)),
        }
    }))
}

/// The principal of a call.
///
/// # Errors
/// `INTERNAL`: the gate lets no call of ours pass without one.
pub(super) fn caller<T>(request: &Request<T>) -> Result<Arc<Principal>, Fault> {
    let caller = request.extensions().get::<Caller>();
    let caller = caller.ok_or_else(|| Fault::new(Reason::Internal, "the call has no principal"))?;
    Ok(Arc::clone(&caller.0))
}

/// Where the caller says that its call belongs in a trace.
pub(super) fn trace(metadata: &MetadataMap) -> Option<Trace> {
    let parent = metadata.get("traceparent")?.to_str().ok()?;
    // One list, however many headers it comes in.
    let state: Vec<_> = metadata
        .get_all("tracestate")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    Trace::parse(parent, &state.join(","))
}

/// The messages are not in the order that the protocol allows.
pub(super) fn violation(message: &'static str) -> Fault {
    Fault::new(Reason::StreamProtocolViolation, message)
}

fn heard_badly(made: &Status) -> Fault {
    // Whatever the transport says, nobody is there to read this when it was cut.
    diagnose(made).unwrap_or_else(|| Fault::new(Reason::Cancelled, "the stream was cut"))
}

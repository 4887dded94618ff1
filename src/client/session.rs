//! A stream that runs tools: what a [`super::ToolHost`] and an [`super::AttachedRun`] have in common.
//!
//! Everything happens inside [`Session::next`]: it opens the stream, and again when it is lost; takes
//! commands; runs functions on tasks of their own; sends reports and heartbeats. The tasks end with the
//! session.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    time::Duration,
};

use futures_util::{Stream, StreamExt as _, future::BoxFuture};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinError, JoinSet},
    time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    Backoff, Error,
    engine::{Act, End, Engine, Key},
    tool::{Call, Output, Tool, ToolError},
    watch::may_resume,
};
use crate::pb::v1::{
    HostSession, ToolCallRef, ToolCallReport, ToolProgress, host_command::Command,
};

/// Time for opening a stream, the server's first message included.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

/// The heartbeat when the server names none.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Messages under way to the transport.
const OUTGOING: usize = 32;

/// Progress reports under way from the functions; more are dropped.
const PROGRESS: usize = 64;

/// What a function returned.
type Returned = Result<Output, ToolError>;

/// How a function's task ended.
type Ended = Result<(tokio::task::Id, Returned), JoinError>;

/// That a call goes on.
type Progress = (Key, ToolProgress);

/// What a stream brings.
#[derive(Debug)]
pub(super) enum Said<T> {
    /// The stream is open, with these terms, or what else it has to say.
    Opened(Option<HostSession>, T),
    /// Something that only this kind of stream has.
    Other(T),
    /// A command for the tools.
    Command(Box<Command>),
}

/// The messages of a stream, as they come.
pub(super) type Incoming<T> = Pin<Box<dyn Stream<Item = Result<Said<T>, Error>> + Send>>;

/// The two kinds of stream.
pub(super) trait Wire {
    /// What is sent.
    type Request: Send + 'static;
    /// What only this kind of stream says.
    type Other: Send + 'static;

    /// The first message.
    fn hello(&self, in_flight: Vec<ToolCallRef>) -> Self::Request;
    /// A report.
    fn report(report: ToolCallReport) -> Self::Request;
    /// A heartbeat.
    fn heartbeat() -> Self::Request;
    /// A new window.
    fn window(calls: i32) -> Self::Request;
    /// Opens the stream.
    fn open(
        &self,
        outgoing: ReceiverStream<Self::Request>,
    ) -> BoxFuture<'static, Result<Incoming<Self::Other>, Error>>;
}

/// A stream that runs tools, reopened when it is lost.
pub(super) struct Session<W: Wire> {
    pub(super) wire: W,
    backoff: Backoff,
    engine: Engine,
    io: Option<Io<W>>,
    /// When the next stream may be opened, after one that was lost.
    wait: Option<Duration>,
    failed: u32,
    /// Half-closes as soon as no call is open.
    is_leaving: bool,
    tasks: JoinSet<Returned>,
    keys: HashMap<tokio::task::Id, Key>,
    handles: HashMap<Key, AbortHandle>,
    progress: (mpsc::Sender<Progress>, mpsc::Receiver<Progress>),
}

/// An open stream.
struct Io<W: Wire> {
    /// `None` after the half-close.
    outgoing: Option<mpsc::Sender<W::Request>>,
    incoming: Incoming<W::Other>,
    heartbeat: Interval,
    heard: Instant,
}

/// What happened inside one wait.
enum Happened<T> {
    Said(Option<Result<Said<T>, Error>>),
    RoomToSend,
    Finished(Ended),
    Progress(Key, ToolProgress),
    Tick,
}

impl<W: Wire> Session<W> {
    pub(super) fn new(wire: W, tools: Vec<Tool>, window: usize, backoff: Backoff) -> Self {
        Self {
            wire,
            backoff,
            engine: Engine::new(tools, window),
            io: None,
            wait: None,
            failed: 0,
            is_leaving: false,
            tasks: JoinSet::new(),
            keys: HashMap::new(),
            handles: HashMap::new(),
            progress: mpsc::channel(PROGRESS),
        }
    }

    /// What the stream says that is not for the tools; `None` when the server has ended it well. May be
    /// dropped and called again.
    ///
    /// # Errors
    /// What cannot be cured by opening another stream, or what was tried too often.
    pub(super) async fn next(&mut self) -> Result<Option<W::Other>, Error> {
        loop {
            if self.is_leaving && self.engine.len() == 0 {
                if self.io.is_none() {
                    return Ok(None);
                }
                self.half_close();
            }
            if self.io.is_none() {
                match self.open().await {
                    Ok(first) => return Ok(Some(first)),
                    Err(error) => self.lost(error)?,
                }
                continue;
            }
            match self.happened().await {
                Happened::Said(Some(Ok(said))) => {
                    if let Some(io) = &mut self.io {
                        io.heard = Instant::now();
                    }
                    self.failed = 0;
                    match said {
                        Said::Command(command) => {
                            let acts = self.engine.command(*command);
                            self.perform(acts);
                        }
                        Said::Opened(_, other) | Said::Other(other) => return Ok(Some(other)),
                    }
                }
                Happened::Said(Some(Err(error))) => self.lost(error)?,
                Happened::Said(None) => {
                    self.io = None;
                    return Ok(None);
                }
                Happened::RoomToSend => self.send_report(),
                Happened::Finished(end) => self.finished(end),
                Happened::Progress(key, progress) => self.engine.progressed(&key, progress),
                Happened::Tick => self.beat()?,
            }
        }
    }

    async fn happened(&mut self) -> Happened<W::Other> {
        let Some(io) = &mut self.io else {
            return Happened::Said(None);
        };
        let has_report = self.engine.has_report() && io.outgoing.is_some();
        let outgoing = io.outgoing.clone();
        let room = async move {
            match outgoing {
                // Room is left to the send that follows: nobody else sends in between.
                Some(outgoing) if outgoing.reserve().await.is_ok() => {}
                // The stream is gone; its other half says so.
                Some(_) | None => std::future::pending().await,
            }
        };
        tokio::select! {
            said = io.incoming.next() => Happened::Said(said),
            () = room, if has_report => Happened::RoomToSend,
            Some(end) = self.tasks.join_next_with_id() => Happened::Finished(end),
            Some((key, progress)) = self.progress.1.recv() => Happened::Progress(key, progress),
            _ = io.heartbeat.tick() => Happened::Tick,
        }
    }

    async fn open(&mut self) -> Result<W::Other, Error> {
        if let Some(wait) = self.wait {
            sleep(wait).await;
            self.wait = None;
        }
        let (outgoing, requests) = mpsc::channel(OUTGOING);
        let hello = self.wire.hello(self.engine.in_flight());
        let opening = self.wire.open(ReceiverStream::new(requests));
        let opened = async {
            // There is room: the channel is new.
            let _sent = outgoing.send(hello).await;
            let mut incoming = opening.await?;
            let first = incoming.next().await;
            let first = first.unwrap_or_else(|| Err(Error::local("the stream ended at once")))?;
            Ok((incoming, first))
        };
        let (incoming, first) = timeout(OPEN_TIMEOUT, opened)
            .await
            .unwrap_or_else(|_| Err(Error::local("the stream did not open in time")))?;
        let Said::Opened(terms, other) = first else {
            return Err(Error::protocol("the stream did not begin with its terms"));
        };
        let named = terms.and_then(|terms| terms.heartbeat_interval);
        let period = named
            .and_then(|period| Duration::try_from(period).ok())
            .filter(|period| !period.is_zero())
            .unwrap_or(HEARTBEAT);
        let mut heartbeat = interval_at(Instant::now() + period, period);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.engine.resend();
        self.io = Some(Io {
            outgoing: Some(outgoing),
            incoming,
            heartbeat,
            heard: Instant::now(),
        });
        Ok(other)
    }

    /// The stream is gone. Sets the wait before the next one.
    fn lost(&mut self, error: Error) -> Result<(), Error> {
        self.io = None;
        self.failed = self.failed.saturating_add(1);
        let wait = self.backoff.wait(self.failed, &error);
        match wait.filter(|_| may_resume(&error)) {
            Some(wait) => {
                self.wait = Some(wait);
                Ok(())
            }
            None => Err(error),
        }
    }

    fn send_report(&mut self) {
        let Some(outgoing) = self.io.as_ref().and_then(|io| io.outgoing.as_ref()) else {
            return;
        };
        // The room was seen a moment ago; if it is gone, the stream is too, and all is sent again.
        if let Ok(room) = outgoing.try_reserve()
            && let Some(report) = self.engine.next_report()
        {
            room.send(W::report(report));
        }
    }

    fn beat(&mut self) -> Result<(), Error> {
        let Some(io) = &self.io else {
            return Ok(());
        };
        if io.heard.elapsed() > 3 * io.heartbeat.period() {
            return self.lost(Error::local("the server has fallen silent"));
        }
        if let Some(outgoing) = &io.outgoing {
            // A full queue is a sign of life, too.
            let _full = outgoing.try_send(W::heartbeat());
        }
        Ok(())
    }

    fn perform(&mut self, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Start(key, tool, assignment) => {
                    let progress = self.progress.0.clone();
                    let call = Call {
                        assignment,
                        progress,
                    };
                    self.start(key, &tool, call);
                }
                Act::Stop(key) => match self.handles.get(&key) {
                    Some(handle) => handle.abort(),
                    None => self.engine.finished(&key, End::Stopped),
                },
            }
        }
    }

    fn start(&mut self, key: Key, tool: &Tool, call: Call) {
        // The function itself may panic, before there is a future.
        let Ok(function) = catch_unwind(AssertUnwindSafe(|| tool.call(call))) else {
            self.engine.finished(&key, End::Panicked);
            return;
        };
        let handle = self.tasks.spawn(function);
        self.keys.insert(handle.id(), key.clone());
        self.handles.insert(key, handle);
    }

    fn finished(&mut self, end: Ended) {
        let (id, end) = match end {
            Ok((id, returned)) => (id, End::Returned(returned)),
            Err(error) if error.is_panic() => (error.id(), End::Panicked),
            Err(error) => (error.id(), End::Stopped),
        };
        if let Some(key) = self.keys.remove(&id) {
            self.handles.remove(&key);
            self.engine.finished(&key, end);
        }
    }

    /// Takes no more calls; half-closes when the open ones are over.
    pub(super) async fn leave(&mut self) {
        self.is_leaving = true;
        let outgoing = self.io.as_ref().and_then(|io| io.outgoing.clone());
        if let Some(outgoing) = outgoing {
            // A stream that is gone needs no telling.
            let _gone = outgoing.send(W::window(0)).await;
        }
    }

    /// Ends this side of the stream; what the server says still comes.
    pub(super) fn half_close(&mut self) {
        if let Some(io) = &mut self.io {
            io.outgoing = None;
        }
    }

    /// How many calls are not over.
    pub(super) fn open_calls(&self) -> usize {
        self.engine.len()
    }
}

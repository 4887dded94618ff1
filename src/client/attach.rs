//! A run with its tools in this process.

use std::collections::VecDeque;

use futures_util::{StreamExt as _, future::BoxFuture};
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use super::{
    Client, Error, MAX_RESPONSE_BYTES, Tool,
    session::{Incoming, Said, Session, Wire},
    watch::{is_over, run_in},
};
use crate::pb::v1::{
    AttachRunRequest, AttachRunResponse, AttachRunStart, EventDetail, Heartbeat, HostUpdate, Run,
    RunEvent, RunSpec, ToolCallRef, ToolCallReport,
    attach_run_request::Message as Request,
    attach_run_response::Message as Response,
    attach_run_start::{DisconnectPolicy, Target},
    run_event::Event,
    run_service_client::RunServiceClient,
};

impl Client {
    /// Creates a run and attaches to it: its events come here, its attached tools run here. Nothing is
    /// asked of the server before the first [`AttachedRun::next`] or [`AttachedRun::finish`].
    pub fn attach(&self, spec: RunSpec, tools: Vec<Tool>) -> AttachedRun {
        AttachedRun::new(self, Target::Create(spec), None, tools)
    }

    /// Attaches to a run that exists, behind this sequence or with a snapshot, in place of whoever was
    /// attached to it.
    pub fn attach_again(
        &self,
        run_id: &str,
        after_sequence: Option<i64>,
        tools: Vec<Tool>,
    ) -> AttachedRun {
        AttachedRun::new(
            self,
            Target::RunId(run_id.to_owned()),
            after_sequence,
            tools,
        )
    }
}

/// A run that is attached to this process.
///
/// Everything happens while [`next`](Self::next) or [`finish`](Self::finish) is awaited; the functions
/// themselves run on tasks of their own. A lost stream is opened again, and nothing is missed.
pub struct AttachedRun {
    session: Session<RunWire>,
    ready: VecDeque<RunEvent>,
    run: Option<Run>,
    is_over: bool,
}

impl std::fmt::Debug for AttachedRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AttachedRun")
            .field("run_id", &self.run_id())
            .finish_non_exhaustive()
    }
}

impl AttachedRun {
    fn new(client: &Client, target: Target, after_sequence: Option<i64>, tools: Vec<Tool>) -> Self {
        let window = if tools.is_empty() { 0 } else { 16 };
        let wire = RunWire {
            client: client.clone(),
            start: AttachRunStart {
                target: Some(target),
                request_id: Uuid::now_v7().to_string(),
                after_sequence,
                max_concurrent_calls: Some(window),
                host_id: format!("host_{}", Uuid::now_v7().simple()),
                detail: EventDetail::Full.into(),
                ..AttachRunStart::default()
            },
        };
        Self {
            session: Session::new(wire, tools, 16, client.backoff),
            ready: VecDeque::new(),
            run: None,
            is_over: false,
        }
    }

    /// Cancels the run when this stream is lost for longer than the server's grace, instead of leaving
    /// it to itself.
    #[must_use]
    pub fn cancel_when_lost(mut self) -> Self {
        self.session.wire.start.on_disconnect = DisconnectPolicy::Cancel.into();
        self
    }

    /// Leaves out deltas and progress.
    #[must_use]
    pub fn durable_events_only(mut self) -> Self {
        self.session.wire.start.detail = EventDetail::Durable.into();
        self
    }

    /// The run, once the server has said which.
    pub fn run_id(&self) -> Option<&str> {
        self.run.as_ref().map(|run| run.id.as_str())
    }

    /// The newest state of the run that was seen.
    pub const fn run(&self) -> Option<&Run> {
        self.run.as_ref()
    }

    /// The next event, heartbeats left out; `None` after the last. May be dropped and called again.
    ///
    /// # Errors
    /// What cannot be cured by opening another stream, or what was tried too often.
    pub async fn next(&mut self) -> Option<Result<RunEvent, Error>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.seen(&event);
                if !matches!(event.event, Some(Event::Heartbeat(_))) {
                    return Some(Ok(event));
                }
                continue;
            }
            if self.is_over {
                return None;
            }
            match self.session.next().await {
                Ok(Some(Brought::Started(run))) => self.started(run),
                Ok(Some(Brought::Events(events))) => self.ready.extend(events),
                Ok(None) => self.is_over = true,
                // The server may end the stream of a finished run as it likes.
                Err(_) if self.run.as_ref().is_some_and(is_over) => self.is_over = true,
                Err(error) => {
                    self.is_over = true;
                    return Some(Err(error));
                }
            }
        }
    }

    /// Waits for the run's end. A run that failed is no error here.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn finish(mut self) -> Result<Run, Error> {
        while let Some(event) = self.next().await {
            event?;
        }
        self.run
            .ok_or_else(|| Error::protocol("the stream ended without a run"))
    }

    fn started(&mut self, run: Option<Box<Run>>) {
        if let Some(run) = run {
            // From now on this run, wherever it stands, instead of a new one.
            let start = &mut self.session.wire.start;
            start.target = Some(Target::RunId(run.id.clone()));
            if self.run.is_none() {
                self.run = Some(*run);
            }
        }
    }

    fn seen(&mut self, event: &RunEvent) {
        self.session.wire.start.after_sequence = Some(event.sequence);
        if let Some(run) = run_in(event) {
            self.run = Some(run.clone());
            if is_over(run) {
                // The server waits for this before it ends the stream.
                self.session.half_close();
            }
        }
    }
}

/// What only `AttachRun` says.
pub(super) enum Brought {
    Started(Option<Box<Run>>),
    Events(Vec<RunEvent>),
}

/// The messages of `AttachRun`.
pub(super) struct RunWire {
    client: Client,
    start: AttachRunStart,
}

fn request(message: Request) -> AttachRunRequest {
    AttachRunRequest {
        message: Some(message),
    }
}

impl Wire for RunWire {
    type Request = AttachRunRequest;
    type Other = Brought;

    fn hello(&self, in_flight: Vec<ToolCallRef>) -> AttachRunRequest {
        let mut start = self.start.clone();
        start.in_flight = in_flight;
        if matches!(start.target, Some(Target::RunId(_))) {
            start.request_id.clear();
        } else {
            start.after_sequence = None;
        }
        request(Request::Start(start))
    }

    fn report(report: ToolCallReport) -> AttachRunRequest {
        request(Request::Report(report))
    }

    fn heartbeat() -> AttachRunRequest {
        request(Request::Heartbeat(Heartbeat {}))
    }

    fn window(calls: i32) -> AttachRunRequest {
        request(Request::Update(HostUpdate {
            max_concurrent_calls: Some(calls),
            tools: None,
        }))
    }

    fn open(
        &self,
        outgoing: ReceiverStream<AttachRunRequest>,
    ) -> BoxFuture<'static, Result<Incoming<Brought>, Error>> {
        let client = self.client.clone();
        Box::pin(async move {
            let response = RunServiceClient::new(client.streams.clone())
                .max_decoding_message_size(MAX_RESPONSE_BYTES)
                .attach_run(client.lasting(outgoing))
                .await?;
            let incoming = response.into_inner().filter_map(|answer| async {
                match answer {
                    Ok(answer) => said(answer).map(Ok),
                    Err(status) => Some(Err(Error::from(status))),
                }
            });
            Ok(Box::pin(incoming) as Incoming<Brought>)
        })
    }
}

/// What an answer says; `None` for what this client is too old to know.
fn said(answer: AttachRunResponse) -> Option<Said<Brought>> {
    match answer.message? {
        Response::Started(started) => Some(Said::Opened(
            started.session,
            Brought::Started(started.run.map(Box::new)),
        )),
        Response::Events(batch) => Some(Said::Other(Brought::Events(batch.events))),
        Response::Command(command) => command
            .command
            .map(|command| Said::Command(Box::new(command))),
    }
}

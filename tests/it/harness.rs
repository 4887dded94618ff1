//! A whole server in the test's process: the real composition over a fake world of models and a clock
//! that a paused runtime moves, reached through real HTTP/2 on an in-memory pipe.

mod bystander;
mod model;
pub(crate) mod upstream;

use std::sync::{Arc, Mutex};

use hyper_util::rt::TokioIo;
use runwire::{
    app::{App, World},
    config::Config,
    domain::time::Timestamp,
    pb::v1::{
        self, completion_service_client::CompletionServiceClient,
        model_service_client::ModelServiceClient, run_service_client::RunServiceClient,
        thread_service_client::ThreadServiceClient, tool_service_client::ToolServiceClient,
    },
    run::port::{Clock, Models},
    store::memory::Memory,
};
use tokio::{io::DuplexStream, sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{
    Status, Streaming,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt;

pub(crate) use bystander::Bystander;
pub(crate) use model::{FLOOD_BYTES, FakeModels};

/// A server that runs.
pub(crate) struct Server {
    pub(crate) app: Arc<App>,
    pub(crate) models: Arc<FakeModels>,
    pub(crate) tasks: TaskTracker,
}

/// Time that moves with the runtime's.
struct TestClock(Instant);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000) + self.0.elapsed()
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let models = Arc::new(FakeModels::default());
        let server = Self::over(config, Arc::clone(&models) as Arc<_>).await;
        Self { models, ..server }
    }

    /// A server over other models than the fake ones.
    pub(crate) async fn over(config: Config, models: Arc<dyn Models>) -> Self {
        let clock = Arc::new(TestClock(Instant::now()));
        let world = World {
            models,
            store: Arc::new(Memory::new(
                runwire::store::memory::Settings::default(),
                Arc::clone(&clock) as Arc<_>,
            )),
            clock,
        };
        Self {
            app: Arc::new(App::build(&config, world).await.unwrap()),
            models: Arc::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// The client's end of a new connection.
    pub(crate) fn pipe(&self) -> DuplexStream {
        let (client, server) = tokio::io::duplex(256 * 1024);
        let app = Arc::clone(&self.app);
        self.tasks.spawn(async move {
            // How a connection ends is seen at the client's end.
            let _end = app.serve(server).await;
        });
        client
    }

    /// A connection of its own.
    pub(crate) async fn channel(&self) -> Channel {
        channel_over(self.pipe()).await
    }

    pub(crate) async fn runs(&self) -> RunServiceClient<Channel> {
        RunServiceClient::new(self.channel().await)
    }

    pub(crate) async fn threads(&self) -> ThreadServiceClient<Channel> {
        ThreadServiceClient::new(self.channel().await)
    }

    pub(crate) async fn tools(&self) -> ToolServiceClient<Channel> {
        ToolServiceClient::new(self.channel().await)
    }

    pub(crate) async fn completions(&self) -> CompletionServiceClient<Channel> {
        CompletionServiceClient::new(self.channel().await)
    }

    pub(crate) async fn models(&self) -> ModelServiceClient<Channel> {
        ModelServiceClient::new(self.channel().await)
    }

    /// Begins the end of the server.
    pub(crate) fn drain(&self) -> tokio::task::JoinHandle<()> {
        let app = Arc::clone(&self.app);
        self.tasks
            .spawn(async move { app.drain(CancellationToken::new()).await })
    }
}

/// A connection over a pipe whose other end a server has.
pub(crate) async fn channel_over(pipe: DuplexStream) -> Channel {
    let pipe = Arc::new(Mutex::new(Some(pipe)));
    Endpoint::from_static("http://runwire.test")
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(256 * 1024 * 1024)
        .connect_with_connector(tower::service_fn(move |_| {
            let pipe = pipe.lock().unwrap().take();
            async move {
                pipe.map(TokioIo::new)
                    .ok_or(std::io::Error::from(std::io::ErrorKind::ConnectionRefused))
            }
        }))
        .await
        .unwrap()
}

/// The caller's half of a bidirectional stream, and the server's.
pub(crate) struct Dialogue<Q, A> {
    /// `None`: half-closed.
    pub(crate) said: Option<mpsc::Sender<Q>>,
    pub(crate) heard: Streaming<A>,
}

impl<Q, A> Dialogue<Q, A> {
    pub(crate) async fn say(&self, message: impl Into<Q>) {
        self.said
            .as_ref()
            .unwrap()
            .send(message.into())
            .await
            .unwrap();
    }

    pub(crate) fn half_close(&mut self) {
        self.said = None;
    }
}

pub(crate) type Attachment = Dialogue<v1::AttachRunRequest, v1::AttachRunResponse>;
pub(crate) type Hosting = Dialogue<v1::HostToolsRequest, v1::HostToolsResponse>;

/// Opens a run's own stream with a first message.
pub(crate) async fn attach(
    client: &mut RunServiceClient<Channel>,
    first: v1::attach_run_request::Message,
) -> Result<Attachment, Status> {
    let (said, inbound) = mpsc::channel(64);
    said.send(run_message(first)).await.unwrap();
    let heard = client.attach_run(ReceiverStream::new(inbound)).await?;
    Ok(Dialogue {
        said: Some(said),
        heard: heard.into_inner(),
    })
}

/// Opens a tool host's stream with a first message.
pub(crate) async fn host(
    client: &mut ToolServiceClient<Channel>,
    first: v1::host_tools_request::Message,
) -> Result<Hosting, Status> {
    let (said, inbound) = mpsc::channel(64);
    said.send(host_message(first)).await.unwrap();
    let heard = client.host_tools(ReceiverStream::new(inbound)).await?;
    Ok(Dialogue {
        said: Some(said),
        heard: heard.into_inner(),
    })
}

pub(crate) fn run_message(message: v1::attach_run_request::Message) -> v1::AttachRunRequest {
    v1::AttachRunRequest {
        message: Some(message),
    }
}

pub(crate) fn host_message(message: v1::host_tools_request::Message) -> v1::HostToolsRequest {
    v1::HostToolsRequest {
        message: Some(message),
    }
}

impl Attachment {
    /// The first message.
    pub(crate) async fn started(&mut self) -> v1::AttachRunStarted {
        match self
            .heard
            .message()
            .await
            .unwrap()
            .unwrap()
            .message
            .unwrap()
        {
            v1::attach_run_response::Message::Started(started) => started,
            other => panic!("not the start: {other:?}"),
        }
    }

    /// Reads on, adding events, until a command of interest.
    pub(crate) async fn assignment(
        &mut self,
        events: &mut Vec<v1::RunEvent>,
    ) -> v1::ToolCallAssignment {
        use v1::{attach_run_response::Message, host_command::Command};
        loop {
            match self
                .heard
                .message()
                .await
                .unwrap()
                .unwrap()
                .message
                .unwrap()
            {
                Message::Events(batch) => events.extend(batch.events),
                Message::Command(command) => {
                    if let Some(Command::Assignment(assignment)) = command.command {
                        return assignment;
                    }
                }
                Message::Started(_) => {}
            }
        }
    }

    /// Reads all events to the stream's end.
    pub(crate) async fn finish(&mut self) -> Result<Vec<v1::RunEvent>, Status> {
        let mut events = Vec::new();
        while let Some(message) = self.heard.message().await? {
            if let Some(v1::attach_run_response::Message::Events(batch)) = message.message {
                events.extend(batch.events);
            }
        }
        Ok(events)
    }

    pub(crate) async fn report(&self, delivery: &v1::ToolCallAssignment, report: Report) {
        let report = report_on(delivery, report);
        self.say(run_message(v1::attach_run_request::Message::Report(report)))
            .await;
    }
}

impl Hosting {
    pub(crate) async fn registered(&mut self) -> v1::HostRegistered {
        match self
            .heard
            .message()
            .await
            .unwrap()
            .unwrap()
            .message
            .unwrap()
        {
            v1::host_tools_response::Message::Registered(registered) => registered,
            v1::host_tools_response::Message::Command(command) => {
                panic!("not the registration: {command:?}")
            }
        }
    }

    /// The next command that is no heartbeat.
    pub(crate) async fn command(&mut self) -> v1::host_command::Command {
        loop {
            let message = self
                .heard
                .message()
                .await
                .unwrap()
                .expect("the stream goes on");
            if let Some(v1::host_tools_response::Message::Command(command)) = message.message {
                match command.command.unwrap() {
                    v1::host_command::Command::Heartbeat(_) => {}
                    command => return command,
                }
            }
        }
    }

    pub(crate) async fn assignment(&mut self) -> v1::ToolCallAssignment {
        loop {
            if let v1::host_command::Command::Assignment(assignment) = self.command().await {
                return assignment;
            }
        }
    }

    pub(crate) async fn receipt(&mut self) -> v1::ToolCallReceipt {
        loop {
            if let v1::host_command::Command::Receipt(receipt) = self.command().await {
                return receipt;
            }
        }
    }

    pub(crate) async fn report(&self, delivery: &v1::ToolCallAssignment, report: Report) {
        let report = report_on(delivery, report);
        self.say(host_message(v1::host_tools_request::Message::Report(
            report,
        )))
        .await;
    }
}

pub(crate) type Report = v1::tool_call_report::Report;

pub(crate) fn report_on(delivery: &v1::ToolCallAssignment, report: Report) -> v1::ToolCallReport {
    v1::ToolCallReport {
        call_id: delivery.call.as_ref().unwrap().id.clone(),
        attempt: delivery.attempt,
        report: Some(report),
    }
}

pub(crate) fn accepted() -> Report {
    Report::Acceptance(v1::ToolCallAcceptance {})
}

pub(crate) fn result(text: &str) -> Report {
    Report::Result(v1::ToolResult {
        parts: vec![text_part(text)],
        ..v1::ToolResult::default()
    })
}

pub(crate) fn text_part(text: &str) -> v1::Part {
    v1::Part {
        content: Some(v1::part::Content::Text(text.to_owned())),
        ..v1::Part::default()
    }
}

pub(crate) fn user(text: &str) -> v1::Message {
    v1::Message {
        role: v1::Role::User.into(),
        parts: vec![text_part(text)],
        ..v1::Message::default()
    }
}

pub(crate) fn params(model: &str) -> v1::CompletionParams {
    v1::CompletionParams {
        model: model.to_owned(),
        messages: vec![user("hi")],
        ..v1::CompletionParams::default()
    }
}

/// A tool that takes an object.
pub(crate) fn tool(name: &str) -> v1::Tool {
    v1::Tool {
        name: name.to_owned(),
        description: "does it".to_owned(),
        input_schema_json: r#"{"type":"object"}"#.to_owned(),
        ..v1::Tool::default()
    }
}

pub(crate) fn idempotent(name: &str) -> v1::Tool {
    v1::Tool {
        annotations: Some(v1::ToolAnnotations {
            idempotent: true,
            ..v1::ToolAnnotations::default()
        }),
        ..tool(name)
    }
}

pub(crate) fn attached(tool: v1::Tool) -> v1::ToolBinding {
    v1::ToolBinding {
        binding: Some(v1::tool_binding::Binding::Attached(tool)),
        ..v1::ToolBinding::default()
    }
}

pub(crate) fn hosted(name: &str) -> v1::ToolBinding {
    v1::ToolBinding {
        binding: Some(v1::tool_binding::Binding::Hosted(v1::HostedTool {
            name: name.to_owned(),
            ..v1::HostedTool::default()
        })),
        ..v1::ToolBinding::default()
    }
}

pub(crate) fn spec(model: &str, tools: Vec<v1::ToolBinding>) -> v1::RunSpec {
    v1::RunSpec {
        agent: Some(v1::Agent {
            name: "tester".to_owned(),
            model: model.to_owned(),
            tools,
            ..v1::Agent::default()
        }),
        input: vec![user("go")],
        ..v1::RunSpec::default()
    }
}

pub(crate) fn create(spec: v1::RunSpec) -> v1::attach_run_request::Message {
    v1::attach_run_request::Message::Start(v1::AttachRunStart {
        target: Some(v1::attach_run_start::Target::Create(spec)),
        host_id: "client-1".to_owned(),
        ..v1::AttachRunStart::default()
    })
}

pub(crate) fn registration(host_id: &str, tools: Vec<v1::Tool>) -> v1::host_tools_request::Message {
    v1::host_tools_request::Message::Registration(v1::HostRegistration {
        host_id: host_id.to_owned(),
        tools,
        ..v1::HostRegistration::default()
    })
}

pub(crate) async fn start_run(
    client: &mut RunServiceClient<Channel>,
    spec: v1::RunSpec,
) -> v1::Run {
    let request = v1::CreateRunRequest {
        spec: Some(spec),
        ..v1::CreateRunRequest::default()
    };
    client
        .create_run(request)
        .await
        .unwrap()
        .into_inner()
        .run
        .unwrap()
}

/// Watches a run to its end and returns how it ended.
pub(crate) async fn outcome(client: &mut RunServiceClient<Channel>, run_id: &str) -> v1::Run {
    let events = watch_all(client, run_id, Some(0)).await;
    last_run(&events).expect("a run ends with its state")
}

pub(crate) async fn watch_all(
    client: &mut RunServiceClient<Channel>,
    run_id: &str,
    after_sequence: Option<i64>,
) -> Vec<v1::RunEvent> {
    let request = v1::WatchRunRequest {
        run_id: run_id.to_owned(),
        after_sequence,
        ..v1::WatchRunRequest::default()
    };
    let mut stream = client.watch_run(request).await.unwrap().into_inner();
    let mut events = Vec::new();
    while let Some(batch) = stream.message().await.unwrap() {
        events.extend(batch.events);
    }
    events
}

/// The newest state of the run among events.
pub(crate) fn last_run(events: &[v1::RunEvent]) -> Option<v1::Run> {
    events.iter().rev().find_map(|event| match &event.event {
        Some(v1::run_event::Event::RunUpdated(run)) => Some((**run).clone()),
        _ => None,
    })
}

pub(crate) fn output(run: &v1::Run) -> String {
    let parts = run.output.as_ref().map(|m| &*m.parts).unwrap_or_default();
    parts
        .iter()
        .filter_map(|part| match &part.content {
            Some(v1::part::Content::Text(text)) => Some(&**text),
            _ => None,
        })
        .collect()
}

/// A status' code and reason.
pub(crate) fn why(status: &Status) -> (tonic::Code, String) {
    let info = status.get_details_error_info();
    (
        status.code(),
        info.map(|info| info.reason).unwrap_or_default(),
    )
}

#[track_caller]
pub(crate) fn assert_fails<T>(
    answer: Result<T, Status>,
    code: tonic::Code,
    reason: &str,
) -> Status {
    let Err(status) = answer else {
        panic!("succeeded, and should fail with {reason}");
    };
    assert_eq!(
        why(&status),
        (code, reason.to_owned()),
        "{}",
        status.message()
    );
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.domain, "runwire.dev");
    status
}

//! A process that runs tools for any run.

use std::{collections::HashMap, future::Future, pin::pin, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, future::BoxFuture};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use super::{
    Backoff, Client, Error, MAX_RESPONSE_BYTES, Tool,
    session::{Incoming, Said, Session, Wire},
};
use crate::pb::v1::{
    Heartbeat, HostRegistered, HostRegistration, HostToolsRequest, HostToolsResponse, HostUpdate,
    ToolCallRef, ToolCallReport, host_tools_request, host_tools_response,
    tool_service_client::ToolServiceClient,
};

/// Offers tools to all runs of the tenant, until it is told to stop.
///
/// A lost stream is opened again, with waits that grow, for as long as it takes; calls go on meanwhile.
#[derive(Clone)]
pub struct ToolHost {
    client: Client,
    host_id: String,
    tools: Vec<Tool>,
    window: usize,
    labels: HashMap<String, String>,
    drain: Duration,
    registered: Option<Arc<dyn Fn(HostRegistered) + Send + Sync>>,
}

impl std::fmt::Debug for ToolHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToolHost")
            .field("host_id", &self.host_id)
            .field("tools", &self.tools)
            .finish_non_exhaustive()
    }
}

/// How a host's service ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostEnd {
    /// Calls that had no end or no receipt when the time for draining was over.
    pub unfinished: usize,
}

impl ToolHost {
    /// A host with a fresh id and a window of 16 calls.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            host_id: format!("host_{}", Uuid::now_v7().simple()),
            tools: Vec::new(),
            window: 16,
            labels: HashMap::new(),
            drain: Duration::from_secs(30),
            registered: None,
        }
    }

    /// Offers a tool.
    #[must_use]
    pub fn tool(mut self, tool: Tool) -> Self {
        self.tools.push(tool);
        self
    }

    /// Runs at most so many calls at once.
    #[must_use]
    pub const fn window(mut self, calls: usize) -> Self {
        self.window = calls;
        self
    }

    /// Under this id. It must be unique, and the same for the life of the process.
    #[must_use]
    pub fn host_id(mut self, host_id: impl Into<String>) -> Self {
        self.host_id = host_id.into();
        self
    }

    /// With a label, for logs and routing.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Waits so long for open calls when it is told to stop. Default 30 s.
    #[must_use]
    pub const fn drain_timeout(mut self, drain: Duration) -> Self {
        self.drain = drain;
        self
    }

    /// Calls this each time the server has taken the registration: the tools are live then, but for
    /// those that it names as rejected.
    #[must_use]
    pub fn on_registered(mut self, tell: impl Fn(HostRegistered) + Send + Sync + 'static) -> Self {
        self.registered = Some(Arc::new(tell));
        self
    }

    /// Serves until `stop` completes; then takes no more calls, finishes those that it has, and leaves.
    ///
    /// # Errors
    /// What opening the stream again does not cure: no permission, a registration that is wrong, another
    /// process with the same host id.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<HostEnd, Error> {
        let backoff = Backoff {
            tries: u32::MAX,
            ..self.client.backoff
        };
        let (tools, window, drain) = (self.tools.clone(), self.window, self.drain);
        let mut session = Session::new(HostWire(self), tools, window, backoff);
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return Ok(leave(&mut session, drain).await),
                said = session.next() => match said? {
                    Some(registered) => session.wire.tell(registered),
                    // The server has ended the stream, as one does that goes down: open another one.
                    None => tokio::time::sleep(backoff.first).await,
                },
            }
        }
    }
}

/// Takes no more calls, finishes those that it has, and waits for the server's end.
async fn leave(session: &mut Session<HostWire>, drain: Duration) -> HostEnd {
    let drained = async {
        session.leave().await;
        // A stream that had to be opened again does not know that the host is leaving.
        while let Ok(Some(_)) = session.next().await {
            session.leave().await;
        }
    };
    // Whatever is late is counted.
    let _late = timeout(drain, drained).await;
    HostEnd {
        unfinished: session.open_calls(),
    }
}

/// The messages of `HostTools`.
pub(super) struct HostWire(ToolHost);

impl HostWire {
    fn tell(&self, registered: HostRegistered) {
        if let Some(tell) = &self.0.registered {
            tell(registered);
        }
    }
}

fn request(message: host_tools_request::Message) -> HostToolsRequest {
    HostToolsRequest {
        message: Some(message),
    }
}

impl Wire for HostWire {
    type Request = HostToolsRequest;
    type Other = HostRegistered;

    fn hello(&self, in_flight: Vec<ToolCallRef>) -> HostToolsRequest {
        let host = &self.0;
        request(host_tools_request::Message::Registration(
            HostRegistration {
                host_id: host.host_id.clone(),
                tools: host
                    .tools
                    .iter()
                    .map(|tool| tool.definition().clone())
                    .collect(),
                max_concurrent_calls: Some(i32::try_from(host.window).unwrap_or(i32::MAX)),
                labels: host.labels.clone(),
                in_flight,
            },
        ))
    }

    fn report(report: ToolCallReport) -> HostToolsRequest {
        request(host_tools_request::Message::Report(report))
    }

    fn heartbeat() -> HostToolsRequest {
        request(host_tools_request::Message::Heartbeat(Heartbeat {}))
    }

    fn window(calls: i32) -> HostToolsRequest {
        request(host_tools_request::Message::Update(HostUpdate {
            max_concurrent_calls: Some(calls),
            tools: None,
        }))
    }

    fn open(
        &self,
        outgoing: ReceiverStream<HostToolsRequest>,
    ) -> BoxFuture<'static, Result<Incoming<HostRegistered>, Error>> {
        let client = self.0.client.clone();
        Box::pin(async move {
            let response = ToolServiceClient::new(client.streams.clone())
                .max_decoding_message_size(MAX_RESPONSE_BYTES)
                .host_tools(client.lasting(outgoing))
                .await?;
            let incoming = response.into_inner().filter_map(|answer| async {
                match answer {
                    Ok(answer) => said(answer).map(Ok),
                    Err(status) => Some(Err(Error::from(status))),
                }
            });
            Ok(Box::pin(incoming) as Incoming<HostRegistered>)
        })
    }
}

/// What an answer says; `None` for what this client is too old to know.
fn said(answer: HostToolsResponse) -> Option<Said<HostRegistered>> {
    match answer.message? {
        host_tools_response::Message::Registered(registered) => {
            Some(Said::Opened(registered.session.clone(), registered))
        }
        host_tools_response::Message::Command(command) => command
            .command
            .map(|command| Said::Command(Box::new(command))),
    }
}

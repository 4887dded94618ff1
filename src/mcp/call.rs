//! One call in flight: it waits for the server, is accepted, goes out, and comes back or is lost.

use std::{sync::Arc, time::Duration};

use rmcp::{
    model::{
        CallToolRequest, CallToolRequestParams, ClientRequest, RequestMetaObject, ServerResult,
    },
    service::{PeerRequestOptions, RequestHandle, ServiceError},
    transport::streamable_http_client::StreamableHttpError,
};
use tokio::{sync::oneshot, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    catalog::Found,
    result,
    server::{Server, Up},
};
use crate::{
    domain::{
        call::{Assignment, Disposition, Report},
        id::HostId,
        message::ToolResult,
    },
    run::port::{CallNews, Inbox, ReceiptSlip, RunInput},
};

/// How long telling a server to stop may take.
const TELLING: Duration = Duration::from_secs(1);

/// Most bytes of what a server says in place of a result.
const LONGEST_ERROR: usize = 4096;

/// A call in flight.
pub(super) struct Call {
    pub(super) server: Arc<Server>,
    /// The server as a host.
    pub(super) host_id: HostId,
    /// What stands before the server's own name in the tool's.
    pub(super) prefix: String,
    pub(super) assignment: Assignment,
    pub(super) inbox: Inbox,
    /// Cancelled when nobody wants the call any more.
    pub(super) stop: CancellationToken,
}

/// What became of a request.
enum Outcome {
    Result(ToolResult),
    /// Nobody knows.
    Lost,
}

impl Call {
    /// The whole way of the call. Ends with the call, or soon after it was stopped.
    pub(super) async fn run(self) {
        let ready = tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            ready = self.server.ready() => ready,
        };
        let Some((up, _room)) = ready else {
            return self.tell(CallNews::Withdrawn).await;
        };
        let Found::Here(own) = self.server.find(&self.prefix, &self.assignment.tool) else {
            return self.tell(CallNews::Changed).await;
        };
        if !self.accept().await {
            return;
        }
        match Box::pin(self.request(&up, &own)).await {
            Outcome::Result(result) => self.report(Report::Result(Arc::new(result)), None).await,
            Outcome::Lost => {
                let host_id = self.host_id.clone();
                self.tell(CallNews::Lost { host_id }).await;
            }
        }
    }

    /// Says that the call begins, and waits until that is stored: whether it may.
    async fn accept(&self) -> bool {
        let (answer, receipt) = oneshot::channel();
        let slip = ReceiptSlip::new(move |disposition| {
            // A call that was stopped meanwhile wants no receipt.
            let _gone = answer.send(disposition);
        });
        self.report(Report::Accepted, Some(slip)).await;
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {
                self.tell(CallNews::Withdrawn).await;
                false
            }
            receipt = receipt => match receipt {
                Ok(Disposition::Applied | Disposition::Duplicate) => true,
                // Without a receipt the run was set aside, and knows no more than that it is stored.
                Ok(Disposition::Stale) | Err(_) => false,
            }
        }
    }

    async fn request(&self, up: &Up, own: &str) -> Outcome {
        let arguments = serde_json::from_str(self.assignment.arguments.as_str());
        let params = CallToolRequestParams::new(own.to_owned());
        let params = params.with_arguments(arguments.unwrap_or_default());
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        let options = PeerRequestOptions::no_options().with_meta(self.meta());
        let Ok(mut handle) = up.peer.send_cancellable_request(request, options).await else {
            return Outcome::Lost;
        };
        let (inbox, delivery) = (self.inbox.clone(), self.assignment.delivery.clone());
        let host_id = self.host_id.clone();
        let _listening = up
            .ear
            .listen(handle.progress_token.clone(), move |progress| {
                let news = CallNews::Reported {
                    host_id: host_id.clone(),
                    report: Report::Progress(progress),
                    slip: None,
                };
                let delivery = delivery.clone();
                // Only the latest counts, and a run that is behind can do without.
                inbox.offer(RunInput::Call { delivery, news });
            });
        let answer = tokio::select! {
            biased;
            answer = &mut handle.rx => Some(answer),
            () = self.stop.cancelled() => None,
        };
        match answer {
            Some(Ok(Ok(answer))) => Outcome::Result(self.read(answer)),
            Some(Ok(Err(error))) => self.fail(error, up),
            Some(Err(_closed)) => Outcome::Lost,
            None => {
                abandon(handle).await;
                Outcome::Lost
            }
        }
    }

    /// What goes along with a call, for servers that know it: its key, and its place in the trace.
    fn meta(&self) -> RequestMetaObject {
        let mut meta = RequestMetaObject::default();
        let delivery = &self.assignment.delivery;
        meta.insert(
            "runwire.dev/callId".to_owned(),
            delivery.call_id.to_string().into(),
        );
        if let Some(trace) = &self.assignment.run.trace {
            meta.set_traceparent(trace.parent());
            if !trace.state().is_empty() {
                meta.set_tracestate(trace.state());
            }
        }
        meta
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the SDK's own, which grows: whatever else it is, it is no result of a call"
    )]
    fn read(&self, answer: ServerResult) -> ToolResult {
        let call_id = self.assignment.delivery.call_id.clone();
        match answer {
            ServerResult::CallToolResult(answered) => result::result(call_id, answered),
            // So an answer without content reads.
            ServerResult::EmptyResult(_) => ToolResult {
                call_id,
                parts: Vec::new(),
                structured: None,
                is_error: false,
            },
            ServerResult::InputRequiredResult(_) => ToolResult::error(
                call_id,
                "The tool asks for input that it cannot be given here.",
            ),
            _ => ToolResult::error(
                call_id,
                "The tool answered with something that is no result.",
            ),
        }
    }

    /// An error of the protocol is told to the model, as it often says what is wrong with the arguments. A
    /// broken connection says nothing about the call.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the SDK's own, which grows: whatever else it is, it says nothing about the call"
    )]
    fn fail(&self, error: ServiceError, up: &Up) -> Outcome {
        let call_id = self.assignment.delivery.call_id.clone();
        match error {
            ServiceError::McpError(said) => {
                let text: String = said.message.chars().take(LONGEST_ERROR).collect();
                Outcome::Result(ToolResult::error(call_id, text))
            }
            ServiceError::TransportSend(error) if is_too_large(&*error.error) => {
                let text = "The tool has run, but its result is too large. Ask for less at a time.";
                Outcome::Result(ToolResult::error(call_id, text))
            }
            ServiceError::UnexpectedResponse => {
                let text = "The tool answered with something that is no result.";
                Outcome::Result(ToolResult::error(call_id, text))
            }
            _ => {
                up.broken.cancel();
                Outcome::Lost
            }
        }
    }

    async fn report(&self, report: Report, slip: Option<ReceiptSlip>) {
        let host_id = self.host_id.clone();
        self.tell(CallNews::Reported {
            host_id,
            report,
            slip,
        })
        .await;
    }

    async fn tell(&self, news: CallNews) {
        let delivery = self.assignment.delivery.clone();
        self.inbox.send(RunInput::Call { delivery, news }).await;
    }
}

/// Tells the server that nobody waits for the answer. It may stop, or may not: nobody will know.
async fn abandon(handle: RequestHandle<rmcp::RoleClient>) {
    let reason = Some("the call is not wanted any more".to_owned());
    let _told = timeout(TELLING, handle.cancel(reason)).await;
}

fn is_too_large(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    matches!(
        error.downcast_ref::<StreamableHttpError<reqwest::Error>>(),
        Some(StreamableHttpError::ResponseBodyTooLarge { .. })
    )
}

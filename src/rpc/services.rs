//! Which service answers which path.

use std::{
    convert::Infallible,
    fmt,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use tonic::{body::Body, codegen::Service, server::NamedService, service::Routes};

use super::{
    completion::Completions, host::Hosting, model::Catalogue, run::RunCalls, thread::ThreadCalls,
    tool::ToolCalls,
};
use crate::pb::v1::{
    completion_service_server::CompletionServiceServer, model_service_server::ModelServiceServer,
    run_service_server::RunServiceServer, thread_service_server::ThreadServiceServer,
    tool_service_server::ToolServiceServer,
};

/// What messages may weigh.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A request of a completion or a run: conversations carry media.
    pub conversation_bytes: usize,
    /// Every other request.
    pub request_bytes: usize,
    /// A page of a list.
    pub response_bytes: usize,
}

/// All services of the server. Ours are found without a router's tree; health and reflection, which
/// are rarely called, by one.
#[derive(Clone)]
pub(super) struct Services {
    completions: CompletionServiceServer<Completions>,
    runs: RunServiceServer<RunCalls>,
    threads: ThreadServiceServer<ThreadCalls>,
    tools: ToolServiceServer<ToolCalls>,
    models: ModelServiceServer<Catalogue>,
    standard: Routes,
}

/// The names of our services, for health and reflection.
pub(super) const NAMES: [&str; 5] = [
    CompletionServiceServer::<Completions>::NAME,
    RunServiceServer::<RunCalls>::NAME,
    ThreadServiceServer::<ThreadCalls>::NAME,
    ToolServiceServer::<ToolCalls>::NAME,
    ModelServiceServer::<Catalogue>::NAME,
];

impl Services {
    pub(super) fn new(
        completions: Completions,
        hosting: Hosting,
        models: Catalogue,
        standard: Routes,
        limits: Limits,
    ) -> Self {
        let (large, small) = (limits.conversation_bytes, limits.request_bytes);
        Self {
            completions: CompletionServiceServer::new(completions).max_decoding_message_size(large),
            runs: RunServiceServer::new(RunCalls::new(hosting.clone()))
                .max_decoding_message_size(large),
            threads: ThreadServiceServer::new(ThreadCalls::new(hosting.clone()))
                .max_decoding_message_size(small),
            tools: ToolServiceServer::new(ToolCalls::new(hosting)).max_decoding_message_size(small),
            models: ModelServiceServer::new(models).max_decoding_message_size(small),
            standard,
        }
    }
}

impl Service<Request<Body>> for Services {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let service = request
            .uri()
            .path()
            .trim_start_matches('/')
            .split('/')
            .next();
        let [completions, runs, threads, tools, models] = NAMES;
        match service.unwrap_or_default() {
            name if name == completions => self.completions.call(request),
            name if name == runs => self.runs.call(request),
            name if name == threads => self.threads.call(request),
            name if name == tools => self.tools.call(request),
            name if name == models => self.models.call(request),
            _ => Box::pin(self.standard.call(request)),
        }
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Services")
    }
}

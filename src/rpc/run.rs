//! `RunService`.

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming};

use super::{
    attach::RunSpeaker,
    convert::{At, input, run as convert, thread},
    host::Hosting,
    page,
    status::status,
    stream::{Replies, caller, replies, trace},
    watch::{ManyRuns, OneRun, detail, position},
};
use crate::{
    domain::{fault::Fault, principal::Principal, run::Run, trace::Trace},
    pb::v1::{
        AddRunMessagesRequest, AddRunMessagesResponse, AnswerInputRequest, AnswerInputResponse,
        AttachRunRequest, AttachRunResponse, CancelRunRequest, CancelRunResponse, CreateRunRequest,
        CreateRunResponse, GetRunRequest, GetRunResponse, ListRunsRequest, ListRunsResponse,
        WatchRunRequest, WatchRunResponse, WatchRunsRequest, WatchRunsResponse,
        run_service_server::RunService,
    },
    run::{Detail, WatchMany, port::RunFilter},
};

/// Runs over RPC.
pub(super) struct RunCalls(Hosting);

// === impl RunCalls ===

impl RunCalls {
    pub(super) const fn new(hosting: Hosting) -> Self {
        Self(hosting)
    }

    async fn create(
        &self,
        principal: &Principal,
        trace: Option<Trace>,
        request: CreateRunRequest,
    ) -> Result<Arc<Run>, Fault> {
        let request_id = convert::request_id(&request.request_id, &At::root("request_id"))?;
        let spec = self.0.intake.run_spec(request.spec, &At::root("spec"))?;
        let runs = &self.0.runs;
        runs.create(principal, spec, request_id, trace).await
    }

    async fn page(
        &self,
        principal: &Principal,
        request: ListRunsRequest,
    ) -> Result<ListRunsResponse, Fault> {
        let room = page::Room {
            size: page::size(request.page_size)?,
            bytes: self.0.page_bytes,
        };
        let filter = convert::filter(request.filter)?;
        let before = match &*request.page_token {
            "" => None,
            token => Some(token.parse().map_err(|_foreign| page::bad_token())?),
        };
        let list = self
            .0
            .runs
            .list(&principal.tenant, &filter, before, room.size + 1);
        let (runs, next_page_token) = page::fill(
            list.await?,
            room,
            |run| convert::encode(run),
            |run| run.id.to_string(),
        );
        Ok(ListRunsResponse {
            runs,
            next_page_token,
        })
    }

    async fn one(&self, principal: &Principal, request: &WatchRunRequest) -> Result<OneRun, Fault> {
        let run_id = convert::run_id(&request.run_id)?;
        let at = At::root("after_sequence");
        let after = request.after_sequence.map(|n| at.sequence(n)).transpose()?;
        let detail = detail(request.detail(), Detail::Full);
        let watch = self
            .0
            .runs
            .watch(&principal.tenant, run_id, position(after), detail);
        Ok(OneRun {
            run_id,
            watch: watch.await?,
            streams: self.0.streams.clone(),
        })
    }

    async fn many(
        &self,
        principal: &Principal,
        request: WatchRunsRequest,
    ) -> Result<ManyRuns, Fault> {
        let detail = detail(request.detail(), Detail::Durable);
        let filter = convert::filter(request.filter)?;
        if filter == RunFilter::default() {
            return Err(At::root("filter").invalid("has no field set"));
        }
        let watch = WatchMany {
            filter,
            cursor: (!request.cursor.is_empty()).then(|| request.cursor.clone()),
            detail,
            include_finished: request.include_finished,
        };
        Ok(ManyRuns {
            feed: self.0.runs.watch_many(&principal.tenant, watch).await?,
            cursor: request.cursor,
            streams: self.0.streams.clone(),
        })
    }
}

#[tonic::async_trait]
impl RunService for RunCalls {
    /// Stores a run and starts it.
    ///
    /// `INVALID_ARGUMENT` for a wrong spec or a request id that was used for another, `NOT_FOUND` for an
    /// unknown provider, `PERMISSION_DENIED`, `UNAVAILABLE` when overloaded, draining, or without store.
    async fn create_run(
        &self,
        request: Request<CreateRunRequest>,
    ) -> Result<Response<CreateRunResponse>, Status> {
        let principal = caller(&request).map_err(|fault| status(&fault))?;
        let trace = trace(request.metadata());
        let run = self.create(&principal, trace, request.into_inner()).await;
        let run = Some(convert::encode(&*run.map_err(|fault| status(&fault))?));
        Ok(Response::new(CreateRunResponse { run }))
    }

    type AttachRunStream = Replies<AttachRunResponse>;

    /// Opens a run's own stream. Ends with `OK` after the run's last event, whatever it says.
    ///
    /// The codes of `CreateRun`, and `NOT_FOUND`; `INVALID_ARGUMENT` for a wrong order of messages,
    /// `ABORTED` / `SUPERSEDED`, `RESOURCE_EXHAUSTED` / `SLOW_READER` or `MESSAGE_TOO_LARGE`,
    /// `UNAVAILABLE` / `HEARTBEAT_MISSED` or `SERVER_DRAINING`, `DEADLINE_EXCEEDED`.
    async fn attach_run(
        &self,
        request: Request<Streaming<AttachRunRequest>>,
    ) -> Result<Response<Self::AttachRunStream>, Status> {
        let streams = &self.0.streams;
        let principal = caller(&request).map_err(|fault| status(&fault))?;
        let trace = trace(request.metadata());
        let mut inbound = request.into_inner();
        let attached = match streams.first(&mut inbound).await {
            Ok(first) => self.0.attach(&principal, trace, first).await,
            Err(fault) => Err(fault),
        };
        let attached = match attached {
            Ok(attached) => attached,
            Err(fault) => return Err(streams.refuse(inbound, &fault)),
        };
        let (inward, outward) = attached
            .session
            .map(|session| (session.inward, session.outward))
            .unzip();
        let listener = self.0.run_listener(&principal, attached.run_id, inward);
        Ok(Response::new(replies(RunSpeaker {
            started: Some(attached.started),
            run_id: attached.run_id,
            watch: attached.watch,
            outward,
            verdict: streams.listen(inbound, listener),
            streams: streams.clone(),
            over: false,
        })))
    }

    /// Returns a run.
    ///
    /// `INVALID_ARGUMENT` for what is no id, `NOT_FOUND` / `RUN_NOT_FOUND`, `UNAVAILABLE`.
    async fn get_run(
        &self,
        request: Request<GetRunRequest>,
    ) -> Result<Response<GetRunResponse>, Status> {
        let found = async {
            let principal = caller(&request)?;
            let run_id = convert::run_id(&request.get_ref().run_id)?;
            self.0.runs.get(&principal.tenant, run_id).await
        };
        let run = Some(convert::encode(
            &*found.await.map_err(|fault| status(&fault))?,
        ));
        Ok(Response::new(GetRunResponse { run }))
    }

    /// Lists runs, newest first.
    ///
    /// `INVALID_ARGUMENT` for a wrong filter or page, `UNAVAILABLE`.
    async fn list_runs(
        &self,
        request: Request<ListRunsRequest>,
    ) -> Result<Response<ListRunsResponse>, Status> {
        let principal = caller(&request).map_err(|fault| status(&fault))?;
        let page = self.page(&principal, request.into_inner()).await;
        page.map(Response::new).map_err(|fault| status(&fault))
    }

    type WatchRunStream = Replies<WatchRunResponse>;

    /// Shows a run from a position to its end, whatever that is.
    ///
    /// `INVALID_ARGUMENT`, `NOT_FOUND` / `RUN_NOT_FOUND`, `UNAVAILABLE`, `DEADLINE_EXCEEDED`.
    async fn watch_run(
        &self,
        request: Request<WatchRunRequest>,
    ) -> Result<Response<Self::WatchRunStream>, Status> {
        let principal = caller(&request).map_err(|fault| status(&fault))?;
        let watching = self.one(&principal, request.get_ref()).await;
        let watching = watching.map_err(|fault| status(&fault))?;
        Ok(Response::new(replies(watching)))
    }

    type WatchRunsStream = Replies<WatchRunsResponse>;

    /// Shows all runs that match. Never ends by itself.
    ///
    /// `INVALID_ARGUMENT` for a wrong filter or cursor, `UNAVAILABLE`, `DEADLINE_EXCEEDED`.
    async fn watch_runs(
        &self,
        request: Request<WatchRunsRequest>,
    ) -> Result<Response<Self::WatchRunsStream>, Status> {
        let principal = caller(&request).map_err(|fault| status(&fault))?;
        let watching = self.many(&principal, request.into_inner()).await;
        let watching = watching.map_err(|fault| status(&fault))?;
        Ok(Response::new(replies(watching)))
    }

    /// Answers what a run waits for.
    ///
    /// `INVALID_ARGUMENT` for answers that do not fit what is asked, which leave it open; `NOT_FOUND` /
    /// `RUN_NOT_FOUND` or `INPUT_NOT_FOUND`, `FAILED_PRECONDITION` / `INPUT_ALREADY_ANSWERED` or
    /// `RUN_FINISHED`, `UNAVAILABLE`.
    async fn answer_input(
        &self,
        request: Request<AnswerInputRequest>,
    ) -> Result<Response<AnswerInputResponse>, Status> {
        let answered = async {
            let principal = caller(&request)?;
            let request = request.into_inner();
            let run_id = convert::run_id(&request.run_id)?;
            let answers = input::answers(request.answers)?;
            self.0.runs.answer(&principal, run_id, answers).await
        };
        let run = Some(convert::encode(
            &*answered.await.map_err(|fault| status(&fault))?,
        ));
        Ok(Response::new(AnswerInputResponse { run }))
    }

    /// Asks a run to stop.
    ///
    /// `INVALID_ARGUMENT` for what is no id, `NOT_FOUND` / `RUN_NOT_FOUND`, `UNAVAILABLE`.
    async fn cancel_run(
        &self,
        request: Request<CancelRunRequest>,
    ) -> Result<Response<CancelRunResponse>, Status> {
        let cancelled = async {
            let principal = caller(&request)?;
            let run_id = convert::run_id(&request.get_ref().run_id)?;
            let reason = convert::cancel_reason(&request.get_ref().reason);
            self.0.runs.cancel(&principal.tenant, run_id, reason).await
        };
        let run = Some(convert::encode(
            &*cancelled.await.map_err(|fault| status(&fault))?,
        ));
        Ok(Response::new(CancelRunResponse { run }))
    }

    /// Says something to a run, for its next turn.
    ///
    /// `INVALID_ARGUMENT`, `NOT_FOUND` / `RUN_NOT_FOUND`, `FAILED_PRECONDITION` / `RUN_FINISHED`,
    /// `RESOURCE_EXHAUSTED` / `TOO_MANY_MESSAGES`, `UNAVAILABLE`.
    async fn add_run_messages(
        &self,
        request: Request<AddRunMessagesRequest>,
    ) -> Result<Response<AddRunMessagesResponse>, Status> {
        let principal = caller(&request).map_err(|fault| status(&fault))?;
        let request = request.into_inner();
        let added = async {
            let run_id = convert::run_id(&request.run_id)?;
            let messages = thread::added(request.messages, &At::root("messages"))?;
            let runs = &self.0.runs;
            runs.add_messages(&principal.tenant, run_id, messages).await
        };
        let run = added.await.map_err(|fault| status(&fault))?;
        let run = Some(convert::encode(&run));
        Ok(Response::new(AddRunMessagesResponse { run }))
    }
}

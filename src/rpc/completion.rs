//! `CompletionService`.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Request, Response, Status};

use super::{
    convert::{Intake, completion as encode},
    deadline::Deadline,
    status::status,
    stream::Streams,
};
use crate::{
    domain::{
        completion::{Completion, ModelEvent},
        fault::{Fault, Reason},
        id::CompletionId,
    },
    pb::v1::{
        CompletionParams, GenerateCompletionRequest, GenerateCompletionResponse,
        StreamCompletionRequest, StreamCompletionResponse,
        completion_service_server::CompletionService, stream_completion_response::Event,
    },
    run::{
        generate::{OnBreak, Plan, generate},
        port::{Answer, ModelStream, RetryPolicy},
    },
};

/// What is left of the caller's time for the answer to get out.
const MARGIN: Duration = Duration::from_millis(100);

/// The numbers of completions.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The longest a completion may take, whatever the caller's deadline.
    pub timeout: Duration,
    /// Retries of each model.
    pub retry: RetryPolicy,
    /// Most completions at once, streams included; more are refused with `SERVER_OVERLOADED`.
    pub max_in_flight: usize,
}

/// Completions over RPC.
#[derive(Debug)]
pub(super) struct Completions {
    intake: Intake,
    settings: Settings,
    room: Arc<Semaphore>,
    streams: Streams,
}

/// The events of one completion, and the room it takes for as long as they last.
struct Answering {
    id: CompletionId,
    events: ModelStream,
    streams: Streams,
    _room: OwnedSemaphorePermit,
}

// === impl Completions ===

impl Completions {
    pub(super) fn new(intake: Intake, settings: Settings, streams: Streams) -> Self {
        Self {
            intake,
            settings,
            room: Arc::new(Semaphore::new(settings.max_in_flight)),
            streams,
        }
    }

    fn begin(
        &self,
        params: Option<CompletionParams>,
        answer: Answer,
        deadline: Deadline,
    ) -> Result<Answering, Fault> {
        let room = Arc::clone(&self.room)
            .try_acquire_owned()
            .map_err(|_full| {
                Fault::new(
                    Reason::ServerOverloaded,
                    "the server has too many completions",
                )
                .retry_after(Duration::from_secs(1))
            })?;
        let (models, request) = self.intake.completion(params)?;
        let plan = Plan {
            models,
            answer,
            on_break: OnBreak::Fail,
            retry: self.settings.retry,
            deadline: Some(deadline.budget(self.settings.timeout, MARGIN)),
        };
        Ok(Answering {
            id: CompletionId::mint(),
            events: generate(Arc::clone(&self.intake.models), plan, request),
            streams: self.streams.clone(),
            _room: room,
        })
    }
}

#[tonic::async_trait]
impl CompletionService for Completions {
    /// Answers once.
    ///
    /// `INVALID_ARGUMENT` for a wrong request, `NOT_FOUND` for an unknown provider or model,
    /// `UNAVAILABLE` / `SERVER_OVERLOADED` or `SERVER_DRAINING`, `DEADLINE_EXCEEDED`, and the provider's faults.
    async fn generate_completion(
        &self,
        request: Request<GenerateCompletionRequest>,
    ) -> Result<Response<GenerateCompletionResponse>, Status> {
        let deadline = deadline_of(&request);
        let params = request.into_inner().params;
        let answering = self.begin(params, Answer::Whole, deadline);
        let mut answering = answering.map_err(|fault| status(&fault))?;
        let completion = answering.whole().await.map_err(|fault| status(&fault))?;
        Ok(Response::new(GenerateCompletionResponse {
            completion: Some(encode::completion(answering.id, &completion)),
        }))
    }

    type StreamCompletionStream =
        Pin<Box<dyn Stream<Item = Result<StreamCompletionResponse, Status>> + Send>>;

    /// Streams the answer. Nothing is sent before the provider has begun: until then the call can be
    /// tried again by anybody.
    ///
    /// The codes of `GenerateCompletion`; `UNAVAILABLE` / `PROVIDER_STREAM_BROKEN` after deltas.
    async fn stream_completion(
        &self,
        request: Request<StreamCompletionRequest>,
    ) -> Result<Response<Self::StreamCompletionStream>, Status> {
        let deadline = deadline_of(&request);
        let params = request.into_inner().params;
        let answering = self.begin(params, Answer::Streamed, deadline);
        let mut answering = answering.map_err(|fault| status(&fault))?;
        let first = answering.next().await.unwrap_or_else(|| Err(broken()));
        let first = first.map_err(|fault| status(&fault))?;
        let rest = stream::unfold(answering, |mut answering| async move {
            let event = answering.next().await?;
            Some((event.map_err(|fault| status(&fault)), answering))
        });
        let all = stream::once(async move { Ok(first) }).chain(rest);
        Ok(Response::new(Box::pin(all)))
    }
}

fn deadline_of<T>(request: &Request<T>) -> Deadline {
    request
        .extensions()
        .get::<Deadline>()
        .copied()
        .unwrap_or(Deadline(None))
}

/// A model's stream promises an end; one without is a defect that reads like a broken one.
fn broken() -> Fault {
    Fault::new(
        Reason::ProviderStreamBroken,
        "the answer ended before its end",
    )
}

// === impl Answering ===

impl Answering {
    /// What the model says next, or that the server ends.
    async fn event(&mut self) -> Option<Result<ModelEvent, Fault>> {
        tokio::select! {
            biased;
            event = self.events.next() => event,
            fault = self.streams.closed() => Some(Err(fault)),
        }
    }

    async fn whole(&mut self) -> Result<Box<Completion>, Fault> {
        while let Some(event) = self.event().await {
            match event? {
                ModelEvent::Finished(completion) => return Ok(completion),
                ModelEvent::Started { .. } | ModelEvent::Delta(_) | ModelEvent::Discarded(_) => {}
            }
        }
        Err(broken())
    }

    async fn next(&mut self) -> Option<Result<StreamCompletionResponse, Fault>> {
        loop {
            let event = match self.event().await? {
                Ok(ModelEvent::Started { model }) => encode::started(self.id, &model),
                Ok(ModelEvent::Delta(delta)) => encode::delta(&delta),
                Ok(ModelEvent::Finished(completion)) => {
                    Event::Completion(encode::completion(self.id, &completion))
                }
                // What was shown cannot be taken back from a completion: the plan forbids it.
                Ok(ModelEvent::Discarded(_)) => continue,
                Err(fault) => return Some(Err(fault)),
            };
            return Some(Ok(StreamCompletionResponse { event: Some(event) }));
        }
    }
}

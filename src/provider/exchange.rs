//! One call of a model over HTTP, from the request to the last event: the asynchronous shell around a
//! [`Protocol`](super::protocol::Protocol).

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    endpoint::Endpoint,
    fault,
    framing::{Decoder, Sink},
    http::{Body, Response, Until},
    left_out,
    protocol::{Assemble, Call, Progress, Rejection},
    record::Record,
};
use crate::{
    domain::{
        completion::{Completion, Delta, ModelEvent, Request},
        fault::Fault,
        model::ModelRef,
    },
    run::port::Answer,
};

/// How long the end of the body is waited for once its content has ended: a body that was read to its
/// end leaves a connection that can be used again.
const LINGER: Duration = Duration::from_millis(20);

/// A call under way. Dropping it aborts the request.
pub(crate) struct Exchange {
    endpoint: Arc<Endpoint>,
    model: ModelRef,
    request: Request,
    answer: Answer,
    start: Instant,
    state: State,
    /// What is ready to be handed over.
    ready: VecDeque<ModelEvent>,
    /// `Started` was said.
    started: bool,
    /// What the log will say of it.
    record: Record,
}

enum State {
    /// Nothing was sent.
    New,
    /// A stream is being read.
    Reading(Box<Reading>),
    /// What is ready is all there is.
    Over,
}

/// A stream that is being read.
struct Reading {
    body: Body,
    decoder: Decoder,
    assembler: Box<dyn Assemble>,
    progress: Progress,
    bytes: usize,
    /// What ended the stream, once everything that came before it has been handed over: one read may
    /// bring both.
    broken: Option<Fault>,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exchange({})", self.model)
    }
}

impl Exchange {
    /// A call that has not begun: it begins with the first [`Exchange::next`].
    pub(crate) fn new(
        endpoint: Arc<Endpoint>,
        model: ModelRef,
        request: Request,
        answer: Answer,
    ) -> Self {
        Self {
            endpoint,
            record: Record::new(model.clone()),
            model,
            request,
            answer,
            start: Instant::now(),
            state: State::New,
            ready: VecDeque::new(),
            started: false,
        }
    }

    /// The next event; `None` after `Finished`.
    ///
    /// # Errors
    /// Whatever ends the call in place of `Finished`.
    pub(crate) async fn next(&mut self) -> Result<Option<ModelEvent>, Fault> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let step = match &mut self.state {
                State::New => self.begin().await,
                State::Reading(_) => self.read().await,
                State::Over => return Ok(None),
            };
            step.inspect_err(|fault| self.record.failed(fault))?;
        }
    }

    async fn begin(&mut self) -> Result<(), Fault> {
        self.start = Instant::now();
        self.record.begin();
        let call = Call {
            model: &self.model,
            request: &self.request,
            answer: self.answer,
        };
        let (encoded, mut response) = self.endpoint.send(call, self.start).await?;
        self.record.head(&response);
        if !response.status.is_success() {
            return self.rejected(response).await;
        }
        let first = match self.answer {
            Answer::Whole => Bytes::new(),
            Answer::Streamed => {
                let until = self.whole().or(self.endpoint.first_byte(self.start));
                response.body.next(until).await?.unwrap_or_default()
            }
        };
        if self.answer == Answer::Streamed && !encoded.framing.looks_whole(&first) {
            let turn = self.turn(&response);
            let mut reading = Box::new(Reading {
                body: response.body,
                decoder: Decoder::new(
                    encoded.framing,
                    self.endpoint.client.limits().max_event_bytes,
                ),
                assembler: self.endpoint.protocol.assemble(turn),
                progress: Progress::Open,
                bytes: 0,
                broken: None,
            });
            let grown = reading.take(&first, self.endpoint.client.limits().max_stream_bytes);
            self.state = State::Reading(reading);
            self.grow(grown);
            return Ok(());
        }
        self.whole_answer(response, first).await
    }

    /// An answer in one piece; also what a server sends that does not know how to stream.
    async fn whole_answer(&mut self, mut response: Response, first: Bytes) -> Result<(), Fault> {
        let max_bytes = self.endpoint.client.limits().max_body_bytes;
        let body = response.body.rest(first, max_bytes, self.whole()).await;
        let body = body.map_err(|mut fault| {
            if fault.reason == crate::domain::fault::Reason::ProviderStreamBroken {
                fault = fault::unreachable("the provider hung up in the middle of its answer");
            }
            fault
        })?;
        let turn = self.turn(&response);
        let completion = self.endpoint.protocol.decode(turn, &body)?;
        self.finish(completion);
        Ok(())
    }

    async fn rejected(&mut self, mut response: Response) -> Result<(), Fault> {
        let until = self.whole().or(Until::after(
            Instant::now(),
            self.endpoint.timeouts.tail,
            "reading the error",
        ));
        let max_bytes = self.endpoint.client.limits().max_error_bytes;
        let body = response.body.beginning(max_bytes, until).await;
        let rejection = Rejection {
            status: response.status,
            body: &body,
        };
        let turn = self.turn(&response);
        let completion = self.endpoint.protocol.reject(turn, rejection)?;
        self.finish(completion);
        Ok(())
    }

    async fn read(&mut self) -> Result<(), Fault> {
        let whole = self.whole();
        let timeouts = self.endpoint.timeouts;
        let max_bytes = self.endpoint.client.limits().max_stream_bytes;
        let State::Reading(reading) = &mut self.state else {
            return Ok(());
        };
        if let Some(fault) = reading.broken.take() {
            return Err(fault);
        }
        let now = Instant::now();
        let until = match reading.progress {
            Progress::Open => Until::after(now, timeouts.idle, "the silence within the answer"),
            Progress::Complete => Until::after(now, timeouts.tail, "the end of the answer"),
            Progress::Ended => Until::after(now, LINGER, "the end of the body"),
        };
        let next = reading.body.next(whole.or(until)).await;
        let grown = match (next, reading.progress) {
            // Frames behind the end are of no interest.
            (Ok(Some(_)) | Ok(None) | Err(_), Progress::Ended) => return self.end(),
            (Ok(Some(piece)), Progress::Open | Progress::Complete) => {
                reading.take(&piece, max_bytes)
            }
            (Ok(None), Progress::Open | Progress::Complete) => {
                let grown = reading.flush();
                let is_broken = reading.broken.is_some();
                self.grow(grown);
                return if is_broken { Ok(()) } else { self.end() };
            }
            // The model has said why it stopped: nothing of the answer is lost.
            (Err(_), Progress::Complete) => return self.end(),
            (Err(fault), Progress::Open) => return Err(fault),
        };
        self.grow(grown);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        if let State::Reading(reading) = std::mem::replace(&mut self.state, State::Over) {
            let mut grown = Vec::new();
            let completion = reading.assembler.finish(&mut grown)?;
            self.grow(grown);
            self.finish(completion);
        }
        Ok(())
    }

    fn grow(&mut self, grown: Vec<Delta>) {
        if !grown.is_empty() {
            self.start_once();
        }
        self.ready.extend(grown.into_iter().map(ModelEvent::Delta));
    }

    fn finish(&mut self, mut completion: Completion) {
        left_out::note(&*self.endpoint.protocol, &self.request, &mut completion);
        self.start_once();
        self.record.answered(&completion);
        self.ready
            .push_back(ModelEvent::Finished(Box::new(completion)));
        self.state = State::Over;
    }

    fn start_once(&mut self) {
        if !std::mem::replace(&mut self.started, true) {
            let model = self.model.clone();
            self.ready.push_back(ModelEvent::Started { model });
        }
    }

    fn whole(&self) -> Until {
        Until::whole(self.start, &self.endpoint.timeouts)
    }

    fn turn(&self, response: &Response) -> super::protocol::Turn {
        self.endpoint
            .turn(&self.model, &self.request, response.headers.clone())
    }
}

impl Reading {
    /// A piece of the body: what grew by it, up to whatever broke the stream.
    fn take(&mut self, piece: &[u8], max_bytes: usize) -> Vec<Delta> {
        self.bytes = self.bytes.saturating_add(piece.len());
        if self.bytes > max_bytes {
            self.broken = Some(fault::broken_stream(
                "the provider's answer is larger than the server takes",
            ));
            return Vec::new();
        }
        self.decode(|decoder, sink| decoder.feed(piece, sink))
    }

    /// The body has ended: what its last bytes leave.
    fn flush(&mut self) -> Vec<Delta> {
        self.decode(Decoder::finish)
    }

    fn decode(
        &mut self,
        read: impl FnOnce(&mut Decoder, &mut Sink<'_>) -> Result<(), Fault>,
    ) -> Vec<Delta> {
        let (mut grown, mut progress) = (Vec::new(), self.progress);
        let assembler = &mut self.assembler;
        let read = read(&mut self.decoder, &mut |frame| {
            if progress != Progress::Ended {
                progress = assembler.feed(frame, &mut grown)?;
            }
            Ok(())
        });
        self.progress = progress;
        self.broken = read.err();
        grown
    }
}

#[cfg(test)]
mod tests;

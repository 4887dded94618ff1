//! What every call passes: who calls and may they, until when, to which service, and with what outcome.
//!
//! The gate stands around the gRPC services as an HTTP service, because that is where a call is whole:
//! the deadline and the record of the outcome hold for the stream of the response too.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use tokio::time::{Sleep, sleep_until, timeout_at};
use tonic::{Status, body::Body, codegen::Service};

use super::{
    auth::{Auth, Peer},
    deadline::{self, Deadline},
    outcome::Outcome,
    services::Services,
    status::{adopt, status},
};
use crate::domain::fault::Fault;

/// Who calls, in the extensions of a request.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub(super) Arc<crate::domain::principal::Principal>);

/// The way to all services.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    services: Services,
    auth: Arc<Auth>,
}

impl Gate {
    pub(super) fn new(services: Services, auth: Auth) -> Self {
        Self {
            services,
            auth: Arc::new(auth),
        }
    }

    /// Answers one call.
    pub(super) async fn pass<B>(
        mut self,
        peer: Arc<Peer>,
        mut request: Request<B>,
    ) -> Result<Response<Governed>, Infallible>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<tonic::codegen::StdError>,
    {
        let mut outcome = Outcome::begin(request.uri().path());
        let deadline = match self.admit(&peer, &mut request, &mut outcome) {
            Ok(deadline) => deadline,
            Err(fault) => return Ok(refuse(&fault, outcome)),
        };
        let call = self.services.call(request.map(Body::new));
        let response = match deadline.0 {
            None => call.await,
            Some(at) => match timeout_at(at, call).await {
                Ok(response) => response,
                Err(_elapsed) => return Ok(refuse(&deadline::passed(), outcome)),
            },
        };
        let mut response = match response {
            Ok(response) => response,
            Err(never) => match never {},
        };
        translate(&mut response);
        outcome.see(response.headers());
        Ok(response.map(|body| Governed {
            body: Some(body),
            deadline: deadline.0.map(|at| Box::pin(sleep_until(at))),
            outcome,
        }))
    }

    fn admit<B>(
        &self,
        peer: &Peer,
        request: &mut Request<B>,
        outcome: &mut Outcome,
    ) -> Result<Deadline, Fault> {
        let admitted = self
            .auth
            .admit(request.uri().path(), request.headers(), peer)?;
        let deadline = Deadline::read(request.headers())?;
        if let Some(principal) = admitted {
            outcome.caller(&principal);
            request.extensions_mut().insert(Caller(principal));
        }
        request.extensions_mut().insert(deadline);
        Ok(deadline)
    }
}

/// An answer without a service.
fn refuse(fault: &Fault, mut outcome: Outcome) -> Response<Governed> {
    let response = status(fault).into_http::<Body>();
    outcome.see(response.headers());
    response.map(|_empty| Governed {
        body: None,
        deadline: None,
        outcome,
    })
}

/// Takes a failure that the gRPC library answered into our vocabulary.
fn translate(response: &mut Response<Body>) {
    let headers = response.headers();
    let foreign = headers
        .get(Status::GRPC_STATUS)
        .is_some_and(|code| code != "0")
        && headers.get(Status::GRPC_STATUS_DETAILS).is_none();
    if !foreign {
        return;
    }
    if let Some(made) = Status::from_header_map(headers) {
        *response = adopt(made).into_http();
    }
}

/// A response's stream under its deadline, with its outcome recorded when it ends or is dropped.
#[derive(Debug)]
pub(super) struct Governed {
    /// `None`: it has ended.
    body: Option<Body>,
    deadline: Option<Pin<Box<Sleep>>>,
    outcome: Outcome,
}

impl Governed {
    fn expired(&mut self, cx: &mut Context<'_>) -> bool {
        self.deadline
            .as_mut()
            .is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready())
    }
}

impl http_body::Body for Governed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.body.is_none() {
            return Poll::Ready(None);
        }
        if self.expired(cx) {
            // Dropping the body drops what works for it.
            self.body = None;
            return Poll::Ready(Some(trailers(&deadline::passed(), &mut self.outcome)));
        }
        let Some(body) = self.body.as_mut() else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.outcome.see(trailers);
                }
            }
            Some(Err(_)) => {}
            None => self.body = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body
            .as_ref()
            .is_none_or(http_body::Body::is_end_stream)
    }
}

fn trailers(fault: &Fault, outcome: &mut Outcome) -> Result<Frame<Bytes>, Status> {
    let mut trailers = HeaderMap::new();
    status(fault).add_header(&mut trailers)?;
    outcome.see(&trailers);
    Ok(Frame::trailers(trailers))
}

//! What a protocol is: pure functions between the domain and one family's wire.
//!
//! A protocol waits for nothing, reads no clock and draws no random number: ids are handed to it by a
//! closure. `exchange` does the talking. A new protocol is a folder with `wire` (the JSON
//! types), `encode` and `decode`, one implementation of [`Protocol`], and one line in
//! [`super::registry`].

use std::{fmt, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;

use super::{
    fault::{self, Words},
    framing::Framing,
};
use crate::{
    domain::{
        completion::{Completion, Delta, Request},
        fault::Fault,
        id::CallId,
        message::Media,
        model::{ModelInfo, ModelRef},
        tool::ToolSpec,
    },
    run::port::Answer,
};

/// Hands out ids for the calls that a model makes.
pub type Mint = Box<dyn FnMut() -> CallId + Send>;

/// What is asked of a provider.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The provider and its model.
    pub model: &'a ModelRef,
    /// The request.
    pub request: &'a Request,
    /// How the answer is wanted.
    pub answer: Answer,
}

/// A request on its way to the wire. Neither address nor credentials: the endpoint adds them.
pub struct Encoded {
    /// Appended to the base URL, with a slash in front, percent-encoded where it must be.
    pub path: String,
    /// Headers of the protocol, beside `content-type: application/json`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body: the same for the same call, byte for byte.
    pub body: Vec<u8>,
    /// How a streamed answer is cut into frames.
    pub framing: Framing,
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoded({} bytes for {})", self.body.len(), self.path)
    }
}

/// One event of a stream, without its framing.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    /// Its name; empty when it has none.
    pub event: &'a str,
    /// Its payload.
    pub data: &'a [u8],
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({:?}, {} bytes)", self.event, self.data.len())
    }
}

/// What a decoder knows of the call that it reads the answer to.
pub struct Turn {
    /// Who answers.
    pub model: ModelRef,
    /// The tools that were offered, to give the model's words for them their own names.
    pub tools: Arc<[Arc<ToolSpec>]>,
    /// The headers of the response.
    pub headers: HeaderMap,
    /// Where ids of calls come from.
    pub mint: Mint,
}

impl Turn {
    /// A header of the response, if it is there and is text.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        Some(self.headers.get(name)?.to_str().ok()?.to_owned())
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Turn({})", self.model)
    }
}

/// An answer with another status than success.
#[derive(Clone, Copy)]
pub struct Rejection<'a> {
    /// The status.
    pub status: StatusCode,
    /// What there is of the body.
    pub body: &'a [u8],
}

impl fmt::Debug for Rejection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rejection({}, {} bytes)", self.status, self.body.len())
    }
}

/// Reads a provider's list of models.
///
/// # Errors
/// `PROVIDER_RESPONSE_INVALID` when it is none.
pub(crate) fn read_list<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|_error| not_a_list())
}

/// What is said of a list of models that is none.
pub(crate) fn not_a_list() -> Fault {
    fault::invalid_response("the provider's list of models is none")
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More must follow: an end here is a broken stream.
    Open,
    /// The model has said why it stopped; usage may follow.
    Complete,
    /// Nothing more is wanted.
    Ended,
}

/// Puts a streamed answer together. Not every frame is of interest: unknown ones are skipped.
pub trait Assemble: Send {
    /// Takes a frame, and appends what grew by it.
    ///
    /// # Errors
    /// When the frame is garbage, or is the provider's report of an error.
    fn feed(&mut self, frame: Frame<'_>, out: &mut Vec<Delta>) -> Result<Progress, Fault>;

    /// The whole answer, once the stream has ended. What had been held back and belongs to the answer
    /// is appended.
    ///
    /// # Errors
    /// `PROVIDER_STREAM_BROKEN` when the stream was not [`Progress::Complete`].
    fn finish(self: Box<Self>, out: &mut Vec<Delta>) -> Result<Completion, Fault>;
}

/// A protocol family, set up for one vendor.
pub trait Protocol: fmt::Debug + Send + Sync + 'static {
    /// Writes a request.
    ///
    /// # Errors
    /// `INVALID_REQUEST` when the conversation holds what the vendor cannot be told.
    fn encode(&self, call: Call<'_>) -> Result<Encoded, Fault>;

    /// Whether media that stand in a URI may go out as they are, for the vendor to fetch, or for
    /// [`Protocol::encode`] to refuse. Others come to `encode` inline, or not at all.
    fn takes_uri(&self, _model: &str, _media: &Media) -> bool {
        true
    }

    /// Reads an answer that came in one piece.
    ///
    /// # Errors
    /// When it is no answer, or an error under a status of success.
    fn decode(&self, turn: Turn, body: &[u8]) -> Result<Completion, Fault>;

    /// Reads an answer that comes as a stream.
    fn assemble(&self, turn: Turn) -> Box<dyn Assemble>;

    /// Reads a status other than success. As a rule a fault; where a vendor reports a content filter
    /// that way it is an outcome.
    ///
    /// # Errors
    /// The fault that it means.
    fn reject(&self, turn: Turn, rejection: Rejection<'_>) -> Result<Completion, Fault> {
        let words = Words::parse(rejection.body);
        Err(fault::of_status(rejection.status, &turn.headers, &words))
    }

    /// Where models are listed, below the base URL; `None` when the vendor cannot list.
    fn models_path(&self) -> Option<&'static str>;

    /// Headers that the list of models wants.
    fn models_headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        Vec::new()
    }

    /// Reads a list of models. `provider` is the first half of their names.
    ///
    /// # Errors
    /// When it is no list.
    fn decode_models(&self, provider: &str, body: &[u8]) -> Result<Vec<ModelInfo>, Fault>;
}

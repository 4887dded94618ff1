//! One model turn.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt as _};
use tonic::Streaming;

use super::{Client, Error, MAX_RESPONSE_BYTES};
use crate::pb::v1::{
    Completion, CompletionParams, GenerateCompletionRequest, StreamCompletionRequest,
    StreamCompletionResponse, completion_service_client::CompletionServiceClient,
    stream_completion_response::Event,
};

impl Client {
    /// Completes. Dropping the future cancels the provider's call.
    ///
    /// # Errors
    /// Whatever the server says; it has retried what can be retried.
    pub async fn complete(&self, params: CompletionParams) -> Result<Completion, Error> {
        let request = GenerateCompletionRequest {
            params: Some(params),
        };
        let response = CompletionServiceClient::new(self.streams.clone())
            .max_decoding_message_size(MAX_RESPONSE_BYTES)
            .generate_completion(self.request(request))
            .await?;
        let completion = response.into_inner().completion;
        completion.ok_or_else(|| Error::protocol("the server sent no completion"))
    }

    /// Completes, and shows the answer as it grows: `Started`, deltas, and last the whole completion.
    /// Dropping the stream cancels the provider's call.
    ///
    /// # Errors
    /// Whatever the server says before it begins to answer; what breaks later comes out of the stream.
    pub async fn stream(&self, params: CompletionParams) -> Result<CompletionStream, Error> {
        let request = StreamCompletionRequest {
            params: Some(params),
        };
        let response = CompletionServiceClient::new(self.streams.clone())
            .max_decoding_message_size(MAX_RESPONSE_BYTES)
            .stream_completion(self.request(request))
            .await?;
        Ok(CompletionStream {
            inner: response.into_inner(),
            is_complete: false,
        })
    }
}

/// An answer as it grows. A stream that ends without the whole completion ends with an error.
#[derive(Debug)]
pub struct CompletionStream {
    inner: Streaming<StreamCompletionResponse>,
    is_complete: bool,
}

impl Stream for CompletionStream {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let next = std::task::ready!(self.inner.poll_next_unpin(cx));
            return Poll::Ready(match next {
                Some(Ok(StreamCompletionResponse { event: Some(event) })) => {
                    self.is_complete = matches!(event, Event::Completion(_));
                    Some(Ok(event))
                }
                // An event of a newer contract.
                Some(Ok(StreamCompletionResponse { event: None })) => continue,
                Some(Err(status)) => Some(Err(status.into())),
                None if self.is_complete => None,
                None => {
                    self.is_complete = true;
                    Some(Err(Error::protocol(
                        "the stream ended before the completion",
                    )))
                }
            });
        }
    }
}

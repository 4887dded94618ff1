//! A configured provider that is asked over HTTP: a protocol, an address and credentials.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, ready},
    stream,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request as HttpRequest,
    header::{ACCEPT, CONTENT_TYPE},
};
use tokio::time::Instant;

use super::{
    auth::{Authorize, Standing},
    check::Probe,
    exchange::Exchange,
    fetching::Bringer,
    http::{Client, Response, Until},
    protocol::{Call, Encoded, Protocol, Rejection, Turn},
    settings::Timeouts,
};
use crate::{
    domain::{
        completion::Request,
        fault::{Fault, Reason},
        id::CallId,
        model::{ModelInfo, ModelRef},
    },
    run::port::{Answer, ModelStream},
};

/// One provider, whatever is behind it.
pub(crate) trait Adapter: Send + Sync + 'static {
    /// As [`crate::run::port::Models::call`].
    fn call(self: Arc<Self>, model: ModelRef, request: Request, answer: Answer) -> ModelStream;

    /// The models it offers; `None` when it cannot say.
    fn list(&self) -> BoxFuture<'_, Option<Result<Vec<ModelInfo>, Fault>>>;

    /// Where it is; `None` when it is nowhere.
    fn address(&self) -> Option<&str> {
        None
    }

    /// What is known of its credentials without asking.
    fn standing(&self) -> Standing {
        Standing::Unneeded
    }

    /// Asks it for as little as shows that it takes its credentials, and says how many models it lists
    /// when that was it. `None` when there is nothing of the kind.
    fn try_out(&self) -> BoxFuture<'_, Option<Result<Option<usize>, Fault>>> {
        ready(None).boxed()
    }

    /// For tests: what it speaks, if it speaks a protocol.
    #[cfg(test)]
    fn protocol(&self) -> Option<&dyn Protocol> {
        None
    }
}

/// A provider that is asked over HTTP.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// The provider's name.
    pub name: String,
    /// What it speaks.
    pub protocol: Box<dyn Protocol>,
    /// Where it is, without a slash at the end.
    pub base_url: String,
    /// Where its models are listed, each list by its URL; none when it cannot list.
    pub lists: Vec<String>,
    /// Its credentials.
    pub authorize: Arc<dyn Authorize>,
    /// Headers that the operator adds.
    pub headers: HeaderMap,
    /// Its time-outs.
    pub timeouts: Timeouts,
    /// What connects to it.
    pub client: Client,
    /// What brings media that it takes inline only.
    pub media: Bringer,
    /// What it is asked for to see whether it takes its credentials.
    pub probe: Probe,
}

impl Adapter for Endpoint {
    fn call(self: Arc<Self>, model: ModelRef, request: Request, answer: Answer) -> ModelStream {
        let exchange = Exchange::new(Arc::clone(&self), model.clone(), request, answer);
        let named = move |fault: Fault| {
            fault
                .with("provider", &model.provider)
                .with("model", &model.model)
        };
        stream::try_unfold(exchange, |mut exchange| {
            async move { Ok(exchange.next().await?.map(|event| (event, exchange))) }.boxed()
        })
        .map(move |event| event.map_err(&named))
        .boxed()
    }

    fn list(&self) -> BoxFuture<'_, Option<Result<Vec<ModelInfo>, Fault>>> {
        async move {
            if self.lists.is_empty() {
                return None;
            }
            let mut models = Vec::new();
            for url in &self.lists {
                match self.ask_models(url).await {
                    Ok(more) => models.extend(more),
                    Err(fault) => return Some(Err(fault.with("provider", &self.name))),
                }
            }
            Some(Ok(models))
        }
        .boxed()
    }

    fn address(&self) -> Option<&str> {
        // A name that stands for none (RFC 6761): the address is not known as yet.
        Some(&*self.base_url).filter(|url| !url.ends_with(".invalid"))
    }

    fn standing(&self) -> Standing {
        self.authorize.standing()
    }

    fn try_out(&self) -> BoxFuture<'_, Option<Result<Option<usize>, Fault>>> {
        async move {
            match (self.probe, self.protocol.models_path()) {
                (Probe::Path(path), _) => {
                    let url = format!("{}{path}", self.base_url);
                    Some(self.get(&url).await.map(|_body| None))
                }
                (Probe::Models, Some(path)) => {
                    let url = format!("{}{path}", self.base_url);
                    let models = self.ask_models(&url).await;
                    Some(models.map(|models| Some(models.len())))
                }
                (Probe::Models, None) | (Probe::Nothing, _) => {
                    let tried = self.authorize.try_out().await?;
                    Some(tried.map(|()| None))
                }
            }
        }
        .boxed()
    }

    #[cfg(test)]
    fn protocol(&self) -> Option<&dyn Protocol> {
        Some(&*self.protocol)
    }
}

impl Endpoint {
    /// Sends a call and waits for the head of its answer. A rejected credential is renewed once.
    ///
    /// # Errors
    /// When it cannot be written or does not arrive.
    pub(crate) async fn send(
        &self,
        call: Call<'_>,
        start: Instant,
    ) -> Result<(Encoded, Response), Fault> {
        let until = Until::whole(start, &self.timeouts);
        let brought = until.limit(self.media.bring(&*self.protocol, call));
        let brought = brought.await??;
        let mut encoded = self.protocol.encode(Call {
            request: brought.as_ref().unwrap_or(call.request),
            ..call
        })?;
        drop(brought);
        let body = Bytes::from(std::mem::take(&mut encoded.body));
        let until = match call.answer {
            Answer::Whole => until,
            Answer::Streamed => until.or(self.first_byte(start)),
        };
        let response = self
            .post(&encoded, body.clone(), call.answer, until)
            .await?;
        let outdated = self
            .authorize
            .is_outdated(response.status, &response.headers);
        if outdated && self.authorize.renew().await {
            let again = self.post(&encoded, body, call.answer, until).await?;
            return Ok((encoded, again));
        }
        Ok((encoded, response))
    }

    /// Whether an answer says that other credentials may be better.
    fn is_outdated(&self, response: &Response) -> bool {
        let (status, headers) = (response.status, &response.headers);
        self.authorize.is_outdated(status, headers)
    }

    /// When a streamed answer must have begun.
    pub(crate) fn first_byte(&self, start: Instant) -> Until {
        Until::after(
            start,
            self.timeouts.first_byte,
            "the beginning of the answer",
        )
    }

    /// What a decoder knows of a call.
    pub(crate) fn turn(&self, model: &ModelRef, request: &Request, headers: HeaderMap) -> Turn {
        Turn {
            model: model.clone(),
            tools: Arc::clone(&request.tools),
            headers,
            mint: Box::new(CallId::mint),
        }
    }

    async fn post(
        &self,
        encoded: &Encoded,
        body: Bytes,
        answer: Answer,
        until: Until,
    ) -> Result<Response, Fault> {
        let url = format!("{}{}", self.base_url, encoded.path);
        let mut request = self.request(Method::POST, &url, body)?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            ACCEPT,
            HeaderValue::from_static(match answer {
                Answer::Whole => "application/json",
                Answer::Streamed => encoded.framing.media_type(),
            }),
        );
        headers.extend(encoded.headers.iter().cloned());
        self.finish_and_send(request, until).await
    }

    async fn ask_models(&self, url: &str) -> Result<Vec<ModelInfo>, Fault> {
        let body = self.get(url).await?;
        self.protocol.decode_models(&self.name, &body)
    }

    async fn get(&self, url: &str) -> Result<Bytes, Fault> {
        let until = Until::whole(Instant::now(), &self.timeouts);
        let mut response = self.get_once(url, until).await?;
        if self.is_outdated(&response) && self.authorize.renew().await {
            response = self.get_once(url, until).await?;
        }
        let limits = self.client.limits();
        if !response.status.is_success() {
            let body = response.body.beginning(limits.max_error_bytes, until).await;
            let rejection = Rejection {
                status: response.status,
                body: &body,
            };
            let fault = super::fault::of_status(
                rejection.status,
                &response.headers,
                &super::fault::Words::parse(rejection.body),
            );
            return Err(fault);
        }
        response
            .body
            .rest(Bytes::new(), limits.max_body_bytes, until)
            .await
    }

    async fn get_once(&self, url: &str, until: Until) -> Result<Response, Fault> {
        let mut request = self.request(Method::GET, url, Bytes::new())?;
        request.headers_mut().extend(self.protocol.models_headers());
        self.finish_and_send(request, until).await
    }

    fn request(&self, method: Method, url: &str, body: Bytes) -> Result<HttpRequest<Bytes>, Fault> {
        HttpRequest::builder()
            .method(method)
            .uri(url)
            .body(body)
            .map_err(|_error| {
                Fault::new(Reason::Internal, "the provider's base URL is not a URL")
                    .with("provider", &self.name)
            })
    }

    async fn finish_and_send(
        &self,
        mut request: HttpRequest<Bytes>,
        until: Until,
    ) -> Result<Response, Fault> {
        for (name, value) in &self.headers {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        until
            .limit(self.authorize.authorize(&mut request))
            .await??;
        self.client.send(request, until).await
    }
}

/// Reads the operator's headers; every value is marked sensitive.
///
/// # Errors
/// The name of the header that is none.
pub(crate) fn parse_headers<'a>(
    headers: impl IntoIterator<Item = (&'a String, &'a crate::domain::secret::Secret)>,
) -> Result<HeaderMap, String> {
    headers
        .into_iter()
        .map(|(name, value)| {
            let parsed_name = HeaderName::try_from(name).map_err(|_invalid| name.clone())?;
            let mut value =
                HeaderValue::from_str(value.expose()).map_err(|_invalid| name.clone())?;
            value.set_sensitive(true);
            Ok((parsed_name, value))
        })
        .collect()
}

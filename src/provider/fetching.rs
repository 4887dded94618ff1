//! Media that a caller names by URL, for vendors that take them inline only.
//!
//! What a vendor fetches itself goes out as it is. For the rest the server fetches the URL, if the
//! operator has allowed that, and what it finds takes the URL's place in the request. `data:` URLs need
//! nobody's leave.

mod address;
mod fetch;

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};

pub use self::address::Network;
use self::fetch::{Fetched, Fetcher, Room, system};
use super::{
    media::in_data_url,
    protocol::{Call, Protocol},
    settings::Fetching,
};
use crate::domain::{
    completion::Request,
    fault::Fault,
    message::{Content, Media, MediaSource, Message, Part},
};

/// How many URLs of one request are fetched at a time.
const AT_A_TIME: usize = 4;

/// Brings media into requests.
#[derive(Clone, Debug)]
pub(crate) struct Bringer {
    /// `None`: nothing is fetched.
    fetcher: Option<Arc<Fetcher>>,
    max_bytes: usize,
    max_urls: usize,
}

/// A URL in a request.
struct Spot<'a> {
    message: usize,
    part: usize,
    /// The part of a tool's result.
    inner: Option<usize>,
    media: &'a Media,
    uri: &'a str,
}

impl Bringer {
    /// One that fetches as the settings say.
    ///
    /// # Errors
    /// `INTERNAL` when the system offers no TLS roots.
    pub(crate) fn new(settings: &Fetching) -> Result<Self, Fault> {
        let fetcher = if settings.enabled {
            Some(Arc::new(Fetcher::new(settings.clone(), system())?))
        } else {
            None
        };
        Ok(Self {
            fetcher,
            max_bytes: settings.max_bytes,
            max_urls: settings.max_urls,
        })
    }

    /// The request with all media inline that the protocol takes no other way; `None` when it is fine as
    /// it is.
    ///
    /// # Errors
    /// `INVALID_REQUEST`, with the field, for a URL that is not fetched.
    pub(crate) async fn bring(
        &self,
        protocol: &dyn Protocol,
        call: Call<'_>,
    ) -> Result<Option<Request>, Fault> {
        let (model, request) = (&call.model.model, call.request);
        let spots: Vec<Spot<'_>> = spots(&request.messages)
            .filter(|spot| !protocol.takes_uri(model, spot.media))
            .collect();
        if spots.is_empty() {
            return Ok(None);
        }
        let urls = spots.iter().filter(|spot| !is_data(spot.uri)).count();
        if let Some(spot) = spots.last().filter(|_| urls > self.max_urls) {
            let text = format!(
                "the request holds more than {} URLs to fetch",
                self.max_urls
            );
            return Err(Fault::invalid(spot.field(), text)
                .with("url_problem", "TOO_MANY")
                .with("limit", self.max_urls));
        }
        let room = Room::new(self.max_bytes);
        let asked: Vec<_> = spots
            .iter()
            .map(|spot| self.bring_one(spot, &room).boxed())
            .collect();
        let brought = stream::iter(asked).buffered(AT_A_TIME);
        let brought: Vec<Fetched> = brought.try_collect().await?;
        let mut messages = request.messages.clone();
        for (spot, fetched) in spots.iter().zip(brought) {
            if let Some(message) = messages.get_mut(spot.message) {
                spot.put(Arc::make_mut(message), fetched);
            }
        }
        Ok(Some(Request {
            messages,
            ..request.clone()
        }))
    }

    async fn bring_one(&self, spot: &Spot<'_>, room: &Room) -> Result<Fetched, Fault> {
        if is_data(spot.uri) {
            return data(spot.uri)
                .ok_or_else(|| Fault::invalid(spot.field(), "the data: URL is not in Base64"));
        }
        let Some(fetcher) = &self.fetcher else {
            let text = "the provider takes this inline only, and the server fetches no URLs";
            return Err(Fault::invalid(spot.field(), text).with("url_problem", "NOT_FETCHED"));
        };
        let fetched = fetcher.fetch(spot.uri, &spot.media.media_type, room).await;
        fetched.map_err(|problem| {
            Fault::invalid(spot.field(), problem.to_string()).with("url_problem", problem.name())
        })
    }
}

// === impl Spot ===

impl Spot<'_> {
    fn field(&self) -> String {
        let (message, part) = (self.message, self.part);
        match self.inner {
            None => format!("messages[{message}].parts[{part}].media.uri"),
            Some(inner) => {
                format!("messages[{message}].parts[{part}].tool_result.parts[{inner}].media.uri")
            }
        }
    }

    fn put(&self, message: &mut Message, fetched: Fetched) {
        let part = message.parts.get_mut(self.part);
        let content = match (part.map(|part| &mut part.content), self.inner) {
            (Some(Content::ToolResult(result)), Some(inner)) => {
                let part = result.parts.get_mut(inner);
                part.map(|part| &mut part.content)
            }
            (content, _) => content,
        };
        if let Some(Content::Media(media)) = content {
            media.media_type = fetched.media_type;
            media.source = MediaSource::Inline(fetched.bytes);
        }
    }
}

/// Every URL of a conversation.
fn spots(messages: &[Arc<Message>]) -> impl Iterator<Item = Spot<'_>> {
    let parts = messages.iter().enumerate().flat_map(|(message, said)| {
        let parts = said.parts.iter().enumerate();
        parts.map(move |(part, content)| (message, part, content))
    });
    parts.flat_map(|(message, part, holder)| {
        let inner: &[Part] = match &holder.content {
            Content::ToolResult(result) => &result.parts,
            Content::Text(_) | Content::Reasoning(_) | Content::Media(_) | Content::ToolCall(_) => {
                &[]
            }
        };
        let inner = inner.iter().enumerate().map(|(at, part)| (Some(at), part));
        let all = std::iter::once((None, holder)).chain(inner);
        all.filter_map(move |(inner, holder)| match &holder.content {
            Content::Media(media) => match &media.source {
                MediaSource::Uri(uri) => Some(Spot {
                    message,
                    part,
                    inner,
                    media,
                    uri,
                }),
                MediaSource::Inline(_) => None,
            },
            Content::Text(_)
            | Content::Reasoning(_)
            | Content::ToolCall(_)
            | Content::ToolResult(_) => None,
        })
    })
}

/// The scheme of a URI, in lower case; empty when it has none.
pub(crate) fn scheme(uri: &str) -> String {
    let (scheme, _) = uri.split_once(':').unwrap_or_default();
    scheme.to_ascii_lowercase()
}

fn is_data(uri: &str) -> bool {
    scheme(uri) == "data"
}

/// What a `data:` URL in Base64 holds.
fn data(uri: &str) -> Option<Fetched> {
    let (media_type, data) = in_data_url(uri)?;
    Some(Fetched {
        media_type,
        bytes: STANDARD.decode(data).ok()?.into(),
    })
}

#[cfg(test)]
mod tests;

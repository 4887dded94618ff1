//! Images and documents.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::super::wire::{Block, Source};
use crate::{
    domain::message::{Media, MediaSource},
    provider::media::in_data_url,
};

/// The image types that the vendor takes.
const IMAGES: &[&str] = &["image/jpeg", "image/png", "image/gif", "image/webp"];
/// The document type that the vendor reads page by page.
const PDF: &str = "application/pdf";

/// Writes media.
///
/// # Errors
/// What the protocol has no words for.
pub(super) fn encode(media: &Media) -> Result<Block<'_>, &'static str> {
    let kind = media.media_type.to_ascii_lowercase();
    if IMAGES.contains(&&*kind) {
        return Ok(Block::Image {
            source: source(media, kind)?,
            cache_control: None,
        });
    }
    let source = match &media.source {
        _ if kind == PDF => source(media, kind)?,
        MediaSource::Inline(bytes) if kind.starts_with("text/") => Source::Text {
            media_type: "text/plain",
            data: std::str::from_utf8(bytes).map_err(|_error| "the document is not UTF-8 text")?,
        },
        MediaSource::Uri(_) if kind.starts_with("text/") => {
            return Err("the provider takes text documents inline only");
        }
        MediaSource::Inline(_) | MediaSource::Uri(_) => {
            return Err("the provider takes JPEG, PNG, GIF and WebP images, PDF and plain text");
        }
    };
    Ok(Block::Document {
        source,
        title: media.filename.as_deref().filter(|name| !name.is_empty()),
        cache_control: None,
    })
}

fn source(media: &Media, kind: String) -> Result<Source<'_>, &'static str> {
    match &media.source {
        MediaSource::Inline(bytes) => Ok(Source::Base64 {
            media_type: kind,
            data: Cow::Owned(STANDARD.encode(bytes)),
        }),
        MediaSource::Uri(uri) if is_web(uri) => Ok(Source::Url { url: uri }),
        MediaSource::Uri(uri) => match in_data_url(uri) {
            Some((kind, data)) => Ok(Source::Base64 {
                media_type: kind,
                data: Cow::Borrowed(data),
            }),
            None => Err("the provider takes URLs with http, https and Base64 data only"),
        },
    }
}

fn is_web(uri: &str) -> bool {
    let scheme = uri.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|it| it.eq_ignore_ascii_case("http") || it.eq_ignore_ascii_case("https"))
}

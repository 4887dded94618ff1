//! Media on wires that want them as URLs or in words.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;

use crate::domain::message::{Media, MediaSource};

/// What is said of images that cannot stand in the results that they are part of.
pub(crate) const IMAGES_OF_RESULTS: &str = "Images of the results of the tools, in their order:";

/// Where an image is, as OpenAI has it and others after it.
#[derive(Serialize)]
pub(crate) struct ImageUrl<'a> {
    /// A URL, perhaps a data URL.
    pub url: Cow<'a, str>,
}

/// Where media are: their own URL, or one that holds their bytes.
pub(crate) fn url(media: &Media) -> Cow<'_, str> {
    match &media.source {
        MediaSource::Uri(uri) => uri.into(),
        MediaSource::Inline(bytes) => data_url(&media.media_type, bytes).into(),
    }
}

/// A URL that holds bytes.
pub(crate) fn data_url(media_type: &str, bytes: &[u8]) -> String {
    let mut url = format!("data:{media_type};base64,");
    STANDARD.encode_string(bytes, &mut url);
    url
}

/// What stands in the text for media that a vendor does not take there.
pub(crate) fn note(media: &Media) -> String {
    format!("[{}]", media.media_type)
}

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

/// The media type, in lower case and without parameters, and the Base64 of a `data:` URL (RFC 2397);
/// `None` when it is no such URL, or not in Base64.
pub(crate) fn in_data_url(uri: &str) -> Option<(String, &str)> {
    let (scheme, rest) = uri.split_once(':')?;
    let (head, data) = rest.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?;
    let media_type = match media_type.split(';').next() {
        None | Some("") => "text/plain",
        Some(essence) => essence,
    };
    scheme
        .eq_ignore_ascii_case("data")
        .then(|| (media_type.to_ascii_lowercase(), data))
}

/// What stands in the text for media that a vendor does not take there.
pub(crate) fn note(media: &Media) -> String {
    format!("[{}]", media.media_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_url_in_base64_is_taken_apart_and_no_other_url() {
        for (uri, expected) in [
            ("data:image/png;base64,QQ==", Some(("image/png", "QQ=="))),
            ("DATA:IMAGE/WebP;base64,QQ==", Some(("image/webp", "QQ=="))),
            (
                "data:text/html;charset=utf-8;base64,QQ==",
                Some(("text/html", "QQ==")),
            ),
            ("data:;base64,QQ==", Some(("text/plain", "QQ=="))),
            ("data:text/plain,A", None),
            ("https://x.test/a;base64,QQ==", None),
            ("QQ==", None),
        ] {
            let found = in_data_url(uri);
            let found = found.as_ref().map(|(kind, data)| (&**kind, *data));
            assert_eq!(found, expected, "{uri}");
        }
    }
}

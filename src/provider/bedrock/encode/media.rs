//! Images, documents, videos and sounds.

use std::{borrow::Cow, collections::HashSet};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::super::wire::{Block, Media as WireMedia, Source};
use crate::{
    domain::message::{Media, MediaSource},
    provider::media::in_data_url,
};

/// What a format is a format of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Image,
    Document,
    Video,
    Audio,
}

/// The vendor's words for media types.
const FORMATS: &[(&str, Kind, &str)] = &[
    ("image/png", Kind::Image, "png"),
    ("image/jpeg", Kind::Image, "jpeg"),
    ("image/gif", Kind::Image, "gif"),
    ("image/webp", Kind::Image, "webp"),
    ("application/pdf", Kind::Document, "pdf"),
    ("text/csv", Kind::Document, "csv"),
    ("application/msword", Kind::Document, "doc"),
    (
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        Kind::Document,
        "docx",
    ),
    ("application/vnd.ms-excel", Kind::Document, "xls"),
    (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        Kind::Document,
        "xlsx",
    ),
    ("text/html", Kind::Document, "html"),
    ("text/plain", Kind::Document, "txt"),
    ("text/markdown", Kind::Document, "md"),
    ("video/x-matroska", Kind::Video, "mkv"),
    ("video/quicktime", Kind::Video, "mov"),
    ("video/mp4", Kind::Video, "mp4"),
    ("video/webm", Kind::Video, "webm"),
    ("video/x-flv", Kind::Video, "flv"),
    ("video/mpeg", Kind::Video, "mpeg"),
    ("video/x-ms-wmv", Kind::Video, "wmv"),
    ("video/3gpp", Kind::Video, "three_gp"),
    ("audio/mpeg", Kind::Audio, "mp3"),
    ("audio/opus", Kind::Audio, "opus"),
    ("audio/wav", Kind::Audio, "wav"),
    ("audio/aac", Kind::Audio, "aac"),
    ("audio/flac", Kind::Audio, "flac"),
    ("audio/mp4", Kind::Audio, "mp4"),
    ("audio/ogg", Kind::Audio, "ogg"),
    ("audio/webm", Kind::Audio, "webm"),
];

/// The longest name that a document may have.
const MAX_NAME_CHARS: usize = 200;

/// Names of documents: plain ones, each once in a request.
#[derive(Default)]
pub(super) struct Names {
    taken: HashSet<String>,
}

impl Names {
    /// Writes media.
    ///
    /// # Errors
    /// What the protocol has no words for.
    pub(super) fn encode<'a>(&mut self, media: &'a Media) -> Result<Block<'a>, &'static str> {
        let (said, source) = source(media)?;
        let said = said.split(';').next().unwrap_or_default().trim();
        let format = FORMATS
            .iter()
            .find(|(known, _, _)| known.eq_ignore_ascii_case(said));
        let Some((_, kind, format)) = format else {
            return Err("the provider takes images, documents, videos and sounds of other types");
        };
        let name = (*kind == Kind::Document).then(|| self.name(media.filename.as_deref()));
        let media = WireMedia {
            format,
            name,
            source,
        };
        Ok(match kind {
            Kind::Image => Block::Image(media),
            Kind::Document => Block::Document(media),
            Kind::Video => Block::Video(media),
            Kind::Audio => Block::Audio(media),
        })
    }

    /// A name in the letters that the vendor takes, numbered where it was there already.
    fn name(&mut self, filename: Option<&str>) -> String {
        let stem = filename.unwrap_or_default();
        let stem = stem.rsplit_once('.').map_or(stem, |(stem, _)| stem);
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || "-()[]".contains(c) {
                c
            } else {
                ' '
            }
        };
        let plain: String = stem.chars().map(plain).take(MAX_NAME_CHARS - 8).collect();
        let words: Vec<&str> = plain.split_ascii_whitespace().collect();
        let plain = if words.is_empty() {
            "document".to_owned()
        } else {
            words.join(" ")
        };
        let numbered = (2_u32..).map(|number| format!("{plain} {number}"));
        let free = std::iter::once(plain.clone())
            .chain(numbered)
            .find(|name| !self.taken.contains(name));
        let name = free.unwrap_or(plain);
        self.taken.insert(name.clone());
        name
    }
}

/// The media type, and where the bytes are.
fn source(media: &Media) -> Result<(Cow<'_, str>, Source<'_>), &'static str> {
    let said = || Cow::Borrowed(&*media.media_type);
    let uri = match &media.source {
        MediaSource::Inline(bytes) => {
            let data = Cow::Owned(STANDARD.encode(bytes));
            return Ok((said(), Source::Bytes(data)));
        }
        MediaSource::Uri(uri) => uri,
    };
    if uri.starts_with("s3://") {
        return Ok((said(), Source::S3Location { uri }));
    }
    match in_data_url(uri) {
        Some((kind, data)) => Ok((kind.into(), Source::Bytes(data.into()))),
        None => Err("the provider takes URLs with s3 and Base64 data only"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_have_plain_names_each_once() {
        let mut names = Names::default();
        for (filename, expected) in [
            (None, "document"),
            (Some("Report: Q1_2026.v2.pdf"), "Report Q1 2026 v2"),
            (Some("a[1] (x)-y.pdf"), "a[1] (x)-y"),
            (Some("ä.pdf"), "document 2"),
            (Some(".pdf"), "document 3"),
        ] {
            assert_eq!(names.name(filename), expected);
        }
        let long = names.name(Some(&"x".repeat(1000)));
        assert!(long.len() <= MAX_NAME_CHARS - 8);
    }
}

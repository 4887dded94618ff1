//! What a server answers, as the model sees it. Pure.
//!
//! Nothing is dropped: what a part can hold is a part, and the rest is said in words.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use rmcp::model::{CallToolResult, ContentBlock, Resource, ResourceContents};

use crate::domain::{
    id::CallId,
    json::JsonText,
    message::{Content, Media, MediaSource, Part, ToolResult},
};

/// Some servers leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a resource without a type is.
const UNTYPED: &str = "application/octet-stream";

/// The result of a call.
pub(super) fn result(call_id: CallId, answered: CallToolResult) -> ToolResult {
    let structured = answered.structured_content;
    ToolResult {
        call_id,
        parts: answered.content.into_iter().map(part).collect(),
        structured: structured.and_then(|value| JsonText::parse(&value.to_string()).ok()),
        is_error: answered.is_error.unwrap_or(false),
    }
}

fn part(block: ContentBlock) -> Part {
    Part::new(match block {
        ContentBlock::Text(text) => Content::Text(text.text),
        ContentBlock::Image(image) => media(&image.data, image.mime_type, None),
        ContentBlock::Audio(audio) => media(&audio.data, audio.mime_type, None),
        ContentBlock::Resource(embedded) => resource(embedded.resource),
        ContentBlock::ResourceLink(link) => Content::Text(in_words(&link)),
        // The SDK may come to know more kinds than this.
        _ => Content::Text("[content of a kind that cannot be shown]".to_owned()),
    })
}

fn media(base64: &str, media_type: String, filename: Option<String>) -> Content {
    match BASE64.decode(base64.trim_end()) {
        Ok(bytes) => Content::Media(Media {
            media_type,
            source: MediaSource::Inline(Bytes::from(bytes)),
            filename,
        }),
        Err(_invalid) => Content::Text(format!("[{media_type}, which cannot be decoded]")),
    }
}

fn resource(contents: ResourceContents) -> Content {
    match contents {
        ResourceContents::TextResourceContents { uri, text, .. } => {
            Content::Text(format!("[resource {uri}]\n{text}"))
        }
        ResourceContents::BlobResourceContents {
            uri,
            mime_type,
            blob,
            ..
        } => {
            let path = uri.split(['?', '#']).next().unwrap_or_default();
            let name = path.rsplit('/').next().filter(|name| !name.is_empty());
            let media_type = mime_type.unwrap_or_else(|| UNTYPED.to_owned());
            media(&blob, media_type, name.map(str::to_owned))
        }
        // As above.
        _ => Content::Text("[a resource of a kind that cannot be shown]".to_owned()),
    }
}

/// A link is a reference within the server, which no provider can follow.
fn in_words(link: &Resource) -> String {
    let mut words = format!("[resource link {}: {}", link.uri, link.name);
    for more in [&link.title, &link.mime_type, &link.description] {
        if let Some(more) = more.as_ref().filter(|more| !more.is_empty()) {
            words.push_str(", ");
            words.push_str(more);
        }
    }
    if let Some(bytes) = link.size {
        words.push_str(&format!(", {bytes} bytes"));
    }
    words.push(']');
    words
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(answer: Value) -> ToolResult {
        result(
            CallId::parse("c1").unwrap(),
            serde_json::from_value(answer).unwrap(),
        )
    }

    /// Parts in a line each: text as it is, media as type, name and size.
    fn shown(result: &ToolResult) -> Vec<String> {
        let show = |part: &Part| match &part.content {
            Content::Text(text) => text.clone(),
            Content::Media(media) => {
                let MediaSource::Inline(bytes) = &media.source else {
                    panic!("inline");
                };
                let name = media.filename.as_deref().unwrap_or("-");
                format!("{} {name} {}", media.media_type, bytes.len())
            }
            Content::Reasoning(_) | Content::ToolCall(_) | Content::ToolResult(_) => {
                panic!("not of a result")
            }
        };
        result.parts.iter().map(show).collect()
    }

    #[track_caller]
    fn check(block: &Value, expected: &str) {
        let result = read(json!({"content": [block]}));
        assert_eq!(shown(&result), [expected]);
    }

    #[test]
    fn every_kind_of_content_is_a_part_or_said_in_words() {
        check(&json!({"type": "text", "text": "hi"}), "hi");
        check(
            &json!({"type": "image", "data": "AAAA", "mimeType": "image/png"}),
            "image/png - 3",
        );
        check(
            &json!({"type": "audio", "data": "AAA", "mimeType": "audio/wav"}),
            "audio/wav - 2",
        );
        check(
            &json!({"type": "image", "data": "?", "mimeType": "image/png"}),
            "[image/png, which cannot be decoded]",
        );
        check(
            &json!({"type": "resource", "resource": {"uri": "file:///a/b.txt", "text": "inside"}}),
            "[resource file:///a/b.txt]\ninside",
        );
        check(
            &json!({"type": "resource", "resource": {"uri": "file:///a/b.pdf?x=1", "blob": "AAAA", "mimeType": "application/pdf"}}),
            "application/pdf b.pdf 3",
        );
        check(
            &json!({"type": "resource", "resource": {"uri": "x://", "blob": "AAAA"}}),
            "application/octet-stream - 3",
        );
        check(
            &json!({"type": "resource_link", "uri": "db://1", "name": "row", "title": "A row", "mimeType": "text/csv", "description": "of many", "size": 9}),
            "[resource link db://1: row, A row, text/csv, of many, 9 bytes]",
        );
    }

    #[test]
    fn all_content_structure_and_error_come_through_together() {
        let whole = read(json!({
            "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            "structuredContent": {"n": 1},
            "isError": true,
        }));
        assert_eq!(shown(&whole), ["a", "b"]);
        assert_eq!(whole.structured.unwrap().as_str(), r#"{"n":1}"#);
        assert!(whole.is_error);
        let bare = read(json!({"content": []}));
        assert!(bare.parts.is_empty() && bare.structured.is_none() && !bare.is_error);
    }
}

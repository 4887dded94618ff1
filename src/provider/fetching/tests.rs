//! Which URLs of a request are fetched, and where what was fetched goes.

use bytes::Bytes;

use super::*;
use crate::{
    domain::{
        fault::Reason,
        id::CallId,
        message::{Role, ToolResult},
        model::ModelRef,
    },
    provider::{
        gemini::{Gemini, Place},
        ollama::Ollama,
        upstream::{Act, Upstream, response},
    },
    run::port::Answer,
};

/// Takes nothing by URL.
fn inline_only() -> Ollama {
    Ollama {
        name: "ollama".to_owned(),
        options: None,
    }
}

fn media(uri: &str) -> Part {
    Part::new(Content::Media(Media {
        media_type: "image/png".to_owned(),
        source: MediaSource::Uri(uri.to_owned()),
        filename: None,
    }))
}

fn request(parts: Vec<Part>) -> Request {
    let mut message = Message::text(Role::User, "look");
    message.parts.extend(parts);
    Request {
        messages: vec![Arc::new(message)],
        tools: Arc::from([]),
        options: Arc::default(),
    }
}

fn bringer(enabled: bool) -> Bringer {
    let settings = Fetching {
        enabled,
        max_urls: 2,
        private_networks: vec![Network::parse("127.0.0.1").unwrap()],
        ..Fetching::default()
    };
    Bringer::new(&settings).unwrap()
}

async fn bring(
    enabled: bool,
    protocol: &dyn Protocol,
    request: &Request,
) -> Result<Option<Request>, Fault> {
    let call = Call {
        model: &ModelRef::parse("p:m").unwrap(),
        request,
        answer: Answer::Whole,
    };
    bringer(enabled).bring(protocol, call).await
}

fn inline(part: &Part) -> (&str, &[u8]) {
    let Content::Media(media) = &part.content else {
        panic!("{part:?}");
    };
    let MediaSource::Inline(bytes) = &media.source else {
        panic!("{part:?}");
    };
    (&media.media_type, bytes)
}

async fn images(count: usize) -> Upstream {
    let image = |n: usize| {
        let body = format!("pixels {n}");
        vec![Act::send(&response(
            "200 OK",
            "content-type: image/jpeg\r\n",
            &body,
        ))]
    };
    Upstream::start((0..count).map(image).collect()).await
}

#[tokio::test]
async fn a_url_goes_inline_for_a_vendor_that_fetches_none() {
    let upstream = images(1).await;
    let request = request(vec![media(&upstream.url)]);
    let brought = bring(true, &inline_only(), &request)
        .await
        .unwrap()
        .unwrap();
    let brought = inline(&brought.messages[0].parts[1]);
    assert_eq!(brought, ("image/jpeg", &b"pixels 0"[..]));
}

#[tokio::test]
async fn the_url_in_a_tools_result_goes_inline_too() {
    let upstream = images(1).await;
    let result = ToolResult {
        call_id: CallId::mint(),
        parts: vec![media(&upstream.url)],
        structured: None,
        is_error: false,
    };
    let request = request(vec![Part::new(Content::ToolResult(result))]);
    let brought = bring(true, &inline_only(), &request)
        .await
        .unwrap()
        .unwrap();
    let Content::ToolResult(result) = &brought.messages[0].parts[1].content else {
        panic!("{brought:?}");
    };
    assert_eq!(inline(&result.parts[0]).1, b"pixels 0");
}

#[tokio::test]
async fn without_leave_a_url_is_refused_and_its_field_named() {
    let result = ToolResult {
        call_id: CallId::mint(),
        parts: vec![media("http://127.0.0.1:1/")],
        structured: None,
        is_error: false,
    };
    for (part, field) in [
        (
            media("https://example.com/a.png"),
            "messages[0].parts[1].media.uri",
        ),
        (
            Part::new(Content::ToolResult(result)),
            "messages[0].parts[1].tool_result.parts[0].media.uri",
        ),
    ] {
        let fault = bring(false, &inline_only(), &request(vec![part])).await;
        let fault = fault.unwrap_err();
        assert_eq!(fault.reason, Reason::InvalidRequest);
        assert_eq!(fault.violations[0].field, field);
        assert_eq!(fault.metadata["url_problem"], "NOT_FETCHED");
        assert!(!fault.message.contains("example.com"), "{fault}");
    }
}

#[tokio::test]
async fn a_data_url_needs_nobodys_leave() {
    let request = request(vec![media("data:image/gif;base64,cGl4ZWxz")]);
    let brought = bring(false, &inline_only(), &request)
        .await
        .unwrap()
        .unwrap();
    let brought = inline(&brought.messages[0].parts[1]);
    assert_eq!(brought, ("image/gif", &b"pixels"[..]));
    for bad in ["data:image/gif,pixels", "data:image/gif;base64,§", "data:"] {
        let request = self::request(vec![media(bad)]);
        assert!(
            bring(true, &inline_only(), &request).await.is_err(),
            "{bad}"
        );
    }
}

#[tokio::test]
async fn a_url_that_the_vendor_fetches_goes_out_as_it_is() {
    let gemini = |place| Gemini {
        name: "g".to_owned(),
        place,
        options: None,
    };
    for (place, uri, goes_out) in [
        (Place::Developer, "https://example.com/a.png", true),
        (Place::Developer, "HTTP://example.com/a.png", false),
        (Place::Developer, "data:image/png;base64,QQ==", true),
        (Place::Vertex, "http://example.com/a.png", true),
        (Place::Vertex, "gs://bucket/a.png", true),
    ] {
        let request = request(vec![media(uri)]);
        let brought = bring(false, &gemini(place), &request).await;
        assert_eq!(matches!(brought, Ok(None)), goes_out, "{place:?} {uri}");
    }
}

#[tokio::test]
async fn too_many_urls_are_refused_before_the_first_is_fetched() {
    let upstream = images(3).await;
    let request = request(vec![media(&upstream.url); 3]);
    let fault = bring(true, &inline_only(), &request).await.unwrap_err();
    assert_eq!(fault.metadata["url_problem"], "TOO_MANY");
    assert_eq!(fault.metadata["limit"], "2");
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn inline_media_and_text_stay_what_they_are() {
    let bytes = MediaSource::Inline(Bytes::from_static(b"x"));
    let part = Part::new(Content::Media(Media {
        media_type: "image/png".to_owned(),
        source: bytes,
        filename: None,
    }));
    let brought = bring(false, &inline_only(), &request(vec![part])).await;
    assert!(matches!(brought, Ok(None)));
}

//! Calls over real sockets, against an upstream that says exactly what each test wants.

use std::time::Duration;

use futures_util::StreamExt;

use super::*;
use crate::{
    domain::{
        completion::{Completion, Grown},
        fault::Reason,
        message::{Message, Role},
        model::{FinishReason, Options},
        secret::Secret,
    },
    provider::{
        Providers,
        settings::{Limits, ProviderSettings, Settings, Timeouts},
        upstream::{Act, END, Upstream, chunk, response, stream_head},
    },
    run::port::{ModelStream, Models},
};

const HELLO: &str = r#"data: {"choices":[{"delta":{"content":"hel"}}]}

data: {"choices":[{"delta":{"content":"lo"},"finish_reason":"stop"}]}

"#;
const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const WHOLE: &str = r#"{"choices":[{"message":{"content":"hello"},"finish_reason":"stop"}]}"#;
/// `{"choices":[{"message":{"content":"zipped"},"finish_reason":"stop"}]}`, compressed.
const ZIPPED: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x0d\xc9\xb1\x0d\x80\x30\x0c\x04\xc0\x5d\xbe\x66\x82\xac\x82\x10\x8a\x8c\x21\x2e\xb0\x2d\x3e\x15\x51\x76\x87\x6b\x6f\x40\x5a\x98\x28\x51\xd6\x81\x5b\xc9\x7a\x29\xca\x80\x84\x77\xf5\x8e\x82\xd7\x32\xf5\xc0\x5c\x70\x9a\x1b\xdb\xfe\x68\x65\xf8\x3f\xec\x91\x98\xdb\xfc\x00\x86\x16\xb9\x83\x45\x00\x00\x00";

/// The time-out that a test waits for; the others are out of the way.
fn timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(30),
        first_byte: Duration::from_secs(30),
        idle: Duration::from_secs(30),
        whole: Duration::from_secs(60),
        tail: Duration::from_secs(30),
    }
}

fn call_with(url: &str, answer: Answer, timeouts: Timeouts) -> ModelStream {
    let mut settings = Settings {
        timeouts,
        limits: Limits {
            max_body_bytes: 10_000,
            max_event_bytes: 1000,
            max_stream_bytes: 10_000,
            max_error_bytes: 1000,
        },
        ..Settings::default()
    };
    let provider = ProviderSettings {
        kind: Some("openai".to_owned()),
        base_url: Some(format!("{url}/v1/")),
        key: Some(Secret::new("sk-test")),
        headers: [("x-team".to_owned(), Secret::new("blue"))].into(),
        ..ProviderSettings::default()
    };
    settings.providers.insert("up".to_owned(), provider);
    let providers = Providers::new(&settings).unwrap();
    let request = Request {
        messages: vec![Arc::new(Message::text(Role::User, "hi"))],
        tools: Arc::from([]),
        options: Arc::new(Options::default()),
    };
    providers.call(&providers.resolve("up:m").unwrap(), request, answer)
}

/// What was shown, and the end.
async fn drain(mut stream: ModelStream) -> (String, Result<Completion, Fault>) {
    let mut shown = String::new();
    while let Some(event) = stream.next().await {
        match event {
            Ok(ModelEvent::Delta(Delta {
                grown: Grown::Text(text),
                ..
            })) => shown.push_str(&text),
            Ok(ModelEvent::Finished(completion)) => {
                assert!(stream.next().await.is_none(), "nothing comes after the end");
                return (shown, Ok(*completion));
            }
            Ok(_) => {}
            Err(fault) => return (shown, Err(fault)),
        }
    }
    panic!("a stream without an end");
}

async fn streamed(acts: Vec<Act>) -> (String, Result<Completion, Fault>) {
    let upstream = Upstream::start(vec![acts]).await;
    drain(call_with(&upstream.url, Answer::Streamed, timeouts())).await
}

async fn whole(text: &str) -> Result<Completion, Fault> {
    let upstream = Upstream::answer(text).await;
    drain(call_with(&upstream.url, Answer::Whole, timeouts()))
        .await
        .1
}

#[track_caller]
fn check_fault(end: Result<Completion, Fault>, reason: Reason) -> Fault {
    let fault = end.unwrap_err();
    assert_eq!(fault.reason, reason, "{fault}");
    assert_eq!(fault.metadata["provider"], "up");
    assert_eq!(fault.metadata["model"], "m");
    fault
}

fn body(pieces: &[&str]) -> Act {
    let chunks: String = pieces.iter().map(|piece| chunk(piece)).collect();
    Act::send(&(stream_head() + &chunks))
}

#[tokio::test]
async fn a_stream_is_read_to_its_end() {
    let acts = vec![body(&[HELLO, USAGE, DONE]), Act::send(END)];
    let (shown, end) = streamed(acts).await;
    let completion = end.unwrap();
    assert_eq!(shown, "hello");
    assert_eq!(completion.message.joined_text(), "hello");
    assert_eq!(completion.finish_reason, FinishReason::Stop);
    assert_eq!(
        (
            completion.usage.input_tokens,
            completion.usage.output_tokens
        ),
        (3, 2)
    );
}

#[tokio::test]
async fn a_request_carries_key_and_headers_to_the_one_right_path() {
    let upstream = Upstream::answer(&response("200 OK", "", WHOLE)).await;
    drain(call_with(&upstream.url, Answer::Whole, timeouts()))
        .await
        .1
        .unwrap();
    let request = upstream.requests().pop().unwrap();
    assert!(
        request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"),
        "{request}"
    );
    for header in [
        "authorization: Bearer sk-test\r\n",
        "x-team: blue\r\n",
        "content-type: application/json\r\n",
        "accept: application/json\r\n",
    ] {
        assert!(request.contains(header), "{header} {request}");
    }
    assert!(request.ends_with(r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#));
}

#[tokio::test]
async fn a_connection_serves_one_call_after_another() {
    let acts = vec![
        body(&[HELLO, DONE]),
        Act::send(END),
        Act::Next,
        body(&[HELLO, DONE]),
        Act::send(END),
    ];
    let upstream = Upstream::start(vec![acts]).await;
    let mut settings = Settings::default();
    settings.providers.insert(
        "up".to_owned(),
        ProviderSettings {
            kind: Some("openai".to_owned()),
            base_url: Some(upstream.url.clone()),
            ..ProviderSettings::default()
        },
    );
    let providers = Providers::new(&settings).unwrap();
    let model = providers.resolve("up:m").unwrap();
    for _ in 0..2 {
        let request = Request {
            messages: vec![Arc::new(Message::text(Role::User, "hi"))],
            tools: Arc::from([]),
            options: Arc::default(),
        };
        drain(providers.call(&model, request, Answer::Streamed))
            .await
            .1
            .unwrap();
    }
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn a_connection_that_stays_open_behind_the_end_is_not_waited_for() {
    let (_, end) = streamed(vec![body(&[HELLO, DONE]), Act::Hold]).await;
    end.unwrap();
}

#[tokio::test]
async fn an_answer_without_its_tail_is_complete_after_a_moment() {
    let upstream = Upstream::start(vec![vec![body(&[HELLO]), Act::Hold]]).await;
    let timeouts = Timeouts {
        tail: Duration::from_millis(50),
        ..timeouts()
    };
    let (_, end) = drain(call_with(&upstream.url, Answer::Streamed, timeouts)).await;
    assert_eq!(end.unwrap().message.joined_text(), "hello");
}

#[tokio::test]
async fn a_stream_that_is_cut_is_broken() {
    let (shown, end) = streamed(vec![body(&[
        "data: {\"choices\":[{\"delta\":{\"content\":\"hel\"}}]}\n\n",
    ])])
    .await;
    assert_eq!(shown, "hel");
    assert!(
        check_fault(end, Reason::ProviderStreamBroken)
            .retry_after
            .is_some()
    );
}

#[tokio::test]
async fn a_stream_that_ends_without_a_finish_is_broken() {
    for tail in ["", DONE] {
        let piece = "data: {\"choices\":[{\"delta\":{\"content\":\"hel\"}}]}\n\n";
        let mut pieces = vec![piece];
        pieces.extend((!tail.is_empty()).then_some(tail));
        let (_, end) = streamed(vec![body(&pieces), Act::send(END)]).await;
        check_fault(end, Reason::ProviderStreamBroken);
    }
}

#[tokio::test]
async fn an_empty_stream_is_broken() {
    let (_, end) = streamed(vec![Act::send(&(stream_head() + END))]).await;
    check_fault(end, Reason::ProviderStreamBroken);
}

#[tokio::test]
async fn garbage_breaks_a_stream() {
    let (_, end) = streamed(vec![body(&["data: {\"choices\":[{]}\n\n", HELLO])]).await;
    check_fault(end, Reason::ProviderStreamBroken);
}

#[tokio::test]
async fn an_endless_line_breaks_a_stream() {
    let line = format!("data: {}", "x".repeat(2000));
    let (_, end) = streamed(vec![body(&[&line])]).await;
    check_fault(end, Reason::ProviderStreamBroken);
}

#[tokio::test]
async fn an_endless_stream_is_cut() {
    let comment = ": ping\n".repeat(100);
    let pieces = vec![&*comment; 20];
    let (_, end) = streamed(vec![body(&pieces)]).await;
    check_fault(end, Reason::ProviderStreamBroken);
}

#[tokio::test]
async fn an_error_within_a_stream_is_the_fault_it_means() {
    let error = "data: {\"error\":{\"message\":\"Overloaded\",\"type\":\"server_error\"}}\n\n";
    let (_, end) = streamed(vec![body(&[error])]).await;
    check_fault(end, Reason::ProviderOverloaded);
    let named = "event: error\ndata: {\"message\":\"?\"}\n\n";
    let (_, end) = streamed(vec![body(&[named])]).await;
    check_fault(end, Reason::ProviderStreamBroken);
}

#[tokio::test]
async fn an_error_under_success_is_a_fault() {
    let error = r#"{"error":{"code":"insufficient_quota","message":"pay"}}"#;
    let end = whole(&response("200 OK", "", error)).await;
    check_fault(end, Reason::ProviderQuotaExhausted);
    let (_, end) = streamed(vec![Act::send(&response("200 OK", "", error))]).await;
    check_fault(end, Reason::ProviderQuotaExhausted);
}

#[tokio::test]
async fn a_page_of_html_is_no_answer() {
    let page = response("200 OK", "content-type: text/html\r\n", "<html>hi</html>");
    check_fault(whole(&page).await, Reason::ProviderResponseInvalid);
    let (_, end) = streamed(vec![Act::send(&page)]).await;
    check_fault(end, Reason::ProviderResponseInvalid);
}

#[tokio::test]
async fn a_server_that_cannot_stream_is_understood() {
    let (_, end) = streamed(vec![Act::send(&response("200 OK", "", WHOLE))]).await;
    assert_eq!(end.unwrap().message.joined_text(), "hello");
}

#[tokio::test]
async fn an_answer_without_message_or_json_is_none() {
    for body in [
        "",
        "{}",
        "{\"choices\":[]}",
        "{\"choices\":[{\"mess",
        "null",
    ] {
        let end = whole(&response("200 OK", "", body)).await;
        check_fault(end, Reason::ProviderResponseInvalid);
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_may_be_asked_for_again() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"choices\"";
    let fault = check_fault(whole(cut).await, Reason::ProviderUnavailable);
    assert!(fault.retry_after.is_some());
    check_fault(whole("").await, Reason::ProviderUnavailable);
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_refused() {
    let end = whole(&response("200 OK", "", &" ".repeat(20_000))).await;
    check_fault(end, Reason::ProviderResponseInvalid);
}

#[tokio::test]
async fn compressed_answers_are_read() {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        ZIPPED.len()
    );
    let acts = vec![Act::send(&head), Act::Send(ZIPPED.to_vec())];
    let upstream = Upstream::start(vec![acts]).await;
    let (_, end) = drain(call_with(&upstream.url, Answer::Whole, timeouts())).await;
    assert_eq!(end.unwrap().message.joined_text(), "zipped");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Upstream::answer(&response("200 OK", "", WHOLE)).await;
    let headers = format!("location: {}/v1/chat/completions\r\n", elsewhere.url);
    let end = whole(&response("307 Temporary Redirect", &headers, "")).await;
    check_fault(end, Reason::ProviderResponseInvalid);
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_rate_limit_says_how_long_to_wait() {
    let limited = response("429 Too Many Requests", "retry-after: 7\r\n", "{}");
    let fault = check_fault(whole(&limited).await, Reason::ProviderRateLimited);
    assert_eq!(fault.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(fault.metadata["status"], "429");
}

#[tokio::test]
async fn an_endless_error_is_read_no_further_than_needed() {
    let endless = format!(
        "HTTP/1.1 500 Oops\r\ncontent-length: 100000\r\n\r\n{}",
        "x".repeat(2000)
    );
    let upstream = Upstream::start(vec![vec![Act::send(&endless), Act::Hold]]).await;
    let (_, end) = drain(call_with(&upstream.url, Answer::Whole, timeouts())).await;
    check_fault(end, Reason::ProviderUnavailable);
    upstream.client_left().await;
}

#[tokio::test]
async fn a_filtered_prompt_is_an_outcome() {
    let refused = response(
        "400 Bad Request",
        "",
        r#"{"error":{"code":"content_filter"}}"#,
    );
    let completion = whole(&refused).await.unwrap();
    assert_eq!(completion.finish_reason, FinishReason::ContentFilter);
    assert!(completion.message.parts.is_empty());
}

#[tokio::test]
async fn silence_within_a_stream_times_out() {
    let first = "data: {\"choices\":[{\"delta\":{\"content\":\"hel\"}}]}\n\n";
    let upstream = Upstream::start(vec![vec![body(&[first]), Act::Hold]]).await;
    let timeouts = Timeouts {
        idle: Duration::from_millis(50),
        ..timeouts()
    };
    let (shown, end) = drain(call_with(&upstream.url, Answer::Streamed, timeouts)).await;
    assert_eq!(shown, "hel");
    check_fault(end, Reason::ProviderTimeout);
    upstream.client_left().await;
}

#[tokio::test]
async fn a_stream_that_does_not_begin_times_out() {
    for acts in [vec![Act::Hold], vec![Act::send(&stream_head()), Act::Hold]] {
        let upstream = Upstream::start(vec![acts]).await;
        let timeouts = Timeouts {
            first_byte: Duration::from_millis(50),
            ..timeouts()
        };
        let (_, end) = drain(call_with(&upstream.url, Answer::Streamed, timeouts)).await;
        check_fault(end, Reason::ProviderTimeout);
        upstream.client_left().await;
    }
}

#[tokio::test]
async fn the_whole_call_is_bounded() {
    for answer in [Answer::Whole, Answer::Streamed] {
        let upstream = Upstream::start(vec![vec![Act::Hold]]).await;
        let timeouts = Timeouts {
            whole: Duration::from_millis(50),
            ..timeouts()
        };
        let (_, end) = drain(call_with(&upstream.url, answer, timeouts)).await;
        check_fault(end, Reason::ProviderTimeout);
    }
}

#[tokio::test]
async fn dropping_a_stream_hangs_up() {
    let first = "data: {\"choices\":[{\"delta\":{\"content\":\"hel\"}}]}\n\n";
    let upstream = Upstream::start(vec![vec![body(&[first]), Act::Hold]]).await;
    let mut stream = call_with(&upstream.url, Answer::Streamed, timeouts());
    assert!(matches!(
        stream.next().await,
        Some(Ok(ModelEvent::Started { .. }))
    ));
    drop(stream);
    upstream.client_left().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let gone = Upstream::start(Vec::new()).await.url;
    let (_, end) = drain(call_with(&gone, Answer::Whole, timeouts())).await;
    check_fault(end, Reason::ProviderUnavailable);
}

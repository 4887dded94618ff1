//! What the log says of calls, read from the log.

use std::{
    io,
    sync::{Arc, Mutex},
};

use futures_util::StreamExt;
use serde_json::Value;

use crate::{
    domain::{
        completion::Request,
        message::{Message, Role},
        secret::Secret,
    },
    provider::{
        Providers,
        settings::{ProviderSettings, Settings},
        upstream::{Act, Upstream, response},
    },
    run::port::{Answer, Models},
};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Catches what this thread logs for as long as the guard lives.
    fn catch(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines about calls.
    fn calls(&self) -> Vec<Value> {
        let lines = self.text();
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        lines
            .filter(|line: &Value| {
                let message = line["message"].as_str().unwrap_or_default();
                message.starts_with("model call")
            })
            .collect()
    }
}

async fn ask(upstream: &Upstream, answer: Answer, take: usize) {
    let mut settings = Settings::default();
    let provider = ProviderSettings {
        kind: Some("openai".to_owned()),
        base_url: Some(upstream.url.clone()),
        key: Some(Secret::new("sk-hidden")),
        ..ProviderSettings::default()
    };
    settings.providers.insert("up".to_owned(), provider);
    let providers = Providers::new(&settings).unwrap();
    let request = Request {
        messages: vec![Arc::new(Message::text(Role::User, "my prompt"))],
        tools: Arc::from([]),
        options: Arc::default(),
    };
    let model = providers.resolve("up:m").unwrap();
    let mut events = providers.call(&model, request, answer);
    for _ in 0..take {
        let _seen = events.next().await;
    }
}

const HELLO: &str = r#"{"choices":[{"message":{"content":"my answer"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":2}}"#;

#[tokio::test]
async fn an_answer_is_one_line_with_ids_and_counts_and_no_content() {
    let log = Log::default();
    let caught = log.catch();
    let upstream = Upstream::answer(&response("200 OK", "x-request-id: req_7\r\n", HELLO)).await;
    ask(&upstream, Answer::Whole, 9).await;
    drop(caught);
    let calls = log.calls();
    assert_eq!(calls.len(), 1, "{}", log.text());
    let line = &calls[0];
    assert_eq!(
        (&line["level"], &line["message"]),
        (&"DEBUG".into(), &"model call".into())
    );
    assert_eq!(
        (&line["provider"], &line["model"]),
        (&"up".into(), &"m".into())
    );
    assert_eq!(
        (&line["status"], &line["request_id"]),
        (&200.into(), &"req_7".into())
    );
    assert_eq!(
        (&line["input_tokens"], &line["output_tokens"]),
        (&7.into(), &2.into())
    );
    assert!(line["duration_ms"].is_u64());
    for hidden in ["my prompt", "my answer", "sk-hidden"] {
        assert!(!log.text().contains(hidden), "{hidden}");
    }
}

#[tokio::test]
async fn a_failure_says_its_reason_and_what_needs_an_operator_is_a_warning() {
    for (status, level, reason) in [
        ("401 Unauthorized", "WARN", "PROVIDER_CREDENTIALS_REJECTED"),
        ("503 Service Unavailable", "INFO", "PROVIDER_UNAVAILABLE"),
    ] {
        let log = Log::default();
        let caught = log.catch();
        let body = r#"{"error":{"message":"my prompt is bad"}}"#;
        let upstream = Upstream::answer(&response(status, "request-id: r1\r\n", body)).await;
        ask(&upstream, Answer::Streamed, 9).await;
        drop(caught);
        let calls = log.calls();
        assert_eq!(calls.len(), 1, "{}", log.text());
        assert_eq!(calls[0]["level"], level);
        assert_eq!(calls[0]["reason"], reason);
        assert_eq!(calls[0]["request_id"], "r1");
        assert!(!log.text().contains("prompt"));
    }
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_any_more_is_logged_as_dropped() {
    let log = Log::default();
    let caught = log.catch();
    let head = crate::provider::upstream::stream_head();
    let piece = "data: {\"choices\":[{\"delta\":{\"content\":\"hel\"}}]}\n\n";
    let chunk = crate::provider::upstream::chunk(piece);
    let acts = vec![Act::send(&format!("{head}{chunk}")), Act::Hold];
    let upstream = Upstream::start(vec![acts]).await;
    ask(&upstream, Answer::Streamed, 2).await;
    upstream.client_left().await;
    drop(caught);
    assert_eq!(log.calls()[0]["message"], "model call dropped");
}

#[tokio::test]
async fn a_call_that_was_never_begun_is_not_logged() {
    let log = Log::default();
    let caught = log.catch();
    let upstream = Upstream::answer("").await;
    ask(&upstream, Answer::Streamed, 0).await;
    drop(caught);
    assert_eq!(log.calls().len(), 0);
}

use std::time::Duration;

use super::*;
use crate::{
    domain::model::ModelRef,
    provider::{
        Providers, golden,
        settings::Settings,
        upstream::{Act, Upstream, response},
    },
    run::{
        port::{Answer, Models},
        sample::greeting,
    },
};

#[test]
fn a_region_has_its_host() {
    for (region, expected) in [
        ("global", "https://aiplatform.googleapis.com"),
        (
            "europe-west4",
            "https://europe-west4-aiplatform.googleapis.com",
        ),
        ("eu", "https://aiplatform.eu.rep.googleapis.com"),
    ] {
        assert_eq!(host(region), expected);
    }
}

fn vertex() -> Vertex {
    Vertex::new("google", &ProviderSettings::default())
}

#[test]
fn golden_cases_hold() {
    golden::check_family("vertex", |_| Box::new(vertex()));
}

#[test]
fn a_models_name_decides_on_the_publisher_and_its_protocol() {
    for (model, answer, expected) in [
        (
            "gemini-2.5-pro",
            Answer::Whole,
            "/publishers/google/models/gemini-2.5-pro:generateContent",
        ),
        (
            "gemini-2.5-pro",
            Answer::Streamed,
            "/publishers/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
        ),
        (
            "claude-sonnet-4-5@20250929",
            Answer::Streamed,
            "/publishers/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict",
        ),
        (
            "endpoints/123",
            Answer::Whole,
            "/endpoints/123:generateContent",
        ),
    ] {
        let model = ModelRef::parse(&format!("google:{model}")).unwrap();
        let call = Call {
            model: &model,
            request: &greeting(),
            answer,
        };
        let path = vertex().encode(call).unwrap().path;
        assert_eq!(path.replace("%40", "@"), expected);
    }
}

fn settings(parameters: &[(&str, &str)], base_url: Option<&str>) -> Settings {
    let mut settings = Settings::default();
    let provider = ProviderSettings {
        kind: Some("google".to_owned()),
        base_url: base_url.map(str::to_owned),
        parameters: parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..ProviderSettings::default()
    };
    settings.providers.insert("google".to_owned(), provider);
    settings
}

async fn ask(providers: &Providers) -> Result<Completion, Fault> {
    use futures_util::StreamExt;
    let model = providers.resolve("google:gemini-2.5-pro").unwrap();
    let mut stream = providers.call(&model, greeting(), Answer::Whole);
    let mut last = None;
    while let Some(event) = stream.next().await {
        if let crate::domain::completion::ModelEvent::Finished(completion) = event? {
            last = Some(*completion);
        }
    }
    Ok(last.unwrap())
}

#[tokio::test]
async fn a_missing_project_is_named() {
    let settings = settings(&[], None).with_environment(|_| None);
    let fault = ask(&Providers::new(&settings).unwrap()).await.unwrap_err();
    assert_eq!(fault.reason, Reason::ProviderCredentialsMissing);
    assert_eq!(fault.metadata["variable"], "GOOGLE_PROJECT_ID");
}

#[tokio::test]
async fn without_credentials_on_a_machine_that_has_none_they_are_named() {
    let settings = settings(&[("metadata_host", "127.0.0.1:9")], None)
        .with_environment(|name| (name == "GOOGLE_PROJECT_ID").then(|| "p".to_owned()));
    let fault = ask(&Providers::new(&settings).unwrap()).await.unwrap_err();
    assert_eq!(fault.reason, Reason::ProviderCredentialsMissing);
    assert_eq!(fault.metadata["variable"], "GOOGLE_APPLICATION_CREDENTIALS");
}

#[test]
fn a_credentials_file_that_cannot_be_used_is_told_without_what_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.json");
    for (text, told) in [
        ("hunter2", "JSON"),
        (r#"{"type":"external_account","secret":"hunter2"}"#, "type"),
        (
            r#"{"type":"service_account","client_email":"a@b","private_key":"hunter2"}"#,
            "private_key",
        ),
        (
            r#"{"type":"authorized_user","client_id":"hunter2"}"#,
            "client_secret",
        ),
    ] {
        std::fs::write(&path, text).unwrap();
        let settings = settings(
            &[
                ("project", "p"),
                ("credentials_file", path.to_str().unwrap()),
            ],
            None,
        );
        let errors = Providers::new(&settings).unwrap_err();
        assert!(errors[0].problem.contains(told), "{}", errors[0]);
        assert!(!errors[0].problem.contains("hunter2"));
    }
}

const ANSWER: &str =
    r#"{"candidates":[{"content":{"parts":[{"text":"hello"}]},"finishReason":"STOP"}]}"#;

/// One connection for each answer: the machine's clock is moved, and idle connections are closed by it.
fn closing(status: &str, body: &str) -> Vec<Act> {
    let headers = "content-type: application/json\r\nconnection: close\r\n";
    vec![Act::Send(response(status, headers, body).into_bytes())]
}

#[tokio::test]
async fn a_rejected_token_is_renewed_once_and_the_call_repeated() {
    let token = |value: &str| {
        closing(
            "200 OK",
            &format!(r#"{{"access_token":"{value}","expires_in":3599}}"#),
        )
    };
    let machine = Upstream::start(vec![token("old"), token("new")]).await;
    let api = Upstream::start(vec![
        closing("200 OK", ANSWER),
        closing("401 Unauthorized", r#"{"error":{"code":401}}"#),
        closing("200 OK", ANSWER),
    ])
    .await;
    let host = machine.url.strip_prefix("http://").unwrap();
    let settings = settings(
        &[
            ("project", "p"),
            ("region", "us-east5"),
            ("metadata_host", host),
        ],
        Some(&api.url),
    );
    let providers = Providers::new(&settings).unwrap();
    let first = ask(&providers).await.unwrap();
    assert_eq!(first.message.joined_text(), "hello");
    // A token that has just been given out would not be replaced.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(10)).await;
    tokio::time::resume();
    let second = ask(&providers).await.unwrap();
    assert_eq!(second.message.joined_text(), "hello");
    let requests = api.requests();
    let path = "POST /v1/projects/p/locations/us-east5/publishers/google/models/gemini-2.5-pro:generateContent ";
    assert!(requests.iter().all(|request| request.starts_with(path)));
    let bearers: Vec<bool> = requests
        .iter()
        .map(|request| request.contains("authorization: Bearer old"))
        .collect();
    assert_eq!(bearers, [true, true, false]);
    assert!(requests[2].contains("authorization: Bearer new"));
    assert!(machine.requests()[0].contains("metadata-flavor: Google"));
}

//! Where a request goes, with which credentials, and what a refusal is.

use futures_util::StreamExt;

use super::*;
use crate::{
    domain::{
        completion::{ModelEvent, Request},
        fault::Reason,
        id::CallId,
        message::{Message, Role},
        model::{FinishReason, ModelRef, Options},
        secret::Secret,
    },
    provider::{
        Providers, golden,
        settings::{ProviderSettings, Settings},
        token::server::{TokenServer, check_renewal},
        upstream::{Upstream, response},
    },
    run::port::{Answer, Models},
};

const WHOLE: &str = r#"{"choices":[{"message":{"content":"hello"},"finish_reason":"stop"}]}"#;

fn azure(style: Style) -> Azure {
    Azure {
        openai: OpenAi {
            name: "azure".to_owned(),
            quirks: Quirks::OPENAI,
            options: None,
        },
        style,
    }
}

#[test]
fn golden_cases_hold() {
    golden::check_family("azure", |_| {
        Box::new(azure(Style::of("https://x.openai.azure.com", None)))
    });
    golden::check_family("azure_inference", |_| Box::new(inference()));
}

fn inference() -> Azure {
    let style = Style::of("https://x.services.ai.azure.com/models", None);
    Azure {
        openai: OpenAi {
            name: "azure".to_owned(),
            quirks: Quirks::COMPATIBLE,
            options: None,
        },
        style,
    }
}

#[test]
fn inference_is_told_to_pass_on_what_its_schema_does_not_have() {
    let request = Request {
        messages: vec![Arc::new(Message::text(Role::User, "hi"))],
        tools: Arc::from([]),
        options: Arc::new(Options::default()),
    };
    let model = ModelRef::parse("azure:Phi-4").unwrap();
    let call = Call {
        model: &model,
        request: &request,
        answer: Answer::Streamed,
    };
    let headers = inference().encode(call).unwrap().headers;
    assert_eq!(headers, [(EXTRA, HeaderValue::from_static("pass-through"))]);
    let openai = azure(Style::V1 { prefix: "" });
    assert!(openai.encode(call).unwrap().headers.is_empty());
}

#[track_caller]
fn check_path(base_url: &str, version: Option<&str>, path: &str, models: Option<&str>) {
    let style = Style::of(base_url, version);
    assert_eq!(style.path("gpt-5").unwrap(), path);
    assert_eq!(style.models_path(), models);
}

#[test]
fn the_shape_of_the_base_url_decides_where_a_request_goes() {
    let resource = "https://x.openai.azure.com";
    check_path(
        resource,
        None,
        "/openai/v1/chat/completions",
        Some("/openai/v1/models"),
    );
    check_path(
        "https://x.openai.azure.com/openai/v1",
        Some("ignored"),
        "/chat/completions",
        Some("/models"),
    );
    check_path(
        resource,
        Some("2025-04-01-preview"),
        "/openai/deployments/gpt-5/chat/completions?api-version=2025-04-01-preview",
        None,
    );
    check_path(
        "https://x.openai.azure.com/openai/deployments/mine",
        None,
        "/chat/completions?api-version=2024-10-21",
        None,
    );
    check_path(
        "https://x.services.ai.azure.com/models",
        None,
        "/chat/completions?api-version=2024-05-01-preview",
        None,
    );
}

#[test]
fn a_deployment_that_would_change_the_path_is_refused() {
    let style = Style::of("https://x", Some("1"));
    for bad in ["../x", "a/b", "a?b", "", "ü"] {
        assert_eq!(style.path(bad).unwrap_err().reason, Reason::InvalidRequest);
    }
}

#[test]
fn a_filtered_prompt_is_an_outcome_and_tells_the_categories() {
    let body = r#"{"error":{"code":"content_filter","message":"The prompt…","param":"prompt","status":400,
        "innererror":{"code":"ResponsibleAIPolicyViolation",
        "content_filter_result":{"violence":{"filtered":true,"severity":"medium"}}}}}"#;
    let turn = Turn {
        model: ModelRef::parse("azure:gpt-5").unwrap(),
        tools: Arc::from([]),
        headers: http::HeaderMap::new(),
        mint: Box::new(CallId::mint),
    };
    let rejection = Rejection {
        status: http::StatusCode::BAD_REQUEST,
        body: body.as_bytes(),
    };
    let completion = azure(Style::V1 { prefix: "" })
        .reject(turn, rejection)
        .unwrap();
    assert_eq!(completion.finish_reason, FinishReason::ContentFilter);
    assert_eq!(completion.provider_finish_reason, "content_filter");
    assert_eq!(
        completion.provider_metadata.unwrap().as_str(),
        r#"{"content_filter_result":{"violence":{"filtered":true,"severity":"medium"}}}"#
    );
}

async fn ask(provider: ProviderSettings) -> Result<Completion, Fault> {
    let providers = Providers::new(&settings(provider)).unwrap();
    let request = Request {
        messages: vec![Arc::new(Message::text(Role::User, "hi"))],
        tools: Arc::from([]),
        options: Arc::new(Options::default()),
    };
    let model = ModelRef::parse("azure:gpt-5").unwrap();
    let mut events = providers.call(&model, request, Answer::Whole);
    while let Some(event) = events.next().await {
        if let ModelEvent::Finished(completion) = event? {
            return Ok(*completion);
        }
    }
    panic!("no end");
}

#[tokio::test]
async fn a_key_goes_out_in_its_own_header() {
    let upstream = Upstream::answer(&response("200 OK", "", WHOLE)).await;
    let provider = ProviderSettings {
        base_url: Some(upstream.url.clone()),
        key: Some(Secret::new("k-1")),
        ..ProviderSettings::default()
    };
    ask(provider).await.unwrap();
    let request = upstream.requests().remove(0);
    assert!(request.starts_with("POST /openai/v1/chat/completions HTTP/1.1"));
    assert!(request.contains("api-key: k-1"), "{request}");
    assert!(!request.to_lowercase().contains("authorization:"));
}

#[tokio::test]
async fn an_application_s_secret_is_exchanged_for_a_token() {
    let granted = response(
        "200 OK",
        "",
        r#"{"token_type":"Bearer","expires_in":3599,"access_token":"t-1"}"#,
    );
    let entra = Upstream::answer(&granted).await;
    let upstream = Upstream::answer(&response("200 OK", "", WHOLE)).await;
    let parameters = [
        ("tenant_id", "tenant"),
        ("client_id", "app"),
        ("authority", &*entra.url),
    ];
    let provider = ProviderSettings {
        base_url: Some(upstream.url.clone()),
        key: Some(Secret::new("s&1")),
        parameters: parameters
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..ProviderSettings::default()
    };
    ask(provider).await.unwrap();
    let asked = entra.requests().remove(0);
    assert!(asked.starts_with("POST /tenant/oauth2/v2.0/token HTTP/1.1"));
    assert!(asked.ends_with(
        "grant_type=client_credentials&client_id=app&client_secret=s%261\
         &scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default"
    ));
    let request = upstream.requests().remove(0);
    assert!(request.contains("authorization: Bearer t-1"), "{request}");
    assert!(!request.contains("api-key"));
}

/// An application in Entra ID, whose tokens this server grants.
fn application(server: &TokenServer, more: &[(&str, &str)]) -> ProviderSettings {
    let parameters = [
        ("tenant_id", "tenant"),
        ("client_id", "app"),
        ("authority", &*server.url),
    ];
    ProviderSettings {
        base_url: Some(server.url.clone()),
        parameters: parameters
            .iter()
            .chain(more)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..ProviderSettings::default()
    }
}

fn settings(provider: ProviderSettings) -> Settings {
    let mut settings = Settings::default();
    settings.providers.insert("azure".to_owned(), provider);
    settings
}

#[tokio::test]
async fn a_token_for_a_secret_is_renewed() {
    let server = TokenServer::start(|path, form| {
        let expected = "grant_type=client_credentials&client_id=app&client_secret=s%261\
             &scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default";
        let good = path == "/tenant/oauth2/v2.0/token" && form == expected;
        good.then_some(())
            .ok_or_else(|| "invalid_client".to_owned())
    })
    .await;
    let provider = ProviderSettings {
        key: Some(Secret::new("s&1")),
        ..application(&server, &[])
    };
    check_renewal(&server, &settings(provider), "azure:gpt-5").await;
}

#[tokio::test]
async fn a_token_for_a_workload_is_renewed_with_what_its_file_holds() {
    let server = TokenServer::start(|path, form| {
        let expected = "grant_type=client_credentials&client_id=app\
             &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
             &client_assertion=ey.J.x&scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default";
        let good = path == "/tenant/oauth2/v2.0/token" && form == expected;
        good.then_some(()).ok_or_else(|| "invalid_client".to_owned())
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let provider = application(&server, &[("federated_token_file", file.to_str().unwrap())]);
    let fault = ask(provider.clone()).await.unwrap_err();
    assert_eq!(fault.reason, Reason::ProviderCredentialsMissing);
    assert_eq!(fault.metadata["variable"], "AZURE_FEDERATED_TOKEN_FILE");
    std::fs::write(&file, "ey.J.x\n").unwrap();
    check_renewal(&server, &settings(provider), "azure:gpt-5").await;
}

#[tokio::test]
async fn without_an_address_the_variable_is_named() {
    let fault = ask(ProviderSettings::default()).await.unwrap_err();
    assert_eq!(fault.reason, Reason::ProviderCredentialsMissing);
    assert_eq!(fault.metadata["variable"], "AZURE_BASE_URL");
}

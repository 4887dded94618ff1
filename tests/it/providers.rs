//! Providers as an operator configures them, through the wire on one side and real sockets on the other:
//! credentials, headers, addresses, proxies, lists of models, media by URL.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use runwire::{
    app::{App, World},
    config::{Config, Environment, Layers},
    pb::v1::{
        self, completion_service_client::CompletionServiceClient,
        model_service_client::ModelServiceClient, run_service_client::RunServiceClient,
    },
};
use tokio_util::task::TaskTracker;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;

use crate::harness::{
    assert_fails, channel_over, outcome, params, spec, start_run, text_part,
    upstream::{Upstream, json, response},
};

const HELLO: &str = r#"{"choices":[{"message":{"content":"hello"},"finish_reason":"stop"}]}"#;

/// A whole server with this configuration and these variables.
struct Server {
    channel: Channel,
    _app: Arc<App>,
    _folder: tempfile::TempDir,
}

impl Server {
    async fn start(config: &str, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("runwire.toml");
        std::fs::write(&file, format!("[store]\nkind = 'memory'\n{config}")).unwrap();
        std::fs::write(folder.path().join("key"), "sk-file\n").unwrap();
        let environment: Environment = variables.iter().copied().collect();
        let config = Config::load(&Layers {
            file: Some(file),
            environment: environment.clone(),
            flags: Vec::new(),
        })
        .unwrap();
        let world = World::configured(&config, &environment).unwrap();
        let app = Arc::new(App::build(&config, world).await.unwrap());
        let (client, served) = tokio::io::duplex(256 * 1024);
        let server = Arc::clone(&app);
        TaskTracker::new().spawn(async move {
            // How a connection ends is seen at the client's end.
            let _end = server.serve(served).await;
        });
        Self {
            channel: channel_over(client).await,
            _app: app,
            _folder: folder,
        }
    }

    async fn complete(&self, params: v1::CompletionParams) -> Result<v1::Completion, Status> {
        let mut client = CompletionServiceClient::new(self.channel.clone());
        let request = v1::GenerateCompletionRequest {
            params: Some(params),
        };
        let answer = client.generate_completion(request).await?;
        Ok(answer.into_inner().completion.unwrap())
    }

    async fn models(&self, provider: &str) -> v1::ListModelsResponse {
        let request = v1::ListModelsRequest {
            provider: provider.to_owned(),
            page_size: 500,
            ..v1::ListModelsRequest::default()
        };
        let mut client = ModelServiceClient::new(self.channel.clone());
        client.list_models(request).await.unwrap().into_inner()
    }
}

async fn hello() -> Upstream {
    Upstream::start(|_request| json("200 OK", HELLO)).await
}

/// The value of a header of a request.
fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = request.lines().take_while(|line| !line.is_empty());
    lines.find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

fn metadata(status: &Status) -> std::collections::HashMap<String, String> {
    status.get_details_error_info().unwrap().metadata
}

// === credentials ===

#[tokio::test]
async fn a_missing_key_fails_the_call_and_names_the_variable_to_set() {
    let config = "[providers.mine]\nkind = 'openai'\nbase_url = 'http://127.0.0.1:1'\napi_key_env = 'MINE_KEY'";
    let server = Server::start(config, &[]).await;
    for (model, variable) in [
        ("openai:gpt-5", "OPENAI_API_KEY"),
        ("anthropic:claude-opus-4-5", "ANTHROPIC_API_KEY"),
        ("gemini:gemini-2.5-pro", "GEMINI_API_KEY"),
        ("azure:gpt-5", "AZURE_BASE_URL"),
        ("mine:x", "MINE_KEY"),
    ] {
        let answer = server.complete(params(model)).await;
        let code = Code::FailedPrecondition;
        let status = assert_fails(answer, code, "PROVIDER_CREDENTIALS_MISSING");
        assert_eq!(metadata(&status)["variable"], variable, "{model}");
        assert!(status.message().contains(variable), "{status}");
    }
}

#[tokio::test]
async fn a_key_is_taken_from_the_vendors_variable_or_the_one_that_is_named_or_a_file() {
    let upstream = hello().await;
    for (keys, expected) in [
        ("", "Bearer sk-vendor"),
        ("api_key_env = 'OTHER'", "Bearer sk-other"),
        ("api_key_file = 'key'", "Bearer sk-file"),
    ] {
        let url = &upstream.url;
        let config = format!("[providers.openai]\nbase_url = '{url}/v1'\n{keys}");
        let variables = [("OPENAI_API_KEY", "sk-vendor"), ("OTHER", "sk-other")];
        let server = Server::start(&config, &variables).await;
        server.complete(params("openai:m")).await.unwrap();
        let request = upstream.requests().pop().unwrap();
        assert_eq!(header(&request, "authorization"), Some(expected));
    }
}

#[tokio::test]
async fn a_rejected_key_is_the_operators_matter_and_never_shown() {
    let upstream =
        Upstream::start(|_| json("401 Unauthorized", r#"{"error":"sk-1 is bad"}"#)).await;
    let variables = [
        ("OPENAI_API_KEY", "sk-1"),
        ("OPENAI_BASE_URL", &upstream.url),
    ];
    let server = Server::start("", &variables).await;
    let answer = server.complete(params("openai:m")).await;
    let code = Code::FailedPrecondition;
    let status = assert_fails(answer, code, "PROVIDER_CREDENTIALS_REJECTED");
    assert!(!format!("{status:?}").contains("sk-1"));
}

#[tokio::test]
async fn headers_go_out_and_secret_ones_come_from_variables() {
    let upstream = hello().await;
    let config = format!(
        "[providers.mine]\nkind = 'openai'\nbase_url = '{}/v1'\n\
         headers = {{ X-Title = 'Runwire' }}\n\
         headers_env = {{ X-Gateway-Token = 'GATEWAY_TOKEN' }}\n",
        upstream.url
    );
    let server = Server::start(&config, &[("GATEWAY_TOKEN", "gw-1")]).await;
    server.complete(params("mine:m")).await.unwrap();
    let request = upstream.requests().pop().unwrap();
    assert_eq!(header(&request, "x-title"), Some("Runwire"));
    assert_eq!(header(&request, "x-gateway-token"), Some("gw-1"));
    assert_eq!(header(&request, "authorization"), None);

    let server = Server::start(&config, &[]).await;
    let answer = server.complete(params("mine:m")).await;
    let code = Code::FailedPrecondition;
    let status = assert_fails(answer, code, "PROVIDER_CREDENTIALS_MISSING");
    assert_eq!(metadata(&status)["variable"], "GATEWAY_TOKEN");
    assert_eq!(upstream.requests().len(), 1);
}

// === proxies ===

#[tokio::test]
async fn a_plain_provider_is_asked_through_its_own_proxy() {
    let proxy = hello().await;
    let config = format!(
        "[providers.far]\nkind = 'openai'\nbase_url = 'http://vendor.test/v1'\nproxy = '{}'\n",
        proxy.url
    );
    let server = Server::start(&config, &[]).await;
    server.complete(params("far:m")).await.unwrap();
    let request = proxy.requests().pop().unwrap();
    let line = request.lines().next().unwrap();
    assert_eq!(line, "POST http://vendor.test/v1/chat/completions HTTP/1.1");
    assert_eq!(header(&request, "proxy-authorization"), None);
}

#[tokio::test]
async fn a_tls_provider_is_tunnelled_to_and_its_key_is_not_shown_to_the_proxy() {
    let proxy = Upstream::start(|_request| json("407 Proxy Authentication Required", "{}")).await;
    let config = "[providers.far]\nkind = 'openai'\nbase_url = 'https://vendor.test/v1'\n\
                  api_key_env = 'FAR_KEY'\nproxy_env = 'FAR_PROXY'\n[retry]\nmax_attempts = 1\n";
    let url = proxy.url.replace("http://", "http://user:pass@");
    let variables = [("FAR_KEY", "sk-far"), ("FAR_PROXY", &url)];
    let server = Server::start(config, &variables).await;
    let answer = server.complete(params("far:m")).await;
    assert_fails(answer, Code::Unavailable, "PROVIDER_UNAVAILABLE");
    let request = proxy.requests().pop().unwrap();
    assert!(
        request.starts_with("CONNECT vendor.test:443 HTTP/1.1\r\n"),
        "{request}"
    );
    let basic = format!("Basic {}", STANDARD.encode("user:pass"));
    assert_eq!(header(&request, "proxy-authorization"), Some(&*basic));
    assert!(!request.contains("sk-far"));
}

// === media by URL ===

const IMAGE: &str = "pixels";

/// Ollama's own API, and an image beside it.
async fn ollama() -> Upstream {
    Upstream::start(|request| {
        if request.starts_with("GET /a.png ") {
            response("200 OK", "image/png", IMAGE)
        } else {
            let body = r#"{"message":{"role":"assistant","content":"a cat"},"done":true,"done_reason":"stop"}"#;
            json("200 OK", body)
        }
    })
    .await
}

fn about(model: &str, uri: &str) -> v1::CompletionParams {
    let mut params = params(model);
    params.messages[0].parts = vec![
        text_part("What is this?"),
        v1::Part {
            content: Some(v1::part::Content::Media(v1::Media {
                media_type: "image/png".to_owned(),
                source: Some(v1::media::Source::Uri(uri.to_owned())),
                ..v1::Media::default()
            })),
            ..v1::Part::default()
        },
    ];
    params
}

fn native(url: &str, media: &str) -> String {
    format!(
        "[media]\n{media}\n[providers.ollama]\nbase_url = '{url}'\nparameters = {{ api = 'native' }}\n"
    )
}

#[tokio::test]
async fn a_url_for_a_provider_that_fetches_none_is_fetched_where_the_operator_allows_it() {
    let upstream = ollama().await;
    let config = native(
        &upstream.url,
        "fetch = true\nprivate_networks = ['127.0.0.1']",
    );
    let server = Server::start(&config, &[]).await;
    let params = about("ollama:m", &format!("{}/a.png", upstream.url));
    let completion = server.complete(params).await.unwrap();
    assert_eq!(completion.model, "ollama:m");
    let asked = upstream.requests().pop().unwrap();
    assert!(asked.starts_with("POST /api/chat "));
    assert!(asked.contains(&STANDARD.encode(IMAGE)), "{asked}");
}

#[tokio::test]
async fn no_url_is_fetched_unless_the_operator_allows_it() {
    let upstream = ollama().await;
    let server = Server::start(&native(&upstream.url, ""), &[]).await;
    let params = about("ollama:m", &format!("{}/a.png", upstream.url));
    let answer = server.complete(params).await;
    let status = assert_fails(answer, Code::InvalidArgument, "INVALID_REQUEST");
    assert_eq!(metadata(&status)["url_problem"], "NOT_FETCHED");
    assert_eq!(metadata(&status)["provider"], "ollama");
    let details = status.get_error_details();
    let violation = &details.bad_request().unwrap().field_violations[0];
    assert_eq!(violation.field, "messages[0].parts[1].media.uri");
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn no_url_leads_the_server_to_its_own_neighbourhood() {
    let upstream = ollama().await;
    let server = Server::start(&native(&upstream.url, "fetch = true"), &[]).await;
    let port = upstream.url.rsplit(':').next().unwrap();
    for url in [
        format!("{}/a.png", upstream.url),
        format!("http://2130706433:{port}/a.png"),
        format!("http://[::ffff:127.0.0.1]:{port}/a.png"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://10.0.0.1/".to_owned(),
    ] {
        let answer = server.complete(about("ollama:m", &url)).await;
        let status = assert_fails(answer, Code::InvalidArgument, "INVALID_REQUEST");
        assert_eq!(metadata(&status)["url_problem"], "ADDRESS", "{url}");
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn a_run_with_a_url_that_is_not_fetched_fails_with_its_reason() {
    let upstream = ollama().await;
    let server = Server::start(&native(&upstream.url, ""), &[]).await;
    let mut client = RunServiceClient::new(server.channel.clone());
    let mut spec = spec("ollama:m", Vec::new());
    spec.input = about("ollama:m", "http://10.0.0.1/").messages;
    let run = start_run(&mut client, spec).await;
    let run = outcome(&mut client, &run.id).await;
    assert_eq!(run.state(), v1::run::State::Failed);
    let error = run.error.unwrap();
    assert_eq!(error.reason, "INVALID_REQUEST");
    assert_eq!(error.metadata["url_problem"], "NOT_FETCHED");
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn a_url_for_a_provider_that_fetches_goes_out_as_it_is() {
    let upstream = hello().await;
    let config = format!(
        "[providers.mine]\nkind = 'openai'\nbase_url = '{}'\n",
        upstream.url
    );
    let server = Server::start(&config, &[]).await;
    let url = "http://10.0.0.1/a.png?signature=s";
    server.complete(about("mine:m", url)).await.unwrap();
    let requests = upstream.requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].contains(url), "{}", requests[0]);
}

// === models ===

#[tokio::test]
async fn a_models_traits_come_from_its_list_and_where_that_is_silent_from_documentation() {
    let list = r#"{"data":[{"id":"gpt-4o-2024-08-06"},{"id":"unheard-of"}]}"#;
    let upstream = Upstream::start(move |_| json("200 OK", list)).await;
    let variables = [
        ("OPENAI_API_KEY", "sk-1"),
        ("OPENAI_BASE_URL", &upstream.url),
    ];
    let server = Server::start(
        "[models.aliases]\nbest = 'openai:gpt-4o-2024-08-06'",
        &variables,
    )
    .await;
    let models = server.models("openai").await.models;
    let [known, unknown] = &models[..] else {
        panic!("{models:?}");
    };
    assert_eq!(known.id, "openai:gpt-4o-2024-08-06");
    assert_eq!(known.aliases, ["best"]);
    assert_eq!(
        (known.context_tokens, known.max_output_tokens),
        (128_000, 16_384)
    );
    assert!(
        known
            .input_media_types
            .contains(&"application/pdf".to_owned())
    );
    assert_eq!(known.supports_media, Some(true));
    assert_eq!(known.supports_tools, Some(true));
    assert_eq!(known.supports_parallel_tool_calls, Some(true));
    assert_eq!(known.supports_reasoning, Some(false));
    assert_eq!(known.supports_streaming, Some(true));
    assert_eq!(known.supports_output_schema, Some(true));
    assert_eq!(known.output_schema_method(), v1::OutputSchemaMethod::Native);
    let expected = v1::Model {
        id: "openai:unheard-of".to_owned(),
        provider: "openai".to_owned(),
        ..v1::Model::default()
    };
    assert_eq!(*unknown, expected);
}

#[tokio::test]
async fn a_routers_list_says_what_its_models_take_and_cost() {
    let list = r#"{"data":[{"id":"x/y:free","context_length":131072,
        "architecture":{"input_modalities":["text","image"]},
        "top_provider":{"max_completion_tokens":16384},
        "pricing":{"prompt":"0.00000015","completion":"0.0000006"},
        "supported_parameters":["tools","reasoning"]}]}"#;
    let upstream = Upstream::start(move |_| json("200 OK", list)).await;
    let config = format!("[providers.openrouter]\nbase_url = '{}'", upstream.url);
    let server = Server::start(&config, &[("OPENROUTER_API_KEY", "sk-1")]).await;
    let model = server.models("openrouter").await.models.remove(0);
    assert_eq!(model.id, "openrouter:x/y:free");
    assert_eq!(
        (model.context_tokens, model.max_output_tokens),
        (131_072, 16_384)
    );
    assert_eq!(model.input_media_types, ["image/*"]);
    assert_eq!(model.supports_tools, Some(true));
    assert_eq!(model.supports_reasoning, Some(true));
    assert_eq!(model.supports_output_schema, Some(false));
    assert_eq!(model.input_price_micros, Some(150_000));
    assert_eq!(model.output_price_micros, Some(600_000));
}

#[tokio::test]
async fn a_list_is_kept_for_its_time_and_asked_for_once_by_all_who_come_meanwhile() {
    let upstream =
        Upstream::start(|_| json("200 OK", r#"{"data":[{"id":"a"},{"id":"b"},{"id":"c"}]}"#)).await;
    let mine = format!(
        "[providers.mine]\nkind = 'openai'\nbase_url = '{}'\n",
        upstream.url
    );
    let server = Server::start(&format!("{mine}[models]\nlist_max = 2\n"), &[]).await;
    let lists = futures_util::future::join_all((0..5).map(|_| server.models("mine"))).await;
    assert!(lists.iter().all(|list| list.models.len() == 2), "{lists:?}");
    assert_eq!(upstream.requests().len(), 1);
    let forgetful = Server::start(&format!("{mine}[models]\nlist_ttl = '0s'\n"), &[]).await;
    forgetful.models("mine").await;
    forgetful.models("mine").await;
    assert_eq!(upstream.requests().len(), 3);
}

#[tokio::test]
async fn a_configured_provider_that_cannot_list_is_named_and_the_others_are_listed() {
    let upstream = Upstream::start(|_| json("503 Service Unavailable", "{}")).await;
    let config = format!(
        "[providers.mine]\nkind = 'openai'\nbase_url = '{}'\n",
        upstream.url
    );
    let server = Server::start(&config, &[]).await;
    let list = server.models("").await;
    assert!(list.models.iter().any(|model| model.provider == "script"));
    let unavailable: Vec<(&str, &str)> = list
        .unavailable
        .iter()
        .map(|gone| (&*gone.provider, &*gone.error.as_ref().unwrap().reason))
        .collect();
    assert_eq!(unavailable, [("mine", "PROVIDER_UNAVAILABLE")]);
}

// === runwire providers ===

#[tokio::test]
async fn a_check_fails_when_a_provider_in_use_rejects_its_key_and_tells_no_key() {
    let upstream = Upstream::start(|_| json("401 Unauthorized", "{}")).await;
    let program = env!("CARGO_BIN_EXE_runwire");
    let run = |subcommand: &'static str| {
        let mut command = tokio::process::Command::new(program);
        command
            .args(["providers", subcommand, "--json"])
            .env_clear()
            .env("OPENAI_API_KEY", "sk-1")
            .env("OPENAI_BASE_URL", &upstream.url);
        async move { command.output().await.unwrap() }
    };
    let output = run("check").await;
    assert_eq!(output.status.code(), Some(1));
    let (out, err) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert_eq!(err, "runwire: cannot be used: openai\n");
    let openai = out
        .lines()
        .find(|line| line.contains("\"provider\":\"openai\""))
        .unwrap();
    let openai: serde_json::Value = serde_json::from_str(openai).unwrap();
    assert_eq!(openai["credentials"], "found");
    assert_eq!(openai["source"], "variable OPENAI_API_KEY");
    assert_eq!(openai["check"], "rejected");
    assert!(!out.contains("sk-1"));
    // A list asks nobody and never fails.
    let asked = upstream.requests().len();
    let output = run("list").await;
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(upstream.requests().len(), asked);
}

//! Models that cannot be asked and providers that misbehave, through the wire: the real provider layer in
//! front of a server that answers bytes of the test's choice. Each has a code and a reason, and nobody
//! else on the connection notices.

use std::time::Duration;

use runwire::{
    app::{App, World},
    config::{Config, Environment, Flag, Layers},
    pb::v1::{
        self, completion_service_client::CompletionServiceClient,
        run_service_client::RunServiceClient,
    },
};
use tokio::task::JoinSet;
use tonic::{Code, transport::Channel};
use v1::stream_completion_response::Event;

use crate::{
    harness::{Bystander, assert_fails, channel_over, params, spec},
    upstream::{Asked, STREAM, provider, whole},
};

const CHUNK: &str = r#"data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"},"finish_reason":null}]}

"#;
/// What a canary in a provider's answer would look like in a status.
const CANARY: &str = "canary-7f3a";

/// The key of the provider `keyed`.
const KEY: &str = "key-canary-91c2";

/// The bytes that the model of this name answers with. `good` is what a provider should do.
fn answer(asked: &Asked<'_>) -> String {
    let good = r#"{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#;
    match asked.model {
        "good" => whole("application/json", good),
        "garbage" => whole("application/json", &format!("{{\"choices\": {CANARY}")),
        "html" => whole(
            "text/html",
            &format!("<html><h1>Welcome, {CANARY}</h1></html>"),
        ),
        "error" => whole(
            "application/json",
            &format!(r#"{{"error":{{"message":"{CANARY}","type":"server_error","code":null}}}}"#),
        ),
        "empty" => whole("application/json", ""),
        "endless" => whole("application/json", &format!("[{}", "0,".repeat(40 << 20))),
        "no-http" => format!("{CANARY} is no answer\r\n\r\n"),
        "hang-up" => String::new(),
        "html-status" => {
            whole("text/html", &format!("<h1>{CANARY}</h1>")).replace("200 OK", "502 Bad Gateway")
        }
        "rejected" => whole(
            "application/json",
            &format!(r#"{{"error":{{"message":"wrong key: {KEY}","code":"invalid_api_key"}}}}"#),
        )
        .replace("200 OK", "401 Unauthorized"),
        "half" => format!("{STREAM}{CHUNK}"),
        "garbage-stream" => format!("{STREAM}{CHUNK}data: {{\"choices\": {CANARY}\n\n"),
        "html-stream" => whole(
            "text/html",
            &format!("<html><h1>Welcome, {CANARY}</h1></html>"),
        ),
        "error-stream" => format!(
            "{STREAM}{CHUNK}data: {{\"error\":{{\"message\":\"{CANARY}\",\"type\":\"server_error\"}}}}\n\n"
        ),
        "endless-line" => format!("{STREAM}{CHUNK}data: {}", "x".repeat(9 << 20)),
        "endless-event" => format!("{STREAM}{CHUNK}{}", "data: 0123456789\n".repeat(1 << 20)),
        unknown => panic!("no such model: {unknown}"),
    }
}

/// A server whose providers `rogue`, `keyed` and `keyless` are the one above, and one connection to it.
async fn connection(tasks: &mut JoinSet<()>) -> Channel {
    let url = provider(tasks, answer).await;
    let mut variables = vec![
        ("RUNWIRE__STORE__KIND".to_owned(), "memory"),
        ("RUNWIRE__MODELS__ALIASES__FAST".to_owned(), "rogue:good"),
        (
            "RUNWIRE__PROVIDERS__KEYED__API_KEY_ENV".to_owned(),
            "KEYED_KEY",
        ),
        (
            "RUNWIRE__PROVIDERS__KEYLESS__API_KEY_ENV".to_owned(),
            "KEYLESS_KEY",
        ),
        ("KEYED_KEY".to_owned(), KEY),
    ];
    for name in ["ROGUE", "KEYED", "KEYLESS"] {
        variables.push((format!("RUNWIRE__PROVIDERS__{name}__KIND"), "openai"));
        variables.push((format!("RUNWIRE__PROVIDERS__{name}__BASE_URL"), &url));
    }
    let environment: Environment = variables
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    let once = Flag {
        flag: "--test",
        key: "retry.max_attempts",
        value: "1".to_owned(),
    };
    let layers = Layers {
        file: None,
        environment: environment.clone(),
        flags: vec![once],
    };
    let config = Config::load(&layers).unwrap();
    let world = World::configured(&config, &environment).unwrap();
    let app = App::build(&config, world).await.unwrap();
    let (client, server) = tokio::io::duplex(256 << 10);
    tasks.spawn(async move {
        // How a connection ends is seen at the client's end.
        let _end = app.serve(server).await;
    });
    channel_over(client).await
}

async fn complete(
    client: &mut CompletionServiceClient<Channel>,
    model: &str,
) -> Result<v1::Completion, tonic::Status> {
    complete_with(client, &format!("rogue:{model}")).await
}

async fn complete_with(
    client: &mut CompletionServiceClient<Channel>,
    model: &str,
) -> Result<v1::Completion, tonic::Status> {
    let request = v1::GenerateCompletionRequest {
        params: Some(params(model)),
    };
    let answer = client.generate_completion(request).await?;
    Ok(answer.into_inner().completion.unwrap())
}

/// Streams to the end: how many deltas came, and how it ended.
async fn stream(
    client: &mut CompletionServiceClient<Channel>,
    model: &str,
) -> (usize, Result<(), tonic::Status>) {
    let request = v1::StreamCompletionRequest {
        params: Some(params(&format!("rogue:{model}"))),
    };
    let mut deltas = 0;
    let mut answer = match client.stream_completion(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return (deltas, Err(status)),
    };
    loop {
        match answer.message().await {
            Ok(Some(message)) => {
                deltas += usize::from(matches!(message.event, Some(Event::Delta(_))));
            }
            Ok(None) => return (deltas, Ok(())),
            Err(status) => return (deltas, Err(status)),
        }
    }
}

#[tokio::test]
async fn a_model_that_cannot_be_asked_says_why() {
    let mut tasks = JoinSet::new();
    let channel = connection(&mut tasks).await;
    let bystander = Bystander::on(&channel, "script:tools-1").await;
    let mut client = CompletionServiceClient::new(channel.clone());
    let mut runs = RunServiceClient::new(channel);
    for (model, code, reason) in [
        ("gpt-5", Code::InvalidArgument, "MODEL_NAME_INVALID"),
        (":gpt-5", Code::InvalidArgument, "MODEL_NAME_INVALID"),
        ("rogue:", Code::InvalidArgument, "MODEL_NAME_INVALID"),
        ("nobody:gpt-5", Code::NotFound, "PROVIDER_NOT_FOUND"),
    ] {
        let completed = complete_with(&mut client, model).await;
        assert_fails(completed, code, reason);
        let spec = Some(spec(model, Vec::new()));
        let request = v1::CreateRunRequest {
            spec,
            ..v1::CreateRunRequest::default()
        };
        assert_fails(runs.create_run(request).await, code, reason);
    }
    // An alias is a name without a colon, too.
    let completion = complete_with(&mut client, "fast").await.unwrap();
    assert_eq!(completion.model, "rogue:good");
    bystander.ends_well().await;
}

#[tokio::test]
async fn a_missing_key_is_named_by_its_variable_and_a_rejected_one_is_not_shown() {
    let mut tasks = JoinSet::new();
    let channel = connection(&mut tasks).await;
    let bystander = Bystander::on(&channel, "script:tools-1").await;
    let mut client = CompletionServiceClient::new(channel);
    let missing = complete_with(&mut client, "keyless:good").await;
    let status = assert_fails(
        missing,
        Code::FailedPrecondition,
        "PROVIDER_CREDENTIALS_MISSING",
    );
    assert!(status.message().contains("KEYLESS_KEY"), "{status:?}");
    let rejected = complete_with(&mut client, "keyed:rejected").await;
    let status = assert_fails(
        rejected,
        Code::FailedPrecondition,
        "PROVIDER_CREDENTIALS_REJECTED",
    );
    assert!(!format!("{status:?}").contains(KEY), "{status:?}");
    assert!(!String::from_utf8_lossy(status.details()).contains(KEY));
    complete_with(&mut client, "keyed:good").await.unwrap();
    bystander.ends_well().await;
}

#[tokio::test]
async fn a_provider_that_answers_nonsense_fails_its_call_alone() {
    let mut tasks = JoinSet::new();
    let channel = connection(&mut tasks).await;
    let bystander = Bystander::on(&channel, "script:tools-1").await;
    let mut client = CompletionServiceClient::new(channel);
    for (model, reason) in [
        ("garbage", "PROVIDER_RESPONSE_INVALID"),
        ("html", "PROVIDER_RESPONSE_INVALID"),
        ("empty", "PROVIDER_RESPONSE_INVALID"),
        ("endless", "PROVIDER_RESPONSE_INVALID"),
        ("no-http", "PROVIDER_UNAVAILABLE"),
        ("hang-up", "PROVIDER_UNAVAILABLE"),
        ("html-status", "PROVIDER_UNAVAILABLE"),
        ("error", "PROVIDER_UNAVAILABLE"),
    ] {
        let status = assert_fails(
            complete(&mut client, model).await,
            Code::Unavailable,
            reason,
        );
        assert!(
            !status.message().contains(CANARY),
            "{model}: {}",
            status.message()
        );
        // The same connection goes on.
        let good = complete(&mut client, "good").await.unwrap();
        assert_eq!(good.finish_reason(), v1::FinishReason::Stop);
    }
    bystander.ends_well().await;
}

#[tokio::test]
async fn a_stream_that_turns_into_something_else_ends_broken_after_what_it_had_shown() {
    let mut tasks = JoinSet::new();
    let channel = connection(&mut tasks).await;
    let bystander = Bystander::on(&channel, "script:tools-1").await;
    let mut client = CompletionServiceClient::new(channel);
    for (model, shown, reason) in [
        ("half", 1, "PROVIDER_STREAM_BROKEN"),
        ("garbage-stream", 1, "PROVIDER_STREAM_BROKEN"),
        ("endless-line", 1, "PROVIDER_STREAM_BROKEN"),
        ("endless-event", 1, "PROVIDER_STREAM_BROKEN"),
        ("error-stream", 1, "PROVIDER_UNAVAILABLE"),
        ("html-stream", 0, "PROVIDER_RESPONSE_INVALID"),
    ] {
        let (deltas, end) = stream(&mut client, model).await;
        assert_eq!(deltas, shown, "{model}");
        let status = assert_fails(end, Code::Unavailable, reason);
        assert!(
            !status.message().contains(CANARY),
            "{model}: {}",
            status.message()
        );
        assert!(complete(&mut client, "good").await.is_ok(), "after {model}");
    }
    bystander.ends_well().await;
}

#[tokio::test]
async fn a_run_on_a_broken_provider_fails_with_its_reason_and_others_go_on() {
    let mut tasks = JoinSet::new();
    let channel = connection(&mut tasks).await;
    let bystander = Bystander::on(&channel, "script:tools-1").await;
    let ended = |model: &'static str| {
        let mut client = RunServiceClient::new(channel.clone());
        async move {
            let request = v1::CreateRunRequest {
                spec: Some(spec(&format!("rogue:{model}"), Vec::new())),
                ..v1::CreateRunRequest::default()
            };
            let run = client
                .create_run(request)
                .await
                .unwrap()
                .into_inner()
                .run
                .unwrap();
            let watch = v1::WatchRunRequest {
                run_id: run.id.clone(),
                after_sequence: Some(0),
                ..v1::WatchRunRequest::default()
            };
            let mut watch = client.watch_run(watch).await.unwrap().into_inner();
            // Ends with OK after the run's last event, however the run ended.
            while watch.message().await.unwrap().is_some() {}
            let request = v1::GetRunRequest { run_id: run.id };
            client
                .get_run(request)
                .await
                .unwrap()
                .into_inner()
                .run
                .unwrap()
        }
    };
    let all = async {
        tokio::join!(
            ended("half"),
            ended("html-stream"),
            ended("endless-line"),
            ended("good")
        )
    };
    let (half, html, endless, good) = tokio::time::timeout(Duration::from_secs(60), Box::pin(all))
        .await
        .unwrap();
    let why = |run: &v1::Run| {
        (
            run.state(),
            run.error.as_ref().map(|error| error.reason.clone()),
        )
    };
    let failed = |reason: &str| (v1::run::State::Failed, Some(reason.to_owned()));
    // Nobody watches these with deltas, so they are asked for in one piece, and half a stream is none.
    assert_eq!(why(&half), failed("PROVIDER_RESPONSE_INVALID"));
    assert_eq!(why(&html), failed("PROVIDER_RESPONSE_INVALID"));
    assert_eq!(why(&endless), failed("PROVIDER_RESPONSE_INVALID"));
    assert_eq!(why(&good), (v1::run::State::Succeeded, None));
    bystander.ends_well().await;
}

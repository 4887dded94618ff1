//! Providers that misbehave, through the wire: the real provider layer in front of a server that
//! answers bytes of the test's choice. Each misbehaviour has a code and a reason, and nobody else on
//! the connection notices.

use std::time::Duration;

use runwire::{
    app::{App, World},
    config::{Config, Environment, Flag, Layers},
    pb::v1::{
        self, completion_service_client::CompletionServiceClient,
        run_service_client::RunServiceClient,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tonic::{Code, transport::Channel};
use v1::stream_completion_response::Event;

use crate::harness::{assert_fails, channel_over, params, spec};

/// The head of a streamed answer that ends with its connection.
const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
const CHUNK: &str = r#"data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"},"finish_reason":null}]}

"#;
/// What a canary in a provider's answer would look like in a status.
const CANARY: &str = "canary-7f3a";

fn whole(kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The bytes that the model of this name answers with. `good` is what a provider should do.
fn answer(model: &str) -> String {
    let good = r#"{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#;
    match model {
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
        unknown => panic!("no such model: {unknown}"),
    }
}

/// The name of the model that a request asks for, once all of it is there.
fn asked_model(request: &str) -> Option<&str> {
    let (head, body) = request.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().unwrap())
    });
    if body.len() < length? {
        return None;
    }
    let (_, after) = body.split_once(r#""model":""#)?;
    Some(after.split_once('"')?.0)
}

async fn serve_one(mut socket: TcpStream) {
    let mut request = String::new();
    let mut buffer = vec![0; 64 << 10];
    let model = loop {
        if let Some(model) = asked_model(&request) {
            break model;
        }
        match socket.read(&mut buffer).await {
            Ok(read) if read > 0 => request.push_str(&String::from_utf8_lossy(&buffer[..read])),
            _ => return,
        }
    };
    // The reader may hang up in the middle of an endless line.
    let _hung_up = socket.write_all(answer(model).as_bytes()).await;
}

/// A provider for every request, one connection each.
async fn provider(tasks: &mut JoinSet<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            connections.spawn(serve_one(socket));
        }
    });
    url
}

/// A server whose provider `rogue` is the one above, and one connection to it.
async fn connection(tasks: &mut JoinSet<()>) -> Channel {
    let variables = [
        ("RUNWIRE__PROVIDERS__ROGUE__KIND", "openai".to_owned()),
        ("RUNWIRE__PROVIDERS__ROGUE__BASE_URL", provider(tasks).await),
    ];
    let environment: Environment = variables.into_iter().collect();
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
    let request = v1::GenerateCompletionRequest {
        params: Some(params(&format!("rogue:{model}"))),
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
async fn a_provider_that_answers_nonsense_fails_its_call_alone() {
    let mut tasks = JoinSet::new();
    let channel = connection(&mut tasks).await;
    let mut client = CompletionServiceClient::new(channel);
    for (model, reason) in [
        ("garbage", "PROVIDER_RESPONSE_INVALID"),
        ("html", "PROVIDER_RESPONSE_INVALID"),
        ("empty", "PROVIDER_RESPONSE_INVALID"),
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
}

#[tokio::test]
async fn a_stream_that_turns_into_something_else_ends_broken_after_what_it_had_shown() {
    let mut tasks = JoinSet::new();
    let channel = connection(&mut tasks).await;
    let mut client = CompletionServiceClient::new(channel);
    for (model, shown, reason) in [
        ("half", 1, "PROVIDER_STREAM_BROKEN"),
        ("garbage-stream", 1, "PROVIDER_STREAM_BROKEN"),
        ("endless-line", 1, "PROVIDER_STREAM_BROKEN"),
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
}

#[tokio::test]
async fn a_run_on_a_broken_provider_fails_with_its_reason_and_others_go_on() {
    let mut tasks = JoinSet::new();
    let channel = connection(&mut tasks).await;
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
}

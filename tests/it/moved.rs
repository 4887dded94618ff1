//! A run that goes on with another family of models, and comes back.

use std::sync::{Arc, Mutex};

use runwire::{
    config::Config,
    domain::secret::Secret,
    pb::v1,
    provider::{
        Providers,
        settings::{ProviderSettings, Settings},
    },
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::harness::{
    Server, accepted, attach, attached, create, last_run, output, result, spec, tool,
};

/// A vendor that gives these answers, a connection each, and remembers what it was asked.
struct Vendor {
    url: String,
    asked: Arc<Mutex<Vec<Value>>>,
    _task: JoinSet<()>,
}

impl Vendor {
    async fn start(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (mut task, log) = (JoinSet::new(), Arc::clone(&asked));
        task.spawn(async move {
            for answer in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let body = read_body(&mut socket).await;
                log.lock()
                    .unwrap()
                    .push(serde_json::from_slice(&body).unwrap());
                socket.write_all(answer.as_bytes()).await.unwrap();
                socket.shutdown().await.unwrap();
            }
        });
        Self {
            url,
            asked,
            _task: task,
        }
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }
}

async fn read_body(socket: &mut TcpStream) -> Vec<u8> {
    let (mut read, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let count = socket.read(&mut piece).await.unwrap();
        assert!(count > 0, "the client hung up");
        read.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&read).to_lowercase();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length = head.split_once("content-length:").unwrap().1;
            let length: usize = length.lines().next().unwrap().trim().parse().unwrap();
            if read.len() >= head.len() + 4 + length {
                return read.split_off(head.len() + 4);
            }
        }
    }
}

fn response(status: &str, media_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
}

/// An answer in OpenAI's protocol.
fn completion(message: &Value, finish_reason: &str) -> String {
    let choice = json!({"index": 0, "message": message, "finish_reason": finish_reason});
    let body = json!({"id": "c", "choices": [choice]}).to_string();
    response("200 OK", "application/json", &body)
}

/// A call in OpenAI's protocol, behind a thought.
fn call_of_the_first() -> String {
    let function = json!({"name": "look", "arguments": "{\"n\": 1}"});
    let call = json!({"id": "call_first", "type": "function", "function": function});
    let message = json!({"reasoning_content": "A secret plan.", "tool_calls": [call]});
    completion(&message, "tool_calls")
}

/// A call in Anthropic's protocol, behind a signed thought.
fn call_of_the_second() -> String {
    let thought = json!({"type": "thinking", "thinking": "Signed.", "signature": "c2lnbmF0dXJl"});
    let call = json!({"type": "tool_use", "id": "toolu_second", "name": "look", "input": {"n": 2}});
    let body = json!({"id": "m", "content": [thought, call], "stop_reason": "tool_use"});
    response("200 OK", "application/json", &body.to_string())
}

fn providers(first: &Vendor, second: &Vendor) -> Providers {
    let provider = |kind: &str, url: &str| ProviderSettings {
        kind: Some(kind.to_owned()),
        base_url: Some(url.to_owned()),
        key: Some(Secret::new("key")),
        ..ProviderSettings::default()
    };
    let mut settings = Settings::default();
    for (name, kind, vendor) in [("first", "openai", first), ("second", "anthropic", second)] {
        settings
            .providers
            .insert(name.to_owned(), provider(kind, &vendor.url));
    }
    Providers::new(&settings).unwrap()
}

#[tokio::test]
async fn a_run_falls_back_to_another_family_in_its_middle_and_comes_back() {
    let spent = r#"{"error":{"message":"no credit","code":"insufficient_quota"}}"#;
    let text = completion(&json!({"content": "Done."}), "stop");
    let spent = response("429 Too Many Requests", "application/json", spent);
    let first = Vendor::start(vec![call_of_the_first(), spent, text]).await;
    let second = Vendor::start(vec![call_of_the_second()]).await;
    let models = Arc::new(providers(&first, &second));
    let server = Server::over(Config::default(), models).await;
    let mut run = spec("first:some-model", vec![attached(tool("look"))]);
    run.agent.as_mut().unwrap().fallback_models = vec!["second:claude-sonnet-4-6".to_owned()];

    let mut client = server.runs().await;
    let mut stream = attach(&mut client, create(run)).await.unwrap();
    let mut events = Vec::new();
    for answer in ["one", "two"] {
        let call = stream.assignment(&mut events).await;
        stream.report(&call, accepted()).await;
        stream.report(&call, result(answer)).await;
    }
    events.extend(stream.finish().await.unwrap());
    let run = last_run(&events).unwrap();
    assert_eq!(run.state(), v1::run::State::Succeeded);
    assert_eq!(output(&run), "Done.");

    // The second has never seen the first's call: it has the id that it has in the run, and no thought.
    let asked = second.asked();
    let said = &asked[0]["messages"];
    assert_eq!(said[1]["content"].as_array().unwrap().len(), 1, "{said}");
    let id = said[1]["content"][0]["id"].as_str().unwrap();
    assert!(id.starts_with("call_") && id != "call_first", "{id}");
    assert_eq!(said[2]["content"][0]["tool_use_id"], id);
    assert_eq!(said[2]["content"][0]["content"][0]["text"], "one");

    // The first finds its own call as it gave it, and the second's without signature and foreign id.
    let asked = first.asked();
    let said = &asked[2]["messages"];
    assert_eq!(said[1]["tool_calls"][0]["id"], "call_first");
    assert_eq!(said[2]["tool_call_id"], "call_first");
    let id = said[3]["tool_calls"][0]["id"].as_str().unwrap();
    assert!(id.starts_with("call_") && id != "call_first", "{id}");
    assert_eq!(said[4]["tool_call_id"], id);
    assert_eq!(said[4]["content"], "two");
    for foreign in ["toolu_second", "c2lnbmF0dXJl", "Signed.", "A secret plan."] {
        assert!(!said.to_string().contains(foreign), "{foreign} in {said}");
    }
}

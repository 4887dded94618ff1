//! Tools of MCP servers: a stub that goes wrong on demand, and public servers.

use std::{fs, path::Path, time::Duration};

use runwire::{
    config::{Config, Environment, Layers},
    pb::v1::{
        self, part::Content, run::State as RunState, run_event::Event, tool_call_update::State,
    },
};
use tempfile::TempDir;
use tonic::Code;

use crate::harness::{Server, assert_fails, attach, create, last_run, output, spec, user};

/// A folder for a configuration, and for what the stub writes.
struct Stage(TempDir);

impl Stage {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// A server that is configured like this, with `@LOG@` and `@STUB@` filled in.
    async fn serve(&self, toml: &str) -> Server {
        Server::with(self.configured(toml)).await
    }

    fn configured(&self, toml: &str) -> Config {
        let stub = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/mcp/stub.py");
        let toml = toml
            .replace("@STUB@", stub.to_str().unwrap())
            .replace("@LOG@", self.0.path().join("log").to_str().unwrap());
        let file = self.0.path().join("runwire.toml");
        fs::write(&file, toml).unwrap();
        let ours = [
            ("STUB_SECRET", "canary-secret"),
            ("OTHER_SECRET", "canary-other"),
        ];
        let path = std::env::var_os("PATH").unwrap().into_string().unwrap();
        let environment = ours.into_iter().chain([("PATH", &*path)]);
        let layers = Layers {
            file: Some(file),
            environment: environment.collect::<Environment>(),
            flags: Vec::new(),
        };
        Config::load(&layers).unwrap()
    }

    /// What the stub has read so far.
    fn log(&self) -> String {
        fs::read_to_string(self.0.path().join("log")).unwrap_or_default()
    }

    fn starts(&self) -> usize {
        self.log().matches("started ").count()
    }
}

const STUB: &str = r#"
    [mcp.servers.stub]
    command = "python3"
    args = ["@STUB@"]
    env = { STUB_LOG = "@LOG@" }
    restart_delay = "10ms"
"#;

/// A binding of a server's tools.
fn mcp(server: &str, tools: &[&str]) -> v1::ToolBinding {
    let tools = v1::McpTools {
        server: server.to_owned(),
        allowed_tools: tools.iter().map(ToString::to_string).collect(),
        prefix: None,
    };
    v1::ToolBinding {
        binding: Some(v1::tool_binding::Binding::Mcp(tools)),
        ..v1::ToolBinding::default()
    }
}

fn behind(prefix: &str, mut binding: v1::ToolBinding) -> v1::ToolBinding {
    if let Some(v1::tool_binding::Binding::Mcp(tools)) = &mut binding.binding {
        tools.prefix = Some(prefix.to_owned());
    }
    binding
}

/// A run whose model makes the calls of `plan`, a list for each turn, and then says what came of them.
fn planned(tools: Vec<v1::ToolBinding>, plan: &str) -> v1::RunSpec {
    v1::RunSpec {
        input: vec![user(plan)],
        ..spec("fake:planned", tools)
    }
}

/// What became of a run: the run, the last word on each of its calls, and what was said meanwhile.
struct Outcome {
    run: v1::Run,
    calls: Vec<v1::ToolCallUpdate>,
    progress: Vec<String>,
}

async fn outcome(server: &Server, spec: v1::RunSpec) -> Outcome {
    let mut runs = server.runs().await;
    let mut stream = attach(&mut runs, create(spec)).await.unwrap();
    let events = stream.finish().await.unwrap();
    let run = last_run(&events).unwrap();
    let (mut calls, mut progress) = (Vec::new(), Vec::new());
    for event in events {
        let Some(Event::ToolCallUpdated(update)) = event.event else {
            continue;
        };
        progress.extend(update.progress.iter().map(|said| said.message.clone()));
        if update.result.is_some() {
            calls.push(*update);
        }
    }
    Outcome {
        run,
        calls,
        progress,
    }
}

impl Outcome {
    /// The only call.
    #[track_caller]
    fn call(&self) -> &v1::ToolCallUpdate {
        let [call] = &self.calls[..] else {
            panic!("one call: {:?}", self.calls);
        };
        call
    }

    /// The reason why the only call failed.
    #[track_caller]
    fn reason(&self) -> String {
        let call = self.call();
        assert_eq!(call.state(), State::Failed, "{call:?}");
        call.error.as_ref().unwrap().reason.clone()
    }

    #[track_caller]
    fn output(&self) -> String {
        assert_eq!(
            self.run.state(),
            RunState::Succeeded,
            "{:?}",
            self.run.error
        );
        output(&self.run)
    }
}

#[tokio::test]
async fn the_tools_of_a_server_work_for_a_run() {
    let stage = Stage::new();
    let server = stage.serve(STUB).await;
    assert_eq!(stage.starts(), 0, "nothing is started before it is wanted");
    let plan = r#"[[["stub.echo", {"text": "hello"}], ["stub.echo", {"text": "there"}]]]"#;
    for _ in 0..2 {
        let outcome = outcome(&server, planned(vec![mcp("stub", &[])], plan)).await;
        assert_eq!(outcome.output(), "hello|there");
        assert_eq!(outcome.calls[0].host_id, "mcp:stub");
    }
    assert_eq!(stage.starts(), 1, "the connection is kept");
}

#[tokio::test]
async fn a_result_comes_through_whole() {
    let stage = Stage::new();
    let server = stage.serve(STUB).await;
    let all = outcome(
        &server,
        planned(vec![mcp("stub", &[])], r#"[[["stub.all", {}]]]"#),
    )
    .await;
    let result = all.call().result.clone().unwrap();
    assert!(!result.is_error);
    assert_eq!(result.structured_json, r#"{"rows":1}"#);
    let parts: Vec<String> = result
        .parts
        .into_iter()
        .map(|part| match part.content.unwrap() {
            Content::Text(text) => text,
            Content::Media(media) => media.media_type,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(parts, ["one", "image/png", "[resource link db://1: row]"]);
}

#[tokio::test]
async fn the_model_is_told_what_a_server_says_is_wrong() {
    let stage = Stage::new();
    let server = stage.serve(STUB).await;
    let plan =
        r#"[[["stub.fails", {}], ["stub.refuses", {}], ["stub.echo", {}], ["stub.nothing", {}]]]"#;
    let told = outcome(&server, planned(vec![mcp("stub", &[])], plan)).await;
    let said = told.output();
    assert!(said.starts_with("no such row|text is missing|"), "{said}");
    let reasons: Vec<_> = told
        .calls
        .iter()
        .filter_map(|c| c.error.as_ref())
        .map(|e| &*e.reason)
        .collect();
    assert_eq!(reasons, ["ARGUMENTS_INVALID", "TOOL_UNKNOWN"]);
    assert!(
        told.calls
            .iter()
            .all(|call| call.result.as_ref().unwrap().is_error)
    );
}

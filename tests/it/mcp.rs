//! Tools of MCP servers: a stub that goes wrong on demand, and public servers.

use std::{fs, path::Path, time::Duration};

use runwire::{
    config::{Config, Environment, Layers},
    pb::v1::{
        self, part::Content, run::State as RunState, run_event::Event, tool_call_update::State,
    },
};
use tempfile::TempDir;
use tokio::time::timeout;
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

#[tokio::test]
async fn a_binding_names_a_server_that_is_there_and_may_have_a_prefix_of_its_own() {
    let stage = Stage::new();
    let server = stage.serve(STUB).await;
    let mut runs = server.runs().await;
    let request = v1::CreateRunRequest {
        spec: Some(planned(vec![mcp("nobody", &[])], "[]")),
        ..v1::CreateRunRequest::default()
    };
    let refused = runs.create_run(request).await;
    assert_fails(refused, Code::InvalidArgument, "INVALID_REQUEST");
    let tools = vec![behind("", mcp("stub", &["echo"]))];
    let plan = r#"[[["echo", {"text": "bare"}], ["all", {}]]]"#;
    let bare = outcome(&server, planned(tools, plan)).await;
    assert!(bare.output().starts_with("bare|There is no such tool."));
    let twice = vec![mcp("stub", &["echo"]), mcp("stub", &["echo"])];
    let clash = outcome(&server, planned(twice, "[]")).await;
    assert_eq!(clash.run.error.unwrap().reason, "TOOL_NAME_CLASH");
}

#[tokio::test]
async fn a_server_that_ends_in_a_call_is_started_again_and_the_call_is_not_repeated() {
    let stage = Stage::new();
    let server = stage.serve(STUB).await;
    let plan = r#"[[["stub.dies", {}]]]"#;
    let lost = outcome(&server, planned(vec![mcp("stub", &[])], plan)).await;
    assert_eq!(lost.reason(), "OUTCOME_UNKNOWN");
    let plan = r#"[[["stub.echo", {"text": "again"}]]]"#;
    let again = outcome(&server, planned(vec![mcp("stub", &[])], plan)).await;
    assert_eq!((again.output().as_str(), stage.starts()), ("again", 2));
}

#[tokio::test]
async fn a_trusted_server_is_asked_again_what_it_calls_harmless() {
    let stage = Stage::new();
    let server = stage
        .serve(&format!("{STUB}\ntrust_annotations = true"))
        .await;
    // Its name has a blank, which no tool's name may have.
    let tools = vec![mcp("stub", &["dies once"])];
    let plan = r#"[[["stub.dies_once_db45f4a7", {}]]]"#;
    let again = outcome(&server, planned(tools, plan)).await;
    assert_eq!(again.output(), "alive");
}

#[tokio::test]
async fn a_server_that_floods_is_cut_off_and_one_that_babbles_is_understood() {
    let stage = Stage::new();
    let server = stage.serve(STUB).await;
    let plan = r#"[[["stub.floods", {}]]]"#;
    let flood = outcome(&server, planned(vec![mcp("stub", &[])], plan)).await;
    assert_eq!(flood.reason(), "OUTCOME_UNKNOWN");
    let plan = r#"[[["stub.babbles", {}]]]"#;
    let babble = outcome(&server, planned(vec![mcp("stub", &[])], plan)).await;
    assert_eq!(babble.output(), "after all");
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_cancelled_at_the_server() {
    let stage = Stage::new();
    let server = stage.serve(&format!("{STUB}\ntimeout = \"200ms\"")).await;
    let plan = r#"[[["stub.hangs", {}]], [["stub.echo", {"text": "on"}]]]"#;
    let late = outcome(&server, planned(vec![mcp("stub", &[])], plan)).await;
    assert!(late.output().ends_with("|on"));
    let reason = &late.calls[0].error.as_ref().unwrap().reason;
    assert_eq!(reason, "TOOL_TIMEOUT");
    assert!(stage.log().contains("notifications/cancelled"));
}

#[tokio::test]
async fn progress_is_shown_and_a_list_that_grows_is_offered_with_the_next_turn() {
    let stage = Stage::new();
    let server = stage.serve(STUB).await;
    let plan = r#"[[["stub.progresses", {}]], [["stub.grows", {}]], [["stub.later", {}]]]"#;
    let grown = outcome(&server, planned(vec![mcp("stub", &[])], plan)).await;
    assert_eq!(grown.output(), "done|grown|here I am");
    assert!(
        grown.progress.contains(&"step 2".to_owned()),
        "{:?}",
        grown.progress
    );
}

#[tokio::test]
async fn a_process_sees_no_secret_that_it_was_not_given() {
    let stage = Stage::new();
    let secret = "secret_env = { TOKEN = \"STUB_SECRET\" }";
    let server = stage.serve(&format!("{STUB}\n{secret}")).await;
    let plan = r#"[[["stub.environment", {}]]]"#;
    let shown = outcome(&server, planned(vec![mcp("stub", &[])], plan)).await;
    let seen = shown.output();
    assert!(seen.contains(r#""TOKEN": "canary-secret""#), "{seen}");
    assert!(
        !seen.contains("canary-other") && !seen.contains("CARGO"),
        "{seen}"
    );
}

#[tokio::test]
async fn what_a_server_has_started_ends_with_ours() {
    let stage = Stage::new();
    let server = stage.serve(STUB).await;
    let plan = r#"[[["stub.spawns", {}]]]"#;
    let spawned = outcome(&server, planned(vec![mcp("stub", &[])], plan)).await;
    let process = Path::new("/proc").join(spawned.output());
    assert!(process.exists());
    server.drain().await.unwrap();
    // Killed processes take a moment to be gone; dead ones may wait to be collected.
    let is_alive = || {
        let state = fs::read_to_string(process.join("stat")).unwrap_or_default();
        !(state.is_empty() || state.contains(") Z ") || state.contains(") X "))
    };
    let gone = async {
        while is_alive() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), gone).await.unwrap();
}

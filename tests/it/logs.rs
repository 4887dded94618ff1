//! What the log holds, at its most talkative: enough to find a call again, and nothing of what was said.

use std::{fs, process::Stdio};

use runwire::{
    client::{Call, Client, Connector, Tool, message},
    pb::v1::{Agent, CompletionParams, RunSpec},
};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::{
    program::{PROGRAM, command, ended, folder, runwire_in, serve_with, signal, text},
    upstream::{Asked, STREAM, provider, whole},
};

/// What nobody may find in a log. Each stands in another place of a request or an answer.
const SECRETS: [&str; 11] = [
    "canary-instructions",
    "canary-prompt",
    "canary-description",
    "canary-argument",
    "canary-result",
    "canary-tool-error",
    "canary-answer",
    "canary-provider-error",
    "canary-provider-option",
    "canary-key",
    "canary-header",
];

fn answer(asked: &Asked<'_>) -> String {
    let chunk = |delta: &str, finish: &str| {
        format!(
            "data: {{\"id\":\"1\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
        )
    };
    let delta = match asked.model {
        "fails" => {
            let error =
                r#"{"error":{"message":"canary-provider-error","type":"invalid_request_error"}}"#;
            return whole("application/json", error).replace("200 OK", "400 Bad Request");
        }
        "breaks" => return format!("{STREAM}data: {{canary-provider-error\n\n"),
        _ if asked.body.contains(r#""role":"tool""#) => r#"{"content":"canary-answer"}"#,
        _ if asked.body.contains(r#""tools""#) => {
            r#"{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"good","arguments":"{\"a\":\"canary-argument\"}"}},{"index":1,"id":"c2","type":"function","function":{"name":"bad","arguments":"{\"a\":\"canary-argument\"}"}},{"index":2,"id":"c3","type":"function","function":{"name":"good","arguments":"{canary-argument"}}]}"#
        }
        _ => r#"{"content":"canary-answer"}"#,
    };
    let finish = if delta.contains("tool_calls") {
        "\"tool_calls\""
    } else {
        "\"stop\""
    };
    if asked.body.contains(r#""stream":true"#) {
        let (said, end) = (chunk(delta, "null"), chunk("{}", finish));
        return format!("{STREAM}{said}{end}data: [DONE]\n\n");
    }
    let message = format!(
        "{{\"id\":\"1\",\"choices\":[{{\"index\":0,\"message\":{delta},\"finish_reason\":{finish}}}]}}"
    );
    whole("application/json", &message)
}

/// A folder with a tokens file and a configuration; returns the token.
async fn prepare(folder: &TempDir, url: &str) -> String {
    let scopes = [
        "completions",
        "runs.write",
        "runs.read",
        "tools.host",
        "tools.use",
    ];
    let mut args = vec!["token", "new", "--name", "caller", "--use-tools", "*"];
    args.extend(scopes.iter().flat_map(|scope| ["--scope", scope]));
    let made = runwire_in(folder, None, &args).await;
    fs::write(folder.path().join("tokens.toml"), &made.stdout).unwrap();
    let config = format!(
        "[auth]\nmode = 'tokens'\ntokens_file = 'tokens.toml'\n\
         [retry]\nmax_attempts = 2\nbase_delay = '1ms'\n\
         [providers.up]\nkind = 'openai'\nbase_url = '{url}'\napi_key_env = 'UP_KEY'\n\
         [providers.up.headers]\nx-note = 'canary-header'\n"
    );
    fs::write(folder.path().join("runwire.toml"), config).unwrap();
    let told = text(&made.stderr);
    let (_, token) = told.trim().rsplit_once(' ').unwrap();
    token.to_owned()
}

fn ask(model: &str) -> CompletionParams {
    let mut params = CompletionParams {
        model: model.to_owned(),
        messages: vec![
            message::system("canary-instructions"),
            message::user("canary-prompt"),
        ],
        ..CompletionParams::default()
    };
    let options = params.options.get_or_insert_default();
    let option = r#"{"metadata":{"note":"canary-provider-option"}}"#;
    options
        .provider_options
        .insert("up".to_owned(), option.to_owned());
    params
}

/// A run whose tools succeed, fail, and are called with what is no JSON.
async fn run(client: &Client, model: &str) {
    let schema = r#"{"type":"object","description":"canary-description"}"#;
    let good = Tool::new(
        "good",
        "canary-description",
        schema,
        |call: Call| async move {
            assert!(call.arguments().contains("canary-argument"));
            Ok("canary-result")
        },
    );
    let bad = Tool::new("bad", "canary-description", schema, |_call| async {
        Err::<String, _>(runwire::client::ToolError::Told(
            "canary-tool-error".to_owned(),
        ))
    });
    let spec = RunSpec {
        agent: Some(Agent {
            name: "tester".to_owned(),
            model: model.to_owned(),
            instructions: "canary-instructions".to_owned(),
            tools: vec![good.attached(), bad.attached()],
            ..Agent::default()
        }),
        input: vec![message::user("canary-prompt")],
        ..RunSpec::default()
    };
    // How it ends does not matter here.
    let _end = client.attach(spec, vec![good, bad]).finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prompts_keys_arguments_and_answers_are_in_no_log_at_any_level() {
    let mut tasks = JoinSet::new();
    let url = provider(&mut tasks, answer).await;
    for (level, format) in [("trace", "text"), ("debug", "json")] {
        let folder = folder();
        let token = prepare(&folder, &url).await;
        let mut program = command(PROGRAM, &folder, None);
        program.env("UP_KEY", "canary-key").stdout(Stdio::null());
        let flags = [
            "--config",
            "runwire.toml",
            "--log",
            level,
            "--log-format",
            format,
        ];
        let mut server = serve_with(program, &flags).await;
        let mut reading = JoinSet::new();
        reading.spawn(async move {
            let mut lines = server.before;
            lines.extend(server.log.rest().await);
            lines
        });

        let client = Connector::new(&server.url)
            .token(&*token)
            .connect()
            .unwrap();
        client.complete(ask("up:answers")).await.unwrap();
        for model in ["up:fails", "up:breaks"] {
            client.complete(ask(model)).await.unwrap_err();
            run(&client, model).await;
        }
        run(&client, "up:calls").await;
        let stranger = Connector::new(&server.url)
            .token("canary-key")
            .connect()
            .unwrap();
        stranger.complete(ask("up:answers")).await.unwrap_err();
        signal(&server.child, "-TERM").await;
        assert_eq!(ended(&mut server.child).await, Some(0));

        let log = reading.join_next().await.unwrap().unwrap().join("\n");
        assert!(
            log.contains("GenerateCompletion"),
            "the log tells of calls:\n{log}"
        );
        assert!(log.lines().count() > 20, "{log}");
        for secret in SECRETS
            .into_iter()
            .chain([token.as_str(), token.trim_start_matches("rw_")])
        {
            let told: Vec<&str> = log.lines().filter(|line| line.contains(secret)).collect();
            assert!(
                told.is_empty(),
                "{secret} in the log at {level}:\n{}",
                told.join("\n")
            );
        }
    }
}

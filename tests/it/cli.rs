//! The command line, through the program itself: what the examples of its documentation do not show.

use std::{
    collections::BTreeSet,
    fs,
    process::{Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use crate::{
    program::{
        PROGRAM, command, folder, output, runwire, runwire_in, serve, serve_with, succeeds, text,
    },
    tls::Pki,
};

/// The lines of an output as JSON.
#[track_caller]
fn objects(output: &Output) -> Vec<Value> {
    let lines = text(&output.stdout);
    let parse = |line: &str| -> Value {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
    };
    lines.lines().map(parse).collect()
}

/// Runs the program with something on its standard input.
async fn fed(folder: &TempDir, server: Option<&str>, args: &[&str], input: &str) -> Output {
    let mut child = command(PROGRAM, folder, server)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    child.wait_with_output().await.unwrap()
}

#[tokio::test]
async fn commands_that_ask_models_do_the_same_with_a_server_and_without() {
    let folder = folder();
    let server = serve(&folder).await;
    for server in [None, Some(server.url.as_str())] {
        let ask = |args: Vec<&'static str>| {
            let folder = &folder;
            async move { succeeds(&runwire_in(folder, server, &args).await) }
        };
        let said = ask(vec!["complete", "-m", "script:echo", "Hello"]).await;
        assert_eq!(said, "Hello\n");
        let said = ask(vec![
            "run",
            "examples/guide.toml",
            "-m",
            "script:echo",
            "-i",
            "Hi",
        ])
        .await;
        assert_eq!(said, "Hi\n");
        let models = ask(vec!["models", "--provider", "script"]).await;
        assert!(
            models.lines().any(|model| model == "script:demo"),
            "{models}"
        );
        let chat = fed(
            &folder,
            server,
            &["chat", "-m", "script:echo"],
            "one\n\ntwo",
        )
        .await;
        assert_eq!(succeeds(&chat), "one\ntwo\n");
    }
}

#[tokio::test]
async fn json_is_an_object_a_line_of_every_command() {
    let folder = folder();
    let server = serve(&folder).await;
    let url = Some(server.url.as_str());
    let ask = |args: Vec<String>| {
        let folder = &folder;
        async move {
            let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
            args.push("--json");
            let output = runwire_in(folder, url, &args).await;
            assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
            objects(&output)
        }
    };
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();

    let events = ask(words("complete -m script:echo Hello")).await;
    assert_eq!(
        events.last().unwrap()["completion"]["message"]["parts"][0]["text"],
        "Hello"
    );
    let chat = fed(
        &folder,
        url,
        &["chat", "-m", "script:echo", "--json"],
        "one\ntwo",
    )
    .await;
    let answers = objects(&chat)
        .into_iter()
        .filter(|event| event["completion"].is_object());
    assert_eq!(answers.count(), 2);
    let events = ask(words("run examples/guide.toml -m script:echo")).await;
    let end = &events.last().unwrap()["run_updated"];
    assert_eq!(end["state"], "SUCCEEDED");
    let id = end["id"].as_str().unwrap();
    let model = &ask(words("models --provider script")).await[0];
    assert_eq!(model["provider"], "script");

    assert_eq!(ask(words("runs list")).await[0]["id"], id);
    assert_eq!(
        ask(words(&format!("runs get {id}"))).await[0]["state"],
        "SUCCEEDED"
    );
    let watched = ask(words(&format!("runs watch {id} --after 0"))).await;
    assert_eq!(watched.last().unwrap()["run_updated"]["id"], id);
    assert_eq!(
        ask(words(&format!("runs cancel {id}"))).await[0]["state"],
        "SUCCEEDED"
    );
    let detached = &ask(words("run --detach examples/guide.toml")).await[0];
    assert!(detached["id"].as_str().unwrap().starts_with("run_"));
    assert_eq!(ask(words("health")).await[0]["status"], "SERVING");
    let token = &ask(words("token new --name a --scope completions")).await[0];
    assert!(
        token["entry"].as_str().unwrap().contains("sha256 = "),
        "{token}"
    );
}

#[tokio::test]
async fn a_failure_is_one_line_that_begins_with_its_reason() {
    let folder = folder();
    let server = serve(&folder).await;
    for (args, expected) in [
        ("complete -m gpt-5 Hi", "MODEL_NAME_INVALID: "),
        ("complete -m nobody:x Hi", "PROVIDER_NOT_FOUND: "),
        ("complete -m script:nosuch Hi", "MODEL_NOT_FOUND: "),
        (
            "complete -m script:error-PROVIDER_RATE_LIMITED Hi",
            "PROVIDER_RATE_LIMITED: ",
        ),
        (
            "complete -m script:echo --max-tokens 0 Hi",
            "INVALID_REQUEST: params.options.max_output_tokens: ",
        ),
        (
            "run examples/guide.toml -m script:error-MODEL_NOT_PERMITTED",
            "MODEL_NOT_PERMITTED: ",
        ),
        (
            "run examples/guide.toml -m nobody:x",
            "PROVIDER_NOT_FOUND: ",
        ),
        ("models --provider nobody", "nobody: PROVIDER_NOT_FOUND: "),
    ] {
        for server in [None, Some(server.url.as_str())] {
            let args: Vec<&str> = args.split(' ').collect();
            let output = runwire_in(&folder, server, &args).await;
            let errors = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{args:?}: {errors}");
            assert!(
                errors.starts_with(&format!("runwire: {expected}")),
                "{args:?}: {errors}"
            );
            assert_eq!(errors.lines().count(), 1, "{args:?}: {errors}");
        }
    }
    for id in ["run_018f0000000070008000000000000000", "nonsense"] {
        for verb in ["get", "watch", "cancel"] {
            let output = runwire_in(&folder, Some(&server.url), &["runs", verb, id]).await;
            let errors = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{verb} {id}: {errors}");
            assert_eq!(errors.lines().count(), 1, "{verb} {id}: {errors}");
            assert!(output.stdout.is_empty(), "{verb} {id}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_shown_and_said_to_be_broken() {
    let output = runwire(&["complete", "-m", "script:broken", "Hi"]).await;
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(text(&output.stdout).starts_with("Half"), "{output:?}");
    assert!(text(&output.stdout).ends_with('\n'), "{output:?}");
    assert!(
        errors.starts_with("runwire: PROVIDER_STREAM_BROKEN: "),
        "{errors}"
    );
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_ends_the_command_quietly() {
    let folder = folder();
    let mut shell = command("sh", &folder, None);
    let line = "runwire complete -m script:stream-100000 Hi | head -c 9; runwire models | head -1";
    shell.args(["-c", line]);
    let output = output(shell).await;
    assert_eq!(text(&output.stdout), "word wordscript:broken\n");
    assert_eq!(text(&output.stderr), "");
}

#[tokio::test]
async fn a_server_may_be_named_without_its_scheme() {
    let folder = folder();
    let server = serve(&folder).await;
    let address = server.url.trim_start_matches("http://");
    let output = runwire_in(&folder, None, &["health", "--server", address]).await;
    assert_eq!(succeeds(&output), "serving\n");
    let output = runwire_in(
        &folder,
        Some(address),
        &["complete", "-m", "script:echo", "Hi"],
    )
    .await;
    assert_eq!(succeeds(&output), "Hi\n");
}

#[tokio::test]
async fn a_token_is_taken_from_the_variable_that_is_named() {
    let folder = folder();
    let made = ["token", "new", "--name", "me", "--scope", "completions"];
    let made = runwire_in(&folder, None, &made).await;
    fs::write(folder.path().join("tokens.toml"), &made.stdout).unwrap();
    let told = text(&made.stderr);
    let token = told.trim().rsplit(' ').next().unwrap();
    let config = "[auth]\nmode = 'tokens'\ntokens_file = 'tokens.toml'\n";
    fs::write(folder.path().join("runwire.toml"), config).unwrap();
    let flags = ["--config", "runwire.toml"];
    let server = serve_with(command(PROGRAM, &folder, None), &flags).await;
    let ask = |variable: &str, args: &[&str]| {
        let mut command = command(PROGRAM, &folder, Some(&server.url));
        command.env(variable, token).args(args);
        output(command)
    };
    let complete = ["complete", "-m", "script:echo", "Hi"];
    assert_eq!(succeeds(&ask("RUNWIRE_TOKEN", &complete).await), "Hi\n");
    let other = [&complete[..], &["--token-env", "MINE"]].concat();
    assert_eq!(succeeds(&ask("MINE", &other).await), "Hi\n");
    for (variable, args, reason) in [
        ("MINE", &complete[..], "CREDENTIALS_MISSING"),
        ("RUNWIRE_TOKEN", &["runs", "list"], "PERMISSION_DENIED"),
    ] {
        let refused = ask(variable, args).await;
        let errors = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{errors}");
        assert!(
            errors.starts_with(&format!("runwire: {reason}: ")),
            "{errors}"
        );
        assert!(!errors.contains(token), "{errors}");
    }
}

#[tokio::test]
async fn a_server_that_asks_for_certificates_is_shown_one() {
    let (folder, pki) = (folder(), Pki::new());
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("ca.pem", &pki.authority());
    for name in ["localhost", "billing.acme"] {
        let (certificate, key) = pki.issue(name);
        write(&format!("{name}.pem"), &certificate);
        write(&format!("{name}.key"), &key);
    }
    let config = "[server.tls]\ncert = 'localhost.pem'\nkey = 'localhost.key'\nclient_ca = 'ca.pem'\n\
                  [auth]\nmode = 'mtls'\n[auth.principals.'billing.acme']\nscopes = ['completions']\n";
    write("runwire.toml", config);
    let flags = ["--config", "runwire.toml"];
    let server = serve_with(command(PROGRAM, &folder, None), &flags).await;
    let url = server.url.replace("http://127.0.0.1", "https://localhost");
    let complete = ["complete", "-m", "script:echo", "Hi", "--server", &url];
    let own = ["--cert", "billing.acme.pem", "--key", "billing.acme.key"];
    let known = [&complete[..], &["--ca", "ca.pem"], &own].concat();
    assert_eq!(succeeds(&runwire_in(&folder, None, &known).await), "Hi\n");
    // Without a certificate, and without a reason to trust the server's.
    for args in [
        [&complete[..], &["--ca", "ca.pem"]].concat(),
        [&complete[..], &own].concat(),
    ] {
        let refused = runwire_in(&folder, None, &args).await;
        let errors = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{args:?}: {errors}");
        assert_eq!(errors.lines().count(), 1, "{args:?}: {errors}");
    }
    let half = [&complete[..], &own[..2]].concat();
    let half = runwire_in(&folder, None, &half).await;
    assert_eq!(half.status.code(), Some(64), "{half:?}");
}

#[tokio::test]
async fn an_address_that_others_reach_is_listened_on_when_that_is_said_to_be_insecure() {
    let folder = folder();
    let flags = ["--listen", "0.0.0.0:0", "--insecure"];
    let server = serve_with(command(PROGRAM, &folder, None), &flags).await;
    let address = server.url.replace("0.0.0.0", "127.0.0.1");
    let health = runwire_in(&folder, Some(&address), &["health"]).await;
    assert_eq!(succeeds(&health), "serving\n");
}

#[tokio::test]
async fn all_problems_of_a_configuration_are_printed_with_their_places() {
    let folder = folder();
    let config = "[server]\nlisten = 'here'\ndrain = 1\n\n[log]\ncolour = true\n";
    fs::write(folder.path().join("wrong.toml"), config).unwrap();
    for command_line in [
        &["config", "check"][..],
        &["config", "show"],
        &["serve"],
        &["complete", "-m", "script:echo", "Hi"],
        &["models"],
    ] {
        let mut command = command(PROGRAM, &folder, None);
        command
            .args(command_line)
            .args(["--config", "wrong.toml"])
            .env("RUNWIRE__RUNS__MAX_TURNS", "many")
            .env("RUNWIRE__NOWHERE__KEY", "1");
        let output = output(command).await;
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{command_line:?}: {errors}");
        assert!(output.stdout.is_empty(), "{command_line:?}");
        let begins: Vec<&str> = errors
            .lines()
            .map(|line| {
                line.trim_start_matches("runwire: ")
                    .split(": ")
                    .next()
                    .unwrap()
            })
            .collect();
        let expected = [
            "wrong.toml:2",
            "wrong.toml:3",
            "wrong.toml:6",
            "RUNWIRE__RUNS__MAX_TURNS",
            "RUNWIRE__NOWHERE__KEY",
        ];
        assert_eq!(
            begins.iter().collect::<BTreeSet<_>>(),
            expected.iter().collect::<BTreeSet<_>>(),
            "{errors}"
        );
    }
}

#[tokio::test]
async fn flags_stand_above_variables_above_the_file() {
    let folder = folder();
    let config =
        "[server]\nlisten = '127.0.0.1:1'\n[log]\nfilter = 'error'\n[store]\ndata_dir = 'file'\n";
    fs::create_dir(folder.path().join("etc")).unwrap();
    fs::write(folder.path().join("etc/runwire.toml"), config).unwrap();
    let mut command = command(PROGRAM, &folder, None);
    command
        .args([
            "config",
            "show",
            "--config",
            "etc/runwire.toml",
            "--listen",
            "127.0.0.1:3",
        ])
        .env("RUNWIRE__SERVER__LISTEN", "127.0.0.1:2")
        .env("RUNWIRE__LOG__FILTER", "debug");
    let shown = succeeds(&output(command).await);
    assert!(shown.contains("listen = \"127.0.0.1:3\"\n"), "{shown}");
    assert!(shown.contains("filter = \"debug\"\n"), "{shown}");
    assert!(shown.contains("data_dir = \"etc/file\"\n"), "{shown}");
}

#[tokio::test]
async fn wrong_usage_and_wrong_files_exit_with_64() {
    for (args, expected) in [
        (&["frobnicate"][..], "unrecognized subcommand"),
        (&["complete", "hello"], "--model"),
        (
            &["run", "--detach", "examples/guide.toml"],
            "name it with --server",
        ),
        (
            &["runs", "list", "--server", "here:1", "--tenant", "acme"],
            "cannot be used with",
        ),
        (&["run", "nowhere.toml"], "cannot read nowhere.toml"),
        (&["serve", "--listen", "0.0.0.0:0"], "is not loopback"),
        (
            &["serve", "--listen", "here"],
            "--listen: server.listen: \"here\" is not an address",
        ),
        (
            &["token", "new", "--name", "a", "--scope", "all"],
            "\"all\" is not one of",
        ),
        (
            &["complete", "--server", "ftp://x", "-m", "a:b", "hi"],
            "http:// or https://",
        ),
    ] {
        let output = runwire(args).await;
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{args:?}: {errors}");
        assert!(errors.contains(expected), "{args:?}: {errors}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[tokio::test]
async fn help_and_version_go_to_standard_output() {
    for args in [&["--help"][..], &["runs", "--help"], &["--version"]] {
        let output = runwire(args).await;
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(text(&output.stdout).contains("runwire"), "{args:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_one_line_and_exit_code_1() {
    let output = runwire(&[
        "complete",
        "--server",
        "http://127.0.0.1:1",
        "-m",
        "a:b",
        "hi",
    ])
    .await;
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    let expected = "runwire: Unavailable: the connection failed: Connection refused";
    assert!(errors.starts_with(expected), "{errors}");
}

#[tokio::test]
async fn a_missing_key_is_named_by_its_variable() {
    let output = runwire(&["complete", "-m", "openai:gpt-5", "hi"]).await;
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("PROVIDER_CREDENTIALS_MISSING"), "{errors}");
    assert!(errors.contains("OPENAI_API_KEY"), "{errors}");
}

#[test]
fn the_configuration_takes_the_kinds_that_can_be_built_and_no_other() {
    let vendors = runwire::provider::vendor::BUILT_IN
        .iter()
        .map(|vendor| vendor.name);
    let built: BTreeSet<&str> = runwire::provider::registry::kinds()
        .chain(vendors)
        .collect();
    let taken: BTreeSet<&str> = runwire::config::PROVIDER_KINDS.iter().copied().collect();
    assert_eq!(taken, built);
}

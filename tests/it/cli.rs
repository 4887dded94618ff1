//! The command line, through the program itself: the examples of its documentation, and what they do
//! not show.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_runwire");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A folder to work in, with the examples in it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("examples")).unwrap();
    let example = "examples/guide.toml";
    fs::copy(Path::new(ROOT).join(example), folder.path().join(example)).unwrap();
    folder
}

/// A command with an environment of its own: no key and no server but what is said here.
fn command(program: &str, folder: &TempDir, server: Option<&str>) -> Command {
    let programs = Path::new(PROGRAM).parent().unwrap().display().to_string();
    let mut command = Command::new(program);
    command
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", format!("{programs}:/usr/bin:/bin"))
        .env("HOME", folder.path())
        .kill_on_drop(true);
    if let Some(server) = server {
        command.env("RUNWIRE_SERVER", server);
    }
    command
}

async fn runwire(args: &[&str]) -> Output {
    let folder = folder();
    let mut command = command(PROGRAM, &folder, None);
    command
        .args(args)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A server on a free port, and its URL.
async fn serve(folder: &TempDir) -> (Child, String) {
    let mut server = command(PROGRAM, folder, None)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
    let ready = async {
        loop {
            let line = lines
                .next_line()
                .await
                .unwrap()
                .expect("the server has ended");
            if let Some(address) = line.strip_prefix("runwire listening on ") {
                return format!("http://{address}");
            }
        }
    };
    let url = timeout(Duration::from_secs(60), ready).await.unwrap();
    (server, url)
}

/// Whether a text is a pattern in which `…` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('…');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

/// A command and what it prints.
type Example<'a> = (&'a str, Vec<&'a str>);

/// The examples: the word behind `console`, and commands with what they print.
fn examples(document: &str) -> Vec<(&str, Vec<Example<'_>>)> {
    let mut examples = Vec::new();
    for block in document.split("\n```console").skip(1) {
        let (kind, rest) = block.split_once('\n').unwrap();
        let (body, _) = rest.split_once("\n```").unwrap();
        let mut commands: Vec<Example<'_>> = Vec::new();
        for line in body.lines() {
            match line.strip_prefix("$ ") {
                Some(command) => commands.push((command, Vec::new())),
                None => commands.last_mut().unwrap().1.push(line),
            }
        }
        examples.push((kind.trim(), commands));
    }
    examples
}

#[tokio::test]
async fn the_examples_of_the_documentation_print_what_they_say() {
    let document = fs::read_to_string(Path::new(ROOT).join("docs/cli.md")).unwrap();
    let folder = folder();
    let (_server, url) = serve(&folder).await;
    let mut count = 0;
    for (kind, commands) in examples(&document) {
        let server = (kind == "server").then_some(url.as_str());
        for (line, expected) in commands {
            let mut shell = command("sh", &folder, server);
            let output = shell.args(["-c", line]).stdin(Stdio::null()).output();
            let output = timeout(Duration::from_secs(60), output)
                .await
                .unwrap()
                .unwrap();
            let printed = text(&output.stdout);
            let lines: Vec<&str> = printed.lines().collect();
            let fits = lines.len() == expected.len()
                && expected
                    .iter()
                    .zip(&lines)
                    .all(|(pattern, line)| matches(pattern, line));
            let errors = text(&output.stderr);
            assert!(
                fits,
                "$ {line}\n{printed}{errors}\nbut the documentation says\n{expected:#?}"
            );
            count += 1;
        }
    }
    assert!(count > 15, "{count} examples");
}

#[tokio::test]
async fn wrong_usage_and_wrong_files_exit_with_64() {
    for (args, expected) in [
        (&["frobnicate"][..], "unrecognized subcommand"),
        (&["complete", "hello"], "--model"),
        (&["runs", "list"], "name it with --server"),
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
    assert!(errors.starts_with("runwire: Unavailable: "), "{errors}");
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

#[cfg(unix)]
#[tokio::test]
async fn ctrl_c_cancels_a_completion_and_exits_with_130() {
    let folder = folder();
    let mut child = command(PROGRAM, &folder, None)
        .args(["complete", "-m", "script:hang", "--json", "hi"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = timeout(Duration::from_secs(60), lines.next_line()).await;
    assert!(first.unwrap().unwrap().unwrap().contains("started"));
    interrupt(&child).await;
    let status = timeout(Duration::from_secs(60), child.wait())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(status.code(), Some(130));
}

#[cfg(unix)]
#[tokio::test]
async fn ctrl_c_cancels_the_run_on_its_server() {
    let folder = folder();
    let (_server, url) = serve(&folder).await;
    let mut child = command(PROGRAM, &folder, Some(&url))
        .args(["run", "examples/guide.toml", "-m", "script:hang", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = timeout(Duration::from_secs(60), lines.next_line()).await;
    assert!(first.unwrap().unwrap().is_some());
    interrupt(&child).await;
    let status = timeout(Duration::from_secs(60), child.wait())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(status.code(), Some(130));
    let list = command(PROGRAM, &folder, Some(&url))
        .args(["runs", "list"])
        .output();
    let list = text(&list.await.unwrap().stdout);
    assert!(list.contains("cancelled"), "{list}");
}

#[cfg(unix)]
async fn interrupt(child: &Child) {
    let id = child.id().unwrap().to_string();
    let kill = Command::new("kill").args(["-INT", &id]).status().await;
    assert!(kill.unwrap().success());
}

//! The program as its users have it: processes with an environment of their own.

use std::{
    fs,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use runwire::domain::principal::matches_glob;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader, Lines},
    process::{Child, Command},
    time::timeout,
};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_runwire");
pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Longer than any command takes on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder to work in, with the examples in it.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("examples")).unwrap();
    let example = "examples/guide.toml";
    fs::copy(Path::new(ROOT).join(example), folder.path().join(example)).unwrap();
    folder
}

/// A command with an environment of its own: no key and no server but what is said here.
pub(crate) fn command(program: &str, folder: &TempDir, server: Option<&str>) -> Command {
    let programs = Path::new(PROGRAM).parent().unwrap().display().to_string();
    let mut command = Command::new(program);
    command
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", format!("{programs}:/usr/bin:/bin"))
        .env("HOME", folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    if let Some(server) = server {
        command.env("RUNWIRE_SERVER", server);
    }
    command
}

/// Runs a command to its end.
pub(crate) async fn output(mut command: Command) -> Output {
    timeout(PATIENCE, command.output()).await.unwrap().unwrap()
}

/// Runs the program in a folder, with a server or without.
pub(crate) async fn runwire_in(folder: &TempDir, server: Option<&str>, args: &[&str]) -> Output {
    let mut command = command(PROGRAM, folder, server);
    command.args(args);
    output(command).await
}

/// Runs the program in a folder of its own, without a server.
pub(crate) async fn runwire(args: &[&str]) -> Output {
    runwire_in(&folder(), None, args).await
}

/// What a command has printed that went well and complained of nothing.
#[track_caller]
pub(crate) fn succeeds(output: &Output) -> String {
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert_eq!(errors, "");
    text(&output.stdout)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What a process says, line by line.
pub(crate) struct Heard<R>(Lines<BufReader<R>>);

impl<R: AsyncRead + Unpin> Heard<R> {
    pub(crate) fn new(pipe: Option<R>) -> Self {
        Self(BufReader::new(pipe.unwrap()).lines())
    }

    /// The next line; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<String> {
        timeout(PATIENCE, self.0.next_line())
            .await
            .unwrap()
            .unwrap()
    }

    /// All lines to the end.
    pub(crate) async fn rest(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.next().await {
            lines.push(line);
        }
        lines
    }
}

/// A server of its own on a free port.
pub(crate) struct Served {
    pub(crate) child: Child,
    pub(crate) url: String,
    pub(crate) log: Heard<tokio::process::ChildStderr>,
    /// What was logged before it was ready.
    pub(crate) before: Vec<String>,
}

/// Starts `runwire serve`, and waits until it is ready.
pub(crate) async fn serve(folder: &TempDir) -> Served {
    serve_with(command(PROGRAM, folder, None), &[]).await
}

/// Starts `runwire serve` with more flags.
pub(crate) async fn serve_with(mut command: Command, args: &[&str]) -> Served {
    command.arg("serve").args(args);
    if !args.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut log = Heard::new(child.stderr.take());
    let mut before = Vec::new();
    loop {
        let line = log.next().await;
        let line = line.unwrap_or_else(|| panic!("the server has ended:\n{}", before.join("\n")));
        if let Some(address) = line.strip_prefix("runwire listening on ") {
            let url = format!("http://{address}");
            return Served {
                child,
                url,
                log,
                before,
            };
        }
        before.push(line);
    }
}

/// Waits for a process to end: its exit code.
pub(crate) async fn ended(child: &mut Child) -> Option<i32> {
    timeout(PATIENCE, child.wait())
        .await
        .unwrap()
        .unwrap()
        .code()
}

/// Sends a signal.
pub(crate) async fn signal(child: &Child, signal: &str) {
    let id = child.id().unwrap().to_string();
    let kill = Command::new("kill").args([signal, &id]).status().await;
    assert!(kill.unwrap().success());
}

/// Whether a text fits a pattern in which `…` stands for anything.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    // Stars stand for themselves.
    let plain = |text: &str| text.replace('*', "\0");
    matches_glob(&plain(pattern).replace('…', "*"), &plain(text))
}

#[test]
fn an_ellipsis_stands_for_anything() {
    for (pattern, fits, does_not) in [
        ("plain", "plain", "plainly"),
        ("run_…", "run_01", "ran_01"),
        ("{…\"name\"…}", "{\"a\":1,\"name\":2}", "{\"a\":1}"),
        ("…end", "the end", "the end?"),
        ("2 * 2 …", "2 * 2 = 4", "2 + 2 = 4"),
    ] {
        assert!(matches(pattern, fits), "{pattern}");
        assert!(!matches(pattern, does_not), "{pattern}");
    }
}

//! The rules of ARCHITECTURE.md that a compiler does not hold, as tests over the text of the project.

mod documents;
mod paths;
mod rules;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A text file of the project.
struct File {
    /// Its path from the project's folder, with `/`.
    path: String,
    /// What it holds.
    text: String,
}

/// The project's folder.
fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file that must be there.
fn read(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All text files under a folder, sorted; what builds, tools and version control made is left out.
fn files_under(folder: &str) -> Vec<File> {
    const MADE: [&str; 8] = [
        "target",
        "node_modules",
        "dist",
        "build",
        "__pycache__",
        "corpus",
        "artifacts",
        "site-packages",
    ];
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = vec![top().join(folder)];
    while let Some(path) = open.pop() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if !MADE.contains(&&*name) && (!name.starts_with('.') || name == ".ci") {
                let entries = fs::read_dir(&path).unwrap();
                open.extend(entries.map(|entry| entry.unwrap().path()));
            }
        } else if let Ok(text) = fs::read_to_string(&path) {
            let path = path.strip_prefix(top()).unwrap();
            let path = path.to_string_lossy().replace('\\', "/");
            found.push(File { path, text });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Fails with every complaint, one a line.
#[track_caller]
fn no_complaints(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Whether a command wrote the file.
fn is_generated(path: &str) -> bool {
    path.contains("_pb2") || path.ends_with(".pb.go") || path.contains("/gen/")
}

#[test]
fn no_source_file_is_longer_than_600_lines() {
    let sources = [".rs", ".py", ".proto", ".sh", ".go", ".ts", ".java"];
    let complaints: Vec<String> = files_under("")
        .iter()
        .filter(|file| sources.iter().any(|ending| file.path.ends_with(ending)))
        .filter(|file| !is_generated(&file.path))
        .filter(|file| file.text.lines().count() > 600)
        .map(|file| format!("{}: {} lines", file.path, file.text.lines().count()))
        .collect();
    no_complaints(&complaints);
}

#[test]
fn no_file_holds_something_that_looks_like_a_secret() {
    let complaints: Vec<String> = files_under("")
        .iter()
        .filter(|file| !file.path.starts_with("tests/it/architecture"))
        .flat_map(|file| {
            let lines = file.text.lines().enumerate();
            lines.filter_map(move |(index, line)| {
                secret_in(line).map(|kind| format!("{}:{}: {kind}", file.path, index + 1))
            })
        })
        .collect();
    no_complaints(&complaints);
}

/// What kind of secret a line seems to hold.
fn secret_in(line: &str) -> Option<&'static str> {
    /// Kind, what it begins with, and how many characters of a key follow at least.
    const KINDS: [(&str, &str, usize); 7] = [
        ("an OpenAI or Anthropic key", "sk-", 24),
        ("an AWS key id", "AKIA", 16),
        ("a Google key", "AIza", 30),
        ("a GitHub token", "ghp_", 30),
        ("a Slack token", "xoxb-", 20),
        ("a bearer token", "Bearer ", 32),
        ("a private key", "-----BEGIN PRIVATE KEY-----", 0),
    ];
    let of_a_key = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    KINDS.iter().find_map(|(kind, prefix, length)| {
        line.match_indices(prefix)
            .any(|(at, _)| {
                let before = line[..at].chars().next_back();
                let after = line[at + prefix.len()..].chars().take_while(of_a_key);
                !before.is_some_and(|c| c.is_ascii_alphanumeric()) && after.count() >= *length
            })
            .then_some(*kind)
    })
}

#[test]
fn a_planted_secret_is_found() {
    let key = format!("api_key = \"{}{}\"", "sk-", "a1B2".repeat(8));
    assert_eq!(secret_in(&key), Some("an OpenAI or Anthropic key"));
    for harmless in ["task-that-has-a-very-long-name-indeed", "sk-test", ""] {
        assert_eq!(secret_in(harmless), None, "{harmless}");
    }
}

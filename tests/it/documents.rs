//! The samples of the documents, run: commands through the program, configurations and scripts through
//! the program that reads them. Python's samples are run by the tests of its client.

use std::{collections::BTreeMap, fs, path::Path};

use tempfile::TempDir;

use crate::program::{ROOT, command, folder, matches, output, runwire_in, serve, text};

/// The documents that have samples for users.
const DOCUMENTS: [&str; 9] = [
    "README.md",
    "docs/approvals.md",
    "docs/cli.md",
    "docs/configuration.md",
    "docs/mesh.md",
    "docs/protocol.md",
    "docs/providers.md",
    "docs/python.md",
    "docs/script.md",
];

/// Every model of the vendors that the documents name says what it hears.
const MODELS: &str = "[models.\"*\"]\n[[models.\"*\".turns]]\ntext = \"{user}\"\n";

/// A fenced block.
struct Sample {
    document: &'static str,
    /// Where it begins, from 1.
    line: usize,
    /// What stands behind the fence, such as `console server`.
    kind: String,
    text: String,
}

/// All fenced blocks of a document.
fn samples(document: &'static str) -> Vec<Sample> {
    let markdown = fs::read_to_string(Path::new(ROOT).join(document)).unwrap();
    let mut samples: Vec<Sample> = Vec::new();
    let mut open: Option<Sample> = None;
    for (index, line) in markdown.lines().enumerate() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(kind), None) => {
                open = Some(Sample {
                    document,
                    line: index + 1,
                    kind: kind.to_owned(),
                    text: String::new(),
                });
            }
            (Some(_), Some(sample)) => samples.push(sample),
            (None, Some(mut sample)) => {
                sample.text.push_str(line);
                sample.text.push('\n');
                open = Some(sample);
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{document}: a block does not end");
    samples
}

fn of_kind(kind: &'static str) -> impl Iterator<Item = Sample> {
    let all = DOCUMENTS.into_iter().flat_map(samples);
    all.filter(move |sample| sample.kind.split(' ').next() == Some(kind))
}

#[test]
fn every_sample_is_of_a_kind_that_is_run() {
    // Text is pictures. The clients' languages are run by the clients' own tests.
    let known = [
        "bash",
        "console",
        "toml",
        "text",
        "python",
        "go",
        "typescript",
        "java",
    ];
    for sample in DOCUMENTS.into_iter().flat_map(samples) {
        let kind = sample.kind.split(' ').next().unwrap_or_default();
        assert!(
            known.contains(&kind),
            "{}:{}: nobody runs {kind:?}",
            sample.document,
            sample.line
        );
    }
}

/// A command and what it prints.
fn dialogue(sample: &Sample) -> Vec<(&str, Vec<&str>)> {
    let mut commands: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in sample.text.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => commands.push((command, Vec::new())),
            None => commands.last_mut().unwrap().1.push(line),
        }
    }
    commands
}

#[tokio::test]
async fn the_dialogues_of_the_documents_go_as_they_say() {
    let folder = folder();
    let server = serve(&folder).await;
    let mut count = 0;
    for sample in of_kind("console") {
        let url = (sample.kind == "console server").then_some(server.url.as_str());
        for (line, expected) in dialogue(&sample) {
            let mut shell = command("sh", &folder, url);
            shell.args(["-c", line]);
            let output = output(shell).await;
            let (printed, errors) = (text(&output.stdout), text(&output.stderr));
            let lines: Vec<&str> = printed.lines().collect();
            let pairs = || expected.iter().zip(&lines);
            assert!(
                lines.len() == expected.len()
                    && pairs().all(|(wanted, line)| matches(wanted, line)),
                "{}:{}\n$ {line}\n{printed}{errors}\nbut the document says\n{expected:#?}",
                sample.document,
                sample.line,
            );
            count += 1;
        }
    }
    assert!(count > 15, "{count} commands");
}

/// What must be there for the commands of the README, and what stands for what differs.
async fn readme(folder: &TempDir, server: &str) -> BTreeMap<&'static str, String> {
    fs::write(folder.path().join("models.toml"), MODELS).unwrap();
    let example = folder.path().join("examples/guide.toml");
    fs::copy(example, folder.path().join("agent.toml")).unwrap();
    let run = runwire_in(folder, Some(server), &["run", "--detach", "agent.toml"]).await;
    BTreeMap::from([("RUN_ID", text(&run.stdout).trim().to_owned())])
}

#[tokio::test]
async fn the_commands_of_the_documents_end_well() {
    let folder = folder();
    let server = serve(&folder).await;
    let names = readme(&folder, &server.url).await;
    let makefile = fs::read_to_string(Path::new(ROOT).join("Makefile")).unwrap();
    for sample in of_kind("bash") {
        for line in sample.text.lines() {
            let mut line = line
                .split(" #")
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned();
            if let Some(verb) = line.strip_prefix("make ") {
                assert!(makefile.contains(&format!("\n{verb}: ")), "{line}");
                continue;
            }
            if line == "runwire serve" {
                // As the one that these commands talk to, which has a port of its own.
                continue;
            }
            for (name, value) in &names {
                line = line.replace(name, value);
            }
            // Runs are kept by a server; the others show what a machine without one does.
            let url = line
                .starts_with("runwire runs")
                .then_some(server.url.as_str());
            let mut shell = command("sh", &folder, url);
            for vendor in ["OPENAI", "OLLAMA"] {
                shell.env(format!("RUNWIRE__PROVIDERS__{vendor}__KIND"), "script");
                shell.env(
                    format!("RUNWIRE__PROVIDERS__{vendor}__SCRIPT"),
                    "models.toml",
                );
            }
            shell.args(["-c", &format!("echo 'From the keyboard' | {line}")]);
            let output = output(shell).await;
            let errors = text(&output.stderr);
            assert!(
                output.status.success(),
                "{}:{}: {line}: {errors}",
                sample.document,
                sample.line
            );
            assert!(!output.stdout.is_empty(), "{line}");
            assert_eq!(errors, "", "{line}");
        }
    }
}

/// Whether the program takes a text as its configuration.
async fn is_good(folder: &TempDir, config: &str) -> Result<(), String> {
    fs::write(folder.path().join("runwire.toml"), config).unwrap();
    let output = runwire_in(
        folder,
        None,
        &["config", "check", "--config", "runwire.toml"],
    )
    .await;
    output
        .status
        .success()
        .then_some(())
        .ok_or_else(|| text(&output.stderr))
}

/// Whether a script can be played: its models are listed.
async fn is_played(folder: &TempDir, script: &str) -> Result<String, String> {
    fs::write(folder.path().join("agents.script.toml"), script).unwrap();
    let config = "[providers.script]\nscript = 'agents.script.toml'\n";
    fs::write(folder.path().join("runwire.toml"), config).unwrap();
    let models = ["models", "--provider", "script", "--config", "runwire.toml"];
    let output = runwire_in(folder, None, &models).await;
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

#[tokio::test]
async fn the_configurations_and_scripts_of_the_documents_are_taken() {
    let folder = folder();
    fs::write(folder.path().join("other.script.toml"), MODELS).unwrap();
    let mut count = 0;
    for sample in of_kind("toml") {
        let text = sample.text.as_str();
        let taken = if text.contains("[[token]]") {
            fs::write(folder.path().join("tokens.toml"), text).unwrap();
            is_good(
                &folder,
                "[auth]\nmode = 'tokens'\ntokens_file = 'tokens.toml'\n",
            )
            .await
        } else if text.starts_with("fault = ") {
            let script = format!("[models.a]\n[[models.a.turns]]\ntext = 'a'\n{text}");
            is_played(&folder, &script).await.map(drop)
        } else if text.contains(".turns]]") {
            let models = is_played(&folder, text).await;
            models.map(|models| assert!(models.starts_with("script:"), "{models}"))
        } else {
            fs::write(folder.path().join("agents.script.toml"), MODELS).unwrap();
            // In the reference stand names of the reader's choice, and a server has a command or a URL.
            let text = text
                .replace("providers.NAME", "providers.openai")
                .replace(
                    "[mcp.servers.NAME]",
                    "[mcp.servers.files]\ncommand = \"files\"",
                )
                .replace("mcp.servers.NAME", "mcp.servers.files");
            is_good(&folder, &text).await
        };
        if let Err(problems) = taken {
            panic!("{}:{}: {problems}", sample.document, sample.line);
        }
        count += 1;
    }
    assert!(count >= 6, "{count} samples");
}

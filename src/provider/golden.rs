//! For tests: cases as files, `tests/golden/FAMILY/CASE/`.
//!
//! - `domain.json`: provider, model, answer and request, in the domain's words;
//! - `request.json`: the body that it becomes, byte for byte;
//! - `response.json`, `response.sse`, `response.ndjson` or `response.messages`: what the vendor answers.
//!   Messages of an event stream stand in a line each: name, blank, JSON; with `!` in front of an
//!   exception's name, and without the Base64 around what is in a `chunk`;
//! - `events.json`: what that becomes. A stream is also cut behind every byte, with the same result.
//!
//! `UPDATE_GOLDEN=1` writes `request.json` and `events.json`.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    eventstream,
    framing::{Decoder, Framing},
    protocol::{Call, Frame, Progress, Protocol, Rejection, Turn},
};
use crate::{
    domain::{
        completion::{Completion, Delta, Grown, Request},
        fault::Fault,
        id::CallId,
        message::Message,
        model::{ModelRef, Options},
        tool::{Annotations, ToolSpec},
    },
    run::port::Answer,
};

/// The files that hold a stream.
const STREAMS: [(&str, Framing); 3] = [
    ("response.sse", Framing::Sse),
    ("response.ndjson", Framing::Lines),
    ("response.messages", Framing::EventStream),
];

#[derive(Deserialize)]
struct Domain {
    provider: String,
    model: String,
    answer: String,
    /// The status of the answer in one piece, where it is not a success.
    #[serde(default)]
    status: Option<u16>,
    messages: Vec<Value>,
    #[serde(default)]
    tools: Vec<Value>,
    #[serde(default)]
    options: Value,
}

/// A value of the domain, from JSON in which members with an evident default may be missing.
fn read<T: for<'de> Deserialize<'de>>(mut value: Value, defaults: &Value) -> T {
    fill(&mut value, defaults);
    serde_json::from_value(value).unwrap()
}

fn fill(value: &mut Value, defaults: &Value) {
    match value {
        Value::Object(members) => {
            if members.contains_key("content") || members.contains_key("input_schema") {
                members.entry("cache_breakpoint").or_insert(json!(false));
            }
            if members.contains_key("parts") && members.contains_key("call_id") {
                members.entry("is_error").or_insert(json!(false));
            }
            for (name, default) in defaults.as_object().into_iter().flatten() {
                members.entry(name).or_insert_with(|| default.clone());
            }
            members
                .values_mut()
                .for_each(|value| fill(value, &Value::Null));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| fill(value, &Value::Null)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

impl Domain {
    fn request(&self) -> Request {
        let options = if self.options.is_null() {
            json!({})
        } else {
            self.options.clone()
        };
        let tool = json!({"version": "", "annotations": Annotations::default()});
        Request {
            messages: self
                .messages
                .iter()
                .map(|message| Arc::new(read::<Message>(message.clone(), &Value::Null)))
                .collect(),
            tools: self
                .tools
                .iter()
                .map(|spec| Arc::new(read::<ToolSpec>(spec.clone(), &tool)))
                .collect(),
            options: Arc::new(read(
                options,
                &serde_json::to_value(Options::default()).unwrap(),
            )),
        }
    }
}

/// A case of a conversation, for tests that hold for all of them.
pub(crate) struct Case {
    /// Its family's folder and its own.
    pub(crate) name: String,
    /// The provider and its model.
    pub(crate) model: ModelRef,
    /// What is asked.
    pub(crate) request: Request,
    /// What the vendor streams, if it does.
    pub(crate) stream: Option<(Framing, Vec<u8>)>,
    /// What the vendor answers in one piece, if it does.
    pub(crate) whole: Option<Vec<u8>>,
}

/// The folders of cases, a protocol's each.
pub(crate) fn folders() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let has_cases = |folder: &PathBuf| {
        let mut entries = fs::read_dir(folder).unwrap();
        entries.any(|case| case.unwrap().path().join("domain.json").exists())
    };
    let folders = fs::read_dir(&root).unwrap().map(name);
    let mut folders: Vec<String> = folders
        .filter(|name| has_cases(&root.join(name)))
        .map(|name| name.into_string().unwrap())
        .collect();
    folders.sort();
    folders
}

/// The cases of a folder.
pub(crate) fn cases(folder: &str) -> Vec<Case> {
    paths(folder).iter().map(|path| case(path)).collect()
}

fn case(path: &Path) -> Case {
    let file = |name: &str| fs::read(path.join(name)).ok();
    let domain: Domain = serde_json::from_slice(&file("domain.json").unwrap()).unwrap();
    let streams = STREAMS.into_iter();
    Case {
        name: path.display().to_string(),
        request: domain.request(),
        stream: streams
            .filter_map(|(name, framing)| Some((framing, stream_of(framing, file(name)?))))
            .next(),
        whole: file("response.json"),
        model: ModelRef {
            provider: domain.provider,
            model: domain.model,
        },
    }
}

fn paths(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let cases = fs::read_dir(root.join(folder)).unwrap();
    let mut cases: Vec<_> = cases.map(|case| case.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty(), "no cases in {folder}");
    cases
}

/// Plays every case of a family.
pub(crate) fn check_family(family: &str, protocol: impl Fn(&str) -> Box<dyn Protocol>) {
    for case in paths(family) {
        check_case(&case, &protocol);
    }
}

fn check_case(case: &Path, protocol: &impl Fn(&str) -> Box<dyn Protocol>) {
    let text = |name: &str| fs::read_to_string(case.join(name));
    let domain: Domain = serde_json::from_str(&text("domain.json").unwrap())
        .unwrap_or_else(|error| panic!("{}: {error}", case.display()));
    let protocol = protocol(&domain.provider);
    let request = domain.request();
    let model = ModelRef {
        provider: domain.provider.clone(),
        model: domain.model.clone(),
    };
    let encode = || {
        let encoded = protocol.encode(Call {
            model: &model,
            request: &request,
            answer: match &*domain.answer {
                "whole" => Answer::Whole,
                "streamed" => Answer::Streamed,
                other => panic!("{}: no answer {other}", case.display()),
            },
        });
        match encoded {
            Ok(encoded) => String::from_utf8(encoded.body).unwrap() + "\n",
            Err(fault) => format!("{fault}\n"),
        }
    };
    let body = encode();
    assert_eq!(
        body,
        encode(),
        "{}: the same call gives the same bytes",
        case.display()
    );
    check_file(&case.join("request.json"), &body);
    let turn = || turn(&model, &request);
    if let Ok(response) = text("response.json") {
        let completion = match domain.status {
            None => protocol.decode(turn(), response.as_bytes()),
            Some(status) => protocol.reject(
                turn(),
                Rejection {
                    status: http::StatusCode::from_u16(status).unwrap(),
                    body: response.as_bytes(),
                },
            ),
        };
        check_file(&case.join("events.json"), &events(&[], completion));
        return;
    }
    for (name, framing) in STREAMS {
        let Ok(stream) = fs::read(case.join(name)) else {
            continue;
        };
        let stream = stream_of(framing, stream);
        let whole = assemble(&*protocol, turn(), framing, &[&stream]);
        let pieces: Vec<&[u8]> = stream.chunks(1).collect();
        let cut = assemble(&*protocol, turn(), framing, &pieces);
        assert_eq!(whole, cut, "{}: cut behind every byte", case.display());
        check_file(&case.join("events.json"), &whole);
    }
}

/// A stream as it comes over the wire.
fn stream_of(framing: Framing, file: Vec<u8>) -> Vec<u8> {
    match framing {
        Framing::Sse | Framing::Lines => file,
        Framing::EventStream => messages(&file),
    }
}

/// Lines as the messages of an event stream.
fn messages(lines: &[u8]) -> Vec<u8> {
    let lines = std::str::from_utf8(lines).unwrap().lines();
    let message = |line: &str| {
        let (name, payload) = line.split_once(' ').unwrap();
        match name.strip_prefix('!') {
            Some(name) => eventstream::tests::exception(name, payload),
            None if name == "chunk" => {
                let payload = json!({"bytes": STANDARD.encode(payload), "p": "abc"});
                eventstream::tests::event(name, &payload.to_string())
            }
            None => eventstream::tests::event(name, payload),
        }
    };
    lines.flat_map(message).collect()
}

fn turn(model: &ModelRef, request: &Request) -> Turn {
    let mut minted = 0;
    Turn {
        model: model.clone(),
        tools: Arc::clone(&request.tools),
        headers: http::HeaderMap::new(),
        mint: Box::new(move || {
            minted += 1;
            CallId::parse(&format!("call_{minted}")).unwrap()
        }),
    }
}

/// What a stream that comes in these pieces becomes.
pub(crate) fn assemble(
    protocol: &dyn Protocol,
    turn: Turn,
    framing: Framing,
    pieces: &[&[u8]],
) -> String {
    let (deltas, end) = play(protocol, turn, framing, pieces);
    events(&deltas, end)
}

/// The whole answer that a stream becomes, unless it ends in a fault.
pub(crate) fn complete(
    protocol: &dyn Protocol,
    turn: Turn,
    framing: Framing,
    stream: &[u8],
) -> Option<Completion> {
    play(protocol, turn, framing, &[stream]).1.ok()
}

fn play(
    protocol: &dyn Protocol,
    turn: Turn,
    framing: Framing,
    pieces: &[&[u8]],
) -> (Vec<Delta>, Result<Completion, Fault>) {
    let (mut assembler, mut deltas) = (protocol.assemble(turn), Vec::new());
    let mut decoder = Decoder::new(framing, 1 << 20);
    let mut progress = Progress::Open;
    let mut feed = |frame: Frame<'_>| {
        if progress != Progress::Ended {
            progress = assembler.feed(frame, &mut deltas)?;
        }
        Ok(())
    };
    let mut pieces = pieces.iter();
    let fed = pieces.try_for_each(|piece| decoder.feed(piece, &mut feed));
    let fed = fed.and_then(|()| decoder.finish(&mut feed));
    let end = fed.and_then(|()| assembler.finish(&mut deltas));
    (deltas, end)
}

/// What was shown and how it ended, a line each.
fn events(deltas: &[Delta], end: Result<Completion, Fault>) -> String {
    let delta = |delta: &Delta| {
        let part = delta.part_index;
        match &delta.grown {
            Grown::Text(text) => json!({"part": part, "text": text}),
            Grown::Reasoning(text) => json!({"part": part, "reasoning": text}),
            Grown::ToolCall { id, name } => json!({"part": part, "call": id, "name": name}),
            Grown::Arguments(text) => json!({"part": part, "arguments": text}),
        }
    };
    let mut lines: Vec<Value> = deltas.iter().map(delta).collect();
    lines.push(match end {
        Ok(completion) => json!({"finished": completion}),
        Err(fault) => json!({"fault": fault.reason.name()}),
    });
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

#[track_caller]
fn check_file(path: &Path, found: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        return fs::write(path, found).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        found,
        expected,
        "{} (UPDATE_GOLDEN=1 writes it)",
        path.display()
    );
}

//! What this store promises beside [what all promise](crate::store::conformance).

mod inputs;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::atomic::{AtomicBool, Ordering},
};

use futures_util::future::join_all;
use tempfile::TempDir;

use super::*;
use crate::{
    domain::{
        event::{CallPlan, CallState, Fact, RunMessage, ToolCallUpdate, Turn},
        fault::{Fault, Reason},
        id::{HostId, MessageId},
        json::JsonText,
        message::{
            Content, Media, MediaSource, Message, Part, ProviderState, Role, ToolCall, ToolResult,
        },
        model::{FinishReason, ModelRef, Usage},
        run::RunState,
        time::Timestamp,
        tool::{Annotations, ToolName, ToolSpec},
        trace::Trace,
    },
    run::sample::{
        HandClock, call_id, completed, in_state, new_run, requested, run, run_id, tenant,
    },
};

const GOLDEN: &str = "tests/golden/store/encoding-1.jsonl";

fn open(folder: &TempDir) -> Result<Sqlite, OpenError> {
    let clock = HandClock::at(1_000_000);
    Sqlite::open(&folder.path().join("data"), Settings::default(), clock)
}

async fn append(store: &Sqlite, number: u128, expected: u64, fact: Fact) -> Result<(), StoreError> {
    let event = Event {
        sequence: expected + 1,
        run_id: None,
        time: Timestamp::from_millis(expected),
        fact,
    };
    store
        .append(
            &tenant("acme"),
            run_id(number),
            expected,
            vec![Arc::new(event)],
        )
        .await
}

async fn sequences(store: &Sqlite, number: u128) -> Vec<u64> {
    let events = store.read(&tenant("acme"), run_id(number), 0, 1_000).await;
    events.unwrap().iter().map(|event| event.sequence).collect()
}

async fn tamper(store: &Sqlite, how: fn(&rusqlite::Connection)) {
    store
        .writer
        .ask(|answer| Job::Tamper(how, answer))
        .await
        .unwrap();
}

#[tokio::test]
async fn what_was_stored_is_there_when_the_store_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).unwrap();
    store
        .create(requested(run(1, "a"), "req", 7))
        .await
        .unwrap();
    append(&store, 1, 1, completed("m", "a", &["c"]))
        .await
        .unwrap();
    let before = store.feed(&tenant("acme"), 0, 10).await.unwrap();
    let newest = store.position(&tenant("acme")).await.unwrap();
    drop(store);

    let store = open(&folder).unwrap();
    let after = store.feed(&tenant("acme"), 0, 10).await.unwrap();
    assert_eq!(format!("{before:?}"), format!("{after:?}"));
    assert_eq!(store.position(&tenant("acme")).await.unwrap(), newest);
    let (found, _) = store.run(&tenant("acme"), run_id(1)).await.unwrap();
    assert_eq!(found.last_sequence, 2);
    let call = store.run_of_call(&tenant("acme"), &call_id("c")).await;
    assert_eq!(call.unwrap(), Some(run_id(1)));
    let again = store.create(requested(run(2, "a"), "req", 7)).await;
    assert!(matches!(again.unwrap(), Creation::Existing(known) if known.id == run_id(1)));
    // The log goes on where it ended.
    let conflict = append(&store, 1, 1, completed("n", "b", &[])).await;
    let (expected, found) = (1, 2);
    assert_eq!(conflict, Err(StoreError::Conflict { expected, found }));
    append(&store, 1, 2, completed("n", "b", &[]))
        .await
        .unwrap();
    assert_eq!(sequences(&store, 1).await, [1, 2, 3]);
}

#[tokio::test]
async fn a_position_is_given_out_once_however_often_the_store_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        retention: Duration::ZERO,
        ..Settings::default()
    };
    let path = folder.path().join("data");
    let mut newest = 0;
    for number in 1..=4 {
        let store = Sqlite::open(&path, settings, HandClock::at(1_000)).unwrap();
        store.create(new_run(run(number, "a"))).await.unwrap();
        // The end drops the run at once, with the newest position that there is.
        let end = in_state(&run(number, "a"), RunState::Succeeded);
        append(&store, number, 1, end).await.unwrap();
        assert!(store.feed(&tenant("acme"), 0, 10).await.unwrap().is_empty());
        let position = store.position(&tenant("acme")).await.unwrap();
        assert_eq!(position, newest.max(1_000 * 1_024) + 2);
        newest = position;
    }
}

#[tokio::test]
async fn a_directory_has_one_server() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).unwrap();
    assert!(matches!(open(&folder), Err(OpenError::InUse { .. })));
    drop(store);
    assert!(open(&folder).is_ok());
}

#[tokio::test]
async fn a_store_is_read_while_a_server_writes_to_it_and_nothing_is_written_by_the_reader() {
    let folder = TempDir::new().unwrap();
    let (data, acme) = (folder.path().join("data"), tenant("acme"));
    let missing = Sqlite::read_only(&data, Settings::default());
    assert!(matches!(missing, Err(OpenError::Missing { .. })));
    assert!(!is_open(&data).unwrap());
    let server = open(&folder).unwrap();
    assert!(is_open(&data).unwrap());
    server.create(new_run(run(1, "red"))).await.unwrap();
    let reader = Sqlite::read_only(&data, Settings::default()).unwrap();
    append(&server, 1, 1, completed("m1", "hi", &[]))
        .await
        .unwrap();
    assert_eq!(sequences(&reader, 1).await, [1, 2]);
    assert_eq!(
        reader.position(&acme).await,
        server.position(&acme).await,
        "it is the writer's, as it is now"
    );
    let written = reader.create(new_run(run(2, "red"))).await;
    assert!(matches!(written, Err(StoreError::Unavailable(_))));
    let claimed = reader.claim(None, 10).await;
    assert!(matches!(claimed, Err(StoreError::Unavailable(_))));
    drop(server);
    assert!(!is_open(&data).unwrap());
    assert_eq!(sequences(&reader, 1).await, [1, 2]);
    let _next = open(&folder).expect("a reader is in nobody's way");
}

#[test]
fn whoever_looks_at_a_directory_keeps_no_server_out_of_it() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    drop(open(&folder).unwrap());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                is_open(&data).unwrap();
            }
        });
        let opened: Vec<bool> = (0..20).map(|_| open(&folder).is_ok()).collect();
        over.store(true, Ordering::Relaxed);
        assert_eq!(opened, [true; 20]);
    });
}

#[tokio::test]
async fn nobody_else_can_read_what_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let store = open(&folder).unwrap();
    store.create(new_run(run(1, "a"))).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    let files: Vec<_> = fs::read_dir(&path).unwrap().map(|f| f.unwrap()).collect();
    assert!(files.len() >= 3, "the database, its log, the lock");
    for file in files {
        assert_eq!(mode(&file.path()), 0o600, "{:?}", file.file_name());
    }
}

#[tokio::test]
async fn a_file_that_others_could_read_is_closed_to_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    fs::create_dir(&path).unwrap();
    let database = path.join("runs.db");
    fs::write(&database, "").unwrap();
    fs::set_permissions(&database, fs::Permissions::from_mode(0o644)).unwrap();
    let _store = open(&folder).unwrap();
    let mode = fs::metadata(&database).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).unwrap();
    tamper(&store, |connection| {
        let sql = "INSERT INTO schema_version VALUES (99, 0)";
        connection.execute(sql, []).unwrap();
    })
    .await;
    drop(store);
    let newer = open(&folder).unwrap_err();
    assert!(
        matches!(newer, OpenError::Newer { found: 99, .. }),
        "{newer}"
    );
}

#[tokio::test]
async fn what_is_no_database_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    fs::create_dir(&path).unwrap();
    fs::write(
        path.join("runs.db"),
        "something else, and more of it\n".repeat(100),
    )
    .unwrap();
    assert!(matches!(open(&folder), Err(OpenError::Database(_))));
}

#[tokio::test]
async fn a_full_disk_refuses_and_loses_nothing_and_room_helps() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).unwrap();
    store.create(new_run(run(1, "a"))).await.unwrap();
    tamper(&store, |connection| {
        let pages: i64 = connection
            .query_row("PRAGMA page_count", [], |row| row.get(0))
            .unwrap();
        let sql = format!("PRAGMA max_page_count = {}", pages + 8);
        connection.query_row(&sql, [], |_| Ok(())).unwrap();
    })
    .await;
    let large = "x".repeat(8_000);
    let mut stored = 1;
    let refused = loop {
        match append(&store, 1, stored, completed("m", &large, &[])).await {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 100, "the disk is never full");
    };
    assert_eq!(
        refused,
        StoreError::Unavailable("the disk is full".to_owned())
    );
    let fault = Fault::from(refused);
    assert_eq!(fault.reason, Reason::StoreUnavailable);
    assert!(fault.message.contains("the disk is full"), "{fault}");
    let spec = "y".repeat(100_000);
    let mut new = new_run(run(2, "a"));
    Arc::make_mut(&mut new.spec).agent.instructions = spec;
    assert!(store.create(new).await.is_err());

    let acknowledged: Vec<u64> = (1..=stored).collect();
    assert_eq!(sequences(&store, 1).await, acknowledged);
    tamper(&store, |connection| {
        let sql = "PRAGMA max_page_count = 1000000";
        connection.query_row(sql, [], |_| Ok(())).unwrap();
    })
    .await;
    append(&store, 1, stored, completed("m", &large, &[]))
        .await
        .unwrap();
    drop(store);
    let report = check(&folder.path().join("data")).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!((report.runs, report.events), (1, stored + 1));
}

#[tokio::test]
async fn one_writer_that_fails_takes_nobody_of_another_batch_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).unwrap();
    for number in 1..=8 {
        store.create(new_run(run(number, "a"))).await.unwrap();
    }
    // A conflict is an answer to one, whatever else is in its transaction.
    let appends = (1..=8).map(|number| {
        let expected = if number == 5 { 7 } else { 1 };
        append(&store, number, expected, completed("m", "a", &[]))
    });
    let done = join_all(appends).await;
    let failed: Vec<usize> = (1..=8).filter(|n| done[n - 1].is_err()).collect();
    assert_eq!(failed, [5]);
}

#[tokio::test]
async fn runs_that_live_are_claimed_and_counted_until_they_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let claims = async |store: &Sqlite| {
        let claimed = store.claim(None, 10).await.unwrap();
        let claimed = claimed.into_iter().map(|c| (c.run_id, c.claims));
        claimed.collect::<Vec<_>>()
    };
    let store = open(&folder).unwrap();
    for number in 1..=3 {
        store.create(new_run(run(number, "a"))).await.unwrap();
    }
    let end = in_state(&run(2, "a"), RunState::Succeeded);
    append(&store, 2, 1, end).await.unwrap();
    assert_eq!(claims(&store).await, [(run_id(1), 1), (run_id(3), 1)]);
    drop(store);
    let store = open(&folder).unwrap();
    assert_eq!(claims(&store).await, [(run_id(1), 2), (run_id(3), 2)]);
    append(&store, 3, 1, completed("m", "a", &[]))
        .await
        .unwrap();
    assert_eq!(claims(&store).await, [(run_id(1), 3), (run_id(3), 1)]);
    let rest = store.claim(Some(run_id(1)), 10).await.unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!((rest[0].run_id, rest[0].claims), (run_id(3), 2));
    assert_eq!(rest[0].tenant, tenant("acme"));
}

#[tokio::test]
async fn an_export_has_every_event_in_a_stable_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).unwrap();
    for number in [2, 1] {
        store.create(new_run(run(number, "a"))).await.unwrap();
    }
    append(&store, 1, 1, completed("m", "a", &[]))
        .await
        .unwrap();
    drop(store);
    let path = folder.path().join("data");
    let lines = || {
        let mut lines = Vec::new();
        export(&path, &mut lines).unwrap();
        String::from_utf8(lines).unwrap()
    };
    let seen: Vec<(String, u64)> = lines()
        .lines()
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            let run = value["run_id"].as_str().unwrap().to_owned();
            (run, value["sequence"].as_u64().unwrap())
        })
        .collect();
    let of = |number: u128, sequence| (run_id(number).to_string(), sequence);
    assert_eq!(seen, [of(1, 1), of(1, 2), of(2, 1)]);
    assert_eq!(lines(), lines());
    vacuum(&path).unwrap();
    assert_eq!(lines().lines().count(), 3);
}

#[tokio::test]
async fn a_check_finds_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).unwrap();
    for number in 1..=3 {
        store.create(new_run(run(number, "a"))).await.unwrap();
    }
    tamper(&store, |connection| {
        for sql in [
            "DELETE FROM spec WHERE run = 1",
            "UPDATE event SET body = '{' WHERE run = 2",
            "UPDATE run SET finished = 1 WHERE key = 3",
        ] {
            connection.execute(sql, []).unwrap();
        }
    })
    .await;
    drop(store);
    let report = check(&folder.path().join("data")).unwrap();
    let expected = [
        format!("{}: what it runs is missing", run_id(1)),
        format!("{}: event 1 does not read", run_id(2)),
        format!("{}: its first event is missing", run_id(2)),
        format!("{}: its state is not that of its log", run_id(3)),
    ];
    assert_eq!(report.problems, expected);
}

#[test]
fn there_is_nothing_to_check_where_no_store_is() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        check(folder.path()),
        Err(OpenError::Missing { .. })
    ));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

// === the encoding ===

/// Events with everything in them that can be stored.
fn everything() -> Vec<Event> {
    let facts = [
        Fact::RunUpdated(Arc::new(full_run())),
        Fact::MessageCompleted(Arc::new(RunMessage {
            message: Arc::new(full_message()),
            turn: Some(Turn {
                model: ModelRef::parse("ollama:llama3.2:1b").unwrap(),
                finish_reason: FinishReason::ToolCalls,
                provider_finish_reason: "tool_calls".to_owned(),
                usage: usage(),
                provider_metadata: Some(JsonText::parse_object("{\"a\": 1.0}").unwrap()),
            }),
        })),
        Fact::MessageDiscarded {
            message_id: MessageId::of_run(run_id(7), 3),
            error: fault(),
        },
        Fact::ToolCallUpdated(Arc::new(ToolCallUpdate {
            call: Arc::new(tool_call()),
            state: CallState::Pending,
            attempt: 0,
            host_id: None,
            result: None,
            error: None,
            plan: Some(Arc::new(CallPlan {
                binding: 2,
                tool: Some(Arc::new(tool_spec())),
            })),
        })),
        Fact::ToolCallUpdated(Arc::new(ToolCallUpdate {
            call: Arc::new(tool_call()),
            state: CallState::Failed,
            attempt: 3,
            host_id: Some(HostId::parse("host-1").unwrap()),
            result: Some(Arc::new(tool_result())),
            error: Some(fault()),
            plan: None,
        })),
    ];
    (1..)
        .zip(facts)
        .map(|(sequence, fact)| Event {
            sequence,
            run_id: None,
            time: Timestamp::from_millis(1_700_000_000_000 + sequence),
            fact,
        })
        .collect()
}

fn usage() -> Usage {
    Usage {
        input_tokens: 100,
        output_tokens: 10,
        ..Usage::default()
    }
}

fn full_run() -> Run {
    Run {
        state: RunState::Failed,
        error: Some(fault()),
        output: Some(Arc::new(full_message())),
        finish_reason: Some(FinishReason::Stop),
        usage: usage(),
        usage_by_model: [(ModelRef::parse("ollama:llama3.2:1b").unwrap(), usage())].into(),
        turn_count: 2,
        start_time: Some(Timestamp::from_millis(2)),
        end_time: Some(Timestamp::from_millis(3)),
        cancel_reason: "enough".to_owned(),
        trace: Trace::parse(
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "vendor=a",
        )
        .map(Arc::new),
        ..run(7, "ü")
    }
}

fn full_message() -> Message {
    let media = |source| {
        Part::new(Content::Media(Media {
            media_type: "image/png".to_owned(),
            source,
            filename: Some("a.png".to_owned()),
        }))
    };
    let mut reasoning = Part::new(Content::Reasoning("hm".to_owned()));
    reasoning.provider_state = Some(ProviderState::new("test", "state \u{0} of its own"));
    reasoning.cache_breakpoint = true;
    Message {
        id: Some(MessageId::of_run(run_id(7), 2)),
        role: Role::Assistant,
        parts: vec![
            reasoning,
            Part::new(Content::Text("line\nbreak, \"quotes\"".to_owned())),
            media(MediaSource::Inline(bytes::Bytes::from_static(&[
                0, 159, 255,
            ]))),
            media(MediaSource::Uri("https://example.org/a.png".to_owned())),
            Part::new(Content::ToolCall(tool_call())),
            Part::new(Content::ToolResult(tool_result())),
        ],
        name: Some("ada".to_owned()),
    }
}

fn tool_call() -> ToolCall {
    ToolCall {
        id: call_id("call_1"),
        name: "search".to_owned(),
        arguments: "{\"q\": 9007199254740993}".to_owned(),
    }
}

fn tool_result() -> ToolResult {
    ToolResult {
        structured: Some(JsonText::parse("[1, 2.0]").unwrap()),
        ..ToolResult::error(call_id("call_1"), "no")
    }
}

fn tool_spec() -> ToolSpec {
    ToolSpec {
        name: ToolName::parse("search").unwrap(),
        description: "Searches.".to_owned(),
        input_schema: JsonText::parse_object("{ \"type\": \"object\" }").unwrap(),
        output_schema: None,
        version: "3".to_owned(),
        annotations: Annotations {
            read_only: true,
            idempotent: true,
            destructive: false,
        },
        cache_breakpoint: false,
    }
}

fn fault() -> Fault {
    Fault::new(Reason::ProviderRateLimited, "too many")
        .with("provider", "test")
        .retry_after(Duration::from_millis(1_500))
}

#[test]
fn every_event_reads_back_as_it_was() {
    for event in everything() {
        let body = record::encode(&event).unwrap();
        let read: Event = record::decode(record::ENCODING, &body).unwrap();
        assert_eq!(read, event);
    }
    let mut new = new_run(full_run());
    Arc::make_mut(&mut new.spec).input = vec![Arc::new(full_message())];
    let body = record::encode(&*new.spec).unwrap();
    let read: RunSpec = record::decode(record::ENCODING, &body).unwrap();
    assert_eq!(read, *new.spec);
}

#[test]
fn rows_that_were_written_in_encoding_1_are_read_for_ever() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    let golden = fs::read_to_string(path).unwrap();
    let read: Vec<Event> = golden
        .lines()
        .map(|line| record::decode(1, line.as_bytes()).unwrap())
        .collect();
    assert_eq!(read, everything());
}

#[test]
fn a_row_of_a_newer_encoding_is_refused() {
    let newer = record::decode::<Event>(record::ENCODING + 1, b"{}");
    assert!(newer.is_err());
    let unknown = br#"{"sequence":1,"time":1,"fact":{"SomethingNew":{}}}"#;
    assert!(record::decode::<Event>(record::ENCODING, unknown).is_err());
}

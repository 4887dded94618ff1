//! Watching runs.

use std::collections::{BTreeMap, BTreeSet};

use runwire::pb::v1;
use tonic::{Code, transport::Channel};
use v1::{run::State, run_event::Event, run_service_client::RunServiceClient};

use crate::harness::{Server, assert_fails, last_run, outcome, output, spec, start_run, watch_all};

fn labelled(model: &str, value: &str) -> v1::RunSpec {
    let mut spec = spec(model, vec![]);
    spec.labels.insert("client".to_owned(), value.to_owned());
    spec
}

fn all_of(value: &str) -> v1::WatchRunsRequest {
    v1::WatchRunsRequest {
        filter: Some(v1::RunFilter {
            labels: [("client".to_owned(), value.to_owned())].into(),
            ..v1::RunFilter::default()
        }),
        ..v1::WatchRunsRequest::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_any_position_misses_nothing_and_repeats_nothing() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let run = start_run(&mut client, spec("fake:text", vec![])).await;
    let whole = watch_all(&mut client, &run.id, Some(0)).await;
    assert_eq!(output(&last_run(&whole).unwrap()), "hello");
    for position in whole.iter().map(|event| event.sequence) {
        let rest = watch_all(&mut client, &run.id, Some(position)).await;
        let expected: Vec<_> = whole
            .iter()
            .filter(|e| e.sequence > position)
            .cloned()
            .collect();
        // Deltas of a message that is complete are not replayed.
        let durable = |events: &[v1::RunEvent]| -> Vec<v1::RunEvent> {
            events
                .iter()
                .filter(|e| e.event_time.is_some())
                .cloned()
                .collect()
        };
        assert_eq!(durable(&rest), durable(&expected), "after {position}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_without_a_position_begins_with_a_snapshot() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let run = start_run(&mut client, spec("fake:slow", vec![])).await;
    let events = watch_all(&mut client, &run.id, None).await;
    assert!(
        matches!(events[0].event, Some(Event::Snapshot(_))),
        "{:?}",
        events[0]
    );
    assert_eq!(output(&last_run(&events).unwrap()), "abcde");
}

#[tokio::test(start_paused = true)]
async fn a_silent_watch_beats_with_the_newest_sequence() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let run = start_run(&mut client, spec("fake:hang", vec![])).await;
    let request = v1::WatchRunRequest {
        run_id: run.id,
        after_sequence: Some(0),
        ..v1::WatchRunRequest::default()
    };
    let mut stream = client.watch_run(request).await.unwrap().into_inner();
    let mut newest = 0;
    let before = tokio::time::Instant::now();
    loop {
        let batch = stream.message().await.unwrap().unwrap();
        let event = batch.events.last().unwrap();
        if matches!(event.event, Some(Event::Heartbeat(_))) {
            assert_eq!(event.sequence, newest);
            break;
        }
        newest = event.sequence;
    }
    assert_eq!(before.elapsed().as_secs(), 15);
}

#[tokio::test(start_paused = true)]
async fn durable_detail_shows_no_deltas() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let run = start_run(&mut client, spec("fake:slow", vec![])).await;
    let mut request = v1::WatchRunRequest {
        run_id: run.id,
        after_sequence: Some(0),
        ..v1::WatchRunRequest::default()
    };
    request.set_detail(v1::EventDetail::Durable);
    let mut stream = client.watch_run(request).await.unwrap().into_inner();
    while let Some(batch) = stream.message().await.unwrap() {
        for event in batch.events {
            assert!(!matches!(event.event, Some(Event::MessageDelta(_))));
        }
    }
}

/// Follows a feed until this many runs have ended; returns each run's events and the newest cursor.
async fn follow(
    client: &mut RunServiceClient<Channel>,
    request: v1::WatchRunsRequest,
    ends: usize,
) -> (BTreeMap<String, Vec<i64>>, String) {
    let mut feed = client.watch_runs(request).await.unwrap().into_inner();
    let (mut events, mut ended, mut cursor) = (BTreeMap::new(), BTreeSet::new(), String::new());
    while ended.len() < ends {
        let batch = feed.message().await.unwrap().unwrap();
        cursor = batch.cursor;
        if batch.root_run_id.is_empty() {
            continue;
        }
        let seen: &mut Vec<i64> = events.entry(batch.root_run_id.clone()).or_default();
        for event in batch.events {
            if event.event_time.is_some() {
                seen.push(event.sequence);
            }
            if let Some(Event::RunUpdated(run)) = &event.event
                && run.end_time.is_some()
            {
                ended.insert(batch.root_run_id.clone());
            }
        }
    }
    (events, cursor)
}

#[tokio::test(start_paused = true)]
async fn one_watch_follows_a_thousand_runs() {
    const RUNS: usize = 1_000;
    let server = Server::start().await;
    let mut client = server.runs().await;
    let mut watcher = server.runs().await;
    let feed = server
        .tasks
        .spawn(async move { follow(&mut watcher, all_of("me"), RUNS).await });
    tokio::task::yield_now().await;
    let stranger = start_run(&mut client, labelled("fake:text", "you")).await;
    let mut ids = BTreeSet::new();
    for _ in 0..RUNS {
        ids.insert(start_run(&mut client, labelled("fake:slow", "me")).await.id);
    }
    let (events, _cursor) = feed.await.unwrap();
    assert_eq!(events.keys().cloned().collect::<BTreeSet<_>>(), ids);
    assert!(!events.contains_key(&stranger.id));
    assert!(events.values().all(|sequences| sequences.is_sorted()));
}

#[tokio::test(start_paused = true)]
async fn a_cursor_misses_no_run_that_began_and_ended_in_between() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let first = start_run(&mut client, labelled("fake:text", "me")).await;
    outcome(&mut client, &first.id).await;
    let mut request = all_of("me");
    request.include_finished = true;
    let mut feed = client.watch_runs(request).await.unwrap().into_inner();
    let batch = feed.message().await.unwrap().unwrap();
    assert_eq!(batch.root_run_id, first.id);
    drop(feed);

    let second = start_run(&mut client, labelled("fake:text", "me")).await;
    outcome(&mut client, &second.id).await;
    let mut request = all_of("me");
    request.cursor = batch.cursor;
    let (events, _cursor) = follow(&mut client, request, 1).await;
    assert_eq!(events.keys().collect::<Vec<_>>(), [&second.id]);
}

#[tokio::test(start_paused = true)]
async fn a_feed_needs_a_filter_and_a_cursor_of_this_server() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let refused = client.watch_runs(v1::WatchRunsRequest::default()).await;
    assert_fails(refused, Code::InvalidArgument, "INVALID_REQUEST");
    let mut request = all_of("me");
    request.cursor = "made up".to_owned();
    let refused = client.watch_runs(request).await;
    assert_fails(refused, Code::InvalidArgument, "CURSOR_INVALID");
}

#[tokio::test(start_paused = true)]
async fn runs_are_listed_newest_first_in_pages() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.insert(
            0,
            start_run(&mut client, labelled("fake:text", "me")).await.id,
        );
    }
    outcome(&mut client, &ids[0]).await;
    let (mut listed, mut token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListRunsRequest {
            page_size: 3,
            page_token: token,
            ..v1::ListRunsRequest::default()
        };
        let page = client.list_runs(request).await.unwrap().into_inner();
        assert!(page.runs.len() <= 3);
        listed.extend(page.runs.into_iter().map(|run| run.id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, ids);
    let request = v1::ListRunsRequest {
        page_token: "made up".to_owned(),
        ..v1::ListRunsRequest::default()
    };
    let refused = client.list_runs(request).await;
    assert_fails(refused, Code::InvalidArgument, "INVALID_REQUEST");
}

#[tokio::test(start_paused = true)]
async fn a_failed_run_is_data_and_its_watch_ends_well() {
    let server = Server::start().await;
    let mut client = server.runs().await;
    let run = start_run(
        &mut client,
        spec("fake:fault-PROVIDER_CREDENTIALS_MISSING", vec![]),
    )
    .await;
    let run = outcome(&mut client, &run.id).await;
    assert_eq!(run.state(), State::Failed);
    assert_eq!(run.error.unwrap().reason, "PROVIDER_CREDENTIALS_MISSING");
}

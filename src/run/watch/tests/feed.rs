//! Watches of all runs that match.

use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use super::world::*;
use crate::{
    domain::{
        event::CallState,
        fault::Reason,
        run::RunState::{self, Cancelling, Failed, Queued, Running, Succeeded},
    },
    run::{
        port::Store,
        sample::{call_in, completed, tenant},
        watch::{Feed, FeedBatch, WatchMany},
    },
};

fn in_states(request: WatchMany, states: &[RunState]) -> WatchMany {
    let mut request = request;
    request.filter.states = states.to_vec();
    request
}

/// The cursors that a feed has handed out, and where it stands now.
fn places(batches: &[FeedBatch]) -> Vec<(String, usize)> {
    let ends = batches.iter().scan(0, |lines, batch| {
        *lines += batch_words(batch).len();
        Some((batch.cursor.clone(), *lines))
    });
    ends.collect()
}

#[tokio::test(start_paused = true)]
async fn a_feed_begins_with_a_snapshot_of_each_live_run_that_matches() {
    let world = World::new();
    let (one, two, _other) = (
        world.live(1, "a").await,
        world.live(2, "a").await,
        world.live(3, "b").await,
    );
    let finished = world.live(4, "a").await;
    finished.becomes(Succeeded).await;
    one.becomes(Running).await;
    let mut feed = world.feed(of_team("a")).await;
    assert_eq!(feed_now(&mut feed), ["2: =1 Queued", "1: =2 Running"]);
    two.becomes(Running).await;
    assert_eq!(feed_now(&mut feed), ["2: 2 Running"]);
}

#[tokio::test(start_paused = true)]
async fn finished_runs_are_shown_when_asked_for() {
    let world = World::new();
    let _live = world.live(1, "a").await;
    let run = world.live(2, "a").await;
    run.becomes(Failed).await;
    let request = WatchMany {
        include_finished: true,
        ..of_team("a")
    };
    let mut feed = world.feed(request.clone()).await;
    assert_eq!(feed_now(&mut feed), ["2: =2 Failed", "1: =1 Queued"]);
    let mut feed = world.feed(in_states(request, &[Failed])).await;
    assert_eq!(feed_now(&mut feed), ["2: =2 Failed"]);
}

#[tokio::test(start_paused = true)]
async fn the_snapshots_and_what_follows_have_no_gap_and_no_repeat() {
    let world = World::new();
    let (one, two) = (world.live(1, "a").await, world.live(2, "a").await);
    let mut feed = world.feed(of_team("a")).await;
    // Both happen after the watch began: one before its snapshot is taken, one after.
    one.becomes(Running).await;
    let first = feed.next().await.unwrap();
    assert_eq!(batch_words(&first), ["2: =1 Queued"]);
    two.becomes(Running).await;
    assert_eq!(feed_now(&mut feed), ["1: =2 Running", "2: 2 Running"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_begins_after_the_watch_shows_all_its_events() {
    let world = World::new();
    let _old = world.live(1, "a").await;
    let mut feed = world.feed(of_team("a")).await;
    assert_eq!(feed.cursor(), None, "nothing was handed out");
    let new = world.live(2, "a").await;
    new.commit(vec![completed("m1", "hi", &[])]).await;
    let seen = feed_now(&mut feed);
    assert_eq!(seen, ["1: =1 Queued", "2: 1 Queued", "2: 2 m1 \"hi\""]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_before_its_snapshot_is_shown_all_the_same() {
    let world = World::new();
    let (one, _two) = (world.live(1, "a").await, world.live(2, "a").await);
    let mut feed = world.feed(of_team("a")).await;
    one.commit(vec![completed("m1", "hi", &[])]).await;
    one.becomes(Succeeded).await;
    assert_eq!(feed_now(&mut feed), ["2: =1 Queued", "1: =3 Succeeded"]);
}

#[tokio::test(start_paused = true)]
async fn events_come_in_the_order_of_their_commits() {
    let world = World::new();
    let mut feed = world.feed(of_team("a")).await;
    let (one, two) = (world.live(1, "a").await, world.live(2, "a").await);
    one.becomes(Running).await;
    two.becomes(Running).await;
    two.becomes(Succeeded).await;
    one.becomes(Succeeded).await;
    let expected = [
        "1: 1 Queued",
        "2: 1 Queued",
        "1: 2 Running",
        "2: 2 Running",
        "2: 3 Succeeded",
        "1: 3 Succeeded",
    ];
    assert_eq!(feed_now(&mut feed), expected);
}

#[tokio::test(start_paused = true)]
async fn a_feed_goes_on_from_any_cursor_without_gap_and_repeat() {
    let world = World::new();
    let mut feed = world.feed(of_team("a")).await;
    let (one, two, other) = (
        world.live(1, "a").await,
        world.live(2, "a").await,
        world.live(3, "b").await,
    );
    for run in [&one, &other, &two, &one] {
        run.becomes(Running).await;
    }
    two.becomes(Succeeded).await;
    one.commit(vec![
        completed("m1", "hi", &[]),
        call_in("c1", CallState::Pending),
    ])
    .await;
    let brief = world.live(4, "a").await;
    brief.becomes(Succeeded).await;
    drop((brief, two));
    let batches = drain_feed(&mut feed);
    let all: Vec<String> = batches.iter().flat_map(batch_words).collect();
    assert_eq!(all.len(), 10);
    for (cursor, seen) in places(&batches) {
        let mut resumed = world.feed(after(&cursor)).await;
        assert_eq!(feed_now(&mut resumed), all[seen..], "after {cursor}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_cursor_of_a_watch_passes_what_does_not_match() {
    let world = World::new();
    let mut feed = world.feed(of_team("a")).await;
    let begun = feed.cursor().unwrap();
    let _other = world.live(1, "b").await;
    assert_eq!(feed_now(&mut feed), [""; 0]);
    assert_ne!(feed.cursor().unwrap(), begun);
    let newest = world.store.position(&tenant("acme")).await.unwrap();
    assert_eq!(feed.cursor().unwrap(), newest.to_string());
}

#[tokio::test(start_paused = true)]
async fn a_cursor_that_was_never_given_out_is_invalid() {
    let world = World::new();
    let _run = world.live(1, "a").await;
    let newest = world.store.position(&tenant("acme")).await.unwrap();
    for cursor in ["", "soon", "-1", &(newest + 1).to_string()] {
        let fault = world.feed_fault(cursor).await;
        assert_eq!(fault.reason, Reason::CursorInvalid, "{cursor:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_broken_within_its_first_snapshots_goes_on_there() {
    let world = World::new();
    let mut runs = Vec::new();
    for number in 1..=9 {
        runs.push(world.live(number, "a").await);
    }
    let mut feed = world.feed(of_team("a")).await;
    let batches = drain_feed(&mut feed);
    let all: Vec<String> = batches.iter().flat_map(batch_words).collect();
    assert_eq!(all.len(), 9);
    for (cursor, seen) in places(&batches) {
        let mut resumed = world.feed(after(&cursor)).await;
        assert_eq!(feed_now(&mut resumed), all[seen..], "after {cursor}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_lets_a_run_in_and_it_stays() {
    let world = World::new();
    let request = in_states(of_team("a"), &[Running]);
    let mut feed = world.feed(request.clone()).await;
    let run = world.live(1, "a").await;
    assert_eq!(feed_now(&mut feed), [""; 0]);
    run.becomes(Running).await;
    run.commit(vec![completed("m1", "hi", &[])]).await;
    let entered = drain_feed(&mut feed);
    let entered: Vec<String> = entered.iter().flat_map(batch_words).collect();
    assert_eq!(entered, ["1: =3 Running"], "it enters with a snapshot");
    run.becomes(Cancelling).await;
    assert_eq!(feed_now(&mut feed), ["1: 4 Cancelling"]);
    let cursor = feed.cursor().unwrap();
    run.becomes(Failed).await;
    assert_eq!(feed_now(&mut feed), ["1: 5 Failed"]);
    let resumed = WatchMany {
        cursor: Some(cursor),
        ..request
    };
    let mut resumed = world.feed(resumed).await;
    assert_eq!(feed_now(&mut resumed), ["1: 5 Failed"], "it had entered");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_never_has_the_state_never_enters() {
    let world = World::new();
    let request = in_states(of_team("a"), &[Failed]);
    let mut feed = world.feed(request.clone()).await;
    let begun = feed.cursor().unwrap();
    let run = world.live(1, "a").await;
    run.becomes(Running).await;
    run.becomes(Succeeded).await;
    assert_eq!(feed_now(&mut feed), [""; 0]);
    let resumed = WatchMany {
        cursor: Some(begun),
        ..request
    };
    let mut resumed = world.feed(resumed).await;
    assert_eq!(feed_now(&mut resumed), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_terminal_state_lets_a_run_in_for_its_last_word() {
    let world = World::new();
    let mut feed = world.feed(in_states(of_team("a"), &[Failed])).await;
    let run = world.live(1, "a").await;
    run.becomes(Running).await;
    run.becomes(Failed).await;
    assert_eq!(feed_now(&mut feed), ["1: =3 Failed"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_of_another_tenant_is_seen() {
    let world = World::new();
    let any = WatchMany {
        filter: crate::run::port::RunFilter::default(),
        ..in_full(of_team("a"))
    };
    let mut feed = world
        .watches
        .watch_many(&tenant("other"), any)
        .await
        .unwrap();
    let run = world.live(1, "a").await;
    run.says("m1", 0, "Hel");
    run.becomes(Running).await;
    assert_eq!(feed_now(&mut feed), [""; 0]);
    assert!(!run.log.has_full_watchers());
}

#[tokio::test(start_paused = true)]
async fn in_full_detail_deltas_stand_between_the_events_of_their_run() {
    let world = World::new();
    let mut feed = world.feed(in_full(of_team("a"))).await;
    let (one, two) = (world.live(1, "a").await, world.live(2, "a").await);
    one.says("m1", 0, "Hel");
    two.says("m2", 0, "Hu");
    one.commit(vec![call_in("c1", CallState::Running)]).await;
    one.says("m1", 0, "lo");
    one.reports("c1", 0.5);
    let expected = [
        "1: 1 Queued",
        "2: 1 Queued",
        "1: ~2 m1 0\"Hel\"",
        "1: 3 c1 Running",
    ];
    let seen = feed_now(&mut feed);
    assert_eq!(seen[..4], expected);
    let mut rest = seen[4..].to_vec();
    rest.sort();
    assert_eq!(
        rest,
        ["1: ~4 m1 0\"lo\"", "1: ~5 c1 0.5", "2: ~2 m2 0\"Hu\""]
    );
    one.says("m1", 0, "!");
    assert_eq!(feed_now(&mut feed), ["1: ~6 m1 0\"!\""]);
}

#[tokio::test(start_paused = true)]
async fn a_held_back_report_is_shown_when_its_time_comes() {
    let world = World::new();
    let run = world.live(1, "a").await;
    run.commit(vec![call_in("c1", CallState::Running)]).await;
    let mut feed = world.feed(in_full(of_team("a"))).await;
    assert_eq!(feed_now(&mut feed), ["1: =2 Queued c1"]);
    run.reports("c1", 0.1);
    assert_eq!(feed_now(&mut feed), ["1: ~3 c1 0.1"]);
    run.reports("c1", 0.2);
    run.reports("c1", 0.3);
    let begun = Instant::now();
    let batch = feed.next().await.unwrap();
    assert_eq!(batch_words(&batch), ["1: ~4 c1 0.3"]);
    assert_eq!(begun.elapsed(), Duration::from_millis(200));
}

#[tokio::test(start_paused = true)]
async fn going_on_in_full_detail_begins_a_half_read_message_anew() {
    let world = World::new();
    let run = world.live(1, "a").await;
    let idle = world.live(2, "a").await;
    let mut feed = world.feed(in_full(of_team("a"))).await;
    run.says("m1", 0, "Hel");
    let first = feed_now(&mut feed);
    assert_eq!(first, ["2: =1 Queued", "1: =2 Queued m1 0\"Hel\""]);
    let cursor = feed.cursor().unwrap();
    drop(feed);
    run.commit(vec![call_in("c1", CallState::Pending)]).await;
    run.says("m1", 0, "lo");
    let mut resumed = world.feed(in_full(after(&cursor))).await;
    run.says("m1", 0, "!");
    let seen = feed_now(&mut resumed);
    assert_eq!(seen, ["1: 3 c1 Pending", "1: =4 Queued m1 0\"Hello!\" c1"]);
    run.says("m1", 0, "!");
    idle.says("m2", 0, "Hu");
    let mut seen = feed_now(&mut resumed);
    seen.sort();
    assert_eq!(seen, ["1: ~5 m1 0\"!\"", "2: ~2 m2 0\"Hu\""]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_comes_while_a_feed_waits_wakes_it() {
    let world = World::new();
    let run = world.live(1, "a").await;
    for request in [of_team("a"), in_full(of_team("a"))] {
        let mut feed = world.feed(request).await;
        feed_now(&mut feed);
        let writer = async {
            tokio::task::yield_now().await;
            run.becomes(Running).await;
        };
        let (batch, ()) = tokio::join!(feed.next(), writer);
        assert_eq!(batch.unwrap().seen.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_delta_that_comes_while_a_feed_waits_wakes_it() {
    let world = World::new();
    let run = world.live(1, "a").await;
    let mut feed = world.feed(in_full(of_team("a"))).await;
    feed_now(&mut feed);
    let writer = async {
        tokio::task::yield_now().await;
        run.says("m1", 0, "Hel");
    };
    let (batch, ()) = tokio::join!(feed.next(), writer);
    assert_eq!(batch_words(&batch.unwrap()), ["1: ~2 m1 0\"Hel\""]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_feed_asks_nobody_anything() {
    let world = World::new();
    let mut runs = Vec::new();
    for number in 1..=100 {
        runs.push(world.live(number, "a").await);
    }
    let mut feed = world.feed(in_full(of_team("a"))).await;
    feed_now(&mut feed);
    let before = world.feeds_read();
    let waited = tokio::time::timeout(Duration::from_secs(3_600), feed.next()).await;
    assert!(waited.is_err());
    assert!(
        world.feeds_read() <= before + 1,
        "{} readings",
        world.feeds_read() - before
    );
}

#[tokio::test(start_paused = true)]
async fn runs_that_ended_are_forgotten() {
    let world = World::new();
    for number in 1..=20 {
        world.live(number, "b").await.becomes(Succeeded).await;
    }
    let request = WatchMany {
        include_finished: true,
        ..in_full(of_team("a"))
    };
    let mut feed = world.feed(request).await;
    for number in 21..=40 {
        let team = if number % 2 == 0 { "a" } else { "b" };
        let run = world.live(number, team).await;
        run.says("m1", 0, "Hel");
        run.becomes(Succeeded).await;
    }
    assert!(!feed_now(&mut feed).is_empty());
    assert_eq!(feed.tracked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_is_dropped_loses_nothing() {
    let world = World::new();
    let mut feed: Feed = world.feed(of_team("a")).await;
    let run = world.live(1, "a").await;
    for _ in 0..3 {
        run.becomes(Running).await;
    }
    run.becomes(Queued).await;
    let mut seen = Vec::new();
    for _ in 0..20 {
        // Every reading but those that are ready at once is dropped.
        if let Some(batch) = feed.next().now_or_never() {
            seen.extend(batch_words(&batch.unwrap()));
        }
    }
    assert_eq!(seen.len(), 5);
}

//! Watches of one run.

use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use super::world::*;
use crate::{
    domain::{
        event::CallState,
        fault::{Fault, Reason},
        run::RunState::{Cancelled, Running, Succeeded},
    },
    run::{
        sample::{call_in, completed, discarded, run_id, tenant},
        watch::{
            Detail::{Durable, Full},
            From::{After, Snapshot},
            Seen, weight,
        },
    },
};

#[tokio::test(start_paused = true)]
async fn a_watch_from_the_beginning_shows_every_event_and_ends_with_the_last() {
    let world = World::new();
    let run = world.live(1, "a").await;
    let mut watch = world.watch(1, After(0), Full).await;
    assert_eq!(now(&mut watch), ["1 Queued"]);
    run.becomes(Running).await;
    run.commit(vec![
        completed("m1", "hi", &["c1"]),
        call_in("c1", CallState::Pending),
    ])
    .await;
    assert_eq!(
        now(&mut watch),
        ["2 Running", "3 m1 \"hi\"", "4 c1 Pending"]
    );
    run.becomes(Succeeded).await;
    let (seen, ended) = drain(&mut watch);
    assert_eq!(words(&seen), ["5 Succeeded"]);
    assert!(ended);
    assert!(watch.next().await.is_none(), "and stays ended");
}

#[tokio::test(start_paused = true)]
async fn a_finished_run_is_replayed_from_the_store() {
    let world = World::new();
    let run = world.live(1, "a").await;
    run.commit(vec![completed("m1", "hi", &[])]).await;
    run.becomes(Succeeded).await;
    drop(run);
    assert!(world.watches.live(&tenant("acme"), run_id(1)).is_none());
    let all = ["1 Queued", "2 m1 \"hi\"", "3 Succeeded"];
    for after in 0..=3 {
        let mut watch = world.watch(1, After(after), Full).await;
        let (seen, ended) = drain(&mut watch);
        assert_eq!(words(&seen), all[after as usize..]);
        assert!(ended);
    }
    let mut watch = world.watch(1, Snapshot, Full).await;
    let (seen, ended) = drain(&mut watch);
    assert_eq!(words(&seen), ["=3 Succeeded"]);
    assert!(ended);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_run_and_a_run_of_another_tenant_are_not_found() {
    let world = World::new();
    let _run = world.live(1, "a").await;
    for (tenant, number) in [(tenant("acme"), 2), (tenant("other"), 1)] {
        let watch = world.watches.watch(&tenant, run_id(number), Snapshot, Full);
        assert_eq!(watch.await.unwrap_err().reason, Reason::RunNotFound);
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_and_what_follows_have_no_gap() {
    let world = World::new();
    let run = world.live(1, "a").await;
    run.becomes(Running).await;
    run.commit(vec![
        completed("m1", "hi", &["c1", "c2"]),
        call_in("c1", CallState::Pending),
        call_in("c2", CallState::Pending),
        call_in("c1", CallState::Succeeded),
    ])
    .await;
    run.says("m2", 0, "Hel");
    let mut watch = world.watch(1, Snapshot, Full).await;
    run.says("m2", 0, "lo");
    assert_eq!(now(&mut watch), ["=7 Running m2 0\"Hello\" c2"]);
    run.says("m2", 0, "!");
    assert_eq!(now(&mut watch), ["~8 m2 0\"!\""]);
    assert_eq!(watch.sequence(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_comes_late_gets_what_it_lacks_in_one_delta_per_part() {
    let world = World::new();
    let run = world.live(1, "a").await;
    let mut early = world.watch(1, After(1), Full).await;
    for (part, text) in [(0, "a"), (0, "b"), (1, "x"), (1, "y")] {
        run.says("m1", part, text);
        assert_eq!(now(&mut early).len(), 1, "{text}");
    }
    let mut late = world.watch(1, After(1), Full).await;
    assert_eq!(now(&mut late), ["~5 m1 0\"ab\" 1\"xy\""]);
    let mut later = world.watch(1, After(3), Full).await;
    assert_eq!(now(&mut later), ["~5 m1 1\"xy\""]);
}

#[tokio::test(start_paused = true)]
async fn a_completed_message_takes_the_place_of_its_deltas() {
    let world = World::new();
    let run = world.live(1, "a").await;
    run.says("m1", 0, "Hel");
    run.commit(vec![completed("m1", "Hello", &[])]).await;
    let mut watch = world.watch(1, After(1), Full).await;
    assert_eq!(now(&mut watch), ["3 m1 \"Hello\""]);
}

#[tokio::test(start_paused = true)]
async fn a_discarded_message_is_withdrawn_and_another_begins() {
    let world = World::new();
    let run = world.live(1, "a").await;
    let mut watch = world.watch(1, After(1), Full).await;
    run.says("m1", 0, "Hel");
    assert_eq!(now(&mut watch), ["~2 m1 0\"Hel\""]);
    run.commit(vec![discarded("m1")]).await;
    run.says("m2", 0, "Hu");
    assert_eq!(now(&mut watch), ["3 m1 discarded", "~4 m2 0\"Hu\""]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_loses_no_event_and_stalls_nobody() {
    let world = World::new();
    let run = world.live(1, "a").await;
    let mut slow = world.watch(1, After(0), Full).await;
    let mut fast = world.watch(1, After(0), Full).await;
    let mut seen_fast = now(&mut fast);
    for number in 2..=1_000 {
        run.commit(vec![completed(&format!("m{number}"), "", &[])])
            .await;
        seen_fast.extend(now(&mut fast));
    }
    assert_eq!(seen_fast.len(), 1_000);
    assert_eq!(now(&mut slow), seen_fast);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_lags_gets_deltas_and_events_in_their_order() {
    let world = World::new();
    let run = world.live(1, "a").await;
    run.says("m1", 0, "a");
    run.commit(vec![call_in("c1", CallState::Pending)]).await;
    run.says("m1", 0, "b");
    for _ in 0..100 {
        run.commit(vec![call_in("c1", CallState::Running)]).await;
    }
    run.says("m1", 0, "c");
    let mut watch = world.watch(1, After(1), Full).await;
    let seen = now(&mut watch);
    assert_eq!(seen[..3], ["~2 m1 0\"a\"", "3 c1 Pending", "~4 m1 0\"b\""]);
    assert_eq!(seen.last().unwrap(), "~105 m1 0\"c\"");
    assert_eq!(seen.len(), 2 + 101 + 1);
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_durable_events_shows_nothing_else() {
    let world = World::new();
    let run = world.live(1, "a").await;
    let mut watch = world.watch(1, After(0), Durable).await;
    run.says("m1", 0, "Hel");
    run.commit(vec![completed("m1", "Hello", &[])]).await;
    assert_eq!(now(&mut watch), ["1 Queued", "3 m1 \"Hello\""]);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_the_log_has_not_come_to_means_another_log() {
    let world = World::new();
    let run = world.live(1, "a").await;
    run.becomes(Running).await;
    let mut watch = world.watch(1, After(3), Full).await;
    assert_eq!(now(&mut watch), ["=2 Running"]);
    let mut at_the_end = world.watch(1, After(2), Full).await;
    assert_eq!(now(&mut at_the_end), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn batches_are_bounded_by_size() {
    let world = World::new();
    let run = world.live(1, "a").await;
    let text = "x".repeat(100_000);
    for number in 0..10 {
        run.commit(vec![completed(&format!("m{number}"), &text, &[])])
            .await;
    }
    run.commit(vec![completed("m10", &"x".repeat(500_000), &[])])
        .await;
    for live in [true, false] {
        let mut watch = world.watch(1, After(1), Full).await;
        let mut sizes = Vec::new();
        while let Some(batch) = watch.next().now_or_never() {
            let batch = batch.unwrap().unwrap();
            let weight = batch.iter().map(|seen| {
                let Seen::Event(event) = seen else {
                    panic!("{seen:?}")
                };
                weight::of_event(event)
            });
            let weight: usize = weight.sum();
            assert!(batch.len() == 1 || weight <= 256 * 1024, "{weight} bytes");
            sizes.push(batch.len());
        }
        assert_eq!(sizes, [2, 2, 2, 2, 2, 1], "live: {live}");
        if live {
            // The second round reads the same from the store.
            let log = world.watches.live(&tenant("acme"), run_id(1)).unwrap();
            world
                .watches
                .of_tenant(&tenant("acme"))
                .leave(run_id(1), &raw const *log);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn progress_is_shown_five_times_a_second_and_the_latest_in_the_end() {
    let world = World::new();
    let run = world.live(1, "a").await;
    run.commit(vec![call_in("c1", CallState::Running)]).await;
    let mut watch = world.watch(1, After(2), Full).await;
    run.reports("c1", 0.1);
    assert_eq!(now(&mut watch), ["~3 c1 0.1"]);
    let begun = Instant::now();
    run.reports("c1", 0.2);
    run.reports("c1", 0.3);
    assert_eq!(now(&mut watch), [""; 0]);
    let batch = watch.next().await.unwrap().unwrap();
    assert_eq!(words(&batch), ["~4 c1 0.3"]);
    assert_eq!(begun.elapsed(), Duration::from_millis(200));
    assert_eq!(now(&mut watch), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn progress_ends_with_its_call() {
    let world = World::new();
    let run = world.live(1, "a").await;
    run.commit(vec![call_in("c1", CallState::Running)]).await;
    run.reports("c1", 0.1);
    run.commit(vec![call_in("c1", CallState::Succeeded)]).await;
    run.reports("c1", 0.9);
    let mut watch = world.watch(1, After(2), Full).await;
    assert_eq!(now(&mut watch), ["3 c1 Succeeded"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_stored_is_not_shown() {
    let world = World::new();
    let run = world.live(1, "a").await;
    let mut watch = world.watch(1, After(1), Full).await;
    world.fail_appends(true);
    let fault = run.try_commit(vec![completed("m1", "hi", &[])]).await;
    assert_eq!(fault.unwrap_err().reason, Reason::StoreUnavailable);
    assert_eq!(now(&mut watch), [""; 0]);
    assert_eq!(run.log.run().last_sequence, 1);
    world.fail_appends(false);
    run.becomes(Running).await;
    assert_eq!(now(&mut watch), ["3 Running"], "with a gap");
    assert_eq!(run.log.run().last_sequence, 3);
}

#[tokio::test(start_paused = true)]
async fn what_comes_during_a_commit_is_shown_after_it() {
    let world = World::holding();
    let run = world.live(1, "a").await;
    let mut watch = world.watch(1, After(1), Full).await;
    let facts = vec![call_in("c1", CallState::Pending)];
    let mut commit = Box::pin(run.try_commit(facts));
    assert!(commit.as_mut().now_or_never().is_none());
    run.says("m1", 0, "Hel");
    assert_eq!(now(&mut watch), [""; 0]);
    world.let_through(1);
    commit.await.unwrap();
    assert_eq!(now(&mut watch), ["2 c1 Pending", "~3 m1 0\"Hel\""]);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_is_dropped_half_way_leaves_the_log_readable() {
    let world = World::holding();
    let run = world.live(1, "a").await;
    let mut watch = world.watch(1, After(1), Full).await;
    let commit = run.try_commit(vec![call_in("c1", CallState::Pending)]);
    assert!(commit.now_or_never().is_none());
    run.says("m1", 0, "Hel");
    assert_eq!(now(&mut watch), ["~3 m1 0\"Hel\""]);
}

#[tokio::test(start_paused = true)]
async fn a_second_writer_is_refused() {
    let world = World::new();
    let run = world.live(1, "a").await;
    let stale = world.go_live(run.log.run());
    run.becomes(Running).await;
    let facts = vec![stale.in_state(Cancelled)];
    let fault = stale.try_commit(facts).await.unwrap_err();
    assert_eq!(fault.reason, Reason::Internal);
    let mut watch = world.watch(1, After(1), Full).await;
    assert_eq!(
        now(&mut watch),
        [""; 0],
        "the newer log is the one that is watched"
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_may_come_before_the_run_is_live() {
    let world = World::new();
    let created = world.created(1, "a").await;
    let mut watch = world.watch(1, Snapshot, Full).await;
    assert_eq!(now(&mut watch), ["=1 Queued"]);
    let mut next = Box::pin(watch.next());
    assert!(next.as_mut().now_or_never().is_none());
    let run = world.go_live(created);
    run.says("m1", 0, "Hel");
    let batch = next.await.unwrap().unwrap();
    assert_eq!(words(&batch), ["~2 m1 0\"Hel\""]);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_comes_while_a_reader_waits_wakes_it() {
    let world = World::new();
    let run = world.live(1, "a").await;
    let mut watch = world.watch(1, After(1), Durable).await;
    let reader = async {
        let mut seen = Vec::new();
        while let Some(batch) = watch.next().await {
            seen.extend(words(&batch.unwrap()));
        }
        seen
    };
    let writer = async {
        tokio::task::yield_now().await;
        run.becomes(Running).await;
        tokio::task::yield_now().await;
        run.becomes(Succeeded).await;
    };
    let (seen, ()) = tokio::join!(reader, writer);
    assert_eq!(seen, ["2 Running", "3 Succeeded"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_knows_whether_anybody_wants_its_deltas() {
    let world = World::new();
    let run = world.live(1, "a").await;
    let durable = world.watch(1, Snapshot, Durable).await;
    assert!(!run.log.has_full_watchers());
    let full = world.watch(1, Snapshot, Full).await;
    assert!(run.log.has_full_watchers());
    drop((durable, full));
    assert!(!run.log.has_full_watchers());
    let others = world.feed(in_full(of_team("b"))).await;
    let stored_only = world.feed(of_team("a")).await;
    assert!(!run.log.has_full_watchers());
    let feed = world.feed(in_full(of_team("a"))).await;
    assert!(run.log.has_full_watchers());
    let begun_later = world.live(2, "a").await;
    assert!(begun_later.log.has_full_watchers());
    drop((others, stored_only, feed));
    assert!(!run.log.has_full_watchers());
    assert!(!begun_later.log.has_full_watchers());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_takes_its_unfinished_message_with_it() {
    let world = World::new();
    let run = world.live(1, "a").await;
    run.says("m1", 0, "Hel");
    run.becomes(Cancelled).await;
    let mut watch = world.watch(1, After(1), Full).await;
    let (seen, ended) = drain(&mut watch);
    assert_eq!(words(&seen), ["3 Cancelled"]);
    assert!(ended);
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_a_run_whose_store_is_lost_ends_with_the_fault() {
    let world = World::new();
    let run = world.live(1, "a").await;
    let mut waiting = world.watch(1, After(0), Durable).await;
    assert_eq!(waiting.next().await.unwrap().unwrap().len(), 1);
    let (seen, ()) = tokio::join!(waiting.next(), async {
        tokio::task::yield_now().await;
        run.log.lose(Fault::new(Reason::StoreUnavailable, "gone"));
    });
    assert_eq!(seen.unwrap().unwrap_err().reason, Reason::StoreUnavailable);
    assert!(waiting.next().await.is_none());
    // One that comes later first shows what there is.
    let mut late = world.watch(1, After(0), Full).await;
    assert_eq!(late.next().await.unwrap().unwrap().len(), 1);
    let end = late.next().await.unwrap();
    assert_eq!(end.unwrap_err().reason, Reason::StoreUnavailable);
}

//! The store's promises, one by one, kept by every store that there is.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::{memory, sqlite};
use crate::{
    domain::{
        event::{Event, Fact},
        id::RunId,
        run::RunState,
        time::Timestamp,
    },
    run::{
        port::{Creation, FeedEntry, NewRun, RunFilter, Store, StoreError, StoreFuture},
        sample::{
            HandClock, call_id, completed, in_state, new_run, requested, run, run_id, tenant,
        },
    },
};

const HOUR: Duration = Duration::from_secs(3_600);

/// The stores that there are.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Memory,
    Sqlite,
}

/// What a store keeps.
#[derive(Clone, Copy)]
struct Limits {
    max_finished_runs: usize,
    max_finished_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_finished_runs: 100_000,
            max_finished_bytes: 512 * 1024 * 1024,
        }
    }
}

struct Bench {
    store: Arc<dyn Store>,
    clock: Arc<HandClock>,
    _folder: TempDir,
}

/// Waits for an answer.
fn now<T>(future: StoreFuture<'_, T>) -> Result<T, StoreError> {
    thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread().build().unwrap();
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

impl Bench {
    fn new(kind: Kind, limits: Limits) -> Self {
        let clock = HandClock::at(0);
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = match kind {
            Kind::Memory => {
                let settings = memory::Settings {
                    max_finished_runs: limits.max_finished_runs,
                    max_finished_bytes: limits.max_finished_bytes,
                    retention: 24 * HOUR,
                };
                Arc::new(memory::Memory::new(settings, Arc::clone(&clock) as _))
            }
            Kind::Sqlite => {
                let settings = sqlite::Settings {
                    max_finished_runs: limits.max_finished_runs,
                    max_finished_bytes: limits.max_finished_bytes,
                    retention: 24 * HOUR,
                    ..sqlite::Settings::default()
                };
                let clock = Arc::clone(&clock) as _;
                Arc::new(sqlite::Sqlite::open(folder.path(), settings, clock).unwrap())
            }
        };
        Self {
            store,
            clock,
            _folder: folder,
        }
    }

    fn create(&self, new: NewRun) -> Result<Creation, StoreError> {
        now(self.store.create(new))
    }

    /// A new run of team `a`.
    fn run(&self, number: u128) -> RunId {
        let created = self.create(new_run(run(number, "a")));
        assert!(matches!(created, Ok(Creation::Created(_))), "{created:?}");
        run_id(number)
    }

    /// So many new runs, all at once.
    fn many_runs(&self, count: u128) {
        let created = (1..=count).map(|number| self.store.create(new_run(run(number, "a"))));
        now(Box::pin(async {
            let created = join_all(created).await;
            assert!(created.iter().all(Result::is_ok));
            Ok(())
        }))
        .unwrap();
    }

    fn append(&self, number: u128, expected: u64, facts: Vec<Fact>) -> Result<(), StoreError> {
        let events = facts.into_iter().zip(expected + 1..);
        let events = events.map(|(fact, sequence)| {
            Arc::new(Event {
                sequence,
                run_id: None,
                time: Timestamp::from_millis(sequence),
                fact,
            })
        });
        let events = events.collect();
        now(self
            .store
            .append(&tenant("acme"), run_id(number), expected, events))
    }

    /// A run that begins, says something with one call, and ends.
    fn whole_run(&self, number: u128) {
        self.run(number);
        let call = format!("call_{number}");
        self.append(number, 1, vec![completed("m", "hello", &[&call])])
            .unwrap();
        self.finish(number, 2);
    }

    fn finish(&self, number: u128, expected: u64) {
        let (run, _) = now(self.store.run(&tenant("acme"), run_id(number))).unwrap();
        let end = in_state(&run, RunState::Succeeded);
        self.append(number, expected, vec![end]).unwrap();
    }

    fn read(&self, number: u128, after: u64, limit: usize) -> Result<Vec<u64>, StoreError> {
        let events = now(self
            .store
            .read(&tenant("acme"), run_id(number), after, limit))?;
        Ok(events.iter().map(|event| event.sequence).collect())
    }

    fn list(&self, filter: &RunFilter, before: Option<u128>, limit: usize) -> Vec<RunId> {
        let before = before.map(run_id);
        let runs = now(self.store.list(&tenant("acme"), filter, before, limit)).unwrap();
        runs.iter().map(|run| run.id).collect()
    }

    fn feed(&self, after: u64, limit: usize) -> Vec<FeedEntry> {
        now(self.store.feed(&tenant("acme"), after, limit)).unwrap()
    }

    fn exists(&self, number: u128) -> bool {
        now(self.store.run(&tenant("acme"), run_id(number))).is_ok()
    }
}

fn few(max_finished_runs: usize) -> Limits {
    Limits {
        max_finished_runs,
        ..Limits::default()
    }
}

/// Each promise is a test of each store.
macro_rules! promises {
    ($($name:ident,)+) => {
        mod of_memory {
            $(#[test] fn $name() { super::$name(super::Kind::Memory); })+
        }
        mod of_sqlite {
            $(#[test] fn $name() { super::$name(super::Kind::Sqlite); })+
        }
    };
}

mod threads;

promises! {
    the_same_request_returns_the_run_that_it_created,
    a_request_id_names_one_request,
    a_request_id_is_remembered_for_a_day,
    a_run_begins_with_its_first_state,
    an_append_that_expects_another_end_changes_nothing,
    a_log_is_read_from_any_place,
    a_run_shows_its_newest_state_and_event,
    runs_are_listed_newest_first_page_by_page,
    a_list_is_filtered_by_labels_and_state,
    nothing_is_found_across_tenants,
    a_call_finds_its_run,
    the_feed_keeps_the_order_of_commits_under_concurrency,
    the_feed_is_read_from_any_position,
    of_too_many_finished_runs_the_first_to_end_is_dropped_with_all_that_is_its,
    a_finished_run_is_kept_for_its_time_and_a_live_one_for_ever,
    finished_runs_are_bounded_by_size_but_the_last_one_stays,
    many_runs_leave_nothing_behind,
}

fn the_same_request_returns_the_run_that_it_created(kind: Kind) {
    let bench = Bench::new(kind, Limits::default());
    bench.create(requested(run(1, "a"), "req", 7)).unwrap();
    bench
        .append(1, 1, vec![in_state(&run(1, "a"), RunState::Running)])
        .unwrap();
    let again = bench.create(requested(run(2, "a"), "req", 7)).unwrap();
    let Creation::Existing(existing) = again else {
        panic!("{again:?}")
    };
    assert_eq!(existing.id, run_id(1));
    assert_eq!(
        (existing.state, existing.last_sequence),
        (RunState::Running, 2)
    );
    assert!(!bench.exists(2));
}

fn a_request_id_names_one_request(kind: Kind) {
    let bench = Bench::new(kind, Limits::default());
    bench.create(requested(run(1, "a"), "req", 7)).unwrap();
    let other = bench.create(requested(run(2, "a"), "req", 8));
    assert_eq!(other.unwrap_err(), StoreError::RequestIdReused);
    assert!(!bench.exists(2));
}

fn a_request_id_is_remembered_for_a_day(kind: Kind) {
    let bench = Bench::new(kind, Limits::default());
    bench.create(requested(run(1, "a"), "req", 7)).unwrap();
    bench.clock.advance(24 * HOUR - Duration::from_millis(1));
    let again = bench.create(requested(run(2, "a"), "req", 7)).unwrap();
    assert!(matches!(again, Creation::Existing(_)));
    bench.clock.advance(Duration::from_millis(1));
    let anew = bench.create(requested(run(3, "a"), "req", 8)).unwrap();
    assert!(matches!(anew, Creation::Created(_)));
}

fn a_run_begins_with_its_first_state(kind: Kind) {
    let bench = Bench::new(kind, Limits::default());
    bench.run(1);
    let events = now(bench.store.read(&tenant("acme"), run_id(1), 0, 10)).unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].sequence, 1);
    assert_eq!(events[0].fact, in_state(&run(1, "a"), RunState::Queued));
    assert_eq!(bench.feed(0, 10)[0].event, events[0]);
}

fn an_append_that_expects_another_end_changes_nothing(kind: Kind) {
    let bench = Bench::new(kind, Limits::default());
    bench.run(1);
    let facts = || vec![completed("m1", "a", &["call_1"]), completed("m2", "b", &[])];
    let early = bench.append(1, 0, facts());
    let conflict = |expected| StoreError::Conflict { expected, found: 1 };
    assert_eq!(early.unwrap_err(), conflict(0));
    assert_eq!(bench.append(1, 2, facts()).unwrap_err(), conflict(2));
    assert_eq!(bench.read(1, 0, 10).unwrap(), [1]);
    assert_eq!(bench.feed(0, 10).len(), 1);
    let call = now(bench.store.run_of_call(&tenant("acme"), &call_id("call_1")));
    assert_eq!(call.unwrap(), None);
    assert!(bench.append(1, 1, facts()).is_ok());
}

fn a_log_is_read_from_any_place(kind: Kind) {
    let bench = Bench::new(kind, Limits::default());
    bench.run(1);
    bench.append(1, 1, vec![completed("m1", "a", &[])]).unwrap();
    bench.append(1, 2, vec![completed("m2", "b", &[])]).unwrap();
    for (after, limit, expected) in [
        (0, 10, vec![1, 2, 3]),
        (0, 2, vec![1, 2]),
        (1, 10, vec![2, 3]),
        (3, 10, vec![]),
        (99, 10, vec![]),
    ] {
        assert_eq!(
            bench.read(1, after, limit).unwrap(),
            expected,
            "after {after}"
        );
    }
}

fn a_run_shows_its_newest_state_and_event(kind: Kind) {
    let bench = Bench::new(kind, Limits::default());
    bench.run(1);
    bench
        .append(1, 1, vec![in_state(&run(1, "a"), RunState::Running)])
        .unwrap();
    bench.append(1, 2, vec![completed("m", "a", &[])]).unwrap();
    let (newest, spec) = now(bench.store.run(&tenant("acme"), run_id(1))).unwrap();
    assert_eq!((newest.state, newest.last_sequence), (RunState::Running, 3));
    assert_eq!(spec.agent.name, "tester");
}

fn runs_are_listed_newest_first_page_by_page(kind: Kind) {
    let bench = Bench::new(kind, Limits::default());
    bench.many_runs(600);
    let all = RunFilter::default();
    let newest: Vec<RunId> = [600, 599, 598].map(run_id).into();
    assert_eq!(bench.list(&all, None, 3), newest);
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let runs = now(bench.store.list(&tenant("acme"), &all, before, 250)).unwrap();
        let Some(last) = runs.last() else { break };
        before = Some(last.id);
        seen.extend(runs.iter().map(|run| run.id));
    }
    let expected: Vec<RunId> = (1..=600).rev().map(run_id).collect();
    assert_eq!(seen, expected);
}

fn a_list_is_filtered_by_labels_and_state(kind: Kind) {
    let bench = Bench::new(kind, Limits::default());
    bench.run(1);
    bench.create(new_run(run(2, "b"))).unwrap();
    bench.run(3);
    bench.finish(3, 1);
    let of = |states: &[RunState]| RunFilter {
        states: states.to_vec(),
        labels: run(1, "a").labels,
        ..RunFilter::default()
    };
    assert_eq!(bench.list(&of(&[]), None, 10), [run_id(3), run_id(1)]);
    assert_eq!(bench.list(&of(&[RunState::Queued]), None, 10), [run_id(1)]);
    assert_eq!(bench.list(&of(&[RunState::Failed]), None, 10), []);
}

fn nothing_is_found_across_tenants(kind: Kind) {
    let bench = Bench::new(kind, Limits::default());
    bench.create(requested(run(1, "a"), "req", 7)).unwrap();
    bench
        .append(1, 1, vec![completed("m", "a", &["call_1"])])
        .unwrap();
    let other = tenant("other");
    let store = &bench.store;
    let missing = StoreError::NotFound;
    let all = RunFilter::default();
    // Once before the other tenant has stored anything, once after.
    for _ in 0..2 {
        assert_eq!(now(store.run(&other, run_id(1))).unwrap_err(), missing);
        let read = now(store.read(&other, run_id(1), 0, 10));
        assert_eq!(read.unwrap_err(), missing);
        let append = now(store.append(&other, run_id(1), 2, Vec::new()));
        assert_eq!(append.unwrap_err(), missing);
        let listed = now(store.list(&other, &all, None, 10)).unwrap();
        assert!(listed.iter().all(|run| run.id != run_id(1)));
        let feed = now(store.feed(&other, 0, 10)).unwrap();
        assert!(feed.iter().all(|entry| entry.run_id != run_id(1)));
        let call = now(store.run_of_call(&other, &call_id("call_1")));
        assert_eq!(call.unwrap(), None);
        let mut theirs = run(2, "a");
        theirs.tenant = other.clone();
        let created = bench.create(requested(theirs, "req", 7)).unwrap();
        let id = match created {
            Creation::Created(_) => run_id(2),
            Creation::Existing(existing) => existing.id,
        };
        assert_eq!(id, run_id(2));
    }
}

fn a_call_finds_its_run(kind: Kind) {
    let bench = Bench::new(kind, Limits::default());
    bench.run(1);
    bench
        .append(1, 1, vec![completed("m", "a", &["c1", "c2"])])
        .unwrap();
    for (call, expected) in [
        ("c1", Some(run_id(1))),
        ("c2", Some(run_id(1))),
        ("c3", None),
    ] {
        let found = now(bench.store.run_of_call(&tenant("acme"), &call_id(call)));
        assert_eq!(found.unwrap(), expected, "{call}");
    }
}

fn the_feed_keeps_the_order_of_commits_under_concurrency(kind: Kind) {
    let bench = Bench::new(kind, Limits::default());
    for number in 1..=8 {
        bench.run(number);
    }
    std::thread::scope(|scope| {
        for number in 1..=8 {
            let bench = &bench;
            scope.spawn(move || {
                for expected in 1..=50 {
                    let fact = completed(&format!("m{expected}"), "a", &[]);
                    bench.append(number, expected, vec![fact]).unwrap();
                }
            });
        }
    });
    let feed = bench.feed(0, usize::MAX);
    assert_eq!(feed.len(), 8 * 51);
    assert!(feed.is_sorted_by(|a, b| a.position < b.position));
    for number in 1..=8 {
        let of_run = feed.iter().filter(|entry| entry.run_id == run_id(number));
        let sequences: Vec<u64> = of_run.map(|entry| entry.event.sequence).collect();
        assert_eq!(sequences, (1..=51).collect::<Vec<u64>>());
    }
    let newest = now(bench.store.position(&tenant("acme"))).unwrap();
    assert_eq!(feed.last().unwrap().position, newest);
}

fn the_feed_is_read_from_any_position(kind: Kind) {
    let bench = Bench::new(kind, Limits::default());
    for number in 1..=5 {
        bench.run(number);
    }
    let all = bench.feed(0, 10);
    for (index, entry) in all.iter().enumerate() {
        let rest: Vec<u64> = bench
            .feed(entry.position, 10)
            .iter()
            .map(|e| e.position)
            .collect();
        let expected: Vec<u64> = all[index + 1..].iter().map(|e| e.position).collect();
        assert_eq!(rest, expected);
    }
    assert_eq!(bench.feed(0, 2).len(), 2);
}

fn of_too_many_finished_runs_the_first_to_end_is_dropped_with_all_that_is_its(kind: Kind) {
    let bench = Bench::new(kind, few(2));
    bench.create(requested(run(1, "a"), "req", 7)).unwrap();
    bench
        .append(1, 1, vec![completed("m", "a", &["call_1"])])
        .unwrap();
    bench.run(9);
    bench.finish(1, 2);
    bench.whole_run(2);
    assert!(bench.exists(1));
    bench.whole_run(3);
    assert!(!bench.exists(1));
    assert_eq!(bench.read(1, 0, 10).unwrap_err(), StoreError::NotFound);
    assert!(bench.feed(0, 100).iter().all(|e| e.run_id != run_id(1)));
    let call = now(bench.store.run_of_call(&tenant("acme"), &call_id("call_1")));
    assert_eq!(call.unwrap(), None);
    let anew = bench.create(requested(run(4, "a"), "req", 8)).unwrap();
    assert!(
        matches!(anew, Creation::Created(_)),
        "its request id is free"
    );
    for kept in [2, 3, 9] {
        assert!(bench.exists(kept), "run {kept}");
    }
    assert_eq!(bench.feed(0, 100).len(), 3 + 3 + 1 + 1);
}

fn a_finished_run_is_kept_for_its_time_and_a_live_one_for_ever(kind: Kind) {
    let bench = Bench::new(kind, Limits::default());
    bench.whole_run(1);
    bench.run(2);
    bench.clock.advance(24 * HOUR - Duration::from_millis(1));
    bench.run(3);
    assert!(bench.exists(1));
    bench.clock.advance(Duration::from_millis(1));
    bench.run(4);
    assert!(!bench.exists(1));
    assert!(bench.exists(2));
}

fn finished_runs_are_bounded_by_size_but_the_last_one_stays(kind: Kind) {
    let limits = Limits {
        max_finished_bytes: 10_000,
        ..Limits::default()
    };
    let bench = Bench::new(kind, limits);
    let large = "x".repeat(20_000);
    for number in 1..=2 {
        bench.run(number);
        bench
            .append(number, 1, vec![completed("m", &large, &[])])
            .unwrap();
        bench.finish(number, 2);
        assert!(bench.exists(number));
    }
    assert!(!bench.exists(1));
}

fn many_runs_leave_nothing_behind(kind: Kind) {
    let bench = Bench::new(kind, few(10));
    for number in 1..=100 {
        bench.whole_run(number);
    }
    assert_eq!(bench.list(&RunFilter::default(), None, 1_000).len(), 10);
    assert_eq!(bench.feed(0, 10_000).len(), 30);
}

//! What every store promises of threads.

use super::*;
use crate::domain::{
    id::ThreadId,
    run::Run,
    thread::{BusyPolicy, Continuation, Thread, ThreadFilter},
};

promises! {
    a_run_begins_a_thread_and_others_join_it_behind_its_head,
    a_head_that_moved_is_refused_and_nothing_is_written,
    a_busy_thread_refuses_or_queues_in_the_order_of_creation,
    of_many_creations_at_once_one_is_admitted_and_those_that_wait_form_one_line,
    a_fork_begins_a_thread_of_its_own,
    threads_are_listed_by_their_last_move_and_by_labels,
    a_deleted_thread_leaves_nothing_behind,
    a_thread_is_not_deleted_while_something_needs_it,
    a_family_of_threads_is_kept_or_dropped_as_a_whole,
    runs_are_listed_by_thread,
    threads_are_not_found_across_tenants,
}

fn thread_of(number: u128) -> ThreadId {
    ThreadId::begun_by(run_id(number))
}

fn within(thread: u128, busy: BusyPolicy) -> Continuation {
    Continuation::Thread {
        id: thread_of(thread),
        expected_head: None,
        busy,
    }
}

fn continued(number: u128, team: &str, from: Continuation) -> NewRun {
    let mut new = new_run(run(number, team));
    Arc::make_mut(&mut new.spec).continuation = Some(from);
    new
}

impl Bench {
    fn goes_on(&self, number: u128, from: Continuation) -> Result<Arc<Run>, StoreError> {
        match self.create(continued(number, "a", from))? {
            Creation::Created(run) => Ok(run),
            Creation::Existing(run) => panic!("{run:?}"),
        }
    }

    fn thread(&self, number: u128) -> Result<Thread, StoreError> {
        now(self.store.thread(&tenant("acme"), thread_of(number)))
    }

    /// Where a thread's head and line are, by the runs' numbers.
    fn standing(&self, number: u128) -> (u128, Vec<u128>) {
        let thread = self.thread(number).unwrap();
        let number = |id: RunId| u128::from_be_bytes(id.to_bytes());
        let line = thread.line.into_iter().map(number).collect();
        (thread.head.map_or(0, number), line)
    }

    fn threads(&self, filter: &ThreadFilter, before: Option<u64>, limit: usize) -> Vec<Thread> {
        now(self.store.threads(&tenant("acme"), filter, before, limit)).unwrap()
    }

    fn delete(&self, number: u128) -> Result<(), StoreError> {
        now(self.store.delete_thread(&tenant("acme"), thread_of(number)))
    }
}

fn a_run_begins_a_thread_and_others_join_it_behind_its_head(kind: Kind) {
    let bench = Bench::new(kind, Limits::default());
    bench.run(1);
    assert_eq!(bench.standing(1), (0, vec![1]));
    bench.finish(1, 1);
    assert_eq!(bench.standing(1), (1, vec![]));
    let second = bench.goes_on(2, within(1, BusyPolicy::Reject)).unwrap();
    assert_eq!(second.thread_id(), thread_of(1));
    assert_eq!(second.previous, Some(run_id(1)));
    assert!(second.state != RunState::Queued || second.start_time.is_none());
    assert_eq!(bench.standing(1), (1, vec![2]));
    bench.finish(2, 1);
    assert_eq!(bench.standing(1), (2, vec![]));
    let (stored, spec) = now(bench.store.run(&tenant("acme"), run_id(2))).unwrap();
    assert_eq!(spec.continuation, Some(within(1, BusyPolicy::Reject)));
    assert_eq!(stored.last_sequence, 2);
    let unknown = bench.goes_on(3, within(9, BusyPolicy::Enqueue));
    assert_eq!(unknown.unwrap_err(), StoreError::ThreadNotFound);
}

fn a_head_that_moved_is_refused_and_nothing_is_written(kind: Kind) {
    let bench = Bench::new(kind, Limits::default());
    bench.whole_run(1);
    let expecting = |head: u128| Continuation::Thread {
        id: thread_of(1),
        expected_head: Some(run_id(head)),
        busy: BusyPolicy::Reject,
    };
    let head = Some(run_id(1));
    let mut refused = continued(2, "a", expecting(7));
    refused.request = requested(run(2, "a"), "req", 7).request;
    let refused = bench.create(refused).unwrap_err();
    assert_eq!(refused, StoreError::HeadMoved { head });
    assert!(!bench.exists(2));
    // The request id is not used up either.
    bench.create(requested(run(3, "a"), "req", 8)).unwrap();
    assert!(bench.goes_on(2, expecting(1)).is_ok());
}

fn a_busy_thread_refuses_or_queues_in_the_order_of_creation(kind: Kind) {
    let bench = Bench::new(kind, Limits::default());
    bench.run(1);
    let busy = StoreError::ThreadBusy { active: run_id(1) };
    let refused = bench.goes_on(2, within(1, BusyPolicy::Reject));
    assert_eq!(refused.unwrap_err(), busy);
    for (number, before) in [(5, 1), (4, 5), (3, 4)] {
        let queued = bench
            .goes_on(number, within(1, BusyPolicy::Enqueue))
            .unwrap();
        assert_eq!(queued.state, RunState::Queued);
        assert_eq!(queued.start_time, None);
        assert_eq!(queued.previous, Some(run_id(before)));
        let first = now(bench.store.read(&tenant("acme"), run_id(number), 0, 1)).unwrap();
        assert_eq!(first[0].fact, Fact::RunUpdated(queued));
    }
    assert_eq!(bench.standing(1), (0, vec![1, 5, 4, 3]));
    bench.finish(1, 1);
    assert_eq!(bench.standing(1), (1, vec![5, 4, 3]));
}

fn of_many_creations_at_once_one_is_admitted_and_those_that_wait_form_one_line(kind: Kind) {
    let bench = Bench::new(kind, Limits::default());
    bench.whole_run(1);
    let race = |busy: BusyPolicy, numbers: std::ops::Range<u128>| {
        std::thread::scope(|scope| {
            let bench = &bench;
            let racing: Vec<_> = numbers
                .map(|number| scope.spawn(move || bench.goes_on(number, within(1, busy))))
                .collect();
            let ended = racing.into_iter().map(|race| race.join().unwrap());
            ended.filter_map(Result::ok).collect::<Vec<_>>()
        })
    };
    let admitted = race(BusyPolicy::Reject, 10..30);
    assert_eq!(admitted.len(), 1);
    let queued = race(BusyPolicy::Enqueue, 30..50);
    assert_eq!(queued.len(), 20);
    let line = bench.thread(1).unwrap().line;
    assert_eq!(line[0], admitted[0].id);
    for (before, after) in line.iter().zip(&line[1..]) {
        let queued = queued.iter().find(|run| run.id == *after).unwrap();
        assert_eq!(queued.previous, Some(*before));
    }
}

fn a_fork_begins_a_thread_of_its_own(kind: Kind) {
    let bench = Bench::new(kind, Limits::default());
    bench.run(1);
    let busy = StoreError::ThreadBusy { active: run_id(1) };
    let early = bench.goes_on(2, Continuation::Run(run_id(1)));
    assert_eq!(early.unwrap_err(), busy);
    let middle = Continuation::Fork {
        run_id: run_id(1),
        sequence: 1,
    };
    let fork = bench.goes_on(2, middle).unwrap();
    assert_eq!(fork.thread_id(), thread_of(2));
    assert_eq!(fork.previous, Some(run_id(1)));
    bench.finish(1, 1);
    let fork = bench.goes_on(3, Continuation::Run(run_id(1))).unwrap();
    assert_eq!(fork.thread_id(), thread_of(3));
    assert_eq!(bench.standing(1), (1, vec![]));
    assert_eq!(bench.standing(3), (0, vec![3]));
    let unknown = bench.goes_on(4, Continuation::Run(run_id(9)));
    assert_eq!(unknown.unwrap_err(), StoreError::NotFound);
}

fn threads_are_listed_by_their_last_move_and_by_labels(kind: Kind) {
    let bench = Bench::new(kind, Limits::default());
    for number in 1..=4 {
        bench.run(number);
    }
    bench.finish(2, 1);
    let all = ThreadFilter::default();
    let ids = |threads: Vec<Thread>| threads.into_iter().map(|t| t.id).collect::<Vec<_>>();
    assert_eq!(
        ids(bench.threads(&all, None, 10)),
        [2, 4, 3, 1].map(thread_of)
    );
    let first = bench.threads(&all, None, 2);
    let rest = bench.threads(&all, first.last().map(|t| t.moved), 10);
    assert_eq!(ids(rest), [3, 1].map(thread_of));
    // The newest run's labels count.
    bench
        .create(continued(5, "b", within(2, BusyPolicy::Reject)))
        .unwrap();
    let of = |team: &str| ThreadFilter {
        labels: run(1, team).labels,
    };
    assert_eq!(ids(bench.threads(&of("b"), None, 10)), [thread_of(2)]);
    assert_eq!(ids(bench.threads(&of("a"), None, 2)), [4, 3].map(thread_of));
}

fn a_deleted_thread_leaves_nothing_behind(kind: Kind) {
    let bench = Bench::new(kind, Limits::default());
    bench.create(requested(run(1, "a"), "req", 7)).unwrap();
    bench
        .append(1, 1, vec![completed("m", "a", &["c1"])])
        .unwrap();
    bench.finish(1, 2);
    bench.goes_on(2, within(1, BusyPolicy::Reject)).unwrap();
    bench.finish(2, 1);
    bench.run(3);
    assert_eq!(bench.delete(1), Ok(()));
    assert_eq!(bench.delete(1), Err(StoreError::ThreadNotFound));
    assert_eq!(bench.thread(1), Err(StoreError::ThreadNotFound));
    assert!(!bench.exists(1) && !bench.exists(2) && bench.exists(3));
    let call = now(bench.store.run_of_call(&tenant("acme"), &call_id("c1")));
    assert_eq!(call.unwrap(), None);
    assert!(bench.feed(0, 100).iter().all(|e| e.run_id == run_id(3)));
    let anew = bench.create(requested(run(4, "a"), "req", 8)).unwrap();
    assert!(
        matches!(anew, Creation::Created(_)),
        "its request id is free"
    );
}

fn a_thread_is_not_deleted_while_something_needs_it(kind: Kind) {
    let bench = Bench::new(kind, Limits::default());
    bench.run(1);
    let active = run_id(1);
    assert_eq!(bench.delete(1), Err(StoreError::ThreadBusy { active }));
    bench.finish(1, 1);
    bench.goes_on(2, Continuation::Run(run_id(1))).unwrap();
    bench.finish(2, 1);
    let fork = thread_of(2);
    assert_eq!(bench.delete(1), Err(StoreError::ThreadForked { fork }));
    assert!(bench.exists(1) && bench.exists(2));
    assert_eq!(bench.delete(2), Ok(()));
    assert_eq!(bench.delete(1), Ok(()));
    assert!(!bench.exists(1));
}

fn a_family_of_threads_is_kept_or_dropped_as_a_whole(kind: Kind) {
    let bench = Bench::new(kind, few(2));
    bench.whole_run(1);
    bench.goes_on(2, Continuation::Run(run_id(1))).unwrap();
    bench.goes_on(3, within(1, BusyPolicy::Reject)).unwrap();
    bench.finish(3, 1);
    // Too many have ended, and the fork works.
    bench.whole_run(4);
    bench.whole_run(5);
    assert!(!bench.exists(4), "a thread at rest goes first");
    assert!((1..=3).all(|number| bench.exists(number)));
    bench.clock.advance(Duration::from_millis(1));
    bench.finish(2, 1);
    bench.clock.advance(Duration::from_millis(1));
    bench.whole_run(6);
    assert!(!bench.exists(5), "it rests longer than the family");
    bench.whole_run(7);
    assert!((1..=3).all(|number| !bench.exists(number)));
    assert_eq!(bench.thread(1), Err(StoreError::ThreadNotFound));
    assert_eq!(bench.thread(2), Err(StoreError::ThreadNotFound));
    assert!(bench.exists(6) && bench.exists(7));
}

fn runs_are_listed_by_thread(kind: Kind) {
    let bench = Bench::new(kind, Limits::default());
    bench.whole_run(1);
    bench.run(2);
    bench.goes_on(3, within(1, BusyPolicy::Reject)).unwrap();
    let of = |thread: u128| RunFilter {
        thread_id: Some(thread_of(thread)),
        ..RunFilter::default()
    };
    assert_eq!(bench.list(&of(1), None, 10), [run_id(3), run_id(1)]);
    assert_eq!(bench.list(&of(1), Some(3), 10), [run_id(1)]);
    assert_eq!(bench.list(&of(9), None, 10), []);
    let ended = RunFilter {
        states: vec![RunState::Succeeded],
        ..of(1)
    };
    assert_eq!(bench.list(&ended, None, 10), [run_id(1)]);
}

fn threads_are_not_found_across_tenants(kind: Kind) {
    let bench = Bench::new(kind, Limits::default());
    bench.whole_run(1);
    let other = tenant("other");
    let missing = StoreError::ThreadNotFound;
    // Once before the other tenant has stored anything, once after.
    for number in [2, 3] {
        let thread = now(bench.store.thread(&other, thread_of(1)));
        assert_eq!(thread.unwrap_err(), missing);
        let deleted = now(bench.store.delete_thread(&other, thread_of(1)));
        assert_eq!(deleted.unwrap_err(), missing);
        let all = ThreadFilter::default();
        let threads = now(bench.store.threads(&other, &all, None, 10)).unwrap();
        assert!(threads.iter().all(|thread| thread.id != thread_of(1)));
        let theirs = |from: Continuation| {
            let mut new = continued(number, "a", from);
            Arc::make_mut(&mut new.run).tenant = other.clone();
            new
        };
        let joined = bench.create(theirs(within(1, BusyPolicy::Enqueue)));
        assert_eq!(joined.unwrap_err(), missing);
        let forked = bench.create(theirs(Continuation::Run(run_id(1))));
        assert_eq!(forked.unwrap_err(), StoreError::NotFound);
        let mut mine = run(number, "a");
        mine.tenant = other.clone();
        bench.create(new_run(mine)).unwrap();
    }
    assert!(bench.exists(1));
}

//! What this store promises beside [what all promise](crate::store::conformance).

use futures_util::FutureExt;

use super::*;
use crate::{
    domain::id::RequestId,
    run::sample::{HandClock, new_run, requested, run, run_id, tenant},
};

const HOUR: Duration = Duration::from_secs(3_600);

struct Bench {
    store: Memory,
    clock: Arc<HandClock>,
}

/// The memory store is done when it is called: its futures never wait.
#[track_caller]
fn now<T>(future: StoreFuture<'_, T>) -> Result<T, StoreError> {
    future.now_or_never().expect("the store waited")
}

impl Bench {
    fn new(settings: Settings) -> Self {
        let clock = HandClock::at(0);
        let store = Memory::new(settings, Arc::clone(&clock) as _);
        Self { store, clock }
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

    fn exists(&self, number: u128) -> bool {
        now(self.store.run(&tenant("acme"), run_id(number))).is_ok()
    }
}

#[test]
fn positions_of_a_later_process_are_above_those_of_an_earlier_one() {
    let earlier = Bench::new(Settings::default());
    for number in 1..=100 {
        earlier.run(number);
    }
    let clock = HandClock::at(1_000);
    let later = Memory::new(Settings::default(), clock);
    let before = now(earlier.store.position(&tenant("acme"))).unwrap();
    assert!(now(later.position(&tenant("acme"))).unwrap() > before);
}

#[test]
fn request_ids_of_live_runs_are_forgotten_in_time() {
    let bench = Bench::new(Settings::default());
    bench.create(requested(run(1, "a"), "req", 7)).unwrap();
    bench.clock.advance(25 * HOUR);
    bench.run(2);
    assert!(bench.exists(1), "the run itself lives on");
    let id = RequestId::parse("req").unwrap();
    let shelf = bench.store.shelf(&tenant("acme")).unwrap();
    assert!(!shelf.remembers(&id));
}

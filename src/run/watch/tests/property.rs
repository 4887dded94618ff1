//! Whatever happens to runs: who goes on from any place ends where those are who never left.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use proptest::prelude::*;

use super::world::*;
use crate::{
    domain::{
        completion::{Delta, Grown},
        event::{CallState, Ephemeral, Fact},
        id::{MessageId, RunId},
        run::RunState,
    },
    run::{
        sample::{call_in, completed, discarded},
        watch::{
            Detail::Full,
            From::{After, Snapshot},
            Seen,
        },
    },
};

/// Something that happens to one of the runs.
#[derive(Clone, Debug)]
enum Happens {
    Says(u32, &'static str),
    Completes,
    Discards,
    CallChanges,
    Reports,
    Updates,
    /// A reader comes by in between.
    Read,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        6 => (0_u32..2, prop::sample::select(vec!["a", "bc", "ü"]))
            .prop_map(|(part, text)| Happens::Says(part, text)),
        1 => Just(Happens::Completes),
        1 => Just(Happens::Discards),
        2 => Just(Happens::CallChanges),
        1 => Just(Happens::Reports),
        1 => Just(Happens::Updates),
        3 => Just(Happens::Read),
    ]
}

/// A run and which of its messages is in progress.
struct Story {
    run: Live,
    message: usize,
    parts: u32,
}

impl Story {
    async fn go_on(&mut self, what: &Happens) {
        let message = format!("m{}", self.message);
        match what {
            Happens::Says(part, text) => {
                let part = (*part).min(self.parts);
                self.parts = self.parts.max(part + 1);
                self.run.says(&message, part, text);
            }
            Happens::Completes => {
                self.run
                    .commit(vec![completed(&message, "whole", &[])])
                    .await;
                self.next_message();
            }
            Happens::Discards => {
                self.run.commit(vec![discarded(&message)]).await;
                self.next_message();
            }
            Happens::CallChanges => {
                let states = [CallState::Pending, CallState::Running];
                let facts = states.map(|state| call_in("c1", state));
                self.run.commit(facts.into()).await;
            }
            Happens::Reports => self.run.reports("c1", 0.5),
            Happens::Updates => self.run.becomes(RunState::Running).await,
            Happens::Read => {}
        }
    }

    fn next_message(&mut self) {
        self.message += 1;
        self.parts = 0;
    }
}

/// What a client holds after what it has seen.
#[derive(Debug, Default, PartialEq)]
struct Held {
    facts: Vec<u64>,
    partial: BTreeMap<(MessageId, u32), String>,
    last: u64,
}

impl Held {
    fn apply(&mut self, seen: &Seen) {
        assert!(seen.sequence() > self.last, "{seen:?} after {}", self.last);
        self.last = seen.sequence();
        match seen {
            Seen::Snapshot { snapshot, .. } => {
                self.partial.clear();
                if let Some((message_id, deltas)) = &snapshot.partial {
                    self.grow(message_id, deltas);
                }
            }
            Seen::Event(event) => {
                self.facts.push(event.sequence);
                if matches!(
                    event.fact,
                    Fact::MessageCompleted(_) | Fact::MessageDiscarded { .. }
                ) {
                    self.partial.clear();
                }
            }
            Seen::Ephemeral { ephemeral, .. } => {
                if let Ephemeral::MessageDelta { message_id, deltas } = ephemeral {
                    self.grow(message_id, deltas);
                }
            }
        }
    }

    fn grow(&mut self, message_id: &MessageId, deltas: &[Delta]) {
        for delta in deltas {
            let Grown::Text(text) = &delta.grown else {
                panic!("{delta:?}")
            };
            let key = (message_id.clone(), delta.part_index);
            self.partial.entry(key).or_default().push_str(text);
        }
    }

    /// Progress is for the moment: where it was the last thing seen does not matter.
    fn lasting(self) -> (Vec<u64>, BTreeMap<(MessageId, u32), String>) {
        (self.facts, self.partial)
    }
}

fn held<'a>(seen: impl IntoIterator<Item = &'a Seen>) -> Held {
    let mut held = Held::default();
    for seen in seen {
        held.apply(seen);
    }
    held
}

fn run_to_end<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(future)
}

/// One run; a reader that reads whenever it may. Whoever goes on from any of its places ends as it.
async fn any_place_will_do(script: Vec<Happens>) {
    let world = World::new();
    let mut story = Story {
        run: world.live(1, "a").await,
        message: 0,
        parts: 0,
    };
    let mut reader = world.watch(1, After(0), Full).await;
    let mut seen = Vec::new();
    for what in &script {
        story.go_on(what).await;
        if matches!(what, Happens::Read) {
            seen.extend(drain(&mut reader).0);
        }
    }
    seen.extend(drain(&mut reader).0);
    let end = held(&seen).lasting();
    for place in 0..=seen.len() {
        let before = &seen[..place];
        let sequence = before.last().map_or(0, Seen::sequence);
        let mut resumed = world.watch(1, After(sequence), Full).await;
        let after = drain(&mut resumed).0;
        let whole = held(before.iter().chain(&after)).lasting();
        assert_eq!(whole, end, "after {sequence}");
    }
    let mut late = world.watch(1, Snapshot, Full).await;
    let snapshot = held(&drain(&mut late).0);
    assert_eq!(snapshot.partial, end.1);
}

/// Three runs; a feed sees of each what its own watch sees.
async fn a_feed_shows_what_watches_show(script: Vec<(usize, Happens)>) {
    let world = World::new();
    let mut feed = world.feed(in_full(of_team("a"))).await;
    let mut stories = Vec::new();
    for number in 1..=3 {
        stories.push(Story {
            run: world.live(number, "a").await,
            message: 0,
            parts: 0,
        });
    }
    let mut seen: BTreeMap<RunId, Vec<Seen>> = BTreeMap::new();
    let mut batches = Vec::new();
    for (index, what) in &script {
        stories[*index].go_on(what).await;
        if matches!(what, Happens::Read) {
            batches.extend(feed.next().now_or_never());
        }
    }
    batches.extend(drain_feed(&mut feed).into_iter().map(Ok));
    for batch in batches {
        let batch = batch.unwrap();
        seen.entry(batch.run_id).or_default().extend(batch.seen);
    }
    for story in &stories {
        let run_id = story.run.log.run_id();
        let mut watch = world.watch(number_of(run_id), After(0), Full).await;
        let expected = held(&drain(&mut watch).0).lasting();
        assert_eq!(held(&seen[&run_id]).lasting(), expected, "{run_id}");
    }
}

fn number_of(run_id: RunId) -> u128 {
    let text = run_id.to_string();
    u128::from_str_radix(text.trim_start_matches("run_"), 16).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn going_on_from_any_place_ends_as_the_full_replay(
        script in prop::collection::vec(happens(), 1..80),
    ) {
        run_to_end(any_place_will_do(script));
    }

    #[test]
    fn a_feed_in_full_detail_shows_what_a_watch_of_each_run_shows(
        script in prop::collection::vec((0_usize..3, happens()), 1..80),
    ) {
        run_to_end(a_feed_shows_what_watches_show(script));
    }
}

//! Whatever happens in whatever order: the promises of the book hold.

mod judge;

use judge::Judge;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};

/// Something that happens. Sessions and calls are chosen by number among those that there are.
#[derive(Clone, Debug)]
enum Op {
    Connect(Connect),
    Attach(Attach),
    Change {
        session: u32,
        change: Change,
    },
    Assign {
        run: u32,
        tool: u8,
        route: u8,
    },
    Report {
        session: u32,
        call: usize,
        is_acceptance: bool,
    },
    Cancel(usize),
    Release(usize),
    ForgetRun(u32),
    Wait(u64),
}

/// A host opens a stream. `tools` and `listed` are bits.
#[derive(Clone, Debug)]
struct Connect {
    tenant: u8,
    host: u8,
    is_bob: bool,
    tools: u8,
    window: u32,
    listed: u8,
}

/// A run's own stream opens.
#[derive(Clone, Debug)]
struct Attach {
    run: u32,
    host: Option<u8>,
    window: u32,
    cancel_when_lost: bool,
    listed: u8,
}

/// What happens to a session.
#[derive(Clone, Debug)]
enum Change {
    Update {
        window: Option<u32>,
        tools: Option<u8>,
    },
    HalfClose,
    Lost,
    Heard,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => connect().prop_map(Op::Connect),
        1 => attach().prop_map(Op::Attach),
        4 => (0..12u32, change()).prop_map(|(session, change)| Op::Change { session, change }),
        8 => (0..4u32, 0..4u8, 0..6u8)
            .prop_map(|(run, tool, route)| Op::Assign { run, tool, route }),
        6 => (0..12u32, 0..24usize, any::<bool>()).prop_map(
            |(session, call, is_acceptance)| Op::Report { session, call, is_acceptance }
        ),
        1 => (0..24usize).prop_map(Op::Cancel),
        4 => (0..24usize).prop_map(Op::Release),
        1 => (0..4u32).prop_map(Op::ForgetRun),
        2 => (1..50u64).prop_map(Op::Wait),
    ]
}

fn connect() -> impl Strategy<Value = Connect> {
    let who = (0..2u8, 0..3u8, any::<bool>());
    (who, any::<u8>(), 0..4u32, any::<u8>()).prop_map(
        |((tenant, host, is_bob), tools, window, listed)| Connect {
            tenant,
            host,
            is_bob,
            tools,
            window,
            listed,
        },
    )
}

fn attach() -> impl Strategy<Value = Attach> {
    let host = proptest::option::of(0..2u8);
    (0..4u32, host, 0..4u32, any::<bool>(), any::<u8>()).prop_map(
        |(run, host, window, cancel_when_lost, listed)| Attach {
            run,
            host,
            window,
            cancel_when_lost,
            listed,
        },
    )
}

fn change() -> impl Strategy<Value = Change> {
    let update = (
        proptest::option::of(0..4u32),
        proptest::option::of(any::<u8>()),
    );
    prop_oneof![
        1 => update.prop_map(|(window, tools)| Change::Update { window, tools }),
        1 => Just(Change::HalfClose),
        2 => Just(Change::Lost),
        1 => Just(Change::Heard),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_call_has_one_end_one_holder_and_one_tenant(
        seed in any::<u64>(),
        ops in proptest::collection::vec(op(), 1..80),
    ) {
        let mut judge = Judge::new(seed);
        for op in ops {
            judge.play(op);
        }
        judge.end();
    }
}

//! The server ends at each step of a run's turns, and the next one goes on.
//!
//! `RUNWIRE_SOAK` is how often the whole matrix is gone through; once, unless it says otherwise.

use std::sync::{Arc, Mutex};

use runwire::{client::message, pb::v1::run::State, run::fail::Point};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::{Judge, PATIENCE, Server, Trouble, check, export, serve, spec, tool, watch};

/// How often each place is passed before the process ends there.
const PASSES: std::ops::RangeInclusive<u32> = 1..=3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_the_server_ends_every_run_ends_once_and_no_effect_comes_twice() {
    let rounds = std::env::var_os("RUNWIRE_SOAK");
    let rounds = rounds.map_or(1, |rounds| rounds.to_string_lossy().parse().unwrap());
    let (mut cycles, mut ends) = (0, 0);
    for round in 1..=rounds {
        for point in Point::ALL {
            // The first transaction of a process looks for what an earlier one has left.
            let earlier = u32::from(point == Point::InTransaction);
            for pass in PASSES {
                let place = format!("{}:{}", point.name(), pass + earlier);
                let ended = cycle(&place).await;
                assert!(ended || pass > 1, "no server came to {place}");
                cycles += 1;
                ends += u32::from(ended);
            }
        }
        #[expect(clippy::print_stdout, reason = "an hour's work says how far it is")]
        let () = println!(
            "round {round}: {cycles} runs, {ends} servers ended: none lost, no effect twice"
        );
    }
}

/// A run through the end of its server and the beginning of the next one. Says whether the server came to
/// its end: not every run passes every place so often.
async fn cycle(place: &str) -> bool {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let trouble = Trouble::FailPoint(place.to_owned());
    let mut server = Server::on(folder, "127.0.0.1:0", trouble).await;
    let (tasks, ledger) = (TaskTracker::new(), Arc::new(Mutex::new(Vec::new())));
    let paid = Arc::clone(&ledger);
    let pay = tool("pay", move |call| {
        paid.lock().unwrap().push(call.id().to_owned());
        async { "paid" }
    });
    let find = tool("find", |_| async { "found" }).idempotent();
    serve(&tasks, server.client(), pay.clone());
    serve(&tasks, server.client(), find.clone());
    let client = server.client();
    let tools = vec![pay.hosted(), find.hosted()];
    // Repeats the creation under its request id when the server ends in the middle of it.
    let whole = tasks.spawn(async move {
        let run = client.create_run(spec("script:tools-2", tools)).await;
        let run_id = run.unwrap().id;
        let (watching, _) = watch(client, &run_id);
        (run_id, watching.await.unwrap())
    });
    tokio::pin!(whole);
    let ((run_id, seen), ended) = tokio::select! {
        over = &mut whole => (over.unwrap(), false),
        _status = server.process.wait() => {
            server = server.crash().await;
            (timeout(PATIENCE, whole).await.unwrap().unwrap(), true)
        }
    };
    let run = server.client().get_run(&run_id).await.unwrap();
    assert_eq!(run.state(), State::Succeeded, "{place}: {:?}", run.error);
    let answer = message::text_of(run.output.as_ref());
    assert!(answer.contains("found"), "{place}: {answer}");
    let folder = server.end().await;
    check(folder.path()).await;
    let judge = Judge::of(&export(folder.path()).await);
    judge.check_all();
    judge.check_watch(&run_id, &seen);
    assert!(ledger.lock().unwrap().len() <= 1, "{place}: paid twice");
    ended
}

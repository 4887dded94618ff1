//! Many runs, two streams: one host has the tool, one watch sees all ends.

use std::{
    collections::HashMap,
    error::Error,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use futures_util::{StreamExt as _, stream};
use runwire::{
    client::{Client, Tool, ToolError, ToolHost, message},
    pb::v1::{Agent, EventDetail, RunFilter, RunSpec, run, run_event::Event},
};
use tokio::sync::{Notify, oneshot};

use crate::process::Used;

/// How many creations are under way at once.
const CREATING: usize = 64;

/// Runs the load and prints a row.
///
/// # Errors
/// When a run is lost, fails, or the server does.
pub(crate) async fn measure(client: &Client, pid: u32, runs: usize) -> Result<(), Box<dyn Error>> {
    let hold = Arc::new(Hold {
        runs,
        pid,
        calls: AtomicUsize::new(0),
        all_called: Notify::new(),
        full: OnceLock::new(),
    });
    let tool = hold.tool();
    let binding = tool.hosted();

    let (stop, stopped) = oneshot::channel::<()>();
    let (live, is_live) = oneshot::channel::<()>();
    let live = Mutex::new(Some(live));
    let host = ToolHost::new(client.clone())
        .tool(tool)
        .window(runs)
        .on_registered(move |_| {
            let live = live.lock().ok().and_then(|mut live| live.take());
            let _told = live.map(|live| live.send(()));
        });
    let host = tokio::spawn(host.serve(async {
        let _stopped = stopped.await;
    }));
    is_live.await?;

    let labels = HashMap::from([("bench".to_owned(), format!("hosted-{pid}"))]);
    let filter = RunFilter {
        labels: labels.clone(),
        ..RunFilter::default()
    };
    let mut feed = client.watch_runs(filter, "", EventDetail::Durable);
    feed.open().await?;

    let spec = RunSpec {
        agent: Some(Agent {
            name: "bench".to_owned(),
            model: "script:tools-1".to_owned(),
            tools: vec![binding],
            ..Agent::default()
        }),
        input: vec![message::user("go")],
        labels,
        ..RunSpec::default()
    };
    let before = Used::by(pid)?;
    let began = Instant::now();
    let creator = client.clone();
    let created = tokio::spawn(
        stream::iter(0..runs)
            .map(move |_| {
                let (client, spec) = (creator.clone(), spec.clone());
                async move { client.create_run(spec).await }
            })
            .buffer_unordered(CREATING)
            .filter_map(|created| async { created.err() })
            .collect::<Vec<_>>(),
    );

    let mut ended = HashMap::with_capacity(runs);
    while ended.len() < runs {
        let batch = feed.next().await?;
        for event in batch.events {
            if let Some(Event::RunUpdated(run)) = event.event
                && matches!(
                    run.state(),
                    run::State::Succeeded | run::State::Failed | run::State::Cancelled
                )
            {
                ended.insert(run.id.clone(), run.state());
            }
        }
    }
    let wall = began.elapsed();
    let after = Used::by(pid)?;
    let failures = created.await?;
    let _told = stop.send(());
    host.await??;

    let succeeded = ended
        .values()
        .filter(|s| **s == run::State::Succeeded)
        .count();
    let cpu = after.cpu - before.cpu;
    let (full_at, full) = hold
        .full
        .get()
        .copied()
        .ok_or("no moment with all calls outstanding")?;
    println!(
        "hosted    {runs} runs, 2 streams: {succeeded} succeeded, {} not, {} not created; wall {:.2} s \
         ({:.0} runs/s), all calls outstanding after {:.2} s; server CPU {:.2} s ({:.0} us a run), \
         resident {} MiB with all outstanding (+{:.1} KiB a run), peak {} MiB",
        ended.len() - succeeded,
        failures.len(),
        wall.as_secs_f64(),
        runs as f64 / wall.as_secs_f64(),
        (full_at - began).as_secs_f64(),
        cpu.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / runs as f64,
        full.resident >> 20,
        full.resident.saturating_sub(before.resident) as f64 / 1024.0 / runs as f64,
        after.peak >> 20,
    );
    if succeeded != runs {
        return Err(format!("{} of {runs} runs did not succeed", runs - succeeded).into());
    }
    Ok(())
}

/// What all calls of the tool share.
struct Hold {
    runs: usize,
    /// The server's process.
    pid: u32,
    calls: AtomicUsize,
    all_called: Notify,
    /// When the last call came, and what the server used by then.
    full: OnceLock<(Instant, Used)>,
}

impl Hold {
    /// A tool that answers once all runs have called it.
    fn tool(self: &Arc<Self>) -> Tool {
        let hold = Arc::clone(self);
        let call = move |_call| {
            let hold = Arc::clone(&hold);
            async move { hold.answer().await }
        };
        Tool::new("tool", "Holds its answer.", r#"{"type":"object"}"#, call).idempotent()
    }

    async fn answer(&self) -> Result<String, ToolError> {
        // Made before the count, so that the last call wakes all others.
        let others = self.all_called.notified();
        if self.calls.fetch_add(1, Ordering::AcqRel) + 1 == self.runs {
            if let Ok(used) = Used::by(self.pid) {
                // Set once: the count passes this number once.
                let _first = self.full.set((Instant::now(), used));
            }
            self.all_called.notify_waiters();
        } else {
            others.await;
        }
        Ok("done".to_owned())
    }
}

//! Many runs through two streams: one hosts their tool and holds every answer until all calls are
//! there, the other watches them all to their end.

use std::{
    collections::HashSet,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use runwire::{
    client::{Client, Tool, ToolHost, message},
    pb::v1::{Agent, EventDetail, RunFilter, RunSpec, run, run_event::Event},
};
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::{Instant, timeout},
};

use crate::{Figure, server::Server};

const SCENARIO: &str = "hosted runs, two streams";
/// Creations under way at once.
const CREATORS: usize = 64;
/// How long the whole may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs `runs` runs at once.
pub async fn measure(server: &Server, runs: usize) -> Result<Vec<Figure>, Box<dyn Error>> {
    let client = server.client()?;
    let calls = Arc::new(AtomicUsize::new(0));
    let (open, gate) = watch::channel(false);
    let registered = Arc::new(Notify::new());
    let stop = Arc::new(Notify::new());
    let host = tokio::spawn({
        let (registered, stop) = (Arc::clone(&registered), Arc::clone(&stop));
        let host = ToolHost::new(client.clone())
            .window(runs)
            .tool(holding_tool(&calls, &gate))
            .on_registered(move |_| registered.notify_one());
        async move { host.serve(stop.notified()).await }
    });
    registered.notified().await;

    let filter = RunFilter {
        labels: labels(),
        ..RunFilter::default()
    };
    let mut feed = client.watch_runs(filter, "", EventDetail::Durable);
    feed.open().await?;

    let before = server.usage()?;
    let begin = Instant::now();
    let watching = tokio::spawn(async move {
        let mut ended = HashSet::new();
        let mut failed = 0_usize;
        while ended.len() < runs {
            let batch = feed.next().await?;
            for event in batch.events {
                if let Some(Event::RunUpdated(run)) = event.event
                    && matches!(
                        run.state(),
                        run::State::Succeeded | run::State::Failed | run::State::Cancelled
                    )
                    && ended.insert(run.id.clone())
                    && run.state() != run::State::Succeeded
                {
                    failed += 1;
                }
            }
        }
        Ok::<_, runwire::client::Error>((ended.len(), failed))
    });
    create(&client, runs).await?;
    timeout(PATIENCE, async {
        while calls.load(Ordering::Acquire) < runs {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .map_err(|_late| {
        format!(
            "only {} of {runs} calls came",
            calls.load(Ordering::Acquire)
        )
    })?;
    let outstanding = begin.elapsed();
    let waiting = server.usage()?;

    open.send(true)?;
    let (ended, failed) = timeout(PATIENCE, watching).await???;
    let wall = begin.elapsed();
    let after = server.usage()?;
    stop.notify_one();
    host.await??;

    if failed > 0 || ended != runs {
        return Err(format!("{ended} of {runs} runs ended, {failed} of them not well").into());
    }
    let each = |value: f64| value / runs as f64;
    let grown = waiting.resident_bytes.saturating_sub(before.resident_bytes) as f64;
    let cpu = (after.cpu - before.cpu).as_secs_f64();
    Ok(vec![
        Figure::new(SCENARIO, "runs ended well", ended as f64, "runs"),
        Figure::new(
            SCENARIO,
            "until all calls were out",
            outstanding.as_secs_f64(),
            "s",
        ),
        Figure::new(
            SCENARIO,
            "until all runs had ended",
            wall.as_secs_f64(),
            "s",
        ),
        Figure::new(SCENARIO, "server CPU a run", each(cpu) * 1e6, "us"),
        Figure::new(
            SCENARIO,
            "server memory a waiting run",
            each(grown) / 1024.0,
            "KiB",
        ),
        Figure::new(
            SCENARIO,
            "server memory in all",
            waiting.resident_bytes as f64 / 1048576.0,
            "MiB",
        ),
    ])
}

/// A tool whose calls all answer at the same moment.
fn holding_tool(calls: &Arc<AtomicUsize>, gate: &watch::Receiver<bool>) -> Tool {
    let (calls, gate) = (Arc::clone(calls), gate.clone());
    Tool::new(
        "hold",
        "Waits for all others.",
        r#"{"type":"object"}"#,
        move |_call| {
            calls.fetch_add(1, Ordering::Release);
            let mut gate = gate.clone();
            async move {
                // The sender lives until every run has ended.
                let _open = gate.wait_for(|open| *open).await;
                Ok("done")
            }
        },
    )
    .idempotent()
}

fn labels() -> std::collections::HashMap<String, String> {
    [("load".to_owned(), "hosted".to_owned())].into()
}

async fn create(client: &Client, runs: usize) -> Result<(), Box<dyn Error>> {
    let tool = Tool::new("hold", "", r#"{"type":"object"}"#, |_call| async { Ok("") });
    let spec = Arc::new(RunSpec {
        agent: Some(Agent {
            name: "load".to_owned(),
            model: "script:tools-1".to_owned(),
            tools: vec![tool.hosted()],
            ..Agent::default()
        }),
        input: vec![message::user("go")],
        labels: labels(),
        ..RunSpec::default()
    });
    let places = Arc::new(Semaphore::new(CREATORS));
    let mut creators = Vec::with_capacity(runs);
    for _ in 0..runs {
        let place = Arc::clone(&places).acquire_owned().await?;
        let (client, spec) = (client.clone(), Arc::clone(&spec));
        creators.push(tokio::spawn(async move {
            let created = client.create_run((*spec).clone()).await;
            drop(place);
            created
        }));
    }
    for creator in creators {
        creator.await??;
    }
    Ok(())
}

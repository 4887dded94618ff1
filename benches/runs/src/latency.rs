//! How long one turn with eight parallel tools takes, when each tool takes 50 ms.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use runwire::{
    client::{Client, Tool, message},
    pb::v1::{Agent, RunSpec, run},
};

use crate::process::Used;

/// Runs the load and prints a row.
///
/// # Errors
/// When a run does not succeed.
pub(crate) async fn measure(
    client: &Client,
    pid: u32,
    rounds: usize,
) -> Result<(), Box<dyn Error>> {
    let tool = Tool::new(
        "tool",
        "Takes 50 ms.",
        r#"{"type":"object"}"#,
        |_call| async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok("done".to_owned())
        },
    )
    .read_only();
    let spec = RunSpec {
        agent: Some(Agent {
            name: "bench".to_owned(),
            model: "script:tools-8".to_owned(),
            tools: vec![tool.attached()],
            ..Agent::default()
        }),
        input: vec![message::user("go")],
        ..RunSpec::default()
    };
    let before = Used::by(pid)?;
    let mut walls = Vec::with_capacity(rounds);
    // One more than asked for: the first one connects.
    for _ in 0..=rounds {
        let began = Instant::now();
        let run = client
            .attach(spec.clone(), vec![tool.clone()])
            .finish()
            .await?;
        walls.push(began.elapsed());
        if run.state() != run::State::Succeeded {
            return Err(format!("the run ended {:?}: {:?}", run.state(), run.error).into());
        }
    }
    walls.remove(0);
    walls.sort();
    let millis = |at: usize| {
        walls
            .get(at)
            .map_or(f64::NAN, |wall| wall.as_secs_f64() * 1e3)
    };
    let cpu = Used::by(pid)?.cpu - before.cpu;
    println!(
        "latency   1 run, 8 tools of 50 ms, {rounds} rounds: p50 {:.1} ms, fastest {:.1} ms, slowest {:.1} ms; \
         server CPU {:.0} us a run",
        millis(rounds / 2),
        millis(0),
        millis(rounds - 1),
        cpu.as_secs_f64() * 1e6 / rounds as f64,
    );
    Ok(())
}

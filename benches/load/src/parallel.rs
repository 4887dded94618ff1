//! One run at a time, one turn, 8 calls of a tool that takes 50 ms: how close to 50 ms it comes.

use std::{error::Error, time::Duration};

use runwire::{
    client::{Client, Tool, message},
    pb::v1::{Agent, RunSpec, run},
};
use tokio::time::{Instant, sleep};

use crate::{Figure, server::Server};

/// How a tool is declared.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    name: &'static str,
    idempotent: bool,
}

/// With and without the receipt that must come before a call that may run at most once.
pub const SCENARIOS: [Scenario; 2] = [
    Scenario {
        name: "8 tools of 50 ms, idempotent",
        idempotent: true,
    },
    Scenario {
        name: "8 tools of 50 ms, at most once",
        idempotent: false,
    },
];

const RUNS: usize = 100;
const WARM_UP: usize = 10;

/// Measures one way of declaring the tool.
pub async fn measure(server: &Server, scenario: Scenario) -> Result<Vec<Figure>, Box<dyn Error>> {
    let client = server.client()?;
    let mut wall = Vec::with_capacity(RUNS);
    for round in 0..RUNS + WARM_UP {
        let begin = Instant::now();
        run_once(&client, scenario).await?;
        if round >= WARM_UP {
            wall.push(begin.elapsed());
        }
    }
    wall.sort_unstable();
    let percentile = |p: usize| wall[(RUNS - 1) * p / 100].as_secs_f64() * 1e3;
    Ok([("p50", 50), ("p90", 90), ("p99", 99)]
        .map(|(name, p)| Figure::new(scenario.name, name, percentile(p), "ms"))
        .into())
}

async fn run_once(client: &Client, scenario: Scenario) -> Result<(), Box<dyn Error>> {
    let tool = Tool::new(
        "pause",
        "Takes 50 ms.",
        r#"{"type":"object"}"#,
        |_call| async {
            sleep(Duration::from_millis(50)).await;
            Ok("done")
        },
    );
    let tool = if scenario.idempotent {
        tool.idempotent()
    } else {
        tool
    };
    let spec = RunSpec {
        agent: Some(Agent {
            name: "load".to_owned(),
            model: "script:tools-8".to_owned(),
            tools: vec![tool.attached()],
            ..Agent::default()
        }),
        input: vec![message::user("go")],
        ..RunSpec::default()
    };
    let run = client
        .attach(spec, vec![tool])
        .durable_events_only()
        .finish()
        .await?;
    if run.state() == run::State::Succeeded {
        Ok(())
    } else {
        Err(format!("run {} ended {:?}", run.id, run.state()).into())
    }
}

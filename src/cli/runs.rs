//! `runwire runs`.

use super::{
    Stop,
    args::{Common, RunsArgs, RunsCommand},
    interruptible, json, output,
    run::RunPrinter,
    target::Target,
};
use crate::{
    client::{Client, Error, Since},
    config::Environment,
    pb::v1::{EventDetail, Run, RunFilter, run::State},
};

/// The most that a server gives in one page.
const PAGE: usize = 500;

/// Lists, shows, watches or cancels runs of a server.
pub(super) async fn runs(args: RunsArgs, environment: Environment) -> Result<(), Stop> {
    match args.command {
        RunsCommand::List {
            common,
            state,
            label,
            agent,
            limit,
        } => {
            let client = Target::remote(&common, &environment)?;
            let filter = RunFilter {
                states: state.into_iter().map(i32::from).collect(),
                labels: label.into_iter().collect(),
                agent_name: agent.unwrap_or_default(),
                ..RunFilter::default()
            };
            interruptible(list(&client, filter, limit, common.json)).await
        }
        RunsCommand::Get { common, id } => {
            let client = Target::remote(&common, &environment)?;
            let run = interruptible(async { Ok(client.get_run(&id).await?) }).await?;
            print(&run, &common)
        }
        RunsCommand::Watch { common, id, after } => {
            let client = Target::remote(&common, &environment)?;
            interruptible(watch(&client, &id, after, common.json)).await
        }
        RunsCommand::Cancel { common, id, reason } => {
            let client = Target::remote(&common, &environment)?;
            let cancelled = async { Ok(client.cancel_run(&id, &reason).await?) };
            print(&interruptible(cancelled).await?, &common)
        }
    }
}

async fn list(client: &Client, filter: RunFilter, limit: usize, json: bool) -> Result<(), Stop> {
    let mut token = String::new();
    let mut left = limit;
    while left > 0 {
        let size = i32::try_from(left.min(PAGE)).unwrap_or(i32::MAX);
        let page = client.list_runs(filter.clone(), size, &token).await?;
        for run in page.runs.iter().take(left) {
            if json {
                output::json(&json::run(run))?;
            } else {
                output::line(summary(run))?;
            }
        }
        left = left.saturating_sub(page.runs.len());
        if page.next_page_token.is_empty() {
            break;
        }
        token = page.next_page_token;
    }
    Ok(())
}

async fn watch(client: &Client, id: &str, after: Option<i64>, json: bool) -> Result<(), Stop> {
    let since = after.map_or(Since::Now, Since::Sequence);
    let mut watch = client.watch_run(id, since, EventDetail::Full);
    let mut printer = RunPrinter::new(json);
    while let Some(event) = watch.next().await {
        printer.event(&event?)?;
    }
    let run = client.get_run(id).await?;
    // Of a run that had ended before the watch began, no event tells the answer.
    printer.end_of_watch(&run)
}

fn print(run: &Run, common: &Common) -> Result<(), Stop> {
    if common.json {
        output::json(&json::run(run))?;
        return Ok(());
    }
    output::line(summary(run))?;
    if run.state() == State::Failed {
        let error = Error::from(run.error.clone().unwrap_or_default());
        output::line(format_args!("  {error}"))?;
    }
    Ok(())
}

/// A run in one line.
fn summary(run: &Run) -> String {
    let created = run.create_time.as_ref().map(ToString::to_string);
    let state = json::name(run.state().as_str_name(), "STATE_").to_ascii_lowercase();
    format!(
        "{}  {:<10}  {}  {}  {}",
        run.id,
        state,
        created.unwrap_or_default(),
        run.agent_name,
        run.model,
    )
}

//! `runwire runs`: with a server, or in this process on what a server has left in its data directory.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    Stop,
    args::{AnswerArgs, AnswerVerdict, Common, RunsArgs, RunsCommand},
    interruptible, json, output,
    run::RunPrinter,
    target::{Keeper, Target},
};
use crate::{
    app::Access,
    client::{Error, Since},
    config::Environment,
    pb::v1::{EventDetail, InputAnswer, Run, RunFilter, input_answer::Action, run::State},
};

/// The most that a server gives in one page.
const PAGE: usize = 500;

/// A watch that is silent for so long looks whether anybody goes on with the run.
const SILENCE: Duration = Duration::from_millis(500);

/// Lists, shows, watches or cancels runs.
pub(super) async fn runs(args: RunsArgs, environment: Environment) -> Result<(), Stop> {
    match args.command {
        RunsCommand::List {
            place,
            state,
            label,
            agent,
            limit,
        } => {
            let keeper = Keeper::new(&place, &environment, Access::Read).await?;
            let filter = RunFilter {
                states: state.into_iter().map(i32::from).collect(),
                labels: label.into_iter().collect(),
                agent_name: agent.unwrap_or_default(),
                ..RunFilter::default()
            };
            interruptible(list(&keeper, filter, limit, place.common.json)).await
        }
        RunsCommand::Get { place, id } => {
            let keeper = Keeper::new(&place, &environment, Access::Read).await?;
            let run = interruptible(async { Ok(keeper.client.get_run(&id).await?) }).await?;
            print(&run, &place.common)?;
            note_unfinished(&keeper, !is_over(&run))
        }
        RunsCommand::Watch { place, id, after } => {
            let keeper = Keeper::new(&place, &environment, Access::Read).await?;
            interruptible(watch(&keeper, &id, after, place.common.json)).await
        }
        RunsCommand::Cancel { place, id, reason } => {
            let keeper = Keeper::new(&place, &environment, Access::Write).await?;
            let cancelled = async { Ok(keeper.client.cancel_run(&id, &reason).await?) };
            print(&interruptible(cancelled).await?, &place.common)
        }
        RunsCommand::Answer(args) => answer(args, &environment).await,
    }
}

/// Answers at a server: a run that nobody drives goes nowhere with an answer.
async fn answer(args: AnswerArgs, environment: &Environment) -> Result<(), Stop> {
    let client = Target::configured(&args.common, environment)?;
    let action = match args.verdict {
        AnswerVerdict::Accept => Action::Accept,
        AnswerVerdict::Decline => Action::Decline,
    };
    let answer = InputAnswer {
        input_id: args.input,
        action: action.into(),
        content_json: args.content,
        reason: args.reason,
        principal: String::new(),
    };
    let answered = async { Ok(client.answer_input(&args.id, answer).await?) };
    print(&interruptible(answered).await?, &args.common)
}

async fn list(keeper: &Keeper, filter: RunFilter, limit: usize, json: bool) -> Result<(), Stop> {
    let mut token = String::new();
    let mut left = limit;
    let mut unfinished = false;
    while left > 0 {
        let size = i32::try_from(left.min(PAGE)).unwrap_or(i32::MAX);
        let page = keeper
            .client
            .list_runs(filter.clone(), size, &token)
            .await?;
        for run in page.runs.iter().take(left) {
            unfinished |= !is_over(run);
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
    note_unfinished(keeper, unfinished)
}

/// Says of unfinished runs when nobody goes on with them.
fn note_unfinished(keeper: &Keeper, unfinished: bool) -> Result<(), Stop> {
    if unfinished && !keeper.is_served()? {
        output::note("no server runs: nothing happens to unfinished runs until one does");
    }
    Ok(())
}

async fn watch(keeper: &Keeper, id: &str, after: Option<i64>, json: bool) -> Result<(), Stop> {
    let since = after.map_or(Since::Now, Since::Sequence);
    let mut watch = keeper.client.watch_run(id, since, EventDetail::Full);
    let mut printer = RunPrinter::new(json);
    let mut seen = 0;
    loop {
        match timeout(SILENCE, watch.next()).await {
            Ok(Some(event)) => {
                let event = event?;
                seen = seen.max(event.sequence);
                printer.event(&event)?;
            }
            Ok(None) => break,
            Err(_silent) => give_up_on_rest(keeper, id, seen, &mut printer).await?,
        }
    }
    let run = keeper.client.get_run(id).await?;
    // Of a run that had ended before the watch began, no event tells the answer.
    printer.end_of_watch(&run)
}

/// Ends the watch of a run that has come to rest: all of its log was seen, and nobody goes on with it.
async fn give_up_on_rest(
    keeper: &Keeper,
    id: &str,
    seen: i64,
    printer: &mut RunPrinter,
) -> Result<(), Stop> {
    // In this order: what a server has written before its end is seen.
    if keeper.is_served()? {
        return Ok(());
    }
    let run = keeper.client.get_run(id).await?;
    if is_over(&run) || run.last_sequence > seen {
        return Ok(());
    }
    printer.end_line()?;
    Err(Stop::Unfinished(format!(
        "{id} is {}, and nothing happens to it until a server runs",
        state(&run)
    )))
}

fn is_over(run: &Run) -> bool {
    match run.state() {
        State::Succeeded | State::Failed | State::Cancelled => true,
        State::Unspecified
        | State::Queued
        | State::Running
        | State::InputRequired
        | State::Cancelling => false,
    }
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
    format!(
        "{}  {:<10}  {}  {}  {}",
        run.id,
        state(run),
        created.unwrap_or_default(),
        run.agent_name,
        run.model,
    )
}

/// How a run stands, as people are told.
fn state(run: &Run) -> String {
    json::name(run.state().as_str_name(), "STATE_").to_ascii_lowercase()
}

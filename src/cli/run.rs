//! `runwire run`: an agent from a file.

use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    time::Duration,
};

use tokio::time::timeout;

use super::{
    Stop, agent,
    args::RunArgs,
    complete::{Printer, prompt, tell_unusual_end},
    json, output,
    target::{Local, Target},
};
use crate::{
    client::{Client, Error, message},
    config::Environment,
    pb::v1::{
        FinishReason, Message, Role, Run, RunEvent, RunMessage, ToolCallUpdate,
        required_input::Kind, run, run_event::Event, tool_call_update,
    },
};

/// After Ctrl-C: how long the run's end is waited for.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(12);

/// Runs an agent to its end, printing what it says as it comes. Ctrl-C cancels the run.
pub(super) async fn run(args: RunArgs, environment: Environment, local: Local) -> Result<(), Stop> {
    let input = match args.input {
        Some(input) => Some(prompt(input).await?),
        None => None,
    };
    let instead = agent::Instead {
        model: args.model,
        input,
    };
    let spec = agent::load(&args.file, instead)?;
    if args.detach {
        let client = Target::remote(&args.common, &environment)?;
        let run = client.create_run(spec).await?;
        if args.common.json {
            output::json(&json::run(&run))?;
        } else {
            output::line(&run.id)?;
        }
        return Ok(());
    }
    let target = Target::new(&args.common, environment, local).await?;
    let mut attached = target.client.attach(spec, Vec::new()).cancel_when_lost();
    let mut printer = RunPrinter::new(args.common.json);
    // One for the whole loop: a signal that comes while an event is printed is not lost.
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            biased;
            _ = &mut interrupted => {
                cancel(&target.client, attached.run_id()).await;
                return Err(Stop::Interrupted);
            }
            event = attached.next() => match event {
                Some(event) => printer.event(&event?)?,
                None => break,
            },
        }
    }
    printer.end(attached.run())
}

/// Cancels the run and waits a little, so that its tools are told before this process ends. Ctrl-C again
/// ends the wait.
async fn cancel(client: &Client, run_id: Option<&str>) {
    let Some(run_id) = run_id else {
        return;
    };
    let cancelled = async {
        client.cancel_run(run_id, "interrupted").await?;
        client.wait_for_run(run_id).await
    };
    let waited = tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => return,
        waited = timeout(CANCEL_TIMEOUT, cancelled) => waited,
    };
    match waited {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => output::note(error),
        Err(_) => output::note(format_args!("{run_id} is still stopping")),
    }
}

/// Prints the events of a run.
pub(super) struct RunPrinter {
    json: bool,
    printer: Printer,
    /// The message whose deltas are being printed.
    message_id: String,
    calls: HashMap<String, tool_call_update::State>,
    /// What was asked for already.
    inputs: HashSet<String>,
    finish_reason: FinishReason,
    has_answered: bool,
}

impl RunPrinter {
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            printer: Printer::default(),
            message_id: String::new(),
            calls: HashMap::new(),
            inputs: HashSet::new(),
            finish_reason: FinishReason::Unspecified,
            has_answered: false,
        }
    }

    /// Prints an event.
    pub(super) fn event(&mut self, event: &RunEvent) -> Result<(), Stop> {
        if self.json {
            return Ok(output::json(&json::run_event(event))?);
        }
        match &event.event {
            Some(Event::MessageDelta(delta)) => {
                self.turn_to(&delta.message_id)?;
                for delta in &delta.deltas {
                    self.printer.delta(delta.delta.as_ref(), false)?;
                }
                Ok(())
            }
            Some(Event::MessageCompleted(completed)) => self.completed(completed),
            Some(Event::MessageDiscarded(_)) => {
                self.printer.begin()?;
                output::note("the model's answer broke off; it is asked again");
                Ok(())
            }
            Some(Event::ToolCallUpdated(update)) => self.call(update),
            Some(Event::Snapshot(snapshot)) => {
                for partial in &snapshot.partial_messages {
                    self.whole(partial.message.as_ref())?;
                }
                Ok(())
            }
            Some(Event::RunUpdated(run)) => self.asks(run),
            Some(Event::InputAnswered(_) | Event::PolicyDecided(_) | Event::Heartbeat(_))
            | None => Ok(()),
        }
    }

    /// Says what the run waits for, once.
    fn asks(&mut self, run: &Run) -> Result<(), Stop> {
        for input in &run.required_inputs {
            if !self.inputs.insert(input.id.clone()) {
                continue;
            }
            self.printer.end_line()?;
            match &input.kind {
                Some(Kind::ToolApproval(call)) => output::note(format_args!(
                    "may the tool {} run with {}? {}",
                    call.name, call.arguments_json, input.reason
                )),
                Some(Kind::Question(question)) => {
                    output::note(format_args!("a tool asks: {}", question.message));
                }
                None => {}
            }
            output::note(format_args!(
                "runwire runs answer {} {} accept|decline",
                run.id, input.id
            ));
        }
        Ok(())
    }

    /// Prints what is missing of a message as far as it is known.
    fn whole(&mut self, message: Option<&Message>) -> Result<(), Stop> {
        self.turn_to(message.map_or("", |message| &message.id))?;
        self.printer.rest(&message::text_of(message))
    }

    /// What is printed from here belongs to this message.
    fn turn_to(&mut self, message_id: &str) -> Result<(), Stop> {
        if self.message_id != message_id {
            message_id.clone_into(&mut self.message_id);
            self.printer.begin()?;
        }
        Ok(())
    }

    fn completed(&mut self, completed: &RunMessage) -> Result<(), Stop> {
        let message = completed.message.as_ref();
        if message.is_none_or(|message| message.role() != Role::Assistant) {
            return Ok(());
        }
        self.finish_reason = completed.finish_reason();
        self.has_answered = true;
        self.whole(message)?;
        self.printer.end_line()
    }

    /// Says on standard error what tools do: names and states, no arguments.
    fn call(&mut self, update: &ToolCallUpdate) -> Result<(), Stop> {
        use tool_call_update::State;
        let Some(call) = &update.call else {
            return Ok(());
        };
        let state = update.state();
        if self.calls.insert(call.id.clone(), state) == Some(state) {
            return Ok(());
        }
        self.printer.end_line()?;
        match state {
            State::Pending => output::note(format_args!("tool {} is called", call.name)),
            State::Failed => {
                let error = Error::from(update.error.clone().unwrap_or_default());
                output::note(format_args!("tool {} failed: {error}", call.name));
            }
            State::Cancelled => output::note(format_args!("tool {} was cancelled", call.name)),
            State::InputRequired => output::note(format_args!("tool {} has a question", call.name)),
            State::Unspecified | State::Running | State::Succeeded => {}
        }
        Ok(())
    }

    /// Ends the line that is being printed.
    pub(super) fn end_line(&mut self) -> Result<(), Stop> {
        self.printer.end_line()
    }

    /// Ends the output of a watch: prints the answer when no event did.
    pub(super) fn end_of_watch(&mut self, run: &Run) -> Result<(), Stop> {
        if !self.json && !self.has_answered {
            self.whole(run.output.as_ref())?;
        }
        self.end(Some(run))
    }

    /// Ends the output, and says how the run ended when it did not end well.
    pub(super) fn end(&mut self, run: Option<&Run>) -> Result<(), Stop> {
        self.printer.end_line()?;
        let Some(run) = run else {
            return Err(Stop::Failed("the run's end is not known".to_owned()));
        };
        match run.state() {
            run::State::Succeeded => {
                if !self.json {
                    tell_unusual_end(self.finish_reason);
                }
                Ok(())
            }
            run::State::Failed => {
                let error = run.error.clone().unwrap_or_default();
                Err(Error::from(error).into())
            }
            run::State::Cancelled if run.cancel_reason.is_empty() => {
                Err(Stop::Failed("the run was cancelled".to_owned()))
            }
            run::State::Cancelled => {
                let why = format!("the run was cancelled: {}", run.cancel_reason);
                Err(Stop::Failed(why))
            }
            run::State::Unspecified
            | run::State::InputRequired
            | run::State::Queued
            | run::State::Running
            | run::State::Cancelling => Err(Stop::Failed("the run's end is not known".to_owned())),
        }
    }
}

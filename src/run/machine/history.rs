//! A run is its log: what an earlier life of it has stored becomes a machine again.
//!
//! Restored is what was decided: the conversation, the sums, how each call stands. What nobody could
//! know of is not: a question to the model is asked again, a look at the tools begins again, and what was
//! waited for is waited for anew.

use std::sync::Arc;

use super::{Call, Cx, Machine, Settled, Stage, World};
use crate::{
    domain::{
        event::{CallPlan, CallState, Fact, RunMessage, ToolCallUpdate},
        fault::{Fault, Reason},
        id::MessageId,
        message::{Message, Role, ToolCall},
        run::{Run, RunSpec, RunState},
        time::Timestamp,
    },
    run::Settings,
};

/// What a run's log says, as far as it was read.
#[derive(Debug)]
pub struct History {
    machine: Machine,
    /// Messages of the model that came to their end, be it that they were withdrawn.
    messages: u64,
    /// The calls of the newest answer, while their results are not in the conversation.
    open: Option<Vec<Open>>,
}

/// A call whose turn is not over.
#[derive(Debug)]
struct Open {
    call: Arc<ToolCall>,
    update: Option<Arc<ToolCallUpdate>>,
    plan: Option<Arc<CallPlan>>,
    begun: u32,
}

impl History {
    /// The history of a run, of which nothing was read but how it stands.
    pub fn new(spec: Arc<RunSpec>, run: Arc<Run>, settings: Arc<Settings>) -> Self {
        Self {
            machine: Machine::new(spec, run, settings),
            messages: 0,
            open: None,
        }
    }

    /// What was said before the run; nothing, while it waits for its turn.
    pub fn take_in(&mut self, before: Vec<Arc<Message>>) {
        self.machine.take_in(before);
    }

    /// Reads on.
    pub fn add(&mut self, fact: &Fact) {
        match fact {
            Fact::RunUpdated(run) => {
                if run.has_begun() && self.machine.is_queued() {
                    self.machine.hear_out();
                }
                self.machine.run = Arc::clone(run);
                self.machine.world.set_clock(run);
            }
            Fact::MessageDiscarded { .. } => self.messages += 1,
            Fact::MessageCompleted(completed) => self.add_message(completed),
            Fact::ToolCallUpdated(update) => self.add_update(update),
            // What they have changed stands in the facts that came with them.
            Fact::InputAnswered(_) | Fact::PolicyDecided(_) => {}
        }
    }

    fn add_message(&mut self, completed: &RunMessage) {
        let message = &completed.message;
        if matches!(message.role, Role::User | Role::System) {
            return self.machine.waiting.push(Arc::clone(message));
        }
        self.machine.conversation.push(Arc::clone(message));
        if message.role == Role::Tool {
            for call in self.open.take().into_iter().flatten() {
                if let Some(update) = call.update {
                    let settled = Settled::from(&*update);
                    self.machine.settled.insert(call.call.id.clone(), settled);
                }
            }
            return self.machine.hear_out();
        }
        self.messages += 1;
        let calls: Vec<Open> = message.tool_calls().map(Open::new).collect();
        if calls.is_empty() {
            self.machine.hear_out();
        } else {
            self.machine.count_calls(calls.len());
            self.open = Some(calls);
        }
    }

    fn add_update(&mut self, update: &Arc<ToolCallUpdate>) {
        let calls = self.open.iter_mut().flatten();
        if let Some(open) = calls
            .into_iter()
            .find(|open| open.call.id == update.call.id)
        {
            // Not when it goes on after a question.
            let asked = open.update.as_ref().map(|known| known.state);
            let begins =
                update.state == CallState::Running && asked != Some(CallState::InputRequired);
            open.begun += u32::from(begins);
            open.plan = update.plan.clone().or(open.plan.take());
            open.update = Some(Arc::clone(update));
        }
    }

    /// How the run stands.
    pub const fn run(&self) -> &Arc<Run> {
        &self.machine.run
    }

    /// The number in the run of the model's next message.
    pub const fn messages(&self) -> u64 {
        self.messages
    }

    /// Whether tools were waited for, and not the model.
    pub const fn is_calling(&self) -> bool {
        self.open.is_some()
    }

    /// The calls that are not done, as watchers know them.
    pub fn running_calls(&self) -> Vec<Arc<ToolCallUpdate>> {
        let updates = self.open.iter().flatten();
        updates
            .filter_map(|open| open.update.clone())
            .filter(|update| !update.state.is_terminal())
            .collect()
    }

    /// Somebody asks the run to stop before it goes on: fed [`Input::Resume`](super::Input::Resume), it
    /// ends at once. Only the first time counts, that of an earlier life included.
    pub fn cancel(&mut self, now: Timestamp, reason: String) {
        if self.machine.run.state != RunState::Cancelling {
            self.machine.update_run(|run| {
                run.wait_for(now, Vec::new(), false);
                run.state = RunState::Cancelling;
                run.cancel_reason = reason;
            });
        }
    }

    /// The run, to be fed [`Input::Resume`](super::Input::Resume) first. `results_id` is for the message
    /// with the results of the calls that are open.
    pub fn restore(self, results_id: MessageId) -> Machine {
        let mut machine = self.machine;
        machine.cancelling = machine.run.state == RunState::Cancelling;
        if machine.run.state.is_terminal() {
            machine.stage = Stage::Over;
        } else if let Some(open) = self.open {
            let calls = open.into_iter().map(|open| open.restore(&machine.world));
            let mut calls: Vec<Call> = calls.collect();
            for input in &machine.run.waiting.inputs {
                for call in &mut calls {
                    call.hold_again(input);
                }
            }
            machine.stage = Stage::Calling { calls, results_id };
        }
        machine
    }
}

impl Open {
    fn new(call: &ToolCall) -> Self {
        Self {
            call: Arc::new(call.clone()),
            update: None,
            plan: None,
            begun: 0,
        }
    }

    fn restore(self, world: &World) -> Call {
        match self.update {
            Some(update) => {
                let (plan, begun) = (self.plan.as_deref(), self.begun);
                Call::recovered(&self.call, update, (plan, begun), world)
            }
            // The log has every answer with its calls; one without them was never delivered.
            None => Call::refused(self.call),
        }
    }
}

impl Machine {
    /// Goes on where an earlier life of the run has ended.
    pub(super) fn resume(&mut self, now: Timestamp, message_id: MessageId, end: Option<Fault>) {
        let is_queued = self.is_queued();
        match &mut self.stage {
            Stage::New if is_queued => {}
            Stage::New => {
                let why = "the server ended in the middle of the answer";
                let error = Fault::new(Reason::ProviderStreamBroken, why);
                self.out.fact(Fact::MessageDiscarded { message_id, error });
            }
            Stage::Calling { calls, .. } => {
                let mut cx = Cx {
                    now,
                    world: &self.world,
                    out: &mut self.out,
                };
                for call in calls {
                    call.resume(&mut cx);
                }
            }
            Stage::Over
            | Stage::Recalling
            | Stage::Offering { .. }
            | Stage::Asking { .. }
            | Stage::Checking { .. } => return,
        }
        if self.cancelling {
            self.leave_stage(now, &Fault::new(Reason::Cancelled, "the run was cancelled"));
            self.end(now, RunState::Cancelled, |_| {});
        } else if let Some(fault) = end {
            self.fail(now, fault);
        } else if is_queued {
            // Until it is told to proceed.
        } else if self.world.is_out_of_time(now) {
            self.time_out(now);
        } else if matches!(self.stage, Stage::New) {
            self.begin_turn(now);
        } else {
            self.advance(now);
        }
    }
}

//! The loop of a run as a pure function: inputs go in, facts and effects come out.
//!
//! Nothing here waits, reads a clock or mints an id, so every decision of a run can be tested without
//! a server, and the same inputs always give the same outputs.
//!
//! ```text
//! Begin ─► offer tools ─► ask the model ─► calls? ──no──► SUCCEEDED
//!               ▲                            │yes
//!               │                     check arguments ─► run all calls at once
//!               └──── results, in the order of the calls ◄────┘
//! ```
//!
//! The model is told and the run goes on: whatever goes wrong with a call becomes an error result. Only
//! limits, cancellation and a provider that fails for good end a run early, each with its own reason.
//!
//! System instructions come first in the conversation, once, also when the input begins with a system
//! message of its own, which then follows them.

mod approval;
mod call;
mod effect;
mod ending;
mod history;
mod line;
mod settled;
mod trouble;
mod turn;
mod world;

#[cfg(test)]
mod tests;

use std::{collections::HashMap, mem, sync::Arc, time::Duration};

use call::Call;
pub use effect::{Answered, Effect, Input, News, Step};
pub use history::History;
pub(in crate::run) use settled::Settled;
use world::{Cx, Out, World};

use super::{Settings, port::Offer};
use crate::domain::{
    call::{Delivery, Disposition, Report},
    event::Fact,
    fault::Fault,
    id::{CallId, MessageId},
    message::{Message, Role},
    model::Options,
    run::{Run, RunSpec, RunState},
    time::Timestamp,
};

/// A live run, without the world around it.
#[derive(Debug)]
pub struct Machine {
    world: World,
    run: Arc<Run>,
    stage: Stage,
    /// Set while the run is being cancelled: the hosts' words are awaited.
    cancelling: bool,
    /// What the model is sent. Shared with every request, never copied.
    conversation: Vec<Arc<Message>>,
    /// The options of the next turn: a forced tool choice holds until the first call only.
    options: Arc<Options>,
    /// Calls of earlier turns, for reports that come late.
    settled: HashMap<CallId, Settled>,
    /// Said to the run in the middle of a turn: for the next one.
    waiting: Vec<Arc<Message>>,
    /// Tool calls so far.
    call_count: u32,
    out: Out,
}

/// What the run is doing.
#[derive(Debug)]
enum Stage {
    /// Not begun.
    New,
    /// Waits for what was said before the run.
    Recalling,
    /// Waits for the definitions of its tools.
    Offering {
        since: Timestamp,
        missing: Option<usize>,
    },
    /// Waits for the model.
    Asking {
        offers: Vec<Offer>,
        /// The message in progress, once anything of it was shown.
        message: Option<MessageId>,
        shown: bool,
    },
    /// Waits for the verdict on the arguments of the model's calls.
    Checking {
        drafts: Vec<turn::Draft>,
        results_id: MessageId,
    },
    /// Waits for tools.
    Calling {
        calls: Vec<Call>,
        results_id: MessageId,
    },
    /// Ended.
    Over,
}

impl Machine {
    /// A run that was created as `run` and has done nothing as yet.
    pub fn new(spec: Arc<RunSpec>, run: Arc<Run>, settings: Arc<Settings>) -> Self {
        let instructions = &spec.agent.instructions;
        let mut conversation = Vec::with_capacity(spec.input.len() + 3);
        if !instructions.is_empty() {
            conversation.push(Arc::new(Message::text(Role::System, instructions.clone())));
        }
        conversation.extend(spec.input.iter().cloned());
        Self {
            options: Arc::clone(&spec.agent.options),
            world: World::new(spec, &run, settings),
            run,
            stage: Stage::New,
            cancelling: false,
            conversation,
            settled: HashMap::new(),
            waiting: Vec::new(),
            call_count: 0,
            out: Out::default(),
        }
    }

    /// Takes an input. An input that comes too late for what the run is doing changes nothing.
    pub fn step(&mut self, now: Timestamp, input: Input) -> Step {
        let receipt = self.take(now, input);
        let facts = self.facts_to_store(now);
        Step {
            facts,
            effects: mem::take(&mut self.out.effects),
            receipt,
        }
    }

    /// The facts that something waits for, with those that ride along. The facts of an answer wait for the
    /// verdict on its calls, so that the log never has the one without the other.
    fn facts_to_store(&mut self, now: Timestamp) -> Vec<Fact> {
        let due = self.out.flush_at.is_some_and(|at| at <= now);
        let is_checking = matches!(self.stage, Stage::Checking { .. });
        if is_checking || !(self.out.urgent || due) {
            return Vec::new();
        }
        self.out.urgent = false;
        self.out.flush_at = None;
        mem::take(&mut self.out.facts)
    }

    /// When [`Input::Tick`] is due.
    pub fn deadline(&self) -> Option<Timestamp> {
        let of_stage = match &self.stage {
            Stage::Over => return None,
            Stage::Offering {
                since,
                missing: Some(binding),
            } => Some(*since + self.world.accept_timeout(*binding)),
            Stage::Calling { calls, .. } => calls.iter().filter_map(Call::deadline).min(),
            Stage::New
            | Stage::Recalling
            | Stage::Offering { .. }
            | Stage::Asking { .. }
            | Stage::Checking { .. } => None,
        };
        let held = self.cancelling || self.is_queued();
        let of_run = self.world.deadline().filter(|_| !held);
        [of_stage, of_run, self.out.flush_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// What the run has left of its time.
    pub fn time_left(&self, now: Timestamp) -> Duration {
        self.world.time_left(now)
    }

    /// Whether nothing is under way until a person answers, or does not in time.
    pub fn is_idle(&self) -> bool {
        self.run.state == RunState::InputRequired && self.run.waiting.is_idle
    }

    /// Whether the run has ended, or will have once the facts of the last step are stored.
    pub const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// The deliveries that are not over.
    pub fn deliveries(&self) -> Vec<Delivery> {
        match &self.stage {
            Stage::Calling { calls, .. } => calls
                .iter()
                .filter(|call| call.is_delivered())
                .map(Call::delivery)
                .collect(),
            Stage::New
            | Stage::Recalling
            | Stage::Offering { .. }
            | Stage::Asking { .. }
            | Stage::Checking { .. }
            | Stage::Over => Vec::new(),
        }
    }

    /// What a run knows that its next steps depend on, and that is not of its present stage.
    #[cfg(test)]
    fn remembered(&self) -> impl std::fmt::Debug {
        let mut settled: Vec<_> = self.settled.iter().collect();
        settled.sort_by_key(|(call_id, _)| call_id.as_str());
        let settled = format!("{settled:?}");
        (
            Arc::clone(&self.run),
            self.conversation.clone(),
            self.waiting.clone(),
            self.options.tool_choice.clone(),
            settled,
            self.call_count,
        )
    }

    fn take(&mut self, now: Timestamp, input: Input) -> Option<Disposition> {
        match input {
            Input::Call { delivery, news } => return self.hear(now, &delivery, news),
            Input::Cancel { reason } => return Some(self.cancel(now, reason)),
            Input::Answer { answers, principal } => {
                return Some(self.answer(now, answers, &principal));
            }
            Input::AddMessages(messages) => return Some(self.add_messages(messages)),
            Input::Begin => self.begin(now),
            Input::Proceed => self.proceed(now),
            Input::Recalled(before) => self.recalled(now, before),
            Input::Resume { message_id, end } => self.resume(now, message_id, end),
            Input::Tick => self.tick(now),
            Input::Offered(offers) => self.offered(now, offers),
            Input::Missing { binding } => self.missing(now, binding),
            Input::Checked(verdicts) => self.checked(now, verdicts),
            Input::ModelStarted { model, message_id } => self.model_started(now, model, message_id),
            Input::MessageShown => self.message_shown(),
            Input::ModelDiscarded(error) => self.discard_message(error),
            Input::ModelFinished(answered) => self.model_finished(now, *answered),
            Input::ModelFailed(fault) => self.model_failed(now, fault),
            Input::Abort(fault) => self.fail(now, fault),
        }
        None
    }

    /// News of a call: of the present turn, of an earlier one, or of none.
    fn hear(&mut self, now: Timestamp, delivery: &Delivery, news: News) -> Option<Disposition> {
        if let Stage::Calling { calls, .. } = &mut self.stage
            && let Some(call) = calls
                .iter_mut()
                .find(|call| call.update().call.id == delivery.call_id)
        {
            if call.is_awaited(delivery.attempt) {
                let mut cx = Cx {
                    now,
                    world: &self.world,
                    out: &mut self.out,
                };
                let receipt = call.hear(news, &mut cx);
                self.advance(now);
                return receipt;
            }
            let settled = Settled::from(&**call.update());
            return late(settled, delivery, &news);
        }
        match self.settled.get(&delivery.call_id) {
            Some(settled) => late(*settled, delivery, &news),
            None => as_report(&news).map(|_| Disposition::Stale),
        }
    }

    fn tick(&mut self, now: Timestamp) {
        if self.is_over() {
            return;
        }
        if self.world.is_out_of_time(now) && !self.cancelling && !self.is_queued() {
            return self.time_out(now);
        }
        match &mut self.stage {
            Stage::Offering {
                since,
                missing: Some(binding),
            } => {
                let (since, binding) = (*since, *binding);
                if now >= since + self.world.accept_timeout(binding) {
                    self.fail_without_host(now, binding);
                }
            }
            Stage::Calling { calls, .. } => {
                let mut cx = Cx {
                    now,
                    world: &self.world,
                    out: &mut self.out,
                };
                for call in calls {
                    call.tick(&mut cx);
                }
                self.advance(now);
            }
            Stage::New
            | Stage::Recalling
            | Stage::Offering { .. }
            | Stage::Asking { .. }
            | Stage::Checking { .. }
            | Stage::Over => {}
        }
    }

    /// Changes the run and says so.
    fn update_run(&mut self, change: impl FnOnce(&mut Run)) {
        change(Arc::make_mut(&mut self.run));
        self.world.set_clock(&self.run);
        self.out.fact(Fact::RunUpdated(Arc::clone(&self.run)));
    }

    /// Ends the run.
    fn end(&mut self, now: Timestamp, state: RunState, change: impl FnOnce(&mut Run)) {
        self.stage = Stage::Over;
        self.update_run(|run| {
            run.wait_for(now, Vec::new(), false);
            run.state = state;
            run.end_time = Some(now);
            change(run);
        });
    }

    fn fail(&mut self, now: Timestamp, fault: Fault) {
        if self.is_over() {
            return;
        }
        self.leave_stage(now, &fault);
        self.end(now, RunState::Failed, |run| run.error = Some(fault));
    }
}

/// What a report is answered that no call waits for.
fn late(settled: Settled, delivery: &Delivery, news: &News) -> Option<Disposition> {
    as_report(news).map(|report| settled.disposition(delivery.attempt, report))
}

/// The report that wants a receipt.
fn as_report(news: &News) -> Option<&Report> {
    match news {
        News::Reported {
            report: Report::Progress(_),
            ..
        }
        | News::Assigned { .. }
        | News::NotBegun
        | News::Lost
        | News::Changed
        | News::Withdrawn => None,
        News::Reported { report, .. } => Some(report),
    }
}

//! The shell around one run's machine: feeds it inputs, stores its facts, performs its effects.
//!
//! One task for each live run. It waits in one place, [`Intake::gather`], takes all that has come,
//! steps the machine through it, stores the facts of all those steps in one append, answers the receipts
//! that waited for them, and only then performs the effects.

mod intake;

#[cfg(test)]
mod tests;

use std::{mem, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use intake::{Gathered, Intake};
use tokio::time::{Instant, timeout};
use tracing::{error, info};

use super::{
    Ports, Settings,
    fail::{self, Point},
    generate::{OnBreak, Plan, generate},
    lineage::Lineage,
    log::Log,
    machine::{Effect, Input, Machine},
    port::{Answer, Inbox, ReceiptSlip},
};
use crate::domain::{
    call::{Disposition, StopReason},
    completion::Request,
    event::Fact,
    fault::{Fault, Reason},
    input::InputAnswer,
    principal::Tenant,
    run::{Run, RunSpec, RunState},
    thread::Continuation,
    time::Timestamp,
};

/// What all drivers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) ports: Ports,
    pub(super) settings: Arc<Settings>,
}

/// What a driver begins with.
pub(super) struct Start {
    pub(super) machine: Machine,
    /// What the machine is fed first.
    pub(super) first: Input,
    /// The number of the model's next message.
    pub(super) messages: u64,
}

/// How a run's task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The run has ended.
    Over,
    /// Nothing happens until a person does something, and nobody looks.
    Idle,
    /// The store does not take its facts: it is as its log says, and can go on from there.
    Suspended,
}

/// One live run.
pub(super) struct Driver {
    shared: Arc<Shared>,
    tenant: Tenant,
    spec: Arc<RunSpec>,
    machine: Machine,
    log: Arc<Log>,
    /// Where news of its calls goes.
    inbox: Inbox,
    intake: Intake,
    /// Whether the machine is in the middle of a step: after a panic there it is not to be trusted.
    stepping: bool,
}

/// What a batch of steps asks for.
#[derive(Default)]
struct Batch {
    facts: Vec<Fact>,
    receipts: Vec<(ReceiptSlip, Disposition)>,
    effects: Vec<Effect>,
}

impl Driver {
    /// A run that the store has. Its mailbox is the other end of `inbox`.
    pub(super) fn new(
        shared: Arc<Shared>,
        spec: Arc<RunSpec>,
        log: Arc<Log>,
        mailbox: (Inbox, intake::Mailbox),
        start: Start,
    ) -> Self {
        let run = log.run();
        let (inbox, receiver) = mailbox;
        let numbers = (run.id, start.messages);
        let mut intake = Intake::new(receiver, shared.settings.mailbox, numbers);
        intake.push(start.first);
        Self {
            tenant: run.tenant.clone(),
            machine: start.machine,
            intake,
            shared,
            spec,
            log,
            inbox,
            stepping: false,
        }
    }

    /// Drives the run as far as it comes; [`Driver::close`] it then. Whatever happens in here, a panic
    /// included, ends this run and nothing else.
    pub(super) async fn drive(&mut self) -> End {
        match AssertUnwindSafe(self.run()).catch_unwind().await {
            Ok(Ok(end)) => end,
            Ok(Err(fault)) => self.give_up(&fault),
            Err(_panic) => Box::pin(self.crash()).await,
        }
    }

    /// Whose run it is.
    pub(super) const fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Its run, if that waits for its turn, with its mailbox.
    pub(super) fn queued(&self) -> Option<(Arc<Run>, Inbox)> {
        let run = self.log.run();
        (run.state == RunState::Queued).then(|| (run, self.inbox.clone()))
    }

    /// Whether the run cancels those before it.
    pub(super) fn cancels_active(&self) -> bool {
        let from = self.spec.continuation.as_ref();
        from.is_some_and(Continuation::cancels_active)
    }

    /// The newest event of its log.
    pub(super) fn head(&self) -> u64 {
        self.log.head()
    }

    /// The run as it was last stored.
    pub(super) fn run_now(&self) -> Arc<Run> {
        self.log.run()
    }

    /// Whether nobody wants anything of the run, which waits for people: then whoever watches it from now on
    /// does without its log.
    pub(super) fn may_rest(&self) -> bool {
        self.machine.is_idle() && self.intake.is_quiet() && self.log.rest()
    }

    async fn run(&mut self) -> Result<End, Fault> {
        loop {
            while let Some(inputs) = self.intake.take() {
                self.settle(inputs).await?;
            }
            if self.machine.is_over() {
                return Ok(End::Over);
            }
            let due = self.machine.deadline();
            let clock = &*self.shared.ports.clock;
            let gathered = self.intake.gather(clock, &self.log, due);
            let changed = if self.machine.is_idle() {
                match timeout(self.shared.settings.park_after, gathered).await {
                    Ok(changed) => changed,
                    Err(_elapsed) => return Ok(End::Idle),
                }
            } else {
                gathered.await
            };
            if changed {
                self.offer();
            }
        }
    }

    /// Steps the machine through a batch, stores what that changed, then tells the world.
    async fn settle(&mut self, inputs: Vec<Gathered>) -> Result<(), Fault> {
        let now = self.now();
        let mut batch = Batch::default();
        for (input, slip) in inputs {
            self.step(now, input, slip, &mut batch);
        }
        if !batch.facts.is_empty() {
            fail::pass(Point::BeforeCommit);
            self.commit(now, batch.facts).await?;
            fail::pass(Point::AfterCommit);
        }
        if !batch.receipts.is_empty() {
            for (slip, disposition) in batch.receipts {
                slip.answer(disposition);
            }
            fail::pass(Point::AfterReceipts);
        }
        if !batch.effects.is_empty() {
            for effect in batch.effects {
                self.perform(effect);
            }
            fail::pass(Point::AfterEffects);
        }
        Ok(())
    }

    fn step(&mut self, now: Timestamp, input: Input, slip: Option<ReceiptSlip>, batch: &mut Batch) {
        if let Input::Answer { answers, .. } = &input
            && let Err(fault) = self.judge(answers)
        {
            if let Some(slip) = slip {
                slip.refuse(fault);
            }
            return;
        }
        self.stepping = true;
        let step = self.machine.step(now, input);
        self.stepping = false;
        batch.facts.extend(step.facts);
        batch.effects.extend(step.effects);
        batch.receipts.extend(slip.zip(step.receipt));
    }

    /// Whether all answers fit what is asked.
    fn judge(&self, answers: &[InputAnswer]) -> Result<(), Fault> {
        let tools = &self.shared.ports.tools;
        for (index, answer) in answers.iter().enumerate() {
            let judged = self.machine.judge(answer, |schema, content| {
                tools.check_answer(schema, content)
            });
            judged.map_err(|fault| {
                let field = format!("answers[{index}].content_json");
                Fault::field(fault.reason, field, fault.message)
            })?;
        }
        Ok(())
    }

    async fn commit(&mut self, now: Timestamp, facts: Vec<Fact>) -> Result<(), Fault> {
        let limit = self.shared.settings.store_timeout;
        // In a box of its own: a run that waits must not keep room for it.
        Box::pin(timeout(limit, self.log.commit(now, facts)))
            .await
            .unwrap_or_else(|_elapsed| {
                let why = "the store did not answer in time";
                Err(Fault::new(Reason::StoreUnavailable, why))
            })
    }

    fn perform(&mut self, effect: Effect) {
        let tools = &self.shared.ports.tools;
        match effect {
            Effect::Offer => self.offer(),
            Effect::Recall => self.recall(),
            Effect::Check(calls) => {
                let verdicts = calls
                    .iter()
                    .map(|(spec, arguments)| tools.check(spec, arguments))
                    .collect();
                self.intake.push(Input::Checked(verdicts));
            }
            Effect::CallModel(request) => self.call_model(request),
            Effect::StopModel => self.intake.drop_model(),
            Effect::Assign(assignment) => {
                tools.assign(&self.tenant, *assignment, self.inbox.clone());
            }
            Effect::Cancel(delivery, reason) => tools.cancel(&delivery, reason),
            Effect::Answer(delivery, number, answer) => tools.answer(&delivery, number, answer),
            Effect::Release(delivery) => tools.release(&delivery),
            Effect::Progress(update, progress) => self.log.progress(None, update, progress),
        }
    }

    fn recall(&mut self) {
        let (lineage, run, spec) = (self.lineage(), self.log.run(), Arc::clone(&self.spec));
        let past = async move { lineage.patiently_before(&run, &spec).await };
        self.intake.recall(past.boxed());
    }

    fn lineage(&self) -> Lineage {
        Lineage {
            store: Arc::clone(&self.shared.ports.store),
            tenant: self.tenant.clone(),
            most: self.shared.settings.max_line,
        }
    }

    fn offer(&mut self) {
        let tools = &*self.shared.ports.tools;
        self.intake
            .offer(tools, &self.tenant, &self.spec.agent.tools);
    }

    fn call_model(&mut self, request: Request) {
        let agent = &self.spec.agent;
        let mut models = Vec::with_capacity(1 + agent.fallback_models.len());
        models.push(agent.model.clone());
        models.extend_from_slice(&agent.fallback_models);
        let left = self.machine.time_left(self.now());
        let plan = Plan {
            models,
            // An answer in one piece is cheaper, and nobody would see it grow.
            answer: if self.log.has_full_watchers() {
                Answer::Streamed
            } else {
                Answer::Whole
            },
            on_break: OnBreak::Restart,
            retry: self.shared.settings.retry,
            deadline: Instant::now().checked_add(left),
        };
        let models = Arc::clone(&self.shared.ports.models);
        self.intake.ask(generate(models, plan, request));
    }

    fn now(&self) -> Timestamp {
        self.shared.ports.clock.now()
    }

    // === endings that the machine does not decide ===

    /// The store does not take the run's facts: nobody can be told anything more that would last.
    fn give_up(&mut self, fault: &Fault) -> End {
        error!(run.id = %self.inbox.run_id(), reason = %fault.reason, "a run is set aside: its store fails");
        self.abandon_calls();
        self.intake.drop_model();
        self.log.lose(fault.clone());
        End::Suspended
    }

    /// A defect ended the run's task.
    async fn crash(&mut self) -> End {
        error!(run.id = %self.inbox.run_id(), "a run's task has panicked");
        self.intake.drop_model();
        let fault = Fault::new(Reason::Internal, "a defect of the server ended the run");
        let ending = AssertUnwindSafe(self.end_crashed(fault.clone())).catch_unwind();
        match ending.await {
            Ok(Ok(())) => End::Over,
            Ok(Err(_)) | Err(_) => self.give_up(&fault),
        }
    }

    async fn end_crashed(&mut self, fault: Fault) -> Result<(), Fault> {
        let now = self.now();
        if mem::take(&mut self.stepping) {
            self.abandon_calls();
            let ending = failed(&self.log.run(), now, fault);
            return self.commit(now, vec![ending]).await;
        }
        let mut batch = Batch::default();
        self.step(now, Input::Abort(fault), None, &mut batch);
        for effect in batch.effects {
            self.perform(effect);
        }
        self.commit(now, batch.facts).await
    }

    fn abandon_calls(&self) {
        let tools = &self.shared.ports.tools;
        for delivery in self.machine.deliveries() {
            tools.cancel(&delivery, StopReason::RunCancelled);
            tools.release(&delivery);
        }
    }

    /// Answers what is still in the mailbox, and forgets the run.
    pub(super) fn close(mut self, end: End) {
        let run = self.log.run();
        self.shared.ports.tools.forget_run(run.id);
        match end {
            End::Suspended | End::Idle => return,
            End::Over => info!(
                run.id = %run.id,
                run.state = ?run.state,
                run.turns = run.turn_count,
                reason = run.error.as_ref().map(|error| error.reason.name()),
                "run ended"
            ),
        }
        if !self.machine.is_over() {
            return;
        }
        let now = self.now();
        for (input, slip) in self.intake.close() {
            let receipt = self.machine.step(now, input).receipt;
            if let Some((slip, disposition)) = slip.zip(receipt) {
                slip.answer(disposition);
            }
        }
    }
}

/// The end of a run whose machine is not to be trusted.
fn failed(run: &Run, now: Timestamp, fault: Fault) -> Fact {
    Fact::RunUpdated(Arc::new(Run {
        state: RunState::Failed,
        error: Some(fault),
        end_time: Some(now),
        ..run.clone()
    }))
}

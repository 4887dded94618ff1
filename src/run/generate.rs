//! A model's answer with retries and fallbacks: what both completions and runs ask for.
//!
//! What a failed attempt has not shown, nobody learns of: `Started` is held back until the first delta
//! or the whole answer, so that until then a retry and a fallback are invisible.

use std::{
    collections::hash_map::RandomState,
    fmt::Write,
    future::Future,
    hash::BuildHasher,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::Stream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::{
    port::{Answer, ModelStream, Models, RetryPolicy},
    retry::{self, Budget},
};
use crate::domain::{
    completion::{ModelEvent, Request},
    fault::{Fault, Reason},
    model::ModelRef,
};

/// What to do when an answer breaks after part of it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBreak {
    /// Fail: the caller has seen it and decides (completions).
    Fail,
    /// Withdraw it with `Discarded` and begin again (runs).
    Restart,
}

/// Which models, and how hard to try.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The model and its fallbacks, in order, never empty.
    pub models: Vec<ModelRef>,
    /// How the answer is wanted.
    pub answer: Answer,
    /// What to do when it breaks.
    pub on_break: OnBreak,
    /// Retries of each model.
    pub retry: RetryPolicy,
    /// When to give up with `DEADLINE`.
    pub deadline: Option<Instant>,
}

/// Asks the models in turn. The stream keeps the order of [`ModelEvent`], and begins nothing before it
/// is polled.
///
/// Its last fault names every attempt in the metadata `attempts`: `openai:x=PROVIDER_OVERLOADED,ollama:y=…`.
/// Dropping it drops the provider's call at once.
pub fn generate(models: Arc<dyn Models>, plan: Plan, request: Request) -> ModelStream {
    Box::pin(Generation {
        begun: Instant::now(),
        deadline: plan.deadline.map(|at| Box::pin(sleep_until(at))),
        // Chance is wanted here: runs that failed together must not come back together.
        seed: RandomState::new().hash_one(0),
        models,
        plan,
        request,
        model: 0,
        attempts: 0,
        failures: String::new(),
        held: None,
        shown: false,
        ready: None,
        phase: Phase::Calling,
    })
}

/// One answer in the making.
struct Generation {
    models: Arc<dyn Models>,
    plan: Plan,
    request: Request,
    begun: Instant,
    deadline: Option<Pin<Box<Sleep>>>,
    seed: u64,
    /// Which of the plan's models is asked.
    model: usize,
    /// How often it was asked.
    attempts: u32,
    /// What became of every attempt, for the last fault.
    failures: String,
    /// `Started` of this attempt, until there is something to show.
    held: Option<ModelRef>,
    /// Whether a delta of this attempt was shown.
    shown: bool,
    /// Comes after the `Started` that was held.
    ready: Option<ModelEvent>,
    phase: Phase,
}

enum Phase {
    /// The model is to be asked.
    Calling,
    /// It answers.
    Reading(ModelStream),
    /// It has failed and is left alone for a while.
    Waiting(Pin<Box<Sleep>>),
    /// Nothing more comes.
    Ended,
}

type Item = Result<ModelEvent, Fault>;

impl Stream for Generation {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        let this = &mut *self;
        if let Some(event) = this.ready.take() {
            return Poll::Ready(Some(Ok(event)));
        }
        loop {
            if this.deadline_passed(cx) {
                return Poll::Ready(Some(Err(this.give_up(deadline_fault()))));
            }
            match &mut this.phase {
                Phase::Calling => this.phase = this.call(),
                Phase::Waiting(pause) => {
                    ready!(pause.as_mut().poll(cx));
                    this.phase = Phase::Calling;
                }
                Phase::Reading(answer) => {
                    let item = ready!(answer.as_mut().poll_next(cx));
                    if let Some(item) = this.take(item) {
                        return Poll::Ready(Some(item));
                    }
                }
                Phase::Ended => return Poll::Ready(None),
            }
        }
    }
}

impl Generation {
    fn deadline_passed(&mut self, cx: &mut Context<'_>) -> bool {
        let live = !matches!(self.phase, Phase::Ended);
        match &mut self.deadline {
            Some(deadline) if live => deadline.as_mut().poll(cx).is_ready(),
            Some(_) | None => false,
        }
    }

    /// Asks the model that is next. There always is one: [`Generation::failed`] looks before it goes on.
    fn call(&mut self) -> Phase {
        let Some(model) = self.plan.models.get(self.model) else {
            let fault = Fault::new(Reason::Internal, "a plan without models");
            return Phase::Reading(Box::pin(futures_util::stream::iter([Err(fault)])));
        };
        self.attempts += 1;
        self.held = None;
        self.shown = false;
        Phase::Reading(
            self.models
                .call(model, self.request.clone(), self.plan.answer),
        )
    }

    /// What an item of the provider's answer becomes; `None`: nothing to show.
    fn take(&mut self, item: Option<Item>) -> Option<Item> {
        match item {
            Some(Ok(ModelEvent::Started { model })) => {
                self.held = Some(model);
                None
            }
            Some(Ok(event @ ModelEvent::Delta(_))) => {
                self.shown = true;
                Some(Ok(self.show(event)))
            }
            Some(Ok(event @ ModelEvent::Finished(_))) => {
                self.phase = Phase::Ended;
                Some(Ok(self.show(event)))
            }
            Some(Ok(ModelEvent::Discarded(fault)) | Err(fault)) => self.failed(fault),
            None => self.failed(Fault::new(
                Reason::ProviderStreamBroken,
                "the answer ended before it was whole",
            )),
        }
    }

    /// Shows an event, behind the `Started` that was held back for it.
    fn show(&mut self, event: ModelEvent) -> ModelEvent {
        match self.held.take() {
            Some(model) => {
                self.ready = Some(event);
                ModelEvent::Started { model }
            }
            None => event,
        }
    }

    /// An attempt has failed: decides what comes next, and drops the provider's call.
    fn failed(&mut self, fault: Fault) -> Option<Item> {
        self.note(&fault);
        let settled = self.shown && self.plan.on_break == OnBreak::Fail;
        let next = if settled { None } else { self.next(&fault) };
        let Some(phase) = next else {
            return Some(Err(self.give_up(fault)));
        };
        self.phase = phase;
        self.shown.then_some(Ok(ModelEvent::Discarded(fault)))
    }

    /// The same model after a wait, else the next one at once, else nothing.
    fn next(&mut self, fault: &Fault) -> Option<Phase> {
        let budget = self.budget();
        let seed = self.seed.wrapping_add(self.model as u64);
        let wait = retry::next_wait(&self.plan.retry, fault, self.attempts, budget, seed);
        if let Some(wait) = wait {
            return Some(Phase::Waiting(Box::pin(sleep(wait))));
        }
        let another = self.model + 1 < self.plan.models.len();
        if !another || !budget.is_none_or(|b| b.allows(Duration::ZERO)) {
            return None;
        }
        self.model += 1;
        self.attempts = 0;
        Some(Phase::Calling)
    }

    fn budget(&self) -> Option<Budget> {
        self.plan.deadline.map(|at| Budget {
            total: at.saturating_duration_since(self.begun),
            left: at.saturating_duration_since(Instant::now()),
        })
    }

    fn note(&mut self, fault: &Fault) {
        let Some(model) = self.plan.models.get(self.model) else {
            return;
        };
        let comma = if self.failures.is_empty() { "" } else { "," };
        // Writing to a String cannot fail.
        let _written = write!(self.failures, "{comma}{model}={}", fault.reason);
    }

    fn give_up(&mut self, fault: Fault) -> Fault {
        self.phase = Phase::Ended;
        if self.failures.is_empty() {
            return fault;
        }
        fault.with("attempts", &self.failures)
    }
}

fn deadline_fault() -> Fault {
    Fault::new(
        Reason::Deadline,
        "the deadline passed before the model had answered",
    )
}

#[cfg(test)]
mod tests;

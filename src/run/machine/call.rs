//! One tool call from its plan to its result: who has it, how long it is waited for, when it is
//! delivered again.

mod input;
mod news;

use std::{sync::Arc, time::Duration};

use super::{
    effect::Effect,
    trouble::Trouble,
    world::{Cx, World},
};
use crate::{
    domain::{
        call::{Delivery, StopReason},
        event::{CallPlan, CallState, ToolCallUpdate},
        fault::Fault,
        id::HostId,
        input::{InputAnswer, RequiredInput},
        json::JsonText,
        message::{ToolCall, ToolResult},
        time::Timestamp,
        tool::ToolSpec,
    },
    run::port::Offer,
};

/// Most deliveries in a row that the log does not know of. The next one is stored before it goes out, so
/// that a later life of the run can number its own above all that an earlier one may have made.
pub(super) const UNSTORED_ATTEMPTS: u32 = 16;

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waits for a place among the run's parallel calls.
    Queued,
    /// Waits for its approval.
    Held { until: Timestamp },
    /// Waits before the next delivery.
    Backoff { until: Timestamp },
    /// Delivered to the tools, which look for a host.
    Seeking,
    /// A host has it and must accept.
    Offered { until: Timestamp },
    /// The host was too slow to accept and was told so; its word is awaited, so that no two hosts have
    /// the call.
    Recalled { until: Timestamp },
    /// Accepted.
    Running {
        until: Timestamp,
        silent_until: Option<Timestamp>,
    },
    /// Its tool has asked a person something; so much time is left to it after the answer.
    Asking { until: Timestamp, left: Duration },
    /// The run is being cancelled; the host's word is awaited.
    Stopping { until: Timestamp, accepted: bool },
    /// Settled.
    Done,
}

/// What a delivery needs.
#[derive(Debug)]
struct Plan {
    spec: Arc<ToolSpec>,
    binding: usize,
    arguments: JsonText,
}

/// A call of the present turn.
#[derive(Debug)]
pub(super) struct Call {
    /// As the log has it, or will have with the facts noted so far.
    update: Arc<ToolCallUpdate>,
    /// `None` for a call that is refused.
    plan: Option<Plan>,
    phase: Phase,
    /// The newest delivery. The log learns of it with the next change of state.
    attempt: u32,
    /// The newest delivery that the log knows of.
    stored: u32,
    /// Up to here an earlier life of the run may have made deliveries.
    fence: u32,
    /// Deliveries that a host has accepted, or has reported on as if it had.
    begun: u32,
    /// Rejections in a row.
    rejections: u32,
    /// When waiting for an acceptance ends.
    accept_until: Timestamp,
    /// What it waits for of people.
    input: Option<Arc<RequiredInput>>,
    /// The newest question of the delivery that was answered, and the answer.
    answered: Option<(u32, Arc<InputAnswer>)>,
    /// Whether its arguments are no longer those that the model has written.
    is_edited: bool,
}

impl Call {
    /// A call that will be delivered.
    pub(super) fn planned(
        call: Arc<ToolCall>,
        offer: Offer,
        arguments: JsonText,
        world: &World,
    ) -> Self {
        let own = world.attached_tool(offer.binding);
        let stored = CallPlan {
            binding: offer.binding,
            tool: own.is_none().then(|| Arc::clone(&offer.spec)),
        };
        let plan = Plan {
            spec: offer.spec,
            binding: offer.binding,
            arguments,
        };
        Self::new(unheard(call, Some(stored)), Some(plan))
    }

    /// A call that will never be delivered; [`Call::refuse`] it.
    pub(super) fn refused(call: Arc<ToolCall>) -> Self {
        Self::new(unheard(call, None), None)
    }

    /// A call as the model has written it and as the log of an earlier life of the run has it, which a
    /// host has begun so often. [`Call::resume`] it.
    pub(super) fn recovered(
        written: &ToolCall,
        update: Arc<ToolCallUpdate>,
        (plan, begun): (Option<&CallPlan>, u32),
        world: &World,
    ) -> Self {
        let plan = plan.and_then(|plan| {
            let own = world.attached_tool(plan.binding);
            Some(Plan {
                spec: Arc::clone(plan.tool.as_ref().or(own)?),
                binding: plan.binding,
                arguments: update.call.arguments().ok()?,
            })
        });
        let (attempt, is_done) = (update.attempt, update.state.is_terminal());
        Self {
            phase: if is_done { Phase::Done } else { Phase::Queued },
            attempt,
            stored: attempt,
            fence: attempt.saturating_add(UNSTORED_ATTEMPTS),
            begun,
            is_edited: update.call.arguments != written.arguments,
            ..Self::new(Arc::unwrap_or_clone(update), plan)
        }
    }

    fn new(update: ToolCallUpdate, plan: Option<Plan>) -> Self {
        Self {
            update: Arc::new(update),
            plan,
            phase: Phase::Queued,
            attempt: 0,
            stored: 0,
            fence: 0,
            begun: 0,
            rejections: 0,
            accept_until: Timestamp::default(),
            input: None,
            answered: None,
            is_edited: false,
        }
    }

    /// As the log has it.
    pub(super) const fn update(&self) -> &Arc<ToolCallUpdate> {
        &self.update
    }

    /// Whether it has its result.
    pub(super) fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// Whether it waits for its turn.
    pub(super) fn is_queued(&self) -> bool {
        self.phase == Phase::Queued
    }

    /// Whether its newest delivery is under way.
    pub(super) fn is_delivered(&self) -> bool {
        !matches!(
            self.phase,
            Phase::Queued | Phase::Held { .. } | Phase::Backoff { .. } | Phase::Done
        )
    }

    /// Whether news of a delivery concerns it: not those of an older one, nor of one that is over.
    pub(super) fn is_awaited(&self, attempt: u32) -> bool {
        attempt == self.attempt && self.is_delivered()
    }

    /// When [`Call::tick`] must be called next.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Queued | Phase::Done => None,
            Phase::Seeking => Some(self.accept_until),
            Phase::Held { until }
            | Phase::Asking { until, .. }
            | Phase::Backoff { until }
            | Phase::Offered { until }
            | Phase::Recalled { until }
            | Phase::Stopping { until, .. } => Some(until),
            Phase::Running {
                until,
                silent_until,
            } => Some(silent_until.map_or(until, |silent| silent.min(until))),
        }
    }

    /// Says in the log that the call is planned.
    pub(super) fn announce(&self, cx: &mut Cx<'_>) {
        cx.fact(Arc::clone(&self.update));
    }

    /// Delivers the call for the first time.
    pub(super) fn start(&mut self, cx: &mut Cx<'_>) {
        self.accept_until = cx.now + self.accept_timeout(cx);
        self.deliver(cx);
    }

    /// The run lives again. What had been accepted is lost with the life that it was accepted in: it is
    /// delivered again where that is allowed, and otherwise its outcome is unknown. What had not been
    /// accepted has not begun, and waits for its delivery.
    pub(super) fn resume(&mut self, cx: &mut Cx<'_>) {
        match self.update.state {
            CallState::Pending if self.plan.is_none() => {
                self.settle_trouble(&Trouble::Changed, cx);
            }
            CallState::Running | CallState::InputRequired if self.may_begin_again(cx) => {
                self.change(CallState::Pending).host_id = None;
                cx.fact(Arc::clone(&self.update));
            }
            CallState::Running | CallState::InputRequired if self.may_redeliver() => {
                self.settle_trouble(&Trouble::HostLost, cx);
            }
            CallState::Running | CallState::InputRequired => {
                self.settle_trouble(&Trouble::OutcomeUnknown, cx);
            }
            CallState::Pending
            | CallState::Succeeded
            | CallState::Failed
            | CallState::Cancelled => {}
        }
    }

    /// Ends a call that no host has.
    pub(super) fn refuse(&mut self, trouble: &Trouble, cx: &mut Cx<'_>) {
        self.settle_trouble(trouble, cx);
    }

    /// The time that was waited for has come, or another call's has.
    pub(super) fn tick(&mut self, cx: &mut Cx<'_>) {
        if self.deadline().is_none_or(|due| cx.now < due) {
            return;
        }
        match self.phase {
            Phase::Queued | Phase::Done => {}
            Phase::Held { .. } | Phase::Asking { .. } => self.expire_input(cx),
            Phase::Backoff { .. } => self.deliver_in_time(cx),
            Phase::Seeking => self.expire(&Trouble::NoHost(self.accept_timeout(cx)), cx),
            Phase::Offered { .. } if cx.now >= self.accept_until => {
                self.expire(&Trouble::NoHost(self.accept_timeout(cx)), cx);
            }
            Phase::Offered { .. } => {
                cx.effect(Effect::Cancel(self.delivery(), StopReason::Superseded));
                self.phase = Phase::Recalled {
                    until: cx.now + cx.world.settings.cancel_grace,
                };
            }
            Phase::Recalled { .. } => self.again(Duration::ZERO, cx),
            Phase::Running { until, .. } => {
                let trouble = if cx.now >= until {
                    Trouble::TimedOut(self.timeout(cx))
                } else {
                    Trouble::Silent(self.progress_timeout(cx).unwrap_or_default())
                };
                self.expire(&trouble, cx);
            }
            Phase::Stopping { accepted, .. } => self.close(accepted, &Trouble::Cancelled, cx),
        }
    }

    /// The run is being cancelled: asks the host to stop, and waits for its word.
    pub(super) fn stop(&mut self, cx: &mut Cx<'_>) {
        let accepted = match self.phase {
            Phase::Done | Phase::Stopping { .. } => return,
            Phase::Queued | Phase::Held { .. } | Phase::Backoff { .. } => {
                return self.settle_trouble(&Trouble::Cancelled, cx);
            }
            Phase::Seeking | Phase::Offered { .. } | Phase::Recalled { .. } => false,
            Phase::Running { .. } | Phase::Asking { .. } => true,
        };
        self.input = None;
        cx.effect(Effect::Cancel(self.delivery(), StopReason::RunCancelled));
        self.phase = Phase::Stopping {
            until: cx.now + cx.world.settings.cancel_grace,
            accepted,
        };
    }

    /// The run has ended: ends the call now, whatever its host may still say.
    pub(super) fn end(&mut self, trouble: &Trouble, cx: &mut Cx<'_>) {
        let accepted = match self.phase {
            Phase::Done => return,
            Phase::Queued | Phase::Held { .. } | Phase::Backoff { .. } => {
                return self.settle_trouble(trouble, cx);
            }
            Phase::Seeking | Phase::Offered { .. } | Phase::Recalled { .. } => false,
            Phase::Running { .. } | Phase::Asking { .. } => true,
            Phase::Stopping { accepted, .. } => return self.close(accepted, trouble, cx),
        };
        cx.effect(Effect::Cancel(self.delivery(), StopReason::RunCancelled));
        self.close(accepted, trouble, cx);
    }

    /// The host was lost after it had begun.
    fn lost(&mut self, cx: &mut Cx<'_>) {
        if self.may_begin_again(cx) {
            return self.restart(Duration::ZERO, cx);
        }
        cx.effect(Effect::Release(self.delivery()));
        let trouble = if self.may_redeliver() {
            Trouble::HostLost
        } else {
            Trouble::OutcomeUnknown
        };
        self.settle_trouble(&trouble, cx);
    }

    /// Delivers again what had begun: the wait for an acceptance begins anew.
    fn restart(&mut self, wait: Duration, cx: &mut Cx<'_>) {
        let resumes = cx.now + wait;
        self.accept_until = resumes + self.accept_timeout(cx);
        if matches!(
            self.update.state,
            CallState::Running | CallState::InputRequired
        ) {
            self.change(CallState::Pending).host_id = None;
            self.store(cx);
        }
        self.again(wait, cx);
    }

    /// Ends this delivery and begins the next one after a wait.
    fn again(&mut self, wait: Duration, cx: &mut Cx<'_>) {
        cx.effect(Effect::Release(self.delivery()));
        self.input = None;
        self.answered = None;
        if wait.is_zero() {
            self.deliver_in_time(cx);
        } else {
            let until = (cx.now + wait).min(self.accept_until);
            self.phase = Phase::Backoff { until };
        }
    }

    fn deliver_in_time(&mut self, cx: &mut Cx<'_>) {
        if cx.now >= self.accept_until {
            self.settle_trouble(&Trouble::NoHost(self.accept_timeout(cx)), cx);
        } else {
            self.deliver(cx);
        }
    }

    fn deliver(&mut self, cx: &mut Cx<'_>) {
        if self.plan.is_none() {
            return;
        }
        self.attempt = self.attempt.max(self.fence).saturating_add(1);
        self.phase = Phase::Seeking;
        if self.attempt > self.stored.saturating_add(UNSTORED_ATTEMPTS) {
            self.change(CallState::Pending);
            self.store(cx);
        }
        let Some(plan) = &self.plan else {
            return;
        };
        let assignment = cx.world.assignment(
            cx.now,
            self.delivery(),
            (&plan.spec, plan.binding),
            plan.arguments.clone(),
        );
        cx.effect(Effect::Assign(Box::new(assignment)));
    }

    /// Time is up for the delivery: its host is told, and is fenced.
    fn expire(&mut self, trouble: &Trouble, cx: &mut Cx<'_>) {
        cx.effect(Effect::Cancel(self.delivery(), StopReason::Timeout));
        cx.effect(Effect::Release(self.delivery()));
        self.settle_trouble(trouble, cx);
    }

    /// Ends a call of a run that stops. What had begun and may not begin twice has an unknown outcome,
    /// unless its host has said that it stopped.
    fn close(&mut self, accepted: bool, trouble: &Trouble, cx: &mut Cx<'_>) {
        cx.effect(Effect::Release(self.delivery()));
        if accepted && !self.may_redeliver() {
            self.settle_trouble(&Trouble::OutcomeUnknown, cx);
        } else {
            self.settle_trouble(trouble, cx);
        }
    }

    fn settle_trouble(&mut self, trouble: &Trouble, cx: &mut Cx<'_>) {
        let told = Arc::new(trouble.told(&self.update.call.id));
        self.settle(trouble.state(), (Some(told), Some(trouble.fault())), cx);
    }

    fn settle(
        &mut self,
        state: CallState,
        (result, error): (Option<Arc<ToolResult>>, Option<Fault>),
        cx: &mut Cx<'_>,
    ) {
        self.phase = Phase::Done;
        self.plan = None;
        self.input = None;
        let update = self.change(state);
        update.result = result;
        update.error = error;
        cx.fact(Arc::clone(&self.update));
    }

    /// The update to be changed, with the newest attempt in it.
    fn change(&mut self, state: CallState) -> &mut ToolCallUpdate {
        let update = Arc::make_mut(&mut self.update);
        update.state = state;
        update.attempt = self.attempt;
        // The log has it from the first one.
        update.plan = None;
        update
    }

    /// The change goes into the log before anything comes of it.
    fn store(&mut self, cx: &mut Cx<'_>) {
        self.stored = self.attempt;
        cx.fact(Arc::clone(&self.update));
    }

    fn remember(&mut self, host_id: HostId) {
        if self.update.host_id.is_none() {
            Arc::make_mut(&mut self.update).host_id = Some(host_id);
        }
    }

    /// The newest delivery.
    pub(super) fn delivery(&self) -> Delivery {
        Delivery {
            call_id: self.update.call.id.clone(),
            attempt: self.attempt,
        }
    }

    fn may_redeliver(&self) -> bool {
        self.plan
            .as_ref()
            .is_some_and(|plan| plan.spec.annotations.may_redeliver())
    }

    fn may_begin_again(&self, cx: &Cx<'_>) -> bool {
        self.may_redeliver() && self.begun < cx.world.settings.max_attempts
    }

    fn accept_timeout(&self, cx: &Cx<'_>) -> Duration {
        let binding = self.plan.as_ref().map(|plan| plan.binding);
        binding.map_or(cx.world.settings.accept_timeout, |binding| {
            cx.world.accept_timeout(binding)
        })
    }

    fn timeout(&self, cx: &Cx<'_>) -> Duration {
        let binding = self.plan.as_ref().map(|plan| plan.binding);
        binding.map_or(cx.world.settings.tool_timeout, |binding| {
            cx.world.tool_timeout(cx.now, binding)
        })
    }

    fn silent_until(&self, cx: &Cx<'_>) -> Option<Timestamp> {
        let limit = self.progress_timeout(cx)?;
        Some(cx.now + limit + cx.world.settings.result_slack)
    }

    fn progress_timeout(&self, cx: &Cx<'_>) -> Option<Duration> {
        let binding = self.plan.as_ref()?.binding;
        cx.world.progress_timeout(binding)
    }
}

/// A call that nothing has happened to.
fn unheard(call: Arc<ToolCall>, plan: Option<CallPlan>) -> ToolCallUpdate {
    ToolCallUpdate {
        call,
        state: CallState::Pending,
        attempt: 0,
        host_id: None,
        result: None,
        error: None,
        plan: plan.map(Arc::new),
    }
}

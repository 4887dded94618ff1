//! How a run ends before its answer: limits, time, cancellation.

use super::{Call, Cx, Effect, Machine, Stage, trouble::Trouble};
use crate::domain::{
    call::Disposition,
    fault::{Fault, Reason},
    run::RunState,
    time::Timestamp,
};

impl Machine {
    /// Asks the run to stop. Only the first time counts.
    pub(super) fn cancel(&mut self, now: Timestamp, reason: String) -> Disposition {
        if self.is_over() || self.cancelling {
            return Disposition::Duplicate;
        }
        self.cancelling = true;
        self.update_run(|run| {
            run.wait_for(now, Vec::new(), false);
            run.state = RunState::Cancelling;
            run.cancel_reason = reason;
        });
        if let Stage::Calling { calls, .. } = &mut self.stage {
            let mut cx = Cx {
                now,
                world: &self.world,
                out: &mut self.out,
            };
            for call in calls {
                call.stop(&mut cx);
            }
            self.advance(now);
        } else {
            self.leave_stage(now, &Fault::new(Reason::Cancelled, "the run was cancelled"));
            self.end(now, RunState::Cancelled, |_| {});
        }
        Disposition::Applied
    }

    pub(super) fn time_out(&mut self, now: Timestamp) {
        let limit = self.world.spec.limits.timeout;
        let fault = Fault::new(Reason::RunTimeout, "the run used up its time")
            .with("timeout_ms", limit.as_millis());
        self.fail(now, fault);
    }

    /// Stops what the present stage has under way, and leaves the log and the conversation consistent.
    pub(super) fn leave_stage(&mut self, now: Timestamp, fault: &Fault) {
        match &mut self.stage {
            Stage::New | Stage::Recalling | Stage::Offering { .. } | Stage::Over => {}
            Stage::Asking { .. } => {
                self.out.effects.push(Effect::StopModel);
                self.discard_message(fault.clone());
            }
            Stage::Checking { drafts, results_id } => {
                let calls = std::mem::take(drafts)
                    .into_iter()
                    .map(|draft| Call::refused(draft.into_call()))
                    .collect();
                let results_id = results_id.clone();
                self.stage = Stage::Calling { calls, results_id };
                self.end_calls(now, fault);
            }
            Stage::Calling { .. } => self.end_calls(now, fault),
        }
    }

    fn end_calls(&mut self, now: Timestamp, fault: &Fault) {
        let trouble = if self.cancelling {
            Trouble::Cancelled
        } else {
            Trouble::RunEnded(fault.reason)
        };
        if let Stage::Calling { calls, .. } = &mut self.stage {
            let mut cx = Cx {
                now,
                world: &self.world,
                out: &mut self.out,
            };
            for call in calls {
                call.end(&trouble, &mut cx);
            }
        }
        self.close_turn();
    }

    /// The limit that forbids these calls and the turn after them. Nothing is run when it does.
    pub(super) fn limit_reached(&self, calls: usize) -> Option<Fault> {
        let limits = &self.world.spec.limits;
        let wanted = u32::try_from(calls)
            .unwrap_or(u32::MAX)
            .saturating_add(self.call_count);
        if self.run.turn_count >= limits.max_turns {
            Some(self.out_of_turns())
        } else if wanted > limits.max_tool_calls {
            Some(
                Fault::new(
                    Reason::MaxToolCallsExceeded,
                    "the run used up its tool calls",
                )
                .with("max_tool_calls", limits.max_tool_calls),
            )
        } else if self.run.usage.total() >= limits.max_tokens {
            Some(
                Fault::new(Reason::TokenBudgetExceeded, "the run used up its tokens")
                    .with("max_tokens", limits.max_tokens)
                    .with("tokens", self.run.usage.total()),
            )
        } else {
            None
        }
    }

    pub(super) fn out_of_turns(&self) -> Fault {
        Fault::new(Reason::MaxTurnsExceeded, "the run used up its turns")
            .with("max_turns", self.world.spec.limits.max_turns)
    }
}

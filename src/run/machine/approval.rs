//! Which calls run, which wait for an approval, and what an answer changes.
//!
//! What the run waits for is what its calls wait for: [`Machine::ask_people`] writes it down whenever it
//! has changed, so that the log has it and a later life of the run waits for the same.

use std::sync::Arc;

use super::{Call, Cx, Machine, Stage, trouble::Trouble};
use crate::{
    domain::{
        call::Disposition,
        event::Fact,
        fault::{Fault, Reason},
        input::{Ask, InputAnswer, InputAnswered, Verdict},
        json::JsonText,
        message::ToolCall,
        policy::{Action, PolicyDecision},
        time::Timestamp,
        tool::ToolSpec,
    },
    run::port::Offer,
};

/// A call whose arguments fit: what becomes of it is the policy's matter.
pub(super) fn admit(
    call: Arc<ToolCall>,
    offer: Offer,
    arguments: JsonText,
    cx: &mut Cx<'_>,
) -> Call {
    let world = cx.world;
    let decision = world
        .spec
        .policy
        .decide(&world.settings.policy, &offer.spec);
    let action = decision.as_ref().map_or(Action::Allow, |d| d.action);
    let reason = decision.as_ref().map(|d| d.reason.clone());
    let reason = reason.unwrap_or_default();
    if let Some(decision) = decision {
        let call_id = call.id.clone();
        let decision = PolicyDecision { call_id, decision };
        cx.out.fact(Fact::PolicyDecided(Arc::new(decision)));
    }
    if action == Action::Deny {
        let mut call = Call::refused(call);
        call.refuse(&Trouble::Denied(reason), cx);
        return call;
    }
    let mut call = Call::planned(call, offer, arguments, world);
    if action == Action::RequireApproval {
        call.hold(reason, cx);
    }
    call.announce(cx);
    call
}

impl Machine {
    /// Whether an answer fits what is asked: an accepting one may bring other arguments, which `check` must
    /// find right. Says nothing of an answer that the run does not wait for.
    ///
    /// # Errors
    /// `ARGUMENTS_MALFORMED`, `ARGUMENTS_INVALID`, `INVALID_REQUEST`; of the answer's content.
    pub fn judge(
        &self,
        answer: &InputAnswer,
        check: impl Fn(&ToolSpec, &JsonText) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let Some(call) = self.call_that_asks(answer) else {
            return Ok(());
        };
        let Some(content) = &answer.content else {
            return Ok(());
        };
        if answer.verdict == Verdict::Decline {
            let why = "an answer that declines has no content";
            return Err(Fault::new(Reason::InvalidRequest, why));
        }
        match (call.input().map(|input| &input.ask), call.tool()) {
            (Some(Ask::Approval(_)), Some(tool)) => {
                let arguments = JsonText::parse_object(content.as_str()).map_err(|_invalid| {
                    let why = "the arguments are not a JSON object";
                    Fault::new(Reason::ArgumentsMalformed, why)
                })?;
                check(tool, &arguments)
            }
            (None, _) | (_, None) => Ok(()),
        }
    }

    fn call_that_asks(&self, answer: &InputAnswer) -> Option<&Call> {
        let Stage::Calling { calls, .. } = &self.stage else {
            return None;
        };
        calls
            .iter()
            .find(|call| call.input().is_some_and(|i| i.id == answer.input_id))
    }

    /// Somebody answers: all of it counts, or nothing when the run does not wait for all of it.
    pub(super) fn answer(
        &mut self,
        now: Timestamp,
        answers: Vec<InputAnswer>,
        principal: &Arc<str>,
    ) -> Disposition {
        let waits = |answer| self.call_that_asks(answer).is_some();
        if answers.is_empty() || !answers.iter().all(waits) {
            return Disposition::Stale;
        }
        let Stage::Calling { calls, .. } = &mut self.stage else {
            return Disposition::Stale;
        };
        let mut cx = Cx {
            now,
            world: &self.world,
            out: &mut self.out,
        };
        for answer in answers {
            let asks = |c: &&mut Call| c.input().is_some_and(|i| i.id == answer.input_id);
            if let Some(call) = calls.iter_mut().find(asks) {
                let call_id = call.update().call.id.clone();
                cx.out.fact(Fact::InputAnswered(Arc::new(InputAnswered {
                    answer: answer.clone(),
                    call_id,
                    principal: Some(Arc::clone(principal)),
                })));
                call.answer(&answer, &mut cx);
            }
        }
        self.advance(now);
        Disposition::Applied
    }

    /// Writes down what the run waits for of people, if that has changed.
    pub(super) fn ask_people(&mut self, now: Timestamp) {
        let Stage::Calling { calls, .. } = &self.stage else {
            return;
        };
        let open = || calls.iter().filter_map(Call::input);
        let is_open = |call: &&Call| !call.is_done();
        let is_idle = open().next().is_some() && calls.iter().filter(is_open).all(Call::is_held);
        let known = &self.run.waiting;
        if open().eq(&known.inputs) && is_idle == known.is_idle {
            return;
        }
        let inputs = open().cloned().collect();
        self.update_run(|run| run.wait_for(now, inputs, is_idle));
    }
}

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
    /// Whether an answer fits what is asked: the answer to a question its schema, other arguments for a call
    /// those of its tool; `check` judges by a schema. Says nothing of an answer that the run does not wait
    /// for.
    ///
    /// # Errors
    /// `ARGUMENTS_MALFORMED`, `ARGUMENTS_INVALID`, `INVALID_REQUEST`; of the answer's content.
    pub fn judge(
        &self,
        answer: &InputAnswer,
        check: impl Fn(&JsonText, &JsonText) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let Some((call, input)) = self
            .call_that_asks(answer)
            .and_then(|call| Some((call, call.input()?)))
        else {
            return Ok(());
        };
        let wrong = |why| Err(Fault::new(Reason::InvalidRequest, why));
        let content = match (answer.verdict, &answer.content) {
            (Verdict::Decline, None) => return Ok(()),
            (Verdict::Decline, Some(_)) => return wrong("is for answers that accept"),
            (Verdict::Accept, content) => content.as_ref(),
        };
        match (&input.ask, content) {
            (Ask::Approval(_), None) => Ok(()),
            (Ask::Approval(_), Some(arguments)) => {
                let arguments = JsonText::parse_object(arguments.as_str()).map_err(|_invalid| {
                    let why = "the arguments are not a JSON object";
                    Fault::new(Reason::ArgumentsMalformed, why)
                })?;
                call.tool()
                    .map_or(Ok(()), |tool| check(&tool.input_schema, &arguments))
            }
            (Ask::Question(question), content) => match (&question.schema, content) {
                (None, _) => Ok(()),
                (Some(_), None) => wrong("is required"),
                (Some(schema), Some(content)) => check(schema, content),
            },
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
                call.answer(answer, &mut cx);
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

//! A call that waits for people: for its approval, or for the answer to what its tool has asked.

use std::sync::Arc;

use super::{Call, Phase};
use crate::{
    domain::{
        call::Disposition,
        event::{CallState, Fact},
        id::{HostId, InputId},
        input::{Ask, InputAnswer, InputAnswered, Question, RequiredInput, Verdict},
        json::JsonText,
        message::{Content, Part, ToolCall, ToolResult},
        tool::ToolSpec,
    },
    run::machine::{effect::Effect, trouble::Trouble, world::Cx},
};

impl Call {
    /// The call waits for its approval before anything else, for this reason.
    pub(in crate::run::machine) fn hold(&mut self, reason: String, cx: &Cx<'_>) {
        let call = &self.update.call;
        let expire_time = cx.now + cx.world.settings.input_timeout;
        self.phase = Phase::Held { until: expire_time };
        self.input = Some(Arc::new(RequiredInput {
            id: InputId::of_call(&call.id),
            call_id: call.id.clone(),
            ask: Ask::Approval(Arc::clone(call)),
            reason,
            expire_time,
        }));
    }

    /// The call waited for this approval in an earlier life of the run.
    pub(in crate::run::machine) fn hold_again(&mut self, input: &Arc<RequiredInput>) {
        let until = input.expire_time;
        if input.call_id == self.update.call.id
            && self.phase == Phase::Queued
            && matches!(input.ask, Ask::Approval(_))
        {
            self.phase = Phase::Held { until };
            self.input = Some(Arc::clone(input));
        }
    }

    /// Whether it waits for its approval.
    pub(in crate::run::machine) const fn is_held(&self) -> bool {
        matches!(self.phase, Phase::Held { .. })
    }

    /// Whether it takes one of the places of calls in flight.
    pub(in crate::run::machine) const fn takes_place(&self) -> bool {
        !matches!(self.phase, Phase::Queued | Phase::Held { .. } | Phase::Done)
    }

    /// What it waits for of people.
    pub(in crate::run::machine) const fn input(&self) -> Option<&Arc<RequiredInput>> {
        self.input.as_ref()
    }

    /// The definition that edited arguments must fit.
    pub(in crate::run::machine) fn tool(&self) -> Option<&Arc<ToolSpec>> {
        self.plan.as_ref().map(|plan| &plan.spec)
    }

    /// A host asks a person something. One that has not accepted the call as yet does so by asking. The same
    /// question again is answered again, if it was.
    pub(super) fn asks(
        &mut self,
        host_id: HostId,
        question: Arc<Question>,
        cx: &mut Cx<'_>,
    ) -> Disposition {
        let number = question.number;
        match self.phase {
            Phase::Seeking | Phase::Offered { .. } => self.run_at(host_id, cx),
            Phase::Running { .. } => {}
            Phase::Asking { .. } => {
                let open = self.input.as_ref().map(|input| &input.ask);
                let is_open = matches!(open, Some(Ask::Question(open)) if open.number == number);
                return if is_open {
                    Disposition::Duplicate
                } else {
                    Disposition::Stale
                };
            }
            Phase::Queued
            | Phase::Held { .. }
            | Phase::Backoff { .. }
            | Phase::Recalled { .. }
            | Phase::Stopping { .. }
            | Phase::Done => return Disposition::Stale,
        }
        if let Some((newest, answer)) = &self.answered
            && number <= *newest
        {
            if number == *newest {
                let answer = Arc::clone(answer);
                cx.effect(Effect::Answer(self.delivery(), number, answer));
            }
            return Disposition::Duplicate;
        }
        self.wait_for_answer(question, cx);
        Disposition::Applied
    }

    fn wait_for_answer(&mut self, question: Arc<Question>, cx: &mut Cx<'_>) {
        let Phase::Running { until, .. } = self.phase else {
            return;
        };
        let call_id = self.update.call.id.clone();
        let expire_time = cx.now + cx.world.settings.input_timeout;
        self.phase = Phase::Asking {
            until: expire_time,
            left: until.since(cx.now),
        };
        self.input = Some(Arc::new(RequiredInput {
            id: InputId::of_question(&call_id, self.attempt, question.number),
            call_id,
            ask: Ask::Question(question),
            reason: String::new(),
            expire_time,
        }));
        self.change(CallState::InputRequired);
        self.store(cx);
    }

    /// Takes the answer to what it waits for.
    pub(in crate::run::machine) fn answer(&mut self, answer: InputAnswer, cx: &mut Cx<'_>) {
        let Some(input) = self.input.take() else {
            return;
        };
        match (&input.ask, answer.verdict) {
            (Ask::Question(question), _) => self.tell_host(question.number, answer, cx),
            (Ask::Approval(_), Verdict::Accept) => {
                self.phase = Phase::Queued;
                if let Some(arguments) = &answer.content {
                    self.edit(arguments, cx);
                }
            }
            (Ask::Approval(_), Verdict::Decline) => {
                self.settle_trouble(&Trouble::Declined(answer.reason), cx);
            }
        }
    }

    /// The tool has its answer: its clock goes on.
    fn tell_host(&mut self, number: u32, answer: InputAnswer, cx: &mut Cx<'_>) {
        let Phase::Asking { left, .. } = self.phase else {
            return;
        };
        self.phase = Phase::Running {
            until: cx.now + left,
            silent_until: self.silent_until(cx),
        };
        self.change(CallState::Running);
        self.store(cx);
        let answer = Arc::new(answer);
        self.answered = Some((number, Arc::clone(&answer)));
        cx.effect(Effect::Answer(self.delivery(), number, answer));
    }

    /// Nobody has answered in time.
    pub(super) fn expire_input(&mut self, cx: &mut Cx<'_>) {
        let Some(input) = self.input.clone() else {
            return;
        };
        let answer = InputAnswer {
            input_id: input.id.clone(),
            verdict: Verdict::Decline,
            content: None,
            reason: String::new(),
        };
        cx.out.fact(Fact::InputAnswered(Arc::new(InputAnswered {
            answer: answer.clone(),
            call_id: input.call_id.clone(),
            principal: None,
        })));
        if self.is_held() {
            self.settle_trouble(&Trouble::Unanswered, cx);
        } else {
            self.answer(answer, cx);
        }
    }

    /// The call runs with other arguments than those that the model has written.
    fn edit(&mut self, arguments: &JsonText, cx: &mut Cx<'_>) {
        let Some(plan) = &mut self.plan else {
            return;
        };
        plan.arguments = arguments.clone();
        let written = &self.update.call;
        if written.arguments == arguments.as_str() {
            return;
        }
        self.is_edited = true;
        let call = Arc::new(ToolCall {
            arguments: arguments.as_str().to_owned(),
            ..(**written).clone()
        });
        self.change(CallState::Pending).call = call;
        self.store(cx);
    }

    /// What the model is told. Of a call that ran with other arguments than it has written, with which: its
    /// own message stays as it is, because providers sign what they have said.
    pub(in crate::run::machine) fn told(&self) -> Option<ToolResult> {
        let result = self.update.result.as_deref()?;
        let mut told = result.clone();
        if self.is_edited {
            let note = format!(
                "A person approved this call with other arguments: {}",
                self.update.call.arguments
            );
            told.parts.insert(0, Part::new(Content::Text(note)));
        }
        Some(told)
    }
}

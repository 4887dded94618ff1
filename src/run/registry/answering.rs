//! Answers to what runs wait for.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::oneshot;

use super::{PAGE, Runs};
use crate::{
    domain::{
        call::Disposition,
        event::Fact,
        fault::{Fault, Reason},
        id::{InputId, RunId},
        input::InputAnswer,
        principal::Principal,
        run::Run,
    },
    run::port::{ReceiptSlip, RunInput},
};

/// How often answers are handed to a run that does not wait for all of them: each time it has got one of
/// them from somebody else meanwhile.
const TRIES: usize = 8;

/// What the log says of a run's inputs.
#[derive(Default)]
struct Past {
    answers: HashMap<InputId, InputAnswer>,
    /// Inputs that the run waited for, at whatever time.
    asked: Vec<InputId>,
}

impl Runs {
    /// Answers what a run waits for, and returns once that is stored. All answers count, or none. The first
    /// answer wins: the same again is well, another is not.
    ///
    /// # Errors
    /// `RUN_NOT_FOUND`, `INPUT_NOT_FOUND`, `INPUT_ALREADY_ANSWERED`, `RUN_FINISHED`; `ARGUMENTS_INVALID` and
    /// `ARGUMENTS_MALFORMED` for edited arguments that do not fit, which leave the input open;
    /// `STORE_UNAVAILABLE`.
    pub async fn answer(
        &self,
        principal: &Principal,
        run_id: RunId,
        mut answers: Vec<InputAnswer>,
    ) -> Result<Arc<Run>, Fault> {
        for _ in 0..TRIES {
            self.wake(&principal.tenant, run_id).await?;
            if self.hand_over(principal, run_id, &answers).await? {
                return self.get(&principal.tenant, run_id).await;
            }
            let run = self.get(&principal.tenant, run_id).await?;
            let past = self.past(&run).await?;
            answers.retain(|answer| past.answers.get(&answer.input_id) != Some(answer));
            if answers.is_empty() {
                return Ok(run);
            }
            for answer in &answers {
                past.explain(&run, answer)?;
            }
        }
        let why = "the run waits for its store, which has no word of the answer";
        Err(Fault::new(Reason::StoreUnavailable, why))
    }

    /// Hands answers to the run, if it is live. Says whether they counted.
    async fn hand_over(
        &self,
        principal: &Principal,
        run_id: RunId,
        answers: &[InputAnswer],
    ) -> Result<bool, Fault> {
        let inbox = self.of_live(&principal.tenant, run_id, |entry| entry.inbox.clone());
        let Some(inbox) = inbox else {
            return Ok(false);
        };
        let (slip, stored) = oneshot::channel();
        let slip = ReceiptSlip::or_refusal(move |outcome| {
            // The caller may have gone; the answer counts all the same.
            let _gone = slip.send(outcome);
        });
        let answers = answers.to_vec();
        let principal = Arc::clone(&principal.name);
        inbox
            .send(RunInput::Answer {
                answers,
                principal,
                slip,
            })
            .await;
        match stored.await {
            Ok(outcome) => Ok(outcome? == Disposition::Applied),
            // It has ended, or its store has failed, before it came to this.
            Err(_dropped) => Ok(false),
        }
    }

    async fn past(&self, run: &Run) -> Result<Past, Fault> {
        let store = &self.shared.ports.store;
        let (mut after, mut past) = (0, Past::default());
        loop {
            let events = store.read(&run.tenant, run.id, after, PAGE).await?;
            for event in &events {
                after = event.sequence;
                match &event.fact {
                    Fact::InputAnswered(answered) => {
                        let answer = answered.answer.clone();
                        past.answers.insert(answer.input_id.clone(), answer);
                    }
                    Fact::RunUpdated(run) => {
                        let inputs = run.waiting.inputs.iter();
                        past.asked.extend(inputs.map(|input| input.id.clone()));
                    }
                    Fact::ToolCallUpdated(_)
                    | Fact::MessageCompleted(_)
                    | Fact::MessageDiscarded { .. }
                    | Fact::PolicyDecided(_) => {}
                }
            }
            if events.len() < PAGE {
                return Ok(past);
            }
        }
    }
}

impl Past {
    /// Why an answer did not count; `Ok` when it still may.
    fn explain(&self, run: &Run, answer: &InputAnswer) -> Result<(), Fault> {
        let id = &answer.input_id;
        let fault = if self.answers.contains_key(id) {
            Fault::new(
                Reason::InputAlreadyAnswered,
                "the input was answered before, and otherwise",
            )
        } else if run.waiting.inputs.iter().any(|input| input.id == *id) {
            return Ok(());
        } else if run.state.is_terminal() && self.asked.contains(id) {
            return Err(Fault::new(Reason::RunFinished, "the run has ended"));
        } else {
            Fault::new(Reason::InputNotFound, "the run waits for no such input")
        };
        Err(fault.with("input_id", id))
    }
}

//! A turn: the model's answer, the calls it asks for, their results.

use std::{collections::HashSet, mem, sync::Arc};

use super::{Answered, Call, Cx, Effect, Machine, Stage, approval::admit, trouble::Trouble};
use crate::{
    domain::{
        completion::Request,
        event::{Fact, RunMessage, Turn},
        fault::{Fault, Reason},
        id::MessageId,
        json::JsonText,
        message::{Content, Message, Part, Role, ToolCall},
        model::{ModelRef, Options, ToolChoice},
        run::RunState,
        time::Timestamp,
    },
    run::port::Offer,
};

/// A call whose arguments are being checked.
#[derive(Debug)]
pub(super) struct Draft {
    call: Arc<ToolCall>,
    /// Where it goes, with its arguments, or why it goes nowhere.
    plan: Result<(Offer, JsonText), Trouble>,
}

impl Draft {
    pub(super) fn into_call(self) -> Arc<ToolCall> {
        self.call
    }
}

impl Machine {
    /// Begins a turn with a look at the tools, which may have changed since the last one.
    pub(super) fn begin_turn(&mut self, now: Timestamp) {
        if self.run.turn_count >= self.world.spec.limits.max_turns {
            return self.fail(now, self.out_of_turns());
        }
        if self.world.spec.agent.tools.is_empty() {
            return self.ask(Vec::new());
        }
        self.stage = Stage::Offering {
            since: now,
            missing: None,
        };
        self.out.effects.push(Effect::Offer);
    }

    /// The names of a server's tools are known only now: nothing shadows.
    pub(super) fn offered(&mut self, now: Timestamp, offers: Vec<Offer>) {
        if !matches!(self.stage, Stage::Offering { .. }) {
            return;
        }
        let mut names = HashSet::with_capacity(offers.len());
        let clash = offers.iter().find(|offer| !names.insert(&offer.spec.name));
        if let Some(offer) = clash {
            let name = &offer.spec.name;
            let why = format!("two tools are called {name}: give one of their servers a prefix");
            return self.fail(
                now,
                Fault::new(Reason::ToolNameClash, why).with("tool", name),
            );
        }
        self.ask(offers);
    }

    /// A tool that nobody has registered is waited for as long as an acceptance would be.
    pub(super) fn missing(&mut self, now: Timestamp, binding: usize) {
        let Stage::Offering { since, missing } = &mut self.stage else {
            return;
        };
        *missing = Some(binding);
        if now >= *since + self.world.accept_timeout(binding) {
            self.fail_without_host(now, binding);
        }
    }

    pub(super) fn fail_without_host(&mut self, now: Timestamp, binding: usize) {
        self.fail(now, self.world.nobody_offers(binding));
    }

    fn ask(&mut self, offers: Vec<Offer>) {
        let tools: Vec<_> = offers.iter().map(|offer| Arc::clone(&offer.spec)).collect();
        self.stage = Stage::Asking {
            offers,
            message: None,
            shown: false,
        };
        self.out.effects.push(Effect::CallModel(Request {
            messages: self.conversation.clone(),
            tools: tools.into(),
            options: Arc::clone(&self.options),
        }));
    }

    /// A fallback shows as soon as it begins to answer.
    pub(super) fn model_started(&mut self, now: Timestamp, model: ModelRef, id: MessageId) {
        let Stage::Asking { message, shown, .. } = &mut self.stage else {
            return;
        };
        *message = Some(id);
        *shown = false;
        if self.run.model != model {
            Arc::make_mut(&mut self.run).model = model;
            let by = now + self.world.settings.lazy_commit;
            self.out.note(by, Fact::RunUpdated(Arc::clone(&self.run)));
        }
    }

    /// From now on the message must be completed or discarded.
    pub(super) fn message_shown(&mut self) {
        if let Stage::Asking { shown, .. } = &mut self.stage {
            *shown = true;
        }
    }

    /// Withdraws the message in progress, if anybody can have seen it.
    pub(super) fn discard_message(&mut self, error: Fault) {
        if let Stage::Asking { message, shown, .. } = &mut self.stage
            && let Some(message_id) = message.take()
            && mem::take(shown)
        {
            self.out.fact(Fact::MessageDiscarded { message_id, error });
        }
    }

    /// Every model has been tried: a limit of the run is named as such.
    pub(super) fn model_failed(&mut self, now: Timestamp, fault: Fault) {
        if !matches!(self.stage, Stage::Asking { .. }) {
            return;
        }
        if fault.reason == Reason::Deadline || self.world.is_out_of_time(now) {
            return self.time_out(now);
        }
        self.fail(now, fault);
    }

    pub(super) fn model_finished(&mut self, now: Timestamp, answered: Answered) {
        let Stage::Asking { offers, .. } = &mut self.stage else {
            return;
        };
        let offers = mem::take(offers);
        if let Some(fault) = self.id_clash(&answered.completion.message) {
            return self.model_failed(now, fault);
        }
        let results_id = answered.results_id.clone();
        let message = self.keep_answer(answered);
        let drafts = self.draft(&message, &offers);
        if drafts.is_empty() && !self.waiting.is_empty() {
            return self.answer_again(now);
        }
        if drafts.is_empty() {
            return self.end(now, RunState::Succeeded, |run| run.output = Some(message));
        }
        self.update_run(|_| {});
        if let Some(fault) = self.limit_reached(drafts.len()) {
            self.stage = Stage::Calling {
                calls: drafts
                    .into_iter()
                    .map(|draft| Call::refused(draft.call))
                    .collect(),
                results_id,
            };
            return self.fail(now, fault);
        }
        self.count_calls(drafts.len());
        let checks: Vec<_> = drafts
            .iter()
            .filter_map(|draft| draft.plan.as_ref().ok())
            .map(|(offer, arguments)| (Arc::clone(&offer.spec), arguments.clone()))
            .collect();
        self.stage = Stage::Checking { drafts, results_id };
        if checks.is_empty() {
            self.checked(now, Vec::new());
        } else {
            // The facts of this answer and of its calls are stored as one: see `Machine::step`.
            self.out.effects.push(Effect::Check(checks));
        }
    }

    /// Adds the answer to the conversation, the log and the sums.
    fn keep_answer(&mut self, answered: Answered) -> Arc<Message> {
        let completion = answered.completion;
        let message = Arc::new(Message {
            id: Some(answered.message_id),
            ..completion.message
        });
        let run = Arc::make_mut(&mut self.run);
        run.turn_count = run.turn_count.saturating_add(1);
        run.usage += completion.usage;
        *run.usage_by_model
            .entry(completion.model.clone())
            .or_default() += completion.usage;
        run.finish_reason = Some(completion.finish_reason);
        if run.model != completion.model {
            run.model = completion.model.clone();
        }
        self.conversation.push(Arc::clone(&message));
        self.out.fact(Fact::MessageCompleted(Arc::new(RunMessage {
            message: Arc::clone(&message),
            turn: Some(Turn {
                model: completion.model,
                finish_reason: completion.finish_reason,
                provider_finish_reason: completion.provider_finish_reason,
                usage: completion.usage,
                provider_metadata: completion.provider_metadata,
            }),
        })));
        message
    }

    /// A call's id is its idempotency key: a second call with it would be taken for the first.
    fn id_clash(&self, message: &Message) -> Option<Fault> {
        let mut seen = HashSet::new();
        let clash = message
            .tool_calls()
            .any(|call| !seen.insert(&call.id) || self.settled.contains_key(&call.id));
        clash.then(|| {
            let why = "two calls have one id";
            Fault::new(Reason::ProviderResponseInvalid, why)
        })
    }

    fn draft(&self, message: &Message, offers: &[Offer]) -> Vec<Draft> {
        let forbidden = self.options.tool_choice == ToolChoice::None;
        message
            .tool_calls()
            .map(|call| Draft {
                plan: if forbidden {
                    Err(Trouble::Forbidden)
                } else {
                    plan(call, offers)
                },
                call: Arc::new(call.clone()),
            })
            .collect()
    }

    pub(super) fn count_calls(&mut self, calls: usize) {
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        self.call_count = self.call_count.saturating_add(calls);
        if self.options.tool_choice.forces_a_call() {
            self.options = Arc::new(Options {
                tool_choice: ToolChoice::Auto,
                ..(*self.options).clone()
            });
        }
    }

    /// Dispatches what passed the check, all at once, and refuses the rest.
    pub(super) fn checked(&mut self, now: Timestamp, verdicts: Vec<Result<(), Fault>>) {
        let Stage::Checking { drafts, results_id } = &mut self.stage else {
            return;
        };
        let (drafts, results_id) = (mem::take(drafts), results_id.clone());
        let mut cx = Cx {
            now,
            world: &self.world,
            out: &mut self.out,
        };
        let mut verdicts = verdicts.into_iter();
        let mut calls = Vec::with_capacity(drafts.len());
        for Draft { call, plan } in drafts {
            let plan = plan.and_then(|plan| match verdicts.next() {
                Some(Err(fault)) => Err(Trouble::Invalid(fault)),
                Some(Ok(())) | None => Ok(plan),
            });
            match plan {
                Ok((offer, arguments)) => calls.push(admit(call, offer, arguments, &mut cx)),
                Err(trouble) => {
                    let mut call = Call::refused(call);
                    call.refuse(&trouble, &mut cx);
                    calls.push(call);
                }
            }
        }
        self.stage = Stage::Calling { calls, results_id };
        self.out.urgent = true;
        self.advance(now);
    }

    /// Fills free places with calls that wait, and ends the turn when all have their results.
    pub(super) fn advance(&mut self, now: Timestamp) {
        let Stage::Calling { calls, .. } = &mut self.stage else {
            return;
        };
        let limit = self.world.spec.limits.max_parallel_tool_calls.max(1);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut cx = Cx {
            now,
            world: &self.world,
            out: &mut self.out,
        };
        let busy = calls.iter().filter(|call| call.takes_place());
        let free = limit.saturating_sub(busy.count());
        for call in calls.iter_mut().filter(|call| call.is_queued()).take(free) {
            call.start(&mut cx);
        }
        self.ask_people(now);
        let Stage::Calling { calls, .. } = &self.stage else {
            return;
        };
        if calls.iter().all(Call::is_done) {
            self.close_turn();
            if self.cancelling {
                self.end(now, RunState::Cancelled, |_| {});
            } else {
                self.begin_turn(now);
            }
        }
    }

    /// Appends the results as one message, in the order of the calls.
    pub(super) fn close_turn(&mut self) {
        let Stage::Calling { calls, results_id } = mem::replace(&mut self.stage, Stage::New) else {
            return;
        };
        let mut parts = Vec::with_capacity(calls.len());
        for call in calls {
            let update = call.update();
            self.settled
                .insert(update.call.id.clone(), (&**update).into());
            if let Some(result) = call.told() {
                parts.push(Part::new(Content::ToolResult(result)));
            }
        }
        let message = Arc::new(Message {
            id: Some(results_id),
            role: Role::Tool,
            parts,
            name: None,
        });
        self.conversation.push(Arc::clone(&message));
        self.out.fact(Fact::MessageCompleted(Arc::new(RunMessage {
            message,
            turn: None,
        })));
        self.hear_out();
    }
}

/// Where a call goes, or why it goes nowhere.
fn plan(call: &ToolCall, offers: &[Offer]) -> Result<(Offer, JsonText), Trouble> {
    let offer = offers
        .iter()
        .find(|offer| offer.spec.name.as_str() == call.name)
        .ok_or_else(|| Trouble::Unknown {
            known: known_tools(offers),
        })?;
    let arguments = call
        .arguments()
        .map_err(|invalid| Trouble::Malformed(invalid.to_string()))?;
    Ok((offer.clone(), arguments))
}

fn known_tools(offers: &[Offer]) -> String {
    let names: Vec<&str> = offers
        .iter()
        .take(64)
        .map(|offer| offer.spec.name.as_str())
        .collect();
    names.join(", ")
}

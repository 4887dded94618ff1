//! A run in the line of its thread: it waits for its turn, takes in what was said before it, and hears what
//! is said to it in the middle.

use std::{mem, sync::Arc};

use super::{Effect, Machine, Stage};
use crate::domain::{
    call::Disposition,
    event::{Fact, RunMessage},
    message::Message,
    run::RunState,
    time::Timestamp,
};

impl Machine {
    /// Puts what was said before the run to where it belongs: behind the instructions.
    pub(super) fn take_in(&mut self, before: Vec<Arc<Message>>) {
        let at = usize::from(!self.world.spec.agent.instructions.is_empty());
        let at = at.min(self.conversation.len());
        self.conversation.splice(at..at, before);
    }

    /// Whether it waits for its turn in the line.
    pub(super) fn is_queued(&self) -> bool {
        self.run.state == RunState::Queued
    }

    pub(super) fn begin(&mut self, now: Timestamp) {
        if matches!(self.stage, Stage::New) && !self.is_queued() {
            self.recall(now);
        }
    }

    /// Those before it have ended. Its time begins.
    pub(super) fn proceed(&mut self, now: Timestamp) {
        if !self.is_queued() || self.is_over() {
            return;
        }
        self.update_run(|run| {
            run.state = RunState::Running;
            run.start_time = Some(now);
        });
        self.world.set_clock(&self.run);
        self.hear_out();
        self.recall(now);
    }

    fn recall(&mut self, now: Timestamp) {
        if self.run.previous.is_some() {
            self.stage = Stage::Recalling;
            self.out.effects.push(Effect::Recall);
        } else {
            self.begin_turn(now);
        }
    }

    pub(super) fn recalled(&mut self, now: Timestamp, before: Vec<Arc<Message>>) {
        if matches!(self.stage, Stage::Recalling) {
            self.take_in(before);
            self.begin_turn(now);
        }
    }

    /// Messages for the next turn: stored now, shown to the model then. The same ones again change nothing.
    pub(super) fn add_messages(&mut self, messages: Vec<Arc<Message>>) -> Disposition {
        if self.is_over() || self.cancelling {
            return Disposition::Stale;
        }
        if messages.first().is_some_and(|first| self.knows(first)) {
            return Disposition::Duplicate;
        }
        let room = self.world.settings.max_added_messages;
        if self.waiting.len().saturating_add(messages.len()) > room {
            return Disposition::Stale;
        }
        for message in messages {
            self.waiting.push(Arc::clone(&message));
            let completed = RunMessage {
                message,
                turn: None,
            };
            self.out.fact(Fact::MessageCompleted(Arc::new(completed)));
        }
        Disposition::Applied
    }

    fn knows(&self, message: &Message) -> bool {
        let known = |other: &Arc<Message>| other.id == message.id;
        message.id.is_some() && self.waiting.iter().chain(&self.conversation).any(known)
    }

    /// The turn is over: what was said in the middle of it comes now.
    pub(super) fn hear_out(&mut self) {
        self.conversation.extend(mem::take(&mut self.waiting));
    }

    /// The model has answered without calls, and more was said meanwhile: another turn.
    pub(super) fn answer_again(&mut self, now: Timestamp) {
        self.stage = Stage::New;
        self.hear_out();
        self.update_run(|_| {});
        match self.limit_reached(0) {
            Some(fault) => self.fail(now, fault),
            None => self.begin_turn(now),
        }
    }
}

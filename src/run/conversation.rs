//! What was said in the runs of a line: the conversation that a run goes on from, and that a thread shows.

use std::{mem, sync::Arc};

use crate::domain::{
    event::Fact,
    id::MessageId,
    message::{Content, Message, Part, Role, ToolResult},
    run::{Run, RunSpec},
};

/// A conversation as facts tell it. In it, every call is followed by its results.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::run) struct Conversation {
    messages: Vec<Arc<Message>>,
    /// Said to a run in the middle of a turn: it comes after that turn.
    waiting: Vec<Arc<Message>>,
    /// Calls of the newest message wait for their results.
    open: bool,
}

impl Conversation {
    /// A run begins with its input. Instructions are not carried on: a run has those of its own agent.
    pub(in crate::run) fn begin(&mut self, spec: &RunSpec) {
        let said = spec.input.iter().filter(|m| m.role != Role::System);
        self.messages.extend(said.cloned());
    }

    /// A fact of a run.
    pub(in crate::run) fn add(&mut self, fact: &Fact) {
        match fact {
            Fact::MessageCompleted(completed) => self.say(&completed.message),
            Fact::RunUpdated(_)
            | Fact::MessageDiscarded { .. }
            | Fact::ToolCallUpdated(_)
            | Fact::InputAnswered(_)
            | Fact::PolicyDecided(_) => {}
        }
    }

    fn say(&mut self, message: &Arc<Message>) {
        match message.role {
            Role::User | Role::System => return self.waiting.push(Arc::clone(message)),
            Role::Assistant => self.open = message.tool_calls().next().is_some(),
            Role::Tool => self.open = false,
        }
        self.messages.push(Arc::clone(message));
        if !self.open {
            self.settle();
        }
    }

    fn settle(&mut self) {
        self.messages.extend(mem::take(&mut self.waiting));
    }

    /// A run has ended. Calls without results get an error in their place: only a defect leaves any.
    pub(in crate::run) fn end(&mut self, run: &Run) {
        let calls = self.messages.last().filter(|_| self.open).cloned();
        if let Some(calls) = calls {
            let results = calls.tool_calls().map(|call| {
                let told = "Not run to its end, because the run ended.";
                let result = ToolResult::error(call.id.clone(), told);
                Part::new(Content::ToolResult(result))
            });
            self.messages.push(Arc::new(Message {
                // A number that no message of the run has: those of its model are far below.
                id: Some(MessageId::of_run(run.id, u64::MAX)),
                role: Role::Tool,
                parts: results.collect(),
                name: None,
            }));
        }
        self.open = false;
        self.settle();
    }

    /// It goes on elsewhere from here: back to where every call has its result.
    pub(in crate::run) fn rewind(&mut self) {
        if mem::take(&mut self.open) {
            self.messages.pop();
        }
        self.settle();
    }

    /// What was said.
    pub(in crate::run) fn into_messages(self) -> Vec<Arc<Message>> {
        self.messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::event::RunMessage,
        run::sample::{completed, new_run, run},
    };

    fn said(role: Role, text: &str) -> Fact {
        Fact::MessageCompleted(Arc::new(RunMessage {
            message: Arc::new(Message::text(role, text)),
            turn: None,
        }))
    }

    fn talk(facts: &[Fact]) -> Conversation {
        let mut conversation = Conversation::default();
        conversation.begin(&new_run(run(1, "a")).spec);
        for fact in facts {
            conversation.add(fact);
        }
        conversation
    }

    fn words(conversation: Conversation) -> Vec<String> {
        let messages = conversation.into_messages().into_iter();
        messages
            .map(|m| format!("{:?} {}", m.role, m.joined_text()))
            .collect()
    }

    #[test]
    fn what_is_said_in_the_middle_of_a_turn_comes_after_it() {
        let conversation = talk(&[
            completed("m0", "I look", &["c0"]),
            said(Role::User, "Hurry."),
            said(Role::Tool, ""),
            said(Role::User, "Please."),
            completed("m1", "Done", &[]),
        ]);
        let expected = [
            "User Go.",
            "Assistant I look",
            "Tool ",
            "User Hurry.",
            "Assistant Done",
            "User Please.",
        ];
        assert_eq!(words(conversation), expected);
    }

    #[test]
    fn a_run_that_ended_in_the_middle_of_its_calls_leaves_error_results() {
        let mut conversation = talk(&[completed("m0", "I look", &["c0", "c1"])]);
        conversation.end(&run(1, "a"));
        let messages = conversation.into_messages();
        let last = messages.last().unwrap();
        let of_calls = last.parts.iter().map(|part| match &part.content {
            Content::ToolResult(result) => (result.call_id.as_str(), result.is_error),
            Content::Text(_) | Content::Reasoning(_) | Content::Media(_) | Content::ToolCall(_) => {
                panic!("not a result: {part:?}")
            }
        });
        assert_eq!(of_calls.collect::<Vec<_>>(), [("c0", true), ("c1", true)]);
    }

    #[test]
    fn a_fork_begins_where_every_call_has_its_result() {
        let mut conversation = talk(&[
            completed("m0", "I look", &["c0"]),
            said(Role::Tool, ""),
            completed("m1", "Again", &["c1"]),
            said(Role::User, "Hurry."),
        ]);
        conversation.rewind();
        let expected = ["User Go.", "Assistant I look", "Tool ", "User Hurry."];
        assert_eq!(words(conversation), expected);
    }

    #[test]
    fn instructions_are_not_carried_on() {
        let mut spec = (*new_run(run(1, "a")).spec).clone();
        spec.input
            .insert(0, Arc::new(Message::text(Role::System, "Be rude.")));
        let mut conversation = Conversation::default();
        conversation.begin(&spec);
        assert_eq!(words(conversation), ["User Go."]);
    }
}

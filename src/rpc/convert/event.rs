//! What a watch shows.

use super::{
    count, fault, input,
    message::{encode as encode_message, encode_call, encode_delta, encode_finish, encode_parts},
    message::{encode_result, encode_usage},
    policy, run, small_count, timestamp,
};
use crate::{
    domain::{
        completion::{Delta, Grown},
        event::{CallState, Ephemeral, Event, Fact, Progress, RunMessage, ToolCallUpdate},
        id::{MessageId, RunId},
        message::{Content, Message, Part, Role, ToolCall},
    },
    pb::v1::{self, run_event::Event as Wire},
    run::{Seen, Snapshot},
};

/// One entry of a run's log, or the snapshot that stands for those before it.
pub(in crate::rpc) fn encode(run_id: RunId, seen: &Seen) -> v1::RunEvent {
    match seen {
        Seen::Snapshot { sequence, snapshot } => {
            entry(*sequence, Wire::Snapshot(encode_snapshot(run_id, snapshot)))
        }
        Seen::Event(event) => encode_event(run_id, event),
        Seen::Ephemeral {
            sequence,
            run_id,
            ephemeral,
        } => of(*run_id, entry(*sequence, encode_ephemeral(ephemeral))),
    }
}

/// "Nothing happened", with the newest sequence.
pub(in crate::rpc) fn heartbeat(sequence: u64) -> v1::RunEvent {
    entry(sequence, Wire::Heartbeat(v1::Heartbeat {}))
}

fn entry(sequence: u64, event: Wire) -> v1::RunEvent {
    v1::RunEvent {
        sequence: count(sequence),
        run_id: String::new(),
        event_time: None,
        event: Some(event),
    }
}

/// Says whose an entry is, when it is a subagent's.
fn of(run_id: Option<RunId>, wire: v1::RunEvent) -> v1::RunEvent {
    v1::RunEvent {
        run_id: run_id.map(|id| id.to_string()).unwrap_or_default(),
        ..wire
    }
}

fn encode_event(run_id: RunId, event: &Event) -> v1::RunEvent {
    let wire = match &event.fact {
        Fact::RunUpdated(run) => Wire::RunUpdated(Box::new(run::encode(run))),
        Fact::MessageCompleted(message) => {
            let of = event.run_id.unwrap_or(run_id);
            Wire::MessageCompleted(Box::new(encode_run_message(of, message)))
        }
        Fact::MessageDiscarded { message_id, error } => {
            Wire::MessageDiscarded(v1::MessageDiscarded {
                message_id: message_id.to_string(),
                error: Some(fault::encode(error)),
            })
        }
        Fact::ToolCallUpdated(update) => Wire::ToolCallUpdated(Box::new(encode_update(update))),
        Fact::InputAnswered(answered) => Wire::InputAnswered(input::encode_answered(answered)),
        Fact::PolicyDecided(decided) => Wire::PolicyDecided(policy::encode_decision(decided)),
    };
    let wire = v1::RunEvent {
        event_time: Some(timestamp(event.time)),
        ..entry(event.sequence, wire)
    };
    of(event.run_id, wire)
}

fn encode_ephemeral(ephemeral: &Ephemeral) -> Wire {
    match ephemeral {
        Ephemeral::MessageDelta { message_id, deltas } => Wire::MessageDelta(v1::RunMessageDelta {
            message_id: message_id.to_string(),
            deltas: deltas.iter().map(encode_delta).collect(),
        }),
        Ephemeral::Progress { update, progress } => {
            let mut wire = encode_update(update);
            wire.progress = Some(encode_progress(progress));
            Wire::ToolCallUpdated(Box::new(wire))
        }
    }
}

fn encode_run_message(run_id: RunId, message: &RunMessage) -> v1::RunMessage {
    let mut wire = v1::RunMessage {
        run_id: run_id.to_string(),
        message: Some(encode_message(&message.message)),
        ..v1::RunMessage::default()
    };
    if let Some(turn) = &message.turn {
        wire.set_finish_reason(encode_finish(turn.finish_reason));
        wire.usage = Some(encode_usage(&turn.usage));
        wire.model = turn.model.to_string();
        wire.provider_finish_reason
            .clone_from(&turn.provider_finish_reason);
        if let Some(json) = &turn.provider_metadata {
            json.as_str().clone_into(&mut wire.provider_metadata_json);
        }
    }
    wire
}

fn encode_snapshot(run_id: RunId, snapshot: &Snapshot) -> v1::RunSnapshot {
    let children = snapshot.children.iter();
    let partials = children
        .clone()
        .filter_map(|child| Some((child.run.id, child.partial.as_ref()?)));
    let partials = snapshot
        .partial
        .iter()
        .map(|partial| (run_id, partial))
        .chain(partials);
    let runs = children.map(|child| &child.run);
    v1::RunSnapshot {
        runs: std::iter::once(&snapshot.run)
            .chain(runs)
            .map(|run| run::encode(run))
            .collect(),
        partial_messages: partials
            .map(|(run_id, (id, deltas))| v1::RunMessage {
                run_id: run_id.to_string(),
                message: Some(encode_message(&partial_message(id, deltas))),
                ..v1::RunMessage::default()
            })
            .collect(),
        tool_calls: snapshot
            .calls
            .iter()
            .map(|call| encode_update(call))
            .collect(),
    }
}

/// The message as far as it has come.
fn partial_message(id: &MessageId, deltas: &[Delta]) -> Message {
    let mut parts: Vec<(u32, Part)> = Vec::new();
    for delta in deltas {
        let begun = parts
            .last_mut()
            .filter(|(index, _)| *index == delta.part_index);
        let Some((_, part)) = begun else {
            let content = match delta.grown.clone() {
                Grown::Text(text) => Content::Text(text),
                Grown::Reasoning(text) => Content::Reasoning(text),
                Grown::ToolCall { id, name } => Content::ToolCall(ToolCall {
                    id,
                    name,
                    arguments: String::new(),
                }),
                // Arguments of a call that was not begun belong to nothing.
                Grown::Arguments(_) => continue,
            };
            parts.push((delta.part_index, Part::new(content)));
            continue;
        };
        grow(&mut part.content, &delta.grown);
    }
    Message {
        id: Some(id.clone()),
        role: Role::Assistant,
        parts: parts.into_iter().map(|(_, part)| part).collect(),
        name: None,
    }
}

/// The first delta of a part decides its kind; increments of another kind belong to nothing.
fn grow(content: &mut Content, by: &Grown) {
    match (content, by) {
        (Content::Text(text), Grown::Text(more))
        | (Content::Reasoning(text), Grown::Reasoning(more)) => text.push_str(more),
        (Content::ToolCall(call), Grown::Arguments(more)) => call.arguments.push_str(more),
        (
            Content::Text(_)
            | Content::Reasoning(_)
            | Content::Media(_)
            | Content::ToolCall(_)
            | Content::ToolResult(_),
            Grown::Text(_) | Grown::Reasoning(_) | Grown::ToolCall { .. } | Grown::Arguments(_),
        ) => {}
    }
}

fn encode_update(update: &ToolCallUpdate) -> v1::ToolCallUpdate {
    use v1::tool_call_update::State;
    v1::ToolCallUpdate {
        call: Some(encode_call(&update.call)),
        state: match update.state {
            CallState::Pending => State::Pending,
            CallState::Running => State::Running,
            CallState::InputRequired => State::InputRequired,
            CallState::Succeeded => State::Succeeded,
            CallState::Failed => State::Failed,
            CallState::Cancelled => State::Cancelled,
        }
        .into(),
        attempt: small_count(update.attempt),
        host_id: update
            .host_id
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        progress: None,
        result: update.result.as_deref().map(encode_result),
        error: update.error.as_ref().map(fault::encode),
    }
}

fn encode_progress(progress: &Progress) -> v1::ToolProgress {
    v1::ToolProgress {
        progress: progress.progress,
        total: progress.total.unwrap_or_default(),
        message: progress.message.clone(),
        parts: encode_parts(&progress.parts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::CallId;

    #[test]
    fn a_partial_message_is_its_deltas_put_together() {
        let delta = |part_index, grown| Delta { part_index, grown };
        let id = CallId::parse("call_1").unwrap();
        let message = partial_message(
            &MessageId::parse("msg_1").unwrap(),
            &[
                delta(0, Grown::Reasoning("hm".to_owned())),
                delta(1, Grown::Text("It ".to_owned())),
                delta(1, Grown::Text("is".to_owned())),
                delta(
                    2,
                    Grown::ToolCall {
                        id,
                        name: "clock".to_owned(),
                    },
                ),
                delta(2, Grown::Arguments("{\"z\":".to_owned())),
                delta(2, Grown::Arguments("1}".to_owned())),
                delta(3, Grown::Arguments("lost".to_owned())),
            ],
        );
        assert_eq!(message.joined_text(), "It is");
        assert_eq!(message.tool_calls().next().unwrap().arguments, "{\"z\":1}");
        assert_eq!(message.parts.len(), 3);
    }
}

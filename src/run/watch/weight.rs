//! How much room things take, roughly: for batches and for what is kept in memory. An estimate of the
//! encoded size, made without encoding.

use super::{ChildSnapshot, Snapshot};
use crate::domain::{
    completion::{Delta, Grown},
    event::{Ephemeral, Event, Fact, Progress, ToolCallUpdate},
    fault::Fault,
    input::{Ask, InputAnswer, RequiredInput},
    message::{Content, Media, MediaSource, Message, Part, ToolCall, ToolResult},
    run::Run,
};

/// What anything takes beside its content: ids, numbers, frames.
const FRAME: usize = 64;

/// An event's weight.
pub(crate) fn of_event(event: &Event) -> usize {
    FRAME
        + match &event.fact {
            Fact::RunUpdated(run) => of_run(run),
            Fact::MessageCompleted(message) => of_message(&message.message),
            Fact::MessageDiscarded { error, .. } => of_fault(error),
            Fact::ToolCallUpdated(update) => of_update(update),
            Fact::InputAnswered(answered) => of_answer(&answered.answer),
            Fact::PolicyDecided(decided) => decided.decision.reason.len(),
        }
}

/// An ephemeral's weight.
pub(crate) fn of_ephemeral(ephemeral: &Ephemeral) -> usize {
    FRAME
        + match ephemeral {
            Ephemeral::MessageDelta { deltas, .. } => deltas.iter().map(of_delta).sum(),
            Ephemeral::Progress { update, progress } => of_update(update) + of_progress(progress),
        }
}

/// A snapshot's weight.
pub(crate) fn of_snapshot(snapshot: &Snapshot) -> usize {
    let partial = snapshot.partial.as_ref();
    FRAME
        + of_run(&snapshot.run)
        + partial.map_or(0, |(_, deltas)| deltas.iter().map(of_delta).sum())
        + snapshot.children.iter().map(of_child).sum::<usize>()
        + snapshot.calls.iter().map(|c| of_update(c)).sum::<usize>()
}

fn of_child(child: &ChildSnapshot) -> usize {
    let partial = child.partial.as_ref();
    of_run(&child.run) + partial.map_or(0, |(_, deltas)| deltas.iter().map(of_delta).sum())
}

/// A message's weight.
pub(crate) fn of_message(message: &Message) -> usize {
    FRAME + message.parts.iter().map(of_part).sum::<usize>()
}

fn of_run(run: &Run) -> usize {
    let labels = run.labels.iter().map(|(k, v)| k.len() + v.len());
    4 * FRAME
        + labels.sum::<usize>()
        + run.usage_by_model.len() * FRAME
        + run.cancel_reason.len()
        + run.output.as_deref().map_or(0, of_message)
        + run.error.as_ref().map_or(0, of_fault)
        + run
            .waiting
            .inputs
            .iter()
            .map(|i| of_input(i))
            .sum::<usize>()
}

fn of_input(input: &RequiredInput) -> usize {
    2 * FRAME
        + input.reason.len()
        + match &input.ask {
            Ask::Approval(call) => of_call(call),
            Ask::Question(question) => {
                let schema = question.schema.as_ref();
                question.message.len() + schema.map_or(0, |json| json.as_str().len())
            }
        }
}

fn of_answer(answer: &InputAnswer) -> usize {
    let content = answer.content.as_ref();
    FRAME + answer.reason.len() + content.map_or(0, |json| json.as_str().len())
}

fn of_update(update: &ToolCallUpdate) -> usize {
    FRAME
        + of_call(&update.call)
        + update.result.as_deref().map_or(0, of_result)
        + update.error.as_ref().map_or(0, of_fault)
}

fn of_progress(progress: &Progress) -> usize {
    progress.message.len() + progress.parts.iter().map(of_part).sum::<usize>()
}

fn of_delta(delta: &Delta) -> usize {
    FRAME / 4
        + match &delta.grown {
            Grown::Text(text) | Grown::Reasoning(text) | Grown::Arguments(text) => text.len(),
            Grown::ToolCall { name, .. } => name.len() + FRAME,
        }
}

fn of_part(part: &Part) -> usize {
    let state = part.provider_state.as_ref();
    state.map_or(0, |state| state.data.len())
        + match &part.content {
            Content::Text(text) | Content::Reasoning(text) => text.len(),
            Content::Media(media) => of_media(media),
            Content::ToolCall(call) => of_call(call),
            Content::ToolResult(result) => of_result(result),
        }
}

fn of_media(media: &Media) -> usize {
    FRAME
        + match &media.source {
            MediaSource::Inline(bytes) => bytes.len(),
            MediaSource::Uri(uri) => uri.len(),
        }
}

fn of_call(call: &ToolCall) -> usize {
    FRAME + call.name.len() + call.arguments.len()
}

fn of_result(result: &ToolResult) -> usize {
    let structured = result.structured.as_ref();
    FRAME
        + structured.map_or(0, |json| json.as_str().len())
        + result.parts.iter().map(of_part).sum::<usize>()
}

fn of_fault(fault: &Fault) -> usize {
    let metadata = fault.metadata.iter().map(|(k, v)| k.len() + v.len());
    FRAME + fault.message.len() + metadata.sum::<usize>()
}

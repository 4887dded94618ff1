//! From a turn to events.

use std::{sync::Arc, time::Duration};

use super::{
    choose::Scene,
    format::{Call, Count, Failure, Finish, Model, Turn},
    invent::invent,
    template,
};
use crate::{
    domain::{
        completion::{Completion, Delta, Grown, ModelEvent},
        fault::{Fault, Reason},
        id::CallId,
        message::{Content, Message, Part, Role, ToolCall},
        model::{FinishReason, ModelRef, Usage},
        tool::ToolSpec,
    },
    run::port::Answer,
};

/// The most that anything is repeated.
const MAX_REPEAT: usize = 100_000;

/// What happens next.
pub(super) enum Step {
    /// This is said.
    Event(Result<ModelEvent, Fault>),
    /// Nothing, for so long.
    Wait(Duration),
    /// Nothing more.
    Hang,
}

/// Plays a turn of a model.
///
/// # Errors
/// When the script's reason for a fault is none.
pub(super) fn play(
    model: ModelRef,
    scene: &Scene<'_>,
    (entry, turn): (&Model, &Turn),
    answer: Answer,
) -> Result<Vec<Step>, Fault> {
    let said = say(scene, turn);
    let failure = turn.fault.as_ref().filter(|failure| failure.strikes());
    let fault = failure
        .map(|failure| fault_of(failure, scene))
        .transpose()?;
    let mut steps = Vec::new();
    if !entry.first_delay.is_zero() {
        steps.push(Step::Wait(entry.first_delay));
    }
    let fails_at = failure.map(|failure| failure.after);
    if fails_at == Some(0) {
        steps.extend(fault.map(|fault| Step::Event(Err(fault))));
        return Ok(steps);
    }
    steps.push(Step::Event(Ok(ModelEvent::Started {
        model: model.clone(),
    })));
    let stops_at = fails_at.into_iter().chain(turn.hang_after).min();
    let shown = stops_at.unwrap_or(usize::MAX);
    if answer == Answer::Streamed {
        for delta in said.deltas.into_iter().take(shown) {
            if !entry.delay.is_zero() {
                steps.push(Step::Wait(entry.delay));
            }
            steps.push(Step::Event(Ok(ModelEvent::Delta(delta))));
        }
    }
    steps.push(match (fault, turn.hang_after) {
        (Some(fault), _) => Step::Event(Err(fault)),
        (None, Some(_)) => Step::Hang,
        (None, None) => Step::Event(Ok(ModelEvent::Finished(Box::new(complete(
            model, scene, turn, said.parts,
        ))))),
    });
    Ok(steps)
}

fn fault_of(failure: &Failure, scene: &Scene<'_>) -> Result<Fault, Fault> {
    let name = template::text(&failure.reason, scene, 0);
    let reason = Reason::ALL.iter().find(|reason| reason.name() == name);
    let reason = *reason.ok_or_else(|| {
        Fault::new(
            Reason::ProviderInvalidRequest,
            "the script's fault has no reason of the contract",
        )
    })?;
    let mut fault = Fault::new(reason, "the script says so");
    fault.retry_after = failure.retry_after;
    Ok(fault)
}

/// What is said, as it grows and as it is in the end.
#[derive(Default)]
struct Said {
    deltas: Vec<Delta>,
    parts: Vec<Part>,
}

impl Said {
    fn index(&self) -> u32 {
        u32::try_from(self.parts.len()).unwrap_or(u32::MAX)
    }

    fn grow(&mut self, grown: Grown) {
        let part_index = self.index();
        self.deltas.push(Delta { part_index, grown });
    }

    /// A part that grows word by word.
    fn words(&mut self, text: String, grown: fn(String) -> Grown, content: fn(String) -> Content) {
        if text.is_empty() {
            return;
        }
        for word in text.split_inclusive(' ') {
            self.grow(grown(word.to_owned()));
        }
        self.parts.push(Part::new(content(text)));
    }

    fn call(&mut self, name: &str, arguments: String) {
        let id = CallId::mint();
        self.grow(Grown::ToolCall {
            id: id.clone(),
            name: name.to_owned(),
        });
        if !arguments.is_empty() {
            self.grow(Grown::Arguments(arguments.clone()));
        }
        self.parts.push(Part::new(Content::ToolCall(ToolCall {
            id,
            name: name.to_owned(),
            arguments,
        })));
    }
}

fn say(scene: &Scene<'_>, turn: &Turn) -> Said {
    let mut said = Said::default();
    let reasoning = template::text(&turn.reasoning, scene, 0);
    said.words(reasoning, Grown::Reasoning, Content::Reasoning);
    let mut calls = Said {
        parts: said.parts.clone(),
        ..Said::default()
    };
    for call in &turn.calls {
        make_calls(&mut calls, scene, call);
    }
    let called = calls.parts.len() > said.parts.len();
    if let (false, Some(tool)) = (called, scene.forced()) {
        said.call(tool.name.as_str(), made_up(tool, scene));
        return said;
    }
    match &scene.request.options.output_schema {
        Some(schema) if !called => {
            let answer = invent(schema.as_str(), &scene.user);
            said.words(answer, Grown::Text, Content::Text);
        }
        Some(_) | None => say_text(&mut said, scene, turn),
    }
    for call in &turn.calls {
        make_calls(&mut said, scene, call);
    }
    said
}

fn say_text(said: &mut Said, scene: &Scene<'_>, turn: &Turn) {
    let times = count(&turn.repeat, scene);
    if turn.deltas.is_empty() && times == 1 {
        let text = template::text(&turn.text, scene, 0);
        return said.words(text, Grown::Text, Content::Text);
    }
    let once = std::slice::from_ref(&turn.text);
    let pieces = if turn.deltas.is_empty() {
        once
    } else {
        &turn.deltas
    };
    let mut whole = String::new();
    for i in 0..times {
        for piece in pieces {
            let piece = template::text(piece, scene, i);
            whole.push_str(&piece);
            said.grow(Grown::Text(piece));
        }
    }
    if !whole.is_empty() {
        said.parts.push(Part::new(Content::Text(whole)));
    }
}

fn make_calls(said: &mut Said, scene: &Scene<'_>, call: &Call) {
    let tools: Vec<&Arc<ToolSpec>> = scene.tools(&call.tool).collect();
    if tools.is_empty() && call.tool.contains('*') {
        return;
    }
    for i in 0..count(&call.repeat, scene) {
        let tool = tools.get(i.checked_rem(tools.len()).unwrap_or(0));
        let name = tool.map_or(&*call.tool, |tool| tool.name.as_str());
        let arguments = match (&call.arguments, tool) {
            (Some(arguments), _) => template::json(arguments, scene, i),
            (None, Some(tool)) => made_up(tool, scene),
            (None, None) => "{}".to_owned(),
        };
        said.call(name, arguments);
    }
}

fn made_up(tool: &ToolSpec, scene: &Scene<'_>) -> String {
    invent(tool.input_schema.as_str(), &scene.user)
}

fn count(count: &Count, scene: &Scene<'_>) -> usize {
    let count = match count {
        Count::Number(number) => *number,
        Count::Template(template) => template::text(template, scene, 0).parse().unwrap_or(1),
    };
    count.min(MAX_REPEAT)
}

fn complete(model: ModelRef, scene: &Scene<'_>, turn: &Turn, parts: Vec<Part>) -> Completion {
    let message = Message {
        id: None,
        role: Role::Assistant,
        parts,
        name: None,
    };
    let (finish_reason, word) = match turn.finish {
        Some(Finish::Stop) => (FinishReason::Stop, "stop"),
        Some(Finish::Length) => (FinishReason::Length, "length"),
        Some(Finish::ContentFilter) => (FinishReason::ContentFilter, "content_filter"),
        None if message.tool_calls().next().is_some() => (FinishReason::ToolCalls, "tool_calls"),
        None => (FinishReason::Stop, "stop"),
    };
    let usage = match turn.usage {
        Some(tokens) => Usage {
            input_tokens: tokens.input,
            cache_read_tokens: tokens.cached,
            cache_write_tokens: 0,
            output_tokens: tokens.output,
            reasoning_tokens: tokens.reasoning,
        },
        None => estimate(scene, &message),
    };
    Completion {
        model,
        message,
        finish_reason,
        provider_finish_reason: word.to_owned(),
        usage,
        provider_metadata: None,
    }
}

/// A token for every four bytes.
fn estimate(scene: &Scene<'_>, message: &Message) -> Usage {
    let tokens = |bytes: usize| u64::try_from(bytes.div_ceil(4)).unwrap_or(u64::MAX);
    let bytes = |message: &Message| message.parts.iter().map(part_bytes).sum::<usize>();
    let input = scene.request.messages.iter().map(|message| bytes(message));
    let reasoning = message.parts.iter().map(|part| match &part.content {
        Content::Reasoning(text) => text.len(),
        Content::Text(_) | Content::Media(_) | Content::ToolCall(_) | Content::ToolResult(_) => 0,
    });
    Usage {
        input_tokens: tokens(input.sum()),
        cache_read_tokens: 0,
        cache_write_tokens: 0,
        output_tokens: tokens(bytes(message)),
        reasoning_tokens: tokens(reasoning.sum()),
    }
}

fn part_bytes(part: &Part) -> usize {
    match &part.content {
        Content::Text(text) | Content::Reasoning(text) => text.len(),
        Content::ToolCall(call) => call.name.len() + call.arguments.len(),
        Content::ToolResult(result) => result.parts.iter().map(part_bytes).sum(),
        Content::Media(_) => 0,
    }
}

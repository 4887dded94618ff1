//! The contract's messages as JSON, for `--json`: the names of the fields are those of the contract,
//! states and reasons stand without their prefixes, unset fields are left out.

use serde_json::{Map, Value, json};

use crate::pb::v1::{
    Completion, Error, FinishReason, InputAnswer, Message, MessageDelta, Model, OutputSchemaMethod,
    Part, Run, RunEvent, ToolCallUpdate, ToolResult, Usage, message_delta::Delta, part::Content,
    required_input::Kind, run_event::Event, stream_completion_response,
};

/// An event of a streamed completion.
pub(super) fn completion_event(event: &stream_completion_response::Event) -> Value {
    use stream_completion_response::Event;
    match event {
        Event::Started(started) => {
            json!({"started": {"id": started.id, "model": started.model}})
        }
        Event::Delta(delta) => json!({"delta": message_delta(delta)}),
        Event::Completion(completion) => json!({"completion": self::completion(completion)}),
    }
}

fn completion(completion: &Completion) -> Value {
    object([
        ("id", text(&completion.id)),
        ("model", text(&completion.model)),
        ("message", completion.message.as_ref().map(message)),
        ("finish_reason", finish_reason(completion.finish_reason())),
        (
            "provider_finish_reason",
            text(&completion.provider_finish_reason),
        ),
        ("usage", completion.usage.as_ref().map(usage)),
        (
            "provider_metadata_json",
            text(&completion.provider_metadata_json),
        ),
    ])
}

/// An event of a run.
pub(super) fn run_event(event: &RunEvent) -> Value {
    let (name, value) = match &event.event {
        Some(Event::Snapshot(snapshot)) => {
            let runs: Vec<Value> = snapshot.runs.iter().map(run).collect();
            let calls: Vec<Value> = snapshot.tool_calls.iter().map(tool_call_update).collect();
            ("snapshot", json!({"runs": runs, "tool_calls": calls}))
        }
        Some(Event::RunUpdated(updated)) => ("run_updated", run(updated)),
        Some(Event::MessageDelta(delta)) => {
            let deltas: Vec<Value> = delta.deltas.iter().map(message_delta).collect();
            (
                "message_delta",
                json!({"message_id": delta.message_id, "deltas": deltas}),
            )
        }
        Some(Event::MessageCompleted(completed)) => (
            "message_completed",
            object([
                ("message", completed.message.as_ref().map(message)),
                ("finish_reason", finish_reason(completed.finish_reason())),
                ("usage", completed.usage.as_ref().map(usage)),
                ("model", text(&completed.model)),
            ]),
        ),
        Some(Event::MessageDiscarded(discarded)) => (
            "message_discarded",
            object([
                ("message_id", text(&discarded.message_id)),
                ("error", discarded.error.as_ref().map(error)),
            ]),
        ),
        Some(Event::ToolCallUpdated(update)) => ("tool_call_updated", tool_call_update(update)),
        Some(Event::InputAnswered(answer)) => ("input_answered", input_answer(answer)),
        Some(Event::PolicyDecided(decided)) => (
            "policy_decided",
            object([
                ("call_id", text(&decided.call_id)),
                (
                    "action",
                    Some(json!(name(
                        decided.action().as_str_name(),
                        "POLICY_ACTION_"
                    ))),
                ),
                ("rule_source", text(&decided.rule_source)),
                ("reason", text(&decided.reason)),
            ]),
        ),
        Some(Event::Heartbeat(_)) => ("heartbeat", json!({})),
        None => ("unknown", json!({})),
    };
    json!({"sequence": event.sequence, name: value})
}

/// A run.
pub(super) fn run(run: &Run) -> Value {
    let time = |time: &prost_types::Timestamp| json!(time.to_string());
    object([
        ("id", text(&run.id)),
        ("agent_name", text(&run.agent_name)),
        (
            "state",
            Some(json!(name(run.state().as_str_name(), "STATE_"))),
        ),
        ("error", run.error.as_ref().map(error)),
        ("required_inputs", inputs(run)),
        ("output", run.output.as_ref().map(message)),
        ("usage", run.usage.as_ref().map(usage)),
        ("turn_count", Some(json!(run.turn_count))),
        ("last_sequence", Some(json!(run.last_sequence))),
        (
            "labels",
            (!run.labels.is_empty()).then(|| json!(run.labels)),
        ),
        ("model", text(&run.model)),
        ("creator", text(&run.creator)),
        ("cancel_reason", text(&run.cancel_reason)),
        ("create_time", run.create_time.as_ref().map(time)),
        ("start_time", run.start_time.as_ref().map(time)),
        ("end_time", run.end_time.as_ref().map(time)),
    ])
}

/// What a run waits for.
fn inputs(run: &Run) -> Option<Value> {
    let inputs = run.required_inputs.iter().map(|input| {
        let (approval, question) = match &input.kind {
            Some(Kind::ToolApproval(call)) => (Some(tool_call(call)), None),
            Some(Kind::Question(asked)) => (
                None,
                Some(object([
                    ("message", text(&asked.message)),
                    ("schema_json", text(&asked.schema_json)),
                ])),
            ),
            None => (None, None),
        };
        object([
            ("id", text(&input.id)),
            ("call_id", text(&input.call_id)),
            ("tool_approval", approval),
            ("question", question),
            ("reason", text(&input.reason)),
            (
                "expire_time",
                input.expire_time.as_ref().map(|t| json!(t.to_string())),
            ),
        ])
    });
    let inputs: Vec<Value> = inputs.collect();
    (!inputs.is_empty()).then(|| json!(inputs))
}

fn input_answer(answer: &InputAnswer) -> Value {
    object([
        ("input_id", text(&answer.input_id)),
        (
            "action",
            Some(json!(name(answer.action().as_str_name(), "ACTION_"))),
        ),
        ("content_json", text(&answer.content_json)),
        ("reason", text(&answer.reason)),
        ("principal", text(&answer.principal)),
    ])
}

/// A model.
pub(super) fn model(model: &Model) -> Value {
    let count = |count: i64| (count > 0).then(|| json!(count));
    object([
        ("id", text(&model.id)),
        ("provider", text(&model.provider)),
        (
            "aliases",
            (!model.aliases.is_empty()).then(|| json!(model.aliases)),
        ),
        ("context_tokens", count(model.context_tokens)),
        ("max_output_tokens", count(model.max_output_tokens)),
        ("supports_media", model.supports_media.map(|v| json!(v))),
        (
            "input_media_types",
            (!model.input_media_types.is_empty()).then(|| json!(model.input_media_types)),
        ),
        ("supports_tools", model.supports_tools.map(|v| json!(v))),
        (
            "supports_parallel_tool_calls",
            model.supports_parallel_tool_calls.map(|v| json!(v)),
        ),
        (
            "supports_reasoning",
            model.supports_reasoning.map(|v| json!(v)),
        ),
        (
            "supports_output_schema",
            model.supports_output_schema.map(|v| json!(v)),
        ),
        ("output_schema_method", schema_method(model)),
        (
            "supports_streaming",
            model.supports_streaming.map(|v| json!(v)),
        ),
        (
            "input_price_micros",
            model.input_price_micros.map(|v| json!(v)),
        ),
        (
            "output_price_micros",
            model.output_price_micros.map(|v| json!(v)),
        ),
    ])
}

fn schema_method(model: &Model) -> Option<Value> {
    let method = model.output_schema_method();
    let name = method.as_str_name();
    let is_known = method != OutputSchemaMethod::Unspecified;
    is_known.then(|| json!(name.trim_start_matches("OUTPUT_SCHEMA_METHOD_")))
}

/// What failed, as data.
pub(super) fn error(error: &Error) -> Value {
    object([
        ("reason", text(&error.reason)),
        ("message", text(&error.message)),
        (
            "metadata",
            (!error.metadata.is_empty()).then(|| json!(error.metadata)),
        ),
    ])
}

fn message(message: &Message) -> Value {
    let parts: Vec<Value> = message.parts.iter().map(part).collect();
    object([
        ("id", text(&message.id)),
        (
            "role",
            Some(json!(name(message.role().as_str_name(), "ROLE_"))),
        ),
        ("name", text(&message.name)),
        ("parts", Some(json!(parts))),
    ])
}

fn part(part: &Part) -> Value {
    match &part.content {
        Some(Content::Text(text)) => json!({"text": text}),
        Some(Content::Reasoning(reasoning)) => json!({"reasoning": {"text": reasoning.text}}),
        Some(Content::Media(media)) => json!({"media": {"media_type": media.media_type}}),
        Some(Content::ToolCall(call)) => json!({"tool_call": tool_call(call)}),
        Some(Content::ToolResult(result)) => json!({"tool_result": tool_result(result)}),
        None => json!({}),
    }
}

fn tool_call(call: &crate::pb::v1::ToolCall) -> Value {
    json!({"id": call.id, "name": call.name, "arguments_json": call.arguments_json})
}

fn tool_result(result: &ToolResult) -> Value {
    let parts: Vec<Value> = result.parts.iter().map(part).collect();
    object([
        ("call_id", text(&result.call_id)),
        ("parts", Some(json!(parts))),
        ("structured_json", text(&result.structured_json)),
        ("is_error", result.is_error.then_some(Value::Bool(true))),
    ])
}

fn tool_call_update(update: &ToolCallUpdate) -> Value {
    object([
        ("call", update.call.as_ref().map(tool_call)),
        (
            "state",
            Some(json!(name(update.state().as_str_name(), "STATE_"))),
        ),
        (
            "attempt",
            (update.attempt > 0).then(|| json!(update.attempt)),
        ),
        ("host_id", text(&update.host_id)),
        ("result", update.result.as_ref().map(tool_result)),
        ("error", update.error.as_ref().map(error)),
    ])
}

fn message_delta(delta: &MessageDelta) -> Value {
    let grown = match &delta.delta {
        Some(Delta::Text(text)) => ("text", json!(text)),
        Some(Delta::Reasoning(text)) => ("reasoning", json!(text)),
        Some(Delta::ToolCall(call)) => (
            "tool_call",
            object([
                ("id", text(&call.id)),
                ("name", text(&call.name)),
                ("arguments_json", text(&call.arguments_json)),
            ]),
        ),
        None => ("unknown", json!({})),
    };
    json!({"part_index": delta.part_index, grown.0: grown.1})
}

fn usage(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.input_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    })
}

fn finish_reason(reason: FinishReason) -> Option<Value> {
    (reason != FinishReason::Unspecified)
        .then(|| json!(name(reason.as_str_name(), "FINISH_REASON_")))
}

/// An enum value without what all values of its enum begin with.
pub(super) fn name(name: &'static str, prefix: &str) -> &'static str {
    name.strip_prefix(prefix).unwrap_or(name)
}

fn text(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| json!(text))
}

/// An object of the fields that are set, in this order as far as JSON has one.
fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let set = fields
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name.to_owned(), value)));
    Value::Object(set.collect::<Map<_, _>>())
}

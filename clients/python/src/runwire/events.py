"""What a run shows while it works: plain values made from the events of its log."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Literal

from google.protobuf import timestamp_pb2

from runwire.conversation import reasoning_of, text_of, to_dicts
from runwire.errors import RunwireError, from_data
from runwire.inputs import AnswerAction, PolicyAction, RequiredInput, answer_action, policy_action
from runwire.v1 import message_pb2, run_pb2

RunState = Literal[
    "unknown", "queued", "running", "input_required", "cancelling", "succeeded", "failed", "cancelled"
]
CallState = Literal["unknown", "pending", "running", "input_required", "succeeded", "failed", "cancelled"]
FinishReason = Literal["unknown", "stop", "length", "tool_calls", "content_filter", "other"]

_RUN_STATES: dict[int, RunState] = {
    run_pb2.Run.STATE_QUEUED: "queued",
    run_pb2.Run.STATE_RUNNING: "running",
    run_pb2.Run.STATE_INPUT_REQUIRED: "input_required",
    run_pb2.Run.STATE_CANCELLING: "cancelling",
    run_pb2.Run.STATE_SUCCEEDED: "succeeded",
    run_pb2.Run.STATE_FAILED: "failed",
    run_pb2.Run.STATE_CANCELLED: "cancelled",
}
_CALL_STATES: dict[int, CallState] = {
    run_pb2.ToolCallUpdate.STATE_PENDING: "pending",
    run_pb2.ToolCallUpdate.STATE_RUNNING: "running",
    run_pb2.ToolCallUpdate.STATE_INPUT_REQUIRED: "input_required",
    run_pb2.ToolCallUpdate.STATE_SUCCEEDED: "succeeded",
    run_pb2.ToolCallUpdate.STATE_FAILED: "failed",
    run_pb2.ToolCallUpdate.STATE_CANCELLED: "cancelled",
}
_FINISH_REASONS: dict[int, FinishReason] = {
    message_pb2.FINISH_REASON_STOP: "stop",
    message_pb2.FINISH_REASON_LENGTH: "length",
    message_pb2.FINISH_REASON_TOOL_CALLS: "tool_calls",
    message_pb2.FINISH_REASON_CONTENT_FILTER: "content_filter",
    message_pb2.FINISH_REASON_OTHER: "other",
}
RUN_STATE_NUMBERS = {name: number for number, name in _RUN_STATES.items()}


@dataclass(frozen=True)
class Usage:
    """Tokens. Totals include their parts: input the cached, output the reasoning."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens

    @classmethod
    def from_proto(cls, usage: message_pb2.Usage) -> Usage:
        """Convert from the wire."""
        return cls(
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_tokens,
            usage.cache_write_tokens,
            usage.reasoning_tokens,
        )


@dataclass(frozen=True)
class Run:
    """A run as it stands."""

    id: str
    agent_name: str
    state: RunState
    model: str
    output: str | None
    error: RunwireError | None
    finish_reason: FinishReason
    usage: Usage
    usage_by_model: Mapping[str, Usage]
    turn_count: int
    last_sequence: int
    labels: Mapping[str, str]
    creator: str
    cancel_reason: str
    create_time: datetime | None
    start_time: datetime | None
    end_time: datetime | None
    #: What it waits for, in ``input_required``.
    required_inputs: tuple[RequiredInput, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether it has ended."""
        return self.state in ("succeeded", "failed", "cancelled")

    @classmethod
    def from_proto(cls, run: run_pb2.Run) -> Run:
        """Convert from the wire."""
        return cls(
            id=run.id,
            agent_name=run.agent_name,
            state=_RUN_STATES.get(run.state, "unknown"),
            model=run.model,
            output=text_of(run.output) if run.HasField("output") else None,
            error=from_data(run.error) if run.HasField("error") else None,
            finish_reason=finish_reason(run.finish_reason),
            usage=Usage.from_proto(run.usage),
            usage_by_model={model: Usage.from_proto(usage) for model, usage in run.usage_by_model.items()},
            turn_count=run.turn_count,
            last_sequence=run.last_sequence,
            labels=dict(run.labels),
            creator=run.creator,
            cancel_reason=run.cancel_reason,
            create_time=_time(run.create_time) if run.HasField("create_time") else None,
            start_time=_time(run.start_time) if run.HasField("start_time") else None,
            end_time=_time(run.end_time) if run.HasField("end_time") else None,
            required_inputs=tuple(RequiredInput.from_proto(each) for each in run.required_inputs),
        )


@dataclass(frozen=True)
class Event:
    """Something happened in a run."""

    sequence: int
    time: datetime | None


@dataclass(frozen=True)
class TextDelta(Event):
    """An answer grows. For display: the completed message is the truth."""

    message_id: str
    text: str


@dataclass(frozen=True)
class ReasoningDelta(Event):
    """The model thinks. For display."""

    message_id: str
    text: str


@dataclass(frozen=True)
class ToolCallDelta(Event):
    """A tool call is being written. ``id`` and ``name`` come with the first fragment. For display."""

    message_id: str
    part_index: int
    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class MessageCompleted(Event):
    """A message is complete. A tool message has one dictionary per result."""

    run_id: str
    messages: list[dict[str, Any]]
    text: str
    reasoning: str
    finish_reason: FinishReason
    usage: Usage
    model: str
    provider_metadata: dict[str, Any] = field(repr=False)
    proto: message_pb2.Message = field(repr=False)


@dataclass(frozen=True)
class MessageDiscarded(Event):
    """A message that had begun will not be completed: drop what was shown of it."""

    message_id: str
    error: RunwireError


@dataclass(frozen=True)
class ToolCallUpdated(Event):
    """A tool call changed."""

    call_id: str
    name: str
    arguments: str = field(repr=False)
    state: CallState
    attempt: int
    host_id: str
    progress: run_pb2.ToolProgress | None
    result: str | None = field(repr=False)
    is_error: bool
    error: RunwireError | None


@dataclass(frozen=True)
class RunUpdated(Event):
    """The run changed; the last one has a terminal state."""

    run: Run


@dataclass(frozen=True)
class InputAnswered(Event):
    """Someone answered what the run waited for; without a ``principal``, nobody did in time."""

    input_id: str
    action: AnswerAction
    content: Any = field(repr=False)
    reason: str = field(repr=False)
    principal: str


@dataclass(frozen=True)
class PolicyDecided(Event):
    """A policy decided about a call: ``source`` is ``operator``, ``run``, or the id of a run before it."""

    call_id: str
    action: PolicyAction
    source: str
    reason: str


@dataclass(frozen=True)
class Snapshot(Event):
    """How things stand. Forget what you have and begin here."""

    run: Run
    partial: list[MessageCompleted]
    calls: list[ToolCallUpdated]


def finish_reason(number: int) -> FinishReason:
    """Name a finish reason."""
    return _FINISH_REASONS.get(number, "unknown")


def to_events(event: run_pb2.RunEvent) -> Iterator[Event]:
    """Convert an event of the log; unknown kinds and heartbeats give nothing."""
    kind = event.WhichOneof("event")
    sequence = event.sequence
    time = _time(event.event_time) if event.HasField("event_time") else None
    if kind == "message_delta":
        for delta in event.message_delta.deltas:
            yield from _delta(sequence, event.message_delta.message_id, delta)
    elif kind == "message_completed":
        yield _completed(sequence, time, event.message_completed)
    elif kind == "message_discarded":
        discarded = event.message_discarded
        yield MessageDiscarded(sequence, time, discarded.message_id, from_data(discarded.error))
    elif kind == "tool_call_updated":
        yield _call(sequence, time, event.tool_call_updated)
    elif kind == "run_updated":
        yield RunUpdated(sequence, time, Run.from_proto(event.run_updated))
    elif kind == "input_answered":
        answer = event.input_answered
        yield InputAnswered(
            sequence,
            time,
            answer.input_id,
            answer_action(answer.action),
            json.loads(answer.content_json) if answer.content_json else None,
            answer.reason,
            answer.principal,
        )
    elif kind == "policy_decided":
        decided = event.policy_decided
        action = policy_action(decided.action)
        yield PolicyDecided(sequence, time, decided.call_id, action, decided.rule_source, decided.reason)
    elif kind == "snapshot" and event.snapshot.runs:
        snapshot = event.snapshot
        yield Snapshot(
            sequence,
            time,
            Run.from_proto(snapshot.runs[0]),
            [_completed(sequence, None, partial) for partial in snapshot.partial_messages],
            [_call(sequence, None, call) for call in snapshot.tool_calls],
        )


def _delta(sequence: int, message_id: str, delta: message_pb2.MessageDelta) -> Iterator[Event]:
    kind = delta.WhichOneof("delta")
    if kind == "text":
        yield TextDelta(sequence, None, message_id, delta.text)
    elif kind == "reasoning":
        yield ReasoningDelta(sequence, None, message_id, delta.reasoning)
    elif kind == "tool_call":
        call = delta.tool_call
        yield ToolCallDelta(
            sequence, None, message_id, delta.part_index, call.id, call.name, call.arguments_json
        )


def _completed(sequence: int, time: datetime | None, completed: run_pb2.RunMessage) -> MessageCompleted:
    message = completed.message
    return MessageCompleted(
        sequence,
        time,
        run_id=completed.run_id,
        messages=to_dicts(message),
        text=text_of(message),
        reasoning=reasoning_of(message),
        finish_reason=finish_reason(completed.finish_reason),
        usage=Usage.from_proto(completed.usage),
        model=completed.model,
        provider_metadata=json.loads(completed.provider_metadata_json or "{}"),
        proto=message,
    )


def _call(sequence: int, time: datetime | None, call: run_pb2.ToolCallUpdate) -> ToolCallUpdated:
    return ToolCallUpdated(
        sequence,
        time,
        call_id=call.call.id,
        name=call.call.name,
        arguments=call.call.arguments_json,
        state=_CALL_STATES.get(call.state, "unknown"),
        attempt=call.attempt,
        host_id=call.host_id,
        progress=call.progress if call.HasField("progress") else None,
        result="".join(part.text for part in call.result.parts) if call.HasField("result") else None,
        is_error=call.result.is_error,
        error=from_data(call.error) if call.HasField("error") else None,
    )


def _time(stamp: timestamp_pb2.Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=timezone.utc)

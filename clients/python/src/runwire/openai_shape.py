"""Answers in the shape of OpenAI's chat completions: the objects that ``client.chat`` returns."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from runwire.completion import Completion, Delta
from runwire.events import FinishReason, MessageCompleted, ReasoningDelta, TextDelta, Usage


class _Shape(BaseModel):
    model_config = ConfigDict(protected_namespaces=())


class Function(_Shape):
    """A function to call."""

    name: str | None = None
    arguments: str = Field(default="", repr=False)


class ToolCall(_Shape):
    """A call that the model asks for."""

    id: str
    type: Literal["function"] = "function"
    function: Function


class Message(_Shape):
    """The answer. Append it, or its ``model_dump()``, to the conversation."""

    role: str = "assistant"
    content: Any = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    #: Opaque; keeps what the provider needs back in later turns.
    provider_state: str | None = Field(default=None, repr=False)


class Choice(_Shape):
    """The one choice."""

    index: int = 0
    message: Message
    finish_reason: str
    #: With ``max_turns``: all messages that the turns have made, the answer included.
    intermediate_messages: list[dict[str, Any]] = Field(default_factory=list)


class PromptTokensDetails(_Shape):
    """Parts of the prompt's tokens."""

    cached_tokens: int = 0


class CompletionTokensDetails(_Shape):
    """Parts of the completion's tokens."""

    reasoning_tokens: int = 0


class CompletionUsage(_Shape):
    """Tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails


class ChatCompletion(_Shape):
    """An answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    model: str
    choices: list[Choice]
    usage: CompletionUsage
    provider_metadata: dict[str, Any] = Field(default_factory=dict, repr=False)
    #: With ``max_turns``: the answers before this one.
    intermediate_responses: list[ChatCompletion] = Field(default_factory=list)
    #: With ``max_turns``: ``max_turns_exceeded`` when the model still asked for tools in its last turn.
    status: Literal["completed", "max_turns_exceeded"] = "completed"


class FunctionDelta(_Shape):
    """A fragment of a function call."""

    name: str | None = None
    arguments: str = Field(default="", repr=False)


class ToolCallDelta(_Shape):
    """A fragment of a call; ``id`` and name come with the first of each index."""

    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: FunctionDelta


class ChoiceDelta(_Shape):
    """What is new."""

    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCallDelta] | None = None


class ChunkChoice(_Shape):
    """The one choice."""

    index: int = 0
    delta: ChoiceDelta
    finish_reason: str | None = None


class ChatCompletionChunk(_Shape):
    """A piece of a streamed answer. The last one has ``finish_reason``, ``usage`` and ``message``."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    model: str
    choices: list[ChunkChoice]
    usage: CompletionUsage | None = None
    #: In the last chunk: the whole message, provider state included.
    message: Message | None = Field(default=None, repr=False)


def from_completion(completion: Completion) -> ChatCompletion:
    """Shape a completion."""
    return ChatCompletion(
        id=completion.id,
        model=completion.model,
        choices=[
            Choice(message=_message(completion.message), finish_reason=_finish(completion.finish_reason))
        ],
        usage=_usage(completion.usage),
        provider_metadata=completion.provider_metadata,
    )


def from_turn(turn: MessageCompleted) -> ChatCompletion:
    """Shape one turn of a run."""
    return ChatCompletion(
        id=turn.proto.id,
        model=turn.model,
        choices=[Choice(message=_message(turn.messages[0]), finish_reason=_finish(turn.finish_reason))],
        usage=_usage(turn.usage),
        provider_metadata=turn.provider_metadata,
    )


class Chunks:
    """Shapes deltas. OpenAI's index counts tool calls, not parts, so it is kept here."""

    def __init__(self) -> None:
        self._calls: dict[int, int] = {}
        self._begun = False

    def delta(self, delta: Delta, *, id: str, model: str) -> ChatCompletionChunk:
        """Shape one delta."""
        choice = ChoiceDelta(role=None if self._begun else "assistant")
        self._begun = True
        if isinstance(delta, TextDelta):
            choice.content = delta.text
        elif isinstance(delta, ReasoningDelta):
            choice.reasoning_content = delta.text
        else:
            index = self._calls.setdefault(delta.part_index, len(self._calls))
            function = FunctionDelta(name=delta.name or None, arguments=delta.arguments)
            call = ToolCallDelta(index=index, id=delta.id or None, function=function)
            call.type = "function" if delta.id else None
            choice.tool_calls = [call]
        return ChatCompletionChunk(id=id, model=model, choices=[ChunkChoice(delta=choice)])

    def last(self, completion: Completion) -> ChatCompletionChunk:
        """Shape the end."""
        choice = ChunkChoice(delta=ChoiceDelta(), finish_reason=_finish(completion.finish_reason))
        return ChatCompletionChunk(
            id=completion.id,
            model=completion.model,
            choices=[choice],
            usage=_usage(completion.usage),
            message=_message(completion.message),
        )


def _message(message: dict[str, Any]) -> Message:
    return Message.model_validate(message)


def _finish(reason: FinishReason) -> str:
    return "stop" if reason in ("unknown", "other") else reason


def _usage(usage: Usage) -> CompletionUsage:
    return CompletionUsage(
        prompt_tokens=usage.input_tokens,
        completion_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=usage.cache_read_tokens),
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=usage.reasoning_tokens),
    )

"""Completions: one model turn."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import grpc.aio

from runwire import background
from runwire.conversation import Input, calls_of, reasoning_of, text_of, to_dicts, to_messages
from runwire.errors import RunwireError, Unavailable
from runwire.events import (
    FinishReason,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
    finish_reason,
)
from runwire.options import to_options
from runwire.tool import Tool, as_tool
from runwire.transport import messages
from runwire.v1 import completion_service_pb2, generation_pb2, message_pb2

Delta = TextDelta | ReasoningDelta | ToolCallDelta
ToolDefinition = Tool | Callable[..., Any] | Mapping[str, Any]


@dataclass(frozen=True)
class ToolCall:
    """A call that the model asks for."""

    id: str
    name: str
    #: JSON text of an object, as the model wrote it.
    arguments: str


@dataclass(frozen=True)
class Completion:
    """The result of one model turn."""

    id: str
    model: str
    #: The answer as a dictionary, to be appended to the conversation.
    message: dict[str, Any]
    text: str
    reasoning: str
    tool_calls: list[ToolCall]
    finish_reason: FinishReason
    provider_finish_reason: str
    usage: Usage
    #: The provider's extra response fields.
    provider_metadata: dict[str, Any] = field(repr=False)

    @classmethod
    def from_proto(cls, completion: completion_service_pb2.Completion) -> Completion:
        """Convert from the wire."""
        message = completion.message
        return cls(
            id=completion.id,
            model=completion.model,
            message=to_dicts(message)[0],
            text=text_of(message),
            reasoning=reasoning_of(message),
            tool_calls=[ToolCall(c.id, c.name, c.arguments_json) for c in calls_of(message)],
            finish_reason=finish_reason(completion.finish_reason),
            provider_finish_reason=completion.provider_finish_reason,
            usage=Usage.from_proto(completion.usage),
            provider_metadata=json.loads(completion.provider_metadata_json or "{}"),
        )


def to_params(
    model: str,
    input: Input,
    *,
    tools: Sequence[ToolDefinition] = (),
    fallback_models: Sequence[str] = (),
    options: Mapping[str, Any],
) -> completion_service_pb2.CompletionParams:
    """Convert a request to the wire's form.

    Raises:
        ValueError: Something in it is wrong; says what.
    """
    return completion_service_pb2.CompletionParams(
        model=model,
        fallback_models=fallback_models,
        messages=to_messages(input),
        tools=[_definition(tool) for tool in tools],
        options=to_options(model, options),
    )


def _definition(tool: ToolDefinition) -> generation_pb2.Tool:
    if not isinstance(tool, Mapping):
        return as_tool(tool).to_proto()
    try:
        function = tool["function"]
        parameters = function.get("parameters")
        if parameters is None:
            parameters = {"type": "object", "properties": {}}
        return generation_pb2.Tool(
            name=function["name"],
            description=function.get("description") or "",
            input_schema_json=json.dumps(parameters, separators=(",", ":")),
        )
    except (KeyError, TypeError):
        raise ValueError("a tool is a function, or {'type': 'function', 'function': {'name': …}}") from None


class CompletionStream:
    """The deltas of one turn, and then the whole of it.

    Iterate once; :attr:`completion` is there after the last delta. Where the loop may be left early, use
    it in an ``async with`` block: the end of the block cancels the provider's call.
    """

    def __init__(
        self,
        call: grpc.aio.UnaryStreamCall[
            completion_service_pb2.StreamCompletionRequest, completion_service_pb2.StreamCompletionResponse
        ],
    ) -> None:
        self._completion: Completion | None = None
        #: The model that answers; known once it has begun.
        self.model = ""
        self.id = ""
        self._call = call
        self._deltas: AsyncGenerator[Delta, None] = self._draw(messages(call))

    @property
    def completion(self) -> Completion:
        """The whole result.

        Raises:
            RunwireError: The stream is not at its end.
        """
        if self._completion is None:
            raise RunwireError("the stream is not at its end")
        return self._completion

    def __aiter__(self) -> AsyncIterator[Delta]:
        return self._deltas

    async def text(self) -> AsyncIterator[str]:
        """Draw the text alone."""
        async for delta in self._deltas:
            if isinstance(delta, TextDelta):
                yield delta.text

    async def final(self) -> Completion:
        """Draw what is left and return the whole result."""
        async for _ in self._deltas:
            pass
        return self.completion

    async def aclose(self) -> None:
        """Stop here; the provider's call is cancelled."""
        await self._deltas.aclose()
        self._call.cancel()

    async def __aenter__(self) -> CompletionStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _draw(
        self, responses: AsyncGenerator[completion_service_pb2.StreamCompletionResponse, None]
    ) -> AsyncGenerator[Delta, None]:
        try:
            async for response in responses:
                kind = response.WhichOneof("event")
                if kind == "started":
                    self.id, self.model = response.started.id, response.started.model
                elif kind == "delta":
                    delta = _delta(self.id, response.delta)
                    if delta is not None:
                        yield delta
                elif kind == "completion":
                    self._completion = Completion.from_proto(response.completion)
        finally:
            await responses.aclose()
        if self._completion is None:
            raise Unavailable("the stream ended before the completion did")


class SyncCompletionStream:
    """As :class:`CompletionStream`, for synchronous code."""

    def __init__(self, stream: CompletionStream) -> None:
        self._stream = stream

    @property
    def completion(self) -> Completion:
        """The whole result, after the last delta."""
        return self._stream.completion

    def __iter__(self) -> Iterator[Delta]:
        return background.iterate(self._stream.__aiter__())

    def text(self) -> Iterator[str]:
        """Draw the text alone."""
        return (delta.text for delta in self if isinstance(delta, TextDelta))

    def final(self) -> Completion:
        """Draw what is left and return the whole result."""
        return background.run(self._stream.final())

    def close(self) -> None:
        """Stop here; the provider's call is cancelled."""
        background.run(self._stream.aclose())

    def __enter__(self) -> SyncCompletionStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _delta(message_id: str, delta: message_pb2.MessageDelta) -> Delta | None:
    kind = delta.WhichOneof("delta")
    if kind == "text":
        return TextDelta(0, None, message_id, delta.text)
    if kind == "reasoning":
        return ReasoningDelta(0, None, message_id, delta.reasoning)
    if kind == "tool_call":
        call = delta.tool_call
        return ToolCallDelta(0, None, message_id, delta.part_index, call.id, call.name, call.arguments_json)
    return None

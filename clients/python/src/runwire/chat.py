"""``client.chat.completions``: OpenAI's names and shapes over any provider.

With ``tools`` alone, the calls come back to the caller. With ``tools`` and ``max_turns``, the functions are
run here and the model is asked again, at most so many times.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Literal, overload

from runwire import background
from runwire.agent import Agent
from runwire.completion import Completion, CompletionStream, ToolDefinition, to_params
from runwire.conversation import Input
from runwire.errors import Cancelled
from runwire.events import MessageCompleted
from runwire.openai_shape import ChatCompletion, ChatCompletionChunk, Chunks, from_completion, from_turn
from runwire.runner import RunFailed, RunResult, RunStream
from runwire.tool import Tool, as_tool
from runwire.transport import Transport, unary
from runwire.v1 import completion_service_pb2, message_pb2


class Chat:
    """Holds :attr:`completions`, as OpenAI's client does."""

    def __init__(self, transport: Transport) -> None:
        self.completions = ChatCompletions(transport)


class ChatCompletions:
    """``create`` for synchronous code, ``acreate`` for asynchronous code.

    Arguments: ``model`` and ``messages``; ``tools``, functions and OpenAI's dictionaries mixed;
    ``max_turns``, the most model calls, which needs functions; ``stream``, for chunks, which takes no
    ``max_turns``; ``fallback_models``; ``timeout`` in seconds; and options by OpenAI's names.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @overload
    def create(
        self, model: str, messages: Input, *, stream: Literal[True], **arguments: Any
    ) -> Iterator[ChatCompletionChunk]: ...

    @overload
    def create(
        self, model: str, messages: Input, *, stream: Literal[False] = False, **arguments: Any
    ) -> ChatCompletion: ...

    def create(self, model: str, messages: Input, *, stream: bool = False, **arguments: Any) -> Any:
        """Answer.

        Raises:
            ValueError: Arguments that do not go together, before anything is sent.
            RunwireError: The call failed.
        """
        request = _Request(model, messages, stream=stream, **arguments)
        if stream:
            return background.iterate(self._chunks(request))
        return background.run(self._answer(request))

    @overload
    async def acreate(
        self, model: str, messages: Input, *, stream: Literal[True], **arguments: Any
    ) -> AsyncIterator[ChatCompletionChunk]: ...

    @overload
    async def acreate(
        self, model: str, messages: Input, *, stream: Literal[False] = False, **arguments: Any
    ) -> ChatCompletion: ...

    async def acreate(self, model: str, messages: Input, *, stream: bool = False, **arguments: Any) -> Any:
        """As :meth:`create`; with ``stream``, awaiting it gives the iterator."""
        request = _Request(model, messages, stream=stream, **arguments)
        return self._chunks(request) if stream else await self._answer(request)

    async def _answer(self, request: _Request) -> ChatCompletion:
        if request.max_turns is not None and request.functions:
            return await self._loop(request)
        message = completion_service_pb2.GenerateCompletionRequest(params=request.params())
        call = self._transport.channels().completions.GenerateCompletion(
            message, timeout=request.timeout, metadata=self._transport.metadata
        )
        return from_completion(Completion.from_proto((await unary(call)).completion))

    async def _chunks(self, request: _Request) -> AsyncIterator[ChatCompletionChunk]:
        message = completion_service_pb2.StreamCompletionRequest(params=request.params())
        call = self._transport.channels().completions.StreamCompletion(
            message, timeout=request.timeout, metadata=self._transport.metadata
        )
        stream, chunks = CompletionStream(call), Chunks()
        try:
            async for delta in stream:
                yield chunks.delta(delta, id=stream.id, model=stream.model)
            yield chunks.last(stream.completion)
        finally:
            await stream.aclose()

    async def _loop(self, request: _Request) -> ChatCompletion:
        stream = RunStream(
            self._transport,
            request.agent(),
            request.messages,
            max_turns=request.max_turns,
            timeout=request.timeout,
            deltas=False,
        )
        try:
            result = await stream.result()
        except RunFailed as failed:
            raise failed.__cause__ or failed from None
        finally:
            await stream.aclose()
        return _from_result(result)


class _Request:
    """A call's arguments, checked."""

    def __init__(
        self,
        model: str,
        messages: Input,
        *,
        stream: bool,
        tools: Sequence[ToolDefinition] | None = None,
        max_turns: int | None = None,
        fallback_models: Sequence[str] = (),
        timeout: float | None = None,
        **options: Any,
    ) -> None:
        self.model, self.messages, self.options = model, messages, options
        self.tools = list(tools or ())
        self.max_turns, self.timeout = max_turns, timeout
        self.fallback_models = fallback_models
        if any(isinstance(tool, Mapping) and tool.get("type") == "mcp" for tool in self.tools):
            raise ValueError("tools: MCP servers are configured on the Runwire server, not in a call")
        if stream and max_turns is not None:
            raise ValueError("stream=True does not go with max_turns; Runner.stream shows a whole run")
        self.functions: list[Tool] = []
        if max_turns is not None and self.tools:
            if max_turns < 1:
                raise ValueError("max_turns must be at least 1")
            self.functions = [as_tool(tool) for tool in self.tools if not isinstance(tool, Mapping)]
            if len(self.functions) != len(self.tools):
                raise ValueError("One or more tools is not callable: max_turns needs functions")

    def params(self) -> completion_service_pb2.CompletionParams:
        return to_params(
            self.model,
            self.messages,
            tools=self.tools,
            fallback_models=self.fallback_models,
            options=self.options,
        )

    def agent(self) -> Agent:
        return Agent(
            name="chat",
            model=self.model,
            tools=self.functions,
            fallback_models=self.fallback_models,
            model_settings=self.options,
        )


def _from_result(result: RunResult) -> ChatCompletion:
    if result.status == "cancelled":
        raise Cancelled(result.run.cancel_reason or "the run was cancelled", reason="CANCELLED")
    turns = [
        from_turn(step)
        for step in result.steps
        if isinstance(step, MessageCompleted) and step.proto.role == message_pb2.ROLE_ASSISTANT
    ]
    answer = turns.pop()
    answer.intermediate_responses = turns
    answer.choices[0].intermediate_messages = result.new_items
    answer.status = "completed" if result.status == "completed" else "max_turns_exceeded"
    return answer

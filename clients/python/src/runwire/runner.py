"""The Runner: runs an agent whose functions are in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, Protocol

from runwire import background, threads
from runwire.agent import Agent, to_spec
from runwire.attach import Attachment, AttachSettings
from runwire.conversation import Input, as_dicts, calls_of, to_dicts
from runwire.engine import ToolEngine
from runwire.errors import RunwireError
from runwire.events import (
    Event,
    FinishReason,
    MessageCompleted,
    MessageDiscarded,
    Run,
    RunUpdated,
    Snapshot,
    TextDelta,
    ToolCallUpdated,
    Usage,
    to_events,
)
from runwire.inputs import Policy
from runwire.options import to_limits
from runwire.tool import HostedTool, Tool
from runwire.transport import Transport
from runwire.v1 import message_pb2, run_service_pb2

RunStatus = Literal["completed", "max_turns_exceeded", "cancelled", "failed"]

_CANCEL_SECONDS = 2.0


class HasTransport(Protocol):
    """A client of either kind."""

    @property
    def transport(self) -> Transport:
        """Its connections."""
        ...


@dataclass(frozen=True)
class RunResult:
    """What a run came to."""

    #: The text of the last answer; ``None`` when the run ended without one.
    final_output: str | None
    status: RunStatus
    agent: Agent = field(repr=False)
    #: The whole conversation: the input and :attr:`new_items`. Run again with it to go on.
    messages: list[dict[str, Any]] = field(repr=False)
    #: What the run has added to it.
    new_items: list[dict[str, Any]] = field(repr=False)
    #: The run's messages and finished tool calls, in the order in which they happened.
    steps: list[MessageCompleted | ToolCallUpdated] = field(repr=False)
    finish_reason: FinishReason
    usage: Usage
    run: Run = field(repr=False)

    @property
    def run_id(self) -> str:
        """The run's id on the server."""
        return self.run.id

    @property
    def error(self) -> RunwireError | None:
        """Why it failed."""
        return self.run.error


class RunFailed(RunwireError):
    """A run ended as failed. ``result`` is what it came to; ``reason`` and ``metadata`` say why."""

    def __init__(self, result: RunResult) -> None:
        error = result.error or RunwireError("the run failed")
        super().__init__(
            error.message,
            reason=error.reason,
            metadata=error.metadata,
            retry_delay=error.retry_delay,
            violations=error.violations,
        )
        self.result = result
        self.__cause__ = error


class RunStream:
    """A run's events as they happen, and then its result. Iterate once.

    Leaving early asks the run to stop, unless it was started with ``detach``.
    """

    def __init__(
        self,
        transport: Transport,
        agent: Agent,
        input: Input,
        *,
        max_turns: int | None = None,
        max_tool_calls: int | None = None,
        max_tokens: int | None = None,
        max_parallel_tool_calls: int | None = None,
        timeout: float | timedelta | None = None,
        labels: Mapping[str, str] | None = None,
        policy: Policy | None = None,
        detach: bool = False,
        window: int = 16,
        deltas: bool = True,
        **settings: Any,
    ) -> None:
        tools = [tool for tool in agent.tools if isinstance(tool, Tool | HostedTool)]
        functions = [tool for tool in tools if isinstance(tool, Tool)]
        limits = to_limits(max_turns, max_tool_calls, max_tokens, max_parallel_tool_calls, timeout)
        self._spec = to_spec(
            agent, tools, input, limits=limits, labels=labels or {}, settings=settings, policy=policy
        )
        self._transport = transport
        self._functions = functions
        self._settings = AttachSettings(
            window=window if functions else 0,
            detail=run_service_pb2.EVENT_DETAIL_FULL if deltas else run_service_pb2.EVENT_DETAIL_DURABLE,
            detach=detach,
        )
        self._record = _Record(agent, as_dicts(input))
        self._events = self._draw()

    @property
    def run_id(self) -> str:
        """The run's id; empty until the server has answered."""
        return self._record.run_id

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events

    async def text(self) -> AsyncIterator[str]:
        """Draw the text of the model's answers alone, completely.

        Deltas are not sent again once their message is complete, so the rest comes with the message.
        """
        shown = ""
        async for event in self._events:
            if isinstance(event, TextDelta):
                shown += event.text
                yield event.text
            elif isinstance(event, MessageCompleted) and event.proto.role == message_pb2.ROLE_ASSISTANT:
                if event.text.startswith(shown) and len(event.text) > len(shown):
                    yield event.text[len(shown) :]
                shown = ""
            elif isinstance(event, MessageDiscarded):
                shown = ""

    async def result(self) -> RunResult:
        """Draw what is left and return what the run came to.

        Raises:
            RunFailed: The run failed; the exception has the result.
        """
        async for _ in self._events:
            pass
        result = self._record.result()
        if result.status == "failed":
            raise RunFailed(result)
        return result

    async def aclose(self) -> None:
        """Stop here."""
        await self._events.aclose()

    async def _draw(self) -> AsyncGenerator[Event, None]:
        engine = ToolEngine(self._functions, threads.shared())
        attachment = Attachment(self._transport, engine, self._spec, self._settings)
        source = attachment.events()
        try:
            async for raw in source:
                self._record.run_id = attachment.run_id
                for event in to_events(raw):
                    self._record.add(event)
                    yield event
        finally:
            left_early = not self._record.finished and attachment.run_id and not self._settings.detach
            await source.aclose()
            await engine.abort()
            if left_early:
                await self._cancel(attachment.run_id)

    async def _cancel(self, run_id: str) -> None:
        """Ask the server to stop the run; if that fails, its own grace does."""
        request = run_service_pb2.CancelRunRequest(run_id=run_id, reason="the client left")
        call = self._transport.channels().runs.CancelRun(
            request, metadata=self._transport.metadata, timeout=_CANCEL_SECONDS
        )
        await asyncio.shield(asyncio.gather(asyncio.ensure_future(_quiet(call)), return_exceptions=True))


async def _quiet(call: Any) -> None:
    await call


class _Record:
    """What a result is made of."""

    def __init__(self, agent: Agent, input: list[dict[str, Any]]) -> None:
        self._agent = agent
        self._input = input
        self._new: list[dict[str, Any]] = []
        self._steps: list[MessageCompleted | ToolCallUpdated] = []
        self._tool_names: dict[str, str] = {}
        self._run: Run | None = None
        self.run_id = ""

    @property
    def finished(self) -> bool:
        return self._run is not None and self._run.finished

    def add(self, event: Event) -> None:
        if isinstance(event, RunUpdated | Snapshot):
            if event.run.id == self.run_id:
                self._run = event.run
        elif isinstance(event, ToolCallUpdated):
            if event.state in ("succeeded", "failed", "cancelled"):
                self._steps.append(event)
        elif (
            isinstance(event, MessageCompleted)
            and event.run_id == self.run_id
            and event.proto.role in (message_pb2.ROLE_ASSISTANT, message_pb2.ROLE_TOOL)
        ):
            self._tool_names.update({call.id: call.name for call in calls_of(event.proto)})
            self._new.extend(to_dicts(event.proto, self._tool_names))
            self._steps.append(event)

    def result(self) -> RunResult:
        if self._run is None:
            raise RunwireError("the run's stream was left before its end")
        return RunResult(
            final_output=self._run.output if self._run.state == "succeeded" else None,
            status=_status(self._run),
            agent=self._agent,
            messages=[*self._input, *self._new],
            new_items=self._new,
            steps=self._steps,
            finish_reason=self._run.finish_reason,
            usage=self._run.usage,
            run=self._run,
        )


def _status(run: Run) -> RunStatus:
    if run.state == "succeeded":
        return "completed"
    if run.state == "cancelled":
        return "cancelled"
    exhausted = run.error is not None and run.error.reason == "MAX_TURNS_EXCEEDED"
    return "max_turns_exceeded" if exhausted else "failed"


class Runner:
    """Runs agents. Functions among the agent's tools run in this process, several at a time.

    Keyword arguments: ``client``; the limits ``max_turns``, ``max_tool_calls``, ``max_tokens``,
    ``max_parallel_tool_calls`` and ``timeout``; ``labels``; ``policy``, which says which calls may run;
    ``detach``, which lets the run go on when this process is lost; ``window``, the most functions at once;
    generation options, which override the agent's ``model_settings``.

    A run that used up its turns, or was cancelled, returns a result that says so in ``status``. A run that
    failed raises :class:`RunFailed`.
    """

    @staticmethod
    async def run(
        agent: Agent, input: Input, *, client: HasTransport | None = None, **arguments: Any
    ) -> RunResult:
        """Run an agent to its end. Cancelling the task asks the run to stop."""
        arguments.setdefault("deltas", False)
        stream = RunStream(_transport(client), agent, input, **arguments)
        try:
            return await stream.result()
        finally:
            await stream.aclose()

    @staticmethod
    def run_sync(
        agent: Agent, input: Input, *, client: HasTransport | None = None, **arguments: Any
    ) -> RunResult:
        """As :meth:`run`, for synchronous code; inside a running event loop too, which it blocks."""
        return background.run(Runner.run(agent, input, client=client, **arguments))

    @staticmethod
    def stream(
        agent: Agent, input: Input, *, client: HasTransport | None = None, **arguments: Any
    ) -> RunStream:
        """Run an agent and show what happens."""
        return RunStream(_transport(client), agent, input, **arguments)

    @staticmethod
    def stream_sync(
        agent: Agent,
        input: Input,
        *,
        client: HasTransport | None = None,
        **arguments: Any,
    ) -> Iterator[Event]:
        """As :meth:`stream`, for synchronous code; the last event is a :class:`RunUpdated`."""

        async def events() -> AsyncIterator[Event]:
            stream = RunStream(_transport(client), agent, input, **arguments)
            try:
                async for event in stream:
                    yield event
            finally:
                await stream.aclose()

        return background.iterate(events())


_default: Transport | None = None


def _transport(client: HasTransport | None) -> Transport:
    global _default  # noqa: PLW0603 - the process's default server
    if client is not None:
        return client.transport
    if _default is None:
        _default = Transport()
    return _default

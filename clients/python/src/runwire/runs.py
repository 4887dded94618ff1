"""Runs: create, follow, list and stop them."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from runwire import background
from runwire.agent import Agent, to_spec
from runwire.conversation import Input
from runwire.duplex import Backoff, worth_retrying
from runwire.errors import RunwireError, Unavailable
from runwire.events import RUN_STATE_NUMBERS, Event, Run, RunState, RunUpdated, Snapshot, to_events
from runwire.inputs import AnswerAction, Policy, to_answer
from runwire.options import to_limits
from runwire.tool import HostedTool
from runwire.transport import Transport, messages, unary
from runwire.v1 import run_pb2, run_service_pb2

Detail = Literal["full", "durable"]

_DETAILS = {"full": run_service_pb2.EVENT_DETAIL_FULL, "durable": run_service_pb2.EVENT_DETAIL_DURABLE}
TERMINAL = (run_pb2.Run.STATE_SUCCEEDED, run_pb2.Run.STATE_FAILED, run_pb2.Run.STATE_CANCELLED)
_RECONNECT_SECONDS = 120.0
_PAGE = 200


class AsyncRuns:
    """The runs of the tenant."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(
        self,
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
        request_id: str | None = None,
        **settings: Any,
    ) -> Run:
        """Create a run that goes on by itself. Its tools must be hosted: see :class:`runwire.ToolHost`.

        The same ``request_id`` (a UUID) within a day returns the same run.

        Raises:
            ValueError: A tool is a function of this process; those need :class:`runwire.Runner`.
            RunwireError: The server refuses it.
        """
        tools = [tool for tool in agent.tools if isinstance(tool, HostedTool)]
        if len(tools) != len(agent.tools):
            raise ValueError("a run that goes on by itself needs hosted tools: use ToolHost.bindings()")
        limits = to_limits(max_turns, max_tool_calls, max_tokens, max_parallel_tool_calls, timeout)
        spec = to_spec(
            agent, tools, input, limits=limits, labels=labels or {}, settings=settings, policy=policy
        )
        request = run_service_pb2.CreateRunRequest(request_id=request_id or str(uuid.uuid4()), spec=spec)
        stub = self._transport.channels().runs
        response = await unary(stub.CreateRun(request, metadata=self._transport.metadata))
        return Run.from_proto(response.run)

    async def get(self, run_id: str) -> Run:
        """Return a run."""
        stub = self._transport.channels().runs
        request = run_service_pb2.GetRunRequest(run_id=run_id)
        return Run.from_proto((await unary(stub.GetRun(request, metadata=self._transport.metadata))).run)

    async def cancel(self, run_id: str, reason: str = "") -> Run:
        """Ask a run to stop. Harmless twice, and after the end. Watch for the end."""
        stub = self._transport.channels().runs
        request = run_service_pb2.CancelRunRequest(run_id=run_id, reason=reason)
        return Run.from_proto((await unary(stub.CancelRun(request, metadata=self._transport.metadata))).run)

    async def answer(
        self, run_id: str, input_id: str, action: AnswerAction, *, content: Any = None, reason: str = ""
    ) -> Run:
        """Answer what a run waits for: see :attr:`Run.required_inputs`.

        ``accept`` approves a call, with the arguments in ``content`` instead of its own if there are any, or
        answers a question with ``content``. ``decline`` refuses, and the model is told the ``reason``. The
        first answer wins; the same answer again is harmless.

        Raises:
            InvalidArgument: The content does not fit; the input stays open.
            FailedPrecondition: Somebody has answered otherwise.
            RunwireError: The run waits for no such input.
        """
        answer = to_answer(input_id, action, content, reason)
        request = run_service_pb2.AnswerInputRequest(run_id=run_id, answers=[answer])
        stub = self._transport.channels().runs
        return Run.from_proto((await unary(stub.AnswerInput(request, metadata=self._transport.metadata))).run)

    async def list(
        self,
        *,
        states: Sequence[RunState] = (),
        labels: Mapping[str, str] | None = None,
        agent_name: str = "",
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> AsyncIterator[Run]:
        """Draw the runs that match, newest first; pages are fetched as they are needed."""
        request = run_service_pb2.ListRunsRequest(
            filter=_filter(states, labels, agent_name, created_after, created_before), page_size=_PAGE
        )
        while True:
            stub = self._transport.channels().runs
            response = await unary(stub.ListRuns(request, metadata=self._transport.metadata))
            for run in response.runs:
                yield Run.from_proto(run)
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    async def watch(
        self, run_id: str, *, after_sequence: int | None = 0, detail: Detail = "full"
    ) -> AsyncIterator[Event]:
        """Draw a run's events until its last one, across lost connections, without gap or repeat.

        From the beginning by default; from an event on with its ``sequence``; with ``None``, from how things
        stand, which comes as a :class:`Snapshot`.
        """
        async for event in self._raw_watch(run_id, after_sequence, detail):
            for each in to_events(event):
                yield each

    async def wait(self, run_id: str) -> Run:
        """Wait for the end of a run."""
        last: Run | None = None
        async for event in self.watch(run_id, after_sequence=None, detail="durable"):
            if isinstance(event, RunUpdated | Snapshot) and event.run.id == run_id:
                last = event.run
        return last if last is not None and last.finished else await self.get(run_id)

    async def watch_all(
        self,
        *,
        states: Sequence[RunState] = (),
        labels: Mapping[str, str] | None = None,
        agent_name: str = "",
        detail: Detail = "durable",
        include_finished: bool = False,
    ) -> AsyncIterator[tuple[str, Event]]:
        """Draw the events of all runs that match, with their run's id, on one stream. Never ends by itself.

        Raises:
            RunwireError: The watch cannot be opened, or the server stayed away for too long.
        """
        request = run_service_pb2.WatchRunsRequest(
            filter=_filter(states, labels, agent_name, None, None),
            detail=_DETAILS[detail],
            include_finished=include_finished,
        )
        patience, seen = _Patience(), Seen()
        while True:
            stub = self._transport.channels().run_streams
            try:
                async for response in messages(stub.WatchRuns(request, metadata=self._transport.metadata)):
                    patience.heard()
                    for event in response.events:
                        if not seen.is_new(response.root_run_id, event):
                            continue
                        for each in to_events(event):
                            yield response.root_run_id, each
                    request.cursor = response.cursor
                    request.include_finished = False
                error: RunwireError = Unavailable("the stream ended")
            except RunwireError as caught:
                error = caught
            await patience.again(error)

    async def _raw_watch(
        self, run_id: str, after_sequence: int | None, detail: Detail
    ) -> AsyncIterator[run_pb2.RunEvent]:
        request = run_service_pb2.WatchRunRequest(
            run_id=run_id, after_sequence=after_sequence, detail=_DETAILS[detail]
        )
        patience = _Patience()
        while True:
            stub = self._transport.channels().run_streams
            try:
                async for response in messages(stub.WatchRun(request, metadata=self._transport.metadata)):
                    patience.heard()
                    for event in response.events:
                        request.after_sequence = event.sequence
                        yield event
                return
            except RunwireError as error:
                await patience.again(error)


class Seen:
    """What a watch of many runs has shown.

    A watch that goes on from an early cursor may come upon events that a snapshot already covered.
    """

    #: Runs that have ended and are remembered.
    FINISHED = 4096

    def __init__(self) -> None:
        self._newest: dict[str, int] = {}
        self._finished: deque[str] = deque()

    def is_new(self, run_id: str, event: run_pb2.RunEvent) -> bool:
        """Whether the event is to be shown; it then counts as shown."""
        kind = event.WhichOneof("event")
        if kind == "heartbeat":
            return True
        if kind != "snapshot" and event.sequence <= self._newest.get(run_id, 0):
            return False
        self._newest[run_id] = event.sequence
        runs = event.snapshot.runs if kind == "snapshot" else [event.run_updated]
        if any(run.state in TERMINAL for run in runs):
            self._finished.append(run_id)
            if len(self._finished) > self.FINISHED:
                self._newest.pop(self._finished.popleft(), None)
        return True


class _Patience:
    """How long to keep trying to get back to a stream."""

    def __init__(self) -> None:
        self._backoff = Backoff()
        self._heard_at: float | None = None

    def heard(self) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        self._backoff.reset()

    async def again(self, error: RunwireError) -> None:
        """Wait for the next attempt; raises the error when there is to be none."""
        silent_for = (
            _RECONNECT_SECONDS
            if self._heard_at is None
            else asyncio.get_running_loop().time() - self._heard_at
        )
        if not worth_retrying(error) or silent_for >= _RECONNECT_SECONDS:
            raise error
        await self._backoff.wait(error.retry_delay)


class Runs:
    """The runs of the tenant, for synchronous code: see :class:`AsyncRuns` for what each method does."""

    def __init__(self, runs: AsyncRuns) -> None:
        self._runs = runs

    def create(self, agent: Agent, input: Input, **arguments: Any) -> Run:
        """As :meth:`AsyncRuns.create`."""
        return background.run(self._runs.create(agent, input, **arguments))

    def get(self, run_id: str) -> Run:
        """As :meth:`AsyncRuns.get`."""
        return background.run(self._runs.get(run_id))

    def cancel(self, run_id: str, reason: str = "") -> Run:
        """As :meth:`AsyncRuns.cancel`."""
        return background.run(self._runs.cancel(run_id, reason))

    def answer(
        self, run_id: str, input_id: str, action: AnswerAction, *, content: Any = None, reason: str = ""
    ) -> Run:
        """As :meth:`AsyncRuns.answer`."""
        return background.run(self._runs.answer(run_id, input_id, action, content=content, reason=reason))

    def wait(self, run_id: str) -> Run:
        """As :meth:`AsyncRuns.wait`."""
        return background.run(self._runs.wait(run_id))

    def list(self, **filters: Any) -> Iterator[Run]:
        """As :meth:`AsyncRuns.list`."""
        return background.iterate(self._runs.list(**filters))

    def watch(
        self, run_id: str, *, after_sequence: int | None = 0, detail: Detail = "full"
    ) -> Iterator[Event]:
        """As :meth:`AsyncRuns.watch`."""
        return background.iterate(self._runs.watch(run_id, after_sequence=after_sequence, detail=detail))

    def watch_all(self, **filters: Any) -> Iterator[tuple[str, Event]]:
        """As :meth:`AsyncRuns.watch_all`."""
        return background.iterate(self._runs.watch_all(**filters))


def _filter(
    states: Sequence[RunState],
    labels: Mapping[str, str] | None,
    agent_name: str,
    created_after: datetime | None,
    created_before: datetime | None,
) -> run_service_pb2.RunFilter:
    selection = run_service_pb2.RunFilter(
        states=[RUN_STATE_NUMBERS[state] for state in states],  # type: ignore[misc]  # ints of the enum
        labels=labels or {},
        agent_name=agent_name,
    )
    if created_after is not None:
        selection.min_create_time.FromDatetime(created_after)
    if created_before is not None:
        selection.max_create_time.FromDatetime(created_before)
    return selection

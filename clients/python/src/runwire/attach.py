"""A run's own stream: creates the run or attaches to it, runs its tools here, survives lost connections."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from runwire.duplex import Backoff, Duplex, worth_retrying
from runwire.engine import ToolEngine
from runwire.errors import ResourceExhausted, RunwireError, Unavailable
from runwire.transport import Transport
from runwire.v1 import run_pb2, run_service_pb2

#: This process, to the server: the only one that can say of a call of its own that it was never begun.
HOST_ID = f"python-{uuid.uuid4()}"

_TERMINAL = (run_pb2.Run.STATE_SUCCEEDED, run_pb2.Run.STATE_FAILED, run_pb2.Run.STATE_CANCELLED)
_CLOSE_SECONDS = 5.0
_FIRST_ATTEMPTS = 4

_Session = Duplex[run_service_pb2.AttachRunRequest, run_service_pb2.AttachRunResponse]


@dataclass(frozen=True)
class AttachSettings:
    """How to attach."""

    #: Most calls at once; 0: events only.
    window: int = 16
    #: Deltas and progress too, or durable events only.
    detail: run_service_pb2.EventDetail.ValueType = run_service_pb2.EVENT_DETAIL_FULL
    #: The run goes on without us when we are lost; else it is cancelled after the server's grace.
    detach: bool = False
    #: Seconds to keep trying to get back to a run.
    reconnect_seconds: float = 120.0


class Attachment:
    """One run, followed across any number of streams."""

    def __init__(
        self,
        transport: Transport,
        engine: ToolEngine,
        target: run_pb2.RunSpec | str,
        settings: AttachSettings,
        *,
        after_sequence: int | None = None,
    ) -> None:
        self._transport = transport
        self._engine = engine
        self._settings = settings
        self._spec = target if isinstance(target, run_pb2.RunSpec) else None
        self._request_id = str(uuid.uuid4())
        self._after = after_sequence
        self._finished = False
        #: Known once the server has answered.
        self.run_id = target if isinstance(target, str) else ""

    async def events(self) -> AsyncGenerator[run_pb2.RunEvent, None]:
        """Draw the run's events until its last one.

        Raises:
            RunwireError: The run could not be created or found, another attachment took over, or the
                server stayed away for too long. The run itself may go on.
        """
        backoff, attempts, lost_at = Backoff(), 0, 0.0
        loop = asyncio.get_running_loop()
        while True:
            session = self._open()
            attempts += 1
            started = False
            try:
                async for response in session.read():
                    started = True
                    for event in self._take(session, response):
                        yield event
                    if self._finished:
                        session.finish(within=_CLOSE_SECONDS)
                error: RunwireError = Unavailable("the stream ended before the run did")
            except RunwireError as caught:
                error = caught
            finally:
                self._engine.disconnect(session)
                session.cancel()
            if self._finished:
                return  # How its stream ends changes nothing.
            if started:
                backoff.reset()
                lost_at = loop.time()
            if not self._may_retry(error, attempts, loop.time() - lost_at):
                raise error
            await backoff.wait(error.retry_delay)

    def _open(self) -> _Session:
        start = run_service_pb2.AttachRunStart(
            max_concurrent_calls=self._settings.window,
            detail=self._settings.detail,
            host_id=HOST_ID,
            on_disconnect=run_service_pb2.AttachRunStart.DISCONNECT_POLICY_DETACH
            if self._settings.detach
            else run_service_pb2.AttachRunStart.DISCONNECT_POLICY_CANCEL,
        )
        if self.run_id:
            start.run_id = self.run_id
            if self._after is not None:
                start.after_sequence = self._after
        elif self._spec is not None:
            start.create.CopyFrom(self._spec)
            start.request_id = self._request_id
        first = run_service_pb2.AttachRunRequest(start=start)
        session: _Session = Duplex(
            self._transport.channels().run_streams.AttachRun(metadata=self._transport.metadata),
            first=first,
            heartbeat=lambda: run_service_pb2.AttachRunRequest(heartbeat=run_pb2.Heartbeat()),
            report=lambda report: run_service_pb2.AttachRunRequest(report=report),
        )
        # Nothing is written before the next turn of the loop.
        first.start.in_flight.extend(self._engine.prepare(session))
        return session

    def _take(self, session: _Session, response: run_service_pb2.AttachRunResponse) -> list[run_pb2.RunEvent]:
        kind = response.WhichOneof("message")
        if kind == "started":
            self.run_id = response.started.run.id
            if self._after is None and self._spec is not None:
                self._after = 0  # From the beginning: what we miss, we want to hear.
            session.agree(response.started.session)
            self._engine.connect(session)
        elif kind == "command":
            self._engine.command(session, response.command)
        elif kind == "events":
            return [event for event in response.events.events if self._is_news(event)]
        return []

    def _is_news(self, event: run_pb2.RunEvent) -> bool:
        kind = event.WhichOneof("event")
        self._after = max(self._after or 0, event.sequence)
        if kind == "run_updated" and event.run_updated.id == self.run_id:
            self._finished = event.run_updated.state in _TERMINAL
        elif kind == "snapshot":
            self._finished = any(
                run.id == self.run_id and run.state in _TERMINAL for run in event.snapshot.runs
            )
        return kind not in (None, "heartbeat")

    def _may_retry(self, error: RunwireError, attempts: int, lost_for: float) -> bool:
        if not worth_retrying(error):
            return False
        if not self.run_id:
            busy = isinstance(error, ResourceExhausted) and error.retry_delay is None
            return attempts < _FIRST_ATTEMPTS and not busy
        return lost_for < self._settings.reconnect_seconds

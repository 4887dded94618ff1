"""A two-way stream: one task writes, the caller reads, heartbeats go both ways.

Reading never waits for writing, so the two sides cannot block each other.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Generic, TypeVar

import grpc.aio

from runwire.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    RunwireError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    from_rpc,
)
from runwire.v1 import tool_service_pb2

Q = TypeVar("Q")
R = TypeVar("R")

_EOF: Any = grpc.aio.EOF

HEARTBEAT_SECONDS = 15.0
MISSED_HEARTBEATS = 3
MAX_QUEUED_PROGRESS = 256

#: Trying again changes nothing about these.
PERMANENT = (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unimplemented,
)


class Duplex(Generic[Q, R]):
    """One stream. Wraps tool reports into the stream's own message."""

    def __init__(
        self,
        call: grpc.aio.StreamStreamCall[Q, R],
        *,
        first: Q,
        heartbeat: Callable[[], Q],
        report: Callable[[tool_service_pb2.ToolCallReport], Q],
    ) -> None:
        self._call = call
        self._heartbeat = heartbeat
        self._report = report
        self._queue: deque[Q] = deque([first])
        self._wake = asyncio.Event()
        self._wake.set()
        self._finishing = False
        self._silent = False
        self._loop = asyncio.get_running_loop()
        self._interval = HEARTBEAT_SECONDS
        self._read_at = self._wrote_at = self._loop.time()
        self._timer = self._loop.call_later(self._interval / 2, self._tick)
        self._writer = self._loop.create_task(self._write())

    def send(self, report: tool_service_pb2.ToolCallReport) -> None:
        """Queue a report. Progress is dropped when the server does not keep up: it is for display."""
        if report.HasField("progress") and len(self._queue) >= MAX_QUEUED_PROGRESS:
            return
        self.push(self._report(report))

    def push(self, message: Q) -> None:
        """Queue a message. Never waits; on a finished stream it does nothing."""
        if not self._finishing:
            self._queue.append(message)
            self._wake.set()

    def agree(self, session: tool_service_pb2.HostSession) -> None:
        """Take the server's terms."""
        interval = session.heartbeat_interval.ToNanoseconds() / 1e9
        if interval > 0:
            self._interval = interval
            self._timer.cancel()
            self._timer = self._loop.call_later(self._interval / 2, self._tick)

    async def read(self) -> AsyncIterator[R]:
        """Draw the server's messages until it ends the stream.

        Raises:
            RunwireError: The stream broke, or the server was silent for three heartbeats.
        """
        try:
            while True:
                message: Any = await self._call.read()
                if message is _EOF:
                    return
                self._read_at = self._loop.time()
                yield message
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from None
        except asyncio.CancelledError:
            if self._silent:
                raise Unavailable("the server has been silent for too long") from None
            raise
        finally:
            self.cancel()

    def finish(self, *, within: float | None = None) -> None:
        """Half-close once everything queued is written; end the stream if the server has not in time."""
        if self._finishing:
            return
        self._finishing = True
        self._wake.set()
        if within is not None:
            self._timer.cancel()
            self._timer = self._loop.call_later(within, self._give_up)

    def cancel(self) -> None:
        """End the stream now."""
        self._finishing = True
        self._timer.cancel()
        self._writer.cancel()
        self._call.cancel()

    def _tick(self) -> None:
        now = self._loop.time()
        if now - self._read_at > self._interval * MISSED_HEARTBEATS:
            self._give_up()
            return
        if now - self._wrote_at >= self._interval / 2:
            self.push(self._heartbeat())
        self._timer = self._loop.call_later(self._interval / 2, self._tick)

    def _give_up(self) -> None:
        self._silent = True
        self._call.cancel()

    async def _write(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._queue:
                    await self._call.write(self._queue.popleft())
                    self._wrote_at = self._loop.time()
                if self._finishing:
                    await self._call.done_writing()
                    return
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # The reader learns why.


class Backoff:
    """Waits between attempts: doubling, with full jitter, so that clients do not return in step."""

    def __init__(self, first: float = 0.1, most: float = 5.0) -> None:
        self._first, self._most = first, most
        self._next = first

    def reset(self) -> None:
        """Begin again with the shortest wait."""
        self._next = self._first

    async def wait(self, at_least: float | None = None) -> None:
        """Wait for the next attempt, as long as the server asks at the least."""
        delay = random.uniform(self._first / 2, self._next)  # noqa: S311 - jitter, not a secret
        self._next = min(self._next * 2, self._most)
        await asyncio.sleep(max(delay, at_least or 0.0))


def worth_retrying(error: RunwireError) -> bool:
    """Whether a stream that ended so may be opened again."""
    return not isinstance(error, PERMANENT)

"""The event loop behind the synchronous surface: one daemon thread per process.

A synchronous call is a coroutine that runs there while the caller's thread waits. So it works inside a
running event loop too (it blocks that loop's thread, as any synchronous call does), and all synchronous
clients share one loop and with it one set of connections.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_pid = 0


def loop() -> asyncio.AbstractEventLoop:
    """Return the process's background loop, started on first use (and again after a fork)."""
    global _loop, _pid
    with _lock:
        if _loop is None or _pid != os.getpid():
            _loop, _pid = asyncio.new_event_loop(), os.getpid()
            threading.Thread(target=_loop.run_forever, name="runwire-loop", daemon=True).start()
        return _loop


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the background loop and wait for it; an interrupt cancels it."""
    target = loop()
    if threading.current_thread().name == "runwire-loop":
        coroutine.close()
        raise RuntimeError("a synchronous call cannot run on Runwire's own loop; await the async one")
    future = asyncio.run_coroutine_threadsafe(coroutine, target)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def iterate(source: AsyncIterator[T]) -> Iterator[T]:
    """Draw from an asynchronous iterator, one item per step: nothing is read ahead or buffered.

    Leaving the loop early closes the source, which cancels the RPC behind it.
    """
    try:
        while not isinstance(item := run(_next(source)), _End):
            yield item
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            run(close())


class _End:
    """After the last item."""


async def _next(source: AsyncIterator[T]) -> T | _End:
    try:
        return await source.__anext__()
    except StopAsyncIteration:
        return _End()

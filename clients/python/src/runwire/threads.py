"""Threads for synchronous tools: reused, daemonic, created on demand.

Not :class:`concurrent.futures.ThreadPoolExecutor`, whose threads are joined at exit: a tool that hangs
would keep the process from ending after its drain.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable
from typing import Any

_IDLE_SECONDS = 30.0

_Job = Callable[[], None]


class Threads:
    """Runs functions in threads, at most ``limit`` at once; more wait their turn."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        # Threads that wait and for which no job is on its way; jobs that no thread is on its way to.
        self._idle = 0
        self._backlog = 0

    def submit(self, function: Callable[[], Any]) -> asyncio.Future[Any]:
        """Run a function in a thread, in a copy of the caller's context."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()

        def settle(result: Any, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        def job() -> None:
            result, failure = None, None
            try:
                result = context.run(function)
            except BaseException as error:  # noqa: BLE001 - it travels in the future
                # A future takes no StopIteration: it would end the coroutine that awaits it.
                failure = RuntimeError(str(error)) if isinstance(error, StopIteration) else error
            try:
                loop.call_soon_threadsafe(settle, result, failure)
            except RuntimeError:
                return  # The loop is closed: nobody waits any more.

        self._jobs.put(job)
        if self._needs_thread():
            threading.Thread(target=self._work, name="runwire-tool", daemon=True).start()
        return future

    def _needs_thread(self) -> bool:
        with self._lock:
            if self._idle > 0:
                self._idle -= 1
                return False
            if self._threads >= self._limit:
                self._backlog += 1
                return False
            self._threads += 1
            return True

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if self._idle > 0:
                        self._idle -= 1
                        self._threads -= 1
                        return
                continue  # A job was on its way here.
            job()
            with self._lock:
                if self._backlog > 0:
                    self._backlog -= 1
                else:
                    self._idle += 1


_shared: Threads | None = None


def shared() -> Threads:
    """Return the process's pool, for tools that are attached to runs."""
    global _shared  # noqa: PLW0603 - one per process is the point
    if _shared is None:
        _shared = Threads(64)
    return _shared

"""Tool hosts: this process serves tools to any run."""

from __future__ import annotations

import asyncio
import logging
import signal
import uuid
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Protocol

from runwire.duplex import Backoff, Duplex, worth_retrying
from runwire.engine import ToolEngine
from runwire.errors import DeadlineExceeded, RunwireError, Unavailable, from_data
from runwire.threads import Threads
from runwire.tool import HostedTool, Tool, as_tool, distinct
from runwire.transport import Transport
from runwire.v1 import run_pb2, tool_service_pb2

logger = logging.getLogger("runwire.tools")

_Session = Duplex[tool_service_pb2.HostToolsRequest, tool_service_pb2.HostToolsResponse]

_REGISTER_SECONDS = 15.0
_CLOSE_SECONDS = 5.0
_STABLE_SECONDS = 5.0


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class _HasTransport(Protocol):
    @property
    def transport(self) -> Transport: ...


class ToolHost:
    """Serves tools to any run of the tenant, until closed.

    Registers, reconnects when the connection is lost, keeps every result until the server has stored it,
    and drains on :meth:`aclose`. Use it as an asynchronous context manager, or :meth:`serve` a process
    with it.
    """

    def __init__(
        self,
        client: _HasTransport,
        tools: Iterable[Tool | Callable[..., Any]],
        *,
        host_id: str | None = None,
        max_concurrent_calls: int = 16,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self._transport = client.transport
        self._tools = distinct([as_tool(tool) for tool in tools])
        #: Unique to this process; the same across reconnections.
        self.host_id = host_id or f"python-{uuid.uuid4()}"
        #: Tools that the server did not take, by name, and why.
        self.rejected: dict[str, RunwireError] = {}
        self._window = max_concurrent_calls
        self._labels = dict(labels or {})
        self._engine: ToolEngine | None = None
        self._session: _Session | None = None
        self._readers: set[asyncio.Task[None]] = set()
        self._supervisor: asyncio.Task[None] | None = None
        self._draining = False

    def bindings(self) -> list[HostedTool]:
        """Return the tools for :attr:`Agent.tools`, bound to this host and no other of the same names."""
        return [
            HostedTool(
                name=tool.name,
                version=tool.version,
                host_id=self.host_id,
                timeout=tool.timeout,
                accept_timeout=tool.accept_timeout,
                progress_timeout=tool.progress_timeout,
            )
            for tool in self._tools
        ]

    async def start(self) -> ToolHost:
        """Register, and return once the tools are live.

        Raises:
            RunwireError: The server cannot be reached or refuses the host or all of its tools.
        """
        loop = asyncio.get_running_loop()
        self._engine = ToolEngine(self._tools, Threads(max(1, self._window)))
        self._renew, self._live = asyncio.Event(), asyncio.Event()
        self._failure: asyncio.Future[None] = loop.create_future()
        self._supervisor = loop.create_task(self._supervise())
        live = loop.create_task(self._live.wait())
        try:
            waited: list[asyncio.Future[Any]] = [live, self._failure]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            live.cancel()
        if self._failure.done():
            self._failure.result()
        return self

    async def serve(self, *, handle_signals: bool = True, grace: float = 30.0) -> None:
        """Serve until cancelled, or until SIGTERM or SIGINT; then drain.

        Raises:
            RunwireError: The server refuses the host for good.
        """
        loop = asyncio.get_running_loop()
        stop: asyncio.Future[None] = loop.create_future()
        signals = (signal.SIGTERM, signal.SIGINT) if handle_signals else ()
        for number in signals:
            loop.add_signal_handler(number, _settle, stop)
        try:
            if self._supervisor is None:
                await self.start()
            await asyncio.wait({stop, self._failure}, return_when=asyncio.FIRST_COMPLETED)
            if self._failure.done():
                self._failure.result()
        finally:
            for number in signals:
                loop.remove_signal_handler(number)
            await self.aclose(grace=grace)

    def run(self, *, grace: float = 30.0) -> None:
        """Serve from a program without an event loop: what a tool host's ``main`` calls."""
        asyncio.run(self.serve(grace=grace))

    async def aclose(self, *, grace: float = 30.0) -> None:
        """Take no more calls, finish those that run, wait for their receipts, and leave.

        After ``grace`` seconds what still runs is cancelled; the server treats it as lost.
        """
        if self._engine is None or self._supervisor is None:
            return
        self._draining = True
        self._engine.refuse()
        if self._session is not None:
            update = tool_service_pb2.HostUpdate(max_concurrent_calls=0)
            self._session.push(tool_service_pb2.HostToolsRequest(update=update))
        try:
            await asyncio.wait_for(self._engine.idle(), grace)
        except asyncio.TimeoutError:
            logger.warning("tool host %s: calls still ran after %g s", self.host_id, grace)
        self._supervisor.cancel()
        await self._engine.abort()
        if self._session is not None:
            self._session.finish()
        if self._readers:
            await asyncio.wait(self._readers, timeout=_CLOSE_SECONDS)
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(self._supervisor, *self._readers, return_exceptions=True)
        self._supervisor = self._engine = self._session = None

    async def __aenter__(self) -> ToolHost:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # --- connections --------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        backoff = Backoff()
        while not self._failure.done():
            self._renew.clear()
            try:
                await self._connect()
            except RunwireError as error:
                if not worth_retrying(error):
                    self._fail(error)
                    return
                logger.info("tool host %s: not connected: %s", self.host_id, error)
                await backoff.wait(error.retry_delay)
                continue
            since = loop.time()
            await self._renew.wait()
            if loop.time() - since > _STABLE_SECONDS:
                backoff.reset()
            elif self._session is None:  # Lost, not told to go away.
                await backoff.wait()

    async def _connect(self) -> None:
        """Open a stream and register; an older one is left once this one is live."""
        engine = self._require_engine()
        session = self._open(engine)
        responses = session.read()
        try:
            first = await asyncio.wait_for(responses.__anext__(), _REGISTER_SECONDS)
        except asyncio.TimeoutError:
            session.cancel()
            raise DeadlineExceeded("the server did not answer the registration") from None
        except StopAsyncIteration:
            raise Unavailable("the server ended the stream at once") from None
        registered = first.registered
        self.rejected = {name: from_data(error) for name, error in registered.rejected_tools.items()}
        for name, error in self.rejected.items():
            logger.warning("tool host %s: tool %s was not taken: %s", self.host_id, name, error)
        if self._tools and len(self.rejected) == len(self._tools):
            session.cancel()
            raise next(iter(self.rejected.values()))
        session.agree(registered.session)
        older, self._session = self._session, session
        engine.connect(session)
        if older is not None:
            older.finish()
        reader = asyncio.get_running_loop().create_task(self._read(session, responses))
        self._readers.add(reader)
        reader.add_done_callback(self._readers.discard)
        self._live.set()

    def _open(self, engine: ToolEngine) -> _Session:
        registration = tool_service_pb2.HostRegistration(
            host_id=self.host_id,
            tools=[tool.to_proto() for tool in self._tools],
            max_concurrent_calls=0 if self._draining else self._window,
            labels=self._labels,
        )
        first = tool_service_pb2.HostToolsRequest(registration=registration)
        session: _Session = Duplex(
            self._transport.channels().tool_streams.HostTools(metadata=self._transport.metadata),
            first=first,
            heartbeat=lambda: tool_service_pb2.HostToolsRequest(heartbeat=run_pb2.Heartbeat()),
            report=lambda report: tool_service_pb2.HostToolsRequest(report=report),
        )
        # Nothing is written before the next turn of the loop.
        first.registration.in_flight.extend(engine.prepare(session))
        return session

    async def _read(self, session: _Session, responses: Any) -> None:
        engine = self._require_engine()
        try:
            async for response in responses:
                if response.WhichOneof("message") != "command":
                    continue
                if response.command.WhichOneof("command") == "go_away" and session is self._session:
                    self._renew.set()
                engine.command(session, response.command)
        except RunwireError as error:
            logger.info("tool host %s: stream ended: %s", self.host_id, error)
            if session is self._session and not worth_retrying(error):
                self._fail(error)
        finally:
            engine.disconnect(session)
            if session is self._session:
                self._session = None
                self._renew.set()

    def _fail(self, error: RunwireError) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)
            self._failure.exception()  # Seen: whoever closes without serving need not hear of it.
        self._renew.set()

    def _require_engine(self) -> ToolEngine:
        if self._engine is None:
            raise RuntimeError("the tool host is not started")
        return self._engine

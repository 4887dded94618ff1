"""The tool engine: calls in, reports out. One for hosted and attached tools.

It knows nothing of gRPC. A *session* is one stream: the engine sends reports into the current session and
is told the commands that come out of it. Calls outlive sessions; a report is kept until its receipt.

The rule that makes "at most once" true stands here and nowhere else: a tool that is neither read-only nor
idempotent starts only after the receipt of its acceptance.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc

from runwire.threads import Threads
from runwire.tool import Tool, ToolContext, ToolError
from runwire.v1 import message_pb2, run_pb2, tool_service_pb2

logger = logging.getLogger("runwire.tools")

_APPLIED = (
    tool_service_pb2.ToolCallReceipt.DISPOSITION_APPLIED,
    tool_service_pb2.ToolCallReceipt.DISPOSITION_DUPLICATE,
)

CallKey = tuple[str, int]
Report = tool_service_pb2.ToolCallReport


class Session(Protocol):
    """One stream to the server."""

    def send(self, report: Report) -> None:
        """Queue a report. Never waits; on a broken stream it does nothing."""


class _Phase(enum.Enum):
    ACCEPTING = enum.auto()  # The acceptance has no receipt yet, and the tool has not begun.
    RUNNING = enum.auto()
    REPORTED = enum.auto()  # The last report has no receipt yet.


@dataclass(frozen=True)
class _Question:
    report: Report
    answer: asyncio.Future[run_pb2.InputAnswer]


@dataclass(eq=False)
class _Call:
    assignment: tool_service_pb2.ToolCallAssignment
    tool: Tool
    context: ToolContext
    phase: _Phase
    task: asyncio.Task[None] | None = None
    invocation: asyncio.Future[list[message_pb2.Part]] | None = None
    cancelled: bool = False
    accepted: bool = False
    last: Report | None = None
    #: Questions asked so far; the one that is open, and where its answer goes.
    asked: int = 0
    question: _Question | None = None
    #: Reports sent on the current session and not receipted, in order; a receipt does not say of which.
    unreceipted: deque[Report] = field(default_factory=deque)

    @property
    def key(self) -> CallKey:
        return self.assignment.call.id, self.assignment.attempt


class ToolEngine:
    """Runs the calls of one host, or of one attached run."""

    def __init__(self, tools: Iterable[Tool], threads: Threads) -> None:
        self._tools: dict[str, Tool] = {tool.name: tool for tool in tools}
        self._threads = threads
        self._calls: dict[CallKey, _Call] = {}
        self._session: Session | None = None
        self._newest: Session | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._refusing = False

    # --- the session's side -------------------------------------------------------------------------

    def prepare(self, session: Session) -> list[tool_service_pb2.ToolCallRef]:
        """Announce a session and list what runs here or lacks its last receipt, to register with.

        From now on, what older sessions assign is rejected: the list would not have it.
        """
        self._newest = session
        return [
            tool_service_pb2.ToolCallRef(call_id=call_id, attempt=attempt) for call_id, attempt in self._calls
        ]

    def connect(self, session: Session) -> None:
        """Make a session the current one and send again what has no receipt."""
        self._session = session
        for call in list(self._calls.values()):
            call.unreceipted.clear()
            if call.phase is _Phase.REPORTED and call.last is not None:
                self._send(call, call.last)
                continue
            if not call.accepted:
                self._accept(call)
            if call.question is not None:
                self._send(call, call.question.report)

    def disconnect(self, session: Session) -> None:
        """Stop sending into a session. Calls go on."""
        if self._session is session:
            self._session = None

    def command(self, session: Session, command: tool_service_pb2.HostCommand) -> None:
        """Take a command. Unknown ones are ignored; go-away and heartbeats are the session's matter."""
        kind = command.WhichOneof("command")
        if kind == "assignment":
            self._assign(session, command.assignment)
        elif kind == "cancellation":
            self._cancel(command.cancellation)
        elif kind == "answer":
            self._answer(command.answer)
        elif kind == "receipt" and session is self._session:
            # Of an older session, overlapping with this one: the report went out again here.
            self._receipt(command.receipt)

    # --- the host's side ----------------------------------------------------------------------------

    def refuse(self) -> None:
        """Take no more calls; assignments that are on their way are rejected."""
        self._refusing = True

    async def idle(self) -> None:
        """Wait until no call runs and every report has its receipt."""
        await self._idle.wait()

    async def abort(self) -> None:
        """Cancel what runs, without reports: the server's grace decides about these calls."""
        calls = list(self._calls.values())
        self._calls.clear()
        self._idle.set()
        tasks = [call.task for call in calls if call.task is not None]
        for call in calls:
            call.context.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- commands -----------------------------------------------------------------------------------

    def _assign(self, session: Session, assignment: tool_service_pb2.ToolCallAssignment) -> None:
        key = (assignment.call.id, assignment.attempt)
        if key in self._calls:
            return  # Delivered twice: it runs, and its reports go out.
        tool = self._tools.get(assignment.call.name)
        if tool is None or tool.version != assignment.tool_version:
            session.send(_rejection(key, "TOOL_UNKNOWN", "this host does not have the tool"))
            return
        if self._refusing or session is not self._newest:
            session.send(_rejection(key, "SERVER_DRAINING", "this stream takes no more calls"))
            return
        for other in list(self._calls.values()):
            if other.key[0] == key[0]:
                self._drop(other)  # An older delivery of the same call: fenced, its reports are stale.
        call = self._calls[key] = _Call(assignment, tool, self._context(assignment), _Phase.ACCEPTING)
        self._idle.clear()
        self._accept(call)
        if tool.may_redeliver:
            self._begin(call)

    def _receipt(self, receipt: tool_service_pb2.ToolCallReceipt) -> None:
        call = self._calls.get((receipt.call_id, receipt.attempt))
        if call is None or not call.unreceipted:
            return
        report = call.unreceipted.popleft()
        if report.WhichOneof("report") == "question":
            return  # It is stored; the answer comes by itself.
        if report.WhichOneof("report") != "acceptance":
            self._forget(call)
        elif receipt.disposition in _APPLIED:
            call.accepted = True
            if call.phase is _Phase.ACCEPTING and not call.cancelled:
                self._begin(call)
        else:
            self._drop(call)  # Stale: another delivery has taken its place.

    def _cancel(self, cancellation: tool_service_pb2.ToolCallCancellation) -> None:
        call = self._calls.get((cancellation.call_id, cancellation.attempt))
        if call is None or call.cancelled:
            return
        call.cancelled = True
        call.context.cancel()
        if call.question is not None:
            call.question.answer.cancel()
        if call.phase is _Phase.ACCEPTING:
            self._finish(call, Report(stopped=tool_service_pb2.ToolCallStopped()))
        elif call.invocation is not None and call.tool.is_async:
            call.invocation.cancel()

    # --- execution ----------------------------------------------------------------------------------

    def _begin(self, call: _Call) -> None:
        call.phase = _Phase.RUNNING
        call.task = asyncio.get_running_loop().create_task(self._run(call))

    async def _run(self, call: _Call) -> None:
        call.invocation = asyncio.ensure_future(
            _contained(call.tool, call.assignment.call.arguments_json, call.context, self._threads)
        )
        try:
            await _end_or_timeout(call, call.invocation)
        except asyncio.CancelledError:
            call.invocation.cancel()
            raise
        if call.invocation.done():
            self._finish(call, _outcome(call))
            return
        call.context.cancel()
        call.invocation.cancel()
        self._finish(call, _failed_result(call, "the tool did not finish in time; it may still be running"))

    def _context(self, assignment: tool_service_pb2.ToolCallAssignment) -> ToolContext:
        loop = asyncio.get_running_loop()
        timeout = assignment.timeout.ToNanoseconds() / 1e9 if assignment.HasField("timeout") else None
        key = (assignment.call.id, assignment.attempt)

        def on_progress(progress: run_pb2.ToolProgress) -> None:
            loop.call_soon_threadsafe(self._progress, key, progress)

        async def on_question(question: run_pb2.Question) -> run_pb2.InputAnswer:
            return await self._ask(key, question)

        return ToolContext(
            call_id=assignment.call.id,
            attempt=assignment.attempt,
            run_id=assignment.run_id,
            agent_name=assignment.agent_name,
            principal=assignment.principal,
            labels=assignment.labels,
            traceparent=assignment.traceparent,
            timeout=timeout,
            on_progress=on_progress,
            on_question=on_question,
            loop=loop,
        )

    # --- questions ----------------------------------------------------------------------------------

    async def _ask(self, key: CallKey, question: run_pb2.Question) -> run_pb2.InputAnswer:
        call = self._calls.get(key)
        if call is None or call.cancelled:
            raise ToolError("the call is over")
        if call.question is not None:
            raise RuntimeError("a call asks one question at a time")
        call.asked += 1
        question.number = call.asked
        future: asyncio.Future[run_pb2.InputAnswer] = asyncio.get_running_loop().create_future()
        asked = call.question = _Question(Report(question=question), future)
        call.context.pause()
        self._send(call, asked.report)
        try:
            return await future
        finally:
            self._close_question(call)

    def _answer(self, command: tool_service_pb2.ToolCallAnswer) -> None:
        call = self._calls.get((command.call_id, command.attempt))
        if call is None or call.question is None or command.number != call.asked:
            return  # Said again: the tool has it.
        future = call.question.answer
        self._close_question(call)
        if not future.done():
            future.set_result(command.answer)

    def _close_question(self, call: _Call) -> None:
        call.question = None
        call.context.resume()

    # --- reports ------------------------------------------------------------------------------------

    def _accept(self, call: _Call) -> None:
        self._send(call, Report(acceptance=tool_service_pb2.ToolCallAcceptance()))

    def _progress(self, key: CallKey, progress: run_pb2.ToolProgress) -> None:
        call = self._calls.get(key)
        if call is not None and call.phase is _Phase.RUNNING and self._session is not None:
            self._session.send(Report(call_id=key[0], attempt=key[1], progress=progress))

    def _finish(self, call: _Call, report: Report) -> None:
        if self._calls.get(call.key) is not call:
            return  # Superseded meanwhile.
        call.phase, call.last = _Phase.REPORTED, report
        self._send(call, report)

    def _send(self, call: _Call, report: Report) -> None:
        report.call_id, report.attempt = call.key
        if self._session is not None:
            call.unreceipted.append(report)
            self._session.send(report)

    def _drop(self, call: _Call) -> None:
        call.cancelled = True
        call.context.cancel()
        if call.invocation is not None and call.tool.is_async:
            call.invocation.cancel()
        self._forget(call)

    def _forget(self, call: _Call) -> None:
        if self._calls.get(call.key) is call:
            del self._calls[call.key]
        if not self._calls:
            self._idle.set()


def _rejection(key: CallKey, reason: str, message: str) -> Report:
    code = grpc.StatusCode.NOT_FOUND if reason == "TOOL_UNKNOWN" else grpc.StatusCode.UNAVAILABLE
    error = message_pb2.Error(code=code.value[0], reason=reason, message=message)
    return Report(call_id=key[0], attempt=key[1], rejection=error)


async def _end_or_timeout(call: _Call, invocation: asyncio.Future[list[message_pb2.Part]]) -> None:
    """Wait for the end of a call, or of its time, which stands still while a question is open."""
    while not invocation.done():
        if call.question is not None:
            waited_for: set[asyncio.Future[Any]] = {invocation, call.question.answer}
            await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
            continue
        time_left = call.context.time_left
        if time_left is not None and time_left <= 0:
            return
        await asyncio.wait({invocation}, timeout=time_left)


class _Crashed(Exception):
    """A tool tried to end the process."""


async def _contained(
    tool: Tool, arguments_json: str, context: ToolContext, threads: Threads
) -> list[message_pb2.Part]:
    try:
        return await tool.invoke(arguments_json, context, threads)
    except SystemExit as error:
        raise _Crashed(type(error).__name__) from error


def _outcome(call: _Call) -> Report:
    invocation = call.invocation
    if invocation is None or invocation.cancelled():
        if call.cancelled:
            return Report(stopped=tool_service_pb2.ToolCallStopped())
        return _failed_result(call, "the tool was cancelled")
    error = invocation.exception()
    if error is None:
        return Report(result=message_pb2.ToolResult(call_id=call.key[0], parts=invocation.result()))
    if call.cancelled:
        return Report(stopped=tool_service_pb2.ToolCallStopped())
    logger.warning("tool %s failed: %s", call.tool.name, type(error).__name__)
    if isinstance(error, _Crashed):
        failure = message_pb2.Error(
            code=grpc.StatusCode.INTERNAL.value[0], reason="TOOL_FAILED", message=f"the tool raised {error}"
        )
        return Report(failure=failure)
    text = str(error) if isinstance(error, ToolError) else f"{type(error).__name__}: {error}"
    return _failed_result(call, text)


def _failed_result(call: _Call, text: str) -> Report:
    parts = [message_pb2.Part(text=text)]
    return Report(result=message_pb2.ToolResult(call_id=call.key[0], parts=parts, is_error=True))

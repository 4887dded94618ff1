"""The tool engine against a session that only records: who may start what, when."""

import asyncio
import threading
from typing import Any

import pytest

from runwire import ToolContext, ToolError, tool
from runwire.engine import ToolEngine
from runwire.threads import Threads
from runwire.tool import Tool, as_tool
from runwire.v1 import message_pb2, run_pb2, tool_service_pb2

APPLIED = tool_service_pb2.ToolCallReceipt.DISPOSITION_APPLIED
STALE = tool_service_pb2.ToolCallReceipt.DISPOSITION_STALE


class Recorder:
    """A session: what was sent, and a way to say what the server says."""

    def __init__(self, engine: ToolEngine) -> None:
        self.engine = engine
        self.changed = asyncio.Event()
        self.sent: list[tool_service_pb2.ToolCallReport] = []
        self.in_flight = [(ref.call_id, ref.attempt) for ref in engine.prepare(self)]

    def connect(self) -> "Recorder":
        self.engine.connect(self)
        return self

    def send(self, report: tool_service_pb2.ToolCallReport) -> None:
        self.sent.append(report)
        self.changed.set()

    @property
    def kinds(self) -> list[str | None]:
        return [report.WhichOneof("report") for report in self.sent]

    def command(self, **command: Any) -> None:
        self.engine.command(self, tool_service_pb2.HostCommand(**command))

    def assign(
        self, name: str, call_id: str = "c1", attempt: int = 1, arguments: str = "{}", **more: Any
    ) -> None:
        call = message_pb2.ToolCall(id=call_id, name=name, arguments_json=arguments)
        self.command(assignment=tool_service_pb2.ToolCallAssignment(call=call, attempt=attempt, **more))

    def receipt(self, call_id: str = "c1", attempt: int = 1, disposition: Any = APPLIED) -> None:
        self.command(
            receipt=tool_service_pb2.ToolCallReceipt(
                call_id=call_id, attempt=attempt, disposition=disposition
            )
        )

    def cancel(self, call_id: str = "c1", attempt: int = 1) -> None:
        self.command(
            cancellation=tool_service_pb2.ToolCallCancellation(
                call_id=call_id, attempt=attempt, reason="RUN_CANCELLED"
            )
        )

    async def until(self, *kinds: str) -> None:
        async def reached() -> None:
            while self.kinds != list(kinds):
                self.changed.clear()
                await self.changed.wait()

        try:
            await asyncio.wait_for(reached(), 5)
        except asyncio.TimeoutError:
            assert self.kinds == list(kinds)


def start(*tools: Any) -> Recorder:
    engine = ToolEngine([as_tool(each) for each in tools], Threads(8))
    return Recorder(engine).connect()


def counting(**annotations: Any) -> tuple[Tool, list[int]]:
    begun: list[int] = []

    async def act(context: ToolContext) -> str:
        begun.append(context.attempt)
        return "done"

    return Tool.from_function(act, **annotations), begun


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_an_at_most_once_tool_starts_only_after_the_receipt_of_its_acceptance() -> None:
    act, begun = counting()
    session = start(act)
    session.assign("act")
    await settle()
    assert session.kinds == ["acceptance"]
    assert begun == []
    session.receipt()
    await session.until("acceptance", "result")
    assert begun == [1]


@pytest.mark.parametrize("annotation", ["read_only", "idempotent"])
async def test_a_tool_that_may_run_twice_does_not_wait(annotation: str) -> None:
    act, begun = counting(**{annotation: True})
    session = start(act)
    session.assign("act")
    await session.until("acceptance", "result")
    assert begun == [1]


async def test_a_stale_acceptance_starts_nothing() -> None:
    act, begun = counting()
    session = start(act)
    session.assign("act")
    session.receipt(disposition=STALE)
    await settle()
    assert begun == []
    assert Recorder(session.engine).in_flight == []


async def test_an_assignment_delivered_twice_runs_once() -> None:
    act, begun = counting(idempotent=True)
    session = start(act)
    session.assign("act")
    session.assign("act")
    await session.until("acceptance", "result")
    assert begun == [1]


async def test_a_result_is_kept_until_its_receipt_and_sent_again_on_the_next_stream() -> None:
    act, begun = counting()
    first = start(act)
    first.assign("act")
    first.receipt()
    await first.until("acceptance", "result")
    first.engine.disconnect(first)
    second = Recorder(first.engine)
    assert second.in_flight == [("c1", 1)]
    second.connect()
    assert second.kinds == ["result"]
    second.receipt()
    await asyncio.wait_for(first.engine.idle(), 1)
    assert Recorder(first.engine).in_flight == []
    assert begun == [1]


async def test_an_acceptance_without_receipt_is_sent_again_and_the_tool_still_waits() -> None:
    act, begun = counting()
    first = start(act)
    first.assign("act")
    first.engine.disconnect(first)
    second = Recorder(first.engine).connect()
    await settle()
    assert second.kinds == ["acceptance"]
    assert begun == []
    second.receipt()
    await second.until("acceptance", "result")
    assert begun == [1]


async def test_a_call_that_ends_while_there_is_no_stream_is_reported_on_the_next() -> None:
    gate = asyncio.Event()

    @tool(idempotent=True)
    async def slow() -> str:
        await gate.wait()
        return "late"

    first = start(slow)
    first.assign("slow")
    await settle()
    first.engine.disconnect(first)
    gate.set()
    await settle()
    second = Recorder(first.engine).connect()
    assert [report.result.parts[0].text for report in second.sent] == ["late"]


async def test_receipts_of_an_older_stream_do_not_count_for_reports_on_the_new_one() -> None:
    act, begun = counting()
    first = start(act)
    first.assign("act")
    second = Recorder(first.engine).connect()
    first.receipt()
    await settle()
    assert begun == []
    second.receipt()
    await second.until("acceptance", "result")


async def test_what_an_older_stream_assigns_after_the_next_was_announced_is_rejected() -> None:
    act, begun = counting(idempotent=True)
    first = start(act)
    Recorder(first.engine)
    first.assign("act")
    assert first.kinds == ["rejection"]
    await settle()
    assert begun == []


async def test_a_newer_delivery_fences_an_older_one() -> None:
    gate = asyncio.Event()
    begun = []

    @tool(idempotent=True)
    async def slow(context: ToolContext) -> str:
        begun.append(context.attempt)
        if context.attempt == 1:
            await gate.wait()
        return str(context.attempt)

    session = start(slow)
    session.assign("slow")
    await settle()
    session.assign("slow", attempt=2)
    await session.until("acceptance", "acceptance", "result")
    gate.set()
    await settle()
    assert begun == [1, 2]
    assert session.sent[-1].attempt == 2
    assert len(session.sent) == 3


async def test_an_unknown_tool_and_another_version_are_rejected() -> None:
    act, begun = counting()
    session = start(act)
    session.assign("nope")
    session.assign("act", call_id="c2", tool_version="2")
    assert session.kinds == ["rejection", "rejection"]
    assert session.sent[0].rejection.reason == "TOOL_UNKNOWN"
    assert begun == []


async def test_a_draining_engine_rejects_and_becomes_idle_when_the_last_receipt_comes() -> None:
    gate = asyncio.Event()

    @tool(idempotent=True)
    async def slow() -> None:
        await gate.wait()

    session = start(slow)
    session.assign("slow")
    session.engine.refuse()
    session.assign("slow", call_id="c2")
    assert session.kinds == ["acceptance", "rejection"]
    idle = asyncio.ensure_future(session.engine.idle())
    gate.set()
    await session.until("acceptance", "rejection", "result")
    session.receipt()
    await settle()
    assert not idle.done()
    session.receipt()
    await asyncio.wait_for(idle, 1)


async def test_a_cancelled_coroutine_is_stopped_and_says_so() -> None:
    cleaned = []

    @tool(idempotent=True)
    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    session = start(forever)
    session.assign("forever")
    await settle()
    session.cancel()
    await session.until("acceptance", "stopped")
    assert cleaned == [True]


async def test_a_cancelled_thread_is_asked_and_its_end_awaited() -> None:
    begun = threading.Event()

    @tool(idempotent=True)
    def loop(context: ToolContext) -> str:
        begun.set()
        if not context.wait_cancelled(5):
            return "never asked"
        raise RuntimeError("stopped on request")

    session = start(loop)
    session.assign("loop")
    await asyncio.get_running_loop().run_in_executor(None, begun.wait, 5)
    session.cancel()
    await session.until("acceptance", "stopped")


async def test_a_result_that_was_faster_than_the_cancellation_wins() -> None:
    gate = threading.Event()

    @tool(idempotent=True)
    def work() -> str:
        gate.wait(5)
        return "made it"

    session = start(work)
    session.assign("work")
    await settle()
    session.cancel()
    gate.set()
    await session.until("acceptance", "result")
    assert session.sent[-1].result.parts[0].text == "made it"


async def test_a_call_cancelled_before_it_began_never_begins() -> None:
    act, begun = counting()
    session = start(act)
    session.assign("act")
    session.cancel()
    session.receipt()
    await settle()
    assert session.kinds == ["acceptance", "stopped"]
    assert begun == []


async def test_an_exception_is_an_error_result_with_its_message_and_no_trace() -> None:
    @tool(idempotent=True)
    def fail() -> None:
        raise LookupError("no such file")

    @tool(idempotent=True)
    async def explain() -> None:
        raise ToolError("try another city")

    session = start(fail, explain)
    session.assign("explain")
    await session.until("acceptance", "result")
    session.assign("fail", call_id="c2")
    await session.until("acceptance", "result", "acceptance", "result")
    texts = [report.result.parts[0].text for report in session.sent if report.HasField("result")]
    assert texts == ["try another city", "LookupError: no such file"]
    assert all(report.result.is_error for report in session.sent if report.HasField("result"))
    assert "Traceback" not in str(session.sent)


async def test_wrong_arguments_are_an_error_result() -> None:
    @tool(idempotent=True)
    def act(days: int) -> int:
        return days

    session = start(act)
    session.assign("act", arguments='{"days": []}')
    await session.until("acceptance", "result")
    assert session.sent[1].result.is_error
    assert "days" in session.sent[1].result.parts[0].text


async def test_a_tool_that_exits_is_a_failure_and_the_process_lives() -> None:
    @tool(idempotent=True)
    def leave() -> None:
        raise SystemExit(1)

    session = start(leave)
    session.assign("leave")
    await session.until("acceptance", "failure")
    assert session.sent[1].failure.reason == "TOOL_FAILED"


async def test_a_tool_that_is_too_slow_is_an_error_result_and_is_told() -> None:
    contexts: list[ToolContext] = []

    @tool(idempotent=True)
    async def slow(context: ToolContext) -> None:
        contexts.append(context)
        await asyncio.Event().wait()

    session = start(slow)
    assignment = tool_service_pb2.ToolCallAssignment(
        call=message_pb2.ToolCall(id="c1", name="slow", arguments_json="{}"), attempt=1
    )
    assignment.timeout.FromMilliseconds(20)
    session.command(assignment=assignment)
    await session.until("acceptance", "result")
    assert session.sent[1].result.is_error
    assert contexts[0].cancelled


async def test_progress_from_a_thread_is_reported_while_the_call_runs() -> None:
    @tool(idempotent=True)
    def work(context: ToolContext) -> str:
        context.progress(1, 2, "half")
        return "done"

    session = start(work)
    session.assign("work")
    await session.until("acceptance", "progress", "result")
    assert session.sent[1].progress == run_pb2.ToolProgress(progress=1, total=2, message="half")


async def test_what_a_call_knows_of_its_run_reaches_the_context() -> None:
    seen: list[ToolContext] = []

    @tool(idempotent=True)
    def look(context: ToolContext) -> None:
        seen.append(context)

    session = start(look)
    session.assign("look", attempt=2, run_id="run_1", agent_name="guide", principal="ada", labels={"a": "b"})
    await session.until("acceptance", "result")
    [context] = seen
    assert (context.call_id, context.attempt, context.run_id) == ("c1", 2, "run_1")
    assert (context.agent_name, context.principal, context.labels) == ("guide", "ada", {"a": "b"})


async def test_commands_of_an_unknown_kind_and_for_unknown_calls_are_ignored() -> None:
    session = start()
    session.engine.command(session, tool_service_pb2.HostCommand())
    session.cancel("c9")
    session.receipt("c9")
    assert session.sent == []


async def test_many_calls_run_at_once() -> None:
    waiting = 0
    gate = asyncio.Event()

    @tool(idempotent=True)
    async def meet() -> None:
        nonlocal waiting
        waiting += 1
        if waiting == 50:
            gate.set()
        await gate.wait()

    session = start(meet)
    for index in range(50):
        session.assign("meet", call_id=f"c{index}")
    await asyncio.wait_for(gate.wait(), 5)


async def test_an_aborted_engine_cancels_what_runs_and_reports_nothing() -> None:
    @tool(idempotent=True)
    async def forever() -> None:
        await asyncio.Event().wait()

    session = start(forever)
    session.assign("forever")
    await settle()
    await session.engine.abort()
    assert session.kinds == ["acceptance"]

"""The driver of the conformance cases: plays what clients/conformance/runner says, in lines of JSON."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from runwire import (
    Agent,
    AsyncClient,
    HostedTool,
    RunFailed,
    Runner,
    RunResult,
    RunUpdated,
    RunwireError,
    Tool,
    ToolCallUpdated,
    ToolContext,
    ToolHost,
)
from runwire.completion import Completion
from runwire.events import Event, MessageCompleted, Run, TextDelta
from runwire.v1 import message_pb2, run_pb2, run_service_pb2

PATIENCE_SECONDS = 10.0
FLOOD_BYTES = 2 * 1024 * 1024
TOGETHER = 4
MAX_LINE_BYTES = 1024 * 1024

Case = dict[str, Any]
Seen = dict[str, Any]


def say(**message: Any) -> None:
    """Tell the runner."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


class Play:
    """One case: its tools, and what its run shows."""

    def __init__(self, case: Case, client: AsyncClient) -> None:
        self.case, self.client = case, client
        self.released, self.progressed, self.gathered = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.together = 0
        self.run_id = ""
        self.waiting: asyncio.Future[Any] | None = None
        self.left = False

    # --- the tools ------------------------------------------------------------------------------------------

    async def get_weather(self, city: str) -> str:
        """Say the weather in a city."""
        return f"{city}: sun"

    async def echo(self, value: int) -> int:
        """Say it again."""
        return value

    async def verbatim(self, zulu: float, alpha: dict[str, Any], mike: str) -> str:
        """Take what comes."""
        return "ok" if zulu and alpha and mike else "nothing"

    async def fail(self) -> None:
        """Fail."""
        raise LookupError("no such file")

    async def crash(self) -> None:
        """Crash."""
        raise ZeroDivisionError

    async def flood(self) -> str:
        """Say far too much."""
        return "x" * FLOOD_BYTES

    async def together_(self) -> str:
        """Meet the others."""
        self.together += 1
        if self.together == TOGETHER:
            self.gathered.set()
        met = await _happens(self.gathered)
        return f"{TOGETHER} at once" if met else "alone"

    async def advance(self, context: ToolContext) -> str:
        """Get on."""
        context.progress(1, 2, "half")
        return "seen" if await _happens(self.progressed) else "unseen"

    async def gate(self, context: ToolContext) -> str:
        """Wait until it is opened."""
        say(begun="gate", attempt=context.attempt)
        await self.released.wait()
        return "opened"

    async def wait(self, context: ToolContext) -> str:
        """Wait to be told to stop."""
        say(begun="wait", attempt=context.attempt)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            say(stopped="wait")
            raise
        return "stopped"

    def tools(self) -> list[Tool]:
        """Return the case's tools."""
        return [self._tool(name) for name in self.case.get("tools", [])]

    def _tool(self, name: str) -> Tool:
        function = getattr(self, {"together": "together_"}.get(name, name))
        return Tool.from_function(
            function,
            name=self.case.get("as", {}).get(name, name),
            idempotent=self.case.get("idempotent", False),
            timeout=self.case.get("tool_timeout"),
        )

    # --- what to do -----------------------------------------------------------------------------------------

    async def complete(self) -> Seen:
        completion = await self.client.complete(self.case["model"], self.case["input"], **self._arguments())
        return _completion(completion)

    async def stream(self) -> Seen:
        stream = await self.client.stream(self.case["model"], self.case["input"], **self._arguments())
        deltas = [delta.text async for delta in stream if isinstance(delta, TextDelta)]
        return {**_completion(stream.completion), "deltas": "".join(deltas)}

    async def glance(self) -> Seen:
        stream = await self.client.stream(self.case["model"], self.case["input"])
        deltas = 0
        async for _ in stream:
            deltas += 1
            if deltas == 3:
                break
        await stream.aclose()
        return _completion(await self.client.complete("script:echo", self.case["input"]))

    async def run(self) -> Seen:
        stream = Runner.stream(self._agent(self.tools()), self.case["input"], **self._run_arguments())
        events: list[Event] = []

        async def follow() -> RunResult:
            async for event in stream:
                self.run_id = stream.run_id
                self._see(event, events)
            return await stream.result()

        self.waiting = asyncio.ensure_future(follow())
        try:
            result = await self.waiting
        except RunFailed as failed:
            result = failed.result
        except asyncio.CancelledError:
            if not self.left:
                raise
            return _run(await self.client.runs.wait(self.run_id), events)
        finally:
            await stream.aclose()
        return _run(result.run, events)

    async def watch(self) -> Seen:
        if "hosted" in self.case:
            return await self._watch([HostedTool(name) for name in self.case["hosted"]])
        async with ToolHost(self.client, self.tools()) as host:
            return await self._watch(host.bindings())

    async def _watch(self, tools: list[HostedTool]) -> Seen:
        arguments = {key: value for key, value in self._run_arguments().items() if key != "client"}
        run = await self.client.runs.create(self._agent(tools), self.case["input"], **arguments)
        self.run_id = run.id
        events: list[Event] = []

        async def follow(watch: AsyncIterator[Event]) -> None:
            async for event in watch:
                self._see(event, events)

        await follow(self.client.runs.watch(run.id))
        last = next(event.run for event in reversed(events) if isinstance(event, RunUpdated))
        return {**_run(last, events), "events": _durable(events), "replay": await self._replay(run.id)}

    async def _replay(self, run_id: str) -> list[int]:
        try:
            return _durable([event async for event in self.client.runs.watch(run_id, detail="durable")])
        except RunwireError:
            return []  # The server has ended meanwhile.

    async def bare(self) -> Seen:
        request = run_service_pb2.AttachRunRequest()
        request.start.max_concurrent_calls = 0
        request.start.create.agent.name = "bare"
        request.start.create.agent.model = self.case["model"]
        message = request.start.create.input.add(role=message_pb2.ROLE_USER)
        message.parts.add(text=self.case["input"])
        call = self.client.transport.channels().run_streams.AttachRun()
        await call.write(request)
        await call.done_writing()
        last = run_pb2.Run()
        async for response in call:
            for event in response.events.events:
                if event.HasField("run_updated"):
                    last = event.run_updated
        return _run(Run.from_proto(last), [])

    async def many(self) -> Seen:
        async def one() -> RunResult:
            agent = self._agent(self.tools())
            return await Runner.run(agent, self.case["input"], client=self.client)

        results = await asyncio.gather(*(one() for _ in range(self.case["count"])))
        completed = sum(result.status == "completed" for result in results)
        return {"completed": completed, "distinct": len({result.run_id for result in results})}

    async def host(self) -> Seen:
        host = await ToolHost(self.client, self.tools()).start()
        serving = asyncio.ensure_future(host.serve())
        await asyncio.sleep(0)  # It has taken the signals.
        say(ready=True)
        await serving
        sys.exit(0)

    # --- what the runner says meanwhile ---------------------------------------------------------------------

    async def hear(self, message: dict[str, Any]) -> None:
        if "release" in message:
            self.released.set()
        elif "cancel" in message:
            await self.client.runs.cancel(self.run_id)
        elif "leave" in message and self.waiting is not None:
            self.left = True
            self.waiting.cancel()

    def _see(self, event: Event, events: list[Event]) -> None:
        events.append(event)
        if isinstance(event, ToolCallUpdated) and event.progress is not None:
            self.progressed.set()

    def _agent(self, tools: Any) -> Agent:
        return Agent(name="case", model=self.case["model"], tools=tools)

    def _arguments(self) -> dict[str, Any]:
        return {**self.case.get("options", {}), "tools": self.tools(), "timeout": self.case.get("timeout")}

    def _run_arguments(self) -> dict[str, Any]:
        limits = {"max_turns": self.case.get("max_turns"), "timeout": self.case.get("timeout")}
        return {**self.case.get("options", {}), **limits, "client": self.client}


async def _happens(event: asyncio.Event) -> bool:
    try:
        await asyncio.wait_for(event.wait(), PATIENCE_SECONDS)
    except asyncio.TimeoutError:
        return False
    return True


def _completion(completion: Completion) -> Seen:
    return {
        "text": completion.text,
        "finish_reason": completion.finish_reason,
        "calls": [call.name for call in completion.tool_calls],
        "arguments": [call.arguments for call in completion.tool_calls],
    }


def _run(run: Run, events: list[Event]) -> Seen:
    completed = [event for event in events if isinstance(event, MessageCompleted)]
    parts = [part for event in completed for part in event.proto.parts]
    calls = [part.tool_call for part in parts if part.HasField("tool_call")]
    results = [part.tool_result for part in parts if part.HasField("tool_result")]
    updates = [event.progress for event in events if isinstance(event, ToolCallUpdated)]
    status = {"succeeded": "completed"}.get(run.state, run.state)
    if run.error is not None and run.error.reason == "MAX_TURNS_EXCEEDED":
        status = "max_turns_exceeded"
    return {
        "text": run.output,
        "status": status,
        "turns": run.turn_count,
        "finish_reason": run.finish_reason,
        "calls": [call.name for call in calls],
        "arguments": [call.arguments_json for call in calls],
        "results": ["".join(part.text for part in result.parts) for result in results],
        "errors": [result.is_error for result in results],
        "progress": [[each.progress, each.total, each.message] for each in updates if each is not None],
        **(_error(run.error) if run.error is not None else {}),
    }


def _durable(events: list[Event]) -> list[int]:
    return [event.sequence for event in events if event.time is not None]


def _error(error: RunwireError) -> Seen:
    return {
        "code": error.code.name,
        "reason": error.reason,
        "metadata": error.metadata,
        "retry_delay": error.retry_delay,
    }


async def play(case: Case, address: str, lines: "asyncio.Queue[dict[str, Any]]") -> Seen:
    async with AsyncClient(address) as client:
        play = Play(case, client)
        actions: dict[str, Callable[[], Awaitable[Seen]]] = {
            "complete": play.complete,
            "stream": play.stream,
            "glance": play.glance,
            "run": play.run,
            "watch": play.watch,
            "bare": play.bare,
            "many": play.many,
            "host": play.host,
        }

        async def hear() -> None:
            while True:
                await play.hear(await lines.get())

        hearing = asyncio.ensure_future(hear())
        try:
            return await actions[case["do"]]()
        except RunwireError as error:
            return _error(error)
        finally:
            hearing.cancel()


async def main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    cases: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
    words: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def listen() -> None:
        while line := await reader.readline():
            message = json.loads(line)
            await (cases if "case" in message else words).put(message)
        await cases.put(None)

    listening = asyncio.ensure_future(listen())
    while (message := await cases.get()) is not None:
        words = asyncio.Queue()
        say(seen=await play(message["case"], message["address"], words))
    await listening


if __name__ == "__main__":
    asyncio.run(main())

"""Tool hosts and detached runs through the real server: lost connections, killed processes, drains."""

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Server, configuration
from upstream import Reply, Upstream
from wire import Wire

from runwire import (
    Agent,
    AsyncClient,
    HostedTool,
    MessageCompleted,
    Runner,
    RunUpdated,
    Snapshot,
    Tool,
    ToolCallUpdated,
    ToolContext,
    ToolHost,
    tool,
)

HERE = Path(__file__).parent


def agent(model: str, *tools: Any) -> Agent:
    return Agent(name="remote", model=model, tools=tools)


def named(name: str, **more: Any) -> tuple[Tool, list[str]]:
    """Make a tool of a name that no other test has, and a list of its calls."""
    calls: list[str] = []

    def act(city: str = "Oslo", *, context: ToolContext) -> str:
        calls.append(context.call_id)
        return f"{city}: sun"

    return Tool.from_function(act, name=name, **more), calls


def unique(prefix: str) -> str:
    return f"{prefix}.{uuid.uuid4().hex[:8]}"


async def told(upstream: Upstream, model: str) -> str:
    return str(upstream.requests(model)[1]["messages"][-1]["content"])


@asynccontextmanager
async def process(script: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / script), *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def line(child: asyncio.subprocess.Process) -> str:
    assert child.stdout is not None
    return (await asyncio.wait_for(child.stdout.readline(), 30)).decode().strip()


async def test_a_hosted_tool_serves_a_run_that_another_client_creates(
    client: AsyncClient, server: Server, upstream: Upstream
) -> None:
    act, calls = named(unique("weather"))
    model = upstream.play(Reply(calls=[(act.name, '{"city": "Rome"}')]), Reply("Done."))
    async with ToolHost(client, [act]), AsyncClient(server.address) as other:
        run = await other.runs.create(agent(model, HostedTool(act.name)), "Go")
        ended = await asyncio.wait_for(other.runs.wait(run.id), 20)
    assert (ended.state, ended.output) == ("succeeded", "Done.")
    assert await told(upstream, model) == "Rome: sun"
    assert len(calls) == 1


async def test_two_hosts_of_one_name_never_take_each_others_bound_calls(
    client: AsyncClient, upstream: Upstream
) -> None:
    name = unique("own")
    (first, first_calls), (second, second_calls) = named(name), named(name)
    model = upstream.play(Reply(calls=[(name, "{}")] * 4), Reply("Done."))
    async with ToolHost(client, [first]), ToolHost(client, [second]) as mine:
        result = await Runner.run(agent(model, *mine.bindings()), "Go", client=client)
    assert result.final_output == "Done."
    assert (len(first_calls), len(second_calls)) == (0, 4)


async def test_hosted_and_attached_tools_serve_one_run(client: AsyncClient, upstream: Upstream) -> None:
    act, calls = named(unique("far"))

    def near() -> str:
        return "near"

    model = upstream.play(Reply(calls=[("near", "{}"), (act.name, "{}")]), Reply("Done."))
    async with ToolHost(client, [act]) as host:
        await Runner.run(agent(model, near, *host.bindings()), "Go", client=client)
    results = [m["content"] for m in upstream.requests(model)[1]["messages"] if m["role"] == "tool"]
    assert results == ["near", "Oslo: sun"]
    assert len(calls) == 1


async def test_a_host_finishes_its_calls_when_it_is_closed(client: AsyncClient, upstream: Upstream) -> None:
    begun, gate = asyncio.Event(), asyncio.Event()
    name = unique("slow")

    @tool(name=name)
    async def slow() -> str:
        begun.set()
        await gate.wait()
        return "finished"

    model = upstream.play(Reply(calls=[(name, "{}")]), Reply("Done."))
    host = await ToolHost(client, [slow]).start()
    run = await client.runs.create(agent(model, *host.bindings()), "Go")
    await asyncio.wait_for(begun.wait(), 10)
    closing = asyncio.ensure_future(host.aclose())
    await asyncio.sleep(0)
    gate.set()
    await asyncio.wait_for(closing, 10)
    assert (await asyncio.wait_for(client.runs.wait(run.id), 20)).state == "succeeded"
    assert await told(upstream, model) == "finished"


async def test_a_host_comes_back_after_its_connection_was_cut_and_no_call_is_lost_or_run_twice(
    client: AsyncClient, server: Server, upstream: Upstream
) -> None:
    begun, gate, calls = asyncio.Event(), asyncio.Event(), []
    name = unique("cut")

    @tool(name=name)
    async def slow(context: ToolContext) -> str:
        calls.append(context.attempt)
        begun.set()
        await gate.wait()
        return "survived"

    model = upstream.play(Reply(calls=[(name, "{}")]), Reply("Done."))
    async with Wire(server.address) as wire, AsyncClient(wire.address) as behind:
        async with ToolHost(behind, [slow]) as host:
            run = await client.runs.create(agent(model, *host.bindings()), "Go")
            await asyncio.wait_for(begun.wait(), 10)
            wire.cut()
            gate.set()
            ended = await asyncio.wait_for(client.runs.wait(run.id), 20)
    assert ended.state == "succeeded"
    assert calls == [1]
    assert await told(upstream, model) == "survived"


async def test_a_run_is_taken_up_again_after_its_connection_was_cut(
    server: Server, upstream: Upstream
) -> None:
    begun, gate, calls = asyncio.Event(), asyncio.Event(), []

    async def slow(context: ToolContext) -> str:
        calls.append(context.attempt)
        begun.set()
        await gate.wait()
        return "survived"

    model = upstream.play(Reply(calls=[("slow", "{}")]), Reply("One two three."))
    async with Wire(server.address) as wire, AsyncClient(wire.address) as behind:
        stream = Runner.stream(agent(model, slow), "Go", client=behind)
        events = []

        async def follow() -> None:
            async for event in stream:
                events.append(event)

        following = asyncio.ensure_future(follow())
        await asyncio.wait_for(begun.wait(), 10)
        wire.cut()
        gate.set()
        await asyncio.wait_for(following, 20)
        result = await stream.result()
    assert str(result.final_output).split() == ["One", "two", "three."]
    assert calls == [1]
    durable = [e.sequence for e in events if isinstance(e, MessageCompleted | ToolCallUpdated)]
    assert len(durable) == len(set(durable))
    assert [item["role"] for item in result.new_items] == ["assistant", "tool", "assistant"]


async def test_a_watch_goes_on_after_its_connection_was_cut(
    client: AsyncClient, server: Server, upstream: Upstream
) -> None:
    gate, begun = asyncio.Event(), asyncio.Event()
    name = unique("watched")

    @tool(name=name)
    async def slow() -> str:
        begun.set()
        await gate.wait()
        return "done"

    model = upstream.play(Reply(calls=[(name, "{}")]), Reply("Done."))
    async with ToolHost(client, [slow]) as host, Wire(server.address) as wire:
        async with AsyncClient(wire.address) as behind:
            run = await client.runs.create(agent(model, *host.bindings()), "Go")
            seen = []

            async def follow() -> None:
                async for event in behind.runs.watch(run.id):
                    seen.append(event)

            following = asyncio.ensure_future(follow())
            await asyncio.wait_for(begun.wait(), 10)
            wire.cut()
            gate.set()
            await asyncio.wait_for(following, 20)
    expected = [event async for event in client.runs.watch(run.id, detail="durable")]
    durable = [event for event in seen if event.time is not None]
    assert [event.sequence for event in durable] == [event.sequence for event in expected]


async def test_a_killed_host_of_an_idempotent_tool_is_replaced_by_another(
    client: AsyncClient, server: Server, upstream: Upstream
) -> None:
    name = unique("idem")
    calls: list[str] = []
    model = upstream.play(Reply(calls=[(name, "{}")]), Reply("Done."))
    async with process("host_process.py", server.address, unique("h"), name, "idempotent") as child:
        run = await client.runs.create(agent(model, HostedTool(name)), "Go")
        assert [await line(child), await line(child)] == ["ready", "begun 1"]
        child.kill()
        # Equal definitions: the signature is the same.
        stand_in = Tool.from_function(_stand_in(calls), name=name, idempotent=True)
        async with ToolHost(client, [stand_in]):
            ended = await asyncio.wait_for(client.runs.wait(run.id), 30)
    assert ended.state == "succeeded"
    assert len(calls) == 1
    assert await told(upstream, model) == "again"


def _stand_in(calls: list[str]) -> Any:
    def hang(context: ToolContext) -> str:
        calls.append(f"{context.call_id}/{context.attempt}")
        return "again"

    return hang


async def test_a_killed_host_of_any_other_tool_leaves_an_unknown_outcome_and_no_second_run(
    client: AsyncClient, server: Server, upstream: Upstream
) -> None:
    name, calls = unique("once"), list[str]()
    model = upstream.play(Reply(calls=[(name, "{}")]), Reply("Understood."))
    async with process("host_process.py", server.address, unique("h"), name) as child:
        run = await client.runs.create(agent(model, HostedTool(name)), "Go")
        assert [await line(child), await line(child)] == ["ready", "begun 1"]
        stand_in = Tool.from_function(_stand_in(calls), name=name)
        async with ToolHost(client, [stand_in]):
            child.kill()
            ended = await asyncio.wait_for(client.runs.wait(run.id), 30)
    assert (ended.state, ended.output) == ("succeeded", "Understood.")
    assert calls == []
    updates = [e async for e in client.runs.watch(run.id) if isinstance(e, ToolCallUpdated)]
    assert updates[-1].state == "failed"
    assert updates[-1].error is not None
    assert updates[-1].error.reason == "OUTCOME_UNKNOWN"
    assert "may" in (await told(upstream, model)).lower()


async def test_a_run_whose_client_was_killed_is_watched_to_its_end_by_another(
    client: AsyncClient, server: Server, upstream: Upstream
) -> None:
    begun, gate = asyncio.Event(), asyncio.Event()
    name = unique("outlive")

    @tool(name=name)
    async def slow() -> str:
        begun.set()
        await gate.wait()
        return "done"

    model = upstream.play(Reply(calls=[(name, "{}")]), Reply("Outlived."))
    async with ToolHost(client, [slow]) as host:
        async with process("run_process.py", server.address, model, name, host.host_id) as child:
            run_id = await line(child)
            await asyncio.wait_for(begun.wait(), 10)
            child.kill()
            await child.wait()
        gate.set()
        last = None
        async for event in client.runs.watch(run_id):
            if isinstance(event, RunUpdated):
                last = event.run
    assert last is not None
    assert (last.state, last.output) == ("succeeded", "Outlived.")


async def test_a_host_process_ends_by_itself_on_a_signal(server: Server) -> None:
    async with process("host_process.py", server.address, unique("h"), unique("signal")) as child:
        assert await line(child) == "ready"
        child.terminate()
        assert await asyncio.wait_for(child.wait(), 20) == 0


async def test_many_calls_pass_through_one_host(client: AsyncClient, upstream: Upstream) -> None:
    act, calls = named(unique("busy"))
    model = upstream.play(Reply(calls=[(act.name, "{}")] * 50), Reply("Done."))
    async with ToolHost(client, [act], max_concurrent_calls=32) as host:
        result = await Runner.run(agent(model, *host.bindings()), "Go", client=client)
    assert result.final_output == "Done."
    assert len(calls) == 50
    assert len(set(calls)) == 50


async def test_runs_are_listed_and_fetched_by_label(client: AsyncClient, upstream: Upstream) -> None:
    label = {"suite": unique("list")}
    model = upstream.play(Reply("ok"))
    created = [await client.runs.create(agent(model), "Go", labels=label) for _ in range(3)]
    for run in created:
        assert (await asyncio.wait_for(client.runs.wait(run.id), 10)).state == "succeeded"
    listed = [run.id async for run in client.runs.list(labels=label, states=["succeeded"])]
    assert listed == [run.id for run in reversed(created)]
    assert (await client.runs.get(created[0].id)).labels == label


async def test_the_same_request_id_gives_the_same_run(client: AsyncClient, upstream: Upstream) -> None:
    model, request_id = upstream.play(Reply("ok")), str(uuid.uuid4())
    first = await client.runs.create(agent(model), "Go", request_id=request_id)
    second = await client.runs.create(agent(model), "Go", request_id=request_id)
    assert first.id == second.id


async def test_one_watch_follows_all_runs_of_a_label(client: AsyncClient, upstream: Upstream) -> None:
    label = {"suite": unique("all")}
    model = upstream.play(Reply("ok"))
    ended: set[str] = set()
    ready = asyncio.Event()

    async def follow() -> None:
        ready.set()
        async for run_id, event in client.runs.watch_all(labels=label, include_finished=True):
            if isinstance(event, RunUpdated | Snapshot) and event.run.finished:
                ended.add(run_id)
            if len(ended) == 5:
                return

    following = asyncio.ensure_future(follow())
    await ready.wait()
    created = [await client.runs.create(agent(model), "Go", labels=label) for _ in range(5)]
    await asyncio.wait_for(following, 20)
    assert ended == {run.id for run in created}


async def test_a_function_cannot_serve_a_run_that_goes_on_by_itself(client: AsyncClient) -> None:
    def near() -> str:
        return "near"

    with pytest.raises(ValueError, match="hosted"):
        await client.runs.create(agent("up:x", near), "Go")


async def test_a_host_comes_back_to_a_server_that_was_restarted(upstream: Upstream, tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    act, calls = named(unique("restart"))
    model = upstream.play(Reply(calls=[(act.name, "{}")]), Reply("Done."))
    config = configuration(upstream)
    first = await loop.run_in_executor(None, lambda: Server(tmp_path, config))
    async with AsyncClient(first.address) as client, ToolHost(client, [act]) as host:
        assert await loop.run_in_executor(None, first.stop) == 0
        again = lambda: Server(tmp_path, config, listen=first.address)  # noqa: E731
        second = await loop.run_in_executor(None, again)
        try:
            run = await client.runs.create(agent(model, *host.bindings()), "Go")
            assert (await asyncio.wait_for(client.runs.wait(run.id), 30)).state == "succeeded"
        finally:
            await loop.run_in_executor(None, second.stop)
    assert len(calls) == 1

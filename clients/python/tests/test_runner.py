"""The Runner through the real server."""

import asyncio
import threading
from typing import Any

import pytest
from pydantic import BaseModel
from upstream import Reply, Request, Upstream

from runwire import (
    Agent,
    AsyncClient,
    Client,
    InvalidArgument,
    MessageCompleted,
    RunFailed,
    Runner,
    RunUpdated,
    TextDelta,
    ToolCallUpdated,
    ToolContext,
    tool,
)


def weather(city: str) -> str:
    """Say the weather in a city."""
    return f"{city}: sun"


def guide(model: str, *tools: Any, **more: Any) -> Agent:
    return Agent(name="guide", model=model, tools=tools, **more)


async def test_a_text_is_one_user_message_and_the_result_says_what_came_of_it(
    client: AsyncClient, upstream: Upstream
) -> None:
    model = upstream.play(Reply("Hello."))
    result = await Runner.run(guide(model), "Hi", client=client)
    assert (result.final_output, result.status, result.finish_reason) == ("Hello.", "completed", "stop")
    assert result.messages == [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    assert result.new_items == result.messages[1:]
    assert result.run_id.startswith("run_")
    assert (result.usage.input_tokens, result.usage.output_tokens) == (7, 5)
    assert len(upstream.requests(model)) == 1


async def test_instructions_come_first_once(client: AsyncClient, upstream: Upstream) -> None:
    model = upstream.play(Reply(calls=[("weather", '{"city": "Oslo"}')]), Reply("Sun."))
    await Runner.run(guide(model, weather, instructions="Be brief."), "Hi", client=client)
    for request in upstream.requests(model):
        assert [m["role"] for m in request["messages"]].count("system") == 1
        assert request["messages"][0] == {"role": "system", "content": "Be brief."}


async def test_settings_of_the_call_override_those_of_the_agent(
    client: AsyncClient, upstream: Upstream
) -> None:
    model = upstream.play(Reply("ok"))
    agent = guide(model, model_settings={"temperature": 0.5, "seed": 1})
    await Runner.run(agent, "Hi", client=client, temperature=0.25)
    assert (upstream.requests(model)[0]["temperature"], upstream.requests(model)[0]["seed"]) == (0.25, 1)


async def test_an_agent_is_what_it_was_when_it_was_made(client: AsyncClient, upstream: Upstream) -> None:
    model = upstream.play(Reply("ok"))
    settings, labels, fallbacks, tools = {"temperature": 0.5}, {"user": "7"}, [model], [weather]
    agent = guide(model, *tools, model_settings=settings, labels=labels, fallback_models=fallbacks)
    settings["temperature"], labels["user"] = 1.5, "8"
    fallbacks.append("nobody:x")
    result = await Runner.run(agent, "Hi", client=client)
    assert upstream.requests(model)[0]["temperature"] == 0.5
    assert result.run.labels == {"user": "7"}


def test_agents_share_no_defaults() -> None:
    first, second = guide("a:b"), guide("a:b")
    assert first.model_settings is not second.model_settings
    assert first.labels is not second.labels


async def test_tools_run_here_and_their_results_reach_the_model(
    client: AsyncClient, upstream: Upstream
) -> None:
    class Place(BaseModel):
        name: str

    def look(place: Place, days: int = 1) -> dict[str, Any]:
        return {"name": place.name, "days": days}

    model = upstream.play(Reply(calls=[("look", '{"place": {"name": "Oslo"}}')]), Reply("Done."))
    result = await Runner.run(guide(model, look), "Go", client=client)
    assert result.final_output == "Done."
    assert upstream.requests(model)[1]["messages"][-1]["content"] == '{"name":"Oslo","days":1}'
    assert [message["role"] for message in result.new_items] == ["assistant", "tool", "assistant"]
    kinds = [type(step).__name__ for step in result.steps]
    assert kinds == ["MessageCompleted", "ToolCallUpdated", "MessageCompleted", "MessageCompleted"]


async def test_a_result_goes_on_as_the_input_of_the_next_run(client: AsyncClient, upstream: Upstream) -> None:
    model = upstream.play(Reply("First."), Reply("Second."))
    first = await Runner.run(guide(model), "One", client=client)
    second = await Runner.run(
        guide(model), [*first.messages, {"role": "user", "content": "Two"}], client=client
    )
    assert second.final_output == "Second."
    assert [m["content"] for m in upstream.requests(model)[1]["messages"]] == ["One", "First.", "Two"]


async def test_the_calls_of_a_turn_run_at_once_and_return_in_their_order(
    client: AsyncClient, upstream: Upstream
) -> None:
    arrived = 0
    everyone = asyncio.Event()

    async def meet(name: str) -> str:
        nonlocal arrived
        arrived += 1
        if arrived == 8:
            everyone.set()
        await asyncio.wait_for(everyone.wait(), 10)
        return name

    calls = [("meet", f'{{"name": "n{index}"}}') for index in range(8)]
    model = upstream.play(Reply(calls=calls), Reply("All met."))
    result = await Runner.run(guide(model, meet), "Go", client=client)
    assert result.final_output == "All met."
    results = [m["content"] for m in upstream.requests(model)[1]["messages"] if m["role"] == "tool"]
    assert results == [f"n{index}" for index in range(8)]


async def test_blocking_tools_of_a_turn_run_at_once_too(client: AsyncClient, upstream: Upstream) -> None:
    barrier = threading.Barrier(4)

    def meet() -> str:
        barrier.wait(10)
        return "met"

    model = upstream.play(Reply(calls=[("meet", "{}")] * 4), Reply("All met."))
    assert (await Runner.run(guide(model, meet), "Go", client=client)).final_output == "All met."


async def test_many_runs_on_one_client_answer_their_own_questions(
    client: AsyncClient, upstream: Upstream
) -> None:
    model = upstream.model(lambda request: Reply(f"re {request['messages'][-1]['content']}"))
    results = await asyncio.gather(*(Runner.run(guide(model), f"q{i}", client=client) for i in range(20)))
    assert [result.final_output for result in results] == [f"re q{i}" for i in range(20)]


async def test_synchronous_and_asynchronous_runs_give_the_same(
    client: AsyncClient, upstream: Upstream
) -> None:
    model = upstream.play(Reply("Same."))
    waited = await Runner.run(guide(model), "Hi", client=client)
    blocked = Runner.run_sync(guide(model), "Hi", client=client)
    assert (waited.final_output, waited.messages) == (blocked.final_output, blocked.messages)


async def test_run_sync_works_inside_a_running_event_loop(
    client: AsyncClient, sync_client: Client, upstream: Upstream
) -> None:
    async def look(city: str) -> str:
        await asyncio.sleep(0)
        return f"{city}: sun"

    for each in (sync_client, client):
        model = upstream.play(Reply(calls=[("look", '{"city": "Oslo"}')]), Reply("Sun."))
        assert Runner.run_sync(guide(model, look), "Hi", client=each).final_output == "Sun."
        assert upstream.requests(model)[1]["messages"][-1]["content"] == "Oslo: sun"


def test_run_sync_needs_no_event_loop(sync_client: Client, upstream: Upstream) -> None:
    model = upstream.play(Reply(calls=[("weather", '{"city": "Oslo"}')]), Reply("Sun."))
    assert Runner.run_sync(guide(model, weather), "Hi", client=sync_client).final_output == "Sun."


async def test_tools_that_fail_are_told_to_the_model_and_the_run_goes_on(
    client: AsyncClient, upstream: Upstream
) -> None:
    def fail() -> None:
        raise LookupError("no such file")

    calls = [("fail", "{}"), ("nowhere", "{}"), ("weather", '{"city": 5}'), ("weather", "{broken")]
    model = upstream.play(Reply(calls=calls), Reply("Noted."))
    result = await Runner.run(guide(model, fail, weather), "Go", client=client)
    assert result.final_output == "Noted."
    told = [m["content"] for m in upstream.requests(model)[1]["messages"] if m["role"] == "tool"]
    assert "LookupError: no such file" in told[0]
    assert "no such tool" in told[1]
    assert len(told) == 4
    assert all("Traceback" not in text for text in told)
    assert [item["is_error"] for item in result.new_items if item["role"] == "tool"] == [True] * 4


async def test_turns_that_run_out_are_an_outcome(client: AsyncClient, upstream: Upstream) -> None:
    model = upstream.play(Reply(calls=[("weather", '{"city": "Oslo"}')]))
    result = await Runner.run(guide(model, weather), "Go", client=client, max_turns=2)
    assert (result.status, result.final_output) == ("max_turns_exceeded", None)
    assert result.error is not None
    assert result.error.reason == "MAX_TURNS_EXCEEDED"
    assert len(upstream.requests(model)) == 2
    assert [item["role"] for item in result.new_items] == ["assistant", "tool", "assistant", "tool"]


async def test_a_run_that_fails_raises_with_its_result(client: AsyncClient, upstream: Upstream) -> None:
    model = upstream.play(Reply(calls=[("weather", '{"city": "Oslo"}')]), Reply(status=401))
    with pytest.raises(RunFailed) as caught:
        await Runner.run(guide(model, weather), "Go", client=client)
    assert caught.value.reason == "PROVIDER_CREDENTIALS_REJECTED"
    assert caught.value.result.status == "failed"
    assert len(caught.value.result.new_items) == 2


async def test_an_agent_that_cannot_run_is_refused_before_it_runs(client: AsyncClient) -> None:
    with pytest.raises(ValueError, match="two tools are named 'weather'"):
        await Runner.run(guide("up:x", weather, weather), "Hi", client=client)
    with pytest.raises(InvalidArgument) as caught:
        await Runner.run(guide("nocolon"), "Hi", client=client)
    assert caught.value.reason == "MODEL_NAME_INVALID"


async def test_tool_choice_required_holds_until_the_first_call(
    client: AsyncClient, upstream: Upstream
) -> None:
    def script(request: Request) -> Reply:
        must = request.get("tool_choice") == "required"
        return Reply(calls=[("weather", '{"city": "Oslo"}')]) if must else Reply("Sun.")

    model = upstream.model(script)
    result = await Runner.run(guide(model, weather), "Go", client=client, tool_choice="required")
    assert result.final_output == "Sun."
    assert len(upstream.requests(model)) == 2


async def test_events_come_as_they_happen_and_the_result_last(
    client: AsyncClient, upstream: Upstream
) -> None:
    model = upstream.play(Reply(calls=[("weather", '{"city": "Oslo"}')]), Reply("Sunny in Oslo."))
    stream = Runner.stream(guide(model, weather), "Go", client=client)
    events = [event async for event in stream]
    result = await stream.result()
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert "Sunny in Oslo.".startswith(text)  # Deltas end with their message.
    states = [event.state for event in events if isinstance(event, ToolCallUpdated)]
    assert states[0] == "pending"
    assert states[-1] == "succeeded"
    assert isinstance(events[-1], RunUpdated)
    assert events[-1].run.state == "succeeded"
    assert str(result.final_output).split() == ["Sunny", "in", "Oslo."]
    sequences = [event.sequence for event in events]
    assert sequences == sorted(sequences)
    assert sum(isinstance(event, MessageCompleted) for event in events) == 3


async def test_the_text_of_a_run_comes_completely(client: AsyncClient, upstream: Upstream) -> None:
    model = upstream.play(Reply("Wait.", calls=[("weather", '{"city": "Oslo"}')]), Reply("one two three"))
    stream = Runner.stream(guide(model, weather), "Go", client=client)
    text = "".join([piece async for piece in stream.text()])
    assert text == "Wait.one two three"


def test_events_reach_synchronous_code(sync_client: Client, upstream: Upstream) -> None:
    events = list(Runner.stream_sync(guide(upstream.play(Reply("Hi there"))), "Go", client=sync_client))
    assert isinstance(events[-1], RunUpdated)
    assert str(events[-1].run.output).split() == ["Hi", "there"]


async def test_cancelling_the_task_stops_the_run_and_its_tools(
    client: AsyncClient, upstream: Upstream
) -> None:
    begun, stopped = asyncio.Event(), asyncio.Event()
    runs: list[str] = []

    async def forever(context: ToolContext) -> None:
        runs.append(context.run_id)
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    model = upstream.play(Reply(calls=[("forever", "{}")]))
    task = asyncio.ensure_future(Runner.run(guide(model, forever), "Go", client=client))
    await asyncio.wait_for(begun.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stopped.is_set()
    run = await asyncio.wait_for(client.runs.wait(runs[0]), 20)
    assert run.state == "cancelled"


async def test_a_run_cancelled_by_somebody_else_says_so_and_tells_its_tools(
    client: AsyncClient, upstream: Upstream
) -> None:
    begun, stopped = asyncio.Event(), asyncio.Event()
    runs: list[str] = []

    async def forever(context: ToolContext) -> None:
        runs.append(context.run_id)
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    model = upstream.play(Reply(calls=[("forever", "{}")]))
    task = asyncio.ensure_future(Runner.run(guide(model, forever), "Go", client=client))
    await asyncio.wait_for(begun.wait(), 10)
    await client.runs.cancel(runs[0], "enough")
    result = await asyncio.wait_for(task, 20)
    assert (result.status, result.run.cancel_reason) == ("cancelled", "enough")
    assert stopped.is_set()


async def test_a_tool_that_takes_too_long_is_told_to_the_model(
    client: AsyncClient, upstream: Upstream
) -> None:
    @tool(timeout=0.2)
    async def slow() -> None:
        await asyncio.Event().wait()

    model = upstream.play(Reply(calls=[("slow", "{}")]), Reply("Too slow."))
    result = await asyncio.wait_for(Runner.run(guide(model, slow), "Go", client=client), 20)
    assert result.final_output == "Too slow."
    assert "in time" in upstream.requests(model)[1]["messages"][-1]["content"]


async def test_a_thousand_runs_hold_their_calls_on_one_client(
    client: AsyncClient, upstream: Upstream
) -> None:
    count, arrived = 1000, 0
    everyone = asyncio.Event()

    async def meet() -> str:
        nonlocal arrived
        arrived += 1
        if arrived == count:
            everyone.set()
        await everyone.wait()
        return "met"

    agent = guide("script:tools-1", meet)
    runs = [Runner.run(agent, f"run {index}", client=client) for index in range(count)]
    results = await asyncio.wait_for(asyncio.gather(*runs), 240)
    assert [result.status for result in results] == ["completed"] * count

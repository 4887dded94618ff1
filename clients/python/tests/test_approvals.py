"""Approvals through the real server."""

import asyncio
from typing import Any

import pytest
from upstream import Reply, Upstream

from runwire import (
    Agent,
    AsyncClient,
    Client,
    FailedPrecondition,
    InputAnswered,
    InvalidArgument,
    Policy,
    PolicyDecided,
    PolicyRule,
    RequiredInput,
    Run,
    Runner,
    RunUpdated,
    ToolCallUpdated,
    ToolContext,
    tool,
)

PAYMENTS = Policy([PolicyRule(tool="pay", action="require_approval", reason="it costs money")])


@tool
def pay(amount: int) -> str:
    """Pay an amount."""
    return f"paid {amount}"


def agent(model: str) -> Agent:
    return Agent(name="clerk", model=model, tools=[pay])


def calling(upstream: Upstream, amount: int) -> str:
    return upstream.play(Reply(calls=[("pay", f'{{"amount": {amount}}}')]), Reply("Done."))


async def run_and_answer(client: AsyncClient, model: str, action: Any, **answer: Any) -> list[Any]:
    """Run to the end; whatever is asked gets this answer."""
    events: list[Any] = []
    async for event in Runner.stream(agent(model), "Pay.", client=client, policy=PAYMENTS, deltas=False):
        events.append(event)
        if isinstance(event, RunUpdated):
            for required in event.run.required_inputs:
                await client.runs.answer(event.run.id, required.id, action, **answer)
    return events


async def test_a_call_runs_once_it_is_approved(client: AsyncClient, upstream: Upstream) -> None:
    events = await run_and_answer(client, calling(upstream, 5), "accept")
    decided = next(event for event in events if isinstance(event, PolicyDecided))
    assert (decided.action, decided.source, decided.reason) == ("require_approval", "run", "it costs money")
    states = [event.run for event in events if isinstance(event, RunUpdated)]
    asking = next(run for run in states if run.required_inputs)
    assert asking.state == "input_required"
    (required,) = asking.required_inputs
    assert isinstance(required, RequiredInput)
    assert (required.kind, required.tool, required.arguments) == ("approval", "pay", {"amount": 5})
    answered = next(event for event in events if isinstance(event, InputAnswered))
    assert (answered.input_id, answered.action, answered.principal) == (required.id, "accept", "anonymous")
    call = [event for event in events if isinstance(event, ToolCallUpdated)][-1]
    assert (call.state, call.result) == ("succeeded", "paid 5")


async def test_a_call_runs_with_the_arguments_that_were_approved(
    client: AsyncClient, upstream: Upstream
) -> None:
    model = calling(upstream, 500)
    events = await run_and_answer(client, model, "accept", content={"amount": 50})
    call = [event for event in events if isinstance(event, ToolCallUpdated)][-1]
    assert call.result == "paid 50"
    told = upstream.requests(model)[-1]["messages"][-1]["content"]
    assert '{"amount": 50}' in str(told), "the model knows what was run"


async def test_a_declined_call_is_told_to_the_model(client: AsyncClient, upstream: Upstream) -> None:
    model = calling(upstream, 5)
    events = await run_and_answer(client, model, "decline", reason="not before Monday")
    call = [event for event in events if isinstance(event, ToolCallUpdated)][-1]
    assert (call.state, call.error.reason if call.error else "") == ("cancelled", "INPUT_DECLINED")
    assert "not before Monday" in str(upstream.requests(model)[-1]["messages"][-1]["content"])


async def test_who_does_not_watch_finds_and_answers_it(client: AsyncClient, upstream: Upstream) -> None:
    running = asyncio.ensure_future(
        Runner.run(
            agent(calling(upstream, 5)), "Pay.", client=client, policy=PAYMENTS, labels={"desk": "seven"}
        )
    )
    found: list[Run] = []
    while not found:
        await asyncio.sleep(0.01)
        waiting = client.runs.list(states=["input_required"], labels={"desk": "seven"})
        found = [run async for run in waiting]
    (required,) = found[0].required_inputs
    with pytest.raises(InvalidArgument) as wrong:
        await client.runs.answer(found[0].id, required.id, "accept", content={"amount": "much"})
    assert wrong.value.violations[0].field == "answers[0].content_json"
    await client.runs.answer(found[0].id, required.id, "accept")
    await client.runs.answer(found[0].id, required.id, "accept")
    with pytest.raises(FailedPrecondition) as late:
        await client.runs.answer(found[0].id, required.id, "decline")
    assert late.value.reason == "INPUT_ALREADY_ANSWERED"
    assert (await running).final_output == "Done."


def test_synchronous_code_answers_too(sync_client: Client, upstream: Upstream) -> None:
    denied = Policy(default="deny")
    result = Runner.run_sync(agent(calling(upstream, 5)), "Pay.", client=sync_client, policy=denied)
    assert result.final_output == "Done."
    with pytest.raises(ValueError, match="action"):
        sync_client.runs.answer(result.run_id, "in_7", "maybe")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="action"):
        Policy(default="perhaps").to_proto()  # type: ignore[arg-type]


@tool
async def book(room: str, context: ToolContext) -> str:
    """Book a room."""
    days = await context.ask(f"How many days in {room}?", {"type": "integer"})
    sure = await context.ask(f"{days} days: sure?")
    return f"{room} for {days} days: {sure}"


@tool
def book_in_a_thread(room: str, context: ToolContext) -> str:
    """Book a room."""
    return f"{room}: {context.ask_sync('Which floor?')}"


async def ask_and_answer(client: AsyncClient, model: str, answers: list[Any]) -> list[Any]:
    """Run to the end; what is asked gets one answer after the other."""
    events: list[Any] = []
    seen: set[str] = set()
    desk = Agent(name="desk", model=model, tools=[book, book_in_a_thread])
    async for event in Runner.stream(desk, "Book.", client=client, deltas=False):
        events.append(event)
        if not isinstance(event, RunUpdated):
            continue
        for required in event.run.required_inputs:
            if required.id not in seen:
                seen.add(required.id)
                action, more = answers.pop(0)
                await client.runs.answer(event.run.id, required.id, action, **more)
    return events


def last_call(events: list[Any]) -> ToolCallUpdated:
    return [event for event in events if isinstance(event, ToolCallUpdated)][-1]


async def test_a_tool_asks_and_goes_on_with_the_answers(client: AsyncClient, upstream: Upstream) -> None:
    model = upstream.play(Reply(calls=[("book", '{"room": "7"}')]), Reply("Done."))
    events = await ask_and_answer(client, model, [("accept", {"content": 3}), ("accept", {"content": "yes"})])
    asked = [e.run.required_inputs[0] for e in events if isinstance(e, RunUpdated) and e.run.required_inputs]
    assert (asked[0].kind, asked[0].question, asked[0].schema) == (
        "question",
        "How many days in 7?",
        {"type": "integer"},
    )
    assert last_call(events).result == "7 for 3 days: yes"


async def test_a_tool_in_a_thread_asks_too(client: AsyncClient, upstream: Upstream) -> None:
    model = upstream.play(Reply(calls=[("book_in_a_thread", '{"room": "7"}')]), Reply("Done."))
    events = await ask_and_answer(client, model, [("accept", {"content": "second"})])
    assert last_call(events).result == "7: second"


async def test_a_declined_question_is_an_error_that_the_model_is_told(
    client: AsyncClient, upstream: Upstream
) -> None:
    model = upstream.play(Reply(calls=[("book", '{"room": "7"}')]), Reply("Done."))
    events = await ask_and_answer(client, model, [("decline", {"reason": "it is closed"})])
    call = last_call(events)
    assert (call.is_error, call.result) == (True, "it is closed")

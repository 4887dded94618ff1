"""The cases that all clients have in common: clients/conformance."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runwire import Agent, AsyncClient, RunFailed, Runner, RunwireError
from runwire.completion import Completion

CASES = json.loads((Path(__file__).parents[2] / "conformance" / "cases.json").read_text())


def get_weather(city: str) -> str:
    """Say the weather in a city."""
    return f"{city}: sun"


def echo(value: int) -> int:
    """Say it again."""
    return value


def fail() -> None:
    """Fail."""
    raise LookupError("no such file")


TOOLS: dict[str, Callable[..., Any]] = {"get_weather": get_weather, "echo": echo, "fail": fail}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
async def test_case(case: dict[str, Any], client: AsyncClient) -> None:
    try:
        seen = await ACTIONS[case["do"]](case, client)
    except RunwireError as error:
        seen = _error(error)
    expect = dict(case["expect"])
    for part in expect.pop("text_has", []):
        assert part in seen["text"]
    for part, result in zip(expect.pop("results_have", []), seen.get("results", []), strict=False):
        assert part in result
    assert {key: seen.get(key) for key in expect} == expect


async def _complete(case: dict[str, Any], client: AsyncClient) -> dict[str, Any]:
    return _completion(await client.complete(case["model"], case["input"], **_arguments(case)))


async def _stream(case: dict[str, Any], client: AsyncClient) -> dict[str, Any]:
    stream = await client.stream(case["model"], case["input"], **_arguments(case))
    text = "".join([piece async for piece in stream.text()])
    assert text == stream.completion.text
    return _completion(stream.completion)


async def _run(case: dict[str, Any], client: AsyncClient) -> dict[str, Any]:
    agent = Agent(name="case", model=case["model"], tools=[TOOLS[name] for name in case.get("tools", [])])
    arguments = {**case.get("options", {}), "max_turns": case.get("max_turns")}
    try:
        result = await Runner.run(agent, case["input"], client=client, **arguments)
    except RunFailed as failed:
        result = failed.result
    tools = [item for item in result.new_items if item["role"] == "tool"]
    calls = [call for item in result.new_items for call in item.get("tool_calls", [])]
    return {
        "text": result.final_output,
        "status": result.status,
        "turns": result.run.turn_count,
        "calls": [call["function"]["name"] for call in calls],
        "results": [item["content"] for item in tools],
        "errors": [item.get("is_error", False) for item in tools],
        "finish_reason": result.finish_reason,
        **(_error(result.error) if result.error else {}),
    }


def _arguments(case: dict[str, Any]) -> dict[str, Any]:
    return {**case.get("options", {}), "tools": [TOOLS[name] for name in case.get("tools", [])]}


def _completion(completion: Completion) -> dict[str, Any]:
    return {
        "text": completion.text,
        "finish_reason": completion.finish_reason,
        "calls": [call.name for call in completion.tool_calls],
    }


def _error(error: RunwireError) -> dict[str, Any]:
    cause = error.__cause__ if isinstance(error, RunFailed) else error
    return {"code": getattr(cause, "code", error.code).name, "reason": error.reason}


ACTIONS = {"complete": _complete, "stream": _stream, "run": _run}

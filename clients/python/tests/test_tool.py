"""Calling tools: threads, results, errors."""

import asyncio
import contextvars
import threading
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from runwire import Media, Tool, ToolContext, ToolError, tool
from runwire.threads import Threads
from runwire.tool import as_tool, distinct


async def call(function: Any, arguments: str = "{}", threads: Threads | None = None) -> list[Any]:
    return await as_tool(function).invoke(arguments, ToolContext(call_id="call_1"), threads or Threads(4))


async def text(function: Any, arguments: str = "{}") -> str:
    [part] = await call(function, arguments)
    return str(part.text)


async def test_a_synchronous_tool_runs_off_the_event_loop() -> None:
    def where() -> bool:
        return threading.current_thread() is threading.main_thread()

    assert await text(where) == "false"


async def test_an_asynchronous_tool_runs_on_the_event_loop() -> None:
    async def where() -> bool:
        return threading.current_thread() is threading.main_thread()

    assert await text(where) == "true"


async def test_an_object_with_an_asynchronous_call_is_awaited() -> None:
    class Greeter:
        async def __call__(self, name: str) -> str:
            await asyncio.sleep(0)
            return f"hello {name}"

    assert await text(Greeter(), '{"name": "Ada"}') == "hello Ada"


async def test_a_function_that_returns_an_awaitable_is_awaited() -> None:
    async def later() -> str:
        return "later"

    assert await text(lambda: later()) == "later"


async def test_context_variables_reach_the_thread() -> None:
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user")
    user.set("Ada")

    def who() -> str:
        return user.get()

    assert await text(who) == "Ada"


async def test_texts_stay_as_they_are_and_all_else_is_json() -> None:
    class City(BaseModel):
        name: str

    @dataclass
    class Pair:
        a: int
        b: float

    results: list[tuple[Any, str]] = [
        ('say "hi"', 'say "hi"'),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        (City(name="Ñ"), '{"name":"Ñ"}'),
        (Pair(1, 2.5), '{"a":1,"b":2.5}'),
        (9007199254740993, "9007199254740993"),
        (None, "null"),
        (True, "true"),
    ]
    for result, expected in results:
        returned = Tool.from_function(_constant(result))
        assert await text(returned) == expected


def _constant(value: Any) -> Any:
    def constant() -> Any:
        return value

    return constant


async def test_media_reach_the_model_as_media() -> None:
    image = Media("image/png", data=b"\x89PNG")
    first, second = await call(_constant(["a chart", image]))
    assert first.text == "a chart"
    assert (second.media.media_type, second.media.data) == ("image/png", b"\x89PNG")


async def test_a_result_that_is_no_json_is_told_to_the_model_without_its_value() -> None:
    with pytest.raises(ToolError, match="is not JSON"):
        await call(_constant(object()))


async def test_wrong_arguments_are_told_to_the_model_with_the_tools_name() -> None:
    def act(days: int) -> int:
        return days

    with pytest.raises(ToolError, match="invalid arguments for tool 'act': days"):
        await call(act, '{"days": "x"}')


async def test_models_arrive_as_models_and_the_context_is_injected() -> None:
    class Point(BaseModel):
        x: int

    def act(point: Point, /, context: ToolContext, *, scale: int = 2) -> str:
        return f"{point.x * scale} {context.call_id}"

    assert await text(act, '{"point": {"x": 3}}') == "6 call_1"


async def test_many_blocking_tools_run_at_once_up_to_the_limit() -> None:
    threads = Threads(3)
    gate = threading.Barrier(3)

    def meet() -> str:
        gate.wait(5)
        return "met"

    assert await asyncio.gather(*(call(meet, threads=threads) for _ in range(6)))


async def test_threads_are_used_again() -> None:
    threads = Threads(8)
    names = set()
    for _ in range(20):
        names.add(await threads.submit(threading.get_ident))
        await asyncio.sleep(0.001)
    assert len(names) <= 2


async def test_what_a_thread_raises_arrives_and_a_stop_iteration_ends_nothing() -> None:
    threads = Threads(1)

    def stop() -> None:
        raise StopIteration("no more")

    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(RuntimeError, match="no more"):
        await threads.submit(stop)
    with pytest.raises(SystemExit):
        await threads.submit(leave)
    assert await threads.submit(lambda: 1) == 1


def test_a_decorated_function_is_still_a_function() -> None:
    @tool
    def double(n: int) -> int:
        """Double it."""
        return 2 * n

    assert double(4) == 8
    assert double.name == "double"
    assert not double.may_redeliver


def test_annotations_and_names_reach_the_definition() -> None:
    @tool(name="files.read", description="Reads.", version="2", read_only=True, idempotent=True)
    def read(path: str) -> str:
        return path

    definition = read.to_proto()
    assert (definition.name, definition.description, definition.version) == ("files.read", "Reads.", "2")
    assert (definition.annotations.read_only, definition.annotations.idempotent) == (True, True)
    assert not definition.annotations.destructive
    assert read.may_redeliver


def test_two_tools_of_one_name_are_refused() -> None:
    def act() -> None: ...

    with pytest.raises(ValueError, match="two tools are named 'act'"):
        distinct([as_tool(act), as_tool(act)])


def test_the_time_left_never_falls_below_zero() -> None:
    assert ToolContext(call_id="c", timeout=-5).time_left == 0.0
    assert ToolContext(call_id="c").time_left is None


def test_the_keys_of_a_schema_keep_their_order_on_the_wire() -> None:
    def act(zebra: int, apple: int, mango: int) -> None: ...

    text = as_tool(act).to_proto().input_schema_json
    assert text.index("zebra") < text.index("apple") < text.index("mango")

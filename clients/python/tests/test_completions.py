"""Completions through the real server."""

import asyncio
import copy
import json
import threading
from typing import Any

import pytest
from conftest import Server
from upstream import Reply, Upstream

from runwire import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    TextDelta,
    ToolCallDelta,
    Unavailable,
)

SCHEMA = {
    "type": "function",
    "function": {
        "name": "lookup",
        "description": "Look it up.",
        "parameters": {
            "type": "object",
            "properties": {"zebra": {"type": "string"}, "apple": {"type": "integer"}},
        },
    },
}


def weather(city: str) -> str:
    """Say the weather."""
    return f"{city}: sun"


async def test_a_question_is_answered(client: AsyncClient, upstream: Upstream) -> None:
    model = upstream.play(Reply("Hello.", reasoning="They greet."))
    answer = await client.complete(model, "Hi", temperature=0.5, seed=3)
    assert (answer.text, answer.reasoning, answer.finish_reason) == ("Hello.", "They greet.", "stop")
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (7, 5, 12)
    [request] = upstream.requests(model)
    assert request["messages"] == [{"role": "user", "content": "Hi"}]
    assert (request["temperature"], request["seed"]) == (0.5, 3)


async def test_tools_are_offered_as_given_and_their_calls_returned_not_run(
    client: AsyncClient, upstream: Upstream
) -> None:
    model = upstream.play(Reply(calls=[("lookup", '{"zebra": "z", "apple": 9007199254740993}')]))
    answer = await client.complete(model, "Go", tools=[SCHEMA, weather])
    [call] = answer.tool_calls
    assert (call.name, call.arguments) == ("lookup", '{"zebra": "z", "apple": 9007199254740993}')
    assert answer.finish_reason == "tool_calls"
    first, second = upstream.requests(model)[0]["tools"]
    assert first["function"] == SCHEMA["function"]
    assert second["function"]["name"] == "weather"


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"type": "object"},
        {"type": "object", "properties": {"q": {"type": "string", "format": "uri", "minLength": 3}}},
        {
            "type": "object",
            "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9007199254740993}},
        },
        {"type": "object", "properties": {"unit": {"enum": ["C", "F", None]}}, "required": ["unit"]},
        {
            "type": "object",
            "properties": {
                "rows": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
                },
                "where": {"type": "object", "properties": {"deep": {"type": "object", "properties": {}}}},
            },
            "additionalProperties": False,
        },
    ],
    ids=["empty", "plain", "formats", "bounds", "enums", "nested"],
)
async def test_a_given_schema_reaches_the_provider_as_it_is(
    parameters: dict[str, Any], client: AsyncClient, upstream: Upstream
) -> None:
    given = {"type": "function", "function": {"name": "given", "description": "d", "parameters": parameters}}
    before = copy.deepcopy(given)
    model = upstream.play(Reply("ok"))
    await client.complete(model, "Go", tools=[given, weather])
    assert given == before
    first, second = upstream.requests(model)[0]["tools"]
    assert json.dumps(first["function"]["parameters"]) == json.dumps(parameters)
    assert second["function"]["name"] == "weather"


async def test_an_answer_comes_in_pieces_and_then_whole(client: AsyncClient, upstream: Upstream) -> None:
    model = upstream.play(Reply("one two three", calls=[("weather", '{"city": "Oslo"}')]))
    stream = await client.stream(model, "Count", tools=[weather])
    deltas = [delta async for delta in stream]
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)).split() == [
        "one",
        "two",
        "three",
    ]
    fragments = [delta for delta in deltas if isinstance(delta, ToolCallDelta)]
    assert fragments[0].name == "weather"
    assert "".join(fragment.arguments for fragment in fragments) == '{"city": "Oslo"}'
    assert stream.completion.text.split() == ["one", "two", "three"]
    assert stream.completion.tool_calls[0].arguments == '{"city": "Oslo"}'
    assert stream.completion.usage.total_tokens == 12


async def test_a_stream_that_breaks_raises_after_what_came_before(
    client: AsyncClient, upstream: Upstream
) -> None:
    stream = await client.stream(upstream.play(Reply("half an", broken=True)), "Go")
    seen: list[str] = []
    with pytest.raises(Unavailable) as caught:
        async for text in stream.text():
            seen.append(text)
    assert "".join(seen).split() == ["half", "an"]
    assert caught.value.reason == "PROVIDER_STREAM_BROKEN"


async def test_a_conversation_goes_on_with_the_answer_appended(
    client: AsyncClient, upstream: Upstream
) -> None:
    model = upstream.play(Reply(calls=[("weather", '{"city":"Oslo"}')]), Reply("Sunny."))
    messages = [{"role": "user", "content": "Weather?"}]
    first = await client.complete(model, messages, tools=[weather])
    result = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "sun"}
    second = await client.complete(model, [*messages, first.message, result], tools=[weather])
    assert second.text == "Sunny."
    sent = upstream.requests(model)[1]["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool"]
    assert sent[2]["tool_call_id"] == sent[1]["tool_calls"][0]["id"]
    assert sent[2]["content"] == "sun"


async def test_errors_are_typed_and_say_why(client: AsyncClient, upstream: Upstream) -> None:
    with pytest.raises(InvalidArgument) as nameless:
        await client.complete("nocolon", "Hi")
    assert nameless.value.reason == "MODEL_NAME_INVALID"
    assert isinstance(nameless.value, ValueError)
    with pytest.raises(NotFound) as unknown:
        await client.complete("nobody:x", "Hi")
    assert unknown.value.reason == "PROVIDER_NOT_FOUND"
    with pytest.raises(NotFound) as missing:
        await client.complete("up:none", "Hi")
    assert missing.value.reason == "MODEL_NOT_FOUND"
    with pytest.raises(FailedPrecondition) as rejected:
        await client.complete(upstream.play(Reply(status=401)), "Hi")
    assert rejected.value.reason == "PROVIDER_CREDENTIALS_REJECTED"
    with pytest.raises(InvalidArgument) as empty:
        await client.complete("up:x", [])
    assert empty.value.violations
    assert empty.value.violations[0].field == "params.messages"


async def test_a_rate_limit_says_how_long_to_wait(client: AsyncClient, upstream: Upstream) -> None:
    model = upstream.play(Reply(status=429, headers={"retry-after": "60"}))
    with pytest.raises(ResourceExhausted) as caught:
        await client.complete(model, "Hi")
    assert caught.value.reason == "PROVIDER_RATE_LIMITED"
    assert caught.value.retry_delay is not None
    assert 50 <= caught.value.retry_delay <= 60


async def test_a_timeout_is_the_whole_budget(client: AsyncClient, upstream: Upstream) -> None:
    gate = threading.Event()
    with pytest.raises(DeadlineExceeded):
        await client.complete(upstream.play(Reply("late", gate=gate)), "Hi", timeout=0.3)
    gate.set()


async def test_a_fallback_answers_when_the_model_cannot(client: AsyncClient, upstream: Upstream) -> None:
    broken, working = upstream.play(Reply(status=503)), upstream.play(Reply("Here."))
    answer = await client.complete(broken, "Hi", fallback_models=[working])
    assert (answer.text, answer.model) == ("Here.", working)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    async with AsyncClient("127.0.0.1:9") as client:
        with pytest.raises(Unavailable):
            await client.complete("up:x", "Hi", timeout=5)


def test_synchronous_code_gets_the_same(sync_client: Client, upstream: Upstream) -> None:
    model = upstream.play(Reply("one two"))
    assert sync_client.complete(model, "Hi").text == "one two"
    stream = sync_client.stream(model, "Hi")
    assert "".join(stream.text()).split() == ["one", "two"]
    assert stream.completion.text.split() == ["one", "two"]
    with pytest.raises(InvalidArgument):
        sync_client.complete("nocolon", "Hi")


async def test_a_synchronous_call_works_inside_a_running_event_loop(
    sync_client: Client, upstream: Upstream
) -> None:
    assert sync_client.complete(upstream.play(Reply("yes")), "Hi").text == "yes"


def test_one_client_serves_several_event_loops(server: Server, upstream: Upstream) -> None:
    client, model = AsyncClient(server.address), upstream.play(Reply("again"))

    async def ask() -> str:
        answer = await client.complete(model, "Hi")
        await client.aclose()
        return answer.text

    assert [asyncio.run(ask()) for _ in range(3)] == ["again"] * 3


async def test_two_clients_share_no_settings(server: Server) -> None:
    with_token, without = AsyncClient(server.address, token="secret"), AsyncClient(server.address)
    assert with_token.transport.metadata == (("authorization", "Bearer secret"),)
    assert without.transport.metadata == ()
    assert "secret" not in repr(with_token.transport)


async def test_models_are_listed_and_providers_that_fail_are_named(client: AsyncClient) -> None:
    models = await client.models()
    assert all(model.id.startswith(f"{model.provider}:") for model in models)
    assert "up" in models.unavailable


async def test_leaving_a_stream_early_ends_the_call(client: AsyncClient) -> None:
    async with await client.stream("script:slow-3000", "Hi") as stream:
        async for _ in stream:
            break
    assert stream._call.cancelled()


def test_leaving_a_synchronous_stream_early_ends_the_call(sync_client: Client) -> None:
    with sync_client.stream("script:slow-3000", "Hi") as stream:
        for _ in stream:
            break
    assert stream._stream._call.cancelled()

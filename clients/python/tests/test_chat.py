"""``client.chat.completions``: OpenAI's names over any provider."""

import asyncio
import json
import threading
from typing import Any

import pytest
from conftest import PROVIDERS
from upstream import Reply, Upstream

from runwire import AsyncClient, Client, NotFound, RunwireError, ToolContext, Unavailable
from runwire.openai_shape import ChatCompletionChunk

QUESTION = [{"role": "user", "content": "Weather in Oslo?"}]
SCHEMA = {
    "type": "function",
    "function": {"name": "lookup", "description": "d", "parameters": {"type": "object"}},
}


def weather(city: str) -> str:
    """Say the weather in a city."""
    return f"{city}: sun"


def test_a_model_answers_in_openais_shape(sync_client: Client, upstream: Upstream) -> None:
    model = upstream.play(Reply("Sun.", reasoning="Look out."))
    response = sync_client.chat.completions.create(model=model, messages=QUESTION)
    assert response.choices[0].message.content == "Sun."
    assert response.choices[0].message.reasoning_content == "Look out."
    assert response.choices[0].finish_reason == "stop"
    assert response.choices[0].message.tool_calls is None
    assert (response.usage.prompt_tokens, response.usage.completion_tokens, response.usage.total_tokens) == (
        7,
        5,
        12,
    )
    assert upstream.requests(model)[0]["messages"] == QUESTION


def test_a_leading_think_block_becomes_reasoning(sync_client: Client, upstream: Upstream) -> None:
    model = upstream.play(Reply("<think>Look out.</think>Sun."))
    message = sync_client.chat.completions.create(model=model, messages=QUESTION).choices[0].message
    assert (message.reasoning_content, message.content) == ("Look out.", "Sun.")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_stands_before_the_colon_is_the_provider(
    provider: str, sync_client: Client, upstream: Upstream
) -> None:
    name = upstream.play(Reply(f"from {provider}")).removeprefix("up:")
    response = sync_client.chat.completions.create(model=f"{provider}:{name}", messages=QUESTION)
    assert response.choices[0].message.content == f"from {provider}"
    [request] = upstream.requests(f"up:{name}")
    assert (request["model"], request["messages"]) == (name, QUESTION)


async def test_a_local_model_drives_a_whole_round_of_tools(client: AsyncClient, upstream: Upstream) -> None:
    name = upstream.play(
        Reply(calls=[("weather", '{"city": "Oslo"}')]), Reply("Sunny in Oslo.")
    ).removeprefix("up:")
    response = await client.chat.completions.acreate(
        model=f"ollama:{name}", messages=QUESTION, tools=[weather], max_turns=2
    )
    assert response.choices[0].message.content == "Sunny in Oslo."
    assert upstream.requests(f"up:{name}")[1]["messages"][-1]["content"] == "Oslo: sun"


async def test_an_unknown_provider_is_named_with_those_there_are(client: AsyncClient) -> None:
    with pytest.raises(NotFound, match="openai") as caught:
        await client.chat.completions.acreate(model="nobody:x", messages=QUESTION)
    assert caught.value.metadata["provider"] == "nobody"


async def test_without_tools_the_model_is_asked_once(client: AsyncClient, upstream: Upstream) -> None:
    model = upstream.play(Reply("Sun."))
    response = await client.chat.completions.acreate(
        model=model, messages=QUESTION, max_turns=3, stream=False
    )
    assert response.choices[0].message.content == "Sun."
    [request] = upstream.requests(model)
    assert not request.get("stream")


async def test_one_tool_and_two_turns_make_two_model_calls(client: AsyncClient, upstream: Upstream) -> None:
    model = upstream.play(Reply(calls=[("weather", '{"city": "Oslo"}')]), Reply("Sunny in Oslo."))
    response = await client.chat.completions.acreate(
        model=model, messages=QUESTION, tools=[weather], max_turns=2
    )
    assert response.choices[0].message.content == "Sunny in Oslo."
    assert response.status == "completed"
    first, second = upstream.requests(model)
    assert [tool["function"]["name"] for tool in first["tools"]] == ["weather"]
    assert second["messages"][-1]["role"] == "tool"
    assert second["messages"][-1]["content"] == "Oslo: sun"
    assert second["messages"][-1]["tool_call_id"] == second["messages"][-2]["tool_calls"][0]["id"]
    [intermediate] = response.intermediate_responses
    assert intermediate.choices[0].finish_reason == "tool_calls"
    messages = response.choices[0].intermediate_messages
    assert [message["role"] for message in messages] == ["assistant", "tool", "assistant"]
    assert (messages[1]["name"], messages[1]["content"]) == ("weather", "Oslo: sun")


async def test_the_intermediate_messages_continue_the_conversation(
    client: AsyncClient, upstream: Upstream
) -> None:
    model = upstream.play(Reply(calls=[("weather", '{"city": "Oslo"}')]), Reply("Sunny."), Reply("Bye."))
    create = client.chat.completions.acreate
    first = await create(model=model, messages=QUESTION, tools=[weather], max_turns=2)
    messages = [*QUESTION, *first.choices[0].intermediate_messages, {"role": "user", "content": "Thanks"}]
    assert (await create(model=model, messages=messages)).choices[0].message.content == "Bye."
    roles = [message["role"] for message in upstream.requests(model)[2]["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]


async def test_turns_that_run_out_return_the_last_answer_and_say_so(
    client: AsyncClient, upstream: Upstream
) -> None:
    model = upstream.play(Reply(calls=[("weather", '{"city": "Oslo"}')]))
    response = await client.chat.completions.acreate(
        model=model, messages=QUESTION, tools=[weather], max_turns=1
    )
    assert response.status == "max_turns_exceeded"
    assert response.choices[0].message.tool_calls is not None
    assert response.choices[0].message.tool_calls[0].function.name == "weather"
    assert response.intermediate_responses == []
    assert [m["role"] for m in response.choices[0].intermediate_messages] == ["assistant", "tool"]
    assert len(upstream.requests(model)) == 1


async def test_an_asynchronous_tool_is_awaited(client: AsyncClient, upstream: Upstream) -> None:
    async def look(city: str) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"city": city}

    model = upstream.play(Reply(calls=[("look", '{"city": "Oslo"}')]), Reply("Done."))
    response = await client.chat.completions.acreate(
        model=model, messages=QUESTION, tools=[look], max_turns=2
    )
    assert response.choices[0].message.content == "Done."
    assert json.loads(upstream.requests(model)[1]["messages"][-1]["content"]) == {"city": "Oslo"}


def test_synchronous_code_runs_the_loop_and_its_tools_in_threads(
    sync_client: Client, upstream: Upstream
) -> None:
    threads: list[threading.Thread] = []

    def look(city: str, context: ToolContext) -> str:
        threads.append(threading.current_thread())
        return city

    model = upstream.play(Reply(calls=[("look", '{"city": "Oslo"}')]), Reply("Done."))
    response = sync_client.chat.completions.create(model=model, messages=QUESTION, tools=[look], max_turns=2)
    assert response.choices[0].message.content == "Done."
    assert threads[0] is not threading.main_thread()


async def test_manual_mode_passes_dictionaries_untouched_and_describes_functions(
    client: AsyncClient, upstream: Upstream
) -> None:
    model = upstream.play(Reply(calls=[("weather", "{}")]))
    response = await client.chat.completions.acreate(model=model, messages=QUESTION, tools=[SCHEMA, weather])
    calls = response.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].function.name == "weather"
    first, second = upstream.requests(model)[0]["tools"]
    assert first == SCHEMA
    assert second["function"]["name"] == "weather"


async def test_an_empty_list_of_tools_offers_none(client: AsyncClient, upstream: Upstream) -> None:
    model = upstream.play(Reply("Sun."))
    await client.chat.completions.acreate(model=model, messages=QUESTION, tools=[])
    assert "tools" not in upstream.requests(model)[0]


def test_the_loop_needs_functions(sync_client: Client) -> None:
    with pytest.raises(ValueError, match="not callable"):
        sync_client.chat.completions.create(model="up:x", messages=QUESTION, tools=[SCHEMA], max_turns=2)


def test_the_loop_needs_a_turn(sync_client: Client) -> None:
    with pytest.raises(ValueError, match="max_turns"):
        sync_client.chat.completions.create(model="up:x", messages=QUESTION, tools=[weather], max_turns=0)


async def test_a_stream_takes_no_turns_and_says_so_at_once(client: AsyncClient, sync_client: Client) -> None:
    with pytest.raises(ValueError, match="max_turns"):
        sync_client.chat.completions.create(model="up:x", messages=QUESTION, stream=True, max_turns=2)
    with pytest.raises(ValueError, match="max_turns"):
        await client.chat.completions.acreate(model="up:x", messages=QUESTION, stream=True, max_turns=2)


def test_mcp_dictionaries_are_refused_by_name(sync_client: Client) -> None:
    with pytest.raises(ValueError, match="MCP"):
        sync_client.chat.completions.create(
            model="up:x", messages=QUESTION, tools=[{"type": "mcp", "name": "fs"}], stream=True
        )


def test_a_model_without_a_colon_is_refused(sync_client: Client) -> None:
    with pytest.raises(ValueError, match="provider:model"):
        sync_client.chat.completions.create(model="gpt", messages=QUESTION)


async def test_awaiting_a_stream_gives_chunks_in_order(client: AsyncClient, upstream: Upstream) -> None:
    model = upstream.play(Reply("one two three", reasoning="hm"))
    chunks = [
        chunk
        async for chunk in await client.chat.completions.acreate(
            model=model, messages=QUESTION, stream=True, temperature=0.5
        )
    ]
    check_chunks(chunks)
    assert upstream.requests(model)[0]["temperature"] == 0.5


def test_synchronous_code_streams_too(sync_client: Client, upstream: Upstream) -> None:
    model = upstream.play(Reply("one two three", reasoning="hm"))
    check_chunks(list(sync_client.chat.completions.create(model=model, messages=QUESTION, stream=True)))


def check_chunks(chunks: list[ChatCompletionChunk]) -> None:
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text.split() == ["one", "two", "three"]
    assert "".join(chunk.choices[0].delta.reasoning_content or "" for chunk in chunks) == "hm"
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    last = chunks[-1]
    assert last.choices[0].finish_reason == "stop"
    assert last.usage is not None
    assert last.usage.total_tokens == 12
    assert last.message is not None
    assert str(last.message.content).split() == ["one", "two", "three"]


async def test_streamed_calls_are_put_together_by_index(client: AsyncClient, upstream: Upstream) -> None:
    model = upstream.play(
        Reply("Let me see", calls=[("weather", '{"city": "Oslo"}'), ("weather", '{"city": "Rome"}')])
    )
    arguments, names = {0: "", 1: ""}, {}
    async for chunk in await client.chat.completions.acreate(
        model=model, messages=QUESTION, tools=[SCHEMA, weather], stream=True
    ):
        for call in chunk.choices[0].delta.tool_calls or ():
            arguments[call.index] += call.function.arguments
            if call.id:
                names[call.index] = call.function.name
    assert arguments == {0: '{"city": "Oslo"}', 1: '{"city": "Rome"}'}
    assert names == {0: "weather", 1: "weather"}
    assert upstream.requests(model)[0]["tools"][0] == SCHEMA


async def test_a_stream_that_breaks_raises_after_the_chunks_before(
    client: AsyncClient, upstream: Upstream
) -> None:
    stream = await client.chat.completions.acreate(
        model=upstream.play(Reply("half", broken=True)), messages=QUESTION, stream=True
    )
    seen = []
    with pytest.raises(Unavailable):
        async for chunk in stream:
            seen.append(chunk.choices[0].delta.content)
    assert seen[-1] == "half"


async def test_a_stream_that_cannot_begin_raises_its_typed_error(
    client: AsyncClient, sync_client: Client, upstream: Upstream
) -> None:
    model = upstream.play(Reply(status=401))
    with pytest.raises(RunwireError) as caught:
        async for _ in await client.chat.completions.acreate(model=model, messages=QUESTION, stream=True):
            pass
    assert caught.value.reason == "PROVIDER_CREDENTIALS_REJECTED"
    with pytest.raises(RunwireError, match="PROVIDER_CREDENTIALS_REJECTED"):
        list(sync_client.chat.completions.create(model=model, messages=QUESTION, stream=True))


async def test_a_provider_that_fails_in_the_loop_raises_its_typed_error(
    client: AsyncClient, upstream: Upstream
) -> None:
    model = upstream.play(Reply(calls=[("weather", '{"city": "Oslo"}')]), Reply(status=401))
    with pytest.raises(RunwireError) as caught:
        await client.chat.completions.acreate(model=model, messages=QUESTION, tools=[weather], max_turns=3)
    assert caught.value.reason == "PROVIDER_CREDENTIALS_REJECTED"


async def test_an_answer_can_be_appended_as_it_is(client: AsyncClient, upstream: Upstream) -> None:
    model = upstream.play(Reply("Sun."), Reply("Bye."))
    first = await client.chat.completions.acreate(model=model, messages=QUESTION)
    messages: list[Any] = [*QUESTION, first.choices[0].message, {"role": "user", "content": "Thanks"}]
    await client.chat.completions.acreate(model=model, messages=messages)
    assert upstream.requests(model)[1]["messages"][1]["content"] == "Sun."

"""An agent whose tool is a function of this process.

    RUNWIRE_SERVER=127.0.0.1:50051 python examples/demo/main.py ["a question"]

Runs on OpenAI when OPENAI_API_KEY is set (the server needs it, too), else on a model of a local Ollama that
answers, else on the server's built-in script.
"""

import asyncio
import os
import sys

from runwire import Agent, AsyncClient, MessageCompleted, Runner, RunwireError, ToolCallUpdated, tool

SKY = {"lisbon": "21 °C, clear", "oslo": "4 °C, snow", "nairobi": "24 °C, light rain"}


@tool(read_only=True)
def get_weather(city: str) -> str:
    """Look up the weather in a city.

    Args:
        city: The city's name, in English.
    """
    return f"{city}: {SKY.get(city.lower(), '18 °C, a light breeze')}"


async def choose_model(client: AsyncClient) -> str:
    """Take the best model that is at hand."""
    if os.environ.get("RUNWIRE_MODEL"):
        return os.environ["RUNWIRE_MODEL"]
    if os.environ.get("OPENAI_API_KEY"):
        return "openai:gpt-5-mini"
    try:
        local = await client.models("ollama")
    except RunwireError:
        return "script:demo"
    return local[0].id if local else "script:demo"


async def main(question: str) -> None:
    """Ask, and show what happens."""
    async with AsyncClient() as client:
        agent = Agent(
            name="weather",
            model=await choose_model(client),
            instructions="Answer in one sentence. Look the weather up; never guess it.",
            tools=[get_weather],
        )
        print(f"model     {agent.model}")
        print(f"question  {question}")
        stream = Runner.stream(agent, question, client=client)
        async for event in stream:
            if isinstance(event, ToolCallUpdated) and event.state in ("running", "succeeded", "failed"):
                shown = f" -> {event.result}" if event.result else ""
                print(f"tool      {event.name} {event.arguments} {event.state}{shown}")
            elif isinstance(event, MessageCompleted) and event.text:
                print(f"answer    {event.text}")
        result = await stream.result()
        print(f"run       {result.run_id}, {result.run.turn_count} turns, {result.usage.total_tokens} tokens")


if __name__ == "__main__":
    try:
        asyncio.run(main(" ".join(sys.argv[1:]) or "What is the weather in Lisbon?"))
    except RunwireError as error:
        sys.exit(f"error     {error}")

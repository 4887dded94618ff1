"""An agent with a Python tool on any server that speaks OpenAI's protocol.

    python examples/local-model/main.py --base-url http://127.0.0.1:8080/v1 --model my-model
    python examples/local-model/main.py --base-url … --model … --server 127.0.0.1:50051 --provider local

Without --server it starts a Runwire server of its own, with the base URL as the provider `local`, and stops
it at the end. The first turn must call the tool (`tool_choice="required"`): small models seldom do otherwise.
"""

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from runwire import Agent, AsyncClient, MessageCompleted, Runner, RunwireError, ToolCallUpdated, tool

ROOT = Path(__file__).resolve().parents[2]
READY = "runwire listening on "


@tool(read_only=True)
def get_weather(city: str) -> str:
    """Get the current weather in a city.

    Args:
        city: The name of the city.
    """
    return f"It is 21 degrees and sunny in {city}."


@contextlib.contextmanager
def own_server(binary: str, base_url: str, key_variable: str | None) -> Iterator[str]:
    """Start a server that knows the base URL as the provider `local`."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "runwire.toml"
        lines = ["[providers.local]", 'kind = "openai"', f'base_url = "{base_url}"']
        if key_variable:
            lines.append(f'api_key_env = "{key_variable}"')
        config.write_text("\n".join(lines) + "\n")
        command = [binary, "serve", "--config", str(config), "--listen", "127.0.0.1:0"]
        log = Path(folder) / "log"
        with log.open("w+") as sink:
            process = subprocess.Popen([*command, "--data-dir", f"{folder}/data"], stderr=sink)
            try:
                yield _ready(process, log)
            finally:
                process.terminate()
                process.wait(60)


def _ready(process: subprocess.Popen[bytes], log: Path) -> str:
    while True:
        for line in log.read_text().splitlines():
            if READY in line:
                return line.partition(READY)[2].strip()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
            sys.exit(f"the server did not start:\n{log.read_text()}")


async def ask(server: str, model: str, question: str) -> None:
    """Run the agent and print every step."""
    agent = Agent(
        name="weather",
        model=model,
        instructions="You are a helpful assistant. Use the tool to look up the weather, then answer.",
        tools=[get_weather],
        model_settings={"temperature": 0, "max_tokens": 200, "tool_choice": "required"},
    )
    print(f"model     {model}\nuser      {question}")
    async with AsyncClient(server) as client:
        stream = Runner.stream(agent, question, client=client, max_turns=4)
        async for event in stream:
            if isinstance(event, MessageCompleted):
                for message in event.messages:
                    calls = [
                        f"{c['function']['name']}({c['function']['arguments']})"
                        for c in message.get("tool_calls", [])
                    ]
                    print(f"{message['role']:<9} {' '.join(calls) or message['content']}")
            elif isinstance(event, ToolCallUpdated):
                print(f"  call    {event.name}: {event.state}")
        result = await stream.result()
    print(f"status    {result.status}, {result.run.turn_count} turns, {result.usage.total_tokens} tokens")


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base-url", help="where the models are, ending in /v1")
    parser.add_argument("--model", required=True, help="the model's name there")
    parser.add_argument(
        "--key-variable", help="the environment variable that holds the key, if one is needed"
    )
    parser.add_argument("--server", help="a Runwire server that knows the provider; else one is started")
    parser.add_argument("--provider", default="local", help="the provider's name there")
    parser.add_argument("--binary", default=os.environ.get("RUNWIRE_BIN", str(ROOT / "target/debug/runwire")))
    parser.add_argument("question", nargs="?", default="What is the weather in Paris?")
    arguments = parser.parse_args()
    if not arguments.server and not arguments.base_url:
        parser.error("--base-url is needed to start a server; or give --server")
    with contextlib.ExitStack() as stack:
        server = arguments.server or stack.enter_context(
            own_server(arguments.binary, arguments.base_url, arguments.key_variable)
        )
        try:
            asyncio.run(ask(server, f"{arguments.provider}:{arguments.model}", arguments.question))
        except RunwireError as error:
            sys.exit(f"error     {error}")


if __name__ == "__main__":
    main()

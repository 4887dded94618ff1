"""Every Python sample of the documents, run against the real server.

A sample that imports is a program of its own; any other is a piece of an asynchronous function that has a
``client``, and what earlier pieces of its document have defined.
"""

import ast
import asyncio
import inspect
import os
import re
import signal
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from conftest import Server

import runwire
from runwire import Agent, AsyncClient, HostedTool

TOP = Path(__file__).parents[3]
DOCUMENTS = ("README.md", "docs/approvals.md", "docs/python.md", "clients/python/README.md")

#: Every model of OpenAI and Ollama is this one.
MODELS = """
[models."*"]
[[models."*".turns]]
when = { step = 0, tool = "*" }
calls = [{ tool = "*" }]
[[models."*".turns]]
when = { step = 0 }
text = "You said: {user}"
[[models."*".turns]]
text = "The answer is: {result}"
"""
CONFIG = """
[providers]
openai = { kind = "script", script = "models.toml" }
ollama = { kind = "script", script = "models.toml" }
[server]
drain = "1s"
"""


@dataclass(frozen=True)
class Sample:
    """A fenced block of Python."""

    document: str
    line: int
    text: str

    @property
    def is_program(self) -> bool:
        return re.search(r"^(from|import) ", self.text, re.MULTILINE) is not None

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"

    def compile(self) -> CodeType:
        # Errors are reported at the line of the document.
        padded = "\n" * self.line + self.text
        code: CodeType = compile(padded, self.document, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        return code


def samples(document: str) -> list[Sample]:
    text = (TOP / document).read_text()
    found = re.finditer(r"^( *)```python\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [
        Sample(document, text.count("\n", 0, match.start()) + 1, textwrap.dedent(match[2])) for match in found
    ]


PROGRAMS = [sample for document in DOCUMENTS for sample in samples(document) if sample.is_program]


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("documents")
    (folder / "models.toml").write_text(MODELS)
    server = Server(folder, CONFIG)
    yield server
    server.stop()


@asynccontextmanager
async def running(sample: Sample, server: Server) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        sample.text,
        env={**os.environ, "RUNWIRE_SERVER": server.address},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def test_the_documents_have_samples() -> None:
    assert {sample.document for sample in PROGRAMS} == {
        "README.md",
        "docs/approvals.md",
        "clients/python/README.md",
    }
    assert len(samples("docs/python.md")) >= 3


@pytest.mark.parametrize("sample", [s for s in PROGRAMS if "ToolHost" not in s.text], ids=str)
async def test_a_program_runs_and_prints_its_answer(sample: Sample, scripted: Server) -> None:
    async with running(sample, scripted) as process:
        out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    assert out.decode().startswith("The answer is: ")
    assert "sunny" in out.decode() or "clear" in out.decode()


@pytest.mark.parametrize("sample", [s for s in PROGRAMS if "ToolHost" in s.text], ids=str)
async def test_a_tool_host_serves_until_it_is_told_to_leave(sample: Sample, scripted: Server) -> None:
    async with running(sample, scripted) as process, AsyncClient(scripted.address) as client:
        agent = Agent(name="desk", model="openai:any", tools=[HostedTool("billing.refund")])
        run = await client.runs.create(agent, "Refund it", timeout=60)
        assert "refunded" in str((await client.runs.wait(run.id)).output)
        process.send_signal(signal.SIGTERM)
        _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()


async def test_the_pieces_of_the_guide_run_one_after_the_other(
    scripted: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    @dataclass
    class Hit:
        title: str

    def weather(city: str) -> str:
        """Say the weather in a city."""
        return f"{city}: sun"

    async with AsyncClient(scripted.address) as client:
        names: dict[str, Any] = {name: getattr(runwire, name) for name in runwire.__all__}
        names |= {"client": client, "Hit": Hit, "messages": [{"role": "user", "content": "Name a river."}]}
        names["agent"] = Agent(name="guide", model="openai:any", tools=[weather])
        for sample in samples("docs/python.md"):
            if not sample.is_program:
                code = sample.compile()
                done = eval(code, names)
                if inspect.isawaitable(done):
                    await done
    assert names["answer"].text == "You said: Name a river."
    assert names["stream"].completion.text in capsys.readouterr().out
    assert names["search"].name == "search"
    assert "sun" in names["result"].final_output

"""The real server as a fixture, with a model server behind it that the tests control."""

import os
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from upstream import Upstream

from runwire import AsyncClient, Client

READY = "runwire listening on "
BINARY = os.environ.get("RUNWIRE_BIN", str(Path(__file__).parents[3] / "target" / "debug" / "runwire"))

#: Providers of several names, all of them the tests' model server.
PROVIDERS = (
    "up",
    "openai",
    "ollama",
    "lmstudio",
    "groq",
    "deepseek",
    "xai",
    "together",
    "fireworks",
    "openrouter",
    "nebius",
)


def configuration(upstream: Upstream) -> str:
    """Configure a server for tests: quick to give up, and with the tests' model server behind it."""
    providers = "".join(
        f"[providers.{name}]\nbase_url = '{upstream.url}'\napi_key_env = 'UPSTREAM_KEY'\n"
        for name in PROVIDERS
    )
    return (
        providers.replace("[providers.up]\n", "[providers.up]\nkind = 'openai'\n")
        + "[models.aliases]\nfast = 'up:aliased'\n"
        + "[retry]\nbase_delay = '10ms'\n"
        + "[tools]\ngrace = '1s'\n"
        + "[server]\ndrain = '2s'\n"
    )


class Server:
    """A process of the server; its log is kept."""

    def __init__(self, folder: Path, config: str, *, listen: str = "127.0.0.1:0") -> None:
        file = folder / "runwire.toml"
        file.write_text(config)
        arguments = [BINARY, "serve", "--config", str(file), "--listen", listen]
        arguments += ["--data-dir", str(folder / "data")]
        self.process = subprocess.Popen(
            arguments,
            env={**os.environ, "UPSTREAM_KEY": "test"},
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stderr is not None
        self.log: list[str] = []
        self.address = ""
        for line in self.process.stderr:
            self.log.append(line)
            if READY in line:
                self.address = line.partition(READY)[2].strip()
                break
        assert self.address, "the server did not start:\n" + "".join(self.log)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.log.extend(self.process.stderr)

    def stop(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join(5)
            assert self.process.stderr is not None
            self.process.stderr.close()


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.close()


@pytest.fixture(scope="session")
def server(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"), configuration(upstream))
    yield server
    server.stop()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.address) as client:
        yield client


@pytest.fixture(scope="session")
def sync_client(server: Server) -> Iterator[Client]:
    with Client(server.address) as client:
        yield client

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
BINARY = Path(__file__).parents[3] / "target" / "debug" / "runwire"


class Server:
    """A process of the server; its log is kept."""

    def __init__(self, folder: Path, upstream: str, *, listen: str = "127.0.0.1:0") -> None:
        binary = os.environ.get("RUNWIRE_BIN", str(BINARY))
        config = folder / "runwire.toml"
        config.write_text(
            f"[providers.up]\nkind = 'openai'\nbase_url = '{upstream}'\n"
            "[models.aliases]\nfast = 'up:aliased'\n"
            "[retry]\nbase_delay = '10ms'\n"
            "[tools]\ngrace = '1s'\n"
            "[server]\ndrain = '2s'\n"
        )
        arguments = [binary, "serve", "--config", str(config), "--listen", listen]
        arguments += ["--data-dir", str(folder / "data")]
        self.process = subprocess.Popen(
            arguments, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
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
    server = Server(tmp_path_factory.mktemp("server"), upstream.url)
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

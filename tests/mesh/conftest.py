"""The server and Envoy as fixtures: real processes on loopback ports."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Mesh:
    """Where to call."""

    through_envoy: str
    direct: str


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(command: list[str], env: dict[str, str], ready: Callable[[str], str | None]) -> Iterator[str]:
    """Runs a process until the block ends; gives what `ready` made of the first line it accepts."""
    child = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    assert child.stderr is not None
    lines: list[str] = []
    answer = None
    for line in child.stderr:
        lines.append(line)
        if (answer := ready(line)) is not None:
            break
    # Somebody must go on reading, or the child blocks when the pipe is full.
    drain = threading.Thread(target=lambda: lines.extend(child.stderr or []), daemon=True)
    drain.start()
    try:
        assert answer is not None, "".join(lines)
        yield answer
    finally:
        child.terminate()
        child.wait(timeout=20)
        drain.join()
        child.stderr.close()


@contextmanager
def server(data_dir: Path, heartbeat: str) -> Iterator[str]:
    """A server whose watches and hosts send heartbeats this often."""
    command = [os.environ["RUNWIRE_BIN"], "serve", "--listen", "127.0.0.1:0", "--data-dir", str(data_dir)]
    env = os.environ | {
        "RUNWIRE__SERVER__HEARTBEAT": heartbeat,
        "RUNWIRE__SERVER__DRAIN": "2s",
        "RUNWIRE__TOOLS__HEARTBEAT": heartbeat,
    }
    ready = "runwire listening on "
    with process(command, env, lambda line: line.partition(ready)[2].strip() or None) as address:
        yield address


@contextmanager
def envoy(folder: Path, upstream: str) -> Iterator[str]:
    """Envoy in front of a server."""
    port = free_port()
    config = (HERE / "envoy.yaml").read_text()
    config = config.replace("LISTENER_PORT", str(port)).replace("SERVER_PORT", upstream.rpartition(":")[2])
    file = folder / "envoy.yaml"
    file.write_text(config)
    command = ["envoy", "--config-path", str(file), "--use-dynamic-base-id", "--concurrency", "1"]
    begun = "starting main dispatch loop"
    with process(command, dict(os.environ), lambda line: begun if begun in line else None):
        address = f"127.0.0.1:{port}"
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(timeout=20)
        yield address


@pytest.fixture(scope="session")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A server with heartbeats shorter than Envoy's idle time-out."""
    folder = tmp_path_factory.mktemp("mesh")
    with server(folder / "data", "500ms") as direct, envoy(folder, direct) as through_envoy:
        yield Mesh(through_envoy=through_envoy, direct=direct)


@pytest.fixture
def silent_mesh(tmp_path: Path) -> Iterator[Mesh]:
    """A server with heartbeats longer than Envoy's idle time-out."""
    with server(tmp_path / "data", "10s") as direct, envoy(tmp_path, direct) as through_envoy:
        yield Mesh(through_envoy=through_envoy, direct=direct)

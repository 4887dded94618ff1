"""Processes: the server, and the drivers that speak in lines of JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1]
CLIENTS = HERE.parent
READY = b"runwire listening on "
STOP_SECONDS = 20.0
MAX_LINE_BYTES = 64 * 1024 * 1024

Message = dict[str, Any]


class Server:
    """The real server. It keeps its port when it is started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self.address = "127.0.0.1:0"
        self.log = bytearray()

    async def start(self) -> Server:
        """Start, and return when it listens."""
        self._process = await asyncio.create_subprocess_exec(
            os.environ["RUNWIRE_BIN"],
            *("serve", "--config", str(HERE / "runwire.toml")),
            *("--listen", self.address, "--data-dir", str(self._folder)),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self.log += line
            if READY in line:
                self.address = line.partition(READY)[2].decode().strip()
                self._reader = asyncio.create_task(self._read(self._process.stderr))
                return self
        raise RuntimeError("the server did not start:\n" + self.log.decode())

    def terminate(self) -> None:
        """Ask it to drain and end."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # It has just been killed.
                self._process.terminate()

    async def crash(self) -> None:
        """Kill it, and wait for its end."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self.stop()

    async def stop(self) -> None:
        """End it, and wait for its end."""
        if self._process is None:
            return
        self.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
        except asyncio.TimeoutError:
            self._process.kill()
            await self._process.wait()
        if self._reader is not None:
            await self._reader

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            self.log += line


class Driver:
    """A process of a language's driver."""

    def __init__(self, language: str) -> None:
        self.language = language
        #: Called with every message, and with None at the end.
        self.listener: Callable[[Driver, Message | None], None] = lambda *_: None
        self.ready = asyncio.Event()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def start(self) -> Driver:
        """Start the process."""
        self._process = await asyncio.create_subprocess_exec(
            str(CLIENTS / self.language / "conformance"),
            "drive",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._log,
            limit=MAX_LINE_BYTES,
            env={name: value for name, value in os.environ.items() if name != "RUNWIRE_SERVER"},
        )
        self._reader = asyncio.create_task(self._read())
        return self

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process is not None and self._process.returncode is None

    @property
    def exit_code(self) -> int | None:
        """How it ended."""
        return None if self._process is None else self._process.returncode

    def send(self, message: Message) -> None:
        """Say something to it."""
        if self.alive and self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self.alive and self._process is not None:
            self._process.send_signal(number)

    def log(self) -> str:
        """Return what it wrote to standard error, the last of it."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-4000:]

    async def stop(self) -> None:
        """End it now."""
        self.signal(signal.SIGKILL)
        if self._reader is not None:
            await self._reader
        self._log.close()

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            message = json.loads(line)
            if message.get("ready"):
                self.ready.set()
            self.listener(self, message)
        await self._process.wait()
        self.ready.set()
        self.listener(self, None)


async def prepare(language: str) -> str:
    """Build a language's driver; returns what went wrong."""
    process = await asyncio.create_subprocess_exec(
        str(CLIENTS / language / "conformance"),
        "prepare",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    said = output.decode(errors="replace")
    return f"exit code {process.returncode}\n{said}" if process.returncode else ""

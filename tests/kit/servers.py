"""Starts the upstream and the server under test, and asks both."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The key of all vendors, and the keys of AWS that the upstream recomputes signatures with.
CREDENTIALS = {
    "KIT_KEY": "sk-kit-0123456789abcdef",
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
}
READY = re.compile(r"runwire listening on (\S+)")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Upstream:
    """The checking upstream."""

    process: subprocess.Popen[bytes]
    url: str

    @classmethod
    def start(cls, kit: Path) -> Upstream:
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, str(kit / "upstream_check.py"), "--port", str(port)],
            stdout=subprocess.DEVNULL,
            # It complains of clients that hang up, which many cells are about.
            stderr=subprocess.DEVNULL,
        )
        upstream = cls(process, f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                health = upstream.ask("health")
            except OSError:
                if process.poll() is not None:
                    break
                time.sleep(0.2)
                continue
            # Without the vendors' types it would check nothing.
            if health["types_missing"]:
                process.kill()
                raise SystemExit(f"the upstream misses types: {health['types_missing']}")
            return upstream
        process.kill()
        raise SystemExit("the upstream does not start")

    def ask(self, what: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/__kit/{what}", timeout=30) as answer:
            return json.load(answer)

    def tell(self, what: str, body: object = None) -> None:
        data = json.dumps(body or {}).encode()
        with urllib.request.urlopen(f"{self.url}/__kit/{what}", data, timeout=30) as answer:
            answer.read()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@dataclass
class Server:
    """The server under test, with providers that point at the upstream."""

    process: subprocess.Popen[bytes]
    address: str
    log: Path

    @classmethod
    def start(cls, config: str) -> Server:
        folder = Path(tempfile.mkdtemp(prefix="runwire-kit-"))
        file, log = folder / "runwire.toml", folder / "log"
        file.write_text(config)
        arguments = ["--config", str(file), "--data-dir", str(folder / "data")]
        # Into a file: a pipe that nobody empties would stop the server once it is full.
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [os.environ["RUNWIRE_BIN"], "serve", *arguments, "--listen", "127.0.0.1:0"],
                stderr=stderr,
                env={**os.environ, **CREDENTIALS},
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            if ready := READY.search(log.read_text()):
                return cls(process, ready[1], log)
            time.sleep(0.05)
        process.kill()
        raise SystemExit(f"the server does not start: {log.read_text()}")

    def stop(self) -> str:
        """Stops it and returns its log."""
        self.process.terminate()
        self.process.wait(60)
        return self.log.read_text()

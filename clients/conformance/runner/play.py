"""Plays one case with one language."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from runner.judge import judge
from runner.path import Ditherer, Proxy, Stranger, Wire
from runner.process import Driver, Message, Server

CASE_SECONDS = 60.0
LATE_SECONDS = 5.0

Case = dict[str, Any]
#: What drivers need not know.
_RUNNERS_OWN = ("at", "hosts", "restart", "through", "expect")


@dataclass
class Stage:
    """The servers and drivers that cases share."""

    languages: list[str]
    server: Server
    drivers: dict[str, Driver] = field(default_factory=dict)
    _names: count[int] = field(default_factory=lambda: count(1))

    async def driver(self, language: str) -> Driver:
        """Return a language's driver, a new one if the last has ended."""
        driver = self.drivers.get(language)
        if driver is None or not driver.alive:
            await self.drop(language)
            driver = self.drivers[language] = await Driver(language).start()
        return driver

    def unique(self, tool: str) -> str:
        """Return a name for a hosted tool: one that an earlier, killed host has had is not free at once."""
        return f"{tool}.{next(self._names)}"

    async def drop(self, language: str) -> None:
        """End a language's driver: it failed, or is done."""
        driver = self.drivers.pop(language, None)
        if driver is not None:
            await driver.stop()

    async def close(self) -> None:
        """End everything."""
        for language in list(self.drivers):
            await self.drop(language)
        await self.server.stop()


class Play:
    """One case, from its beginning to its verdict."""

    def __init__(self, stage: Stage, language: str, case: Case) -> None:
        self._stage, self._language, self._case = stage, language, case
        self._expect = dict(case["expect"])
        self._messages: asyncio.Queue[tuple[Driver, Message | None]] = asyncio.Queue()
        self._hosts: list[Driver] = []
        self._waiting: list[list[str]] = []
        self._names: dict[str, str] = {}
        self._begun: list[str] = []
        self._stopped: list[str] = []
        self._exits: list[int] = []
        self._early = 0
        self._ditherer = Ditherer()
        self._wire: Wire | None = None

    async def problems(self) -> list[str]:
        """Play, and return what is wrong."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._end_hosts)
            try:
                seen = await asyncio.wait_for(self._play(stack), CASE_SECONDS)
            except asyncio.TimeoutError:
                problems = [f"nothing seen after {CASE_SECONDS:g} s; begun {self._begun}"]
            except _DriverEnded as ended:
                problems = [str(ended)]
            else:
                problems = judge(self._expect, seen)
                if not problems:
                    return []
            logs = [self._server.log.decode()[-4000:]] if self._server is not self._stage.server else []
            logs += [driver.log() for driver in [*self._hosts, await self._stage.driver(self._language)]]
            await self._stage.drop(self._language)
            return problems + [f"standard error:\n{log}" for log in logs if log]

    async def _play(self, stack: AsyncExitStack) -> dict[str, Any]:
        case = self._case
        self._server = self._stage.server
        if case.get("restart") or case.get("at") in ("drain", "crash"):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            self._server = await Server(Path(folder)).start()
            stack.push_async_callback(self._server.stop)
        self._address = await self._lay_path(stack)
        told = {key: value for key, value in case.items() if key not in _RUNNERS_OWN}
        if case.get("hosts") == "every":
            told = await self._host_everywhere(told)
        elif "hosts" in case:
            first, *self._waiting = case["hosts"]
            self._names = {tool: self._stage.unique(tool) for tool in first}
            await self._start_host(self._language, first, self._names)
            told |= {"tools": first, "hosted": list(self._names.values())}
        if case.get("restart"):
            await self._server.stop()
            await self._server.start()
        driver = await self._stage.driver(self._language)
        driver.listener = self._listen
        driver.send({"case": told, "address": self._address})
        seen = await self._follow(driver)
        await self._wait_for_stragglers()
        driver.listener = lambda *_: None
        own = {"begun": self._begun, "stopped": self._stopped, "exits": self._exits, "early": self._early}
        return seen | own | {"connections": self._wire.connections if self._wire else 0}

    async def _lay_path(self, stack: AsyncExitStack) -> str:
        through = self._case.get("through", "wire")
        if through == "wire":
            self._wire = await stack.enter_async_context(Wire(self._server.address))
            return self._wire.address
        change = self._ditherer if through == "ditherer" else Stranger()
        return (await stack.enter_async_context(Proxy(self._server.address, change))).address

    async def _follow(self, driver: Driver) -> dict[str, Any]:
        while True:
            source, message = await self._messages.get()
            if message is None and source is driver:
                raise _DriverEnded(f"the driver ended with exit code {source.exit_code}")
            if message is not None and "seen" in message and source is driver:
                return dict(message["seen"])
            await self._take(driver, source, message)

    async def _take(self, driver: Driver, source: Driver, message: Message | None) -> None:
        if message is None:
            self._exits.append(source.exit_code or 0)
        elif "stopped" in message:
            self._stopped.append(message["stopped"])
        elif "begun" in message:
            self._begun.append(f"{message['begun']} {message['attempt']}")
            self._early += self._case.get("through") == "ditherer" and self._ditherer.let_through == 0
            action = self._case.get("at", "release") if len(self._begun) == 1 else "release"
            await self._act(action, driver, source)

    async def _act(self, action: str, driver: Driver, source: Driver) -> None:
        if action in ("cancel", "leave"):
            driver.send({action: True})
            return
        if action == "kill":
            source.signal(signal.SIGKILL)
            await self._start_host(source.language, self._waiting.pop(0), self._names)
            return
        if action == "cut" and self._wire is not None:
            self._wire.cut()
        elif action == "terminate":
            source.signal(signal.SIGTERM)
        elif action == "drain":
            self._server.terminate()
        elif action == "crash":
            await self._server.crash()
            await self._server.start()
        source.send({"release": True})

    async def _start_host(self, language: str, tools: list[str], names: dict[str, str]) -> None:
        host = await Driver(language).start()
        self._hosts.append(host)
        host.listener = self._listen
        case = {"name": self._case["name"], "do": "host", "tools": tools, "as": names}
        case["idempotent"] = self._case.get("idempotent", False)
        host.send({"case": case, "address": self._address})
        await host.ready.wait()
        if not host.alive:
            raise _DriverEnded(f"a host ended with exit code {host.exit_code}")

    async def _host_everywhere(self, told: Case) -> Case:
        names = [self._stage.unique(f"weather.{language}") for language in self._stage.languages]
        for language, name in zip(self._stage.languages, names, strict=True):
            await self._start_host(language, ["get_weather"], {"get_weather": name})
        self._expect["results_have"] = ["sun"] * len(names)
        self._expect["calls"] = names
        model = told["model"].replace("EVERY", str(len(names)))
        return {**told, "model": model, "tools": names, "hosted": names}

    async def _wait_for_stragglers(self) -> None:
        """Wait for what tools and hosts may say after the end of a run."""

        def complete() -> bool:
            return len(self._stopped) >= len(self._expect.get("stopped", [])) and len(self._exits) >= len(
                self._expect.get("exits", [])
            )

        async def take() -> None:
            while not complete():
                source, message = await self._messages.get()
                await self._take(source, source, message)

        try:
            await asyncio.wait_for(take(), LATE_SECONDS)
        except asyncio.TimeoutError:
            return  # The verdict says what is missing.

    def _listen(self, source: Driver, message: Message | None) -> None:
        self._messages.put_nowait((source, message))

    async def _end_hosts(self) -> None:
        for host in self._hosts:
            host.listener = lambda *_: None
            await host.stop()


class _DriverEnded(Exception):
    """A process that is needed is no more."""

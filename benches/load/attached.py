"""Attached runs from Python: all on one channel, each held until every run's call is outstanding.

Prints wall clock, and the server's processor time and memory.  usage: attached.py SERVER_BINARY [RUNS]
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

from runwire import Agent, AsyncClient, Runner, tool


def usage(pid: int) -> tuple[float, float]:
    """Processor seconds used so far, and resident MiB now."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    status = Path(f"/proc/{pid}/status").read_text()
    resident = int(re.search(r"VmRSS:\s+(\d+)", status)[1])
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), resident / 1024


async def attached(address: str, pid: int, runs: int) -> None:
    everybody, waiting = asyncio.Event(), 0
    held: tuple[float, float] = (0.0, 0.0)

    @tool
    async def hold() -> str:
        """Waits for all others."""
        nonlocal waiting, held
        waiting += 1
        if waiting == runs:
            held = usage(pid)
            everybody.set()
        await everybody.wait()
        return "done"

    agent = Agent(name="load", model="script:tools-1", tools=[hold])
    async with AsyncClient(address) as client:
        before, begin = usage(pid), time.monotonic()
        results = await asyncio.gather(
            *(Runner.run(agent, f"run {number}", client=client) for number in range(runs))
        )
        wall, after = time.monotonic() - begin, usage(pid)
    good = sum(result.status == "completed" for result in results)
    scenario = "attached runs from Python"
    for what, value, unit in [
        ("runs ended well", good, "runs"),
        ("until all runs had ended", wall, "s"),
        ("server CPU a run", (after[0] - before[0]) / runs * 1e6, "us"),
        ("server memory a waiting run", (held[1] - before[1]) / runs * 1024, "KiB"),
    ]:
        print(f"{scenario:<34} {what:<28} {value:>12.2f} {unit}")
    if good != runs:
        raise SystemExit(f"{runs - good} runs did not end well")


def main() -> None:
    binary, runs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    server = subprocess.Popen(
        [binary, "serve", "--listen", "127.0.0.1:0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stderr is not None
        ready = "runwire listening on "
        address = next(line for line in server.stderr if line.startswith(ready))[len(ready) :]
        # Its log goes on being read: a full pipe would stop the server.
        threading.Thread(target=server.stderr.read, daemon=True).start()
        asyncio.run(attached(address.strip(), server.pid, runs))
    finally:
        server.kill()


if __name__ == "__main__":
    main()

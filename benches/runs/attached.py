"""Many attached runs of one asyncio process on one channel; no tool answers before all are called."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from runwire import Agent, AsyncClient, Runner, tool


def used(pid: int) -> tuple[float, int, int]:
    """CPU seconds, resident MiB and peak MiB of a process."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    resident, peak = (int(status[key].split()[0]) // 1024 for key in ("VmRSS", "VmHWM"))
    return sum(map(int, ticks)) / 100, resident, peak


async def main(server: str, pid: int, count: int) -> None:
    """Runs the load and prints a row."""
    all_called = asyncio.Event()
    calls = 0

    @tool(name="tool", idempotent=True)
    async def hold() -> str:
        """Holds its answer."""
        nonlocal calls
        calls += 1
        if calls == count:
            all_called.set()
        await all_called.wait()
        return "done"

    agent = Agent(name="bench", model="script:tools-1", tools=[hold])
    async with AsyncClient(server) as client:
        cpu_before, _, _ = used(pid)
        began = time.perf_counter()
        results = await asyncio.gather(*(Runner.run(agent, "go", client=client) for _ in range(count)))
        wall = time.perf_counter() - began
    cpu, resident, peak = used(pid)
    succeeded = sum(result.status == "completed" for result in results)
    print(
        f"attached  {count} runs, Python, 1 channel: {succeeded} succeeded, {count - succeeded} not; "
        f"wall {wall:.2f} s ({count / wall:.0f} runs/s); server CPU {cpu - cpu_before:.2f} s "
        f"({(cpu - cpu_before) * 1e6 / count:.0f} us a run), resident {resident} MiB, peak {peak} MiB"
    )
    if succeeded != count:
        sys.exit(f"{count - succeeded} of {count} runs did not succeed")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))

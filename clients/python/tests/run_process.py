"""A client to be killed: starts a run that goes on without it, and says its id on stdout.

python run_process.py ADDRESS MODEL TOOL HOST_ID
"""

import asyncio
import sys

from runwire import Agent, AsyncClient, HostedTool


async def main(address: str, model: str, tool: str, host_id: str) -> None:
    client = AsyncClient(address)
    agent = Agent(name="left-alone", model=model, tools=[HostedTool(tool, host_id=host_id)])
    run = await client.runs.create(agent, "Go")
    print(run.id, flush=True)  # noqa: T201 - this is its protocol
    async for _ in client.runs.watch(run.id):
        pass


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

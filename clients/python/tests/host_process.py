"""A tool host to be killed: a process of its own. Says on stdout what it does, one word a line.

python host_process.py ADDRESS HOST_ID NAME [idempotent]
"""

import asyncio
import sys

from runwire import AsyncClient, Tool, ToolContext, ToolHost


async def main(address: str, host_id: str, name: str, *annotations: str) -> None:
    def hang(context: ToolContext) -> str:
        print(f"begun {context.attempt}", flush=True)  # noqa: T201 - this is its protocol
        context.wait_cancelled(60)
        return "never"

    tool = Tool.from_function(hang, name=name, idempotent="idempotent" in annotations)
    host = await ToolHost(AsyncClient(address), [tool], host_id=host_id).start()
    serving = asyncio.ensure_future(host.serve())
    await asyncio.sleep(0)  # It has taken the signals.
    print("ready", flush=True)  # noqa: T201 - this is its protocol
    await serving


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

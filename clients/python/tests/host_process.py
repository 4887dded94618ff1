"""A tool host to be killed: a process of its own. Says on stdout what it does, one word a line.

python host_process.py ADDRESS HOST_ID NAME [idempotent]
"""

import sys

from runwire import Client, Tool, ToolContext, ToolHost


def main(address: str, host_id: str, name: str, *annotations: str) -> None:
    def hang(context: ToolContext) -> str:
        print(f"begun {context.attempt}", flush=True)  # noqa: T201 - this is its protocol
        context.wait_cancelled(60)
        return "never"

    tool = Tool.from_function(hang, name=name, idempotent="idempotent" in annotations)
    ToolHost(Client(address), [tool], host_id=host_id).run()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""An MCP server over standard input and output that goes wrong in the way its caller asks for.

Each line that it reads goes to the file STUB_LOG, and before them one with its own process id.
"""

import json
import os
import subprocess
import sys
import threading
import time

LOG = open(os.environ["STUB_LOG"], "a", buffering=1)
OBJECT = {"type": "object"}
TOOLS = [
    {"name": "echo", "description": "Says it again.", "inputSchema": {
        "type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}},
    {"name": "all", "inputSchema": OBJECT},
    {"name": "fails", "inputSchema": OBJECT},
    {"name": "refuses", "inputSchema": OBJECT},
    {"name": "hangs", "inputSchema": OBJECT},
    {"name": "dies", "inputSchema": OBJECT, "annotations": {"readOnlyHint": True}},
    {"name": "dies once", "inputSchema": OBJECT, "annotations": {"readOnlyHint": True}},
    {"name": "floods", "inputSchema": OBJECT},
    {"name": "babbles", "inputSchema": OBJECT},
    {"name": "progresses", "inputSchema": OBJECT},
    {"name": "grows", "inputSchema": OBJECT},
    {"name": "environment", "inputSchema": OBJECT},
    {"name": "spawns", "inputSchema": OBJECT},
    {"name": "untrue", "inputSchema": {"type": 7}},
]


def say(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def text(*texts):
    return {"content": [{"type": "text", "text": each} for each in texts]}


def call(request, name, arguments):
    """The result of a call; None when there will be none."""
    if name == "echo":
        return text(arguments["text"])
    if name == "all":
        return {
            "content": [
                {"type": "text", "text": "one"},
                {"type": "image", "data": "AAAA", "mimeType": "image/png"},
                {"type": "resource_link", "uri": "db://1", "name": "row"},
            ],
            "structuredContent": {"rows": 1},
        }
    if name == "fails":
        return {**text("no such row"), "isError": True}
    if name == "refuses":
        say({"id": request["id"], "error": {"code": -32602, "message": "text is missing"}})
        return None
    if name == "dies":
        os._exit(1)
    if name == "dies once":
        if open(os.environ["STUB_LOG"]).read().count("dies once") < 2:
            os._exit(1)
        return text("alive")
    if name == "floods":
        while True:
            sys.stdout.write("x" * 65536)
    if name == "babbles":
        sys.stdout.write("this is no JSON\n[]\n{\"jsonrpc\": \"2.0\"}\n")
        say({"id": 987654, "result": {}})
        return text("after all")
    if name == "progresses":
        token = request["params"]["_meta"]["progressToken"]
        for done in (1, 2):
            say({"method": "notifications/progress", "params": {
                "progressToken": token, "progress": done, "total": 2, "message": f"step {done}"}})
        # Progress may overtake nothing, but it may be dropped when the answer is there already.
        time.sleep(0.2)
        return text("done")
    if name == "grows":
        TOOLS.append({"name": "later", "inputSchema": OBJECT})
        say({"method": "notifications/tools/list_changed"})
        # Time for the list to be read, page by page, before the next turn begins.
        result = {"id": request["id"], "result": text("grown")}
        threading.Timer(0.5, say, [result]).start()
        return None
    if name == "later":
        return text("here I am")
    if name == "environment":
        return text(json.dumps(dict(os.environ)))
    if name == "spawns":
        child = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL)
        return text(str(child.pid))
    return None


def answer(request):
    method = request["method"]
    if method == "initialize":
        return {"protocolVersion": request["params"]["protocolVersion"],
                "capabilities": {"tools": {"listChanged": True}},
                "serverInfo": {"name": "stub", "version": "1"}}
    if method == "tools/list":
        # In pages, as a server may.
        begin = int(request.get("params", {}).get("cursor") or 0)
        more = {"nextCursor": str(begin + 5)} if begin + 5 < len(TOOLS) else {}
        return {"tools": TOOLS[begin:begin + 5], **more}
    if method == "tools/call":
        return call(request, request["params"]["name"], request["params"].get("arguments", {}))
    say({"id": request["id"], "error": {"code": -32601, "message": "no such method"}})
    return None


def main():
    LOG.write(f"started {os.getpid()}\n")
    sys.stderr.write("canary-stderr\n")
    sys.stderr.flush()
    for line in sys.stdin:
        LOG.write(line)
        message = json.loads(line)
        if "id" in message and "method" in message:
            result = answer(message)
            if result is not None:
                say({"id": message["id"], "result": result})
    LOG.write("ended\n")


main()

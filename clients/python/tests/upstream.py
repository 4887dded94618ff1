"""A model server for tests: speaks OpenAI's chat completions, says what it is told, keeps what it hears."""

import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Request = dict[str, Any]


@dataclass
class Reply:
    """One answer of the model."""

    text: str | None = None
    #: Name and arguments.
    calls: Sequence[tuple[str, str]] = ()
    reasoning: str | None = None
    status: int = 200
    #: Waited for before anything is sent.
    gate: threading.Event | None = None
    #: A stream that ends without an end.
    broken: bool = False
    tokens: tuple[int, int] = (7, 5)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def finish(self) -> str:
        return "tool_calls" if self.calls else "stop"


Script = Callable[[Request], Reply]


class Upstream:
    """The server, and what it knows by model name."""

    def __init__(self) -> None:
        self._names = itertools.count(1)
        self._ids = itertools.count(1)
        self._scripts: dict[str, Script] = {}
        self._requests: dict[str, list[Request]] = {}
        self.gone = threading.Semaphore(0)
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                try:
                    upstream.answer(self, json.loads(body))
                except (BrokenPipeError, ConnectionResetError):
                    upstream.gone.release()
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 1024

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def play(self, *replies: Reply) -> str:
        """Make a model that gives these answers in turn, and then the last one for ever."""
        left = list(replies)
        return self.model(lambda _: left.pop(0) if len(left) > 1 else left[0])

    def model(self, script: Script) -> str:
        """Make a model that answers as a function says."""
        name = f"m{next(self._names)}"
        self._scripts[name], self._requests[name] = script, []
        return f"up:{name}"

    def requests(self, model: str) -> list[Request]:
        """Return what the model was asked, in order."""
        return self._requests[model.removeprefix("up:")]

    def answer(self, handler: BaseHTTPRequestHandler, request: Request) -> None:
        script = self._scripts.get(request["model"])
        if script is None:
            self._error(handler, Reply(status=404))
            return
        self._requests[request["model"]].append(request)
        reply = script(request)
        if reply.gate is not None:
            reply.gate.wait(20)
        if reply.status != 200:
            self._error(handler, reply)
        elif request.get("stream"):
            self._stream(handler, request, reply)
        else:
            self._whole(handler, request, reply)

    def _error(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        code = "model_not_found" if reply.status == 404 else None
        body = json.dumps({"error": {"message": "upstream says no", "type": "error", "code": code}}).encode()
        self._send(handler, reply.status, "application/json", body, reply.headers)

    def _whole(self, handler: BaseHTTPRequestHandler, request: Request, reply: Reply) -> None:
        message: dict[str, Any] = {"role": "assistant", "content": reply.text}
        if reply.reasoning:
            message["reasoning_content"] = reply.reasoning
        if reply.calls:
            message["tool_calls"] = self._calls(reply)
        body = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": request["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": reply.finish}],
            "usage": _usage(reply),
        }
        self._send(handler, 200, "application/json", json.dumps(body).encode(), reply.headers)

    def _stream(self, handler: BaseHTTPRequestHandler, request: Request, reply: Reply) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for delta, finish, usage in self._deltas(reply):
            choices = [] if usage else [{"index": 0, "delta": delta, "finish_reason": finish}]
            chunk = {
                "id": "c",
                "object": "chat.completion.chunk",
                "model": request["model"],
                "choices": choices,
            }
            data = json.dumps({**chunk, "usage": usage})
            _chunk(handler, f"data: {data}\n\n".encode())
        if not reply.broken:
            _chunk(handler, b"data: [DONE]\n\n")
        _chunk(handler, b"")

    def _deltas(self, reply: Reply) -> Iterator[tuple[dict[str, Any], str | None, dict[str, Any] | None]]:
        yield {"role": "assistant"}, None, None
        if reply.reasoning:
            yield {"reasoning_content": reply.reasoning}, None, None
        for piece in re.findall(r"\S+\s*", reply.text or ""):
            yield {"content": piece}, None, None
        for index, call in enumerate(self._calls(reply)):
            arguments = call["function"]["arguments"]
            middle = len(arguments) // 2
            call["function"]["arguments"] = arguments[:middle]
            yield {"tool_calls": [{"index": index, **call}]}, None, None
            rest = {"index": index, "function": {"arguments": arguments[middle:]}}
            yield {"tool_calls": [rest]}, None, None
        if not reply.broken:
            yield {}, reply.finish, None
            yield {}, None, _usage(reply)

    def _calls(self, reply: Reply) -> list[dict[str, Any]]:
        return [
            {
                "id": f"upstream_{next(self._ids)}",
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            for name, arguments in reply.calls
        ]

    def _send(
        self,
        handler: BaseHTTPRequestHandler,
        status: int,
        kind: str,
        body: bytes,
        headers: dict[str, str],
    ) -> None:
        handler.send_response(status)
        for name, value in {"content-type": kind, "content-length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)


def _usage(reply: Reply) -> dict[str, Any]:
    prompt, completion = reply.tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _chunk(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
    handler.wfile.flush()

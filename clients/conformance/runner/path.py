"""What stands between a client and the server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
from runwire.v1 import completion_service_pb2, message_pb2, run_pb2, run_service_pb2, tool_service_pb2

DITHER_SECONDS = 0.3
_MAX_MESSAGE = 64 * 1024 * 1024
_OPTIONS = [("grpc.max_receive_message_length", _MAX_MESSAGE), ("grpc.max_send_message_length", _MAX_MESSAGE)]

# A field that no version of the contract has: number 99, some text.
UNKNOWN = b"\x9a\x06\x03new"
_UNKNOWN_ENUM: Any = 77


class Wire:
    """A TCP connection that counts and can be cut."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.address = ""
        self.connections = 0

    async def __aenter__(self) -> Wire:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Cut every connection; new ones are taken."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self.connections += 1
        self._writers |= {writer, back}
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.ensure_future(self._forward(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.transport.abort()
        self._writers.discard(sink)


Change = Callable[[str, bytes], AsyncIterator[bytes]]


class Proxy(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc is not typed here
    """A gRPC proxy that changes what the server answers."""

    def __init__(self, target: str, change: Change) -> None:
        self._target = target
        self._change = change
        self._channel: grpc.aio.Channel | None = None
        self._server = grpc.aio.server(options=_OPTIONS)
        self.address = ""

    async def __aenter__(self) -> Proxy:
        self._channel = grpc.aio.insecure_channel(self._target, options=_OPTIONS)
        self._server.add_generic_rpc_handlers((self,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(None)
        if self._channel is not None:
            await self._channel.close(None)

    def service(self, handler_call_details: Any) -> Any:
        """Take any method; every kind of call is a two-way stream on the wire."""
        method = handler_call_details.method

        async def forward(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            assert self._channel is not None
            kept = [(k, v) for k, v in context.invocation_metadata() or () if k != "user-agent"]
            call = self._channel.stream_stream(method)(
                requests, metadata=tuple(kept), timeout=context.time_remaining()
            )
            try:
                async for message in call:
                    async for changed in self._change(method, message):
                        yield changed
            except grpc.aio.AioRpcError as error:
                await context.abort(
                    error.code(), error.details() or "", tuple(error.trailing_metadata() or ())
                )
            finally:
                call.cancel()

        return grpc.stream_stream_rpc_method_handler(forward)


class Stranger:
    """Adds what only a newer server would say: unknown messages, events, commands, parts and values."""

    def __init__(self) -> None:
        self._changes: dict[str, Callable[[bytes], list[bytes]]] = {
            "StreamCompletion": self._completion,
            "AttachRun": self._attach,
            "WatchRun": self._watch,
            "HostTools": self._host,
        }

    async def __call__(self, method: str, message: bytes) -> AsyncIterator[bytes]:
        """Change a message into one or more."""
        change = self._changes.get(method.rpartition("/")[2])
        for changed in change(message) if change else [message + UNKNOWN]:
            yield changed

    def _completion(self, message: bytes) -> list[bytes]:
        response = completion_service_pb2.StreamCompletionResponse.FromString(message)
        if response.WhichOneof("event") == "completion":  # The last: nothing may follow.
            self._add_part(response.completion.message)
            return [UNKNOWN, response.SerializeToString()]
        empty = completion_service_pb2.StreamCompletionResponse(delta=message_pb2.MessageDelta(part_index=0))
        return [message + UNKNOWN, UNKNOWN, empty.SerializeToString()]

    def _attach(self, message: bytes) -> list[bytes]:
        response = run_service_pb2.AttachRunResponse.FromString(message)
        if response.WhichOneof("message") == "events":
            self._add_events(response.events.events)
            return [UNKNOWN, response.SerializeToString()]
        command = run_service_pb2.AttachRunResponse(command=tool_service_pb2.HostCommand.FromString(UNKNOWN))
        return [message + UNKNOWN, UNKNOWN, command.SerializeToString()]

    def _watch(self, message: bytes) -> list[bytes]:
        response = run_service_pb2.WatchRunResponse.FromString(message)
        self._add_events(response.events)
        return [response.SerializeToString() + UNKNOWN]

    def _host(self, message: bytes) -> list[bytes]:
        command = tool_service_pb2.HostCommand.FromString(UNKNOWN)
        unknown = tool_service_pb2.HostToolsResponse(command=command)
        return [message + UNKNOWN, UNKNOWN, unknown.SerializeToString()]

    def _add_events(self, events: Any) -> None:
        known = list(events)
        del events[:]
        for event in known:
            if event.HasField("message_completed"):
                self._add_part(event.message_completed.message)
                event.message_completed.finish_reason = _UNKNOWN_ENUM
            unknown = run_pb2.RunEvent.FromString(UNKNOWN)
            unknown.sequence = event.sequence
            call = run_pb2.ToolCallUpdate(
                call=message_pb2.ToolCall(id="call_new", name="new"), state=_UNKNOWN_ENUM
            )
            update = run_pb2.RunEvent(sequence=event.sequence, tool_call_updated=call)
            empty = run_pb2.RunMessageDelta(message_id="msg_new", deltas=[message_pb2.MessageDelta()])
            delta = run_pb2.RunEvent(sequence=event.sequence, message_delta=empty)
            events.extend([unknown, update, delta, event])

    def _add_part(self, message: message_pb2.Message) -> None:
        message.parts.append(message_pb2.Part.FromString(UNKNOWN))


class Ditherer:
    """Holds each receipt back, to show what a host does meanwhile."""

    def __init__(self) -> None:
        self.let_through = 0

    async def __call__(self, method: str, message: bytes) -> AsyncIterator[bytes]:
        """Pass a message on; a receipt later."""
        name = method.rpartition("/")[2]
        response: Any = None
        if name == "HostTools":
            response = tool_service_pb2.HostToolsResponse.FromString(message)
        elif name == "AttachRun":
            response = run_service_pb2.AttachRunResponse.FromString(message)
        receipt = response is not None and response.command.WhichOneof("command") == "receipt"
        if receipt:
            await asyncio.sleep(DITHER_SECONDS)
            self.let_through += 1
        yield message

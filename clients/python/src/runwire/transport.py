"""Connections: channels with Runwire's settings, one pair per event loop.

A pair, because streams and control calls do not share a connection: a connection that is full of streams
queues the next call silently, and a cancellation must not wait for a stream to end.
"""

from __future__ import annotations

import asyncio
import json
import os
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import grpc.aio

from runwire.errors import from_rpc
from runwire.v1 import (
    completion_service_pb2_grpc,
    model_service_pb2_grpc,
    run_service_pb2_grpc,
    tool_service_pb2_grpc,
)

if TYPE_CHECKING:
    from runwire.v1.completion_service_pb2_grpc import CompletionServiceAsyncStub
    from runwire.v1.model_service_pb2_grpc import ModelServiceAsyncStub
    from runwire.v1.run_service_pb2_grpc import RunServiceAsyncStub
    from runwire.v1.tool_service_pb2_grpc import ToolServiceAsyncStub

T = TypeVar("T")

DEFAULT_TARGET = "127.0.0.1:50051"

# Only calls that are harmless twice. Never completions and never the two-way streams.
_RETRIED = {
    "runwire.v1.RunService": ["CreateRun", "GetRun", "ListRuns", "WatchRun", "CancelRun"],
    "runwire.v1.ToolService": ["ReportToolCall", "ListTools"],
    "runwire.v1.ModelService": ["ListModels"],
}
_SERVICE_CONFIG = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{"service": s, "method": m} for s, methods in _RETRIED.items() for m in methods],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    }
)

_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.service_config", _SERVICE_CONFIG),
    ("grpc.enable_retries", 1),
    # The stream's window. gRPC's core grows the connection's window with its streams, so an unread
    # stream never stalls the others.
    ("grpc.http2.lookahead_bytes", 256 * 1024),
    # Requests up to 32 MiB; answers are smaller, but a completion has no fixed bound.
    ("grpc.max_send_message_length", 32 * 1024 * 1024),
    ("grpc.max_receive_message_length", 32 * 1024 * 1024),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.absolute_max_metadata_size", 32 * 1024),
    # Servers answer faster pings with GOAWAY.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    # In spite of its name: how long one attempt to connect may take, the TLS handshake included.
    ("grpc.min_reconnect_backoff_ms", 10_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # A pool of its own: channels with equal arguments would share one connection otherwise.
    ("grpc.use_local_subchannel_pool", 1),
)


@dataclass(frozen=True)
class Tls:
    """TLS, and mutual TLS with a certificate and key. Paths of PEM files."""

    ca: str | os.PathLike[str] | None = None
    certificate: str | os.PathLike[str] | None = None
    key: str | os.PathLike[str] | None = None
    #: The name to expect in the server's certificate when it is not the target's host.
    server_name: str | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files."""

        def read(path: str | os.PathLike[str] | None) -> bytes | None:
            return None if path is None else Path(path).read_bytes()

        return grpc.ssl_channel_credentials(read(self.ca), read(self.key), read(self.certificate))


class Channels:
    """The two channels of one event loop, and their stubs."""

    def __init__(self, open_channel: Callable[[], grpc.aio.Channel]) -> None:
        self._streams, self._control = open_channel(), open_channel()
        completion, run = completion_service_pb2_grpc, run_service_pb2_grpc
        tool, model = tool_service_pb2_grpc, model_service_pb2_grpc
        self.completions: CompletionServiceAsyncStub = completion.CompletionServiceStub(self._streams)
        self.run_streams: RunServiceAsyncStub = run.RunServiceStub(self._streams)
        self.tool_streams: ToolServiceAsyncStub = tool.ToolServiceStub(self._streams)
        self.runs: RunServiceAsyncStub = run.RunServiceStub(self._control)
        self.tools: ToolServiceAsyncStub = tool.ToolServiceStub(self._control)
        self.models: ModelServiceAsyncStub = model.ModelServiceStub(self._control)

    async def close(self) -> None:
        """Close both; what is in flight is cancelled."""
        await asyncio.gather(self._streams.close(None), self._control.close(None))


class Transport:
    """Where the server is and how to get there. Usable from any number of event loops."""

    def __init__(
        self,
        target: str | None = None,
        *,
        token: str | None = None,
        tls: Tls | bool | None = None,
        options: tuple[tuple[str, Any], ...] = (),
    ) -> None:
        self.target, secure = _split(target or os.environ.get("RUNWIRE_SERVER") or DEFAULT_TARGET)
        self._tls = tls if isinstance(tls, Tls) else Tls() if tls or (secure and tls is None) else None
        self._token = token or os.environ.get("RUNWIRE_TOKEN")
        self._options = _OPTIONS + options
        self._by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Channels] = (
            weakref.WeakKeyDictionary()
        )

    def __repr__(self) -> str:
        return f"Transport({self.target!r}, tls={self._tls is not None}, token={self._token is not None})"

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with every call."""
        return (("authorization", f"Bearer {self._token}"),) if self._token else ()

    def channels(self) -> Channels:
        """Return the running loop's channels; opens them on first use."""
        loop = asyncio.get_running_loop()
        channels = self._by_loop.get(loop)
        if channels is None:
            channels = self._by_loop[loop] = Channels(self._open)
        return channels

    async def close(self) -> None:
        """Close the running loop's channels."""
        channels = self._by_loop.pop(asyncio.get_running_loop(), None)
        if channels is not None:
            await channels.close()

    def _open(self) -> grpc.aio.Channel:
        if self._tls is None:
            return grpc.aio.insecure_channel(self.target, options=self._options)
        options = self._options
        if self._tls.server_name:
            options += (("grpc.ssl_target_name_override", self._tls.server_name),)
        return grpc.aio.secure_channel(self.target, self._tls.credentials(), options=options)


async def unary(call: Awaitable[T]) -> T:
    """Await a unary call; a failed one raises its typed exception."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise from_rpc(error) from None


async def messages(call: grpc.aio.UnaryStreamCall[Any, T]) -> AsyncGenerator[T, None]:
    """Draw a stream's messages; leaving early cancels the call."""
    try:
        async for message in call:
            yield message
    except grpc.aio.AioRpcError as error:
        raise from_rpc(error) from None
    finally:
        call.cancel()


def _split(target: str) -> tuple[str, bool]:
    for scheme, secure in (("http://", False), ("https://", True)):
        if target.startswith(scheme):
            return target[len(scheme) :].rstrip("/"), secure
    return target, False

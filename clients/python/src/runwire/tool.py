"""Tools: functions that a model may call."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import FrameType
from typing import Any, overload

from pydantic_core import PydanticSerializationError, to_json

from runwire.schema import ArgumentError, Signature, caller, inspect_function
from runwire.threads import Threads
from runwire.v1 import generation_pb2, message_pb2, run_pb2

__all__ = ["Declined", "HostedTool", "Media", "Tool", "ToolContext", "ToolError", "tool"]

Seconds = float | timedelta


class ToolError(Exception):
    """Raise it in a tool to tell the model what went wrong, in words meant for it."""


class Declined(ToolError):
    """Whoever was asked by :meth:`ToolContext.ask` has declined, or nobody has answered in time."""


@dataclass(frozen=True)
class Media:
    """An image or another medium as a tool's result: bytes, or a URI that the provider can fetch."""

    media_type: str
    data: bytes = b""
    uri: str = ""

    def to_part(self) -> message_pb2.Part:
        """Convert to the wire's form."""
        source = {"uri": self.uri} if self.uri else {"data": self.data}
        return message_pb2.Part(media=message_pb2.Media(media_type=self.media_type, **source))


class ToolContext:
    """What a call knows of itself. A parameter annotated with it receives it; the model never sees it."""

    def __init__(
        self,
        *,
        call_id: str,
        attempt: int = 1,
        run_id: str = "",
        agent_name: str = "",
        principal: str = "",
        labels: Mapping[str, str] | None = None,
        traceparent: str = "",
        timeout: float | None = None,
        on_progress: Callable[[run_pb2.ToolProgress], None] | None = None,
        on_question: Callable[[run_pb2.Question], Awaitable[run_pb2.InputAnswer]] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        #: The call, and its idempotency key: every delivery of one call has the same.
        self.call_id = call_id
        #: Which delivery this is, from 1.
        self.attempt = attempt
        self.run_id = run_id
        self.agent_name = agent_name
        #: Who created the run, as the server has authenticated it.
        self.principal = principal
        self.labels = dict(labels or {})
        #: W3C trace context.
        self.traceparent = traceparent
        #: When the result must be there, by :func:`time.monotonic`; ``None``: no limit.
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self._cancelled = threading.Event()
        self._on_progress = on_progress
        self._on_question = on_question
        self._loop = loop
        self._paused_at: float | None = None

    @property
    def cancelled(self) -> bool:
        """Whether the call was cancelled. Functions in threads ask; coroutines are cancelled anyway."""
        return self._cancelled.is_set()

    @property
    def time_left(self) -> float | None:
        """Seconds until the deadline, never negative."""
        now = time.monotonic() if self._paused_at is None else self._paused_at
        return None if self.deadline is None else max(0.0, self.deadline - now)

    def wait_cancelled(self, timeout: float) -> bool:
        """Wait in a thread, at most ``timeout`` seconds, for the cancellation of the call."""
        return self._cancelled.wait(timeout)

    def progress(self, progress: float, total: float | None = None, message: str = "") -> None:
        """Tell watchers how far the call is. Callable from any thread; never waits."""
        if self._on_progress is not None:
            self._on_progress(run_pb2.ToolProgress(progress=progress, total=total or 0.0, message=message))

    async def ask(self, message: str, schema: Mapping[str, Any] | None = None) -> Any:
        """Ask a person, and wait for the answer, for days if need be; the clock of the call stands still.

        With a JSON Schema the answer fits it; without one it is any JSON value, or ``None``.

        Raises:
            Declined: With the reason, if one was given.
            RuntimeError: There is nobody to ask, or a question of this call is open.
        """
        if self._on_question is None:
            raise RuntimeError("nobody can be asked from here")
        schema_json = "" if schema is None else json.dumps(schema)
        answer = await self._on_question(run_pb2.Question(message=message, schema_json=schema_json))
        if answer.action != run_pb2.InputAnswer.ACTION_ACCEPT:
            raise Declined(answer.reason or "the question was declined")
        return json.loads(answer.content_json) if answer.content_json else None

    def ask_sync(self, message: str, schema: Mapping[str, Any] | None = None) -> Any:
        """As :meth:`ask`, for functions that run in threads."""
        if self._loop is None:
            raise RuntimeError("nobody can be asked from here")
        return asyncio.run_coroutine_threadsafe(self.ask(message, schema), self._loop).result()

    def pause(self) -> None:
        """Stop the clock of the call: what the engine does while a question is open."""
        self._paused_at = time.monotonic()

    def resume(self) -> None:
        """Let the clock go on."""
        if self._paused_at is not None and self.deadline is not None:
            self.deadline += time.monotonic() - self._paused_at
        self._paused_at = None

    def cancel(self) -> None:
        """Mark the call as cancelled: what the engine does when the server says so."""
        self._cancelled.set()


@dataclass(frozen=True)
class HostedTool:
    """A tool that some tool host has registered, for :attr:`Agent.tools`."""

    name: str
    version: str = ""
    #: Only this host: for functions of one's own process.
    host_id: str = ""
    host_labels: Mapping[str, str] = field(default_factory=dict)
    #: Later calls of a run go to the host of its first.
    sticky: bool = False
    timeout: Seconds | None = None
    accept_timeout: Seconds | None = None
    progress_timeout: Seconds | None = None


@dataclass(frozen=True, eq=False)
class Tool:
    """A function with its definition. Calling it calls the function."""

    function: Callable[..., Any]
    name: str
    description: str
    schema: Mapping[str, Any]
    signature: Signature
    version: str = ""
    read_only: bool = False
    idempotent: bool = False
    destructive: bool = False
    timeout: Seconds | None = None
    accept_timeout: Seconds | None = None
    progress_timeout: Seconds | None = None

    @classmethod
    def from_function(
        cls,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        version: str = "",
        read_only: bool = False,
        idempotent: bool = False,
        destructive: bool = False,
        timeout: Seconds | None = None,
        accept_timeout: Seconds | None = None,
        progress_timeout: Seconds | None = None,
        _frame: FrameType | None = None,
    ) -> Tool:
        """Make a tool of a function: schema from its hints, descriptions from its docstring.

        ``read_only`` and ``idempotent`` say that a call may be delivered again when its host was lost;
        without them a call runs at most once. Time-outs are per call; see ``ToolBinding``.

        Raises:
            TypeError: The signature cannot be described; the message names the parameter.
        """
        signature = inspect_function(function, context_type=ToolContext, frame=_frame or caller())
        return cls(
            function=function,
            name=name or str(getattr(function, "__name__", type(function).__name__)),
            description=signature.description if description is None else description,
            schema=signature.schema,
            signature=signature,
            version=version,
            read_only=read_only,
            idempotent=idempotent,
            destructive=destructive,
            timeout=timeout,
            accept_timeout=accept_timeout,
            progress_timeout=progress_timeout,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs)

    @property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function; all others run in threads."""
        return _is_async(self.function)

    @property
    def may_redeliver(self) -> bool:
        """Whether a call may run again after its host was lost."""
        return self.read_only or self.idempotent

    def to_proto(self) -> generation_pb2.Tool:
        """Convert to the wire's form."""
        return generation_pb2.Tool(
            name=self.name,
            description=self.description,
            input_schema_json=json.dumps(self.schema, ensure_ascii=False, separators=(",", ":")),
            version=self.version,
            annotations=generation_pb2.ToolAnnotations(
                read_only=self.read_only, idempotent=self.idempotent, destructive=self.destructive
            ),
        )

    def to_openai(self) -> dict[str, Any]:
        """Convert to OpenAI's form of a function tool."""
        function = {"name": self.name, "description": self.description, "parameters": dict(self.schema)}
        return {"type": "function", "function": function}

    async def invoke(
        self, arguments_json: str, context: ToolContext, threads: Threads
    ) -> list[message_pb2.Part]:
        """Run a call: validate, call, convert the result. Synchronous functions run in a thread.

        Raises:
            ToolError: The arguments do not fit or the result cannot be told to a model.
            BaseException: Whatever the function raises.
        """
        try:
            values = self.signature.parse(arguments_json)
        except ArgumentError as error:
            raise ToolError(f"invalid arguments for tool '{self.name}': {error}") from None
        args, kwargs = self.signature.bind(values, context)
        call = functools.partial(self.function, *args, **kwargs)
        if self.is_async:
            result = await call()
        else:
            result = await threads.submit(call)
            if inspect.isawaitable(result):
                result = await result
        return to_parts(result)


def to_parts(result: Any) -> list[message_pb2.Part]:
    """Convert a function's result: text as it is, media as media, everything else as JSON.

    Raises:
        ToolError: It is none of these.
    """
    if isinstance(result, str):
        return [message_pb2.Part(text=result)]
    if isinstance(result, Media):
        return [result.to_part()]
    if isinstance(result, list | tuple) and any(isinstance(item, Media) for item in result):
        return [part for item in result for part in to_parts(item)]
    try:
        text = to_json(result).decode()
    except (PydanticSerializationError, ValueError) as error:
        raise ToolError(f"the tool's result is not JSON: {type(error).__name__}") from None
    return [message_pb2.Part(text=text)]


def _is_async(function: Callable[..., Any]) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isroutine(function):
        return inspect.iscoroutinefunction(function)
    return inspect.iscoroutinefunction(type(function).__call__)  # An object that can be called.


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    version: str = "",
    read_only: bool = False,
    idempotent: bool = False,
    destructive: bool = False,
    timeout: Seconds | None = None,
    accept_timeout: Seconds | None = None,
    progress_timeout: Seconds | None = None,
) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Decorate a function as a tool; see :meth:`Tool.from_function` for the options."""
    frame = caller()
    if function is not None:
        return Tool.from_function(function, _frame=frame)
    return lambda decorated: Tool.from_function(decorated, _frame=frame, **options)


def as_tool(value: Tool | Callable[..., Any]) -> Tool:
    """Take a tool as it is, and make one of a function."""
    if isinstance(value, Tool):
        return value
    if callable(value):
        return Tool.from_function(value)
    raise TypeError(f"not a tool: {type(value).__name__}")


def distinct(tools: list[Tool]) -> list[Tool]:
    """Refuse two tools of one name: the model could not tell them apart.

    Raises:
        ValueError: Names the clash.
    """
    seen: set[str] = set()
    for each in tools:
        if each.name in seen:
            raise ValueError(f"two tools are named '{each.name}'")
        seen.add(each.name)
    return tools

"""Clients: completions, models and runs of one server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from runwire import background
from runwire.chat import Chat
from runwire.completion import (
    Completion,
    CompletionStream,
    SyncCompletionStream,
    ToolDefinition,
    to_params,
)
from runwire.conversation import Input
from runwire.errors import RunwireError, from_data
from runwire.runs import AsyncRuns, Runs
from runwire.transport import Tls, Transport, unary
from runwire.v1 import completion_service_pb2, model_service_pb2


@dataclass(frozen=True)
class Model:
    """A model that the server can reach. ``None``: not known."""

    id: str
    provider: str
    aliases: tuple[str, ...]
    context_tokens: int | None
    max_output_tokens: int | None
    input_media_types: tuple[str, ...]
    supports_tools: bool | None
    supports_reasoning: bool | None
    supports_output_schema: bool | None
    supports_media: bool | None = None
    supports_parallel_tool_calls: bool | None = None
    supports_streaming: bool | None = None
    #: ``"native"``, ``"tool_call"`` or ``"prompt"``.
    output_schema_method: str | None = None
    #: Prices of a million tokens, in millionths of a US dollar.
    input_price_micros: int | None = None
    output_price_micros: int | None = None


class Models(list[Model]):
    """The models, and the providers that could not be asked, with why."""

    unavailable: Mapping[str, RunwireError]

    def __init__(self) -> None:
        super().__init__()
        self.unavailable = {}


class AsyncClient:
    """A server, for asynchronous code. Usable from several event loops.

    ``target`` is ``host:port``, or a URL with ``http`` or ``https``; else ``$RUNWIRE_SERVER``, else the
    server's default address. ``token`` is a bearer token, else ``$RUNWIRE_TOKEN``.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        token: str | None = None,
        tls: Tls | bool | None = None,
        channel_options: tuple[tuple[str, Any], ...] = (),
        transport: Transport | None = None,
    ) -> None:
        #: The connections.
        self.transport = transport or Transport(target, token=token, tls=tls, options=channel_options)
        self.runs = AsyncRuns(self.transport)
        self.chat = Chat(self.transport)

    async def complete(
        self,
        model: str,
        input: Input,
        *,
        tools: Sequence[ToolDefinition] = (),
        fallback_models: Sequence[str] = (),
        timeout: float | None = None,
        **options: Any,
    ) -> Completion:
        """Answer once. Tools are offered to the model and their calls returned, not run.

        ``timeout`` in seconds is the whole budget, retries and fallbacks of the server included. Options go
        by OpenAI's names: ``temperature``, ``max_tokens``, ``tool_choice``, ``response_format`` (a pydantic
        model, too), ``reasoning_effort``, ``seed``, ``stop``…; others reach the provider as they are.
        """
        params = to_params(model, input, tools=tools, fallback_models=fallback_models, options=options)
        request = completion_service_pb2.GenerateCompletionRequest(params=params)
        stub = self.transport.channels().completions
        call = stub.GenerateCompletion(request, timeout=timeout, metadata=self.transport.metadata)
        return Completion.from_proto((await unary(call)).completion)

    async def stream(
        self,
        model: str,
        input: Input,
        *,
        tools: Sequence[ToolDefinition] = (),
        fallback_models: Sequence[str] = (),
        timeout: float | None = None,
        **options: Any,
    ) -> CompletionStream:
        """As :meth:`complete`, as it is made: iterate for the deltas, then take ``completion``."""
        params = to_params(model, input, tools=tools, fallback_models=fallback_models, options=options)
        request = completion_service_pb2.StreamCompletionRequest(params=params)
        stub = self.transport.channels().completions
        return CompletionStream(
            stub.StreamCompletion(request, timeout=timeout, metadata=self.transport.metadata)
        )

    async def models(self, provider: str = "") -> Models:
        """List the models, all pages."""
        request = model_service_pb2.ListModelsRequest(provider=provider, page_size=500)
        models, unavailable = Models(), {}
        while True:
            stub = self.transport.channels().models
            response = await unary(stub.ListModels(request, metadata=self.transport.metadata))
            models.extend(_model(model) for model in response.models)
            unavailable.update({each.provider: from_data(each.error) for each in response.unavailable})
            if not response.next_page_token:
                models.unavailable = unavailable
                return models
            request.page_token = response.next_page_token

    async def aclose(self) -> None:
        """Close this event loop's connections."""
        await self.transport.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class Client:
    """A server, for synchronous code; arguments as of :class:`AsyncClient`.

    Its ``chat.completions`` has ``acreate`` too, and a :class:`ToolHost` or :class:`Runner` takes it
    in asynchronous code as well.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        token: str | None = None,
        tls: Tls | bool | None = None,
        channel_options: tuple[tuple[str, Any], ...] = (),
    ) -> None:
        self._client = AsyncClient(target, token=token, tls=tls, channel_options=channel_options)
        self.transport = self._client.transport
        self.runs = Runs(self._client.runs)
        self.chat = self._client.chat

    def complete(self, model: str, input: Input, **arguments: Any) -> Completion:
        """As :meth:`AsyncClient.complete`."""
        return background.run(self._client.complete(model, input, **arguments))

    def stream(self, model: str, input: Input, **arguments: Any) -> SyncCompletionStream:
        """As :meth:`AsyncClient.stream`."""
        return SyncCompletionStream(background.run(self._client.stream(model, input, **arguments)))

    def models(self, provider: str = "") -> Models:
        """As :meth:`AsyncClient.models`."""
        return background.run(self._client.models(provider))

    def close(self) -> None:
        """Close the connections of synchronous calls."""
        background.run(self._client.aclose())

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _model(model: model_service_pb2.Model) -> Model:
    def known(name: str) -> Any:
        return getattr(model, name) if model.HasField(name) else None  # type: ignore[arg-type]

    method = model_service_pb2.OutputSchemaMethod.Name(model.output_schema_method)
    method = method.removeprefix("OUTPUT_SCHEMA_METHOD_").lower()
    return Model(
        id=model.id,
        provider=model.provider,
        aliases=tuple(model.aliases),
        context_tokens=model.context_tokens or None,
        max_output_tokens=model.max_output_tokens or None,
        input_media_types=tuple(model.input_media_types),
        supports_tools=known("supports_tools"),
        supports_reasoning=known("supports_reasoning"),
        supports_output_schema=known("supports_output_schema"),
        supports_media=known("supports_media"),
        supports_parallel_tool_calls=known("supports_parallel_tool_calls"),
        supports_streaming=known("supports_streaming"),
        output_schema_method=None if method == "unspecified" else method,
        input_price_micros=known("input_price_micros"),
        output_price_micros=known("output_price_micros"),
    )

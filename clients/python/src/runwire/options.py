"""Generation options from keyword arguments, by the names that OpenAI's API has given them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from google.protobuf import duration_pb2

from runwire.schema import output_schema
from runwire.v1 import generation_pb2, run_pb2

_EFFORTS = {
    "none": generation_pb2.REASONING_EFFORT_NONE,
    "minimal": generation_pb2.REASONING_EFFORT_MINIMAL,
    "low": generation_pb2.REASONING_EFFORT_LOW,
    "medium": generation_pb2.REASONING_EFFORT_MEDIUM,
    "high": generation_pb2.REASONING_EFFORT_HIGH,
    "max": generation_pb2.REASONING_EFFORT_MAX,
    "xhigh": generation_pb2.REASONING_EFFORT_MAX,
}
_MODES = {
    "auto": generation_pb2.ToolChoice.MODE_AUTO,
    "none": generation_pb2.ToolChoice.MODE_NONE,
    "required": generation_pb2.ToolChoice.MODE_REQUIRED,
}
# Same name and meaning on the wire.
_PLAIN = ("temperature", "top_p", "top_k", "seed", "parallel_tool_calls", "max_reasoning_tokens")
_RENAMED = {
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "max_output_tokens": "max_output_tokens",
}


def to_options(model: str, arguments: Mapping[str, Any]) -> generation_pb2.GenerationOptions:
    """Convert keyword arguments. Those that have no common meaning go to the model's provider as they are.

    ``provider_options`` maps a provider's name to such arguments; needed when the model is an alias.

    Raises:
        ValueError: A value is not one that the argument can have.
    """
    options = generation_pb2.GenerationOptions()
    extra: dict[str, Any] = {}
    for key, value in arguments.items():
        if value is None:
            continue
        if key in _PLAIN:
            setattr(options, key, value)
        elif key in _RENAMED:
            options.max_output_tokens = value
        elif key == "stop":
            options.stop_sequences.extend([value] if isinstance(value, str) else value)
        elif key == "reasoning_effort":
            options.reasoning_effort = _choose(key, _EFFORTS, value)
        elif key == "tool_choice":
            options.tool_choice.CopyFrom(_tool_choice(value))
        elif key == "response_format":
            extra |= _response_format(options, value)
        elif key == "provider_options":
            for provider, settings in value.items():
                options.provider_options[provider] = json.dumps(settings)
        elif key == "n" and value != 1:
            raise ValueError("n: one answer per call; call again for another")
        elif key not in ("n", "stream_options"):  # Usage always comes.
            extra[key] = value
    if extra:
        _pass_through(options, model, extra)
    return options


def to_duration(value: float | timedelta) -> duration_pb2.Duration:
    """Convert seconds or a timedelta."""
    duration = duration_pb2.Duration()
    duration.FromTimedelta(value if isinstance(value, timedelta) else timedelta(seconds=value))
    return duration


def to_limits(
    max_turns: int | None = None,
    max_tool_calls: int | None = None,
    max_tokens: int | None = None,
    max_parallel_tool_calls: int | None = None,
    timeout: float | timedelta | None = None,
) -> run_pb2.RunLimits:
    """Convert the limits of a run.

    Raises:
        ValueError: ``max_turns`` is not positive: a run without a turn has no answer.
    """
    if max_turns is not None and max_turns < 1:
        raise ValueError("max_turns must be at least 1")
    limits = run_pb2.RunLimits(
        max_turns=max_turns,
        max_tool_calls=max_tool_calls,
        max_tokens=max_tokens,
        max_parallel_tool_calls=max_parallel_tool_calls,
    )
    if timeout is not None:
        limits.timeout.CopyFrom(to_duration(timeout))
    return limits


def _choose(key: str, values: Mapping[str, Any], value: Any) -> Any:
    if value not in values:
        raise ValueError(f"{key}: {value!r} is not one of {', '.join(values)}")
    return values[value]


def _tool_choice(value: Any) -> generation_pb2.ToolChoice:
    if isinstance(value, str):
        return generation_pb2.ToolChoice(mode=_choose("tool_choice", _MODES, value))
    try:
        return generation_pb2.ToolChoice(tool_name=value["function"]["name"])
    except (KeyError, TypeError):
        raise ValueError("tool_choice: a mode, or {'type': 'function', 'function': {'name': …}}") from None


def _response_format(options: generation_pb2.GenerationOptions, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        if value.get("type") == "json_schema":
            options.output_schema_json = json.dumps(value["json_schema"]["schema"])
            return {}
        return {} if value.get("type") == "text" else {"response_format": dict(value)}
    options.output_schema_json = json.dumps(output_schema(value))
    return {}


def _pass_through(options: generation_pb2.GenerationOptions, model: str, extra: dict[str, Any]) -> None:
    provider, colon, _ = model.partition(":")
    if not colon:
        names = ", ".join(sorted(extra))
        raise ValueError(
            f"{names}: which provider are they for? '{model}' does not say; use provider_options"
        )
    given = json.loads(options.provider_options.get(provider, "{}"))
    options.provider_options[provider] = json.dumps({**extra, **given})

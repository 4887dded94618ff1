"""Conversations as OpenAI-style dictionaries, and back.

Providers need some of their own state again in later turns (signed reasoning, item ids), and the order of
reasoning, text and calls matters to them. Dictionaries have no place for either, so an assistant message
that carries such state has one extra key, ``provider_state``: an opaque text that holds the whole message.
It counts as long as the visible part of the dictionary still says the same; whoever edits a message drops it.
"""

from __future__ import annotations

import base64
import binascii
import json
import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from google.protobuf.message import DecodeError

from runwire.v1 import message_pb2

Dict = dict[str, Any]


@runtime_checkable
class _Dumpable(Protocol):
    def model_dump(self) -> Dict: ...


MessageLike = Mapping[str, Any] | _Dumpable | message_pb2.Message
Input = str | Sequence[MessageLike]

_ROLES = {
    "system": message_pb2.ROLE_SYSTEM,
    "developer": message_pb2.ROLE_SYSTEM,
    "user": message_pb2.ROLE_USER,
    "assistant": message_pb2.ROLE_ASSISTANT,
    "tool": message_pb2.ROLE_TOOL,
}
_NAMES = {
    message_pb2.ROLE_SYSTEM: "system",
    message_pb2.ROLE_USER: "user",
    message_pb2.ROLE_ASSISTANT: "assistant",
    message_pb2.ROLE_TOOL: "tool",
}
_AUDIO = {"wav": "audio/wav", "mp3": "audio/mpeg", "flac": "audio/flac", "opus": "audio/opus"}


def as_dicts(value: Input) -> list[Dict]:
    """Take a conversation in any accepted form: a text is one user message.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if not isinstance(value, Sequence):
        raise ValueError(f"input must be a text or a list of messages, not {type(value).__name__}")  # noqa: TRY004
    result: list[Dict] = []
    for item in value:
        if isinstance(item, message_pb2.Message):
            result.extend(to_dicts(item))
        elif isinstance(item, Mapping):
            result.append(dict(item))
        elif isinstance(item, _Dumpable):
            result.append({k: v for k, v in item.model_dump().items() if v is not None})
        else:
            raise ValueError(f"not a message: {type(item).__name__}")  # noqa: TRY004
    return result


def to_messages(value: Input) -> list[message_pb2.Message]:
    """Convert a conversation to the wire's form; the results of one turn become one message.

    Raises:
        ValueError: A message has no known role or content; says which and what.
    """
    messages: list[message_pb2.Message] = []
    for index, item in enumerate(as_dicts(value)):
        try:
            message = _to_message(item)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"missing key {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"messages[{index}]: {what}") from None
        tools = message_pb2.ROLE_TOOL
        if messages and message.role == tools and messages[-1].role == tools:
            messages[-1].parts.extend(message.parts)
        else:
            messages.append(message)
    return messages


def to_dicts(message: message_pb2.Message, tool_names: Mapping[str, str] | None = None) -> list[Dict]:
    """Convert a message from the wire; a tool message becomes one dictionary per result."""
    if message.role == message_pb2.ROLE_TOOL:
        return [
            _result_to_dict(part.tool_result, tool_names or {})
            for part in message.parts
            if part.WhichOneof("content") == "tool_result"
        ]
    result: Dict = {"role": _NAMES.get(message.role, "user"), "content": _content(message)}
    if message.name:
        result["name"] = message.name
    if message.role == message_pb2.ROLE_ASSISTANT:
        _add_assistant(result, message)
    return [result]


def text_of(message: message_pb2.Message) -> str:
    """Return the text of a message, its parts joined."""
    return "".join(part.text for part in message.parts if part.WhichOneof("content") == "text")


def reasoning_of(message: message_pb2.Message) -> str:
    """Return the reasoning of a message, its parts joined."""
    return "".join(p.reasoning.text for p in message.parts if p.WhichOneof("content") == "reasoning")


def calls_of(message: message_pb2.Message) -> list[message_pb2.ToolCall]:
    """Return the tool calls of a message, in order."""
    return [part.tool_call for part in message.parts if part.WhichOneof("content") == "tool_call"]


# --- to the wire ----------------------------------------------------------------------------------------


def _to_message(item: Dict) -> message_pb2.Message:
    role = _ROLES.get(item["role"])
    if role is None:
        raise ValueError(f"unknown role {item['role']!r}")
    if role == message_pb2.ROLE_TOOL:
        return message_pb2.Message(role=role, parts=[message_pb2.Part(tool_result=_to_result(item))])
    kept = _kept(item)
    if kept is not None:
        return kept
    message = message_pb2.Message(role=role, name=item.get("name") or "")
    if item.get("reasoning_content"):
        message.parts.add().reasoning.text = item["reasoning_content"]
    message.parts.extend(_to_parts(item.get("content")))
    for call in item.get("tool_calls") or ():
        function = call["function"]
        arguments = function.get("arguments") or "{}"
        part = message.parts.add().tool_call
        part.id, part.name = call["id"], function["name"]
        part.arguments_json = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return message


def _to_result(item: Dict) -> message_pb2.ToolResult:
    return message_pb2.ToolResult(
        call_id=item["tool_call_id"],
        parts=list(_to_parts(item.get("content"))),
        is_error=bool(item.get("is_error", False)),
    )


def _to_parts(content: Any) -> Iterable[message_pb2.Part]:
    if content is None:
        return
    if isinstance(content, str):
        yield message_pb2.Part(text=content)
        return
    for part in content:
        kind = part["type"]
        if kind == "text":
            yield message_pb2.Part(text=part["text"])
        elif kind == "image_url":
            yield message_pb2.Part(media=_media(part["image_url"]["url"], "image/*"))
        elif kind == "input_audio":
            audio = part["input_audio"]
            media_type = _AUDIO.get(audio["format"], f"audio/{audio['format']}")
            data = base64.b64decode(audio["data"], validate=True)
            yield message_pb2.Part(media=message_pb2.Media(media_type=media_type, data=data))
        elif kind == "file":
            media = _media(part["file"]["file_data"], "application/octet-stream")
            media.filename = part["file"].get("filename", "")
            yield message_pb2.Part(media=media)
        else:
            raise ValueError(f"unknown content type {kind!r}")


def _media(url: str, default: str) -> message_pb2.Media:
    if not url.startswith("data:"):
        guess = mimetypes.guess_type(url.partition("?")[0])[0]
        return message_pb2.Media(media_type=guess or default, uri=url)
    head, comma, data = url[len("data:") :].partition(",")
    if not comma or not head.endswith(";base64"):
        raise ValueError("a data URL must be base64")
    media_type = head[: -len(";base64")].partition(";")[0]
    return message_pb2.Media(media_type=media_type or default, data=base64.b64decode(data, validate=True))


def _kept(item: Dict) -> message_pb2.Message | None:
    """Return the whole message behind ``provider_state``, while the dictionary still says the same."""
    state = item.get("provider_state")
    if not state:
        return None
    try:
        message = message_pb2.Message.FromString(base64.b64decode(state, validate=True))
    except (binascii.Error, DecodeError, TypeError):
        return None
    shown = to_dicts(message)[0]
    keys = ("role", "content", "reasoning_content", "tool_calls")
    return message if all((item.get(key) or None) == (shown.get(key) or None) for key in keys) else None


# --- from the wire --------------------------------------------------------------------------------------


def _content(message: message_pb2.Message) -> Any:
    kinds = {part.WhichOneof("content") for part in message.parts}
    if "media" in kinds:
        return [shown for part in message.parts if (shown := _part_to_dict(part)) is not None]
    return text_of(message) if "text" in kinds else None


def _part_to_dict(part: message_pb2.Part) -> Dict | None:
    kind = part.WhichOneof("content")
    if kind == "text":
        return {"type": "text", "text": part.text}
    if kind != "media":
        return None
    media = part.media
    url = media.uri or f"data:{media.media_type};base64,{base64.b64encode(media.data).decode()}"
    if media.media_type.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": url}}
    return {"type": "file", "file": {"file_data": url, "filename": media.filename}}


def _add_assistant(result: Dict, message: message_pb2.Message) -> None:
    reasoning = reasoning_of(message)
    if reasoning:
        result["reasoning_content"] = reasoning
    calls = calls_of(message)
    if calls:
        result["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments_json},
            }
            for call in calls
        ]
    if any(part.provider_state for part in message.parts) or not _canonical(message):
        result["provider_state"] = base64.b64encode(message.SerializeToString(deterministic=True)).decode()


def _canonical(message: message_pb2.Message) -> bool:
    """Whether a dictionary can hold the message: at most one reasoning, then one text, then calls."""
    kinds = [part.WhichOneof("content") for part in message.parts]
    singles = [kind for kind in kinds if kind in ("reasoning", "text")]
    order = [kind for kind in ("reasoning", "text") if kind in singles]
    return kinds == order + ["tool_call"] * (len(kinds) - len(order))


def _result_to_dict(result: message_pb2.ToolResult, tool_names: Mapping[str, str]) -> Dict:
    kinds = {part.WhichOneof("content") for part in result.parts}
    content: Any = "".join(part.text for part in result.parts)
    if "media" in kinds:
        content = [shown for part in result.parts if (shown := _part_to_dict(part)) is not None]
    message: Dict = {"role": "tool", "tool_call_id": result.call_id, "content": content}
    if result.call_id in tool_names:
        message["name"] = tool_names[result.call_id]
    if result.is_error:
        message["is_error"] = True
    return message

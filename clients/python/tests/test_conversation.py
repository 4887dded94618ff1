"""Dictionaries to messages and back."""

import base64
from typing import Any

import pytest

from runwire.conversation import as_dicts, to_dicts, to_messages
from runwire.openai_shape import Message as ShapedMessage
from runwire.v1 import message_pb2


def part(**content: Any) -> message_pb2.Part:
    return message_pb2.Part(**content)


def assistant(*parts: message_pb2.Part) -> message_pb2.Message:
    return message_pb2.Message(role=message_pb2.ROLE_ASSISTANT, parts=parts)


def call(id: str = "call_1", name: str = "f", arguments: str = "{}") -> message_pb2.ToolCall:
    return message_pb2.ToolCall(id=id, name=name, arguments_json=arguments)


def test_a_text_is_one_user_message() -> None:
    assert as_dicts("hi") == [{"role": "user", "content": "hi"}]


def test_a_conversation_survives_the_way_there_and_back() -> None:
    conversation: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?", "name": "ada"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"b":1,"a":2}'}},
                {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "sun"},
        {"role": "tool", "tool_call_id": "call_2", "content": "broken", "is_error": True},
        {"role": "assistant", "content": "Sunny.", "reasoning_content": "It said sun."},
    ]
    messages = to_messages(conversation)
    assert [each for message in messages for each in to_dicts(message)] == conversation


def test_the_results_of_one_turn_are_one_message_in_order() -> None:
    messages = to_messages(
        [
            {"role": "tool", "tool_call_id": "call_1", "content": "a"},
            {"role": "tool", "tool_call_id": "call_2", "content": "b"},
            {"role": "user", "content": "c"},
        ]
    )
    assert [len(message.parts) for message in messages] == [2, 1]


def test_the_name_of_a_tool_is_added_to_its_result_when_known() -> None:
    result = message_pb2.ToolResult(call_id="call_1", parts=[part(text="x")])
    message = message_pb2.Message(role=message_pb2.ROLE_TOOL, parts=[part(tool_result=result)])
    assert to_dicts(message, {"call_1": "f"}) == [
        {"role": "tool", "tool_call_id": "call_1", "content": "x", "name": "f"}
    ]


def test_provider_state_and_the_order_of_parts_survive_the_dictionary() -> None:
    message = assistant(
        part(reasoning=message_pb2.Reasoning(text="hm"), provider_state=b"\x00signature"),
        part(text="First."),
        part(tool_call=call(), provider_state=b"item"),
        part(text="Then."),
        part(reasoning=message_pb2.Reasoning(), provider_state=b"redacted"),
    )
    [shown] = to_dicts(message)
    assert shown["content"] == "First.Then."
    assert shown["reasoning_content"] == "hm"
    assert to_messages([shown]) == [message]


def test_provider_state_survives_the_shaped_object_too() -> None:
    message = assistant(part(text="Hi", provider_state=b"state"))
    shaped = ShapedMessage.model_validate(to_dicts(message)[0])
    assert to_messages([shaped]) == [message]
    assert to_messages([shaped.model_dump()]) == [message]


@pytest.mark.parametrize(
    "edit", [{"content": "Bye"}, {"tool_calls": []}, {"provider_state": "no base64"}, {"role": "user"}]
)
def test_whoever_edits_a_message_drops_its_provider_state(edit: dict[str, Any]) -> None:
    message = assistant(part(text="Hi", provider_state=b"state"), part(tool_call=call()))
    [edited] = to_messages([{**to_dicts(message)[0], **edit}])
    assert all(not each.provider_state for each in edited.parts)


def test_a_plain_answer_has_no_extra_key() -> None:
    assert to_dicts(assistant(part(text="Hi"))) == [{"role": "assistant", "content": "Hi"}]


def test_a_part_of_an_unknown_kind_is_skipped() -> None:
    assert to_dicts(assistant(message_pb2.Part(), part(text="Hi")))[0]["content"] == "Hi"


def test_media_are_carried_inline_or_by_reference() -> None:
    data = base64.b64encode(b"abc").decode()
    [message] = to_messages(
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "see"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
                    {"type": "image_url", "image_url": {"url": "https://example.com/cat.jpg?size=1"}},
                    {"type": "input_audio", "input_audio": {"data": data, "format": "mp3"}},
                    {
                        "type": "file",
                        "file": {"file_data": f"data:application/pdf;base64,{data}", "filename": "a.pdf"},
                    },
                ],
            }
        ]
    )
    media = [each.media for each in message.parts[1:]]
    assert [(each.media_type, each.data, each.uri) for each in media] == [
        ("image/png", b"abc", ""),
        ("image/jpeg", b"", "https://example.com/cat.jpg?size=1"),
        ("audio/mpeg", b"abc", ""),
        ("application/pdf", b"abc", ""),
    ]
    assert media[3].filename == "a.pdf"
    again = to_messages(to_dicts(message))[0]
    assert [each.media for each in again.parts[1:3]] == media[:2]


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([{"content": "x"}], r"messages\[0\]: missing key 'role'"),
        ([{"role": "user", "content": "x"}, {"role": "robot"}], r"messages\[1\]: unknown role 'robot'"),
        ([{"role": "user", "content": [{"type": "smell"}]}], "unknown content type 'smell'"),
        ([{"role": "tool", "content": "x"}], "missing key 'tool_call_id'"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}], "base64"),
        ([7], "not a message: int"),
        (7, "a text or a list of messages, not int"),
    ],
)
def test_what_is_no_conversation_is_refused_with_its_place(messages: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        to_messages(messages)


def test_the_callers_messages_are_not_changed() -> None:
    conversation = [{"role": "user", "content": "hi"}]
    as_dicts(conversation)[0]["content"] = "changed"
    assert conversation == [{"role": "user", "content": "hi"}]

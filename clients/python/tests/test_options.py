"""Options by OpenAI's names."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from runwire.options import to_limits, to_options
from runwire.v1 import generation_pb2


def test_common_options_have_their_place() -> None:
    options = to_options(
        "openai:x",
        {
            "temperature": 0.5,
            "top_p": 0.25,
            "top_k": 4,
            "seed": 7,
            "max_tokens": 100,
            "stop": "END",
            "reasoning_effort": "high",
            "parallel_tool_calls": False,
            "stream_options": {"include_usage": True},
            "n": 1,
            "logit_bias": None,
        },
    )
    assert options == generation_pb2.GenerationOptions(
        temperature=0.5,
        top_p=0.25,
        top_k=4,
        seed=7,
        max_output_tokens=100,
        stop_sequences=["END"],
        reasoning_effort=generation_pb2.REASONING_EFFORT_HIGH,
        parallel_tool_calls=False,
    )


def test_zero_and_false_are_not_unset() -> None:
    options = to_options("openai:x", {"temperature": 0, "seed": 0})
    assert options.HasField("temperature")
    assert options.HasField("seed")
    assert not options.HasField("top_p")


@pytest.mark.parametrize("key", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_the_output_limit_has_three_names(key: str) -> None:
    assert to_options("a:b", {key: 5}).max_output_tokens == 5


@pytest.mark.parametrize(
    ("value", "mode", "tool_name"),
    [
        ("auto", generation_pb2.ToolChoice.MODE_AUTO, ""),
        ("none", generation_pb2.ToolChoice.MODE_NONE, ""),
        ("required", generation_pb2.ToolChoice.MODE_REQUIRED, ""),
        ({"type": "function", "function": {"name": "f"}}, 0, "f"),
    ],
)
def test_tool_choice_in_openais_forms(value: Any, mode: int, tool_name: str) -> None:
    choice = to_options("a:b", {"tool_choice": value}).tool_choice
    assert (choice.mode, choice.tool_name) == (mode, tool_name)


def test_a_pydantic_model_is_an_answers_schema() -> None:
    class Answer(BaseModel):
        city: str

    schema = json.loads(to_options("a:b", {"response_format": Answer}).output_schema_json)
    assert schema == {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def test_openais_json_schema_is_an_answers_schema() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    assert to_options("a:b", {"response_format": form}).output_schema_json == '{"type": "object"}'


def test_what_has_no_common_meaning_reaches_the_models_provider() -> None:
    options = to_options("openai:x", {"user": "ada", "response_format": {"type": "json_object"}})
    assert json.loads(options.provider_options["openai"]) == {
        "user": "ada",
        "response_format": {"type": "json_object"},
    }


def test_an_alias_does_not_say_whose_an_option_is() -> None:
    with pytest.raises(ValueError, match="user: which provider"):
        to_options("fast", {"user": "ada"})
    options = to_options("fast", {"provider_options": {"openai": {"user": "ada"}}})
    assert json.loads(options.provider_options["openai"]) == {"user": "ada"}


@pytest.mark.parametrize(
    ("key", "value"),
    [("n", 2), ("tool_choice", "maybe"), ("tool_choice", {"name": "f"}), ("reasoning_effort", "huge")],
)
def test_values_that_an_option_cannot_have_are_refused(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=key):
        to_options("a:b", {key: value})


def test_a_run_needs_a_turn() -> None:
    with pytest.raises(ValueError, match="max_turns"):
        to_limits(max_turns=0)
    assert to_limits(max_turns=1, timeout=1.5).timeout.ToMilliseconds() == 1500

"""Schemas from signatures, and arguments back from JSON."""

import dataclasses
import enum
import json
from collections.abc import Callable
from typing import Annotated, Any, Literal, Optional, Union

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from runwire import Tool, ToolContext, tool
from runwire.schema import ArgumentError


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Point(BaseModel):
    """A place."""

    x: int
    y: int = 0


class Line(BaseModel):
    start: Point
    end: Point


@dataclasses.dataclass
class Size:
    width: int
    height: int


class Filter(TypedDict):
    field: str
    value: str


class Node(BaseModel):
    value: int
    children: list["Node"] = []


def properties(function: Callable[..., Any]) -> dict[str, Any]:
    found: dict[str, Any] = Tool.from_function(function).schema["properties"]
    return found


def parse(function: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    return Tool.from_function(function).signature.parse(json.dumps(arguments))


def test_a_function_becomes_the_openai_specification_that_its_signature_says() -> None:
    def send(to: str, count: int = 1) -> str:
        """Send a message.

        Several times if need be.

        Args:
            to: Who gets it.
        """
        return f"{to}{count}"

    assert Tool.from_function(send).to_openai() == {
        "type": "function",
        "function": {
            "name": "send",
            "description": "Send a message.\n\nSeveral times if need be.",
            "parameters": {
                "type": "object",
                "properties": {
                    "to": {"type": "string", "description": "Who gets it."},
                    "count": {"type": "integer", "default": 1},
                },
                "required": ["to"],
                "additionalProperties": False,
            },
        },
    }


@pytest.mark.parametrize(
    "docstring",
    [
        "Do it.\n\nArgs:\n    what: The thing.",
        "Do it.\n\nParameters\n----------\nwhat : str\n    The thing.",
        "Do it.\n\n:param what: The thing.",
    ],
    ids=["google", "numpy", "rest"],
)
def test_descriptions_come_from_every_common_style_of_docstring(docstring: str) -> None:
    def act(what: str) -> None: ...

    act.__doc__ = docstring
    made = Tool.from_function(act)
    assert made.description == "Do it."
    assert made.schema["properties"]["what"]["description"] == "The thing."


def test_a_parameter_without_annotation_is_rejected_by_name() -> None:
    def act(what) -> None: ...  # type: ignore[no-untyped-def]

    with pytest.raises(TypeError, match="'what' of tool 'act' needs a type annotation"):
        Tool.from_function(act)


def test_parameters_that_take_any_number_are_rejected() -> None:
    def many(*names: str) -> None: ...
    def more(**names: str) -> None: ...

    for function, shown in ((many, r"\*names"), (more, r"\*\*names")):
        with pytest.raises(TypeError, match=shown):
            Tool.from_function(function)


def test_a_type_that_contains_itself_is_rejected_by_name() -> None:
    def grow(tree: Node) -> None: ...

    with pytest.raises(TypeError, match="'Node' contains itself"):
        Tool.from_function(grow)


def test_a_type_that_json_cannot_describe_is_rejected() -> None:
    def act(callback: Callable[[], None]) -> None: ...

    with pytest.raises(TypeError, match="tool 'act'"):
        Tool.from_function(act)


def test_enums_literals_lists_dicts_and_unions_are_plain_json_schema() -> None:
    def act(
        color: Color,
        mode: Literal["fast", "slow"],
        names: list[str],
        scores: dict[str, float],
        limit: Optional[int] = None,  # noqa: UP045 - the old spelling, too
        key: Union[int, str] = 0,  # noqa: UP007
        note: str | None = None,
    ) -> None: ...

    made = Tool.from_function(act)
    assert made.schema["properties"] == {
        "color": {"enum": ["red", "blue"], "type": "string"},
        "mode": {"enum": ["fast", "slow"], "type": "string"},
        "names": {"items": {"type": "string"}, "type": "array"},
        "scores": {"additionalProperties": {"type": "number"}, "type": "object"},
        "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
        "key": {"anyOf": [{"type": "integer"}, {"type": "string"}], "default": 0},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
    }
    assert made.schema["required"] == ["color", "mode", "names", "scores"]


def test_nested_types_stand_in_place_without_references_or_titles() -> None:
    def draw(line: Line, size: Size, filters: list[Filter]) -> None: ...

    text = json.dumps(Tool.from_function(draw).schema)
    assert "$ref" not in text
    assert "$defs" not in text
    assert '"title"' not in text
    assert properties(draw)["line"]["properties"]["start"] == {
        "description": "A place.",
        "properties": {"x": {"type": "integer"}, "y": {"default": 0, "type": "integer"}},
        "required": ["x"],
        "type": "object",
    }


def test_a_parameter_may_be_named_like_a_keyword_of_json_schema_or_a_method_of_pydantic() -> None:
    def act(title: str, schema: int, model_config: bool, copy: str = "no") -> None: ...

    made = Tool.from_function(act)
    assert list(made.schema["properties"]) == ["title", "schema", "model_config", "copy"]
    assert made.schema["required"] == ["title", "schema", "model_config"]
    assert parse(act, title="a", schema=1, model_config=True) == {
        "title": "a",
        "schema": 1,
        "model_config": True,
        "copy": "no",
    }


def test_a_field_named_title_survives_in_a_nested_model() -> None:
    class Book(BaseModel):
        title: str

    def add(book: Book) -> None: ...

    assert properties(add)["book"]["properties"] == {"title": {"type": "string"}}


def test_constraints_and_descriptions_of_annotated_types_are_kept() -> None:
    def act(days: Annotated[int, Field(ge=1, le=14, description="How many.")]) -> None: ...

    assert properties(act)["days"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 14,
        "description": "How many.",
    }


def test_postponed_annotations_find_classes_of_the_enclosing_function() -> None:
    class Local(BaseModel):
        a: int

    def act(value: "Local") -> None: ...

    assert properties(act)["value"]["properties"] == {"a": {"type": "integer"}}

    @tool
    def other(value: "Local") -> None: ...

    assert other.schema["required"] == ["value"]


def test_arguments_arrive_as_the_annotated_types() -> None:
    def act(point: Point, size: Size, color: Color, filters: list[Filter]) -> None: ...

    values = parse(act, point={"x": 1}, size={"width": 2, "height": 3}, color="blue", filters=[])
    assert values == {"point": Point(x=1, y=0), "size": Size(2, 3), "color": Color.BLUE, "filters": []}


def test_integers_beyond_53_bits_arrive_exactly() -> None:
    def act(id: int) -> None: ...

    assert Tool.from_function(act).signature.parse('{"id": 9007199254740993}') == {"id": 9007199254740993}


def test_arguments_that_do_not_fit_say_where_and_never_what() -> None:
    def act(days: int, point: Point) -> None: ...

    with pytest.raises(ArgumentError) as caught:
        parse(act, days="secret", point={"x": "hidden"})
    assert "days: " in str(caught.value)
    assert "point.x: " in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("arguments", ["{", "null", "[]", '"text"', '{"unknown": 1}'])
def test_what_is_no_object_of_known_keys_is_an_argument_error(arguments: str) -> None:
    def act(days: int = 1) -> None: ...

    with pytest.raises(ArgumentError):
        Tool.from_function(act).signature.parse(arguments)


def test_no_arguments_at_all_mean_the_defaults() -> None:
    def act(days: int = 3) -> None: ...

    assert Tool.from_function(act).signature.parse("") == {"days": 3}


def test_the_context_is_not_part_of_the_schema() -> None:
    def act(city: str, context: ToolContext) -> None: ...

    made = Tool.from_function(act)
    assert list(made.schema["properties"]) == ["city"]
    assert made.signature.context_parameter == "context"


def test_a_function_without_parameters_has_an_empty_object() -> None:
    def now() -> str:
        return "now"

    assert Tool.from_function(now).schema == {
        "type": "object",
        "properties": {},
        "additionalProperties": False,
    }


def test_methods_and_callable_objects_are_tools_too() -> None:
    class Counter:
        def add(self, amount: int) -> int:
            return amount

        def __call__(self, amount: int) -> int:
            return amount

    assert list(properties(Counter().add)) == ["amount"]
    assert list(properties(Counter())) == ["amount"]

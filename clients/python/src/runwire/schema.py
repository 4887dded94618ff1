"""JSON Schema from a function's signature, and arguments back from JSON.

A pydantic model is built from the parameters, under invented field names with the real ones as aliases,
so that no parameter name can clash with anything of pydantic's.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any, get_type_hints

import docstring_parser
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError

_Parameter = inspect.Parameter
_MAPS_OF_SCHEMAS = ("properties", "patternProperties", "dependentSchemas", "$defs")
_LISTS_OF_SCHEMAS = ("anyOf", "allOf", "oneOf", "prefixItems")
_SCHEMAS = (
    "items",
    "additionalProperties",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "not",
    "if",
    "then",
    "else",
)


class ArgumentError(ValueError):
    """Arguments do not fit a tool's parameters. The message is fit for the model to read."""


@dataclass(frozen=True)
class Signature:
    """What a function takes, for the model and for calling it."""

    description: str
    schema: dict[str, Any]
    model: type[BaseModel]
    parameters: tuple[inspect.Parameter, ...]
    context_parameter: str | None

    def parse(self, arguments_json: str) -> dict[str, Any]:
        """Validate arguments; values arrive as the annotated types, models as models.

        Raises:
            ArgumentError: They do not fit. Says what and where, never the values.
        """
        try:
            values = self.model.model_validate_json(arguments_json or "{}")
        except ValidationError as error:
            raise ArgumentError(_explain(error)) from None
        return {p.name: getattr(values, f"p{i}") for i, p in enumerate(self.parameters)}

    def bind(self, values: Mapping[str, Any], context: object) -> tuple[list[Any], dict[str, Any]]:
        """Arrange parsed values as positional and keyword arguments."""
        positional = [values[p.name] for p in self.parameters if p.kind is _Parameter.POSITIONAL_ONLY]
        named = {p.name: values[p.name] for p in self.parameters if p.kind is not _Parameter.POSITIONAL_ONLY}
        if self.context_parameter is not None:
            named[self.context_parameter] = context
        return positional, named


def inspect_function(
    function: Callable[..., Any], *, context_type: type, frame: FrameType | None = None
) -> Signature:
    """Read a function's signature, hints and docstring.

    ``frame`` is where the function is used: names of local classes in postponed annotations are looked up
    there and in what called it.

    Raises:
        TypeError: A parameter has no annotation, is ``*args`` or ``**kwargs``, or has a type that no JSON
            Schema describes (recursive types among them).
    """
    name = getattr(function, "__name__", type(function).__name__)
    hints = _hints(function, name, frame)
    document = docstring_parser.parse(inspect.getdoc(function) or "")
    about = {p.arg_name: p.description or "" for p in document.params}

    fields: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    context_parameter = None
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (_Parameter.VAR_POSITIONAL, _Parameter.VAR_KEYWORD):
            raise TypeError(
                f"parameter '{parameter}' of tool '{name}' takes any number of arguments; "
                "a model needs named ones"
            )
        if parameter.name not in hints:
            raise TypeError(f"parameter '{parameter.name}' of tool '{name}' needs a type annotation")
        if hints[parameter.name] is context_type:
            context_parameter = parameter.name
            continue
        # Absent, not None: a description of the annotation's own would be overridden.
        described: dict[str, Any] = {"description": text} if (text := about.get(parameter.name)) else {}
        default = ... if parameter.default is _Parameter.empty else parameter.default
        field = Field(default, alias=parameter.name, **described)
        fields[f"p{len(parameters)}"] = (hints[parameter.name], field)
        parameters.append(parameter)

    try:
        model = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
        schema = _tidy(model.model_json_schema(by_alias=True), name)
    except PydanticUserError as error:
        raise TypeError(f"tool '{name}' has a parameter that JSON cannot describe: {error.message}") from None
    ordered = {"type": "object", "properties": schema.get("properties", {})}
    ordered |= {key: schema[key] for key in ("required", "additionalProperties") if key in schema}
    return Signature(_describe(document), ordered, model, tuple(parameters), context_parameter)


def _hints(function: Callable[..., Any], name: str, frame: FrameType | None) -> dict[str, Any]:
    target = function if inspect.isroutine(function) else type(function).__call__
    while True:
        try:
            return get_type_hints(target, localns=frame.f_locals if frame else None, include_extras=True)
        except NameError as error:
            if frame is None:
                raise TypeError(f"tool '{name}': an annotation names something undefined: {error}") from None
            frame = frame.f_back


def caller(depth: int = 2) -> FrameType | None:
    """Return the frame that called the function that calls this one."""
    return sys._getframe(depth)  # noqa: SLF001 - the documented way


def _describe(document: docstring_parser.Docstring) -> str:
    return "\n\n".join(text for text in (document.short_description, document.long_description) if text)


def _tidy(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """Inline references and drop generated titles; keywords only, never a property of that name."""
    definitions: dict[str, Any] = schema.get("$defs", {})

    def walk(node: Any, within: tuple[str, ...]) -> Any:
        if not isinstance(node, dict):
            return node
        reference = node.get("$ref")
        if reference is not None:
            target = str(reference).rsplit("/", 1)[-1]
            if target in within:
                raise TypeError(
                    f"tool '{name}': type '{target}' contains itself; recursive types are not supported"
                )
            # Keywords beside a reference (a description, a default) refine it.
            beside = {key: value for key, value in node.items() if key != "$ref"}
            return {**walk(definitions[target], (*within, target)), **walk(beside, within)}
        result: dict[str, Any] = {}
        for key, value in node.items():
            if key in ("title", "$defs", "discriminator"):
                continue
            if key in _MAPS_OF_SCHEMAS:
                result[key] = {inner: walk(child, within) for inner, child in value.items()}
            elif key in _LISTS_OF_SCHEMAS:
                result[key] = [walk(child, within) for child in value]
            else:
                result[key] = walk(value, within) if key in _SCHEMAS else value
        return result

    tidy: dict[str, Any] = walk(schema, ())
    return tidy


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False)[:3]:
        where = ".".join(str(step) for step in problem["loc"])
        lines.append(f"{where}: {problem['msg']}" if where else problem["msg"])
    return "; ".join(lines)


def output_schema(annotation: Any) -> dict[str, Any]:
    """JSON Schema of a pydantic model, dataclass or TypedDict, for structured answers."""
    from pydantic import TypeAdapter

    return _tidy(TypeAdapter(annotation).json_schema(), getattr(annotation, "__name__", "output"))

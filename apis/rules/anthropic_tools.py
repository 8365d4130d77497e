"""Anthropic's tools and tool choices, converted to what the model may call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, Tag

from apis.rules.fields import MAX_OWN_NAME, Shape, Size, by, tag, unfit
from apis.rules.schemas import SchemaObject
from apis.rules.tools import MAX_TOOLS, Calling
from core.conversation import Function, ToolChoice
from core.errors import RequestError
from json_schema.check import check_parameters
from json_schema.strict import check_strict


class ClientTool(Shape):
    """A tool that the model may call and the client runs."""

    unread = frozenset(("cache_control", "defer_loading", "eager_input_streaming", "input_examples", "allowed_callers"))

    type: Literal["custom"] | None = Field(None, description="custom, or left out.")
    name: Annotated[str, Field(min_length=1, max_length=MAX_OWN_NAME)] = Field(
        description="The tool's name, unique in the request. A name with other characters than A-Z, a-z, 0-9, _ and - "
        "is shown to the model by an alias; the answer has the name."
    )
    description: Annotated[str, Field(max_length=20_000)] | None = Field(
        "", description="What the tool does. The model sees this text."
    )
    input_schema: SchemaObject = Field(description="The parameters, as a JSON Schema of type object.")
    strict: bool | None = Field(False, description="true: the arguments always match the schema.")


def _check_type(value: object) -> object:
    kind = value.get("type") if isinstance(value, dict) else None
    if isinstance(kind, str) and kind != "custom":
        message = f"Invalid '{{path}}.type': this server has no tools of type '{kind[:64]}'. "
        message += "Declare a tool with name, description and input_schema instead."
        raise unfit(message, "unsupported_value", at=".type")
    return value


class ModeChoice(Shape):
    """A tool_choice that names no tool."""

    type: Literal["auto", "any", "none"] = Field(
        description="auto: the model decides. any: at least one call. none: no call."
    )
    disable_parallel_tool_use: bool | None = Field(False, description="true: the answer has at most one call.")


class NamedToolChoice(Shape):
    """A tool_choice that makes the model call one tool of the request, exactly once."""

    unread = frozenset(("disable_parallel_tool_use",))

    type: Literal["tool"] = Field(description="Always tool.")
    name: str = Field(description="The name of one of the request's tools.")


_ToolChoice = Annotated[
    Annotated[ModeChoice, Tag(tag("auto"))]
    | Annotated[ModeChoice, Tag(tag("any"))]
    | Annotated[NamedToolChoice, Tag(tag("tool"))]
    | Annotated[ModeChoice, Tag(tag("none"))],
    by("type", "auto", "any", "tool", "none"),
]


class ToolFields(Shape):
    """The fields of a request that say what the model may call."""

    tools: Annotated[list[Annotated[ClientTool, BeforeValidator(_check_type)]], Size(MAX_TOOLS)] | None = Field(
        None, description="The tools that the model may call. An empty list means none."
    )
    tool_choice: _ToolChoice | None = Field(
        None, description="Whether and what the model calls. Default: auto.", examples=[{"type": "any"}]
    )


def calling(body: ToolFields) -> Calling:
    """Convert the checked fields. Empty `tools` mean none.

    Raises RequestError for an invalid schema, and an unknown or repeated name.
    """
    functions: list[Function] = []
    for index, tool in enumerate(body.tools or ()):
        functions.append(_function(tool, functions, f"tools[{index}]"))
    choice, max_calls = _choice(body, [function.name for function in functions])
    return Calling(tuple(functions), choice, max_calls) if functions else Calling()


def _function(tool: ClientTool, earlier: Sequence[Function], path: str) -> Function:
    if any(function.name == tool.name for function in earlier):
        message = (
            f"Invalid '{path}.name': the name '{tool.name[:64]}' is taken by an earlier tool. Expected unique names."
        )
        raise RequestError(message, f"{path}.name", "invalid_value")
    check = check_strict if tool.strict else check_parameters
    param = f"{path}.input_schema"
    check(tool.input_schema, owner=f"tool '{tool.name}'", param=param)
    return Function(tool.name, tool.description or "", tool.input_schema, tool.strict or False, param=param)


def _choice(body: ToolFields, names: list[str]) -> tuple[ToolChoice, int | None]:
    """Return the choice and the largest number of calls."""
    asked = body.tool_choice
    if asked is None:
        return ToolChoice("auto"), None
    if isinstance(asked, NamedToolChoice):
        if asked.name not in names:
            message = f"Invalid value for 'tool_choice.name': the request has no tool named '{asked.name[:64]}'"
            raise RequestError(f"{message} in 'tools'.", "tool_choice.name", "invalid_value")
        return ToolChoice("named", (asked.name,)), 1
    max_calls = 1 if asked.disable_parallel_tool_use else None
    if asked.type == "any":
        return ToolChoice("required", tuple(names)), max_calls
    return ToolChoice(asked.type), max_calls

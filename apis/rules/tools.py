"""Convert a request's tools and tool_choice, or its older functions and function_call, to what the model may call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Tag

from apis.rules.fields import Name, Shape, Size, by, either, tag, unfit
from core.conversation import CodeInterpreter, Function, Tool, ToolChoice
from core.errors import RequestError
from json_schema.check import check_parameters
from json_schema.strict import check_strict

MAX_TOOLS = 128

_TOOLS_AND_FUNCTIONS = (
    "'functions' and 'tools' cannot both be provided. 'functions' are deprecated; use the 'tools' parameter instead."
)
_STRING_OR_OBJECT = either("one of a string or object")


class FunctionDefinition(Shape):
    """A function that the model may call."""

    name: Name = Field(description="The function's name, unique in the request.")
    description: Annotated[str, Field(max_length=20_000)] | None = Field(
        "", description="What the function does. The model sees this text."
    )
    parameters: dict[str, Any] | None = Field(
        None, description="The parameters, as a JSON Schema of type object. Default: no parameters."
    )
    strict: bool | None = Field(
        False, description="true: the arguments always match the schema, which must follow OpenAI's strict rules."
    )


class FunctionTool(Shape):
    """A tool that is a function."""

    type: Literal["function"] = Field(description="Always function.")
    function: FunctionDefinition = Field(description="The function.")


class CodeInterpreterTool(Shape):
    """The code interpreter, for models that were trained with it. The client runs the code."""

    type: Literal["code_interpreter"] = Field(
        description="Always code_interpreter. The arguments of its calls are Python source, not JSON."
    )


def _check_custom(value: object) -> object:
    if isinstance(value, dict) and value.get("type") == "custom":
        message = "Custom tools are not supported by this server. Declare the tool with type 'function' instead."
        raise unfit(message, "unsupported_value", at=".type")
    return value


AnyTool = Annotated[
    Annotated[FunctionTool, Tag(tag("function"))] | Annotated[CodeInterpreterTool, Tag(tag("code_interpreter"))],
    by("type", "function", "code_interpreter"),
    BeforeValidator(_check_custom),
]


class NamedFunction(Shape):
    """The name of a function in this request."""

    name: str = Field(description="The name of one of the request's functions.")


class FunctionChoice(Shape):
    """A tool_choice that makes the model call one function of the request."""

    type: Literal["function"] = Field(description="Always function.")
    function: NamedFunction = Field(description="The function.")


class CodeInterpreterChoice(Shape):
    """A tool_choice that makes the model use the code interpreter."""

    type: Literal["code_interpreter"] = Field(description="Always code_interpreter.")


_Function = Annotated[FunctionChoice, Tag(tag("function"))]
_CodeInterpreter = Annotated[CodeInterpreterChoice, Tag(tag("code_interpreter"))]
_Chosen = Annotated[_Function | _CodeInterpreter, by("type", "function", "code_interpreter")]


class AllowedTools(Shape):
    """A subset of the request's tools, and whether the model must call one of them."""

    mode: Literal["auto", "required"] = Field(
        description="auto: the model may call these tools. required: it must call at least one of them."
    )
    tools: Annotated[list[_Chosen], Size(MAX_TOOLS, 1)] = Field(description="The tools that may be called.")


class AllowedToolsChoice(Shape):
    """A tool_choice that allows a subset of the tools. The other tools stay in the prompt."""

    type: Literal["allowed_tools"] = Field(description="Always allowed_tools.")
    allowed_tools: AllowedTools = Field(description="The tools that may be called, and whether one must be.")


_ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag(tag("string"))]
    | Annotated[
        Annotated[
            _Function | Annotated[AllowedToolsChoice, Tag(tag("allowed_tools"))] | _CodeInterpreter,
            by("type", "function", "allowed_tools", "code_interpreter"),
        ],
        Tag(tag("object")),
    ],
    _STRING_OR_OBJECT,
]
_FunctionChoice = Annotated[
    Annotated[Literal["none", "auto"], Tag(tag("string"))] | Annotated[NamedFunction, Tag(tag("object"))],
    _STRING_OR_OBJECT,
]


class CallingFields(Shape):
    """The fields of a chat request that say what the model may call."""

    tools: Annotated[list[AnyTool], Size(MAX_TOOLS, strict_low=1)] | None = Field(
        None, description="The tools that the model may call. An empty list needs --lenient."
    )
    tool_choice: _ToolChoice | None = Field(
        None,
        description="Whether and what the model calls. none: no call. auto: the model decides. required: at least one "
        "call. A named tool: exactly one call of it. Default: auto with tools, otherwise none.",
        examples=["required"],
    )
    parallel_tool_calls: bool | None = Field(True, description="false: the answer has at most one call. Needs tools.")
    functions: Annotated[list[FunctionDefinition], Size(MAX_TOOLS, 1)] | None = Field(
        None,
        description="The older form of tools. The answer then has function_call instead of tool_calls.",
        json_schema_extra={"deprecated": True},
    )
    function_call: _FunctionChoice | None = Field(
        None,
        description="The older form of tool_choice. Default: auto with functions.",
        json_schema_extra={"deprecated": True},
    )


@dataclass(frozen=True)
class Calling:
    """What the model may call, no matter whether the request has `tools` or `functions`. ChatRequest copies it."""

    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = ToolChoice("none")
    max_calls: int | None = None
    legacy: bool = False


def check_combinations(body: dict[str, Any], *, lenient: bool) -> None:
    """Raise RequestError for fields that exclude each other, or that need another field.

    lenient: allow `tool_choice` and `parallel_tool_calls` without `tools`.
    """

    def need(key: str, needed: str) -> None:
        if body.get(key) is not None:
            raise RequestError(
                f"Invalid value for '{key}': '{key}' is only allowed when '{needed}' are specified.", key
            )

    if body.get("functions") is None:
        need("function_call", "functions")
    elif body.get("tools") is not None:
        raise RequestError(_TOOLS_AND_FUNCTIONS)
    if body.get("tools") is None and not lenient:
        if body.get("tool_choice") != "none":
            need("tool_choice", "tools")
        need("parallel_tool_calls", "tools")


def calling(body: CallingFields) -> Calling:
    """Convert the checked fields of `body`. An empty `tools` means no tools.

    Raises RequestError for an invalid schema or name.
    """
    if body.functions is not None:
        functions = tuple(_function(item, f"functions[{index}]") for index, item in enumerate(body.functions))
        _check_unique(functions, "functions", ".name")
        return Calling(functions, _legacy_choice(body, [function.name for function in functions]), 1, legacy=True)
    if not body.tools:
        return Calling()
    tools = tuple(_tool(item, f"tools[{index}]") for index, item in enumerate(body.tools))
    _check_unique(tools, "tools", ".function.name")
    choice = _choice(body, [tool.name for tool in tools])
    at_most_one = body.parallel_tool_calls is False or choice.mode == "named"
    return Calling(tools, choice, max_calls=1 if at_most_one else None)


def _tool(tool: AnyTool, path: str) -> Tool:
    return _function(tool.function, f"{path}.function") if isinstance(tool, FunctionTool) else CodeInterpreter()


def _function(function: FunctionDefinition, path: str) -> Function:
    strict = function.strict or False
    if function.parameters is not None:
        check = check_strict if strict else check_parameters
        check(function.parameters, owner=f"function '{function.name}'", param=f"{path}.parameters")
    return Function(function.name, function.description or "", function.parameters, strict)


def _check_unique(tools: Sequence[Tool], path: str, name_path: str) -> None:
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        if tool.name in seen:
            param = f"{path}[{index}]{name_path if isinstance(tool, Function) else '.type'}"
            message = f"Invalid '{param}': the name '{tool.name}' is taken by an earlier tool. Expected unique names."
            raise RequestError(message, param, "invalid_value")
        seen.add(tool.name)


def _choice(body: CallingFields, names: Sequence[str]) -> ToolChoice:
    match body.tool_choice:
        case None:
            return ToolChoice("auto")
        case "none" | "auto" | "required" as mode:
            return ToolChoice(mode)
        case AllowedToolsChoice(allowed_tools=allowed):
            chosen = [_chosen(tool, names) for tool in allowed.tools]
            return ToolChoice(allowed.mode, tuple(dict.fromkeys(chosen)))
        case tool:
            return ToolChoice("named", (_chosen(tool, names),))


def _chosen(tool: FunctionChoice | CodeInterpreterChoice, names: Sequence[str]) -> str:
    name = tool.function.name if isinstance(tool, FunctionChoice) else CodeInterpreter().name
    return _declared(name, names, "tool_choice", "tools")


def _legacy_choice(body: CallingFields, names: Sequence[str]) -> ToolChoice:
    match body.function_call:
        case None:
            return ToolChoice("auto")
        case "none" | "auto" as mode:
            return ToolChoice(mode)
        case NamedFunction(name=name):
            return ToolChoice("named", (_declared(name, names, "function_call", "functions"),))


def _declared(name: str, names: Sequence[str], param: str, source: str) -> str:
    if name in names:
        return name
    message = f"Invalid value for '{param}': no function named {name[:64]} was specified in the '{source}' parameter"
    raise RequestError(message, param)

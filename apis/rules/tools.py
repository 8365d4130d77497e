"""Convert a request's tools and tool_choice, or its older functions and function_call, to what the model may call."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field, Tag

from apis.rules.custom_tools import InputFormat, custom_function, custom_names, input_format
from apis.rules.fields import Name, Shape, Size, by, either, tag
from apis.rules.schemas import SchemaObject
from apis.rules.server_tools import with_server_tools
from core.conversation import CodeInterpreter, Function, Tool, ToolChoice
from core.errors import RequestError
from json_schema.check import check_parameters
from json_schema.strict import check_strict

MAX_TOOLS = 1024
MAX_STRICT_TOOLS = 128  # OpenAI's limit

_TOOLS_AND_FUNCTIONS = (
    "'functions' and 'tools' cannot both be provided. 'functions' are deprecated; use the 'tools' parameter instead."
)
_STRING_OR_OBJECT = either("one of a string or object")


class FunctionDefinition(Shape):
    """A function that the model may call."""

    name: Name = Field(
        description="The function's name, unique in the request. A name with other characters than A-Z, a-z, 0-9, _ "
        "and - is shown to the model by an alias; the answer has the name."
    )
    description: Annotated[str, Field(max_length=20_000)] | None = Field(
        "", description="What the function does. The model sees this text."
    )
    parameters: SchemaObject | None = Field(
        None, description="The parameters, as a JSON Schema of type object. Default: no parameters."
    )
    strict: bool | None = Field(
        False, description="true: the arguments always match the schema, which must follow OpenAI's strict rules."
    )


class FunctionTool(Shape):
    """A tool that is a function."""

    type: Literal["function"] = Field(description="Always function.")
    function: FunctionDefinition = Field(description="The function.")


class CustomDefinition(Shape):
    """A tool that the model calls with a text instead of JSON arguments."""

    name: Name = Field(description="The tool's name, unique in the request, as that of a function.")
    description: Annotated[str, Field(max_length=20_000)] | None = Field(
        "", description="What the tool does. The model sees this text."
    )
    format: InputFormat | None = Field(None, description="What the text must be like. Default: any text.")


class CustomTool(Shape):
    """A tool that takes a text."""

    type: Literal["custom"] = Field(description="Always custom.")
    custom: CustomDefinition = Field(description="The tool.")


class CodeInterpreterTool(Shape):
    """The code interpreter, for models that were trained with it. The client runs the code."""

    type: Literal["code_interpreter"] = Field(
        description="Always code_interpreter. The arguments of its calls are Python source, not JSON."
    )


class ReasoningTool(Shape):
    """A wish that the model reasons before it answers, as Functionary v4r has it. It cannot be called."""

    type: Literal["reasoning"] = Field(description="Always reasoning.")


AnyTool = Annotated[
    Annotated[FunctionTool, Tag(tag("function"))]
    | Annotated[CustomTool, Tag(tag("custom"))]
    | Annotated[CodeInterpreterTool, Tag(tag("code_interpreter"))]
    | Annotated[ReasoningTool, Tag(tag("reasoning"))],
    by("type", "function", "custom", "code_interpreter", "reasoning"),
]


class NamedFunction(Shape):
    """The name of a function in this request."""

    name: str = Field(description="The name of one of the request's functions.")


class FunctionChoice(Shape):
    """A tool_choice that makes the model call one function of the request."""

    type: Literal["function"] = Field(description="Always function.")
    function: NamedFunction = Field(description="The function.")


class NamedCustomTool(Shape):
    """The name of a custom tool in this request."""

    name: str = Field(description="The name of one of the request's custom tools.")


class CustomChoice(Shape):
    """A tool_choice that makes the model call one custom tool of the request."""

    type: Literal["custom"] = Field(description="Always custom.")
    custom: NamedCustomTool = Field(description="The custom tool.")


class CodeInterpreterChoice(Shape):
    """A tool_choice that makes the model use the code interpreter."""

    type: Literal["code_interpreter"] = Field(description="Always code_interpreter.")


_Function = Annotated[FunctionChoice, Tag(tag("function"))]
_Custom = Annotated[CustomChoice, Tag(tag("custom"))]
_CodeInterpreter = Annotated[CodeInterpreterChoice, Tag(tag("code_interpreter"))]
_Chosen = Annotated[_Function | _Custom | _CodeInterpreter, by("type", "function", "custom", "code_interpreter")]


class AllowedTools(Shape):
    """A subset of the request's tools, and whether the model must call one of them."""

    mode: Literal["auto", "required"] = Field(
        description="auto: the model may call these tools. required: it must call at least one of them."
    )
    tools: Annotated[list[_Chosen], Size(MAX_TOOLS, 1, strict_high=MAX_STRICT_TOOLS)] = Field(
        description="The tools that may be called."
    )


class AllowedToolsChoice(Shape):
    """A tool_choice that allows a subset of the tools. The other tools stay in the prompt."""

    type: Literal["allowed_tools"] = Field(description="Always allowed_tools.")
    allowed_tools: AllowedTools = Field(description="The tools that may be called, and whether one must be.")


_ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag(tag("string"))]
    | Annotated[
        Annotated[
            _Function | _Custom | Annotated[AllowedToolsChoice, Tag(tag("allowed_tools"))] | _CodeInterpreter,
            by("type", "function", "custom", "allowed_tools", "code_interpreter"),
        ],
        Tag(tag("object")),
    ],
    _STRING_OR_OBJECT,
]
_FunctionChoice = Annotated[
    Annotated[Literal["none", "auto"], Tag(tag("string"))] | Annotated[NamedFunction, Tag(tag("object"))],
    _STRING_OR_OBJECT,
]


_MANY = Size(MAX_TOOLS, strict_high=MAX_STRICT_TOOLS, strict_low=1)


class CallingFields(Shape):
    """The fields of a chat request that say what the model may call."""

    tools: Annotated[list[AnyTool], _MANY] | None = Field(
        None, description="The tools that the model may call. An empty list means none."
    )
    tool_choice: _ToolChoice | None = Field(
        None,
        description="Whether and what the model calls. none: no call. auto: the model decides. required: at least one "
        "call. A named tool: exactly one call of it. Default: auto with tools, otherwise none.",
        examples=["required"],
    )
    parallel_tool_calls: bool | None = Field(True, description="false: the answer has at most one call.")
    functions: Annotated[list[FunctionDefinition], _MANY] | None = Field(
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


def check_combinations(body: dict[str, Any], *, strict_openai: bool) -> None:
    """Raise RequestError for fields that exclude each other and, with strict_openai, that need another field."""
    if not strict_openai:
        if body.get("functions") and body.get("tools"):
            raise RequestError(_TOOLS_AND_FUNCTIONS)
        return

    def need(key: str, needed: str) -> None:
        if body.get(key) is not None:
            raise RequestError(
                f"Invalid value for '{key}': '{key}' is only allowed when '{needed}' are specified.", key
            )

    if body.get("functions") is None:
        need("function_call", "functions")
    elif body.get("tools") is not None:
        raise RequestError(_TOOLS_AND_FUNCTIONS)
    if body.get("tools") is None:
        if body.get("tool_choice") != "none":
            need("tool_choice", "tools")
        need("parallel_tool_calls", "tools")


def calling(body: CallingFields, served: Sequence[Function] = (), *, strict_openai: bool) -> Calling:
    """Convert the checked fields of `body`. Empty `tools` or `functions` mean none.

    served: functions that the server runs, which count like those in `tools`.
    Raises RequestError for an invalid schema or name. A choice without effect must not name a function either.
    """
    if body.functions:
        _choice(body, ())
        functions = tuple(
            checked_function(item, f"functions[{index}]", strict_openai) for index, item in enumerate(body.functions)
        )
        _check_unique(functions, "functions", ".name", range(len(functions)))
        choice = _legacy_choice(body, {function.name for function in functions})
        return Calling(functions, choice, 1, legacy=True)
    indexed = [(index, item) for index, item in enumerate(body.tools or ()) if not isinstance(item, ReasoningTool)]
    own = tuple(_tool(item, f"tools[{index}]", strict_openai) for index, item in indexed)
    _check_unique(own, "tools", ".function.name", [index for index, _ in indexed])
    tools = with_server_tools(own, served)
    choice = _choice(body, tools)
    if choice.mode == "required" and choice.names is None:
        choice = replace(choice, names=tuple(tool.name for tool in tools))
    _legacy_choice(body, set())
    if not tools:
        return Calling()
    at_most_one = body.parallel_tool_calls is False or choice.mode == "named"
    return Calling(tools, choice, max_calls=1 if at_most_one else None)


def _tool(tool: FunctionTool | CustomTool | CodeInterpreterTool, path: str, strict_openai: bool) -> Tool:
    match tool:
        case FunctionTool(function=function):
            return checked_function(function, f"{path}.function", strict_openai)
        case CustomTool(custom=custom):
            asked = input_format(custom.format, f"{path}.custom.format")
            return custom_function(custom.name, custom.description or "", asked)
    return CodeInterpreter()


def checked_function(function: FunctionDefinition, path: str, strict_openai: bool) -> Function:
    """Convert a function at `path` of the request. Raises RequestError for an invalid schema."""
    strict, param = function.strict or False, f"{path}.parameters"
    if function.parameters is not None:
        check = partial(check_strict, strict_openai=strict_openai) if strict else check_parameters
        check(function.parameters, owner=f"function '{function.name}'", param=param)
    return Function(function.name, function.description or "", function.parameters, strict, param=param)


def _check_unique(tools: Sequence[Tool], path: str, name_path: str, indexes: Sequence[int]) -> None:
    """Raise RequestError if two tools have the same name. `indexes` are the positions of the tools in the request."""
    seen: set[str] = set()
    for index, tool in zip(indexes, tools, strict=True):
        if tool.name in seen:
            is_custom = isinstance(tool, Function) and tool.input_format is not None
            at = ".custom.name" if is_custom else name_path if isinstance(tool, Function) else ".type"
            param = f"{path}[{index}]{at}"
            message = f"Invalid '{param}': the name '{tool.name}' is taken by an earlier tool. Expected unique names."
            raise RequestError(message, param, "invalid_value")
        seen.add(tool.name)


def _choice(body: CallingFields, tools: Sequence[Tool]) -> ToolChoice:
    match body.tool_choice:
        case None:
            return ToolChoice("auto")
        case "none" | "auto" | "required" as mode:
            return ToolChoice(mode)
        case AllowedToolsChoice(allowed_tools=allowed):
            chosen = [_chosen(tool, tools) for tool in allowed.tools]
            return ToolChoice(allowed.mode, tuple(dict.fromkeys(chosen)))
        case tool:
            return ToolChoice("named", (_chosen(tool, tools),))


def _chosen(tool: FunctionChoice | CustomChoice | CodeInterpreterChoice, tools: Sequence[Tool]) -> str:
    custom = custom_names(tools)
    if isinstance(tool, CustomChoice):
        return declared(tool.custom.name, custom, "tool_choice", "tools", kind="custom tool")
    name = tool.function.name if isinstance(tool, FunctionChoice) else CodeInterpreter().name
    return declared(name, {other.name for other in tools} - custom, "tool_choice", "tools")


def _legacy_choice(body: CallingFields, names: Set[str]) -> ToolChoice:
    match body.function_call:
        case None:
            return ToolChoice("auto")
        case "none" | "auto" as mode:
            return ToolChoice(mode)
        case NamedFunction(name=name):
            return ToolChoice("named", (declared(name, names, "function_call", "functions"),))


def declared(name: str, names: Set[str], param: str, source: str, *, kind: str = "function") -> str:
    """Return `name`. Raises RequestError unless it is one of `names`, those of the field `source`."""
    if name in names:
        return name
    message = f"Invalid value for '{param}': no {kind} named {name[:64]} was specified in the '{source}' parameter"
    raise RequestError(message, param)

"""The tools of a Responses request, and what the model may call of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from apis.rules.custom_tools import custom_function, custom_names, input_format
from apis.rules.fields import Name, Shape, Size, by, either, tag
from apis.rules.server_tools import with_server_tools
from apis.rules.tools import (
    MAX_STRICT_TOOLS,
    MAX_TOOLS,
    Calling,
    CustomDefinition,
    FunctionDefinition,
    checked_function,
    declared,
)
from core.conversation import Function, ResponseFormat, Tool, ToolChoice
from core.errors import RequestError
from json_schema.check import check_parameters
from json_schema.strict_form import strict_form

Json = dict[str, Any]

# Tools that OpenAI's servers run. Agent programs declare them by default, also when they never need them.
HOSTED = (
    *("web_search", "web_search_preview", "web_search_2025_08_26", "web_search_preview_2025_03_11", "tool_search"),
    *("file_search", "code_interpreter", "image_generation", "mcp", "computer", "computer_use_preview", "shell"),
    *("local_shell", "apply_patch", "programmatic_tool_calling"),
)


class ResponseFunctionTool(FunctionDefinition):
    """A function that the model may call."""

    unread = frozenset(("allowed_callers", "async", "defer_loading", "output_schema"))

    type: Literal["function"] = Field(description="Always function.")
    strict: bool | None = Field(
        None,
        description="true: the arguments always match the schema, which must follow OpenAI's strict rules. Default: "
        "true if the schema can be made to follow them by closing all objects and requiring each property, else false.",
    )


class ResponseCustomTool(CustomDefinition):
    """A tool that the model calls with a text instead of JSON arguments."""

    unread = frozenset(("allowed_callers", "async", "defer_loading"))

    type: Literal["custom"] = Field(description="Always custom.")


_FUNCTION = Annotated[ResponseFunctionTool, Tag(tag("function"))]
_CUSTOM = Annotated[ResponseCustomTool, Tag(tag("custom"))]
_MANY = Size(MAX_TOOLS, strict_high=MAX_STRICT_TOOLS)


class NamespaceTool(Shape):
    """A group of tools, whose names need to be unique in the group only. Calls name the group too."""

    type: Literal["namespace"] = Field(description="Always namespace.")
    name: Name = Field(description="The name of the group.")
    description: str | None = Field(None, description="Ignored.")
    tools: Annotated[list[Annotated[_FUNCTION | _CUSTOM, by("type", "function", "custom")]], _MANY] = Field(
        description="The tools of the group."
    )


class HostedTool(Shape):
    """A tool that OpenAI's servers run, such as web_search. This server does not have it: the tool is ignored."""

    refuses_unknown = "never"

    type: str = Field(description="The kind of tool.", json_schema_extra={"enum": list(HOSTED)})


_KINDS = ("function", "custom", "namespace")


def _kind(value: object) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else None
    return tag("hosted") if kind in HOSTED else tag(kind) if kind in _KINDS else None


AnyResponseTool = Annotated[
    _FUNCTION | _CUSTOM | Annotated[NamespaceTool, Tag(tag("namespace"))] | Annotated[HostedTool, Tag(tag("hosted"))],
    Discriminator(_kind, "no_member", " ".join(("type", *_KINDS))),
]


class FunctionToolChoice(Shape):
    """A tool_choice that makes the model call one function of the request."""

    type: Literal["function"] = Field(description="Always function.")
    name: str = Field(description="The name of one of the request's functions.")
    namespace: str | None = Field(None, description="The namespace of the function, if it is in one.")


class CustomToolChoice(Shape):
    """A tool_choice that makes the model call one custom tool of the request."""

    type: Literal["custom"] = Field(description="Always custom.")
    name: str = Field(description="The name of one of the request's custom tools.")
    namespace: str | None = Field(None, description="The namespace of the tool, if it is in one.")


_Function = Annotated[FunctionToolChoice, Tag(tag("function"))]
_Custom = Annotated[CustomToolChoice, Tag(tag("custom"))]


class AllowedResponseTools(Shape):
    """A tool_choice that allows a subset of the tools. The other tools stay in the prompt."""

    type: Literal["allowed_tools"] = Field(description="Always allowed_tools.")
    mode: Literal["auto", "required"] = Field(
        description="auto: the model may call these tools. required: it must call at least one of them."
    )
    tools: Annotated[list[Annotated[_Function | _Custom, by("type", "function", "custom")]], Size(MAX_TOOLS, 1)] = (
        Field(description="The tools that may be called.")
    )


_Choice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag(tag("string"))]
    | Annotated[
        Annotated[
            _Function | _Custom | Annotated[AllowedResponseTools, Tag(tag("allowed_tools"))],
            by("type", "function", "custom", "allowed_tools"),
        ],
        Tag(tag("object")),
    ],
    either("one of a string or object"),
]


class ResponseCallingFields(Shape):
    """The fields of a Responses request that say what the model may call."""

    tools: Annotated[list[AnyResponseTool], Size(MAX_TOOLS, strict_high=MAX_STRICT_TOOLS)] | None = Field(
        None, description="The tools that the model may call. An empty list means none."
    )
    tool_choice: _Choice | None = Field(
        None,
        description="Whether and what the model calls. none: no call. auto: the model decides. required: at least one "
        "call. A named tool: exactly one call of it. Default: auto.",
        examples=["required"],
    )
    parallel_tool_calls: bool | None = Field(True, description="false: the answer has at most one call.")


@dataclass(frozen=True)
class DeclaredTool:
    """A tool as the request names it. `is_custom`: it takes a text instead of JSON arguments."""

    name: str
    namespace: str | None
    is_custom: bool


@dataclass(frozen=True)
class ResponseTools:
    """The tools of a request.

    declared: full name -> the tool. echo: the tools as the answer repeats them. ignored: fields for the header.
    """

    calling: Calling
    declared: dict[str, DeclaredTool]
    echo: list[Json]
    ignored: tuple[str, ...]


def full_name(namespace: str | None, name: str) -> str:
    """Return the name of a tool that is unique in a request."""
    return f"{namespace}.{name}" if namespace else name


def response_tools(
    body: ResponseCallingFields,
    added: Sequence[tuple[str, AnyResponseTool]],
    served: Sequence[Function] = (),
    *,
    strict_openai: bool,
) -> ResponseTools:
    """Convert the tools in `tools`, and those `added` by items, each with its path in the request.

    served: functions that the server runs; the model may call them too, and the answer does not repeat them.
    Raises RequestError for an invalid schema or name and, with strict_openai, for a tool that is ignored otherwise.
    """
    functions: list[Function] = []
    declared_tools: dict[str, DeclaredTool] = {}
    echo: list[Json] = []
    hosted: list[str] = []
    for path, tool in (*((f"tools[{index}]", tool) for index, tool in enumerate(body.tools or ())), *added):
        if isinstance(tool, HostedTool):
            if strict_openai:
                message = f"Unsupported value: '{path}.type' is '{tool.type}', which this server does not have. "
                raise RequestError(f"{message}Leave the tool out.", f"{path}.type", "unsupported_value")
            hosted.append(f"tools.{tool.type}")
            continue
        members = list(_members(tool, path, strict_openai))
        for member_path, member, function in members:
            namespace = tool.name if isinstance(tool, NamespaceTool) else None
            full = full_name(namespace, member.name)
            if full in declared_tools:
                param = f"{member_path}.name"
                message = f"Invalid '{param}': the name '{full}' is taken by an earlier tool. Expected unique names."
                raise RequestError(message, param, "invalid_value")
            is_custom = isinstance(member, ResponseCustomTool)
            declared_tools[full] = DeclaredTool(member.name, namespace, is_custom)
            functions.append(replace(function, name=full))
        shown = [_shown(member, function) for _, member, function in members]
        group = {"type": "namespace", "name": tool.name, "description": getattr(tool, "description", None) or ""}
        echo += [{**group, "tools": shown}] if isinstance(tool, NamespaceTool) else shown
    if len(functions) > MAX_TOOLS:
        message = f"Invalid 'tools': expected at most {MAX_TOOLS} tools, but got {len(functions)} instead."
        raise RequestError(message, "tools", "array_above_max_length")
    calling = _calling(body, with_server_tools(functions, served))
    return ResponseTools(calling, declared_tools, echo, tuple(dict.fromkeys(hosted)))


_Member = ResponseFunctionTool | ResponseCustomTool


def _members(tool: _Member | NamespaceTool, path: str, strict_openai: bool) -> Iterator[tuple[str, _Member, Function]]:
    """Yield the tool, or the tools of a namespace, each with its path and as a function."""
    if isinstance(tool, NamespaceTool):
        for index, member in enumerate(tool.tools):
            yield from _members(member, f"{path}.tools[{index}]", strict_openai)
    elif isinstance(tool, ResponseCustomTool):
        yield (
            path,
            tool,
            custom_function(tool.name, tool.description or "", input_format(tool.format, f"{path}.format")),
        )
    else:
        yield path, tool, _function(tool, path, strict_openai)


def _function(tool: ResponseFunctionTool, path: str, strict_openai: bool) -> Function:
    if tool.strict is not None or tool.parameters is None:
        return checked_function(tool, path, strict_openai)
    param = f"{path}.parameters"
    check_parameters(tool.parameters, owner=f"function '{tool.name}'", param=param)
    form = strict_form(tool.parameters)
    return Function(tool.name, tool.description or "", form or tool.parameters, form is not None, param=param)


def _shown(member: _Member, function: Function) -> Json:
    """Return a tool as the answer repeats it."""
    shown = {"type": member.type, "name": member.name, "description": member.description or None}
    if function.input_format:
        return {**shown, "format": _shown_format(function.input_format)}
    return {**shown, "parameters": function.parameters, "strict": function.strict}


def _shown_format(asked: ResponseFormat) -> Json:
    if asked.kind == "text":
        return {"type": "text"}
    is_regex = asked.kind == "regex"
    definition = asked.pattern if is_regex else asked.grammar
    return {"type": "grammar", "syntax": "regex" if is_regex else "lark", "definition": definition}


def _calling(body: ResponseCallingFields, functions: tuple[Tool, ...]) -> Calling:
    choice = _choice(body, functions)
    if choice.mode == "required" and choice.names is None:
        choice = replace(choice, names=tuple(function.name for function in functions))
    if not functions:
        return Calling()
    at_most_one = body.parallel_tool_calls is False or choice.mode == "named"
    return Calling(functions, choice, max_calls=1 if at_most_one else None)


def _choice(body: ResponseCallingFields, functions: tuple[Tool, ...]) -> ToolChoice:
    match body.tool_choice:
        case None:
            return ToolChoice("auto")
        case "none" | "auto" | "required" as mode:
            return ToolChoice(mode)
        case AllowedResponseTools(mode=mode, tools=tools):
            return ToolChoice(mode, tuple(dict.fromkeys(_chosen(tools, functions))))
        case tool:
            return ToolChoice("named", tuple(_chosen([tool], functions)))


def _chosen(tools: Iterable[FunctionToolChoice | CustomToolChoice], functions: tuple[Tool, ...]) -> Iterator[str]:
    """Yield the full names of tools. Raises RequestError for one that the request does not declare."""
    custom = custom_names(functions)
    usual = {function.name for function in functions} - custom
    for tool in tools:
        name = full_name(tool.namespace, tool.name)
        if isinstance(tool, CustomToolChoice):
            yield declared(name, custom, "tool_choice", "tools", kind="custom tool")
        else:
            yield declared(name, usual, "tool_choice", "tools")

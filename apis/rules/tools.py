"""tools, tool_choice, parallel_tool_calls, the older functions and function_call -> who may be called, how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from apis.rules.fields import (
    Fields,
    a_boolean,
    a_name,
    a_string,
    a_word,
    an_array,
    an_object,
    refusal,
    unsupported_word,
    wrong_type,
)
from core.conversation import CodeInterpreter, Function, Tool, ToolChoice
from json_schema.check import check_parameters
from json_schema.strict import check_strict

MAX_TOOLS = 128
MAX_DESCRIPTION = 20_000

_BOTH_DIALECTS = (
    "'functions' and 'tools' cannot both be provided. 'functions' are deprecated; use the 'tools' parameter instead."
)


@dataclass(frozen=True)
class Calling:
    """What a request says about calls, both dialects folded into one; the fields are those of ChatRequest."""

    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = ToolChoice("none")
    max_calls: int | None = None
    legacy: bool = False


def read_calling(body: Fields, *, lenient: bool = False) -> Calling:
    """What may be called. `lenient` takes empty `tools`, and choices without tools, for not given."""
    if body.has("functions"):
        if body.has("tools"):
            raise refusal(_BOTH_DIALECTS)
        return _legacy_calling(body, lenient)
    _refuse_without(body, "function_call", "functions")
    tools = body.optional("tools", _tools, min_length=0 if lenient else 1)
    if not tools:
        return _without_tools(body, lenient)
    parallel = body.optional("parallel_tool_calls", a_boolean)
    choice = body.optional("tool_choice", _tool_choice, [tool.name for tool in tools]) or ToolChoice("auto")
    at_most_one = parallel is False or choice.mode == "named"
    return Calling(tools, choice, max_calls=1 if at_most_one else None)


def _legacy_calling(body: Fields, lenient: bool) -> Calling:
    functions = body.required("functions", _functions)
    _without_tools(body, lenient)
    names = [function.name for function in functions]
    choice = body.optional("function_call", _function_choice, names) or ToolChoice("auto")
    return Calling(functions, choice, max_calls=1, legacy=True)


def _without_tools(body: Fields, lenient: bool) -> Calling:
    if not lenient:
        if body.values.get("tool_choice") != "none":
            _refuse_without(body, "tool_choice", "tools")
        _refuse_without(body, "parallel_tool_calls", "tools")
    return Calling()


def _refuse_without(body: Fields, key: str, needed: str) -> None:
    if body.has(key):
        raise refusal(f"Invalid value for '{key}': '{key}' is only allowed when '{needed}' are specified.", key)


def _tools(value: object, path: str, min_length: int) -> tuple[Tool, ...]:
    items = an_array(value, path, min_length=min_length, max_length=MAX_TOOLS)
    tools = tuple(_tool(Fields(item, f"{path}[{index}]")) for index, item in enumerate(items))
    _refuse_duplicates(tools, path, ".function.name")
    return tools


def _tool(fields: Fields) -> Tool:
    kind = fields.required("type", a_string)
    match kind:
        case "function":
            return fields.required("function", _function)
        case "code_interpreter":
            return CodeInterpreter()
        case "custom":
            message = "Custom tools are not supported by this server. Declare the tool with type 'function' instead."
            raise refusal(message, fields.at("type"), "unsupported_value")
    raise unsupported_word(kind, ("function", "code_interpreter"), fields.at("type"))


def _functions(value: object, path: str) -> tuple[Function, ...]:
    items = an_array(value, path, min_length=1, max_length=MAX_TOOLS)
    functions = tuple(_function(item, f"{path}[{index}]") for index, item in enumerate(items))
    _refuse_duplicates(functions, path, ".name")
    return functions


def _function(value: object, path: str) -> Function:
    fields = Fields(value, path)
    name = fields.required("name", a_name)
    description = fields.optional("description", a_string, MAX_DESCRIPTION) or ""
    parameters = fields.optional("parameters", an_object)
    strict = fields.optional("strict", a_boolean) or False
    if parameters is not None:
        check = check_strict if strict else check_parameters
        check(parameters, owner=f"function '{name}'", param=fields.at("parameters"))
    return Function(name, description, parameters, strict)


def _refuse_duplicates(tools: Sequence[Tool], path: str, name_path: str) -> None:
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        if tool.name in seen:
            param = f"{path}[{index}]{name_path if isinstance(tool, Function) else '.type'}"
            message = f"Invalid '{param}': the name '{tool.name}' is taken by an earlier tool. Expected unique names."
            raise refusal(message, param, "invalid_value")
        seen.add(tool.name)


def _tool_choice(value: object, path: str, names: Sequence[str]) -> ToolChoice:
    if isinstance(value, str):
        return ToolChoice(_mode(a_word(value, path, ("none", "auto", "required"))))
    if not isinstance(value, dict):
        raise wrong_type(path, "one of a string or object", value)
    fields = Fields(value, path)
    if fields.required("type", a_word, ("function", "allowed_tools", "code_interpreter")) == "allowed_tools":
        return fields.required("allowed_tools", _allowed_tools, names)
    return ToolChoice("named", (_chosen(fields, names),))


def _allowed_tools(value: object, path: str, names: Sequence[str]) -> ToolChoice:
    fields = Fields(value, path)
    mode = fields.required("mode", a_word, ("auto", "required"))
    items = fields.required("tools", an_array, min_length=1, max_length=MAX_TOOLS)
    allowed = [_chosen(Fields(item, f"{path}.tools[{index}]"), names) for index, item in enumerate(items)]
    return ToolChoice(_mode(mode), tuple(dict.fromkeys(allowed)))


def _chosen(fields: Fields, names: Sequence[str]) -> str:
    """The declared tool that a choice names; what else it says of the tool is ignored."""
    kind = fields.required("type", a_word, ("function", "code_interpreter"))
    if kind == "code_interpreter":
        return _declared(CodeInterpreter().name, names, "tool_choice", "tools")
    named = Fields(fields.required("function", an_object), fields.at("function"))
    return _declared(named.required("name", a_string), names, "tool_choice", "tools")


def _function_choice(value: object, path: str, names: Sequence[str]) -> ToolChoice:
    if isinstance(value, str):
        return ToolChoice(_mode(a_word(value, path, ("none", "auto"))))
    if not isinstance(value, dict):
        raise wrong_type(path, "one of a string or object", value)
    name = Fields(value, path).required("name", a_string)
    return ToolChoice("named", (_declared(name, names, "function_call", "functions"),))


def _declared(name: str, names: Sequence[str], param: str, source: str) -> str:
    if name in names:
        return name
    message = f"Invalid value for '{param}': no function named {name[:64]} was specified in the '{source}' parameter"
    raise refusal(message, param)


def _mode(word: str) -> Literal["none", "auto", "required"]:
    match word:
        case "none" | "auto" | "required":
            return word
    raise ValueError(word)  # the caller has checked the word

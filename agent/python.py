"""Python functions as tools: `tool(f)` reads the signature, the annotations and the docstring of a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, overload

from anyio import to_thread
from pydantic import BaseModel, ConfigDict, create_model

from agent.tools import TIMEOUT_S, Json, Tool
from core.conversation import Function


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...


@overload
def tool(
    *, name: str | None = ..., description: str | None = ..., confirm: bool = ..., timeout_s: float = ...
) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    confirm: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a tool of a function, plain or `async`: as `tool(f)`, `@tool` or `@tool(confirm=True)`.

    confirm: each call needs a confirmation. timeout_s: how long a call may take; a plain function runs in a thread.
    """
    if function is None:
        return lambda given: _tool(given, name, description, confirm, timeout_s)
    return _tool(function, name, description, confirm, timeout_s)


def _tool(
    function: Callable[..., Any], name: str | None, description: str | None, confirm: bool, timeout_s: float
) -> Tool:
    arguments = _arguments(function)
    schema = arguments.model_json_schema()
    schema.pop("title", None)

    async def run(given: Json) -> object:
        values = dict(arguments.model_validate(given))
        if inspect.iscoroutinefunction(function):
            return await function(**values)
        return await to_thread.run_sync(lambda: function(**values), abandon_on_cancel=True)

    declared = Function(name or function.__name__, description or inspect.getdoc(function) or "", schema)
    return Tool(declared, run, needs_confirmation=confirm, timeout_s=timeout_s)


def _arguments(function: Callable[..., Any]) -> type[BaseModel]:
    fields: dict[str, Any] = {
        one.name: (one.annotation, ... if one.default is one.empty else one.default)
        for one in inspect.signature(function, eval_str=True).parameters.values()
    }
    return create_model(function.__name__, __config__=ConfigDict(extra="forbid"), **fields)

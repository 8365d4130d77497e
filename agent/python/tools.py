"""Python functions as tools: `tool(f)` reads the signature, the annotations and the docstring of a function."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, overload

from agent.definitions.docstrings import Docstring, read_docstring
from agent.python.parameters import parameters_of
from agent.python.threads import in_thread
from agent.results import MAX_RESULT, as_text
from agent.tools import TIMEOUT_S, Json, Tool, ToolSourceError
from apis.rules.fields import LEGAL_NAME, MAX_NAME
from client.rows import parse_function
from core.conversation import Function
from core.errors import RequestError


@dataclass(frozen=True)
class PythonTool(Tool):
    """A tool that is a Python function. A program may call it as the function `python` that it was made of."""

    python: Callable[..., Any] = field(kw_only=True)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.python(*args, **kwargs)


@overload
def tool(
    function: Callable[..., Any],
    /,
    *,
    name: str | None = ...,
    description: str | None = ...,
    confirm: bool = ...,
    timeout_s: float = ...,
) -> PythonTool: ...


@overload
def tool(
    *, name: str | None = ..., description: str | None = ..., confirm: bool = ..., timeout_s: float = ...
) -> Callable[[Callable[..., Any]], PythonTool]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    confirm: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> PythonTool | Callable[[Callable[..., Any]], PythonTool]:
    """Make a tool of a function, plain or `async`: as `tool(f)`, `@tool` or `@tool(confirm=True)`.

    The model reads the docstring up to its first section, and the descriptions of the parameters (Google's, NumPy's or
    reST's style). name, description: instead of the function's own.
    confirm: each call needs a confirmation. timeout_s: how long a call may take; a plain function runs in a thread.
    Raises ToolSourceError for a function that cannot be a tool.
    """
    if function is None:
        return lambda given: _tool(given, name, description, confirm, timeout_s)
    return _tool(function, name, description, confirm, timeout_s)


def _tool(
    function: Callable[..., Any], name: str | None, description: str | None, confirm: bool, timeout_s: float
) -> PythonTool:
    if not callable(function):
        told = "name the method of its class: tool(Class.method)" if isinstance(function, classmethod) else ""
        raise ToolSourceError(f"{function!r:.60} cannot be called; {told or 'a tool is made of a function'}")
    docs = _docs(function)
    parameters = parameters_of(function, docs)
    declared = _declared(
        name or _name(function), docs.text if description is None else description, parameters.schema()
    )

    async def run(given: Json) -> str:
        args, kwargs = parameters.bound(given)
        if is_async(function):
            value = await function(*args, **kwargs)
        else:
            value = await in_thread(lambda: _called(function, args, kwargs))
            if inspect.isawaitable(value):
                value = await value
        if isinstance(value, AsyncIterator):
            value = await _items(value)
        return as_text(value, MAX_RESULT.get())

    return PythonTool(declared, run, needs_confirmation=confirm, timeout_s=timeout_s, python=function)


def is_async(function: Callable[..., Any]) -> bool:
    """Return whether a function, or an object that is called like one, is `async def`."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _called(function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> object:
    """Call a function, and write its result in the same thread: an iterator may block, or belong to its thread."""
    value = function(*args, **kwargs)
    if inspect.isawaitable(value) or isinstance(value, AsyncIterator):
        return value
    return as_text(value, MAX_RESULT.get())


async def _items(values: AsyncIterator[Any]) -> list[Any]:
    """Return the items of an async iterator, up to the limit of a result."""
    items: list[Any] = []
    left = MAX_RESULT.get()
    async for value in values:
        items.append(value)
        left -= len(as_text(value, max(left, 1))) + 1
        if left < 0:
            break
    if closed := getattr(values, "aclose", None):
        await closed()
    return items


def _declared(name: str, description: str, schema: Json) -> Function:
    if not LEGAL_NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise ToolSourceError(
            f"{name!r} cannot be a tool's name, which has at most {MAX_NAME} of the characters A-Z, a-z, 0-9, _ and -; "
            "choose one with @tool(name=...)"
        )
    try:
        return parse_function({"name": name, "description": description, "parameters": schema}, name)
    except RequestError as error:
        raise ToolSourceError(f"{name}: {error.message}") from None


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(_unwrapped(function), "__name__", type(function).__name__))


def _docs(function: Callable[..., Any]) -> Docstring:
    """Read the docstring. That of an object's `__call__` goes before that of its class."""
    held = _unwrapped(function)
    if not (inspect.isroutine(held) or inspect.isclass(held)):
        held = held.__call__ if inspect.getdoc(held.__call__) else held
    return read_docstring(inspect.getdoc(held))


def _unwrapped(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return function

"""The tools of a Python file, which is run for that: the operator names it."""

from __future__ import annotations

import importlib.util
import inspect
import itertools
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from agent.python.threads import OwnLoop
from agent.python.tools import PythonTool, is_async, tool
from agent.tools import Tool, ToolSourceError, by_name

_NUMBERS = itertools.count()
_LOOP = OwnLoop()


def tools_of(path: Path) -> tuple[Tool, ...]:
    """Return the tools of a file: what `__all__` lists, else what `@tool` made or, if there is none, public functions.

    The file may import the modules of its folder. Its `async def` functions run in an event loop that only files of
    tools share, since one that blocks would stop the server. Raises ToolSourceError for a file that cannot be run or
    has no tools.
    """
    module = _run(path)
    tools = []
    for one in _found(module, path):
        try:
            made = one if isinstance(one, Tool) else tool(one)
        except ToolSourceError as error:
            raise ToolSourceError(f"{path}: {error}") from None
        is_moved = isinstance(made, PythonTool) and is_async(made.python)
        tools.append(replace(made, source=str(path), run=_LOOP.moved(made.run) if is_moved else made.run))
    return tuple(by_name(tools).values())


def _found(module: ModuleType, path: Path) -> list[Any]:
    held = vars(module)
    if "__all__" in held:
        for name in module.__all__:
            if name not in held:
                raise ToolSourceError(f"{path}: '__all__' lists {name!r}, which the file does not define")
        values = [held[name] for name in module.__all__]
        found = [one for one in values if isinstance(one, Tool) or inspect.isroutine(one)]
    else:
        values = list(held.values())
        found = [one for one in values if isinstance(one, Tool)]
        found = found or [one for one in values if _is_public(one, module.__name__)]
    if not found:
        raise ToolSourceError(f"{path}: it has no tools; define a function with type hints, or mark some with @tool")
    return list({id(one): one for one in found}.values())  # one function may have two names


def _is_public(value: object, module: str) -> bool:
    return inspect.isfunction(value) and value.__module__ == module and not value.__name__.startswith("_")


def _run(path: Path) -> ModuleType:
    """Run a file as a module. Its name has a number, since two files may have one name."""
    if path.suffix != ".py" or not path.is_file():
        reason = "not a Python file; its name must end with .py" if path.suffix != ".py" else "there is no such file"
        raise ToolSourceError(f"{path}: {reason}")
    spec = importlib.util.spec_from_file_location(f"tools_{next(_NUMBERS)}_{path.stem}", path)
    if spec is None or spec.loader is None:  # cannot happen for a name that ends with .py
        raise ToolSourceError(f"{path}: it cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pydantic look for the names of annotations there
    folder = str(path.parent.resolve())
    if folder not in sys.path:
        sys.path.append(folder)  # at the end, so that no file of the folder hides a module that is used already
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[spec.name]
        raise ToolSourceError(f"{path}{_line(error, path)}: {_reason(error)}") from None
    return module


def _reason(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"no Python: {error.msg} ({Path(error.filename or '').name}:{error.lineno})"
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r}) while it was loaded"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _line(error: BaseException, path: Path) -> str:
    """Return ":" and the line of the file at which it failed, or "" if none is known."""
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).resolve() == path.resolve():
        return f":{error.lineno}"
    lines: Iterator[int | None] = (
        one.lineno for one in reversed(traceback.extract_tb(error.__traceback__)) if one.filename == str(path)
    )
    return f":{line}" if (line := next(lines, None)) else ""

"""The tools of a Python file, which is run for that: the operator names it."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path

from agent.python import tool
from agent.tools import Tool, ToolSourceError, by_name


def tools_of(path: Path) -> tuple[Tool, ...]:
    """Return the tools of a file: what `@tool` made or, if there is none, its public functions.

    Raises ToolSourceError for a file that cannot be run, and for one without tools.
    """
    spec = importlib.util.spec_from_file_location(f"tools_of_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ToolSourceError(f"{path}: not a Python file; its name must end with .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # pydantic looks for the names of annotations there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ToolSourceError(f"{path}: {type(error).__name__}: {error}") from None
    values = list(vars(module).values())
    made = [value for value in values if isinstance(value, Tool)]
    public = [
        one for one in values if inspect.isfunction(one) and one.__module__ == spec.name and one.__name__[0] != "_"
    ]
    if not (made or public):
        raise ToolSourceError(f"{path}: it has no tools; define a function with type hints, or mark some with @tool")
    return tuple(by_name(made or map(tool, public)).values())

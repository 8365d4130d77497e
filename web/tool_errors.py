"""What a client and the log may know of an exception in one of the server's tools."""

from __future__ import annotations

import logging
import re
import traceback
from dataclasses import replace
from pathlib import Path

from agent.results import ERROR, error_text
from agent.tools import Json, Tool, ToolError

_PATH = re.compile(r"(?<![\w:/.])(?:/[^/\s'\":,]+)+/([^/\s'\":,]+)")

log = logging.getLogger("functionary")


def guarded(tool: Tool) -> Tool:
    """Return the tool as one whose exceptions tell the model, and so the client, no paths of the server's files.

    The log names the class and the place of an exception, not its text, which may hold arguments. A ToolError is a text
    for the model and stays as it is.
    """

    async def run(arguments: Json) -> object:
        try:
            return await tool.run(arguments)
        except ToolError:
            raise
        except Exception as error:
            log.warning("the tool %s failed: %s at %s", tool.name, type(error).__name__, _place(error))
            raise ToolError(without_paths(error_text(error).removeprefix(ERROR))) from None

    return replace(tool, run=run)


def without_paths(text: str) -> str:
    """Return a text with only the last part of each absolute path. The path of a URL stays."""
    return _PATH.sub(r"\1", text)


def _place(error: Exception) -> str:
    """Return the file and the line where an exception was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"

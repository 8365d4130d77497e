"""The field `server_tools`: which of the server's own tools a request lets the model call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol

from pydantic import Field, Tag

from apis.rules.fields import Shape, Size, either, tag
from core.conversation import Function, Tool
from core.errors import RequestError

MAX_SERVER_TOOLS = 1024
PARAM = "server_tools"


class ServerTool(Protocol):
    """A tool that the server runs. `source` says where it comes from."""

    @property
    def function(self) -> Function: ...

    @property
    def source(self) -> str: ...

    @property
    def needs_confirmation(self) -> bool: ...


ServerTools = Mapping[str, ServerTool]  # by name


class ServerToolFields(Shape):
    """The field of a request that lets the server run its own tools."""

    server_tools: (
        Annotated[
            Annotated[bool, Tag(tag("boolean"))] | Annotated[list[str], Size(MAX_SERVER_TOOLS), Tag(tag("array"))],
            either("one of a boolean or array of strings"),
        ]
        | None
    ) = Field(
        None,
        description="The tools in /v1/tools that the model may call and the server runs: their names, or true for all. "
        "Default: none.",
        examples=[True],
    )


def asked_tools(asked: bool | Sequence[str] | None, tools: ServerTools) -> tuple[Function, ...]:
    """Return the functions of the server's tools that a request asks for.

    Raises RequestError for a tool that the server does not have, and for one that needs a confirmation.
    """
    if not asked:
        return ()
    if not tools:
        message = "this server has no tools. Leave the field out, or start the server with --tools FILE."
        raise _error(message)
    if not isinstance(asked, bool):
        return tuple(_named(name, f"{PARAM}[{index}]", tools) for name, index in _first_places(asked).items())
    found = tuple(tool.function for tool in tools.values() if not tool.needs_confirmation)
    if not found:
        raise _error("each tool of this server needs a confirmation, for which it can ask nobody. Leave the field out.")
    return found


def with_server_tools(own: Sequence[Tool], served: Sequence[Function]) -> tuple[Tool, ...]:
    """Return the request's own tools and those of the server. Raises RequestError if a name is in both."""
    for name in {tool.name for tool in own} & {function.name for function in served}:
        raise _error(
            f"the name '{name[:64]}' is also one of the request's own tools. Rename that, or name other tools."
        )
    return (*own, *served)


def check_server_tools(body: dict[str, Any]) -> None:
    """Raise RequestError for fields of chat completions that exclude the server's tools."""
    if body.get("functions"):
        raise _error("it needs 'tools' in place of the older 'functions'.")
    if body.get("n") not in (None, 1):
        raise RequestError(
            f"Invalid value for 'n': with '{PARAM}' there is one choice. Expected 1.", "n", "invalid_value"
        )


def _first_places(names: Sequence[str]) -> dict[str, int]:
    return {name: names.index(name) for name in dict.fromkeys(names)}


def _named(name: str, param: str, tools: ServerTools) -> Function:
    tool = tools.get(name)
    if tool is None:
        known = ", ".join(one for one in tools if not tools[one].needs_confirmation)
        raise _error(f"this server has no tool named '{name[:64]}'. It has: {known}.", param)
    if tool.needs_confirmation:
        raise _error(f"the tool '{name[:64]}' needs a confirmation, for which the server can ask nobody.", param)
    return tool.function


def _error(message: str, param: str = PARAM) -> RequestError:
    return RequestError(f"Invalid value for '{param}': {message}", param, "invalid_value")

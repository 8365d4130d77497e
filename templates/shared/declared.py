"""Functions as the JSON that a request declares them with, which the chat templates of most models show."""

from __future__ import annotations

from typing import Any

from core.conversation import Function


def declaration(function: Function) -> dict[str, Any]:
    """Return the tool of a request that declares `function`. What the request left out is left out here too."""
    declared: dict[str, Any] = {"name": function.name}
    if function.description:
        declared["description"] = function.description
    if function.parameters is not None:
        declared["parameters"] = function.parameters
    return {"type": "function", "function": declared}

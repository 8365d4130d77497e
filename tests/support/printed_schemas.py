"""Print functions as the prompt declares them."""

from __future__ import annotations

from typing import Any

from core.conversation import Function, JsonSchema
from schema import typescript


def printed(parameters: JsonSchema | None, description: str = "Does it") -> list[str]:
    """Return the lines that declare a function `f` with these parameters, without the namespace around it."""
    return typescript([Function("f", description, parameters)]).split("\n")[3:-2]


def property_lines(schema: JsonSchema, **around: Any) -> list[str]:
    return printed({"type": "object", "properties": {"a": schema}, "required": ["a"], **around})[2:-1]

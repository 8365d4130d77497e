"""POST /v1/functions: function definitions read from a text in JSON, YAML or Python."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from apis.rules.answers import Answer
from apis.rules.fields import Shape, read
from apis.rules.json_text import JsonError, read_json
from apis.rules.requests import ignored
from apis.rules.tools import FunctionDefinition, checked_function
from core.errors import RequestError

Json = dict[str, Any]

MAX_TEXT = 2**18  # characters; YAML and Python of this size are read in a second or two
EXAMPLES: dict[str, Json] = {
    "A Python function": {"text": 'def roll(sides: int = 6) -> int:\n    """Roll a die."""\n'},
    "JSON": {"text": '[{"name": "roll", "description": "Roll a die.", "parameters": {"type": "object"}}]'},
}


class FunctionsRequest(Shape):
    """The body of POST /v1/functions."""

    refuses_unknown = "never"  # `ignored` has OpenAI's text for the fields of a body

    text: str = Field(
        max_length=MAX_TEXT,
        description="Functions or tools as JSON, one or a list; an OpenAPI document in JSON or YAML; or Python "
        "functions, of which only signatures and docstrings are read. Nothing is executed or fetched.",
        examples=["def roll(sides: int = 6) -> int:\n    ..."],
    )


class FoundFunction(Answer):
    """A function as chat completions take it."""

    name: str = Field(description="The name.")
    description: str = Field("", description="What the function does. Absent if the text does not say it.")
    parameters: dict[str, Any] = Field({}, description="The parameters, as a JSON Schema. Absent if there is none.")
    strict: bool = Field(False, description="As in the text. Absent if the text does not have it.")


class RejectedFunction(Answer):
    """A part of the text that is no usable function."""

    name: str = Field(description="The name of the function, or its position in the text.")
    reason: str = Field(description="A sentence about what is wrong with it.")


class FunctionList(Answer):
    """The answer of POST /v1/functions."""

    functions: list[FoundFunction] = Field(description="The functions that a request may have, in order.")
    rejected: list[RejectedFunction] = Field(description="What cannot be used, in order, with the reason.")


def functions_request(body: Json, *, strict_openai: bool = False) -> tuple[str, tuple[str, ...]]:
    """Return the text, and the fields that change nothing. Raises RequestError for the first problem."""
    asked = read(FunctionsRequest, body, strict_openai=strict_openai)
    return asked.text, ignored(body, FunctionsRequest, (), strict_openai=strict_openai)


def found_function(function: Mapping[str, object]) -> Json:
    """Return the fields of a function that a chat completion may have.

    Raises RequestError for a function that a chat completion would not take.
    """
    known = {key: function[key] for key in FunctionDefinition.model_fields if function.get(key) is not None}
    try:
        plain = read_json(json.dumps(known).encode())
    except (JsonError, TypeError, ValueError, RecursionError) as error:
        raise RequestError(f"It holds a value that is no JSON: {error}.") from None
    checked_function(read(FunctionDefinition, plain, path="function"), "function", strict_openai=False)
    return plain

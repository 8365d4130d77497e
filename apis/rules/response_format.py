"""The field `response_format`: OpenAI's three formats of an answer's text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field, Tag

from apis.rules.constraints import schema_format
from apis.rules.fields import Name, Shape, by, tag
from apis.rules.schemas import SchemaObject
from core.conversation import Message, ResponseFormat
from core.errors import RequestError
from json_schema.check import check_parameters
from json_schema.strict import check_strict


class TextFormat(Shape):
    """The answer is any text."""

    type: Literal["text"] = Field(description="Always text.")


class JsonObjectFormat(Shape):
    """The answer is a JSON object. The messages should ask for JSON."""

    beyond_openai = frozenset(("schema",))

    type: Literal["json_object"] = Field(description="Always json_object.")
    schema_: dict[str, Any] | None = Field(
        None, alias="schema", description="A JSON Schema that the object follows, as in llama.cpp. Default: any object."
    )


class NamedSchema(Shape):
    """A JSON Schema with a name."""

    name: Name = Field(description="The name that error messages use.")
    description: str | None = Field(None, description="Ignored.")
    schema_: SchemaObject = Field(alias="schema", description="A JSON Schema of type object.")
    strict: bool | None = Field(
        False, description="true: the answer always matches the schema, which must follow OpenAI's strict rules."
    )


class JsonSchemaFormat(Shape):
    """The answer is JSON that follows a schema."""

    type: Literal["json_schema"] = Field(description="Always json_schema.")
    json_schema: NamedSchema = Field(description="The schema of the answer.")


AnyResponseFormat = Annotated[
    Annotated[JsonObjectFormat, Tag(tag("json_object"))]
    | Annotated[JsonSchemaFormat, Tag(tag("json_schema"))]
    | Annotated[TextFormat, Tag(tag("text"))],
    by("type", "json_object", "json_schema", "text"),
]


def folded_format(
    asked: JsonObjectFormat | JsonSchemaFormat | TextFormat | None,
    messages: tuple[Message, ...],
    *,
    strict_openai: bool,
) -> ResponseFormat:
    """Convert the field to a ResponseFormat. Raises RequestError.

    With strict_openai, one of `messages` must ask for JSON if the answer shall be a JSON object.
    """
    if isinstance(asked, JsonObjectFormat) and strict_openai and not asks_for_json(messages):
        message = (
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
        )
        raise RequestError(message, "messages")
    if isinstance(asked, JsonObjectFormat) and asked.schema_ is not None:
        return schema_format({"type": "object", **asked.schema_}, "response_format")
    if isinstance(asked, JsonSchemaFormat):
        return named_format(asked.json_schema, "response_format", None, strict_openai=strict_openai)
    return ResponseFormat(asked.type) if asked else ResponseFormat()


def named_format(named: NamedSchema, param: str, code: str | None, *, strict_openai: bool) -> ResponseFormat:
    """Convert a named schema. Raises RequestError with this param and code if it is not a valid one."""
    check = partial(check_strict, strict_openai=strict_openai) if named.strict else check_parameters
    check(named.schema_, owner=f"response_format '{named.name}'", param=param, code=code)
    return ResponseFormat("json_schema", named.schema_, named.strict or False, named.name, param=param)


def asks_for_json(messages: Sequence[Message]) -> bool:
    """Whether a message contains the word "json".

    A model that is not asked for JSON, but constrained to it, may write whitespace endlessly.
    """
    return any("json" in (message.content or "").lower() for message in messages)

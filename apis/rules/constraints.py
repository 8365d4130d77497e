"""The constraint fields of other servers (vLLM, llama.cpp, SGLang), read as the format of the answer's text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, Tag

from apis.rules.fields import Shape, Size, either, tag, unfit
from apis.rules.json_text import JsonError, read_json
from apis.rules.schemas import cleaned
from core.conversation import JsonSchema, ResponseFormat
from core.errors import RequestError
from json_schema.check import check_schema
from json_schema.errors import Subject

MAX_REGEX = 16_384  # characters
MAX_GRAMMAR = 65_536  # characters
MAX_CHOICES = 1_000
MAX_CHOICE = 4_096  # characters
MAX_CHOICE_CHARACTERS = 65_536  # of all choices together


def _refuse(value: object) -> object:
    if value is not None:
        message = "Unsupported parameter: '{path}' is not supported by this server. Leave it out."
        raise unfit(message, "unsupported_parameter")
    return value


_Schema = Annotated[
    Annotated[str, Tag(tag("string"))] | Annotated[dict[str, Any], Tag(tag("object"))],
    either("one of a string or object"),
]
_Regex = Annotated[str, Field(max_length=MAX_REGEX)]
_Choices = Annotated[list[Annotated[str, Field(max_length=MAX_CHOICE)]], Size(MAX_CHOICES, 1)]
_Grammar = Annotated[str, Field(max_length=MAX_GRAMMAR)]
_Refused = Annotated[None, BeforeValidator(_refuse)]

_SCHEMA = "the answer is JSON that follows this schema, given as an object or as JSON text."
_PATTERN = "the whole answer matches this regular expression (Rust's syntax: no lookaround, no backreferences)."
_CHOICE = "the answer is one of these texts."
_GRAMMAR = "the answer follows this grammar: Lark with a rule `start`, or GBNF with a rule `root`."


class StructuredOutputs(Shape):
    """The constraint of the answer, as in vLLM. Exactly one of json, json_object, regex, choice and grammar is set."""

    model_config = ConfigDict(extra="forbid")
    refuses_unknown = "always"  # an unknown key may be a constraint that the answer would not follow

    json_: _Schema | None = Field(None, alias="json", description=f"A constraint: {_SCHEMA}")
    json_object: bool | None = Field(None, description="true: the answer is a JSON object.")
    regex: _Regex | None = Field(None, description=f"A constraint: {_PATTERN}")
    choice: _Choices | None = Field(None, description=f"A constraint: {_CHOICE}")
    grammar: _Grammar | None = Field(None, description=f"A constraint: {_GRAMMAR}")
    disable_any_whitespace: bool | None = Field(None, description="Ignored: the whitespace of JSON is always fixed.")
    disable_additional_properties: bool | None = Field(
        None, description="Ignored: objects have no undeclared properties unless the schema allows them."
    )
    whitespace_pattern: _Refused = Field(None, description="Not supported: the whitespace of JSON is fixed.")
    structural_tag: _Refused = Field(None, description="Not supported.")


class ConstraintFields(Shape):
    """The constraint fields of other servers. A request has at most one constraint, `response_format` included."""

    structured_outputs: StructuredOutputs | None = Field(None, description="The constraint of the answer (vLLM).")
    guided_json: _Schema | None = Field(None, description=f"Older vLLM: {_SCHEMA}")
    guided_regex: _Regex | None = Field(None, description=f"Older vLLM: {_PATTERN}")
    guided_choice: _Choices | None = Field(None, description=f"Older vLLM: {_CHOICE}")
    guided_grammar: _Grammar | None = Field(None, description=f"Older vLLM: {_GRAMMAR}")
    guided_whitespace_pattern: _Refused = Field(None, description="Not supported: the whitespace of JSON is fixed.")
    json_schema: _Schema | None = Field(None, description=f"llama.cpp and SGLang: {_SCHEMA}")
    grammar: _Grammar | None = Field(None, description=f"llama.cpp: {_GRAMMAR} An empty text means none.")
    regex: _Regex | None = Field(None, description=f"SGLang: {_PATTERN}")
    ebnf: _Grammar | None = Field(None, description=f"SGLang: {_GRAMMAR}")


def constrained(asked: ConstraintFields, stated: ResponseFormat) -> ResponseFormat:
    """Return the format that the constraint fields of `asked` state, else `stated`, that of `response_format`.

    Raises RequestError for an invalid schema, and for more than one constraint.
    """
    found = list(_set_fields(asked))
    params = ([stated.param] if stated.kind != "text" else []) + [param for param, _, _ in found]
    if len(params) > 1:
        message = f"A request has at most one constraint, but got '{params[0]}' and '{params[1]}'. Leave one out."
        raise RequestError(message, params[1], "invalid_parameter_combination")
    return _format(*found[0]) if found else stated


def schema_format(schema: JsonSchema, param: str) -> ResponseFormat:
    """Return the format of JSON by `schema`. Raises RequestError if it is no JSON Schema.

    What serializers write for "nothing" is left out of the schema, as in that of a function.
    """
    schema = cleaned(schema)
    check_schema(schema, Subject(f"'{param}'", param, "invalid_value"))
    return ResponseFormat("json_schema", schema, strict=True, param=param)


def _set_fields(asked: ConstraintFields) -> Iterator[tuple[str, str, Any]]:
    """Yield (param, kind, value) of each constraint that the request sets."""
    if (outputs := asked.structured_outputs) is not None:
        fields: dict[str, Any] = {"json": outputs.json_, "json_object": outputs.json_object or None}
        fields |= {kind: getattr(outputs, kind) for kind in ("regex", "choice", "grammar")}
        chosen = [(f"structured_outputs.{kind}", kind, value) for kind, value in fields.items() if value is not None]
        if not chosen:
            message = "Invalid 'structured_outputs': expected one of json, json_object, regex, choice and grammar."
            raise RequestError(message, "structured_outputs", "invalid_value")
        yield from chosen
    for param, kind in _KINDS.items():
        if (value := getattr(asked, param)) is not None and not (param == "grammar" and not value):
            yield param, kind, value


_KINDS = {
    "guided_json": "json",
    "guided_regex": "regex",
    "guided_choice": "choice",
    "guided_grammar": "grammar",
    "json_schema": "json",
    "grammar": "grammar",
    "regex": "regex",
    "ebnf": "grammar",
}


def _format(param: str, kind: str, value: Any) -> ResponseFormat:
    match kind:
        case "json":
            return schema_format(_schema(value, param), param)
        case "json_object":
            return ResponseFormat("json_object", param=param)
        case "regex":
            return ResponseFormat("regex", pattern=value, param=param)
        case "choice":
            return ResponseFormat("choice", choices=_choices(value, param), param=param)
    return ResponseFormat("grammar", grammar=value, param=param)


def _schema(value: str | JsonSchema, param: str) -> JsonSchema:
    if isinstance(value, dict):
        return value
    try:
        return read_json(value.encode())
    except JsonError as error:
        raise RequestError(
            f"Invalid '{param}': it is not a JSON Schema as text. {error}", param, "invalid_value"
        ) from None


def _choices(value: list[str], param: str) -> tuple[str, ...]:
    num_characters = sum(map(len, value))
    if num_characters > MAX_CHOICE_CHARACTERS:
        message = f"Invalid '{param}': its texts have {num_characters} characters together; the limit is "
        raise RequestError(f"{message}{MAX_CHOICE_CHARACTERS}.", param, "invalid_value")
    return tuple(dict.fromkeys(value))

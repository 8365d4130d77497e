"""Validate a request's JSON with its pydantic model; the first error becomes a RequestError in OpenAI's words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError, PydanticKnownError
from pydantic_core.core_schema import with_info_before_validator_function

from core.errors import RequestError

MAX_NAME = 64
MAX_OWN_NAME = 256
LEGAL_NAME = re.compile("[a-zA-Z0-9_-]+")
MAX_INT32 = 2**31 - 1

_MEDIA = ("image_url", "input_audio", "file", "input_image", "input_file", "image", "document")
_TAG = "~"  # pydantic's location of an error holds the tags of union members too; this prefix sets them apart from keys
_KINDS = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal number",
    str: "a string",
    list: "an array",
    dict: "an object",
}
_EXPECTED = {
    "string_type": "a string",
    "bool_type": "a boolean",
    "int_type": "an integer",
    "float_type": "a number",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
}


class Shape(BaseModel):
    """An object in a request. Types are strict: 1.0 is not an integer, true not a number.

    refuses_unknown: when an unknown key is an error. Else it is ignored.
    beyond_openai: fields that OpenAI's API does not have; with --strict-openai they are unknown.
    unread: fields that OpenAI's API has and this server ignores.
    """

    model_config = ConfigDict(strict=True, frozen=True)
    refuses_unknown: ClassVar[Literal["never", "with --strict-openai", "always"]] = "with --strict-openai"
    beyond_openai: ClassVar[frozenset[str]] = frozenset()
    unread: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _no_unknown_key(cls, value: object, info: ValidationInfo) -> object:
        is_strict = bool(info.context)
        is_checked = cls.refuses_unknown == "always" or (is_strict and cls.refuses_unknown != "never")
        if not is_checked or not isinstance(value, dict):
            return value
        known = {field.alias or name for name, field in cls.model_fields.items()} | cls.unread
        known -= cls.beyond_openai if is_strict else frozenset()
        unknown = next((key for key in value if key not in known), None)
        if unknown is not None:
            shown = unknown[:MAX_NAME].replace("{", "(")
            raise unfit(f"Unknown parameter: '{{path}}.{shown}'.", "unknown_parameter", at=f".{shown}")
        return value


S = TypeVar("S", bound=Shape)


@dataclass(frozen=True)
class Size:
    """The allowed length of a list or map, checked before its items, so that a huge list costs one error only.

    high, low: the bounds for every request, which /openapi.json shows.
    strict_high, strict_low: narrower bounds, OpenAI's, which apply with --strict-openai only.
    """

    high: int | None = None
    low: int = 0
    strict_high: int | None = None
    strict_low: int = 0

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        bounds = {"min_length": self.low, "max_length": self.high}
        schema: Any = {**handler(source), **{key: bound for key, bound in bounds.items() if bound}}
        if schema["type"] == "dict":
            return with_info_before_validator_function(partial(self._check, dict), schema)
        return with_info_before_validator_function(partial(self._check, list), {**schema, "fail_fast": True})

    def _check(self, kind: type[list[Any] | dict[str, Any]], value: object, info: ValidationInfo) -> object:
        if not isinstance(value, kind):
            return value
        low, high = self.low, self.high
        if info.context:
            low, high = max(low, self.strict_low), self.strict_high or high
        if len(value) < low:
            raise PydanticKnownError("too_short", {"field_type": "", "min_length": low, "actual_length": len(value)})
        if high is not None and len(value) > high:
            raise PydanticKnownError("too_long", {"field_type": "", "max_length": high, "actual_length": len(value)})
        return value


def _check_legal(name: str, info: ValidationInfo) -> str:
    if info.context and len(name) > MAX_NAME:
        raise PydanticKnownError("string_too_long", {"max_length": MAX_NAME})
    if info.context and not LEGAL_NAME.fullmatch(name):
        raise PydanticKnownError("string_pattern_mismatch", {"pattern": f"^{LEGAL_NAME.pattern}$"})
    return name


# With --strict-openai a name has at most MAX_NAME of the characters of LEGAL_NAME.
Name = Annotated[str, Field(min_length=1, max_length=MAX_OWN_NAME), AfterValidator(_check_legal)]


def read(shape: type[S], body: object, *, path: str = "", strict_openai: bool = False) -> S:
    """Validate `body` as `shape`. Raises RequestError for the first wrong field, in the order of declaration.

    path: the path of `body` in the request, which begins the path in the error.
    strict_openai: apply OpenAI's narrower bounds of Size and of Name too.
    """
    try:
        return shape.model_validate(body, context=strict_openai)
    except ValidationError as caught:
        error = caught.errors(include_url=False)[0]
        location = (path, *error["loc"]) if path else error["loc"]
        raise _request_error(error, location) from None


def tag(name: str) -> str:
    """Return the name under which pydantic knows one member of a union.

    `name` is the JSON type of the member ("string", "array", "object") or, in a union made by `by`, one of its `words`.
    """
    return _TAG + name


def by(key: str, *words: str) -> Discriminator:
    """Tell pydantic to choose the member of a union of objects by the string at `key`.

    `words` are the allowed strings. Each one is the tag of one member.
    """

    def choose(value: object) -> str | None:
        word = value.get(key) if isinstance(value, dict) else None
        return _TAG + word if word in words else None

    return Discriminator(choose, "no_member", " ".join((key, *words)))


def either(expected: str) -> Discriminator:
    """Tell pydantic to choose the member of a union by the JSON type of the value: string, array, object or boolean.

    `expected` is the list of allowed types that the error message shows.
    """
    tags: dict[type, str] = {str: tag("string"), list: tag("array"), dict: tag("object"), bool: tag("boolean")}
    return Discriminator(lambda value: tags.get(type(value)), "no_type", expected)


def unfit(message: str, code: str | None = "invalid_value", *, at: str = "") -> PydanticCustomError:
    """Create the error that a validator raises.

    `{path}` in the message becomes the path of the value. The error's `param` is that path followed by `at`.
    """
    return PydanticCustomError("unfit", "unfit", {"message": message, "code": code, "at": at})


def _missing(path: str) -> RequestError:
    return RequestError(f"Missing required parameter: '{path}'.", path, "missing_required_parameter")


def _wrong_type(path: str, expected: str, value: object) -> RequestError:
    kind = _KINDS.get(type(value), "something else")
    return RequestError(
        f"Invalid type for '{path}': expected {expected}, but got {kind} instead.", path, "invalid_type"
    )


def _unsupported_word(value: object, words: Sequence[str], path: str) -> RequestError:
    """Create the error for a value that is not one of the allowed strings `words`."""
    if not isinstance(value, str):
        return _wrong_type(path, "a string", value)
    if words[0] in ("text", "input_text") and value in _MEDIA:
        path = path.removesuffix(".type")
        message = (
            f"Invalid '{path}': this model reads text only. Expected a part of type '{words[0]}', but got '{value}'."
        )
        return RequestError(message, path, "invalid_value")
    supported = " and ".join(f"'{word}'" for word in words)
    if len(words) > 2:
        supported = ", ".join(f"'{word}'" for word in words[:-1]) + f", and '{words[-1]}'"
    message = f"Invalid value: '{value[:MAX_NAME]}'. Supported values are: {supported}."
    return RequestError(message, path, "invalid_value")


def out_of_range(path: str, value: float, *, low: float | None = None, high: float | None = None) -> RequestError:
    """Create the error for a number below `low` or, if `low` is None, above `high`. Float bounds allow decimals."""
    side, sign, bound = ("below minimum", ">=", low) if low is not None else ("above maximum", "<=", high)
    kind, shown = ("decimal", f"{bound:g}") if isinstance(bound, float) else ("integer", bound)
    is_long = isinstance(value, int) and value.bit_length() > 64  # the digits would fill the message
    got = "a longer integer" if is_long else value
    message = f"Invalid '{path}': {kind} {side} value. Expected a value {sign} {shown}, but got {got} instead."
    return RequestError(message, path, f"{kind}_{side.replace('imum', '').replace(' ', '_')}_value")


def _wrong_length(path: str, value: str | list[Any] | dict[str, Any], *, limit: int) -> RequestError:
    """Create the error for a string, array or object that is longer than `limit`, or empty."""
    kind = "an object" if isinstance(value, dict) else "a string" if isinstance(value, str) else "an array"
    noun = kind.split()[1]
    if isinstance(value, dict):
        message = (
            f"Invalid '{path}': too many properties. Expected an object with at most {limit} properties, "
            f"but got an object with {len(value)} properties instead."
        )
        return RequestError(message, path, "object_above_max_properties")
    if not value:
        message = (
            f"Invalid '{path}': empty {noun}. Expected {kind} with minimum length {limit}, "
            f"but got an empty {noun} instead."
        )
        return RequestError(message, path, f"empty_{noun}")
    message = (
        f"Invalid '{path}': {noun} too long. Expected {kind} with maximum length {limit}, "
        f"but got {kind} with length {len(value)} instead."
    )
    return RequestError(message, path, f"{noun}_above_max_length")


def _request_error(error: ErrorDetails, location: Sequence[str | int]) -> RequestError:
    """Convert an error of pydantic to OpenAI's text, code and path."""
    if not location:
        return RequestError("The request must be a JSON object.")
    kind, value, path, context = error["type"], error["input"], _path(location), error.get("ctx", {})
    if kind in _EXPECTED:
        return _wrong_type(path, _EXPECTED[kind], value)
    match kind:
        case "missing":
            return _missing(path)
        case "greater_than_equal":
            return out_of_range(path, value, low=context["ge"])
        case "less_than_equal":
            return out_of_range(path, value, high=context["le"])
        case "finite_number":
            message = f"Invalid '{path}': expected a finite number, but got {value} instead."
            return RequestError(message, path, "invalid_value")
        case "string_too_long" | "too_long":
            return _wrong_length(path, value, limit=context["max_length"])
        case "string_too_short" | "too_short":
            return _wrong_length(path, value, limit=context["min_length"])
        case "string_pattern_mismatch":
            message = f"Invalid '{path}': string does not match pattern. Expected a string that matches the pattern "
            return RequestError(f"{message}'{context['pattern']}'.", path, "invalid_value")
        case "literal_error":
            return _unsupported_word(value, re.findall("'(.*?)'", context["expected"]), path)
        case "no_type":
            return _wrong_type(path, error["msg"], value)
        case "no_member":
            return _no_member(path, value, *error["msg"].split())
        case "unfit":
            return RequestError(context["message"].replace("{path}", path), path + context["at"], context["code"])
    # No field of this project can have another error of pydantic than those above; this line is for future fields.
    return RequestError(f"Invalid value for '{path}'.", path, "invalid_value")


def _no_member(path: str, value: object, key: str, *words: str) -> RequestError:
    """Create the error for a value that matches no member of a union made by `by(key, *words)`."""
    if not isinstance(value, dict):
        return _wrong_type(path, "an object", value)
    return _unsupported_word(value[key], words, f"{path}.{key}") if key in value else _missing(f"{path}.{key}")


def _path(location: Sequence[str | int]) -> str:
    """Return pydantic's location as a path such as "messages[0].content".

    If an object's key is wrong, the path is that of the object.
    """
    if location[0] == "logit_bias":  # its keys are token ids and not shown in paths
        location = location[:1]
    elif location[-1] == "[key]" and len(location) > 2:
        location = location[:-2]
    names = [item for item in location if isinstance(item, int) or not item.startswith(_TAG)]
    return "".join(f"[{item}]" if isinstance(item, int) else f".{item}" for item in names).removeprefix(".")

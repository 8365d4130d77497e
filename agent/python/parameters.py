"""The parameters of a Python function as a pydantic model, which gives their JSON Schema and converts arguments."""

from __future__ import annotations

import functools
import inspect
import json
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Optional, get_args, get_origin

import jsonschema
import typing_extensions
from jsonschema.exceptions import best_match
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticSerializationError, SchemaError
from referencing import Registry

from agent.definitions.docstrings import Docstring, read_docstring
from agent.tools import Json, ToolError, ToolSourceError
from core.conversation import JsonSchema

_UNUSABLE = (PydanticUserError, SchemaError, TypeError, ValueError, NameError, AttributeError, RecursionError)

MAX_FAULTS = 5  # wrong arguments that an error names

_NUMBER = re.compile(r"\s*[-+]?[0-9.]+\s*")


def _is_no_number(value: object) -> bool:
    """Return whether a value is no number in a string, which pydantic would take for seconds since 1970."""
    return not isinstance(value, str) or not _NUMBER.fullmatch(value)


_FORMATS = jsonschema.FormatChecker(())
for _format in ("date", "date-time", "time"):
    _FORMATS.checks(_format)(_is_no_number)

_KINDS = (bool, int, float, str)
_SUPPORTED = (
    "supported are str, int, float, bool, None, list, dict, tuple, set, Literal, Enum, TypedDict, dataclasses, "
    "pydantic models, dates and times, UUID, Decimal, Path, and unions of these"
)
Parameter = inspect.Parameter


@dataclass(frozen=True)
class Parameters:
    """The parameters of a function. Fields of `model` have the names p0, p1, ... and the parameters' names as aliases.

    A parameter's own name can be one that pydantic does not allow for a field, such as `_x` or `model_config`.
    """

    model: type[BaseModel]
    parameters: tuple[Parameter, ...]

    @cached_property
    def _formats(self) -> Any:
        return jsonschema.Draft202012Validator(self.schema(), registry=Registry(), format_checker=_FORMATS)

    def schema(self) -> JsonSchema:
        """Return the JSON Schema of the arguments."""
        schema = self.model.model_json_schema(schema_generator=_Schema)
        if "properties" not in schema:
            raise TypeError("Self names no type outside a class")
        for one in (schema, *schema.get("$defs", {}).values()):
            _tidy(one)
        for one in schema["properties"].values():
            if one.get("default", 0) is None:
                del one["default"]  # a call leaves the argument out
        return schema

    def bound(self, arguments: Json) -> tuple[list[Any], dict[str, Any]]:
        """Convert decoded arguments, which fit the schema, to those of a Python call.

        Raises ToolError for a value that the schema allows and the type does not. No string is converted unless
        the type is written as a string in JSON, as a date is.
        """
        if fault := best_match(self._formats.iter_errors(arguments)):
            raise ToolError(f"not run: the arguments are not valid: {fault.json_path}: {fault.message}")
        try:
            found = self.model.model_validate_json(json.dumps(_whole(arguments)), strict=True)
        except ValidationError as error:
            raise ToolError(f"not run: the arguments are not valid: {_faults(error)}") from None
        given = {
            one.name: getattr(found, f"p{number}")
            for number, one in enumerate(self.parameters)
            if f"p{number}" in found.model_fields_set or isinstance(one.default, FieldInfo)
        }
        first = [one for one in self.parameters if one.kind is Parameter.POSITIONAL_ONLY]
        return [given.pop(one.name, one.default) for one in first], given


def parameters_of(function: Callable[..., Any], docs: Docstring) -> Parameters:
    """Read the parameters of a function. Raises ToolSourceError if one of them cannot be written as JSON Schema."""
    name = getattr(function, "__name__", type(function).__name__)
    parameters = tuple(_parameters(function, name))
    module = str(getattr(function, "__module__", None) or __name__)
    try:
        return _read(name, module, parameters, docs)
    except _UNUSABLE as error:
        for one in parameters:
            if reason := _fault(name, module, one, docs):
                hint = inspect.formatannotation(one.annotation)[:80]
                raise ToolSourceError(
                    f"{name}: parameter {one.name!r} has the type {hint}, which cannot be written as JSON Schema "
                    f"({reason}); {_SUPPORTED}"
                ) from None
        raise ToolSourceError(f"{name}: its parameters cannot be used: {error}") from None


def _read(name: str, module: str, parameters: tuple[Parameter, ...], docs: Docstring) -> Parameters:
    """Read parameters. pydantic finds the names in hints such as list["Item"] in the function's module."""
    config = ConfigDict(extra="forbid", protected_namespaces=())
    fields: dict[str, Any] = {f"p{number}": _field(one, docs) for number, one in enumerate(parameters)}
    result = Parameters(create_model(name, __config__=config, __module__=module, **fields), parameters)
    result.schema()
    return result


def _fault(name: str, module: str, one: Parameter, docs: Docstring) -> str:
    """Return why a parameter cannot be used, or "" if it can."""
    try:
        _read(name, module, (one,), docs)
    except _UNUSABLE as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return lines[-1 if isinstance(error, SchemaError) else 0][:120]
    return ""


def _parameters(function: Callable[..., Any], name: str) -> Iterator[Parameter]:
    """Yield the parameters that a call can set: all but those that a functools.partial has set by name."""
    fixed: set[str] = set()
    held = function
    while isinstance(held, functools.partial):
        fixed |= held.keywords.keys()
        held = held.func
    parameters = [one for one in _signature(function, name) if one.name not in fixed]
    for number, one in enumerate(parameters):
        if one.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            stars = "*" if one.kind is Parameter.VAR_POSITIONAL else "**"
            raise ToolSourceError(
                f"{name}: '{stars}{one.name}' stands for any number of arguments; a tool needs each by its name"
            )
        is_bare = one.annotation is one.empty and one.default is one.empty
        if number == 0 and one.name in ("self", "cls") and is_bare:
            raise ToolSourceError(
                f"{name}: it is a method without its object; use the bound method: tool(object.{name})"
            )
        yield one


def _signature(function: Callable[..., Any], name: str) -> list[Parameter]:
    """Return the parameters with evaluated annotations. Types may be local variables of a function that calls this."""
    names: dict[str, Any] = {}
    while True:
        try:
            signature = inspect.signature(function, locals=names or None, eval_str=True)
            return list(signature.parameters.values())
        except NameError as error:
            frame = sys._getframe(1)
            while frame and error.name not in frame.f_locals:
                frame = frame.f_back  # type: ignore[assignment]
            if not frame or error.name in names:
                raise ToolSourceError(
                    f"{name}: its type hints use {error.name!r}, which is not defined; import it at the top of the file"
                ) from None
            names[error.name] = frame.f_locals[error.name]
        except Exception as error:
            raise ToolSourceError(f"{name}: its signature cannot be read: {error}") from None


def _field(one: Parameter, docs: Docstring) -> tuple[Any, Any]:
    """Return the type and the default of a parameter's field."""
    hint, default = one.annotation, one.default
    if hint is one.empty:
        hint = type(default) if type(default) in _KINDS else Any
    text = _told(hint) or docs.parameters.get(one.name)
    is_described = _has_description(hint)
    hint = _known_to_pydantic(hint, {})
    if default is None:
        hint = Optional[hint]  # noqa: UP045  `hint | None` fails for some types
    if text and not is_described:
        hint = Annotated[hint, Field(description=text)]
    if isinstance(default, FieldInfo):
        hint, default = Annotated[hint, default], one.empty if default.is_required() else default.get_default()
    if default is one.empty or default is ...:
        return hint, Field(alias=one.name)
    if _is_json(default):
        return hint, Field(default, alias=one.name)
    return hint, Field(default_factory=lambda: default, alias=one.name)


def _is_json(value: object) -> bool:
    """Return whether JSON can hold a default, which the model then reads."""
    try:
        json.dumps(TypeAdapter(type(value)).dump_python(value, mode="json"), allow_nan=False)
    except (PydanticUserError, PydanticSerializationError, TypeError, ValueError, RecursionError):
        return False
    return True


def _told(hint: Any) -> str:
    """Return the description that an Annotated type has: a text, or a Doc (PEP 727)."""
    for one in getattr(hint, "__metadata__", ()):
        if isinstance(text := getattr(one, "documentation", one), str):
            return text
    return ""


def _has_description(hint: Any) -> bool:
    return any(isinstance(one, FieldInfo) and one.description for one in getattr(hint, "__metadata__", ()))


def _known_to_pydantic(hint: Any, seen: dict[Any, Any]) -> Any:
    """Replace each typing.TypedDict in a type by one of typing_extensions, which pydantic needs before Python 3.12."""
    if sys.version_info >= (3, 12):
        return hint
    if typing.is_typeddict(hint) and type(hint).__module__ == "typing":
        if hint not in seen:
            seen[hint] = made = typing_extensions.TypedDict(hint.__name__, {})  # type: ignore[operator]
            made.__doc__, made.__module__ = hint.__doc__, hint.__module__
            hints = typing.get_type_hints(hint, include_extras=True)
            made.__annotations__ = {name: _known_to_pydantic(one, seen) for name, one in hints.items()}
            made.__required_keys__, made.__optional_keys__ = hint.__required_keys__, hint.__optional_keys__
        return seen[hint]
    origin, inner = get_origin(hint), get_args(hint)
    if not inner or origin is typing.Literal:
        return hint
    known = tuple(_known_to_pydantic(one, seen) for one in inner)
    if origin is not Iterable and all(one is other for one, other in zip(known, inner, strict=True)):
        return hint
    if origin is Iterable:  # pydantic would check its items only while the function reads them
        return list[known]  # type: ignore[valid-type]
    if origin is types.UnionType:
        return functools.reduce(lambda one, other: one | other, known)
    return hint.copy_with(known) if hasattr(hint, "copy_with") else origin[known]


class _Schema(GenerateJsonSchema):
    """JSON Schema without titles of fields, and with Decimal as a number, which a model can write."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def decimal_schema(self, schema: Any) -> JsonSchema:
        return self.float_schema(schema)


def _tidy(schema: JsonSchema) -> None:
    """Remove the title of a class, and move what its docstring says about its fields to the fields."""
    schema.pop("title", None)
    docs = read_docstring(schema.pop("description", ""))
    if docs.text:
        schema["description"] = docs.text
    for name, one in schema.get("properties", {}).items():
        if "description" not in one and (text := docs.parameters.get(name)):
            one["description"] = text


def _whole(value: Any) -> Any:
    """Write 5.0 as 5, which is the same in JSON Schema but no integer to pydantic."""
    match value:
        case float() if value.is_integer() and abs(value) < 2**53:
            return int(value)
        case list():
            return [_whole(one) for one in value]
        case dict():
            return {name: _whole(one) for name, one in value.items()}
    return value


def _faults(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}".removeprefix(": ") for one in found[:MAX_FAULTS]]
    return "; ".join(told) + (f"; and {len(found) - MAX_FAULTS} more" if len(found) > MAX_FAULTS else "")

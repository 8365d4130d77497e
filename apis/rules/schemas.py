"""A JSON Schema as a field of a request. What serializers write for "nothing", null and `[]`, is read as nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from pydantic_core.core_schema import with_info_before_validator_function

from json_schema.walk import KEYWORDS, MAX_DEPTH

_NEVER_NULL = KEYWORDS.keys() - {"const", "default", "example"}


def cleaned(schema: Any, depth: int = 1) -> Any:
    """Return a copy of `schema` in which null keywords are left out, and `[]` is `{}` where only an object is valid.

    Serializers of C#, Java and Go write every absent keyword as null, and PHP writes an empty object as `[]`. Nothing
    else changes. Below MAX_DEPTH levels, which no schema may have, nothing is read.
    """
    if schema == []:
        return {}
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return schema
    said = {key: value for key, value in schema.items() if value is not None or key not in _NEVER_NULL}
    return {key: _cleaned_value(key, value, depth + 1) for key, value in said.items()}


def _cleaned_value(key: str, value: Any, depth: int) -> Any:
    match KEYWORDS[key].value if key in KEYWORDS else "any":
        case "schema":
            return cleaned(value, depth)
        case "schemas" | "schema or schemas" if isinstance(value, list) and value:
            return [cleaned(item, depth) for item in value]
        case "schema or schemas":
            return cleaned(value, depth)
        case "named schemas" | "named schemas or names" if value == []:
            return {}
        case "named schemas" if isinstance(value, dict):
            return {name: {} if item is None else cleaned(item, depth) for name, item in value.items()}
        case "named schemas or names" if isinstance(value, dict):
            return {name: item if isinstance(item, list) else cleaned(item, depth) for name, item in value.items()}
    return value


@dataclass(frozen=True)
class _Cleaned:
    """Cleans the schema of a request, unless the server runs with --strict-openai."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        def clean(value: object, info: ValidationInfo) -> object:
            return value if info.context or value is None else cleaned(value)

        return with_info_before_validator_function(clean, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [handler(schema), {"type": "array", "maxItems": 0}]}


SchemaObject = Annotated[dict[str, Any], _Cleaned()]

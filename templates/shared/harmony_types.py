"""Functions as the TypeScript-style declarations of harmony, the format of gpt-oss.

The text is that of harmony's own renderer, except that no text of a request can end its comment.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from core.conversation import Function, JsonSchema

_TYPES = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean"}


def namespace(functions: Sequence[Function]) -> str:
    """Return the namespace `functions`."""
    declarations = "".join(f"{_declaration(function)}\n\n" for function in functions)
    return f"namespace functions {{\n\n{declarations}}} // namespace functions"


def _declaration(function: Function) -> str:
    parameters = function.parameters
    has_parameters = bool(parameters and parameters.get("properties"))
    type_text = f"(_: {_type(parameters or {}, '')}) => any" if has_parameters else "() => any"
    return f"{_comment(function.description, '')}type {function.name} = {type_text};"


def _type(schema: JsonSchema, indent: str) -> str:
    if isinstance(schema.get("oneOf"), list):
        return f"\n{indent} | ".join(_type(variant, indent + "   ") for variant in _schemas(schema["oneOf"]))
    match schema.get("type"):
        case [*names]:
            return " | ".join(_TYPES.get(name, name) for name in names if isinstance(name, str)) or "any"
        case "object":
            return _object(schema, indent)
        case "array":
            items = schema.get("items")
            return f"{_type(items, indent)}[]" if isinstance(items, dict) else "Array<any>"
        case "string" if words := _words(schema):
            return " | ".join(f'"{word}"' for word in words)
        case str() as name:
            return _TYPES.get(name, "any")
    return "any"


def _object(schema: JsonSchema, indent: str) -> str:
    properties = schema.get("properties")
    required = schema.get("required")
    lines = [
        _property(name, value, indent, is_required=isinstance(required, list) and name in required)
        for name, value in (properties.items() if isinstance(properties, dict) else ())
        if isinstance(value, dict)
    ]
    return f"{_comment(schema.get('description'), indent)}{{\n{''.join(lines)}{indent}}}"


def _property(name: str, schema: JsonSchema, indent: str, *, is_required: bool) -> str:
    key = f"{indent}{name}{'' if is_required else '?'}:"
    comments = _title(schema, indent)
    if isinstance(schema.get("oneOf"), list):
        default = f"{indent}// {_default(schema)}\n" if "default" in schema else ""
        variants = "".join(_variants(schema, indent))
        return (
            f"{comments}{_examples(schema, indent)}{_own_comment(schema, indent)}{default}{key}\n{variants}{indent},\n"
        )
    comments += _comment(schema.get("description"), indent) + _examples(schema, indent)
    default = f" // {_default(schema)}" if "default" in schema else ""
    return f"{comments}{key} {_nullable(schema, _type(schema, indent + '    '))},{default}\n"


def _variants(schema: JsonSchema, indent: str) -> Iterator[str]:
    """Yield one line for each alternative of a property. The first is not described where the property is."""
    is_described = bool(_own_comment(schema, indent))
    for number, variant in enumerate(_schemas(schema["oneOf"])):
        description = variant.get("description")
        is_new = isinstance(description, str) and description != schema.get("description")
        comments = [_one_line(description)] if is_new and not (number == 0 and is_described) else []
        comments += [_default(variant)] if "default" in variant else []
        comment = f" // {' '.join(comments)}" if comments else ""
        yield f"{indent} | {_nullable(variant, _type(variant, indent + '   '))}{comment}\n"


def _own_comment(schema: JsonSchema, indent: str) -> str:
    """Return the description of a property with alternatives; empty if the first alternative has the same one."""
    first = next(_schemas(schema["oneOf"]), {})
    description = schema.get("description")
    return "" if description == first.get("description") else _comment(description, indent)


def _title(schema: JsonSchema, indent: str) -> str:
    title = schema.get("title")
    return f"{_comment(title, indent)}{indent}//\n" if isinstance(title, str) else ""


def _examples(schema: JsonSchema, indent: str) -> str:
    examples = schema.get("examples")
    if not isinstance(examples, list) or not examples:
        return ""
    lines = [f'{indent}// - "{_one_line(one)}"\n' for one in examples if isinstance(one, str)]
    return f"{indent}// Examples:\n{''.join(lines)}"


def _default(schema: JsonSchema) -> str:
    """Return the comment about the default value. Only the strings of an enum are written without quotes."""
    value = schema["default"]
    if isinstance(value, str):
        return f"default: {_one_line(value)}" if "enum" in schema else f'default: "{_one_line(value)}"'
    return f"default: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}"


def _nullable(schema: JsonSchema, text: str) -> str:
    return f"{text} | null" if schema.get("nullable") is True and "null" not in text else text


def _words(schema: JsonSchema) -> list[str]:
    words = schema.get("enum")
    return [_one_line(word) for word in words if isinstance(word, str)] if isinstance(words, list) else []


def _schemas(variants: list[Any]) -> Iterator[JsonSchema]:
    return (variant for variant in variants if isinstance(variant, dict))


def _comment(text: object, indent: str) -> str:
    """Return comment lines, one for each line of `text`."""
    return "".join(f"{indent}// {line}\n" for line in text.splitlines()) if isinstance(text, str) else ""


def _one_line(text: object) -> str:
    return " ".join(str(text).splitlines())

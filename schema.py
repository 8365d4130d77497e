"""Print functions as the TypeScript-style declarations that the models were trained on.

The output equals the training renderer's byte for byte, with one exception: text of a request cannot end its comment
or string, and so can neither add nor hide a declaration. Equal input gives equal output in every process, since the
prefix cache needs equal prompts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import assert_never

from core.conversation import Function, JsonSchema
from json_schema.types import (
    IDENTIFIER,
    ROOT,
    Array,
    Budget,
    Enum,
    Property,
    Reader,
    Record,
    Word,
    known_word,
    required_names,
    unprintable,
)

# Characters of the output. No context of 128k tokens holds so many. Without a limit, many `$ref`s could repeat one long
# text.
MAX_TEXT = 500_000

_LIMITS = {"maximum": "Maximum", "minimum": "Minimum", "maxLength": "Maximum length", "minLength": "Minimum length"}
_LINE_BREAK = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")  # every line break of Python and Unicode
_ENDS_STRING = re.compile(r'"(?!\w)|\\\Z|' + _LINE_BREAK.pattern)
_DECLARING_WORD = re.compile(
    r"\W*(?:abstract|async|class|const|declare|default|enum|export|function|import|interface|let|module|namespace|type|var)\b"
)
_COMMENT_BEHIND = re.compile(r"\s*(?<!:)(?://|/\*).*")  # not the slashes of https://


def typescript(functions: Sequence[Function]) -> str:
    """Declare `functions` in the format of all models since v1, with nested types and comments.

    Where a recursive type contains itself, only its name is printed. Any schema can be printed; raises RequestError
    only if its `$ref`s expand beyond a limit.
    """
    return _namespace(functions, partial(_declaration, budget=Budget()))


def flat_typescript(functions: Sequence[Function]) -> str:
    """Declare `functions` in the format of functionary-7b-v1 and older: top-level properties only, no `$ref`s."""
    return _namespace(functions, _flat_declaration)


def _namespace(functions: Sequence[Function], declaration: Callable[[Function], Iterator[str]]) -> str:
    lines = ["// Supported function definitions that should be called when necessary.", "namespace functions {", ""]
    num_left = MAX_TEXT
    for function in functions:
        if not function.name:
            continue
        for line in declaration(function):
            num_left -= len(line)
            if num_left < 0:
                raise unprintable(function, f"the functions are longer than {MAX_TEXT} characters once printed.")
            lines.append(line)
        lines.append("")
    return "\n".join([*lines, "} // namespace functions"])


def _declaration(function: Function, budget: Budget) -> Iterator[str]:
    yield _described(function.description)
    name, parameters = _function_name(function), function.parameters
    # As in training, this test comes before `$ref`s are followed: parameters that are one `$ref` are shown as none.
    if not isinstance(parameters, dict) or not isinstance(parameters.get("properties"), dict):
        yield f"type {name} = () => any;"
        return
    record = Reader(function, budget).record(parameters, ROOT, 0)
    yield f"type {name} = (_: {{"
    for prop in record.properties:
        yield from _property_lines(prop, 0)
    if not record.properties:
        yield ""  # the training renderer printed an empty line here
    yield "}) => any;"


def _flat_declaration(function: Function) -> Iterator[str]:
    yield _described(function.description)
    name, parameters = _function_name(function), function.parameters
    if not isinstance(parameters, dict):
        yield f"type {name} = () => any;"
        return
    properties, required = parameters.get("properties"), required_names(parameters)
    yield f"type {name} = (_: {{"
    schemas = properties.items() if isinstance(properties, dict) else ()
    for key, schema in [(key, schema) for key, schema in schemas if isinstance(schema, dict)]:
        if isinstance(schema.get("description"), str):
            yield _described(schema["description"])
        yield f"{_property_name(key)}{'' if key in required else '?'}: {_flat_type(schema)},"
    yield "}) => any;"


def _flat_type(schema: JsonSchema) -> str:
    if isinstance(schema.get("enum"), list):
        return " | ".join(_literal(str(value)) for value in schema["enum"])
    if isinstance(words := schema.get("type"), list):
        return str([known_word(word) for word in words])
    return "number" if words == "integer" else known_word(words)


def _property_lines(prop: Property, depth: int) -> Iterator[str]:
    """Yield the comment and the declaration of `prop`, indented by 4 spaces for each level."""
    pad = "    " * depth
    for comment in _comment_lines(prop):
        yield pad + comment
    head = f"{pad}{_property_name(prop.name)}{'' if prop.is_required else '?'}: "
    null = " | null" if prop.source.get("nullable") is True else ""
    match prop.type:
        case Word(text):
            yield f"{head}{text}{null},"
        case Enum(values):
            yield f"{head}{_union(values)}{null},"
        case Record(properties):
            yield from _record_lines(head, properties, depth + 1, f"{pad}}},")
        case Array(items, levels):
            yield from _array_lines(head, items, levels, depth)
        case _:
            assert_never(prop.type)


def _array_lines(head: str, items: Word | Enum | Record | None, levels: int, depth: int) -> Iterator[str]:
    brackets = "[]" * levels
    match items:
        case None:
            yield f"{head}{brackets},"
        case Word(text):
            yield f"{head}{text}{brackets},"
        case Enum(values):
            yield f"{head}({_union(values)}){brackets},"
        case Record(properties):
            close = "    " * (depth + levels - 1) + f"}}{brackets},"
            yield from _record_lines(head, properties, depth + levels, close)
        case _:
            assert_never(items)


def _record_lines(head: str, properties: tuple[Property, ...], depth: int, close: str) -> Iterator[str]:
    yield head + "{"
    for prop in properties:
        yield from _property_lines(prop, depth)
    yield close


def _comment_lines(prop: Property) -> Iterator[str]:
    source, parts = prop.source, []
    if isinstance(text := source.get("description"), str):
        parts.append(text if text.endswith(".") else f"{text}.")
    if "default" in source:
        parts.append(
            f'Default="{source["default"]}".' if source.get("type") == "string" else f"Default={source['default']}."
        )
    if prop.formats:
        parts.append("Format=" + " or ".join(prop.formats))
    parts += [f"{label}={source[key]}" for key, label in _LIMITS.items() if source.get(key) is not None]
    if parts:
        yield "// " + _LINE_BREAK.sub(" ", " ".join(parts))
    shows_always = isinstance(prop.type, Record) or (isinstance(prop.type, Array) and prop.type != Array(None, 1))
    if isinstance(source.get("examples"), list) and (parts or shows_always):
        yield f"// Example {_property_name(prop.name)}:"
        for value in source["examples"]:
            shown = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
            yield "// " + _LINE_BREAK.sub(r"\\n", shown)


# Escapes, which keep text of a request within its comment or string


def _described(text: str) -> str:
    """Return `text` as a comment. As in training, only the first line and lines that look like code get `//`."""
    first, *further = _LINE_BREAK.sub("\n", text).split("\n")
    return "\n".join(["// " + first, *(f"// {line}" if _is_code(line) else line for line in further)])


def _is_code(line: str) -> bool:
    """Whether a line, without invisible characters, begins or ends like a declaration or contains `=>`."""
    seen = "".join(filter(str.isprintable, line)).strip()
    starts = seen.startswith(("//", "/*", "{", "}")) or _DECLARING_WORD.match(seen) is not None
    ends = ":" in seen and _COMMENT_BEHIND.sub("", seen, count=1).endswith((",", ";", "{"))
    return starts or ends or "=>" in seen


def _function_name(function: Function) -> str:
    return re.sub(r"[^\w.-]", "_", function.name)


def _property_name(name: str) -> str:
    return name if IDENTIFIER.fullmatch(name) else _quoted(name)


def _union(values: Sequence[object]) -> str:
    return " | ".join(_literal(v) if isinstance(v, str) else _LINE_BREAK.sub(" ", str(v)) for v in values)


def _literal(text: str) -> str:
    """Return `text` in double quotes. As in training it is not escaped, unless it would end the string or the line."""
    return _quoted(text) if _ENDS_STRING.search(text) else f'"{text}"'


def _quoted(text: str) -> str:
    shown = json.dumps(text, ensure_ascii=False)
    return _LINE_BREAK.sub(lambda found: f"\\u{ord(found[0]):04x}", shown)

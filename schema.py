"""Print functions as the TypeScript-style declarations that the models were trained on, or as JSON.

The declarations equal the training renderer's byte for byte, with two exceptions. Text of a request cannot end its
comment or string, and so can neither add nor hide a declaration. What the training renderer had no words for, such as
unions of objects, is printed in its manner instead of as `any` (docs/schemas.md lists these forms). Equal input gives
equal output in every process, since the prefix cache needs equal prompts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Literal, assert_never

from core.conversation import Function, JsonSchema
from json_schema.inline import inline
from json_schema.normalise import COMBINED_ROOT, Budget, unprintable
from json_schema.parameter_kinds import parameter_kinds
from json_schema.types import (
    ANYTHING,
    IDENTIFIER,
    Array,
    Enum,
    Fixed,
    Reader,
    Record,
    Type,
    Union,
    Value,
    Word,
    known_word,
)

# Characters of the output. No context of 128k tokens holds so many. Without a limit, many `$ref`s could repeat one long
# text.
MAX_TEXT = 500_000

_LIMITS = {
    "maximum": "Maximum",
    "minimum": "Minimum",
    "maxLength": "Maximum length",
    "minLength": "Minimum length",
    "exclusiveMaximum": "Exclusive maximum",
    "exclusiveMinimum": "Exclusive minimum",
    "maxItems": "Maximum items",
    "minItems": "Minimum items",
    "pattern": "Pattern",
}
_WITH_INNER = (Array, Fixed, Union)  # types whose comment tells about the types inside
MAX_PATTERN = 100  # characters. Longer patterns cost more of the context than they tell the model.
_LINE_BREAK = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")  # every line break of Python and Unicode
_ENDS_STRING = re.compile(r'"(?!\w)|\\\Z|' + _LINE_BREAK.pattern)
_DECLARING_WORD = re.compile(
    r"\W*(?:abstract|async|class|const|declare|default|enum|export|function|import|interface|let|module|namespace|type|var)\b"
)
_COMMENT_BEHIND = re.compile(r"\s*(?<!:)(?://|/\*).*")  # not the slashes of https://


def typescript(functions: Sequence[Function]) -> str:
    """Declare `functions` in the format of all models since v1, with nested types and comments.

    Where a recursive type contains itself, only its name is printed. Any schema can be printed; raises RequestError
    only if its `$ref`s expand beyond a limit or the text is too long.
    """
    return _namespace(functions, partial(_declaration, budget=Budget()))


def flat_typescript(functions: Sequence[Function]) -> str:
    """Declare `functions` in the format of functionary-7b-v1 and older: top-level properties and descriptions only."""
    return _namespace(functions, partial(_flat_declaration, budget=Budget()))


def function_json(function: Function, *, is_ascii: bool = False) -> str:
    """Return `function` on one line of JSON, as Python's `json.dumps` writes it."""
    fields = {"name": function.name, "description": function.description, "parameters": function.parameters}
    return json.dumps(fields, ensure_ascii=is_ascii)


def inlined(function: Function) -> Function:
    """Return `function` with the local `$ref`s of its parameters replaced by their targets."""
    parameters = function.parameters
    if parameters is None or '"$ref"' not in json.dumps(parameters):
        return function
    return replace(function, parameters=inline(parameters))


def _namespace(functions: Sequence[Function], declaration: Callable[[Function], Iterator[str]]) -> str:
    parts = ["// Supported function definitions that should be called when necessary.\nnamespace functions {\n\n"]
    num_left = MAX_TEXT
    for function in functions:
        if not function.name:
            continue
        for part in declaration(function):
            num_left -= len(part)
            if num_left < 0:
                raise unprintable(function, f"the functions are longer than {MAX_TEXT} characters once printed.")
            parts.append(part)
        parts.append("\n")
    return "".join([*parts, "} // namespace functions"])


# A declaration is yielded in parts, so that the limit on its length is checked before a long text is built.


def _declaration(function: Function, budget: Budget) -> Iterator[str]:
    yield _described(function.description) + "\n"
    name, parameters = _function_name(function), function.parameters
    record = Reader(function, budget).parameters() if isinstance(parameters, dict) else None
    if record is None:
        yield f"type {name} = () => any;\n"
        return
    yield f"type {name} = (_: {{\n"
    yield from _members(record, 0)
    if record == Record(()):
        yield "\n"  # the training renderer printed an empty line here
    yield "}) => any;\n"


def _members(record: Record, depth: int) -> Iterator[str]:
    """Yield the lines of a record's properties, indented by 4 spaces for each level."""
    for prop in record.properties:
        name = _property_name(prop.name)
        yield from _member(name if prop.is_required else f"{name}?", name, prop.value, depth)
    for index in record.index:
        if 0 < len(index.pattern) <= MAX_PATTERN:
            yield "    " * depth + "// " + _line(f"Key pattern={index.pattern}") + "\n"
        yield from _member("[key: string]", "value", index.value, depth)


def _member(head: str, name: str, value: Value, depth: int) -> Iterator[str]:
    pad = "    " * depth
    has_comment = False
    for part in _comment(value):
        yield f" {part}" if has_comment else f"{pad}// {part}"
        has_comment = True
    if has_comment:
        yield "\n"
    examples = value.source.get("examples")
    if isinstance(examples, list) and (has_comment or _shows_examples(value.type)):
        yield f"{pad}// Example {name}:\n"
        for example in examples:
            shown = json.dumps(example, ensure_ascii=False) if isinstance(example, dict | list) else str(example)
            yield pad + "// " + _LINE_BREAK.sub(r"\\n", shown) + "\n"
    if isinstance(value.type, Word):  # most types; one part is faster than three
        yield f"{pad}{head}: {value.type.text},\n"
        return
    yield f"{pad}{head}: "
    yield from _type(value.type, depth)
    yield ",\n"


def _shows_examples(type_: Type) -> bool:
    """Whether the training renderer showed the examples of a type without a comment too."""
    if isinstance(type_, Array):
        return type_.levels > 1 or type_.items.type != ANYTHING
    return isinstance(type_, Record | Fixed)


def _type(type_: Type, depth: int) -> Iterator[str]:
    """Yield the text of a type. Its lines after the first are indented by `depth` levels or more."""
    match type_:
        case Word(text):
            yield text
        case Enum(values):
            yield _union(values)
        case Record():
            yield "{\n"
            yield from _members(type_, depth + 1)
            yield "    " * depth + "}"
        case Array(items, levels):
            inner = _type(items.type, depth + levels - 1)
            is_union = isinstance(items.type, Enum) or (
                isinstance(items.type, Union) and len(_distinct(items.type)) > 1
            )
            yield from chain("(", inner, ")") if is_union else inner
            yield "[]" * levels
        case Fixed(items, rest):
            yield "["
            for number, item in enumerate(items):
                yield ", " if number else ""
                yield from _type(item.type, depth)
            if rest is not None:
                yield ", ..."
                yield from _type(Array(rest, 1), depth)
            yield "]"
        case Union():
            for number, member in enumerate(_distinct(type_)):
                yield " | " if number else ""
                yield from _type(member, depth)
        case _:
            assert_never(type_)


def _distinct(union: Union) -> list[Type]:
    """Return the types of a union, each word once."""
    words = dict.fromkeys(member.type for member in union.members if isinstance(member.type, Word))
    return [one.type for one in union.members if not isinstance(one.type, Word) or words.pop(one.type, 1) is None]


# Comments


def _comment(value: Value) -> Iterator[str]:
    """Yield the parts of the comment for a value: what it is, its limits, and what its items or members are."""
    formats = ["Format=" + " or ".join(value.formats)] if value.formats else []
    own = [*_description(value.source), *formats, *_limits(value.source)]
    if own:
        yield _line(" ".join(own))
    if isinstance(value.type, _WITH_INNER):
        yield from map(_line, _inner_comments(value.type))


def _description(source: JsonSchema) -> list[str]:
    parts = []
    text, default = source.get("description"), source.get("default")
    if isinstance(text, str):
        parts.append(text if text.endswith(".") else f"{text}.")
    if default is not None:  # a default of null says no more than that the property is optional
        parts.append(f'Default="{default}".' if source.get("type") == "string" else f"Default={default}.")
    return parts


def _limits(source: JsonSchema) -> list[str]:
    if _LIMITS.keys().isdisjoint(source):
        return []
    limits = {label: source[key] for key, label in _LIMITS.items() if source.get(key) is not None}
    if len(str(source.get("pattern"))) > MAX_PATTERN:
        del limits["Pattern"]
    return [f"{label}={limit}" for label, limit in limits.items()]


def _inner_comments(type_: Type) -> Iterator[str]:
    match type_:
        case Array(items):
            yield from _labelled("Items", _comment(items))
        case Fixed(items):
            for number, item in enumerate(items, 1):
                yield from _labelled(f"Item {number}", _comment(item))
        case Union(members):
            has_titles = len({str(member.source.get("title")) for member in members}) > 1
            for member in members:
                yield from _labelled(_label(member.type), _member_comment(member, has_titles))
        case _:
            return


def _member_comment(value: Value, has_titles: bool) -> Iterator[str]:
    """Yield the comment for a member of a union. Its format is among those of the union.

    has_titles: the members have titles of their own. For a constant, such a title takes the place of a description.
    """
    source, title = value.source, value.source.get("title")
    is_constant = isinstance(value.type, Enum) and len(value.type.values) == 1
    if has_titles and is_constant and isinstance(title, str) and "description" not in source:
        source = {**source, "description": title} if source.get("enum") != [title] else source
    yield from chain(_description(source), _limits(source), _inner_comments(value.type))


def _labelled(label: str, parts: Iterator[str]) -> Iterator[str]:
    first = next(parts, None)
    if first is not None:
        yield f"{label}: {first}"
        yield from parts


def _label(type_: Type) -> str:
    """Return a short name for a member of a union: its value, its type, or the value of its tag."""
    match type_:
        case Word(text):
            return text
        case Enum(values):
            return _union(values) if len(values) == 1 else "enum"
        case Record(properties):
            tags = [one.value.type for one in properties if isinstance(one.value.type, Enum)]
            return next((_union(tag.values) for tag in tags if len(tag.values) == 1), "object")
        case Array() | Fixed():
            return "array"
        case Union():
            return "any"
        case _:
            assert_never(type_)


# The flat format


def _flat_declaration(function: Function, budget: Budget) -> Iterator[str]:
    yield _described(function.description) + "\n"
    name, parameters = _function_name(function), function.parameters
    if not isinstance(parameters, dict):
        yield f"type {name} = () => any;\n"
        return
    record = Reader(function, budget).parameters(COMBINED_ROOT) or Record(())
    yield f"type {name} = (_: {{\n"
    for prop in record.properties:
        if isinstance(description := prop.value.source.get("description"), str):
            yield _described(description) + "\n"
        yield f"{_property_name(prop.name)}{'' if prop.is_required else '?'}: {_flat_type(prop.value)},\n"
    yield "}) => any;\n"


def _flat_type(value: Value) -> str:
    enum, words = value.source.get("enum"), value.source.get("type")
    is_marked = value.source.get("nullable") is True  # the training renderer of this format did not read `nullable`
    if isinstance(value.type, Union) and not is_marked and not isinstance(words, list):
        return _flat_word(value.type)
    if isinstance(enum, list):
        return _flat_word(Enum(enum))
    if isinstance(words, list):
        return str([known_word(word) for word in words])
    if isinstance(words, str):
        return "number" if words == "integer" else known_word(words)
    return _flat_word(value.type).removesuffix(" | null") if is_marked else _flat_word(value.type)


def _flat_word(type_: Type) -> str:
    match type_:
        case Word(text):
            return text
        case Enum(values):
            return " | ".join("null" if one is None else _literal(str(one)) for one in values)
        case Record():
            return "object"
        case Array() | Fixed():
            return "array"
        case Union(members):
            return " | ".join(dict.fromkeys(_flat_word(member.type) for member in members))
        case _:
            assert_never(type_)


# Escapes, which keep text of a request within its comment or string


def _described(text: str) -> str:
    """Return `text` as a comment. As in training, only the first line and lines that look like code get `//`."""
    first, *further = [text] if text.isprintable() else _LINE_BREAK.sub("\n", text).split("\n")
    return "\n".join(["// " + first, *(f"// {line}" if _is_code(line) else line for line in further)])


def _is_code(line: str) -> bool:
    """Whether a line, without invisible characters, begins or ends like a declaration or contains `=>`."""
    seen = (line if line.isprintable() else "".join(filter(str.isprintable, line))).strip()
    starts = seen.startswith(("//", "/*", "{", "}")) or _DECLARING_WORD.match(seen) is not None
    ends = ":" in seen and _COMMENT_BEHIND.sub("", seen, count=1).endswith((",", ";", "{"))
    return starts or ends or "=>" in seen


def _function_name(function: Function) -> str:
    return re.sub(r"[^\w.-]", "_", function.name)


def _property_name(name: str) -> str:
    return name if IDENTIFIER.fullmatch(name) else _quoted(name)


def _union(values: Sequence[object]) -> str:
    return " | ".join(map(_value, values))


def _value(value: object) -> str:
    """Return a value of an enum. As in training, true is `True`."""
    if isinstance(value, str):
        return _literal(value)
    return "null" if value is None else _line(str(value))


def _line(text: str) -> str:
    """Return `text` without line breaks. No line break is printable, and this test is much faster than the search."""
    return text if text.isprintable() else _LINE_BREAK.sub(" ", text)


def _literal(text: str) -> str:
    """Return `text` in double quotes. As in training it is not escaped, unless it would end the string or the line."""
    return _quoted(text) if _ENDS_STRING.search(text) else f'"{text}"'


def _quoted(text: str) -> str:
    shown = json.dumps(text, ensure_ascii=False)
    return _LINE_BREAK.sub(lambda found: f"\\u{ord(found[0]):04x}", shown)


def string_parameters(function: Function) -> dict[str, Literal["string", "string or null"]]:
    """Return the parameters of `function` whose only value, or only value beside null, is a string."""
    found: dict[str, Literal["string", "string or null"]] = {}
    for name, kinds in parameter_kinds(function.parameters or {}).items():
        if "string" in kinds and kinds <= {"string", "null"}:
            found[name] = "string or null" if "null" in kinds else "string"
    return found

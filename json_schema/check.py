"""Which JSON Schemas a request may carry: checked at the door, so that printer and grammar compiler meet sane ones.

Walks with a stack of its own and counts as it goes, so no schema costs more than its size. Nothing is ever fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from core.conversation import JsonSchema
from core.errors import RequestError
from json_schema.types import lookup

MAX_DEPTH = 64  # schemas inside each other
MAX_NODES = 20_000  # schemas
MAX_ENUM = 1_000  # values
MAX_PROPERTIES = 1_000  # of one object
MAX_DESCRIPTION = 20_000  # characters
MAX_PATTERN = 512  # characters

Context = tuple[str, ...]  # the keys that lead to a schema; OpenAI prints list indices as strings too

_TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")
_ONE_SCHEMA = frozenset({"items", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else"})
_ONE_SCHEMA |= {"additionalItems", "unevaluatedItems", "unevaluatedProperties"}
_SCHEMA_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_SCHEMA_MAPS = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})


def check_parameters(
    schema: object, *, owner: str, param: str, code: str | None = "invalid_function_parameters"
) -> None:
    """Raise RequestError unless `schema` is a JSON Schema of an object, within the limits above.

    `owner` is who carries it, as the message names it: "function 'f'", "response_format 'x'" (whose `code` is None).
    """
    subject = Subject(owner, param, code)
    references: list[tuple[str, Context]] = []
    for node, context in walk(schema, subject):
        for key, (is_right, expected) in _SHAPES.items():
            if key in node and not is_right(node[key]):
                raise subject.refusal(f"'{key}' must be {expected}, got {_kind(node[key])}.", context)
        _check_limits(node, context, subject)
        if "$ref" in node:
            references.append((node["$ref"], context))
    _check_loops(schema, references, subject)
    if target_of(schema, schema).get("type", "object") not in ("object", ["object"]):
        raise not_an_object(target_of(schema, schema), subject)


@dataclass(frozen=True)
class Subject:
    """What is being checked, for the error."""

    owner: str
    param: str
    code: str | None

    def refusal(self, sentence: str, context: Context | None = None) -> RequestError:
        where = ""
        if context is not None:
            shown = repr(tuple(shortened(key) for key in context))
            where = f"In context={shown if len(shown) <= 240 else shown[:240] + '...)'}, "
        return RequestError(f"Invalid schema for {self.owner[:100]}: {where}{sentence}"[:500], self.param, self.code)


def shortened(text: str) -> str:
    return text if len(text) <= 64 else f"{text[:64]}..."


def _kind(value: object) -> str:
    """What kind of JSON a value is; a string is shown, since it may be a misspelt type."""
    kinds = {dict: "an object", list: "an array", bool: "a boolean", type(None): "null"}
    if isinstance(value, str):
        return f"'{shortened(value)}'"
    return kinds.get(type(value), "a number")


# The walk


def walk(root: object, subject: Subject) -> Iterator[tuple[JsonSchema, Context]]:
    """Every schema within `root` once, in document order; then what only a `$ref` reaches.

    A schema is yielded before its keywords are followed, so that the caller can refuse their shapes first.
    """
    visited: set[int] = set()
    todo: list[tuple[object, Context, int]] = [(root, (), 1)]
    referred: list[tuple[object, Context, int]] = []
    num_nodes = 0
    while todo or referred:
        node, context, depth = todo.pop() if todo else referred.pop()
        if id(node) in visited:
            continue
        num_nodes += 1
        if num_nodes > MAX_NODES:
            raise subject.refusal(f"it has more than {MAX_NODES} schemas inside.")
        if depth > MAX_DEPTH:
            raise subject.refusal(f"it nests deeper than {MAX_DEPTH} levels.")
        if isinstance(node, bool) and context:
            continue
        if not isinstance(node, dict):
            raise subject.refusal(f"a schema must be an object or a boolean, got {_kind(node)}.", context)
        visited.add(id(node))
        yield node, context
        todo += [(child, (*context, *keys), depth + 1) for child, keys in reversed(list(_children(node)))]
        if "$ref" in node:
            tokens = tuple(node["$ref"].split("/")[1:])
            referred.append((_referred(root, node["$ref"], context, subject), tokens, len(tokens) // 2 + 1))


def _children(node: JsonSchema) -> Iterator[tuple[object, Context]]:
    """The schemas written directly inside `node`, each with the keys that lead there."""
    for key, value in node.items():
        if key in _SCHEMA_LISTS or (key == "items" and isinstance(value, list)):  # `items` as a list: draft 7
            yield from ((child, (key, str(index))) for index, child in enumerate(value))
        elif key in _SCHEMA_MAPS:
            yield from ((child, (key, name)) for name, child in value.items())
        elif key in _ONE_SCHEMA:
            yield value, (key,)


# References


def _referred(root: object, ref: str, context: Context, subject: Subject) -> object:
    if not ref.startswith("#"):
        sentence = f"'$ref' '{shortened(ref)}' is not local; only references into the same schema are followed."
        raise subject.refusal(sentence, context)
    target = lookup(root, ref)
    if target is None:
        raise subject.refusal(f"'$ref' '{shortened(ref)}' points to nothing.", context)
    return target


def _check_loops(root: object, references: list[tuple[str, Context]], subject: Subject) -> None:
    """Refuse `$ref`s that only lead to each other. Recursion through a property or an item is legal."""
    ended: set[str] = set()
    for ref, context in references:
        chain: dict[str, None] = {}
        current: object = ref
        while isinstance(current, str) and current not in ended:
            if current in chain:
                raise subject.refusal(f"'$ref' '{shortened(ref)}' leads back to itself.", context)
            chain[current] = None
            target = lookup(root, current)
            current = target.get("$ref") if isinstance(target, dict) else None
        ended.update(chain)


def target_of(root: object, schema: object) -> JsonSchema:
    """`schema`, or what its `$ref`s lead to."""
    while isinstance(schema, dict) and "$ref" in schema:
        schema = lookup(root, schema["$ref"])
    return schema if isinstance(schema, dict) else {}


def not_an_object(schema: JsonSchema, subject: Subject) -> RequestError:
    found = shortened(str(schema.get("type")))
    return subject.refusal(f"""schema must be a JSON Schema of 'type: "object"', got 'type: "{found}"'.""")


# The shape of each keyword


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and _is_number(value) and value > 0


def _is_count(value: object) -> bool:
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return is_whole and (_is_positive(value) or (_is_number(value) and value == 0))


def _is_exclusive(value: object) -> bool:
    return _is_number(value) or isinstance(value, bool)  # a boolean in OpenAPI 3.0


def _is_type(value: object) -> bool:
    words = value if isinstance(value, list) else [value]
    return 0 < len(words) <= len(_TYPES) and all(isinstance(word, str) and word in _TYPES for word in words)


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _are_schemas(value: object) -> bool:
    return isinstance(value, list) and len(value) > 0


def _shapes(keys: str, is_right: Callable[[object], bool], expected: str) -> dict[str, _Shape]:
    return dict.fromkeys(keys.split(), (is_right, expected))


_Shape = tuple[Callable[[object], bool], str]
_SHAPES: dict[str, _Shape] = {
    "type": (_is_type, f"one of {', '.join(_TYPES)}, or a list of these"),
    "required": (_are_names, "a list of strings"),
    "enum": (lambda value: isinstance(value, list), "a list"),
    "uniqueItems": (lambda value: isinstance(value, bool), "a boolean"),
    "multipleOf": (_is_positive, "a number above 0"),
    **_shapes(" ".join(_SCHEMA_MAPS), lambda value: isinstance(value, dict), "an object"),
    **_shapes(" ".join(_SCHEMA_LISTS), _are_schemas, "a list of at least one schema"),
    **_shapes("$ref $id $schema $comment title description format pattern", _is_text, "a string"),
    **_shapes("minimum maximum", _is_number, "a number"),
    **_shapes("exclusiveMinimum exclusiveMaximum", _is_exclusive, "a number"),
    **_shapes(
        "minLength maxLength minItems maxItems minProperties maxProperties", _is_count, "a whole number, 0 or more"
    ),
}


def _check_limits(node: JsonSchema, context: Context, subject: Subject) -> None:
    patterns = [node.get("pattern", ""), *node.get("patternProperties", {})]
    sizes = (
        ("enum", len(node.get("enum", ())), MAX_ENUM, "values"),
        ("required", len(node.get("required", ())), MAX_PROPERTIES, "names"),
        ("properties", len(node.get("properties", {})), MAX_PROPERTIES, "properties"),
        ("description", len(node.get("description", "")), MAX_DESCRIPTION, "characters"),
        ("pattern", max(map(len, patterns)), MAX_PATTERN, "characters"),
    )
    for key, size, limit, unit in sizes:
        if size > limit:
            raise subject.refusal(f"'{key}' has {size} {unit}, the limit is {limit}.", context)

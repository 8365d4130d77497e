"""Check the JSON Schemas of a request, so that the prompt and the grammar compiler get valid schemas only."""

from __future__ import annotations

from collections.abc import Callable

from core.conversation import JsonSchema
from core.errors import RequestError
from json_schema.binding.bind import TooLarge, bind
from json_schema.binding.conjunction import kinds_of, type_kinds
from json_schema.errors import Subject, shortened
from json_schema.walk import KEYWORDS, MAX_DEPTH, TYPES, Context, Value, lookup, target_of, walk

MAX_NODES = 20_000  # schemas
MAX_PROPERTIES = 1_000  # of one object
MAX_DESCRIPTION = 20_000  # characters


def check_parameters(
    schema: object, *, owner: str, param: str, code: str | None = "invalid_function_parameters"
) -> None:
    """Raise RequestError unless `schema` is a JSON Schema of an object, within the limits, that a value satisfies.

    owner: what the message calls the schema's owner, such as "function 'f'" or "response_format 'x'".
    param, code: the fields of the error; OpenAI's code for a response_format is None.
    """
    subject = Subject(owner, param, code)
    if check_form(schema, subject) and isinstance(schema, dict):
        _check_satisfiable(schema, subject)


def check_form(schema: object, subject: Subject) -> bool:
    """Raise RequestError unless `schema` is a JSON Schema of an object. Returns whether it may be unsatisfiable."""
    may_be_empty = check_schema(schema, subject)
    if (root := target_of(schema, schema)).get("type", "object") not in ("object", ["object"]):
        raise not_an_object(root, subject)
    return may_be_empty


def check_schema(schema: object, subject: Subject) -> bool:
    """Like `check_form`, for a JSON Schema of any value."""
    may_be_empty = False
    targets: dict[str, tuple[object, Context]] = {}  # `$ref` -> its target, and the context of its first use
    for num_nodes, (node, context, depth) in enumerate(walk(schema), 1):
        if num_nodes > MAX_NODES:
            raise subject.error(f"it has more than {MAX_NODES} schemas inside.")
        if depth > MAX_DEPTH:
            raise subject.error(f"it nests deeper than {MAX_DEPTH} levels.")
        if isinstance(node, bool) and context:
            may_be_empty |= not node and context[-2:-1] == ("properties",)
            continue
        if not isinstance(node, dict):
            raise subject.error(f"a schema must be an object or a boolean, got {_kind(node)}.", context)
        _check_values(node, context, subject)
        _check_limits(node, context, subject)
        may_be_empty |= _has_no_value(node)
        if "$ref" in node and (ref := node["$ref"]) not in targets:
            targets[ref] = _referred(schema, ref, context, subject), context
    _check_loops(targets, subject)
    return may_be_empty


def _has_no_value(node: JsonSchema) -> bool:
    """Return whether `node` itself seems to allow no value: no listed value of its type, or a forbidden name."""
    is_closed = node.get("additionalProperties") is False and "patternProperties" not in node
    if is_closed and any(name not in node.get("properties", {}) for name in node.get("required", ())):
        return True
    if "enum" not in node:
        return node.get("not") in ({}, True)
    kinds = type_kinds(node.get("type", list(TYPES))) | ({"null"} if node.get("nullable") is True else set())
    return all(kinds_of(value).isdisjoint(kinds) for value in node["enum"])


def _check_satisfiable(schema: JsonSchema, subject: Subject) -> None:
    try:
        never = bind(schema, is_strict=False).never
    except TooLarge:
        return
    if never is not None:
        raise subject.error(f"no value satisfies it: {never.why}", never.context)


def not_an_object(schema: JsonSchema, subject: Subject) -> RequestError:
    found = shortened(str(schema.get("type")))
    return subject.error(f"""schema must be a JSON Schema of 'type: "object"', got 'type: "{found}"'.""")


def _kind(value: object) -> str:
    """Return the JSON type of a value for a message. A string is quoted, since it may be a misspelt type."""
    kinds = {dict: "an object", list: "an array", bool: "a boolean", type(None): "null"}
    if isinstance(value, str):
        return f"'{shortened(value)}'"
    return kinds.get(type(value), "a number")


# References


def _referred(root: object, ref: str, context: Context, subject: Subject) -> object:
    target = lookup(root, ref)
    if target is None and not ref.startswith("#"):
        sentence = f"'$ref' '{shortened(ref)}' is not local; only references into the same schema are followed."
        raise subject.error(sentence, context)
    if target is None:
        raise subject.error(f"'$ref' '{shortened(ref)}' points to nothing.", context)
    return target


def _check_loops(targets: dict[str, tuple[object, Context]], subject: Subject) -> None:
    """Raise RequestError if `$ref`s only lead to each other. A cycle through properties or items is legal."""
    ended: set[str] = set()
    for ref, (_, context) in targets.items():
        chain: dict[str, None] = {}
        current: str | None = ref
        while current is not None and current not in ended:
            if current in chain:
                raise subject.error(f"'$ref' '{shortened(ref)}' leads back to itself.", context)
            chain[current] = None
            target = targets[current][0]
            current = target.get("$ref") if isinstance(target, dict) else None
        ended.update(chain)


# The value of each keyword


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and _is_number(value) and value > 0


def _is_count(value: object) -> bool:
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return is_whole and (_is_positive(value) or (_is_number(value) and value == 0))


def _is_number_or_boolean(value: object) -> bool:
    return isinstance(value, int | float)


def _are_types(value: object) -> bool:
    words = value if isinstance(value, list) else [value]
    return 0 < len(words) <= len(TYPES) and all(isinstance(word, str) and word in TYPES for word in words)


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _are_schemas(value: object) -> bool:
    return isinstance(value, list) and len(value) > 0


# Kinds of value that are not in this table need no check here: they allow every value, or they hold schemas, which are
# checked when `walk` yields them.
_RIGHT: dict[Value, tuple[Callable[[object], bool], str]] = {
    "schemas": (_are_schemas, "a list of at least one schema"),
    "named schemas": (lambda value: isinstance(value, dict), "an object"),
    "types": (_are_types, f"one of {', '.join(TYPES)}, or a list of these"),
    "names": (_are_names, "a list of strings"),
    "list": (lambda value: isinstance(value, list), "a list"),
    "text": (_is_text, "a string"),
    "boolean": (lambda value: isinstance(value, bool), "a boolean"),
    "number": (_is_number, "a number"),
    "number above 0": (_is_positive, "a number above 0"),
    "number or boolean": (_is_number_or_boolean, "a number"),
    "count": (_is_count, "a whole number, 0 or more"),
}
_RULES = {key: _RIGHT[keyword.value] for key, keyword in KEYWORDS.items() if keyword.value in _RIGHT}


def _check_values(node: JsonSchema, context: Context, subject: Subject) -> None:
    for key, value in node.items():
        if key in _RULES:
            is_right, expected = _RULES[key]
            if not is_right(value):
                raise subject.error(f"'{key}' must be {expected}, got {_kind(value)}.", context)


def _check_limits(node: JsonSchema, context: Context, subject: Subject) -> None:
    sizes = (
        ("required", len(node.get("required", ())), MAX_PROPERTIES, "names"),
        ("properties", len(node.get("properties", {})), MAX_PROPERTIES, "properties"),
        ("description", len(node.get("description", "")), MAX_DESCRIPTION, "characters"),
    )
    for size in sizes:
        check_size(*size, context, subject)


def check_size(key: str, size: int, limit: int, unit: str, context: Context, subject: Subject) -> None:
    if size > limit:
        raise subject.error(f"'{key}' has {size} {unit}, the limit is {limit}.", context)

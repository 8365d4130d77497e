"""Turns the top-level functions of a Python file into function definitions, from type hints and docstrings.

Only the syntax tree is read: nothing is imported or run.
"""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from agent.definitions.candidates import Candidate, Unfit, object_schema
from agent.definitions.docstrings import Docstring, read_docstring
from client.json_lines import Json
from core.conversation import JsonSchema

MAX_DEPTH = 20  # levels of nested type hints
MAX_HINTS = 50_000  # of a text, each use of a class counted anew: ten classes can stand for a billion

_TYPES: dict[str, JsonSchema] = {
    **{name: {"type": "string"} for name in ("str", "Path", "PurePath", "AnyStr")},
    **{name: {"type": "number"} for name in ("float", "Decimal", "Number")},
    **{name: {"type": "array"} for name in ("list", "List", "tuple", "Tuple", "Sequence", "Iterable", "Collection")},
    **{name: {"type": "array", "uniqueItems": True} for name in ("set", "Set", "frozenset", "FrozenSet")},
    **{name: {"type": "object"} for name in ("dict", "Dict", "Mapping")},
    "int": {"type": "integer"},
    "bool": {"type": "boolean"},
    "None": {"type": "null"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "time": {"type": "string", "format": "time"},
    "UUID": {"type": "string", "format": "uuid"},
    **{name: {} for name in ("Any", "object")},
}
_ENUMS = {"Enum", "StrEnum", "IntEnum"}
_RECORDS = {"TypedDict", "BaseModel", "NamedTuple"}
_KINDS: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}


def functions_of(text: str) -> Iterator[Candidate]:
    """Return one candidate for each public function, with its line. Raises Unfit for a text that is not Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes, for example: the user may not be the author
            tree = ast.parse(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        reason = getattr(error, "msg", None) or str(error) or "nested too deep"
        raise Unfit(f"no Python: {reason}", getattr(error, "lineno", None) or 1) from None
    return _functions(tree)


def _functions(tree: ast.Module) -> Iterator[Candidate]:
    annotations = Annotations({node.name: node for node in tree.body if isinstance(node, ast.ClassDef)})
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            try:
                yield Candidate(node.name, _function(node, annotations), line=node.lineno)
            except Unfit as error:
                yield Candidate(node.name, fault=str(error), line=node.lineno)
            except RecursionError:
                yield Candidate(node.name, fault="its type hints or defaults nest too deep", line=node.lineno)


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef, annotations: Annotations) -> Json:
    arguments = node.args
    if starred := arguments.vararg or arguments.kwarg:
        raise Unfit(f"'*{starred.arg}' stands for any number of arguments; a definition needs each by its name")
    docs = read_docstring(ast.get_docstring(node))
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    pairs = [*zip(positional, [*defaults, *arguments.defaults], strict=True)]
    pairs += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    properties: dict[str, object] = {one.arg: _parameter(one, default, annotations, docs) for one, default in pairs}
    required = [one.arg for one, default in pairs if default is None]
    return {"name": node.name, "description": docs.summary, "parameters": object_schema(properties, required)}


def _parameter(one: ast.arg, default: ast.expr | None, annotations: Annotations, docs: Docstring) -> JsonSchema:
    """Return the schema of a parameter. Without a type hint, the type comes from the default. Raises Unfit."""
    value = _default(default)
    if one.annotation is not None:
        try:
            schema = annotations.schema(one.annotation)
        except Unfit as error:
            raise Unfit(f"parameter {one.arg!r}: {error}") from None
    elif type(value) in _KINDS:
        schema = {"type": _KINDS[type(value)]}
    else:
        raise Unfit(f"parameter {one.arg!r} has no type hint")
    if one.arg in docs.parameters:
        schema = {**schema, "description": docs.parameters[one.arg]}
    return schema if value is None else {**schema, "default": value}


def _default(node: ast.expr | None) -> object:
    """Return the value of a default if JSON can hold it, else None, for example for `Unit.CELSIUS` or a call."""
    try:
        return None if node is None else constant(node)
    except Unfit:
        return None


@dataclass(frozen=True)
class Annotations:
    """Translates type hints. `classes` are the file's own classes by name."""

    classes: dict[str, ast.ClassDef]
    _numbers: Iterator[int] = field(default_factory=lambda: iter(range(MAX_HINTS)))

    def schema(self, hint: ast.expr, seen: frozenset[str] = frozenset(), depth: int = 0) -> JsonSchema:
        """Return the JSON Schema of a type hint. Raises Unfit if the type is not JSON or is defined elsewhere.

        `seen` holds the names of the classes that contain the hint. A hint for one of these classes ends the recursion.
        """
        if depth > MAX_DEPTH:
            raise Unfit(f"its type hints nest deeper than {MAX_DEPTH} levels")
        if next(self._numbers, None) is None:
            raise Unfit(f"the functions have more than {MAX_HINTS:,} type hints once their classes are expanded")
        match hint:
            case ast.Constant(value=None):
                return {"type": "null"}
            case ast.Constant(value=str(text)):
                return self.schema(_parsed(text), seen, depth + 1)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                return self._union([left, right], seen, depth)
            case ast.Subscript(value=outer, slice=inner):
                return self._generic(_last_name(outer), _parts(inner), seen, depth)
            case ast.Name() | ast.Attribute():
                return self._named(_last_name(hint), seen, depth)
            case _:
                raise _unknown(ast.unparse(hint))

    def _named(self, name: str, seen: frozenset[str], depth: int) -> JsonSchema:
        if name in self.classes and name not in seen:
            return self._class(self.classes[name], seen | {name}, depth)
        if name in seen:
            return {"type": "object"}
        if name not in _TYPES:
            raise _unknown(name)
        return dict(_TYPES[name])

    def _generic(self, name: str, parts: list[ast.expr], seen: frozenset[str], depth: int) -> JsonSchema:
        read: Callable[[ast.expr], JsonSchema] = lambda part: self.schema(part, seen, depth + 1)  # noqa: E731
        if name == "Literal":
            return _enum([constant(part) for part in parts])
        if name == "Optional":
            return self._union([*parts, ast.Constant(value=None)], seen, depth)
        if name == "Union":
            return self._union(parts, seen, depth)
        if name == "Annotated":
            docs = [part.value for part in parts[1:] if isinstance(part, ast.Constant) and isinstance(part.value, str)]
            return {**read(parts[0]), **({"description": docs[0]} if docs else {})}
        if name in ("Required", "NotRequired", "Final"):
            return read(parts[0])
        outer = self._named(name, seen, depth)
        if outer.get("type") == "array":
            return {**outer, "items": read(parts[0])}
        if outer.get("type") == "object" and len(parts) == 2:
            return {**outer, "additionalProperties": read(parts[1])}
        raise _unknown(name)

    def _union(self, parts: list[ast.expr], seen: frozenset[str], depth: int) -> JsonSchema:
        """Return a union's schema, without None. A call leaves out an optional argument instead of passing null."""
        members = [self.schema(part, seen, depth + 1) for part in parts]
        flat = [one for member in members for one in member.get("oneOf", [member])]
        kept = list({json.dumps(one): one for one in flat if one != {"type": "null"}}.values())
        if not kept:
            raise _unknown("None")
        if {} in kept:
            return {}
        return kept[0] if len(kept) == 1 else {"oneOf": kept}

    def _class(self, node: ast.ClassDef, seen: frozenset[str], depth: int) -> JsonSchema:
        bases = {_last_name(base) for base in node.bases}
        if bases & _ENUMS:
            return _enum([constant(line.value) for line in node.body if isinstance(line, ast.Assign)])
        decorators = {_last_name(one.func if isinstance(one, ast.Call) else one) for one in node.decorator_list}
        if not (bases & _RECORDS or "dataclass" in decorators):
            raise _unknown(node.name)
        docs = read_docstring(ast.get_docstring(node)).parameters
        properties: dict[str, object] = {}
        required = []
        for line in node.body:
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                name = line.target.id
                text = {"description": docs[name]} if name in docs else {}
                properties[name] = {**self.schema(line.annotation, seen, depth + 1), **text}
                is_optional = line.value is not None or "NotRequired" in ast.unparse(line.annotation)
                required += [] if is_optional else [name]
        return object_schema(properties, required)


def constant(node: ast.expr) -> object:
    """Evaluate an expression that is a string, number, boolean or None. Raises Unfit for any other."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise Unfit(f"{ast.unparse(node)[:60]} is no constant") from None
    if not isinstance(value, str | int | float | None):
        raise Unfit(f"{ast.unparse(node)[:60]} is no text, number, boolean or None")
    return value


def _enum(values: list[object]) -> JsonSchema:
    kinds = {str: "string", bool: "boolean", int: "integer", float: "number"}
    types = {kinds.get(type(value), "null") for value in values}
    if not values:
        raise Unfit("an enum has no values")
    return {"type": types.pop(), "enum": values} if len(types) == 1 else {"enum": values}


def _parsed(text: str) -> ast.expr:
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise _unknown(text) from None


def _parts(inner: ast.expr) -> list[ast.expr]:
    return inner.elts if isinstance(inner, ast.Tuple) else [inner]


def _last_name(node: ast.expr) -> str:
    """Return the last part of a dotted name: `date` for `datetime.date`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _unknown(hint: str) -> Unfit:
    return Unfit(
        f"the type {hint[:60]!r} cannot be written as JSON Schema; known are the built-in and typing's types, "
        "dates, Literal, and the file's own enums, dataclasses, TypedDicts and pydantic models"
    )

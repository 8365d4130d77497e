"""Rewrite a schema into the few forms that the prompt's TypeScript has words for.

`$ref`, `allOf` and unions with one member are merged into one schema, `const` becomes an `enum` of one value, and the
tag of a discriminated union is required in each member. Only one schema is rewritten at a time: the schemas inside it
stay as they are until they are needed, so recursive types end, and the limits on `$ref`s are checked on the way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from core.conversation import Function, JsonSchema
from core.errors import RequestError
from json_schema.binding.conjunction import key_of
from json_schema.errors import Subject
from json_schema.walk import MAX_DEPTH, lookup, tag_of, tag_values

MAX_EXPANDED = 20_000  # schemas; 40 definitions that each use the next one twice would expand to 2**40
# Schemas that the `$ref`s inside combiners and maps of one function expand to, and those of all functions. Further ones
# are printed by name. The training renderer printed them as `any`, so they must not make a request fail, and not fill
# the context either.
MAX_COMBINED = 1_000
MAX_COMBINED_OF_ALL = 10_000
UNIONS = ("anyOf", "oneOf")

Seen = frozenset[str]  # the `$ref`s that are being expanded, and COMBINED inside combiners and maps
COMBINED = "(combined)"  # not a `$ref`
ROOT: Seen = frozenset({"#"})
COMBINED_ROOT = ROOT | {COMBINED}
_FREE = (ROOT, COMBINED_ROOT)

_REWRITTEN = frozenset({"$ref", "allOf", *UNIONS, "const", "exclusiveMinimum", "exclusiveMaximum"})
_NAMED = ("properties", "patternProperties")
_LISTED = ("items", "prefixItems", *UNIONS)
_SINGLE = ("items", "additionalItems", "additionalProperties", "propertyNames")


class Place(NamedTuple):
    """A schema inside a merged schema, with the `$ref`s that led to it."""

    schema: JsonSchema
    seen: Seen


SCHEMA = (dict, Place)  # the types of a schema that is more than true or false


class Normal(NamedTuple):
    """A rewritten schema.

    It has no `allOf` or `const`, and a `$ref` only to a type that contains it. The schemas inside are not rewritten
    yet. Each of them is a JSON value that the `$ref`s of `seen` led to, or a Place.
    is_nullable: null is allowed beside what `schema` describes.
    """

    schema: JsonSchema
    seen: Seen
    is_nullable: bool = False


@dataclass
class Budget:
    """The number of schemas that the `$ref`s of one request may still expand to."""

    left: int = MAX_EXPANDED
    combined: int = MAX_COMBINED_OF_ALL


def unprintable(function: Function, sentence: str) -> RequestError:
    """Create the error for a function that cannot be printed.

    Its `param` is None, since this module does not know which field of the request holds the function.
    """
    return Subject(f"function '{function.name[:64]}'", None, "invalid_function_parameters").error(sentence)


@dataclass
class Normaliser:
    """Rewrites the schemas of one function's parameters."""

    function: Function
    budget: Budget
    targets: dict[str, JsonSchema] = field(default_factory=dict)
    texts: dict[int, tuple[object, str]] = field(default_factory=dict)  # by id; the schema is kept, and so its id
    num_combined: int = 0

    def normal(self, schema: object, seen: Seen) -> Normal:
        """Rewrite `schema`, but not the schemas inside it. What is not a schema becomes {}."""
        if isinstance(schema, dict) and _REWRITTEN.isdisjoint(schema):
            return Normal(schema, seen)
        if isinstance(schema, Place):
            schema, seen = schema
        while isinstance(schema, dict) and len(schema) == 1 and isinstance(ref := schema.get("$ref"), str):
            if ref in seen:
                return Normal(schema, seen)
            schema, seen = self.target(ref, seen)  # a `$ref` without siblings, the usual form, needs no merging
            if _REWRITTEN.isdisjoint(schema):
                return Normal(schema, seen)
        if not isinstance(schema, dict):
            return Normal({}, seen)
        if _REWRITTEN.isdisjoint(schema):
            return Normal(schema, seen)
        parts, is_nullable = self.parts(schema, seen)
        merged, seen = self.merged(parts, seen)
        return Normal(_tagged(merged, seen), seen, is_nullable)

    def parts(self, schema: JsonSchema, seen: Seen) -> tuple[list[Place], bool]:
        """Return the schemas that all apply to the value of `schema`, itself first, and whether null is allowed too."""
        parts: list[Place] = []
        is_nullable = False
        todo: list[Any] = [Place(schema, seen)]
        while todo:
            schema, seen = todo.pop()
            combined = seen | {COMBINED}
            own, ref = _without(schema, "$ref", "allOf"), schema.get("$ref")
            further: list[object] = []
            if isinstance(ref, str) and ref in seen:
                own["$ref"] = ref
            elif isinstance(ref, str):
                further.append(self.target(ref, seen))
            if isinstance(schema.get("allOf"), list):
                further += [at(member, combined) for member in schema["allOf"]]
            for key in UNIONS:
                if (only := self.only_member(schema, key, seen)) is not None:
                    is_nullable = is_nullable or len(schema[key]) > 1
                    further.append(at(only, combined))
                    del own[key]
            parts += [Place(part, seen) for part in [_constant(own)] if part]
            todo += [place for place in reversed(further) if isinstance(place, Place)]
        return parts, is_nullable

    def target(self, ref: str, seen: Seen) -> Place:
        """Return the target of `ref`, or the `$ref` itself inside its own target and beyond the limit of combiners."""
        is_over = COMBINED in seen and (not self.can_combine(1) or len(seen) > MAX_DEPTH)
        if is_over or ref in seen:
            return Place({"$ref": ref}, seen | {ref})
        if len(seen) > MAX_DEPTH:
            raise unprintable(self.function, f"it has more than {MAX_DEPTH} $refs inside each other.")
        if ref not in self.targets:
            target = lookup(self.function.parameters, ref)
            self.targets[ref] = target if isinstance(target, dict) else {}
        seen |= {ref}
        self.spend(1, seen)
        return Place(self.targets[ref], seen)

    def only_member(self, schema: JsonSchema, key: str, seen: Seen) -> object | None:
        """Return the member of a union that has no other one but null."""
        members = schema.get(key)
        if not isinstance(members, list):
            return None
        others = [member for member in members if not is_null(member)]
        if len(others) != 1 or not isinstance(others[0], SCHEMA):
            return None
        # The training renderer has words for a oneOf of plain types: `string | null`.
        if key == "oneOf" and len(members) > 1 and "type" not in schema and self.is_plain(others[0], seen):
            return None
        return others[0]

    def is_plain(self, member: object, seen: Seen) -> bool:
        """Whether a member of a union is only the name of a type, such as `string`."""
        schema, seen = at(member, seen) if isinstance(member, SCHEMA) else ({}, seen)
        for _ in range(MAX_DEPTH):
            ref = schema.get("$ref")
            if not isinstance(ref, str):
                break
            if ref in seen:
                return True
            target = lookup(self.function.parameters, ref)
            schema, seen = target if isinstance(target, dict) else {}, seen | {ref}
        words = schema.get("type")
        is_container = not {"array", "object"}.isdisjoint(words if isinstance(words, list) else [str(words)])
        return not is_container and "enum" not in schema and _REWRITTEN.isdisjoint(schema)

    def merged(self, parts: list[Place], seen: Seen) -> tuple[JsonSchema, Seen]:
        """Merge schemas that apply to the same value. Where two disagree, the first wins; the grammar knows both."""
        if len(parts) < 2:
            return parts[0] if parts else ({}, seen)
        result: JsonSchema = {}
        for part, part_seen in parts:
            properties = part.get("properties")
            self.combine(len(properties) if isinstance(properties, dict) else 0)
            for key, value in part.items():
                value = _placed(key, value, part_seen)
                result[key] = _both(key, result[key], value) if key in result else value
        return result, parts[0].seen

    def spend(self, count: int, seen: Seen) -> None:
        if len(seen) <= 2 and seen in _FREE:  # no `$ref` was followed, so the size of the request is the limit
            return
        if COMBINED in seen:
            self.combine(count)
            return
        self.budget.left -= count
        if self.budget.left < 0:
            raise unprintable(self.function, f"its $refs expand to more than {MAX_EXPANDED} schemas.")

    def combine(self, count: int) -> None:
        self.num_combined += count
        self.budget.combined -= count

    def can_combine(self, count: int) -> bool:
        return self.num_combined + count <= MAX_COMBINED and count <= self.budget.combined

    # The parameters as a whole

    def parameters(self, seen: Seen) -> Normal:
        """Return the function's parameters as one object. `seen` is ROOT or COMBINED_ROOT.

        Of a union, the object has the properties of all members, and requires what all members require.
        """
        parameters = self.function.parameters
        # The training renderer printed such parameters as none, so they must not make a request fail.
        is_combined = isinstance(parameters, dict) and ("$ref" in parameters or "properties" not in parameters)
        return self.one_object(self.normal(parameters, COMBINED_ROOT if is_combined else seen), 0)

    def one_object(self, node: Normal, depth: int) -> Normal:
        schema, seen, _ = node
        unions = [members for key in UNIONS if isinstance(members := schema.get(key), list)]
        if not unions or depth > MAX_DEPTH:
            return node
        own = schema.get("properties")
        found: dict[str, dict[str, Any]] = {}
        required = list(_names(schema))
        for members in unions:
            nodes = [self.normal(member, seen | {COMBINED}) for member in members if not is_null(member)]
            objects = [self.one_object(member, depth + 1) for member in nodes]
            for name, child in (pair for member in objects for pair in _properties(member)):
                if not isinstance(own, dict) or name not in own:
                    found.setdefault(name, {}).setdefault(self.text(child), child)
            needed = [set(_names(member.schema)) for member in objects]
            required += sorted(set.intersection(*needed)) if needed else []
        if not found and not isinstance(own, dict):
            return node
        self.combine(len(found))
        one_of = {name: _either([*children.values()], seen) for name, children in found.items()}
        properties = {**own, **one_of} if isinstance(own, dict) else one_of
        return Normal({**schema, "properties": properties, "required": required}, seen)

    def text(self, schema: object) -> str:
        """Return a text that is the same for equal schemas. The text of a long schema is made once only."""
        schema = written(schema)
        if id(schema) not in self.texts:
            self.texts[id(schema)] = schema, json.dumps(schema, default=sorted)
        return self.texts[id(schema)][1]


def at(schema: Any, seen: Seen) -> Any:
    """Return an object as a Place, and every other value as it is."""
    return Place(schema, seen) if isinstance(schema, dict) else schema


def written(schema: Any) -> Any:
    """Return the schema of a Place, and every other value as it is."""
    return schema.schema if isinstance(schema, Place) else schema


def is_inside_itself(place: Place) -> bool:
    """Whether a schema is the `$ref` of a type that contains the schema."""
    ref = place.schema.get("$ref")
    return isinstance(ref, str) and ref in place.seen


def is_null(schema: object) -> bool:
    """Whether a schema allows nothing but null."""
    schema = written(schema)
    if not isinstance(schema, dict):
        return False
    return schema.get("type") in ("null", ["null"]) or schema.get("enum") == [None] or schema.get("const", ()) is None


def _constant(schema: JsonSchema) -> JsonSchema:
    """Replace `const` by `enum`, and the boolean exclusive bounds of OpenAPI 3.0 by numbers."""
    if "const" in schema:
        schema["enum"] = [value := schema.pop("const")]
        if "default" in schema and schema["default"] == value:
            del schema["default"]  # it says no more than the constant
    for bound, key in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(schema.get(key), bool) and schema.pop(key) and bound in schema:
            schema[key] = schema.pop(bound)
    return schema


def _placed(key: str, value: Any, seen: Seen) -> Any:
    if key in _NAMED and isinstance(value, dict):
        return {name: at(child, seen) for name, child in value.items()}
    if key in _LISTED and isinstance(value, list):
        return [at(child, seen) for child in value]
    return at(value, seen) if key in _SINGLE else value


def _both(key: str, first: Any, second: Any) -> Any:
    """Return the value of `key` in a schema that is merged from two."""
    if key == "required" and isinstance(first, list) and isinstance(second, list):
        return [*first, *second]
    if key in _NAMED and isinstance(first, dict) and isinstance(second, dict):
        return {**first, **{name: _all(first[name], one) if name in first else one for name, one in second.items()}}
    if key == "enum" and isinstance(first, list) and isinstance(second, list):
        allowed = set(map(key_of, second))
        return [value for value in first if key_of(value) in allowed] or second
    if key == "type":
        words = second if isinstance(second, list) else [second]
        common = [word for word in (first if isinstance(first, list) else [first]) if word in words]
        return (common[0] if len(common) == 1 else common) or first
    return _all(first, second) if key in _SINGLE else first


def _all(first: Any, second: Any) -> Any:
    if isinstance(first, Place) and isinstance(second, Place) and first.schema != second.schema:
        return Place({"allOf": [first, second]}, first.seen)
    return second if first is True else first


def _either(children: list[Any], seen: Seen) -> Any:
    return children[0] if len(children) == 1 else Place({"anyOf": children}, seen)


def _without(schema: JsonSchema, *keys: str) -> JsonSchema:
    return {key: value for key, value in schema.items() if key not in keys}


def _names(schema: JsonSchema) -> Iterator[str]:
    names = schema.get("required")
    yield from (name for name in (names if isinstance(names, list) else ()) if isinstance(name, str))


def _properties(node: Normal) -> Iterator[tuple[str, Any]]:
    properties = node.schema.get("properties")
    for name, child in properties.items() if isinstance(properties, dict) else ():
        yield name, at(child, node.seen)


def _tagged(schema: JsonSchema, seen: Seen) -> JsonSchema:
    """Require the tag of a discriminated union in each member, with the values that stand for the member."""
    tag, key = tag_of(schema), next((key for key in UNIONS if isinstance(schema.get(key), list)), None)
    if not tag or key is None:
        return schema
    has_mapping = bool(schema["discriminator"].get("mapping"))
    members = []
    for member in schema[key]:
        place = at(member, seen)
        if not isinstance(place, Place) or is_null(place) or is_inside_itself(place):
            members.append(member)
            continue
        ref = place.schema.get("$ref")
        values = tag_values(schema, ref)
        if isinstance(ref, str) and not has_mapping:
            values = [ref.rpartition("/")[2]]
        tags = {"properties": {tag: {"enum": values}}} if values else {}
        members.append({"allOf": [{**tags, "required": [tag]}, member]})
    return {**_without(schema, "discriminator"), key: members}

"""Reads the operations of an OpenAPI 3.x or Swagger 2 document, each as a function and as the request that it makes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from agent.definitions.candidates import Candidate, Unfit, object_schema
from agent.definitions.openapi_schemas import plain_schema, short_text
from agent.definitions.references import MAX_NODES, Inliner
from client.json_lines import Json
from core.conversation import JsonSchema

METHODS = ("get", "post", "put", "patch", "delete")
MAX_NAME = 64

IsArgument = Callable[[str, str], bool]

_JSON_BODY = re.compile(r"json|\*/\*", re.IGNORECASE)
_FORM_BODY = re.compile(r"form-urlencoded|form-data", re.IGNORECASE)
FORM = "application/x-www-form-urlencoded"
_COMBINERS = {"allOf", "anyOf", "oneOf"}  # they may add properties
_COLLECTIONS = {"multi": ("form", True), "ssv": ("spaceDelimited", False), "pipes": ("pipeDelimited", False)}


@dataclass(frozen=True)
class Parameter:
    """Where an argument of the function goes.

    argument: its name in the function. place: "path", "query", "header" or "cookie". style, is_exploded: how arrays and
    objects are written, in OpenAPI's words. is_json: the value is written as JSON.
    """

    argument: str
    name: str
    place: str
    style: str
    is_exploded: bool
    is_json: bool


@dataclass(frozen=True)
class Body:
    """The body of a request: the `arguments` as the properties of an object, or one argument that is all of it."""

    media_type: str
    arguments: tuple[str, ...]
    is_whole: bool
    is_required: bool


@dataclass(frozen=True)
class Operation:
    """An operation: the function that the model sees, and the request that a call makes.

    own_name: the operationId, else the method and the path. item, definition: the JSON of its path and its own.
    """

    method: str
    path: str
    own_name: str
    function: Json
    parameters: tuple[Parameter, ...]
    body: Body | None
    item: JsonSchema
    definition: JsonSchema


def is_openapi(document: object) -> bool:
    return isinstance(document, dict) and ("openapi" in document or "swagger" in document)


def candidates(document: Json) -> Iterator[Candidate]:
    """Yield one candidate for each method of each path, without headers and cookies, which callers rarely choose."""
    for where, found in operations(document, lambda name, place: place in ("path", "query")):
        if isinstance(found, Unfit):
            yield Candidate(where, fault=str(found))
        else:
            yield Candidate(where, found.function)


def operations(
    document: Json, is_argument: IsArgument, max_nodes: int = sys.maxsize
) -> Iterator[tuple[str, Operation | Unfit]]:
    """Yield each operation, or why it cannot be used, after its method and path.

    is_argument: gets the name and the place of a parameter, and says whether the function has it.
    max_nodes: the number of JSON values in all functions together, with their references expanded.
    """
    paths = document.get("paths")
    if not isinstance(paths, dict):
        yield "paths", Unfit("the document has no object of paths")
        return
    left = max_nodes
    for path, item in paths.items():
        for method, where, found in _methods(document, str(path), item):
            if isinstance(found, Unfit):
                yield where, found
                continue
            if left < MAX_NODES:
                yield where, Unfit("the operations before it have all the parts that one document may have")
                continue
            inliner = Inliner(document)
            try:
                yield where, _operation(inliner, str(path), method, found, is_argument)
            except Unfit as error:
                yield where, error
            left -= MAX_NODES - max(0, inliner.left)


def _methods(document: Json, path: str, item: object) -> Iterator[tuple[str, str, JsonSchema | Unfit]]:
    """Yield the methods of a path, each with the object of the path."""
    try:
        held = Inliner(document).target(item)
    except Unfit as error:
        yield "", path, error
        return
    yield from ((method, f"{method.upper()} {path}", held) for method in METHODS if method in held)


def _operation(inliner: Inliner, path: str, method: str, item: JsonSchema, is_argument: IsArgument) -> Operation:
    definition = inliner.target(item[method])
    arguments = _Arguments(inliner)
    arguments.add_parameters(item, definition, is_argument)
    if "requestBody" in definition:
        held = inliner.target(definition["requestBody"])
        media_type, schema = _content(held.get("content"))
        if schema is not None:
            arguments.add_body(inliner.schema(schema), media_type, is_required=held.get("required") is True)
    own_name = str(definition.get("operationId") or f"{method.upper()} {path}")
    name = definition.get("operationId") or f"{method} {path}"
    function = {
        "name": re.sub(r"[^A-Za-z0-9_]+", "_", str(name)).strip("_")[:MAX_NAME],
        "description": short_text(definition.get("summary")) or short_text(definition.get("description")),
        "parameters": object_schema(arguments.properties, arguments.required),
    }
    return Operation(method, path, own_name, function, tuple(arguments.parameters), arguments.body, item, definition)


class _Arguments:
    """The arguments of one function, and where each goes."""

    def __init__(self, inliner: Inliner) -> None:
        self.properties: dict[str, object] = {}
        self.required: list[str] = []
        self.parameters: list[Parameter] = []
        self.body: Body | None = None
        self._inliner = inliner

    def add_parameters(self, item: JsonSchema, definition: JsonSchema, is_argument: IsArgument) -> None:
        """Add the parameters of an operation, which override those of its path."""
        listed = [*_listed(item, "parameters"), *_listed(definition, "parameters")]
        found = {(one.get("name"), one.get("in")): one for one in map(self._inliner.target, listed)}
        fields: list[str] = []
        for (name, place), one in found.items():
            if place == "body":
                schema = self._inliner.schema(one.get("schema") or {})
                self.add_body(schema, "application/json", is_required=one.get("required") is True)
            elif place == "formData":
                fields.append(self._add(str(name), one, place))
            elif place in ("path", "query", "header", "cookie"):
                if not isinstance(name, str):
                    raise Unfit("a parameter has no name")
                if is_argument(name, place):
                    self.parameters.append(_parameter(self._add(name, one, place), name, place, one))
        if fields:
            self.body = Body(FORM, tuple(fields), is_whole=False, is_required=False)

    def add_body(self, schema: JsonSchema, media_type: str, *, is_required: bool) -> None:
        """Add the properties of the body. If they are not known or a name is taken, add the whole body as `body`."""
        shown = plain_schema(schema)
        inner: Any = shown.get("properties")
        names: Any = shown.get("required", ())
        is_whole = not inner or bool(inner.keys() & self.properties.keys() or _COMBINERS & shown.keys())
        if is_whole:
            inner, names = {"body": shown}, ["body"]
        if both := inner.keys() & self.properties.keys():
            raise Unfit(f"two parameters have the name {min(both)!r}")
        self.properties.update(inner)
        self.required += [name for name in names if is_required]
        self.body = Body(media_type, tuple(inner), is_whole, is_required)

    def _add(self, name: str, one: JsonSchema, place: str) -> str:
        """Add a parameter, and return the name of the argument: `query_id` if `id` is taken."""
        schema = one.get("schema") or _content(one.get("content"))[1] or one
        argument = name if name not in self.properties else f"{place}_{name}"
        if argument in self.properties:
            raise Unfit(f"two parameters have the name {argument!r}")
        shown = plain_schema(_without_flag(self._inliner.schema(schema)))
        text = short_text(one.get("description"))
        self.properties[argument] = {**shown, "description": text} if text else shown
        self.required += [argument] if one.get("required") is True or place == "path" else []
        return argument


def _parameter(argument: str, name: str, place: str, one: JsonSchema) -> Parameter:
    """Read how a parameter is written. Swagger 2 says it with `collectionFormat`."""
    usual = "form" if place in ("query", "cookie") else "simple"
    style = str(one.get("style") or usual)
    is_exploded = bool(one.get("explode", style == "form"))
    if "schema" not in one and "content" not in one:
        style, is_exploded = _COLLECTIONS.get(str(one.get("collectionFormat")), (usual, False))
    return Parameter(argument, name, place, style, is_exploded, is_json="content" in one)


def _content(content: object) -> tuple[str, Any]:
    """Return the type and the schema of the JSON body or, if there is none, of the web form.

    The schema is None if there is no content. Raises Unfit for a body of any other type.
    """
    kinds = content if isinstance(content, dict) else {}
    for wanted in (_JSON_BODY, _FORM_BODY):
        for kind, held in kinds.items():
            if wanted.search(str(kind)) and isinstance(held, dict) and "schema" in held:
                return "application/json" if "*" in str(kind) else str(kind), held["schema"]
    if kinds:
        raise Unfit(f"its body is {next(iter(kinds))}, which no call's JSON can hold")
    return "", None


def _listed(holder: JsonSchema, key: str) -> list[object]:
    items = holder.get(key) or []
    if not isinstance(items, list):
        raise Unfit(f"{key!r} must be a list")
    return items


def _without_flag(schema: JsonSchema) -> JsonSchema:
    """Remove the boolean `required` of a Swagger 2 parameter, so that the parameter can be used as a schema."""
    return {key: value for key, value in schema.items() if key != "required" or isinstance(value, list)}

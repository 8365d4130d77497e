"""/openapi.json: the public requests and answers of every route, with examples that work; /docs shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from apis.rules.answers import Error

Json = dict[str, Any]

_REF = "#/components/schemas/{model}"
_ERRORS = {
    400: "A field of the request is wrong; `param` names it.",
    401: "No API key, or a wrong one.",
    404: "No such model.",
    429: "The queue is full; try again after Retry-After seconds.",
    500: "The server failed on this request.",
    503: "The model is loading, or the server is shutting down.",
}


@dataclass(frozen=True)
class Operation:
    """What a route takes and answers. Without an answer's model it answers plain text.

    The body is no parameter of the route's function: it is read with bounds of our own (web/edge.py).
    """

    answer: type[BaseModel] | None = None
    request: type[BaseModel] | None = None
    chunk: type[BaseModel] | None = None
    examples: Mapping[str, Json] = field(default_factory=dict)

    def described(self) -> Json:
        """The arguments of add_api_route that publish it."""
        content: Json = {"application/json": {"schema": _ref(self.answer)}} if self.answer else {"text/plain": {}}
        if self.chunk:
            content["text/event-stream"] = {"schema": _ref(self.chunk)}
        error = {"application/json": {"schema": _ref(Error)}}
        responses: dict[int | str, Json] = {200: {"description": "The answer.", "content": content}}
        responses["default"] = {"description": "Any error.", "content": error}
        extra: Json = {}
        if self.request:
            for status, description in _ERRORS.items():
                responses[status] = {"description": description, "content": error}
            examples = {name: {"value": example} for name, example in self.examples.items()}
            body = {"schema": _ref(self.request), "examples": examples}
            extra = {"requestBody": {"required": True, "content": {"application/json": body}}}
        return {"responses": responses, "openapi_extra": extra}


def document(app: FastAPI, operations: list[Operation]) -> Json:
    """The OpenAPI document of an application whose routes were added with these operations."""
    answers: set[type[BaseModel] | None] = {Error, *(o.answer for o in operations), *(o.chunk for o in operations)}
    _, schemas = models_json_schema(
        [
            *((operation.request, "validation") for operation in operations if operation.request),
            *((answer, "serialization") for answer in answers if answer),
        ],
        ref_template=_REF,
    )
    text = get_openapi(title=app.title, version=app.version, routes=app.routes)
    text["components"] = {
        "schemas": dict(sorted(schemas["$defs"].items())),
        "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
    }
    text["security"] = [{"key": []}, {}]
    return text


def _ref(model: type[BaseModel]) -> Json:
    return {"$ref": _REF.format(model=model.__name__)}

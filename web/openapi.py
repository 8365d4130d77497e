"""The document /openapi.json: requests, answers and working examples of every route. /docs shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from apis.rules.answers import Error
from apis.rules.anthropic_answer import AnthropicError

Json = dict[str, Any]

_REF = "#/components/schemas/{model}"
_ERRORS = {
    400: "A field of the request is wrong; `param` names it.",
    401: "No API key, or a wrong one.",
    404: "No such model.",
    429: "The queue is full, or a rate limit is reached; try again after Retry-After seconds.",
    500: "The server failed on this request.",
    503: "The model is loading, the request waited too long, the server is shutting down, or the engine has failed.",
}


@dataclass(frozen=True)
class Operation:
    """The published models of a route: its request, answer, streamed chunk and error.

    If `answer` is None, the route returns plain text. `anthropic` is the answer to a request with the header
    anthropic-version, whose errors are Anthropic's.

    FastAPI cannot derive them: the route's function reads the body itself, within limits (web/body.py).
    """

    answer: type[BaseModel] | None = None
    request: type[BaseModel] | None = None
    chunk: type[BaseModel] | None = None
    examples: Mapping[str, Json] = field(default_factory=dict)
    error: type[BaseModel] = Error
    anthropic: type[BaseModel] | None = None

    def described(self) -> Json:
        """Return the arguments of FastAPI's add_api_route that publish this operation."""
        answers = [_ref(answer) for answer in (self.answer, self.anthropic) if answer]
        content: Json = {"application/json": {"schema": _one_of(answers)}} if answers else {"text/plain": {}}
        if self.chunk:
            content["text/event-stream"] = {"schema": _ref(self.chunk)}
        errors = [_ref(self.error), *([_ref(AnthropicError)] if self.anthropic else [])]
        error = {"application/json": {"schema": _one_of(errors)}}
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


class Route(NamedTuple):
    """A path of the server, the function that answers it, its method, and what is published about it."""

    path: str
    endpoint: Callable[..., Any]
    method: str
    operation: Operation


def document(app: FastAPI, operations: list[Operation]) -> Json:
    """Build the OpenAPI document of an application whose routes were added with these operations."""
    answers = {answer for o in operations for answer in (o.answer, o.anthropic, o.chunk, o.error)}
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
        "securitySchemes": {
            "key": {"type": "http", "scheme": "bearer"},
            **{name: {"type": "apiKey", "in": "header", "name": name} for name in ("x-api-key", "api-key")},
        },
    }
    text["security"] = [{"key": []}, {"x-api-key": []}, {"api-key": []}, {}]
    return text


def _one_of(schemas: list[Json]) -> Json:
    return schemas[0] if len(schemas) == 1 else {"oneOf": schemas}


def _ref(model: type[BaseModel]) -> Json:
    return {"$ref": _REF.format(model=model.__name__)}

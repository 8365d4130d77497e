"""The files of the playground, and the functions in a text that was pasted there."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from agent.definitions.candidates import Candidate, Unfit
from agent.definitions.sources import candidates_in
from apis.functions import EXAMPLES, FunctionList, FunctionsRequest, found_function, functions_request
from apis.rules.fields import MAX_OWN_NAME
from apis.rules.tools import MAX_TOOLS
from core.errors import RequestError
from web.body import MAX_BODY
from web.openapi import Operation, Route
from web.playground import FILES, served_file
from web.serving import ignored_header, in_turn, read_request

Json = dict[str, Any]

READING_S = 3.0  # of computing; a small document can stand for many large functions
_TOO_MUCH = f"These are more functions than a request may have, {MAX_TOOLS} of {MAX_BODY} bytes in all. Paste fewer."


async def playground_file(name: str) -> Response:
    """Serve one file of the page at /."""
    if name not in FILES:
        raise HTTPException(404)
    return served_file(name)


async def functions(request: Request) -> Response:
    """Read the functions in a text: JSON, an OpenAPI document, or Python, which is not executed."""
    text, unknown = await read_request(functions_request, request)
    found = await in_turn(lambda: _found(text))
    return JSONResponse(found, headers=ignored_header(unknown))


def _found(text: str) -> Json:
    """Return the answer for a text. Raises RequestError for a text in none of the three languages."""
    found: dict[str, Json] = {}
    rejected: list[Json] = []
    size, deadline = 0, time.thread_time() + READING_S
    try:
        for number, candidate in enumerate(candidates_in(text)):
            if number == MAX_TOOLS or size > MAX_BODY or time.thread_time() > deadline:
                rejected.append({"name": f"{candidate.where} and what follows", "reason": _TOO_MUCH})
                break
            try:
                function = _checked(candidate, found)
                found[function["name"]] = function
                size += len(json.dumps(function))
            except RequestError as error:
                name = candidate.function.get("name") if candidate.function else None
                rejected.append({"name": str(name or candidate.where)[:MAX_OWN_NAME], "reason": error.message})
    except Unfit as error:
        place = f" in line {error.line}" if error.line else ""
        raise RequestError(f"Invalid 'text'{place}: {error}.", "text", "invalid_value") from None
    return {"functions": list(found.values()), "rejected": rejected}


def _checked(candidate: Candidate, found: Mapping[str, Json]) -> Json:
    if candidate.function is None:
        raise RequestError(candidate.fault)
    function = found_function(candidate.function)
    if function["name"] in found:
        raise RequestError("The name is taken by an earlier function.")
    return function


ROUTES: tuple[Route, ...] = (
    Route("/v1/functions", functions, "POST", Operation(FunctionList, FunctionsRequest, examples=EXAMPLES)),
    Route("/playground/{name}", playground_file, "GET", Operation()),
)

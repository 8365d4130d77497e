"""What all routes of the model share: the model, its name, the body of a request, and whole answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeVar

from starlette.requests import Request

from apis.rules.json_text import parse_json
from checkpoints.model import Model
from core.conversation import ChatRequest, CompletionRequest
from core.errors import UnknownModel
from core.turn_format import Finish
from inference import ignored_fields
from web.body import read_body
from web.errors import HttpError
from web.event_stream import until_disconnect
from web.idempotency import note_body
from web.metering import MeteredEngine
from web.observation import current
from web.tool_search import with_nearest_tools

Json = dict[str, Any]
T = TypeVar("T")
Asked = TypeVar("Asked", ChatRequest, CompletionRequest)

log = logging.getLogger("functionary")

# A prompt to be counted may be longer than the context: 2 MiB of digits take seconds. One thread leaves the others to
# completions.
_THREAD = ThreadPoolExecutor(1, "tokenize")


def loaded_model(request: Request) -> Model:
    """Return the model, whose engine counts the tokens of the request. Raises HttpError 503 while it is loading."""
    model: Model | None = request.app.state.model
    if model is None:
        message = "The model is still loading."
        raise HttpError(503, message, "service_unavailable_error", code="starting", headers={"Retry-After": "2"})
    charge = getattr(request.state, "charge", None)
    return replace(model, engine=MeteredEngine(model.engine, charge)) if charge else model


def check_name(model: Model, name: str) -> None:
    """Raise UnknownModel if the model is not served under `name`."""
    if not model.serves(name):
        without_folders = [one for one in model.names if not one.startswith("/")]  # an error shows no path if it can
        raise UnknownModel(name, without_folders or model.names)


async def in_turn(count: Callable[[], T]) -> T:
    """Run `count`, which tokenizes a text of any length, in the one thread for such work."""
    return await asyncio.get_running_loop().run_in_executor(_THREAD, count)


def owner(request: Request) -> str:
    """Return the digest of the request's API key; empty on a server without keys."""
    return str(getattr(request.state, "owner", ""))


async def read_request(check: Callable[..., T], request: Request) -> T:
    """Parse the body and convert it by `check(body, strict_openai=...)`.

    This runs in a thread, because the worst body of 2 MiB takes half a second.
    """
    body = await read_body(request)
    note_body(request, body)
    return await asyncio.to_thread(lambda: check(parse_json(body), strict_openai=request.app.state.strict_openai))


async def read_owned(check: Callable[..., Asked], request: Request) -> Asked:
    """Parse and check the body like `read_request`, set the request's owner, and choose the tools that are shown."""

    def owned(body: Json, *, strict_openai: bool) -> Asked:
        asked: Asked = replace(check(body, strict_openai=strict_openai), owner=owner(request))
        return with_nearest_tools(asked, request.app.state.tool_search)

    return await read_request(owned, request)


def admit(model: Model, asked: ChatRequest | CompletionRequest) -> dict[str, str]:
    """Check the model name. Returns the answer's headers: the ignored fields, and how many tools are shown."""
    check_name(model, asked.model)
    current().asked(asked)
    return {**ignored_header(ignored_fields(model, asked)), **shown_header(asked)}


def ignored_header(fields: Sequence[str]) -> dict[str, str]:
    """Return the answer's header that lists the ignored fields of the body, and log them."""
    if not fields:
        return {}
    ignored = ", ".join(fields)
    log.info("ignored body fields: %s", ignored)
    return {"x-ignored-fields": ignored}


def shown_header(asked: ChatRequest | CompletionRequest) -> dict[str, str]:
    """Return the answer's header that says how many of the request's tools the model was shown, if not all."""
    if isinstance(asked, CompletionRequest) or not asked.num_hidden_tools:
        return {}
    return {"x-tools-shown": f"{len(asked.tools)} of {len(asked.tools) + asked.num_hidden_tools}"}


async def whole(request: Request, items: AsyncGenerator[T | Finish]) -> tuple[list[T], list[Finish]]:
    """Collect the chunks and finishes of an answer that is not streamed. Stops if the client disconnects."""

    async def collect() -> list[T | Finish]:
        async with aclosing(items):
            return [item async for item in items]

    everything = await until_disconnect(request.receive, collect())
    finishes = [item for item in everything if isinstance(item, Finish)]
    return [item for item in everything if not isinstance(item, Finish)], finishes

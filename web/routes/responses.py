"""OpenAI's Responses: answers whole and streamed, which continue kept ones, and counts of input tokens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import replace
from typing import Any

from fastapi import Request
from starlette.responses import JSONResponse, Response

from apis.response_events import ResponseWriter
from apis.responses import EXAMPLES, AskedResponse, ResponseRequest, response_request
from apis.rules.response_answer import InputTokens, ResponseAnswer
from apis.rules.response_stream import ResponseEvent
from core.errors import RequestError
from core.turn_format import Finish
from inference import Model, tokenized_prompt
from stores.store import ResponseStore, StoredResponse
from web.choices import written
from web.dialects import ResponsesFraming
from web.event_stream import event_stream
from web.observation import current
from web.openapi import Operation, Route
from web.server_tools import ServedTools
from web.serving import admit, in_turn, loaded_model, owner, read_request, whole
from web.tool_search import with_nearest_tools

Json = dict[str, Any]


async def responses(request: Request) -> Response:
    """Serve OpenAI's Responses. Unless the request has `store: false`, the answer is kept."""
    model = loaded_model(request)
    asked = await _asked(request)
    headers = admit(model, asked.chat)
    current().answered(asked.head["id"])
    store: ResponseStore = request.app.state.response_store
    if asked.chat.server_tools:
        tools: ServedTools = request.app.state.tools

        def produce(on_run: Callable[[], None]) -> AsyncGenerator[Json]:
            return _kept(_events(_served(model, asked, tools, on_run)), asked, store)

        events = request.app.state.replays.items(request, asked.chat.owner, produce)
    else:
        events = _kept(_events(written(model, asked.chat, lambda _: _writer(model, asked))), asked, store)
    if asked.chat.stream:
        return await event_stream(request.receive, events, headers, ResponsesFraming())
    everything, _ = await whole(request, events)
    return JSONResponse(everything[-1]["response"], headers=headers)


async def input_tokens(request: Request) -> Response:
    """Count the tokens of the prompt that a request for a response would have, also if they are too many."""
    model = loaded_model(request)
    asked = await _asked(request, default_model=model.names[0])
    headers = admit(model, asked.chat)
    with _own_paths():
        prompt_ids = await in_turn(lambda: tokenized_prompt(model, asked.chat))
    return JSONResponse({"object": "response.input_tokens", "input_tokens": len(prompt_ids)}, headers=headers)


async def _asked(request: Request, default_model: str | None = None) -> AskedResponse:
    """Read and check the body, in a thread, since the store may have to be read for it."""
    store: ResponseStore = request.app.state.response_store

    def find(response_id: str) -> Sequence[Json] | None:
        stored = store.get(owner(request), response_id)
        return stored.context if stored else None

    def check(body: Json, *, strict_openai: bool) -> AskedResponse:
        if body.get("model") is None and default_model:
            body = {**body, "model": default_model}
        tools = request.app.state.tools
        asked = response_request(body, find=find, server_tools=tools, strict_openai=strict_openai)
        return replace(asked, chat=with_nearest_tools(asked.chat, request.app.state.tool_search))

    asked = await read_request(check, request)
    return replace(asked, chat=replace(asked.chat, owner=owner(request)))


def _writer(model: Model, asked: AskedResponse) -> ResponseWriter:
    defaults = {"temperature": model.temperature, "top_p": model.top_p}
    head = {**asked.head, **{key: usual for key, usual in defaults.items() if asked.head[key] is None}}
    return ResponseWriter(head, asked.chat, asked.tools)


def _served(
    model: Model, asked: AskedResponse, tools: ServedTools, on_run: Callable[[], None]
) -> AsyncGenerator[Json | Finish]:
    """Answer with calls that the server runs."""
    most = asked.head["max_tool_calls"]
    return tools.answer(model, asked.chat, _writer(model, asked), on_run=on_run, max_calls=most)


async def _events(items: AsyncGenerator[Json | Finish]) -> AsyncGenerator[Json]:
    """Yield the events of the answer. Their last one has the token counts of its Finish already."""
    with _own_paths():
        async with aclosing(items):
            async for item in items:
                if not isinstance(item, Finish):
                    yield item


@contextmanager
def _own_paths() -> Iterator[None]:
    """Name `input` in errors that name the field `messages` of chat completions."""
    try:
        yield
    except RequestError as error:
        if error.param == "messages":
            error.param = "input"
        raise


async def _kept(events: AsyncGenerator[Json], asked: AskedResponse, store: ResponseStore) -> AsyncGenerator[Json]:
    """Yield the events, and keep the response before its last event. An answer that is not kept says so.

    If the store fails, the answer ends with that error in place of its last event.
    """
    async with aclosing(events):
        async for event in events:
            if event["type"] in ("response.completed", "response.incomplete") and asked.is_stored:
                response = event["response"]
                context = (*asked.previous_items, *asked.input_items, *response["output"])
                stored = StoredResponse(response, asked.input_items, context)
                if not await asyncio.to_thread(store.put, asked.chat.owner, stored):
                    event = {**event, "response": {**response, "store": False}}
            yield event


ROUTES: tuple[Route, ...] = (
    Route("/v1/responses", responses, "POST", Operation(ResponseAnswer, ResponseRequest, ResponseEvent, EXAMPLES)),
    Route(
        "/v1/responses/input_tokens",
        input_tokens,
        "POST",
        Operation(InputTokens, ResponseRequest, examples=EXAMPLES),
    ),
)

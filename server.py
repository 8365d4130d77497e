"""The HTTP server: OpenAI's routes for one model. `python3 server.py` serves the embedded model on 127.0.0.1:8000."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from apis.chat_completions import EXAMPLES as CHAT_EXAMPLES
from apis.chat_completions import ChatCompletionRequest, chat_request, fold
from apis.completions import EXAMPLES as TEXT_EXAMPLES
from apis.completions import TextCompletion, TextCompletionRequest, completion_request, fold_text
from apis.models import ModelCard, ModelList, card, card_list
from apis.rendered_prompt import RenderedPrompt
from apis.rules.answers import About, Health, usage
from apis.rules.chat_answer import ChatCompletion, ChatCompletionChunk
from apis.rules.json_text import parse_json
from apis.rules.reasoning import ANSWER_FIELDS, ReasoningField
from checkpoints.model import Model
from core.conversation import ChatRequest, CompletionRequest
from core.errors import EngineDown, ModelError, UnknownModel
from core.turn_format import Finish
from inference import chat_prompt, ignored_fields, shown_prompt
from web.body import read_body
from web.choices import as_chunks, chat_choices, text_choices
from web.command_line import read_options
from web.edge import KEEP_ALIVE_S, Edge
from web.errors import HttpError
from web.event_stream import event_stream, until_disconnect
from web.lifecycle import serve
from web.openapi import Operation, document
from web.wrong_urls import base_url, wrong_url

Json = dict[str, Any]
Asked = TypeVar("Asked", ChatRequest, CompletionRequest)

log = logging.getLogger("functionary")

VERSION = "0.1.0"
FINGERPRINT = "fp_functionary_" + VERSION.replace(".", "_")


def create_app(
    load: Callable[[], Model],
    *,
    api_keys: Collection[str] = (),
    own_hosts: Collection[str] = (),
    allow_origins: Collection[str] = (),
    keep_alive_s: int = KEEP_ALIVE_S,
    strict_openai: bool = False,
    reasoning_field: ReasoningField = "reasoning_content",
    on_failure: Callable[[ModelError], None] | None = None,
) -> FastAPI:
    """Create the application. `load` runs in a thread at start; until it returns, requests get 503 `starting`.

    api_keys: the accepted keys. Without any, the server needs no key, but the Host header must name loopback or one of
    `own_hosts`.
    allow_origins: the web sites whose pages may use the server, beside its own; `*` stands for all.
    keep_alive_s: how long a connection without requests stays open; the answers announce it.
    reasoning_field: the field of answers that holds the reasoning; with strict_openai no field does.
    on_failure: called with the error if loading fails.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(_load(app, load, on_failure))
        yield
        loading.cancel()
        if app.state.model:
            await app.state.model.close()

    app = FastAPI(title="Functionary", version=VERSION, lifespan=lifespan, redirect_slashes=False)
    app.state.model = None
    app.state.strict_openai = strict_openai
    app.state.reasoning_fields = () if strict_openai else ANSWER_FIELDS[reasoning_field]
    app.state.registry = CollectorRegistry()
    ProcessCollector(registry=app.state.registry)
    app.add_exception_handler(HTTPException, wrong_url)
    app.add_middleware(
        Edge,
        api_keys=api_keys,
        own_hosts=own_hosts,
        allow_origins=allow_origins,
        keep_alive_s=keep_alive_s,
        registry=app.state.registry,
    )
    for path, route, method, operation in ROUTES:
        app.add_api_route(path, route, methods=[method], response_model=None, **operation.described())
    app.openapi = cache(lambda: document(app, [operation for *_, operation in ROUTES]))  # type: ignore[method-assign]
    return app


async def _load(app: FastAPI, load: Callable[[], Model], on_failure: Callable[[ModelError], None] | None) -> None:
    try:
        app.state.model = await asyncio.to_thread(load)
    except Exception as error:
        if on_failure is None:
            raise
        if not isinstance(error, ModelError):
            log.exception("loading failed")
        on_failure(error if isinstance(error, ModelError) else ModelError("the model cannot be loaded; see above"))


async def about(request: Request) -> Json:
    """Say what this server is and where its API and documentation are."""
    base = base_url(request.scope)
    return {"name": "functionary", "version": VERSION, "base_url": base, "docs": "/docs"}


async def live() -> Json:
    """Answer 200 while the process runs."""
    return {"status": "ok"}


async def ready(request: Request) -> Json:
    """Answer 200 if the model is loaded and its engine works, else 503."""
    if trouble := _model(request).engine.health():
        raise EngineDown(trouble)
    return {"status": "ok"}


async def metrics(request: Request) -> Response:
    """Return the metrics of the process, the HTTP answers and the loaded model's engine in Prometheus's text format."""
    model: Model | None = request.app.state.model
    registries = [request.app.state.registry, *([model.engine.registry] if model else [])]
    text = b"".join(map(generate_latest, registries))
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def models(request: Request) -> Json:
    """List the model names that requests may use."""
    model = _model(request)
    return card_list(model.names, model.created)


async def model_card(request: Request, name: str) -> Json:
    """Describe one model name; 404 if it is not served. Without a name, list all as /v1/models does."""
    if not name:
        return await models(request)
    model = _model(request)
    _check_name(model, name)
    return card(name, model.created)


async def chat_completions(request: Request) -> Response:
    """Serve OpenAI's chat completions, with `tools` or the older `functions`."""
    model = _model(request)
    chat = await _read(chat_request, request)
    headers = _admit(model, chat)
    base = _base("chatcmpl-", "chat.completion.chunk" if chat.stream else "chat.completion", chat.model)
    choices = chat_choices(model, chat, request.app.state.reasoning_fields)
    if chat.stream:
        chunks = as_chunks(choices, base, chat.include_usage, chat.n)
        return await event_stream(request.receive, chunks, headers)
    parts, finishes = await _whole(request, choices)
    folded = [fold(part for part in parts if part["index"] == index) for index in range(chat.n)]
    answer = {**base, "choices": folded, "usage": usage(finishes, chat.n)}
    if chat.metadata is not None:
        answer["metadata"] = chat.metadata
    return JSONResponse(answer, headers=headers)


async def render(request: Request) -> Response:
    """Show the prompt of a chat completion: its text, its tokens and its pieces. Nothing is generated."""
    model = _model(request)
    chat = await _read(chat_request, request)
    headers = _admit(model, chat)

    def shown() -> Json:
        chat_prompt(model, chat)  # raises PromptTooLong
        return shown_prompt(model.template, model.tokenizer, chat)

    return JSONResponse(await asyncio.to_thread(shown), headers=headers)


async def completions(request: Request) -> Response:
    """Serve OpenAI's older text completions, whose prompts are not rendered by a template."""
    model = _model(request)
    completion = await _read(completion_request, request)
    headers = _admit(model, completion)
    base = _base("cmpl-", "text_completion", completion.model)
    if completion.stream:
        chunks = as_chunks(text_choices(model, completion), base, completion.include_usage, completion.n)
        return await event_stream(request.receive, chunks, headers)
    parts, finishes = await _whole(request, text_choices(model, completion))
    num_choices = len(completion.prompts) * completion.n
    choices = [fold_text(part for part in parts if part["index"] == index) for index in range(num_choices)]
    return JSONResponse({**base, "choices": choices, "usage": usage(finishes, completion.n)}, headers=headers)


_HEALTH = Operation(Health)
ROUTES: Sequence[tuple[str, Callable[..., Any], str, Operation]] = (
    (
        "/v1/chat/completions",
        chat_completions,
        "POST",
        Operation(ChatCompletion, ChatCompletionRequest, ChatCompletionChunk, CHAT_EXAMPLES),
    ),
    (
        "/v1/chat/completions/render",
        render,
        "POST",
        Operation(RenderedPrompt, ChatCompletionRequest, examples=CHAT_EXAMPLES),
    ),
    (
        "/v1/completions",
        completions,
        "POST",
        Operation(TextCompletion, TextCompletionRequest, TextCompletion, TEXT_EXAMPLES),
    ),
    ("/v1/models", models, "GET", Operation(ModelList)),
    ("/v1/models/{name:path}", model_card, "GET", Operation(ModelCard)),
    ("/", about, "GET", Operation(About)),
    ("/live", live, "GET", _HEALTH),
    ("/ready", ready, "GET", _HEALTH),
    ("/health", ready, "GET", _HEALTH),
    ("/metrics", metrics, "GET", Operation()),
)


def _model(request: Request) -> Model:
    model: Model | None = request.app.state.model
    if model is None:
        message = "The model is still loading."
        raise HttpError(503, message, "service_unavailable_error", code="starting", headers={"Retry-After": "2"})
    return model


def _check_name(model: Model, name: str) -> None:
    if not model.serves(name):
        without_folders = [one for one in model.names if not one.startswith("/")]  # an error shows no path if it can
        raise UnknownModel(name, without_folders or model.names)


async def _read(check: Callable[..., Asked], request: Request) -> Asked:
    """Parse and check the body. This runs in a thread, because the worst body of 2 MiB takes half a second."""
    body = await read_body(request)
    asked = await asyncio.to_thread(lambda: check(parse_json(body), strict_openai=request.app.state.strict_openai))
    owned: Asked = replace(asked, owner=getattr(request.state, "owner", ""))
    return owned


def _admit(model: Model, asked: ChatRequest | CompletionRequest) -> dict[str, str]:
    """Check the model name. Returns the answer's header that lists the ignored fields."""
    _check_name(model, asked.model)
    ignored = ", ".join(ignored_fields(model, asked))
    if not ignored:
        return {}
    log.info("ignored body fields: %s", ignored)
    return {"x-ignored-fields": ignored}


def _base(prefix: str, kind: str, model: str) -> Json:
    return {
        "id": prefix + secrets.token_hex(12),
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": FINGERPRINT,
        "service_tier": "default",
    }


async def _whole(request: Request, items: AsyncGenerator[Json | Finish]) -> tuple[list[Json], list[Finish]]:
    """Collect the chunks and finishes of an answer that is not streamed. Stops if the client disconnects."""

    async def collect() -> list[Json | Finish]:
        async with aclosing(items):
            return [item async for item in items]

    everything = await until_disconnect(request.receive, collect())
    finishes = [item for item in everything if isinstance(item, Finish)]
    return [item for item in everything if not isinstance(item, Finish)], finishes


def main() -> None:
    """Run the command line."""
    serve(read_options(), create_app)


if __name__ == "__main__":
    main()

"""OpenAI's chat completions and raw text completions, and the rendered prompt of a chat completion."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

from fastapi import Request
from starlette.responses import JSONResponse, Response

from apis.chat_completions import EXAMPLES as CHAT_EXAMPLES
from apis.chat_completions import ChatCompletionRequest, chat_request, fold
from apis.chat_trace import TracedChoice
from apis.completions import EXAMPLES as TEXT_EXAMPLES
from apis.completions import TextCompletion, TextCompletionRequest, completion_request, fold_text
from apis.rendered_prompt import RenderedPrompt
from apis.rules.answers import FINGERPRINT, usage
from apis.rules.chat_answer import ChatCompletion, ChatCompletionChunk
from core.conversation import ChatRequest
from core.turn_format import Finish
from inference import chat_prompt, shown_prompt
from web.choices import as_chunks, chat_choices, text_choices
from web.event_stream import event_stream
from web.observation import current
from web.openapi import Operation, Route
from web.server_tools import ServedTools
from web.serving import admit, loaded_model, read_owned, whole

Json = dict[str, Any]


async def chat_completions(request: Request) -> Response:
    """Serve OpenAI's chat completions, with `tools` or the older `functions`."""
    model = loaded_model(request)
    chat = await _chat(request)
    headers = admit(model, chat)
    fields = request.app.state.reasoning_fields
    if chat.server_tools:
        tools: ServedTools = request.app.state.tools

        def produce(on_run: Callable[[], None]) -> AsyncGenerator[Json]:
            writer = TracedChoice(chat, reasoning_fields=fields)
            return _answer(chat, tools.answer(model, chat, writer, on_run=on_run))

        items = request.app.state.replays.items(request, chat.owner, produce)
    else:
        items = _answer(chat, chat_choices(model, chat, fields))
    if chat.stream:
        return await event_stream(request.receive, items, headers)
    (answer,), _ = await whole(request, items)
    return JSONResponse(answer, headers=headers)


async def _chat(request: Request) -> ChatRequest:
    return await read_owned(partial(chat_request, server_tools=request.app.state.tools), request)


async def _answer(chat: ChatRequest, choices: AsyncGenerator[Json | Finish]) -> AsyncGenerator[Json]:
    """Yield the chunks of a stream, or the whole answer as the only item."""
    base = _base("chatcmpl-", "chat.completion.chunk" if chat.stream else "chat.completion", chat.model)
    if chat.stream:
        async with aclosing(as_chunks(choices, base, chat.include_usage, chat.n)) as chunks:
            async for chunk in chunks:
                yield chunk
        return
    async with aclosing(choices):
        everything = [item async for item in choices]
    parts = [item for item in everything if not isinstance(item, Finish)]
    finishes = [item for item in everything if isinstance(item, Finish)]
    folded = [fold(part for part in parts if part["index"] == index) for index in range(chat.n)]
    metadata = {} if chat.metadata is None else {"metadata": chat.metadata}
    yield {**base, "choices": folded, "usage": usage(finishes, chat.n), **metadata}


async def render(request: Request) -> Response:
    """Show the prompt of a chat completion: its text, its tokens and its pieces. Nothing is generated."""
    model = loaded_model(request)
    chat = await _chat(request)
    headers = admit(model, chat)

    def shown() -> Json:
        chat_prompt(model, chat)  # raises PromptTooLong
        return shown_prompt(model.template, model.tokenizer, chat)

    return JSONResponse(await asyncio.to_thread(shown), headers=headers)


async def completions(request: Request) -> Response:
    """Serve OpenAI's older text completions, whose prompts are not rendered by a template."""
    model = loaded_model(request)
    completion = await read_owned(completion_request, request)
    headers = admit(model, completion)
    base = _base("cmpl-", "text_completion", completion.model)
    if completion.stream:
        chunks = as_chunks(text_choices(model, completion), base, completion.include_usage, completion.n)
        return await event_stream(request.receive, chunks, headers)
    parts, finishes = await whole(request, text_choices(model, completion))
    num_choices = len(completion.prompts) * completion.n
    choices = [fold_text(part for part in parts if part["index"] == index) for index in range(num_choices)]
    return JSONResponse({**base, "choices": choices, "usage": usage(finishes, completion.n)}, headers=headers)


def _base(prefix: str, kind: str, model: str) -> Json:
    answer_id = prefix + secrets.token_hex(12)
    current().answered(answer_id)
    return {
        "id": answer_id,
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": FINGERPRINT,
        "service_tier": "default",
    }


ROUTES: tuple[Route, ...] = (
    Route(
        "/v1/chat/completions",
        chat_completions,
        "POST",
        Operation(ChatCompletion, ChatCompletionRequest, ChatCompletionChunk, CHAT_EXAMPLES),
    ),
    Route(
        "/v1/chat/completions/render",
        render,
        "POST",
        Operation(RenderedPrompt, ChatCompletionRequest, examples=CHAT_EXAMPLES),
    ),
    Route(
        "/v1/completions",
        completions,
        "POST",
        Operation(TextCompletion, TextCompletionRequest, TextCompletion, TEXT_EXAMPLES),
    ),
)

"""All choices of one request at once: each an answer of its own, their chunks interleaved as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeVar

from apis.chat_completions import Choice
from apis.completions import TextChoice
from apis.rules.answers import usage
from core.conversation import ChatRequest, CompletionRequest
from core.turn_format import Finish
from inference import Model, chat_prompt, complete, raw_prompt, stream

Json = dict[str, Any]
T = TypeVar("T")
Request = TypeVar("Request", ChatRequest, CompletionRequest)


async def chat_choices(model: Model, request: ChatRequest) -> AsyncGenerator[Json | Finish]:
    """The chunks of all choices as they come, and each choice's Finish behind its last chunk."""
    prompt_ids = await asyncio.to_thread(chat_prompt, model, request)

    async def one(index: int) -> AsyncGenerator[Json | Finish]:
        choice = Choice(request, index)
        async with aclosing(stream(model, _with_seed(request, index), prompt_ids)) as events:
            async for event in events:
                for chunk in choice.chunks(event):
                    yield chunk
                if isinstance(event, Finish):
                    yield event

    async with aclosing(_merged([one(index) for index in range(request.n)])) as items:
        async for item in items:
            yield item


async def text_choices(model: Model, request: CompletionRequest) -> AsyncGenerator[Json | Finish]:
    """As chat_choices: n choices of each prompt, in the order of the prompts."""
    prompts = await asyncio.to_thread(lambda: [_encoded(model, request, prompt) for prompt in request.prompts])

    async def one(index: int) -> AsyncGenerator[Json | Finish]:
        prompt, echo = prompts[index // request.n]
        choice = TextChoice(request, index, echo)
        async with aclosing(complete(model, _with_seed(request, index % request.n), prompt)) as events:
            async for event in events:
                for chunk in choice.chunks(event):
                    yield chunk
                if isinstance(event, Finish):
                    yield event

    async with aclosing(_merged([one(index) for index in range(len(request.prompts) * request.n)])) as items:
        async for item in items:
            yield item


def _encoded(model: Model, request: CompletionRequest, prompt: str | tuple[int, ...]) -> tuple[tuple[int, ...], str]:
    """A raw prompt's ids, once for all its choices; and its text, if the answer shall repeat it."""
    ids = raw_prompt(model, prompt)
    if not request.echo:
        return ids, ""
    return ids, prompt if isinstance(prompt, str) else model.tokenizer.decode(ids)


async def as_chunks(
    items: AsyncGenerator[Json | Finish], base: Json, include_usage: bool, n: int
) -> AsyncGenerator[Json]:
    """The chunks of a stream; with `include_usage` the last one holds the counts, all others "usage": null."""
    finishes: list[Finish] = []
    no_usage: Json = {"usage": None} if include_usage else {}
    async with aclosing(items):
        async for item in items:
            if isinstance(item, Finish):
                finishes.append(item)
            else:
                yield {**base, "choices": [item], **no_usage}
    if include_usage:
        yield {**base, "choices": [], "usage": usage(finishes, n)}


async def _merged(sources: Sequence[AsyncGenerator[T]]) -> AsyncGenerator[T]:
    """The items of all sources as they come. The first error ends all; so does closing this generator."""
    if len(sources) == 1:  # nothing to merge, and no task and queue between engine and client
        async with aclosing(sources[0]) as only:
            async for item in only:
                yield item
        return
    queue: asyncio.Queue[T | Exception | None] = asyncio.Queue(maxsize=len(sources))

    async def pump(source: AsyncGenerator[T]) -> None:
        try:
            async with aclosing(source):
                async for item in source:
                    await queue.put(item)
            await queue.put(None)
        except Exception as error:
            await queue.put(error)

    tasks = [asyncio.create_task(pump(source)) for source in sources]
    try:
        num_open = len(sources)
        while num_open:
            got = await queue.get()
            if isinstance(got, Exception):
                raise got
            if got is None:
                num_open -= 1
            else:
                yield got
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _with_seed(request: Request, index: int) -> Request:
    """The same request with a seed of its own, so that seeded choices differ and yet repeat."""
    seed = request.sampling.seed
    return request if seed is None else replace(request, sampling=replace(request.sampling, seed=seed + index))

"""Generate all choices of one request concurrently, with their chunks interleaved in the order of arrival."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from apis.chat_completions import Choice
from apis.completions import TextChoice
from apis.rules.answers import usage
from core.conversation import ChatRequest, CompletionRequest
from core.turn_format import Event, Finish, TokenReport
from inference import Model, chat_prompt, complete, raw_prompt, stream
from web.observation import current

Json = dict[str, Any]
T = TypeVar("T")
Request = TypeVar("Request", ChatRequest, CompletionRequest)


async def chat_choices(
    model: Model, request: ChatRequest, reasoning_fields: Sequence[str]
) -> AsyncGenerator[Json | Finish]:
    """Yield the chunks of all choices as they arrive, and each choice's Finish after its last chunk.

    `reasoning_fields` are the fields of the answer that hold the reasoning.
    """
    prompt_ids = await asyncio.to_thread(chat_prompt, model, request)

    async def one(index: int) -> AsyncGenerator[Json | Finish]:
        choice = Choice(request, index, reasoning_fields=reasoning_fields)
        events = current().read(stream(model, _with_seed(request, index), prompt_ids), index)
        async with aclosing(events):
            async for event in events:
                for chunk in choice.chunks(event):
                    yield chunk
                if isinstance(event, Finish):
                    yield event

    async with aclosing(_merged([one(index) for index in range(request.n)])) as items:
        async for item in items:
            yield item


class AnswerWriter(Protocol):
    """Turns the events of one answer into the events of an API."""

    def items(self, event: Event | TokenReport | Finish) -> Iterator[Json]:
        """Yield the API's events for one event of the answer."""


async def written(model: Model, request: ChatRequest, writer: Callable[[int], AnswerWriter]) -> AsyncGenerator[Json]:
    """Yield the events of an API that has one answer a request. `writer` takes the number of prompt tokens."""
    prompt_ids = await asyncio.to_thread(chat_prompt, model, request)
    answer = writer(len(prompt_ids))
    async with aclosing(current().read(stream(model, request, prompt_ids))) as events:
        async for event in events:
            for item in answer.items(event):
                yield item


async def text_choices(model: Model, request: CompletionRequest) -> AsyncGenerator[Json | Finish]:
    """Yield the chunks and the Finish of all choices like `chat_choices`, for raw prompts.

    Choices 0 to n - 1 belong to the first prompt, the next n to the second prompt, and so on.
    """
    prompts = await asyncio.to_thread(lambda: [_encoded(model, request, prompt) for prompt in request.prompts])

    async def one(index: int) -> AsyncGenerator[Json | Finish]:
        prompt, echo = prompts[index // request.n]
        choice = TextChoice(request, index, echo)
        events = current().read(complete(model, _with_seed(request, index % request.n), prompt), index)
        async with aclosing(events):
            async for event in events:
                for chunk in choice.chunks(event):
                    yield chunk
                if isinstance(event, Finish):
                    yield event

    async with aclosing(_merged([one(index) for index in range(len(request.prompts) * request.n)])) as items:
        async for item in items:
            yield item


def _encoded(model: Model, request: CompletionRequest, prompt: str | tuple[int, ...]) -> tuple[tuple[int, ...], str]:
    """Return the token ids of a raw prompt, and its text if the request has `echo`, else ""."""
    ids = raw_prompt(model, prompt)
    if not request.echo:
        return ids, ""
    return ids, prompt if isinstance(prompt, str) else model.tokenizer.decode(ids)


async def as_chunks(
    items: AsyncGenerator[Json | Finish], base: Json, include_usage: bool, n: int
) -> AsyncGenerator[Json]:
    """Yield the chunks of a stream.

    With `include_usage`, an extra last chunk holds the usage, and `usage` is null in all other chunks.
    """
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
    """Yield the items of all sources as they arrive. The first error, or closing the iterator, ends all sources."""
    if len(sources) == 1:  # saves a task and a queue between engine and client
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
    """Return the request for choice `index`, with the seed `seed + index`: choices differ but are reproducible."""
    seed = request.sampling.seed
    return request if seed is None else replace(request, sampling=replace(request.sampling, seed=seed + index))

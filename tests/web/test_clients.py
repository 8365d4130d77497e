"""Text, choices, errors and concurrent requests with the official client, on a server started by its command line."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.support.client_requests import ASKED, SHORT, WEATHER
from tests.support.started_server import KEY, README_MODEL, Started


def test_plain_chat_whole_and_streamed(client: OpenAI) -> None:
    """With greedy sampling, the joined deltas equal the text of the whole answer."""
    whole = client.chat.completions.create(**SHORT)
    (choice,) = whole.choices
    assert choice.message.content
    assert choice.finish_reason == "length"
    assert whole.usage
    assert whole.usage.completion_tokens == 6
    with client.chat.completions.create(**SHORT, stream=True, stream_options={"include_usage": True}) as stream:
        *chunks, last = stream
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == choice.message.content
    assert chunks[-1].choices[0].finish_reason == "length"
    assert all(chunk.usage is None for chunk in chunks)
    assert last.choices == []
    assert last.usage
    assert last.usage.total_tokens == whole.usage.total_tokens


def test_stream_helper_adds_up_text(client: OpenAI) -> None:
    with client.chat.completions.stream(**SHORT) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        added_up = stream.current_completion_snapshot.choices[0].message.content
    assert len(deltas) > 2
    assert added_up == "".join(deltas)


def test_two_choices_differ_and_a_seed_repeats_them(client: OpenAI) -> None:
    asked = {**SHORT, "temperature": 1.5, "n": 2, "seed": 7}
    first, again = (client.chat.completions.create(**asked) for _ in range(2))
    texts = [choice.message.content for choice in first.choices]
    assert [choice.index for choice in first.choices] == [0, 1]
    assert texts[0] != texts[1]
    assert [choice.message.content for choice in again.choices] == texts
    assert first.usage
    assert first.usage.completion_tokens == 12


def test_logprobs_spell_the_text(client: OpenAI) -> None:
    (choice,) = client.chat.completions.create(**SHORT, logprobs=True, top_logprobs=2).choices
    assert choice.logprobs
    tokens = choice.logprobs.content or []
    spelled = b"".join(bytes(token.bytes or ()) for token in tokens).decode()
    assert spelled.strip() == choice.message.content, "white space around a text is not shown"
    assert all(token.logprob == token.top_logprobs[0].logprob <= 0 for token in tokens), "greedy takes the likeliest"
    assert all(len(token.top_logprobs) == 2 for token in tokens)


def test_stop_string_is_not_shown(client: OpenAI) -> None:
    """A stop string ends the text just before it.

    Up to there, the text equals that of the same request without `stop`.
    """
    text = client.chat.completions.create(**SHORT).choices[0].message.content or ""
    stop = text[4:7]
    (choice,) = client.chat.completions.create(**SHORT, stop=[stop]).choices
    assert choice.message.content == text[: text.index(stop)]
    assert choice.finish_reason == "stop"


def test_models(client: OpenAI) -> None:
    """A model name may have a slash."""
    names = [model.id for model in client.models.list()]
    assert names[0] == README_MODEL
    assert "functionary" in names
    assert client.models.retrieve(README_MODEL).id == README_MODEL
    assert client.chat.completions.create(**{**SHORT, "model": README_MODEL, "max_tokens": 1}).model == README_MODEL


def test_raw_completion(client: OpenAI) -> None:
    asked: Any = {"model": "functionary", "prompt": "The capital of France is", "max_tokens": 3, "temperature": 0}
    whole = client.completions.create(**asked)
    assert "Paris" in whole.choices[0].text
    with client.completions.create(**asked, stream=True) as stream:
        assert "".join(chunk.choices[0].text for chunk in stream if chunk.choices) == whole.choices[0].text


@pytest.mark.parametrize(
    ("wrong", "kind", "param", "code"),
    [
        ({"temperature": 3}, openai.BadRequestError, "temperature", "decimal_above_max_value"),
        ({"messages": []}, openai.BadRequestError, "messages", "empty_array"),
        ({"functions": [WEATHER], "function_call": {"name": "x"}}, openai.BadRequestError, "function_call", None),
        (
            {"messages": [{"role": "user", "content": "a b " * 9000}]},
            openai.BadRequestError,
            "messages",
            "context_length_exceeded",
        ),
        ({"model": "gpt-4"}, openai.NotFoundError, None, "model_not_found"),
    ],
    ids=["temperature", "messages", "function_call", "too long", "model"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_errors_raise_the_exceptions_of_the_client(
    client: OpenAI, wrong: Any, kind: Any, param: str | None, code: str | None, stream: bool
) -> None:
    """An invalid request raises the official client's exception for its status, with and without `stream`."""
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**{**SHORT, **wrong}, stream=stream)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id


def test_wrong_key_and_wrong_path(client: OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        client.with_options(api_key="sk-wrong-wrong-wrong").models.list()
    assert caught.value.code == "invalid_api_key"
    assert "wrong-wrong" not in caught.value.message
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="functionary", input="x")


def test_several_requests_at_once(user_server: Started, client: OpenAI) -> None:
    """Concurrent requests get the same answers as single ones."""
    alone = client.chat.completions.create(**SHORT).choices[0].message.content

    async def ask_all() -> list[str]:
        async with AsyncOpenAI(base_url=f"{user_server.url}/v1", api_key=KEY, max_retries=0) as together:

            async def whole() -> str:
                answer = await together.chat.completions.create(**SHORT)
                return str(answer.choices[0].message.content)

            async def streamed() -> str:
                chunks = await together.chat.completions.create(**SHORT, stream=True)
                return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])

            return list(await asyncio.gather(whole(), streamed(), whole(), streamed()))

    assert asyncio.run(ask_all()) == [alone] * 4


def test_a_stream_closed_early_frees_the_model(client: OpenAI) -> None:
    """Closing a stream stops the model's work on it. Four streams of thousands of tokens would take minutes."""
    endless = {**ASKED, "max_tokens": 4000, "extra_body": {"ignore_eos": True}}
    for _ in range(4):
        with client.chat.completions.create(**endless, stream=True) as stream:
            assert next(iter(stream)).choices[0].delta.role == "assistant"
    begun = time.monotonic()
    client.chat.completions.create(**{**SHORT, "max_tokens": 1})
    assert time.monotonic() - begun < 60

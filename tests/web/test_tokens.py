"""POST /tokenize and /detokenize: the tokens are those of completions, and long texts do not stop other requests."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from inference import Model
from server import create_app
from tests.support.abuse_client import BODY, RAW, USER, Answer, Client, check_answer
from tests.support.scripted_engine import ScriptedEngine, scripted
from tests.support.serving import serving

TOOL = {"type": "function", "function": {"name": "look", "description": "Look around", "parameters": {}}}
CHATS: list[dict[str, Any]] = [
    {},
    {"tools": [TOOL]},
    {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "look"}}},
    {"functions": [TOOL["function"]], "function_call": "none"},
    {"messages": [USER, {"role": "assistant", "content": "<|im_end|>"}, USER], "response_format": {"type": "text"}},
]


def post(url: str, path: str, body: object, status: int = 200) -> Answer:
    with Client(url) as client:
        answer = client.post(path, body)
    check_answer(answer)
    assert answer.status == status, answer
    return answer


@pytest.mark.parametrize("fields", CHATS)
def test_a_chat_has_the_tokens_of_its_completion(
    played_url: str, played: tuple[Model, ScriptedEngine], fields: dict[str, Any]
) -> None:
    body = {**BODY, **fields}
    found = post(played_url, "/tokenize", body).json
    with Client(played_url) as client:
        usage = client.chat(**fields).json["usage"]
    assert found["tokens"] == played[1].last_prompt
    assert found["count"] == len(found["tokens"]) == usage["prompt_tokens"]
    assert (found["max_model_len"], found["token_strs"]) == (played[1].max_context, None)


@pytest.mark.parametrize("text", ["Once upon a time", "<|im_start|>user\nx<|im_end|>", "", "é漢🌦", "x" * 11_000])
def test_a_text_has_the_tokens_of_its_raw_completion(
    played_url: str, played: tuple[Model, ScriptedEngine], text: str
) -> None:
    found = post(played_url, "/tokenize", {"prompt": text, "return_token_strs": True}).json
    post(played_url, RAW, {"model": "tiny", "prompt": text, "max_tokens": 1})
    assert found["tokens"] == played[1].last_prompt
    assert len(found["token_strs"]) == found["count"]
    assert post(played_url, "/detokenize", {"tokens": found["tokens"]}).json == {"prompt": text}
    if text.isascii():
        assert "".join(found["token_strs"]) == text


def test_the_token_that_a_tokenizer_adds(llama: Model) -> None:
    """The tokenizer of Llama 2 puts BOS before a text, which add_special_tokens leaves out."""
    with serving(create_app(lambda: llama)) as url:
        whole = post(url, "/tokenize", {"prompt": "x"}).json["tokens"]
        assert whole[0] == llama.tokenizer.bos_id
        assert post(url, "/tokenize", {"prompt": "x", "add_special_tokens": False}).json["tokens"] == whole[1:]


def test_a_chat_without_the_opening_of_the_answer(played_url: str, played: tuple[Model, ScriptedEngine]) -> None:
    whole = post(played_url, "/tokenize", BODY).json["tokens"]
    ended = post(played_url, "/tokenize", {**BODY, "add_generation_prompt": False}).json["tokens"]
    opening = played[0].tokenizer.decode(whole[len(ended) :])
    assert whole[: len(ended)] == ended
    assert opening == played[0].template.opening.text + played[0].template.text_prefill


def test_the_model_may_be_left_out(played_url: str) -> None:
    post(played_url, "/tokenize", {"messages": [USER]})
    for path, body in (
        ("/tokenize", {"prompt": "x"}),
        ("/tokenize", {"messages": [USER]}),
        ("/detokenize", {"tokens": []}),
    ):
        post(played_url, path, {**body, "model": None})
        error = post(played_url, path, {**body, "model": "nope"}, 404).error
        assert error["code"] == "model_not_found"


def test_an_id_without_a_token_is_an_error(played_url: str) -> None:
    """The logits may be wider than the vocabulary; an id between the two is an error rather than an empty text."""
    error = post(played_url, "/detokenize", {"tokens": [1, 2**20 - 1]}, 400).error
    assert (error["param"], error["code"]) == ("tokens[1]", "invalid_value")
    assert "no token with the id 1048575" in error["message"]


def test_ignored_fields_are_named(played_url: str) -> None:
    chat = {**BODY, "messages": [{**USER, "name": "ada"}], "zzz": 1, "add_special_tokens": True}
    for body, names in (({"prompt": "x", "zzz": 1}, "zzz"), (chat, "add_special_tokens, zzz, messages.name")):
        assert post(played_url, "/tokenize", body).headers["x-ignored-fields"] == names


def test_a_prompt_beyond_the_context_is_counted(chatml: Model) -> None:
    model, engine = scripted(chatml, "all\nhello", max_context=64)
    with serving(create_app(lambda: model)) as url:
        for body in ({"prompt": "x " * 5_000}, {"messages": [{"role": "user", "content": "x " * 5_000}]}):
            found = post(url, "/tokenize", body).json
            assert found["count"] >= 5_000 > found["max_model_len"] == engine.max_context


def test_a_long_text_does_not_stop_other_requests(played_url: str) -> None:
    """Tokenizing held Python's lock: 2 MiB stopped the engine and every other request for up to 10 seconds."""
    longest = {"prompt": "1 2" * 600_000}
    thread = threading.Thread(target=post, args=(played_url, "/tokenize", longest))
    with Client(played_url) as client:
        client.check_health()
        thread.start()
        waits = []
        while thread.is_alive():
            begun = time.monotonic()
            client.check_health()
            waits.append(time.monotonic() - begun)
        thread.join()
    assert len(waits) > 20
    assert max(waits) < sum(waits) / 2

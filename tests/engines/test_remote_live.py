"""A real server of vLLM, llama.cpp or SGLang with the embedded weights behaves like our own engine.

FUNCTIONARY_ENGINE_URL names it; without it, these tests are skipped. `bench/servers.py` writes the weights for both:
`write_checkpoint` for vLLM, `write_gguf` for llama.cpp. FUNCTIONARY_ENGINE_KEY is the server's key, if it needs one.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import jsonschema
import pytest

from core.generation import Engine, Sampling, Step
from engines.remote.connect import RemoteServers, connect
from engines.remote.engine import RemoteEngine
from inference import Model
from server import create_app
from tests.support.serving import serving, shared

URL = os.environ.get("FUNCTIONARY_ENGINE_URL", "")
KEY = os.environ.get("FUNCTIONARY_ENGINE_KEY")
pytestmark = pytest.mark.skipif(not URL, reason="FUNCTIONARY_ENGINE_URL names no server")

GREEDY = Sampling(max_tokens=32, temperature=0.0)
QUESTIONS = (
    "What is the capital of France?",
    "Write a haiku about rain.",
    "Explain photosynthesis to a child.",
    "Count from one to ten.",
    "Write a Python function that adds two numbers.",
    "Who wrote Hamlet?",
    "Translate 'good morning' to Spanish.",
    "List three kinds of cheese.",
    "What is 12 times 12?",
    "Why is the sky blue?",
    "Give me a recipe for pancakes.",
    "What does HTTP stand for?",
    "Describe a sunset in one sentence.",
    "Name the planets of the solar system.",
    "How do I boil an egg?",
    "What is the largest ocean?",
    "Write a short email to my landlord.",
    "Summarize the story of Cinderella.",
    "What is a prime number?",
    "Suggest a name for a cat.",
    "How many days are in a leap year?",
    "What is the opposite of hot?",
    "Repeat these: 🙂 🎉 🇹🇷 東京",
    "Write the word 'naïve' and the word 'Straße'.",
)
NEAR_TIE = 0.25  # between the logprobs of two tokens; bfloat16 has 8 bits
Json = dict[str, Any]


def function(name: str, properties: Json, **more: bool) -> Json:
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "parameters": parameters, **more}}


WEATHER = function("get_weather", {"city": {"type": "string"}, "unit": {"enum": ["celsius", "kelvin"]}})
STRICT = function("get_weather", WEATHER["function"]["parameters"]["properties"], strict=True)
TIME = function("get_time", {"zone": {"type": "string", "enum": ["utc", "local"]}})
BOOKING = function(
    "book",
    {
        "seats": {"type": "integer", "minimum": 100, "maximum": 999, "multipleOf": 7},
        "code": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}$"},
    },
)
FACES = ["🙂🎉", "👩‍👩‍👧‍👦", "東京の天気", "Ünïcödé"]
MOOD = function("set_mood", {"face": {"enum": FACES[:2]}, "place": {"enum": FACES[2:]}})
CUSTOM = {
    "type": "custom",
    "custom": {
        "name": "write",
        "format": {"type": "grammar", "grammar": {"syntax": "regex", "definition": "[xyz]{3}-[0-9]{2}"}},
    },
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def named(tool: Json) -> Json:
    return {"type": "function", "function": {"name": tool["function"]["name"]}}


@dataclass(frozen=True)
class Case:
    """A request, and a check of the answer's message."""

    fields: Json
    check: Callable[[Json], object]
    message: str = "Tell me a joke about cats."


def calls(*allowed: Json, num: int | None = 1) -> Callable[[Json], None]:
    """Return the check that the message has `num` calls (None: any number), all valid by the schemas of `allowed`."""
    parameters = {tool["function"]["name"]: tool["function"]["parameters"] for tool in allowed}

    def check(message: Json) -> None:
        made = message.get("tool_calls") or []
        assert num is None or len(made) == num, message
        for call in made:
            jsonschema.validate(json.loads(call["function"]["arguments"]), parameters[call["function"]["name"]])

    return check


def custom(message: Json) -> None:
    assert re.fullmatch(r"[xyz]{3}-[0-9]{2}", message["tool_calls"][0]["custom"]["input"])


ONE_OF_TWO = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named(TIME)]}}
CASES = {
    "named": Case({"tools": [WEATHER], "tool_choice": named(WEATHER)}, calls(WEATHER)),
    "required": Case({"tools": [WEATHER, TIME], "tool_choice": "required"}, calls(WEATHER, TIME, num=None)),
    "strict in auto": Case({"tools": [STRICT]}, calls(STRICT, num=None), "The weather in Istanbul, in celsius?"),
    "auto": Case({"tools": [WEATHER, TIME]}, calls(WEATHER, TIME, num=None), "What time is it in utc?"),
    "allowed tools": Case({"tools": [WEATHER, TIME], "tool_choice": ONE_OF_TWO}, calls(TIME, num=None)),
    "multipleOf and pattern": Case({"tools": [BOOKING], "tool_choice": named(BOOKING)}, calls(BOOKING)),
    "emoji": Case({"tools": [MOOD], "tool_choice": named(MOOD)}, calls(MOOD)),
    "response format": Case(
        {"response_format": {"type": "json_schema", "json_schema": {"name": "p", "schema": PERSON, "strict": True}}},
        lambda message: jsonschema.validate(json.loads(message["content"]), PERSON),
    ),
    "custom tool": Case({"tools": [CUSTOM], "tool_choice": "required"}, custom),
    "choice": Case({"guided_choice": FACES}, lambda message: FACES.index(message["content"])),
}


@pytest.fixture(scope="module")
def remote(embedded: Model) -> Iterator[RemoteEngine]:
    servers = RemoteServers((URL,), key=KEY)
    engine = connect(servers, embedded.tokenizer, model="", vocab_size=embedded.engine.vocab_size)
    yield engine
    asyncio.run(engine.close())


@pytest.fixture(scope="module")
def client(embedded: Model, remote: RemoteEngine) -> Iterator[httpx2.Client]:
    """A client of our server with the remote engine."""
    model = shared(replace(embedded, engine=remote))
    with serving(create_app(lambda: model)) as url, httpx2.Client(base_url=url, timeout=300) as client:
        yield client


@pytest.fixture(scope="module")
def local_client(embedded: Model) -> Iterator[httpx2.Client]:
    model = shared(embedded)
    with serving(create_app(lambda: model)) as url, httpx2.Client(base_url=url, timeout=300) as client:
        yield client


async def steps(engine: Engine, prompt: Sequence[int], sampling: Sampling) -> list[Step]:
    stream: AsyncGenerator[Step] = engine.generate(prompt, sampling)
    async with aclosing(stream):
        return [step async for step in stream]


def ids(engine: Engine, prompt: Sequence[int], sampling: Sampling = GREEDY) -> list[int]:
    return [token_id for step in asyncio.run(steps(engine, prompt, sampling)) for token_id in step.token_ids]


def prompt(model: Model, question: str) -> list[int]:
    return model.tokenizer.encode_raw(f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\nall\n")


def ask(client: httpx2.Client, message: str, **fields: Any) -> Json:
    body = {"model": "functionary", "messages": [{"role": "user", "content": message}], "temperature": 0}
    response = client.post("/v1/chat/completions", json={**body, "max_tokens": 200, **fields})
    assert response.status_code == 200, response.text
    answer: Json = response.json()
    return answer


def test_greedy_tokens_are_those_of_our_engine(embedded: Model, remote: RemoteEngine) -> None:
    """Where the first token differs, it is a near tie: the number formats of two servers round otherwise."""
    num_same = num_all = 0
    margins = []
    for question in QUESTIONS:
        start = prompt(embedded, question)
        expected, got = ids(embedded.engine, start), ids(remote, start)
        same = next((at for at, pair in enumerate(zip(expected, got, strict=True)) if pair[0] != pair[1]), None)
        num_all += len(expected)
        num_same += len(expected) if same is None else same
        if same is not None:
            margins.append(margin(embedded.engine, [*start, *expected[:same]], expected[same], got[same]))
    print(f"same greedy tokens: {num_same} of {num_all}; margins {sorted(margins)}")
    assert num_same >= 0.75 * num_all
    assert all(one < NEAR_TIE for one in margins)


def margin(engine: Engine, start: Sequence[int], best: int, other: int) -> float:
    """Return by how much our engine's logprob of `best` is above that of `other`."""
    (step,) = asyncio.run(steps(engine, start, replace(GREEDY, max_tokens=1, logprobs=20)))
    logprobs = dict(step.logprobs[0].top)
    return logprobs[best] - logprobs.get(other, -9999.0)


@pytest.mark.parametrize("name", CASES)
def test_guarantees_hold(client: httpx2.Client, name: str) -> None:
    case = CASES[name]
    for sampled in ({}, {"temperature": 1.5, "seed": 3}):
        answer = ask(client, case.message, **case.fields, **sampled)
        assert answer["choices"][0]["finish_reason"] in ("stop", "tool_calls"), answer
        case.check(answer["choices"][0]["message"])


def test_most_guaranteed_answers_are_those_of_our_engine(client: httpx2.Client, local_client: httpx2.Client) -> None:
    def content(one: httpx2.Client, case: Case) -> str:
        return re.sub(r'"id": "[^"]*"', "", json.dumps(ask(one, case.message, **case.fields)["choices"]))

    same = [name for name, case in CASES.items() if content(client, case) == content(local_client, case)]
    print(f"same answers: {len(same)} of {len(CASES)}; others: {sorted(CASES.keys() - set(same))}")
    assert len(same) >= 0.8 * len(CASES)


def test_a_limit_inside_a_character_is_that_of_our_engine(embedded: Model, remote: RemoteEngine) -> None:
    """llama.cpp sends no id of a token that ends inside a character, so the last tokens of such an answer were lost."""
    tokenizer = embedded.tokenizer
    start = prompt(embedded, "Repeat: 🙂🎉東京")
    text = tokenizer.encode_raw("🙂🎉東京の👩‍👩‍👧", may_add_bos=False)
    for num in range(1, len(text)):
        # The bias makes the rest of the text the answer, token by token.
        got = [
            ids(remote, [*start, *text[:at]], replace(GREEDY, max_tokens=1, logit_bias=((text[at], 100.0),)))
            for at in (num - 1, num)
        ]
        assert got == [[text[num - 1]], [text[num]]]
    several = replace(GREEDY, max_tokens=9, temperature=1.0, seed=1)
    biases = tuple((token_id, 100.0) for token_id in set(text))
    for seed in range(8):  # a mix of halves of characters, valid or not
        sampling = replace(several, logit_bias=biases, seed=seed)
        got_ids = ids(remote, start, sampling)
        assert len(got_ids) == 9 and set(got_ids) <= set(text)


def test_minimum_and_stop_tokens(embedded: Model, remote: RemoteEngine) -> None:
    end = embedded.tokenizer.token_id("<|im_end|>")
    other = embedded.tokenizer.token_id("<|endoftext|>")
    assert end is not None and other is not None
    start = prompt(embedded, "What is the opposite of hot?")
    eager = replace(GREEDY, max_tokens=12, stop_ids=frozenset({end}), logit_bias=((end, 100.0),))
    assert ids(remote, start, eager) == [end]
    longer = ids(remote, start, replace(eager, min_tokens=5))
    assert end not in longer[:5] and longer[5:] == [end]
    assert ids(remote, start, replace(eager, stop_ids=frozenset())) == [end] * 12  # ignore_eos: an ordinary token
    both = replace(eager, logit_bias=((end, 100.0), (other, 50.0)), stop_ids=frozenset({other}))
    assert ids(remote, start, both) == [end] * 12
    assert ids(remote, start, replace(both, logit_bias=((other, 100.0),))) == [other]
    ordinary = ids(remote, start)
    at = next(number for number in range(2, 30) if ordinary[number] not in ordinary[:number])
    assert ids(remote, start, replace(GREEDY, stop_ids=frozenset({ordinary[at]}))) == ordinary[: at + 1]


def test_logprobs_are_those_of_our_engine(embedded: Model, remote: RemoteEngine) -> None:
    start = prompt(embedded, "What is the capital of France?")
    for temperature in (0.0, 1.0):
        sampling = replace(GREEDY, max_tokens=16, logprobs=3, temperature=temperature, top_k=1)
        expected, got = (
            [one for step in asyncio.run(steps(engine, start, sampling)) for one in step.logprobs]
            for engine in (embedded.engine, remote)
        )
        assert len(got) == 16
        for ours, theirs in zip(expected, got, strict=True):
            if ours.token_id != theirs.token_id:
                break
            assert theirs.logprob == pytest.approx(ours.logprob, abs=0.15)
            assert theirs.top[0][0] == theirs.token_id and len(theirs.top) == 3
            assert dict(theirs.top)[theirs.token_id] == pytest.approx(theirs.logprob)


def test_seeds_repeat(embedded: Model, remote: RemoteEngine) -> None:
    start = prompt(embedded, "Write a haiku about rain.")
    sampled = replace(GREEDY, temperature=1.0)
    one, again, other = (ids(remote, start, replace(sampled, seed=seed)) for seed in (7, 7, 8))
    assert one == again and one != other


def test_penalties_and_biases(embedded: Model, remote: RemoteEngine) -> None:
    start = prompt(embedded, "Repeat the word no ten times.")
    word = embedded.tokenizer.encode_raw(" no", may_add_bos=False)[0]
    likely = replace(GREEDY, max_tokens=40, logit_bias=((word, 30.0),))
    assert ids(remote, start, likely) == [word] * 40
    penalised = replace(likely, frequency_penalty=2.0)
    nums = [ids(engine, start, penalised).count(word) for engine in (embedded.engine, remote)]
    assert nums[1] < 30 and abs(nums[0] - nums[1]) <= 3
    assert word not in ids(remote, start, replace(GREEDY, logit_bias=((word, -100.0),)))


def test_two_choices_and_usage(client: httpx2.Client) -> None:
    answer = ask(client, "Say hello.", n=2, temperature=1, seed=5, max_tokens=20)
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    question = "What is the weather? " * 100
    for _ in range(2):
        answer = ask(client, question, max_tokens=4)
    assert answer["usage"]["completion_tokens"] <= 4
    cached = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert 0 < cached <= answer["usage"]["prompt_tokens"]


def num_running() -> int:
    """Return the number of requests that run on the server."""
    headers = {"Authorization": f"Bearer {KEY}"} if KEY else {}
    base = URL.rstrip("/").removesuffix("/v1")
    slots = httpx2.get(f"{base}/slots", headers=headers)
    if slots.status_code == 200:
        return sum(slot["is_processing"] for slot in slots.json())
    metrics = httpx2.get(f"{base}/metrics", headers=headers).text
    found = re.findall(r"^(?:vllm|sglang):num_(?:requests_running|running_reqs)\{[^}]*\} (\S+)", metrics, re.MULTILINE)
    return sum(int(float(number)) for number in found)


def test_an_aborted_answer_frees_its_slot(embedded: Model, remote: RemoteEngine) -> None:
    async def abort() -> int:
        stream = remote.generate(prompt(embedded, "Write a long story."), replace(GREEDY, max_tokens=4000))
        async with aclosing(stream):
            async for _ in stream:
                return num_running()
        return 0

    assert asyncio.run(abort()) >= 1
    deadline = time.monotonic() + 30
    while num_running() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert num_running() == 0


def test_twenty_requests_at_once(embedded: Model, remote: RemoteEngine) -> None:
    prompts = [prompt(embedded, question) for question in QUESTIONS[:20]]

    async def together() -> list[list[Step]]:
        return await asyncio.gather(*(steps(remote, one, GREEDY) for one in prompts))

    for got in asyncio.run(together()):
        assert sum(len(step.token_ids) for step in got) == GREEDY.max_tokens
        assert [step.finish_reason for step in got] == [None] * (len(got) - 1) + ["length"]

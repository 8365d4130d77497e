"""A constraint holds whatever the server of a remote engine sends, and a model that fits it costs no request."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.generation import Constraint, Lark, Sampling
from engines.remote.answer import Answer
from engines.remote.dialect import Gain
from engines.remote.engine import RemoteEngine
from inference import Model, generate
from prompt_template import Piece
from tests.support.remote_model import DIALECTS, peer_of, remote
from tests.support.scripted_peer import Peer
from tests.support.small_engine import ids, steps
from tests.support.toy_model import Wanted, fixed_model, probabilities, script_model

CODE = {
    "type": "object",
    "properties": {
        "n": {"type": "integer", "multipleOf": 7},
        "code": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]$"},
    },
    "required": ["n", "code"],
    "additionalProperties": False,
}
CITY = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 9}}, "required": ["city"]}
MESSAGES = [{"role": "user", "content": "Hello"}]
STOP = frozenset({258})
PAIR = Constraint(turn=Lark("start: /[a-c]{2}/ <[258]>\n", {}))


def tool(name: str, schema: Any, **others: Any) -> Any:
    return {"type": "function", "function": {"name": name, "parameters": schema, **others}}


TOOLS = [tool("find", CITY), tool("code", CODE)]
STRICT = [tool("find", {**CITY, "additionalProperties": False}, strict=True)]
ALLOWED = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "function": {"name": "code"}}]}
CASES: dict[str, Any] = {
    "required": {"tools": TOOLS, "tool_choice": "required"},
    "named": {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "code"}}},
    "allowed tools": {
        "tools": TOOLS,
        "tool_choice": {"type": "allowed_tools", "allowed_tools": ALLOWED | {"type": "x"}},
    },
    "strict in auto": {"tools": STRICT},
    "function_call": {"functions": [TOOLS[0]["function"]], "function_call": {"name": "find"}},
    "json_schema": {"response_format": {"type": "json_schema", "json_schema": {"name": "c", "schema": CODE}}},
    "json_object": {"response_format": {"type": "json_object"}},
    "grammar": {"guided_grammar": 'root ::= "yes " [a-z]{1,5} | "no"'},
    "regex": {"guided_regex": "[0-9]{2,4}(-[a-f]{2}){1,2}"},
    "choice": {"guided_choice": ["red", "green"]},
}
CASES["allowed tools"]["tool_choice"]["allowed_tools"] = {key: ALLOWED[key] for key in ("mode", "tools")}


@pytest.fixture(scope="module", params=sorted(DIALECTS))
def served(request: pytest.FixtureRequest, chatml: Model, chatml_folder: Path) -> Iterator[tuple[Model, Peer]]:
    peer = peer_of(chatml, chatml_folder, request.param)
    with ExitStack() as stack:
        yield stack.enter_context(remote(chatml, peer)), peer


@pytest.mark.parametrize("case", CASES)
def test_guarantees_give_the_local_engines_answers(served: tuple[Model, Peer], chatml: Model, case: str) -> None:
    """The model is random, so that nearly every token under a constraint is one that it did not want."""
    options = {"temperature": 0, "max_tokens": 60, **CASES[case]}
    here, there = (generate(model, MESSAGES, **options) for model in (chatml, served[0]))
    for message in (here, there):
        for call in message.get("tool_calls") or []:
            del call["id"]
    assert there == here


@pytest.mark.parametrize("penalties", [{"frequency_penalty": 1.0}, {"repetition_penalty": 1.4}], ids=str)
def test_penalties_count_over_resumptions(served: tuple[Model, Peer], chatml: Model, penalties: Any) -> None:
    """A server that takes up an answer counts only its own tokens, so that the earlier ones need biases."""
    options = {"temperature": 0, "max_tokens": 50, **penalties, **CASES["json_schema"]}
    here, there = (generate(model, MESSAGES, **options) for model in (chatml, served[0]))
    assert there == here


def test_a_presence_penalty_over_a_resumption_is_a_bias(chatml: Model) -> None:
    answer = Answer(
        [1], Sampling(9, presence_penalty=0.5, frequency_penalty=0.25, logit_bias=((4, 2.0),)), None, 99, 272
    )
    answer.read(Gain((4, 5, 4)))
    assert dict(answer.next_sampling().logit_bias) == {4: 2.0 - 0.5 - 2 * 0.25, 5: -0.75}


def test_resumed_answers_go_first_where_the_server_has_priorities(chatml: Model, chatml_folder: Path) -> None:
    """Otherwise each correction of an answer waits behind the new requests of all others."""
    peer = peer_of(chatml, chatml_folder, "vllm", has_priorities=True, refuses_grammars=True)
    with remote(chatml, peer) as model:
        peer.forget()
        generate(model, MESSAGES, temperature=0, max_tokens=30, **CASES["required"])
    new, *resumed = (body.get("priority") for body in peer.bodies if "structured_outputs" not in body)
    assert new is None and resumed and set(resumed) == {-1}


# Requests that a guarantee costs


@pytest.fixture(scope="module", params=sorted(DIALECTS))
def played(request: pytest.FixtureRequest, chatml: Model) -> Iterator[tuple[Model, Peer]]:
    peer = peer_of(chatml, fixed_model([1 / 272] * 272), request.param)
    with ExitStack() as stack:
        yield stack.enter_context(remote(chatml, peer)), peer


def script(model: Model, text: str) -> list[int]:
    return model.tokenizer.encode([Piece(text, markup=True)]).ids


def say(played: tuple[Model, Peer], *scripts: str) -> None:
    model, peer = played
    peer.forget()
    peer.model = script_model(peer.vocab_size, *(script(model, text) for text in scripts))


CALL = 'find\n{"city": "Paris"}<|im_end|>'
CODE_CALL = 'code\n{"n": 14, "code": "AB-1"}<|im_end|>'
TEXT = "all\nI will not call.<|im_end|>"


@pytest.mark.parametrize(
    ("scripts", "case", "num_extra"),
    [
        ((CALL,), {"tools": TOOLS}, 0),
        ((CALL,), {"tools": STRICT}, 0),
        ((TEXT,), {"tools": STRICT}, 0),
        ((CALL,), {"tools": TOOLS, "tool_choice": "required"}, 0),
        ((CALL,), CASES["function_call"], 0),
        ((TEXT, CALL), {"tools": TOOLS[:1], "tool_choice": "required"}, 2),
        ((TEXT, CALL, CODE_CALL), {"tools": TOOLS, "tool_choice": "required"}, 2),
        (('find\n{"town": "x"}<|im_end|>', '"city": "Paris"}<|im_end|>'), {"tools": STRICT}, 2),
        (('find\n{"city": 5}<|im_end|>', ' "Paris"}<|im_end|>'), {"tools": STRICT}, 2),
        (("code\n{}<|im_end|>", CALL), {"tools": TOOLS[:1], "tool_choice": "required"}, 2),
        ((CODE_CALL.replace("14", "15"), '505, "code": "AB-1"}<|im_end|>'), CASES["named"], 2),
    ],
)
def test_a_correction_costs_few_requests(
    played: tuple[Model, Peer], scripts: Sequence[str], case: Any, num_extra: int
) -> None:
    say(played, *scripts)
    message = generate(played[0], MESSAGES, temperature=0, max_tokens=80, **case)
    assert played[1].num_completions <= 1 + num_extra, played[1].bodies
    if scripts[0] == TEXT and "tool_choice" not in case:
        assert message["content"] == "I will not call."
        return
    calls = message.get("tool_calls") or [{"function": message["function_call"]}]
    found = json.loads(calls[0]["function"]["arguments"])
    assert found == {"city": "Paris"} or found["n"] % 7 == 0


def test_a_server_that_refuses_grammars_is_asked_without(played: tuple[Model, Peer]) -> None:
    """The grammar is sent as speed only, so that a server without the library for it must not fail the request."""
    say(played, CALL)
    model, peer = played
    peer.refuses_grammars = True
    try:
        message = generate(model, MESSAGES, temperature=0, max_tokens=80, tools=TOOLS, tool_choice="required")
    finally:
        peer.refuses_grammars = False
    assert message["tool_calls"][0]["function"]["name"] == "find"


def test_a_grammar_is_not_sent_behind_tokens_of_the_answer(played: tuple[Model, Peer]) -> None:
    """Behind forced tokens, the grammar of the whole turn made the server write the turn's beginning again."""
    say(played, TEXT, CALL)
    model, peer = played
    generate(model, MESSAGES, temperature=0, max_tokens=80, tools=TOOLS, tool_choice="required")
    prompt = peer.bodies[0]["prompt"]
    assert all(body["prompt"] == prompt for body in peer.bodies if "structured_outputs" in body)


def test_a_refused_grammar_costs_neither_the_seed_nor_the_count_of_cached_tokens(played: tuple[Model, Peer]) -> None:
    """The request without the grammar counted as the second one of the answer: it reported no cached token."""
    model, peer = played
    say(played, "ab<|im_end|>")
    sampling = Sampling(max_tokens=5, seed=7, stop_ids=STOP, constraint=PAIR)
    seeds, cached = [], []
    for refuses in (False, False, True):
        peer.refuses_grammars = refuses
        try:
            gained = asyncio.run(steps(model.engine, [5, 6] * 40, sampling))
        finally:
            peer.refuses_grammars = False
        seeds.append(peer.bodies[-1]["seed"])
        cached.append(sum(step.num_cached_tokens for step in gained))
    assert seeds == [seeds[0]] * 3 and cached[1] == cached[2] > 0


def test_no_id_without_a_token_is_allowed(played: tuple[Model, Peer]) -> None:
    """The logits of many models are wider than their vocabulary. vLLM 0.10 refuses ids from there on.

    A mask that forbids a few tokens allowed these ids, so that the request for one token got status 400.
    """
    model, peer = played
    say(played, TEXT)
    events = iter([True])

    def ends_early(event: Any) -> Any:
        if next(events, False):
            (event["choices"][0] if "choices" in event else event)["token_ids" if "choices" in event else "tokens"] = [
                258
            ]
        return event

    peer.change = ends_early
    asyncio.run(steps(model.engine, [5, 6], Sampling(max_tokens=5, min_tokens=3, temperature=0.0, stop_ids=STOP)))
    end = 1 + max(model.tokenizer.backend.get_vocab(with_added_tokens=True).values())
    assert end < model.engine.vocab_size
    allowed = [body["allowed_token_ids"] for body in peer.bodies if "allowed_token_ids" in body]
    if peer.dialect.completions == "/v1/completions":
        assert allowed == [[one for one in range(end) if one not in STOP]]


# The distribution of sampled answers


def outcomes(played: tuple[Model, Peer], weights: dict[str, float], sampling: Sampling, num: int) -> Counter[str]:
    """Sample `num` answers under the constraint of `sampling`, each with another seed."""
    model, peer = played
    peer.forget()
    peer.model = fixed_model(spread(model, weights))

    async def sampled() -> list[str]:
        limit = asyncio.Semaphore(8)

        async def one(seed: int) -> str:
            async with limit:
                got = ids(await steps(model.engine, [5, 6], replace(sampling, seed=seed)))
            return b"".join(model.tokenizer.token_bytes(token_id) for token_id in got[:-1]).decode()

        return await asyncio.gather(*map(one, range(5000, 5000 + num)))

    return Counter(asyncio.run(sampled()))


def spread(model: Model, weights: dict[str, float]) -> list[float]:
    found = np.full(272, 1e-9)
    for text, weight in weights.items():
        found[script(model, text)[0]] = weight
    return [float(one) for one in found / found.sum()]


def chi_square(found: Counter[str], expected: dict[str, float]) -> float:
    num = found.total()
    assert set(found) <= set(expected)
    return sum((found[key] - num * share) ** 2 / (num * share) for key, share in expected.items())


def test_sampled_answers_keep_the_renormalised_distribution(played: tuple[Model, Peer]) -> None:
    """A rejected token and one token under the mask give the probabilities of the local engine, the joint ones too.

    With one seed for all requests of an answer, the tokens depended on each other: the statistic was above 300. It is
    above 26.1 in one of a thousand fair samples (8 degrees of freedom).
    """
    weights = {"a": 0.1, "b": 0.05, "c": 0.15, "x": 0.4, "y": 0.3}
    shares = {"a": 1 / 3, "b": 1 / 6, "c": 1 / 2}
    expected = {one + two: shares[one] * shares[two] for one, two in product(shares, shares)}
    found = outcomes(played, weights, Sampling(9, stop_ids=STOP, constraint=PAIR), 250)
    assert chi_square(found, expected) < 26.1, found


@pytest.mark.parametrize("cut", [{"top_p": 0.7}, {"top_k": 3}, {"min_p": 0.5}], ids=str)
def test_a_server_cuts_the_distribution_before_the_mask(played: tuple[Model, Peer], cut: Any) -> None:
    """A server cuts all tokens by top-p, top-k and min-p, and only what it then rejects is cut under the mask.

    So an allowed token that the server's cut keeps has the server's probability, and the rest is shared out as by the
    local engine, which masks first. Critical value for 2 degrees of freedom: 13.8.
    """
    weights = {"a": 0.3, "b": 0.05, "c": 0.2, "x": 0.45}
    constraint = Constraint(turn=Lark("start: /[a-c]/ <[258]>\n", {}))
    logits = np.log(np.array([*weights.values()]))
    whole = probabilities(logits, Wanted(**cut))
    whole /= whole.sum()
    masked = probabilities(logits[:3], Wanted(**cut))
    masked /= masked.sum()
    expected = whole[:3] + whole[3] * masked
    by_name = {name: float(share) for name, share in zip("abc", expected, strict=True) if share > 0}
    found = outcomes(played, weights, Sampling(9, stop_ids=STOP, constraint=constraint, **cut), 150)
    assert chi_square(found, by_name) < 13.8, (found, by_name)


def test_corrections_are_counted(played: tuple[Model, Peer]) -> None:
    engine = played[0].engine
    assert isinstance(engine, RemoteEngine)
    say(played, TEXT, CALL)
    before = engine.registry.get_sample_value("functionary:engine_corrections_total") or 0
    generate(played[0], MESSAGES, temperature=0, max_tokens=80, tools=TOOLS[:1], tool_choice="required")
    assert (
        engine.registry.get_sample_value("functionary:engine_corrections_total")
        == before + played[1].num_completions // 2
    )

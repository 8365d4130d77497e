"""A function that the request does not offer is never called, however much the model leans to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
import torch
from openai import OpenAI
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from apis.chat_completions import chat_request
from core.conversation import Reasoning, ToolChoice
from core.generation import Sampling, TokenLogprob
from drafting.predictions import drafts
from engines.local.engine import LocalEngine
from engines.local.sampling import Sampler
from guarantees.constraint import constraint
from inference import Model, chat_prompt
from prompt_template import Piece, PromptTemplate, load_template, template_names
from server import create_app
from tests.support.random_model import RandomModel, byte_level
from tests.support.serving import serving
from tests.support.small_engine import SIZES, ids, steps, together
from text.tokenizer import Tokenizer

Lean = Callable[[str], None]

WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
GONE = {"id": "call_1", "type": "function", "function": {"name": "delete_all", "arguments": '{"really": true}'}}
HISTORY = [
    {"role": "user", "content": "Delete all."},
    {"role": "assistant", "content": None, "tool_calls": [GONE]},
    {"role": "tool", "tool_call_id": "call_1", "content": "done"},
    {"role": "user", "content": "Again, please."},
]
REQUESTS: dict[str, dict[str, Any]] = {
    "auto": {"tools": [WEATHER]},
    "at most one call": {"tools": [WEATHER], "parallel_tool_calls": False},
    "none": {"tools": [WEATHER], "tool_choice": "none"},
    "required": {"tools": [WEATHER], "tool_choice": "required"},
    "without tools": {},
}


@pytest.fixture(scope="module", params=template_names())
def template(request: pytest.FixtureRequest) -> PromptTemplate:
    return load_template(request.param).bound(Tokenizer(byte_level().backend_tokenizer).token_id)


def turn(template: PromptTemplate, *parts: str | tuple[str, str]) -> str:
    """Return a whole turn: texts, and calls as pairs of a name and arguments, after reasoning that the prompt began."""
    written = "Hm." + template.reasoning.tail if template.reasoning and template.reasoning_prefill(Reasoning()) else ""
    has_calls = False
    for part in parts:
        if isinstance(part, str):
            written += template.text_head + part + (template.separator or "" if template.text_prefill else "")
            continue
        begin = (template.separator or "") if has_calls else template.calls_open
        written += begin + template.call_head(part[0]) + part[1] + template.call_tail
        has_calls = True
    return written + (template.calls_close if has_calls else "")


@pytest.fixture(scope="module")
def model(template: PromptTemplate) -> Model:
    """A small random model whose tokenizer has the control tokens of every template."""
    backend = byte_level()
    torch.manual_seed(0)
    weights = LlamaForCausalLM(LlamaConfig(**{**SIZES, "vocab_size": len(backend) + 7})).eval()  # type: ignore[no-untyped-call]
    tokenizer = Tokenizer(backend.backend_tokenizer, eos_id=backend.eos_token_id)
    engine = LocalEngine(weights, backend.backend_tokenizer, 2048, eos_id=backend.eos_token_id)
    return Model(("tiny",), template, tokenizer, engine, temperature=0.0)


@pytest.fixture(scope="module")
def client(model: Model) -> Iterator[OpenAI]:
    with serving(create_app(lambda: model)) as url, OpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0) as client:
        yield client


@pytest.fixture
def lean(model: Model, monkeypatch: pytest.MonkeyPatch) -> Lean:
    """Make the model lean to a script: at each position the script's token is far likelier than all others."""
    sample = Sampler.sample
    script: list[int] = []

    def leaning(self: Sampler, logits: Tensor, allowed: Tensor | None) -> tuple[int, TokenLogprob | None]:
        logits = logits.clone()
        logits[script[min(self._counts.total(), len(script) - 1)]] += 1000
        return sample(self, logits, allowed)

    def lean(text: str) -> None:
        stop_id = model.tokenizer.token_id(model.template.stop[0])
        assert stop_id is not None
        script[:] = [*model.tokenizer.encode([Piece(text, markup=True)]).ids, stop_id]

    monkeypatch.setattr(Sampler, "sample", leaning)
    return lean


def called(client: OpenAI, body: dict[str, Any]) -> list[str]:
    """Return the names that the answer calls, which are the same whole and streamed."""
    common: Any = {"model": "tiny", "messages": HISTORY, "max_tokens": 120, **body}
    whole = client.chat.completions.create(**common).choices[0].message.tool_calls or []
    streamed: list[str] = []
    for chunk in client.chat.completions.create(**common, stream=True):
        for call in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            streamed += [call.function.name] if call.function and call.function.name else []
    names = [call.function.name for call in whole if call.type == "function"]
    assert names == streamed
    return names


def test_a_function_that_is_gone_is_not_called(
    template: PromptTemplate, client: OpenAI, lean: Lean, subtests: pytest.Subtests
) -> None:
    """A history with calls of a function that is not offered any more made models call it again in `auto`.

    Agents stopped with "tool not found". Now the name cannot be written as a call's name: at the start of the turn,
    after a text, or after a call of another function.
    """
    gone, offered = ("delete_all", '{"really": true}'), ("get_weather", "{}")
    for kind, body in REQUESTS.items():
        mode = {"none": "none", "required": "required", "without tools": "none"}.get(kind, "auto")
        prefill = template.choice_prefill(ToolChoice(mode))  # type: ignore[arg-type]
        for parts in ((gone,), ("A text.", gone), (offered, gone)):
            with subtests.test(kind=kind, parts=parts):
                lean(turn(template, *parts).removeprefix(prefill))
                names = called(client, body)
                assert set(names) <= ({"get_weather"} if kind in ("auto", "at most one call", "required") else set())


def test_the_leaning_model_calls_what_is_offered(template: PromptTemplate, client: OpenAI, lean: Lean) -> None:
    """The script of the test above does reach the answer: with the function in `tools`, the function is called."""
    lean(turn(template, ("delete_all", '{"really": true}')))
    offered = json.loads(json.dumps(WEATHER).replace("get_weather", "delete_all"))
    assert called(client, {"tools": [WEATHER, offered]}) == ["delete_all"]


def test_without_tools_a_text_stays_a_text(template: PromptTemplate, client: OpenAI, lean: Lean) -> None:
    """Where no call is offered, a model that leans to one writes a text, and the answer is not empty."""
    lean(turn(template, ("delete_all", "{}")).removeprefix("\n") + " and a text")
    answer = client.chat.completions.create(model="tiny", messages=HISTORY, max_tokens=30)  # type: ignore[arg-type]
    assert answer.choices[0].message.content


TRIP = {
    "type": "object",
    "properties": {
        "origin": {"type": "string", "maxLength": 12},
        "class": {"enum": ["first", "second"]},
        "seats": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["origin", "class", "seats"],
}


def test_bound_arguments_are_the_same_with_drafts_and_in_a_batch(model: Model, lean: Lean) -> None:
    """With `--arguments schema`, a greedy answer is the same with and without drafts, and alone and in a batch."""
    template = model.template
    lean(turn(template, ("book_trip", "")).removesuffix(template.call_tail + template.calls_close))
    tools = [{"type": "function", "function": {"name": "book_trip", "parameters": TRIP}}, WEATHER]
    bodies = [{"model": "tiny", "messages": [{"role": "user", "content": f"Book {n} seats."}]} for n in range(1, 5)]
    asked = [chat_request({**body, "tools": tools}) for body in bodies]
    prompts = [chat_prompt(model, request) for request in asked]
    stop_id = model.tokenizer.token_id(model.template.stop[0])
    assert isinstance(model.engine, LocalEngine) and stop_id is not None
    drafted = Sampling(
        max_tokens=200,
        temperature=0.0,
        stop_ids=frozenset([stop_id]),
        constraint=constraint(asked[0], model.template, model.tokenizer.token_id, "schema"),
        drafts=drafts(asked[0], model.template),
    )
    alone = [asyncio.run(steps(model.engine, prompt, drafted)) for prompt in prompts]
    assert sum(step.num_accepted for step in alone[0]) > 5
    undrafted = [asyncio.run(steps(model.engine, prompt, replace(drafted, drafts=None))) for prompt in prompts]
    batched = asyncio.run(together(model.engine, prompts, drafted))
    assert [ids(got) for got in alone] == [ids(got) for got in undrafted] == [ids(got) for got in batched]
    for got in alone:
        prefill = template.prefill(ToolChoice("auto"))
        calls = RandomModel(byte_level()).read(template, asked[0].tools, ids(got), prefill).calls
        assert [name for name, _ in calls] == ["book_trip"]
        jsonschema.validate(json.loads(calls[0][1]), TRIP)

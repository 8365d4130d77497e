"""The local engine on a GPU: `python3 -m pytest tests/test_cuda.py`. Without a GPU, all tests are skipped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from core.generation import Sampling
from engines.local.engine import LocalEngine
from inference import Model, generate, load_model

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")

GREEDY = Sampling(max_tokens=24, temperature=0.0)
RANDOM = Random(7)
PROMPTS = [[RANDOM.randrange(256) for _ in range(length)] for length in (1, 7, 40, 130, 300, 700, 33, 64)]
LIGHT = {
    "name": "switch_light",
    "parameters": {
        "type": "object",
        "properties": {"room": {"enum": ["kitchen", "hall"]}, "on": {"type": "boolean"}},
        "required": ["room", "on"],
    },
}


@pytest.fixture(scope="module")
def model(chatml_folder: Path) -> Iterator[Model]:
    made = load_model(str(chatml_folder), dtype="float32", device="cuda:0")
    yield made
    asyncio.run(made.engine.close())


async def ids(engine: LocalEngine, prompt: Sequence[int], sampling: Sampling = GREEDY) -> list[int]:
    async with aclosing(engine.generate(prompt, sampling)) as stream:
        return [token_id async for step in stream for token_id in step.token_ids]


async def concurrent(engine: LocalEngine, sampling: Sampling = GREEDY) -> list[list[int]]:
    return await asyncio.gather(*(ids(engine, prompt, sampling) for prompt in PROMPTS))


def engine_of(model: Model) -> Any:
    assert isinstance(model.engine, LocalEngine)
    return model.engine


def test_concurrent_requests_get_what_transformers_generates(model: Model, chatml_folder: Path) -> None:
    """The engine's answers on the GPU equal those of `generate` on the CPU.

    The requests cover prompts in chunks, short sequences in one batch, and decode.
    """
    from transformers import AutoModelForCausalLM

    together = asyncio.run(concurrent(engine_of(model)))
    reference: Any = AutoModelForCausalLM.from_pretrained(chatml_folder, dtype=torch.float32)
    for prompt, got in zip(PROMPTS, together, strict=True):
        asked = torch.tensor([prompt])
        mask = torch.ones_like(asked)
        whole = reference.generate(asked, attention_mask=mask, max_new_tokens=24, do_sample=False, eos_token_id=None)
        assert got == whole[0, len(prompt) :].tolist()


def test_the_engine_is_on_the_gpu(model: Model) -> None:
    assert engine_of(model).description().startswith("cuda:0 (float32), at most ")


def test_seeds_repeat(model: Model) -> None:
    hot = replace(GREEDY, temperature=1.0, seed=5)
    first, second = (asyncio.run(ids(engine_of(model), PROMPTS[2], hot)) for _ in range(2))
    assert first == second != asyncio.run(ids(engine_of(model), PROMPTS[2], replace(hot, seed=6)))


def test_arguments_fit_the_schema(model: Model) -> None:
    """Even a random model writes arguments that the schema allows."""
    asked: dict[str, Any] = {"functions": [LIGHT], "function_call": {"name": "switch_light"}, "max_tokens": 100}
    message = generate(model, [{"role": "user", "content": "Light!"}], **asked)
    arguments = json.loads(message["function_call"]["arguments"])
    assert arguments["room"] in ("kitchen", "hall") and isinstance(arguments["on"], bool)


def test_a_cached_prompt_changes_no_answer(model: Model) -> None:
    owner = replace(GREEDY, owner="somebody")
    first, second = (asyncio.run(ids(engine_of(model), PROMPTS[4], owner)) for _ in range(2))
    assert first == second


def test_abandoned_requests_free_their_memory(model: Model) -> None:
    async def leave() -> None:
        async with aclosing(engine_of(model).generate(PROMPTS[3], replace(GREEDY, max_tokens=300))) as stream:
            await anext(stream)

    asyncio.run(leave())
    before = torch.cuda.memory_allocated()
    for _ in range(20):
        asyncio.run(leave())
    assert torch.cuda.memory_allocated() <= before + 2**20


def test_bfloat16_answers(chatml_folder: Path) -> None:
    made = load_model(str(chatml_folder), device="cuda:0")
    assert "bfloat16" in made.engine.description()
    assert all(len(answer) == 24 for answer in asyncio.run(concurrent(engine_of(made))))
    asyncio.run(made.engine.close())


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_quantized_weights_answer(kind: str, chatml_folder: Path) -> None:
    made = load_model(str(chatml_folder), device="cuda:0", quantize=kind)
    answers = asyncio.run(concurrent(engine_of(made), replace(GREEDY, max_tokens=8)))
    assert all(len(answer) == 8 for answer in answers)
    asyncio.run(made.engine.close())

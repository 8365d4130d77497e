"""Small random models and engines, and requests to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from random import Random
from typing import Any

from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from checkpoints.tokenizer_files import read_tokenizer
from core.generation import Engine, Sampling, Step
from engines.local.engine import LocalEngine
from engines.local.kv_cache import BLOCK

GREEDY = Sampling(max_tokens=20, temperature=0.0)


SIZES: Any = {
    "vocab_size": 300,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}


def _models() -> Iterator[tuple[str, Callable[[], PreTrainedModel]]]:
    yield "llama", lambda: LlamaForCausalLM(LlamaConfig(**SIZES))
    yield "mistral with a window", lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=50))
    yield "qwen2", lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES))
    yield "qwen3", lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=8))


MODELS = dict(_models())


def small_engine(folder: Path, *, max_running: int, num_blocks: int) -> LocalEngine:
    """Return an engine whose KV cache has memory for `num_blocks` blocks of tokens."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    bytes_per_token = 2 * 2 * 2 * 16 * 4  # layers * (keys and values) * heads * width * bytes of a float32
    cache_bytes = num_blocks * BLOCK * bytes_per_token
    saved = read_tokenizer(folder.name, folder)
    return LocalEngine(model, saved.backend, 512, eos_id=saved.eos_id, max_running=max_running, cache_bytes=cache_bytes)


async def steps(engine: Engine, prompt: Sequence[int], sampling: Sampling = GREEDY) -> list[Step]:
    async with aclosing(engine.generate(prompt, sampling)) as stream:
        return [step async for step in stream]


async def together(engine: LocalEngine, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[list[Step]]:
    """Run all prompts as concurrent requests. Return each request's steps, in the order of `prompts`."""
    return await asyncio.gather(*(steps(engine, prompt, sampling) for prompt in prompts))


def num_requests(engine: LocalEngine) -> int:
    """Return how many requests hold a slot or wait for one."""
    with engine._lock:
        return sum(1 for _ in engine._scheduler)


def ids(got: Sequence[Step]) -> list[int]:
    return [token_id for step in got for token_id in step.token_ids]


def prompts_of(lengths: Sequence[int], seed: int = 0) -> list[list[int]]:
    random = Random(seed)
    return [[random.randrange(3, 500) for _ in range(length)] for length in lengths]

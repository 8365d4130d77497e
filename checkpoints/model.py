"""A loaded checkpoint: the template, tokenizer and engine that every request uses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from checkpoints.checkpoint import Checkpoint, open_checkpoint
from checkpoints.files import check_checkpoint
from checkpoints.templates import choose_template
from core.generation import Drafts, Engine, Sampling
from core.model_facts import ModelFacts
from core.turn_format import TurnFormat
from engines.local.threads import run_in_own_thread
from prompt_template import Arguments, PromptTemplate
from text.tokenizer import Tokenizer

Dialect = Literal["vllm", "llama.cpp", "sglang"]

ANY_NAME = "*"


@dataclass(frozen=True)
class Model:
    """A loaded checkpoint.

    names: the values of `model` that requests may use.
    takes_any_name: requests may use any other value too.
    temperature, top_p: the values for requests that do not set them.
    arguments: whether the arguments of calls that the model opens by itself are bound by the function's schema.
    template_reason: how the template was found, for the lines printed at start.
    facts: what is known about the checkpoint, for clients that list models.
    """

    names: tuple[str, ...]
    template: PromptTemplate
    tokenizer: Tokenizer
    engine: Engine
    takes_any_name: bool = False
    temperature: float = 1.0
    top_p: float = 1.0
    arguments: Arguments = "free"
    template_reason: str = ""
    facts: ModelFacts = ModelFacts()
    created: int = field(default_factory=lambda: int(time.time()))

    def serves(self, name: str) -> bool:
        return self.takes_any_name or name in self.names

    async def close(self) -> None:
        """End the engine, whose requests fail then, and the template's processes."""
        await self.engine.close()
        self.template.close()


def load_model(
    name: str | None = None,
    *,
    template: str | None = None,
    served_names: Sequence[str] = (),
    device: str = "auto",
    dtype: str = "auto",
    revision: str | None = None,
    max_context: int | None = None,
    max_running: int | None = None,
    max_waiting: int | None = None,
    queue_timeout_s: float | None = None,
    cache_bytes: int | None = None,
    quantize: str | None = None,
    step_timeout_s: float | None = None,
    arguments: Arguments | None = None,
    engine_urls: Sequence[str] = (),
    engine: Dialect | None = None,
    engine_key: str | None = None,
) -> Model:
    """Load a checkpoint: a folder, a name on the hub, or None for the embedded model. Raises ModelError of one line.

    device: "auto", "cpu", "cuda", "cuda:0", "mps". dtype: "auto", "float32", "bfloat16", "float16". template: its
    name; by default the one that the checkpoint shows, else "generic". max_running: the number of slots, 16 by default.
    max_waiting: the requests that may wait for one, 128 by default. queue_timeout_s: how long each may wait; by default
    for ever. cache_bytes: the memory of the KV cache and the prefix cache; by default enough for all slots, but at most
    a quarter of the free memory. quantize: "int8", or "int4" on a GPU. step_timeout_s: a longer step counts as hung; by
    default 60 on a GPU, else 120. arguments: "schema" binds the arguments of every call by the function's schema,
    "free" only those of forced calls and strict functions; by default "free" for the formats of Functionary's own
    checkpoints, else "schema". served_names: further names; "*" stands for any.

    engine_urls: servers that have the weights and generate the answers. Then only the small files of the checkpoint are
    read, without torch, and of the options of the engine only max_context and step_timeout_s have an effect: the latter
    is how long a server may send nothing. engine: what these servers are; by default it is found out. engine_key: the
    key that they want.
    """
    checkpoint = open_checkpoint(name, revision=revision, has_weights=not engine_urls)
    prompt_template, template_reason = choose_template(checkpoint, template)
    if engine_urls:
        running = _connected(checkpoint, engine_urls, engine, engine_key, step_timeout_s, max_context)
    else:
        options: dict[str, Any] = {"max_running": max_running, "max_waiting": max_waiting, "cache_bytes": cache_bytes}
        options |= {"queue_timeout_s": queue_timeout_s, "step_timeout_s": step_timeout_s, "quantize": quantize}
        running = _loaded(checkpoint, (device, dtype, max_context), **options)
    names = (*served_names, checkpoint.name, *(("functionary",) if name is None else ()))
    return Model(
        names=tuple(one for one in dict.fromkeys(names) if one != ANY_NAME),
        takes_any_name=ANY_NAME in names,
        template=prompt_template,
        template_reason=template_reason,
        tokenizer=checkpoint.tokenizer,
        engine=running[0],
        temperature=checkpoint.temperature,
        top_p=checkpoint.top_p,
        arguments=arguments or prompt_template.arguments,
        facts=running[1],
    )


def _loaded(
    checkpoint: Checkpoint, where: tuple[str, str, int | None], *, quantize: str | None, **options: Any
) -> tuple[Engine, ModelFacts]:
    """Load the weights into the engine of this process. `where`: device, dtype and max_context."""
    from checkpoints.weights import find_weights  # imports torch, which takes 2 s

    device, dtype, max_context = where
    weights = find_weights(checkpoint, device=device, dtype=dtype, max_context=max_context)
    facts = replace(weights.facts, number_format=quantize or weights.facts.number_format)
    return run_in_own_thread(partial(weights.load, quantize=quantize, **options)), facts


def _connected(
    checkpoint: Checkpoint,
    urls: Sequence[str],
    engine: Dialect | None,
    key: str | None,
    silence_s: float | None,
    max_context: int | None,
) -> tuple[Engine, ModelFacts]:
    """Connect to the servers that have the weights."""
    from engines.remote.connect import SILENCE_S, RemoteServers, connect

    remote = connect(
        RemoteServers(urls=tuple(urls), dialect=engine, key=key, silence_s=silence_s or SILENCE_S),
        checkpoint.tokenizer,
        model=checkpoint.name,
        vocab_size=checkpoint.vocab_size,
        max_context=max_context,
    )
    return remote, ModelFacts(architecture=checkpoint.architecture)


def open_format(
    name: str | None, *, template: str | None = None, revision: str | None = None
) -> tuple[PromptTemplate, Tokenizer]:
    """Return the template and the tokenizer of a checkpoint without its weights. Raises ModelError."""
    checkpoint = open_checkpoint(name, revision=revision, has_weights=False)
    return choose_template(checkpoint, template)[0], checkpoint.tokenizer


def check_model(
    name: str | None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    revision: str | None = None,
    has_weights: bool = True,
) -> None:
    """Check the arguments of `load_model` without loading weights. Raises ModelError.

    has_weights: False for a model whose weights a remote server has.
    """
    check_checkpoint(name, revision, has_weights=has_weights)
    if (device, dtype) not in (("auto", "auto"), ("cpu", "auto")):
        from engines.local.devices import pick_device, pick_dtype  # imports torch, which takes 2 s

        pick_dtype(dtype, pick_device(device))


def warm_up(model: Model) -> None:
    """Generate one token with drafting, so that the first request does not pay for lazy initialization."""
    sampling = Sampling(max_tokens=1, temperature=0.0, drafts=Drafts(TurnFormat("text", {}), prefill="", calls=()))

    async def one_token() -> None:
        async with aclosing(model.engine.generate([0], sampling)) as steps:
            async for _ in steps:
                pass

    asyncio.run(one_token())

"""Connects to the servers of `--engine-url`: finds out what they are, and checks that their model is the one meant."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import ModelError
from engines.remote.address import key_fault, server_url
from engines.remote.dialect import Dialect, Facts
from engines.remote.engine import RemoteEngine
from engines.remote.http import HttpServer, ServerError
from engines.remote.llama_cpp import LlamaCpp
from engines.remote.servers import Server
from engines.remote.sglang import SGLang
from engines.remote.vllm import VLLM
from text.tokenizer import Tokenizer

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (VLLM(), LlamaCpp(), SGLang())}
SILENCE_S = 120.0
_MAX_SIZE = 2**30  # of a context and of a vocabulary

# Text of many kinds, so that another tokenizer of the same family shows.
PROBES = (
    "What is the weather for Istanbul? 1234567890",
    'def add(a: int, b: int) -> int:\n    """Return a + b."""\n\treturn a + b  # 3.14e-10',
    '{"location": "São Paulo", "unit": null, "days": [1, 2]}',
    "🙂👩‍👩‍👧‍👦🇹🇷 naïve façade Straße",
    "今天天气怎么样？東京の天気は？ 서울 날씨",
    "Привет, мир!  \n\n  مرحبا",
)


@dataclass(frozen=True)
class RemoteServers:
    """Where the servers are.

    dialect: "vllm", "llama.cpp" or "sglang"; None finds it out. key: sent as a bearer token. silence_s: a server that
    sends nothing for so long counts as failed.
    """

    urls: tuple[str, ...]
    dialect: str | None = None
    key: str | None = None
    silence_s: float = SILENCE_S


def connect(
    where: RemoteServers,
    tokenizer: Tokenizer,
    *,
    model: str,
    vocab_size: int,
    max_context: int | None = None,
) -> RemoteEngine:
    """Ask each server what it is, and return the engine. Cannot be called in a running event loop.

    model: the checkpoint that the servers shall serve. vocab_size: the width of its logits, for servers that do not say
    theirs. max_context: at most this much of the servers' context is used. Raises ModelError with one line if a server
    cannot be reached or serves something else.
    """
    servers = [_asked(url, where, tokenizer, model) for url in where.urls]
    contexts = [one.facts.max_context for one in servers if one.facts.max_context]
    sizes = [one.facts.vocab_size for one in servers if one.facts.vocab_size]
    if not (contexts or max_context):
        raise ModelError(f"--engine-url {where.urls[0]}: the server does not say its context; give --max-context")
    return RemoteEngine(
        servers,
        tokenizer.backend,
        eos_id=tokenizer.eos_id,
        max_context=min([*contexts, *([max_context] if max_context else [])]),
        vocab_size=min(sizes, default=vocab_size),
    )


def _asked(url: str, where: RemoteServers, tokenizer: Tokenizer, model: str) -> Server:
    try:
        http = HttpServer(server_url(url), where.key, where.silence_s)
    except ValueError as error:
        raise ModelError(f"--engine-url {error}") from None
    if fault := key_fault(where.key):
        raise ModelError(f"--engine-url {url}: {fault}")
    try:
        return asyncio.run(_server(http, where.dialect, tokenizer, model))
    except ServerError as error:
        hint = "; check --engine-key" if error.status in (401, 403) else ""
        raise ModelError(f"--engine-url {url}: {error}{hint}") from None


async def _server(http: HttpServer, name: str | None, tokenizer: Tokenizer, model: str) -> Server:
    models = await http.ask("GET", "/v1/models")
    if not (isinstance(models, dict) and isinstance(models.get("data"), list) and models["data"]):
        raise ServerError("lists no model at /v1/models, so it is not a server of vLLM, llama.cpp or SGLang")
    try:
        dialect = _dialect(name, models)
        facts = await dialect.facts(http, models, model)
        _check_facts(facts)
        await _check_tokenizer(http, dialect, facts, tokenizer)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ServerError(f"answers in another shape than expected ({type(error).__name__}: {error})") from None
    return Server(http, dialect, facts)


def _dialect(name: str | None, models: Any) -> Dialect:
    known = next((dialect for dialect in DIALECTS.values() if dialect.knows_itself(models)), None)
    if name is not None and known and known.name != name:
        raise ServerError(f"is a server of {known.name}, not of {name}; leave --engine out, or name {known.name}")
    if found := known or DIALECTS.get(name or ""):
        return found
    owner = str(models["data"][0].get("owned_by"))[:40]
    raise ServerError(
        f"is a server of {owner!r}; only vLLM, llama.cpp and SGLang take and give token ids (--engine names "
        "one of them; Ollama and TGI take text only: run their model with llama.cpp's or vLLM's server)"
    )


def _check_facts(facts: Facts) -> None:
    """Raise ValueError for a name or a size that is none. 0 stands for what a server does not say, as None does."""
    if not facts.model.isprintable():  # it is printed at start
        raise ValueError(f"{facts.model[:40]!r} is no name of a model")
    for size in (facts.max_context, facts.vocab_size):
        if size is not None and not (type(size) is int and 0 <= size <= _MAX_SIZE):
            raise ValueError(f"{str(size)[:20]!r} is no number of tokens")


async def _check_tokenizer(http: HttpServer, dialect: Dialect, facts: Facts, tokenizer: Tokenizer) -> None:
    """Raise ServerError unless the server tokenizes like `tokenizer`, control tokens included."""
    control = "".join(f"{text} x" for text in sorted(tokenizer.control_tokens)[:40])
    for text in (*PROBES, *([control] if control else [])):
        answer = await http.ask("POST", *dialect.tokenize(text, facts.model))
        ids: Sequence[int] = answer["tokens"]
        if list(ids) != tokenizer.encode_raw(text, may_add_bos=False):
            raise ServerError(
                f"serves {facts.source or facts.model!r}, whose tokenizer reads {text[:24]!r} otherwise "
                "than that of --model; name the model that the server serves"
            )

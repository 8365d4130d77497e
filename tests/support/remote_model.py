"""Remote engines over scripted peers, and models with such an engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from checkpoints.model import Model
from engines.remote.connect import RemoteServers, connect
from engines.remote.engine import RemoteEngine
from tests.support.peer_llama_cpp import PlayedLlamaCpp
from tests.support.peer_vllm import PlayedVLLM
from tests.support.scripted_peer import Peer, PeerDialect, running
from tests.support.toy_model import LanguageModel, checkpoint_model

DIALECTS: dict[str, type[PeerDialect]] = {"vllm": PlayedVLLM, "llama.cpp": PlayedLlamaCpp}


def peer_of(model: Model, behind: LanguageModel | Path, dialect: str = "vllm", **fields: Any) -> Peer:
    """Return a peer with the tokenizer of `model`. `behind` is the model that it runs, or a checkpoint's folder."""
    runs = checkpoint_model(behind) if isinstance(behind, Path) else behind
    about = {"vocab_size": model.engine.vocab_size, "max_context": model.engine.max_context, **fields}
    return Peer(DIALECTS[dialect](), runs, model.tokenizer, eos_id=model.tokenizer.eos_id, **about)


@contextmanager
def engine_over(model: Model, *peers: Peer, silence_s: float = 20.0, key: str | None = None) -> Iterator[RemoteEngine]:
    """An engine over peers that run already, for the tokenizer of `model`."""
    where = RemoteServers(tuple(peer.url for peer in peers), key=key, silence_s=silence_s)
    engine = connect(where, model.tokenizer, model=peers[0].model_name, vocab_size=model.engine.vocab_size)
    try:
        yield engine
    finally:
        asyncio.run(engine.close())


@contextmanager
def remote(model: Model, *peers: Peer, silence_s: float = 20.0) -> Iterator[Model]:
    """Run the peers, and yield `model` with an engine over them."""
    with running(*peers), engine_over(model, *peers, silence_s=silence_s) as engine:
        yield replace(model, engine=engine)

"""Fixtures: small real models, an engine that plays a script, and servers over real sockets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings
from openai import OpenAI

from bench.servers import plain_model
from checkpoints.embedded import open_file
from checkpoints.files import find_checkpoint
from inference import Model, load_model
from prompt_template import Piece
from server import create_app
from tests.support.scripted_engine import ScriptedEngine, scripted
from tests.support.serving import serving, shared
from tests.support.started_server import KEY, README_MODEL, Started, started
from tests.support.tiny_llama import make_tiny_chatml, make_tiny_llama

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")  # a busy machine draws examples slowly, which is no failure


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a random Llama with a SentencePiece tokenizer like that of Llama 2."""
    return make_tiny_llama(tmp_path_factory.mktemp("models") / "functionary-7b-v1")


@pytest.fixture(scope="session")
def chatml_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a random Llama with a byte-level tokenizer and ChatML's control tokens."""
    return make_tiny_chatml(tmp_path_factory.mktemp("models") / "tiny-chatml")


@pytest.fixture(scope="session")
def llama(llama_folder: Path) -> Model:
    """The model of `llama_folder`. The folder's name selects the template functionary_v1_plain."""
    return shared(load_model(str(llama_folder), served_names=["tiny"], dtype="float32"))


@pytest.fixture(scope="session")
def chatml(chatml_folder: Path) -> Model:
    """The model of `chatml_folder`. The checkpoint's chat template selects functionary_v3_chatml."""
    return shared(load_model(str(chatml_folder), served_names=["tiny"], dtype="float32"))


# With this variable, the tests of the embedded model run on servers that have its weights: vLLM's or llama.cpp's.
ENGINE_URLS = os.environ.get("FUNCTIONARY_ENGINE_URL", "").split()


@pytest.fixture(scope="session")
def embedded() -> Model:
    """The embedded model with its real weights."""
    return load_model(engine_urls=ENGINE_URLS)


@pytest.fixture(scope="session")
def embedded_file() -> Any:
    """The embedded model's GGUF file, read only once because reading takes three seconds."""
    return open_file(str(find_checkpoint(None)))


@pytest.fixture(scope="session")
def plain_embedded() -> Any:
    """The embedded model as a transformers model in float32. A test that changes it works on a copy."""
    return plain_model(torch.float32)


@pytest.fixture(scope="session")
def tiny_url(chatml: Model) -> Iterator[str]:
    """The URL of a server with the tiny ChatML model."""
    with serving(create_app(lambda: chatml)) as url:
        yield url


@pytest.fixture(scope="session")
def user_server() -> Iterator[Started]:
    """`python server.py` with the embedded model, an API key and a second model name.

    The property `url` waits until the server is ready. The model computes in float32 because tests compare answers with
    each other. With bfloat16 the rounding of an answer depends on the other requests in the batch.
    """
    engine = ("--engine-url", *ENGINE_URLS) if ENGINE_URLS else ("--dtype", "float32")
    with started(*engine, "--api-key", KEY, "--served-model-name", README_MODEL) as server:
        yield server


@pytest.fixture
def client(user_server: Started) -> Iterator[OpenAI]:
    """The current official client, connected to `user_server`, without retries."""
    with OpenAI(base_url=f"{user_server.url}/v1", api_key=KEY, max_retries=0, timeout=120) as client:
        yield client


@pytest.fixture(scope="module")
def played(chatml: Model) -> tuple[Model, ScriptedEngine]:
    """A model and its scripted engine. Each test sets the engine's script and pace."""
    return scripted(chatml, "all\nhello", max_context=100_000)


@pytest.fixture(scope="module")
def played_url(played: tuple[Model, ScriptedEngine]) -> Iterator[str]:
    with serving(create_app(lambda: played[0])) as url:
        yield url


@pytest.fixture
def play(played: tuple[Model, ScriptedEngine]) -> Iterator[Callable[..., ScriptedEngine]]:
    """A function that makes the scripted engine generate `output`, which may contain control tokens as text."""
    model, engine = played

    def play(output: str, *, step_s: float = 0.0, fails_at: int | None = None) -> ScriptedEngine:
        engine.script = model.tokenizer.encode([Piece(output, markup=True)]).ids
        engine.step_s, engine.fails_at = step_s, fails_at
        return engine

    yield play
    play("all\nhello")

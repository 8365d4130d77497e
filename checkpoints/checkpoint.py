"""Opens a checkpoint from a folder, the hub or the embedded package, as an engine and a tokenizer.

Weights are read from safetensors only, because a pickle can run code. Code that comes with a checkpoint never runs.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from checkpoints import embedded
from checkpoints.files import advised_sampling, end_token_ids, find_checkpoint, num_parameters, weights_bytes
from core.errors import ModelError
from core.model_facts import ModelFacts
from engines.local.devices import pick_device, pick_dtype
from engines.local.engine import LocalEngine
from text.tokenizer import Tokenizer

_CONTEXT = 4096  # tokens, for a model whose configuration has no limit


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose weights are not loaded yet; `load_engine` loads them.

    special_tokens: the control tokens that chat templates know by a name, such as `bos_token`.
    end_tokens: the control tokens that end an answer, by generation_config.json and the tokenizer.
    temperature, top_p: the values for requests that do not set them, from generation_config.json, else OpenAI's.
    """

    name: str
    tokenizer: Tokenizer
    chat_template: str | None
    template: str | None  # the template's name, known only for the embedded model
    load_engine: Callable[..., LocalEngine]  # takes the options of `load_model`
    temperature: float = 1.0
    top_p: float = 1.0
    special_tokens: Mapping[str, str] = field(default_factory=dict)
    end_tokens: tuple[str, ...] = ()
    facts: ModelFacts = ModelFacts()


def open_checkpoint(
    name: str | None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    revision: str | None = None,
    max_context: int | None = None,
) -> Checkpoint:
    """Find and check the checkpoint `name`; None is the embedded model. Raises ModelError with a one-line message."""
    if not sys.stderr.isatty():  # a program's log has no use for bars
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    where = pick_device(device)
    path = find_checkpoint(name, revision)
    number_format = pick_dtype(dtype, where, weights_bytes(path))
    if name is None:
        return _open_embedded(path, where, number_format, max_context)
    return _open_folder(name, path, where, number_format, max_context)


def _open_embedded(path: Path, device: torch.device, dtype: torch.dtype, max_context: int | None) -> Checkpoint:
    reader = embedded.open_file(str(path))
    backend = embedded.load_tokenizer(reader)

    def load_engine(**options: Any) -> LocalEngine:
        if options.get("quantize") and device.type != "cpu":
            raise ModelError("--quantize: the embedded model is small; fewer bits are for larger ones, or for a CPU.")
        _quantized(options.get("quantize"), device)
        model = embedded.load_model(reader, dtype, device)
        return _engine(embedded.NAME, model, backend, max_context, **options)

    tokenizer = Tokenizer(backend.backend_tokenizer, eos_id=backend.eos_token_id)
    facts = ModelFacts(
        architecture="llama",
        file_format="gguf",
        number_format=_name(dtype),
        num_parameters=sum(int(tensor.n_elements) for tensor in reader.tensors),
        num_bytes=weights_bytes(path),
    )
    return Checkpoint(embedded.NAME, tokenizer, None, embedded.TEMPLATE, load_engine, temperature=0.0, facts=facts)


def _open_folder(
    name: str, folder: Path, device: torch.device, dtype: torch.dtype, max_context: int | None
) -> Checkpoint:
    source: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    config = _read(name, "configuration", lambda: AutoConfig.from_pretrained(folder, **source))
    backend = _read(name, "tokenizer", lambda: AutoTokenizer.from_pretrained(folder, **source))
    if not backend.is_fast:
        raise ModelError(f"--model {name}: its tokenizer has no fast form in transformers, which streaming needs.")
    placement = {"device_map": "auto" if device.type == "cuda" and device.index is None else str(device)}

    def load_engine(**options: Any) -> LocalEngine:
        wanted = {**source, "config": config, "dtype": dtype, "use_safetensors": True, **placement}
        wanted |= _quantized(options.get("quantize"), device)
        model = _read(name, "weights", lambda: AutoModelForCausalLM.from_pretrained(folder, **wanted))
        return _engine(name, model.eval(), backend, max_context, **options)

    tokenizer = Tokenizer(backend.backend_tokenizer, bos_id=backend.bos_token_id, eos_id=backend.eos_token_id)
    end_ids = (*end_token_ids(name, folder), backend.eos_token_id)
    facts = ModelFacts(
        architecture=str(config.model_type),
        file_format="safetensors",
        number_format=_name(dtype),
        num_parameters=num_parameters(folder),
        num_bytes=weights_bytes(folder),
    )
    return Checkpoint(
        name,
        tokenizer,
        _chat_template(backend),
        None,
        load_engine,
        **advised_sampling(name, folder),
        special_tokens={key: str(token) for key, token in backend.special_tokens_map.items() if isinstance(token, str)},
        end_tokens=tuple(text for text in tokenizer.control_tokens if tokenizer.token_id(text) in end_ids),
        facts=facts,
    )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _chat_template(backend: PreTrainedTokenizerBase) -> str | None:
    """Return the chat template; of several by name, the one for tools."""
    templates: Any = backend.chat_template
    if isinstance(templates, dict):
        templates = templates.get("tool_use") or templates.get("default")
    return templates or None


def _engine(
    name: str,
    model: PreTrainedModel,
    backend: PreTrainedTokenizerBase,
    max_context: int | None,
    **options: Any,
) -> LocalEngine:
    # A Mamba model accepts this engine's KV cache as an argument, but ignores it.
    if "past_key_values" not in inspect.signature(type(model).forward).parameters:
        raise ModelError(f"--model {name}: {type(model).__name__} has no cache of keys and values, which is needed.")
    longest = longest_context(model.config)
    return LocalEngine(model, backend, min(longest, max_context or longest), **options)


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


def _read(name: str, part: str, read: Callable[[], Any]) -> Any:
    """Run a loader of transformers and turn any exception into a ModelError of one line."""
    try:
        return read()
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"--model {name}: cannot read its {part}: {type(error).__name__}: {reason}") from None

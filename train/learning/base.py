"""What a run begins with: a checkpoint's weights, and the tokenizer and prompt format that the server will use."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from checkpoints import embedded
from checkpoints.files import find_checkpoint
from core.conversation import Call, Function, Message
from core.errors import ModelError
from prompt_template import PromptTemplate, detect_template, load_template
from text.tokenizer import Tokenizer
from train.learning.presets import Preset

_CONTROL = re.compile(r"<\|\w+\|>")
_EVERY_TURN = (
    Message("system", "."),
    Message("user", "."),
    Message("assistant", ".", (Call("f", "{}", "1"),)),
    Message("tool", ".", name="f", call_id="1"),
)


@dataclass(frozen=True)
class Base:
    """`backend` is transformers' tokenizer, `load` reads the weights in float32 or as they are on a GPU."""

    name: str
    is_embedded: bool
    template: PromptTemplate
    tokenizer: Tokenizer
    backend: Any
    load: Callable[[], Any]

    @property
    def pad_id(self) -> int:
        return int(self.backend.pad_token_id or self.backend.eos_token_id or 0)


def open_base(name: str | None, template: str | None) -> Base:
    """A folder, a name on the hub, or None for the embedded model; weights are not read yet. Raises ModelError."""
    path = find_checkpoint(name)
    if name is None:
        reader = embedded.open_file(str(path))
        backend = embedded.load_tokenizer(reader)
        tokenizer = Tokenizer(backend.backend_tokenizer, eos_id=backend.eos_token_id)
        chosen = load_template(template or embedded.TEMPLATE)
        backend.chat_template = _mark(chosen)

        def load() -> Any:  # the Trainer moves it to its device
            return embedded.load_model(reader, torch.float32, torch.device("cpu"), adapter=None)

        return Base(embedded.NAME, True, chosen, tokenizer, backend, load)
    return _open_folder(name, path, template)


def _open_folder(name: str, folder: Path, template: str | None) -> Base:
    source: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        backend = AutoTokenizer.from_pretrained(folder, **source)
    except Exception as error:
        raise ModelError(f"{name}: cannot read its tokenizer: {type(error).__name__}: {error}") from None
    chosen = load_template(template) if template else None
    if chosen is not None:
        backend.add_special_tokens({"additional_special_tokens": control_tokens(chosen)})
        backend.chat_template = _mark(chosen)
    tokenizer = Tokenizer(backend.backend_tokenizer, bos_id=backend.bos_token_id, eos_id=backend.eos_token_id)

    def load() -> Any:
        dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
        try:
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, use_safetensors=True, **source)
        except Exception as error:
            raise ModelError(f"{name}: cannot read its weights: {type(error).__name__}: {error}") from None
        if len(backend) > model.config.vocab_size:
            model.resize_token_embeddings(len(backend))
        return model

    found = chosen or detect_template(backend.chat_template, tokenizer.token_id, name)
    return Base(name, False, found, tokenizer, backend, load)


def _mark(template: PromptTemplate) -> str:
    """By which the server will know the format."""
    return f"{{# version={template.name} #}}"


def control_tokens(template: PromptTemplate) -> list[str]:
    """Those that the format writes; a plain base model lacks them."""
    pieces = [*template.render(_EVERY_TURN, (Function("f"),)), template.opening]
    written = [mark for piece in pieces if piece.markup for mark in _CONTROL.findall(piece.text)]
    return sorted({*written, *(mark for mark in template.stop if _CONTROL.fullmatch(mark))})


def with_lora(model: Any, preset: Preset, adapter: Path | None) -> Any:
    """The model with trainable low-rank matrices beside all linear layers, fresh or those of an earlier run."""
    if adapter is not None:
        try:
            return PeftModel.from_pretrained(model, str(adapter), is_trainable=True)
        except (OSError, ValueError) as error:
            raise ModelError(f"{adapter}: no adapter to go on from: {error}") from None
    config = LoraConfig(
        r=preset.lora_rank,
        lora_alpha=preset.lora_alpha,
        lora_dropout=preset.lora_dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)

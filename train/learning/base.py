"""Opens the base of a training run: a checkpoint's weights, its tokenizer and its prompt template."""

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
from checkpoints.embedded_tokenizer import NAME, TEMPLATE
from checkpoints.files import find_checkpoint
from core.conversation import Call, Function, Message
from core.errors import ModelError
from prompt_template import PromptTemplate, detect_template, load_template
from text.tokenizer import Tokenizer
from train.learning.presets import Preset

_CONTROL = re.compile(r"<\|\w+\|>")
_SAMPLE_MESSAGES = (
    Message("system", "."),
    Message("user", "."),
    Message("assistant", ".", (Call("f", "{}", "1"),)),
    Message("tool", ".", name="f", call_id="1"),
)


@dataclass(frozen=True)
class Base:
    """A checkpoint whose weights are not loaded yet.

    backend: the tokenizer of transformers. tokenizer: our tokenizer, which wraps `backend`. load: returns the model.
    The embedded model is loaded in float32, other models in float32 on a CPU and in bfloat16 if there is a GPU.
    """

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
    """Open a base: a folder, a name on the hub or, for None, the embedded model. Raises ModelError.

    Weights are not read. The tokenizer needs the control tokens of the template, as in the server.
    """
    path = find_checkpoint(name)
    if name is None:
        backend = embedded.tokenizer_of_transformers(path)
        tokenizer = Tokenizer(backend.backend_tokenizer, eos_id=backend.eos_token_id)
        chosen = load_template(template or TEMPLATE).bound(tokenizer.token_id)
        backend.chat_template = _template_marker(chosen)

        def load() -> Any:  # the Trainer moves the model to the device
            return embedded.load_model(embedded.open_file(str(path)), torch.float32, torch.device("cpu"), adapter=None)

        return Base(NAME, True, chosen, tokenizer, backend, load)
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
        backend.chat_template = _template_marker(chosen)
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
    return Base(name, False, found.bound(tokenizer.token_id), tokenizer, backend, load)


def _template_marker(template: PromptTemplate) -> str:
    """Return a chat template that only names the prompt template. The server detects the template by this name."""
    return f"{{# version={template.name} #}}"


def control_tokens(template: PromptTemplate) -> list[str]:
    """List the control tokens that the template writes or stops at. A base model's tokenizer may lack some of them."""
    pieces = [*template.render(_SAMPLE_MESSAGES, (Function("f"),)), template.opening]
    written = [mark for piece in pieces if piece.markup for mark in _CONTROL.findall(piece.text)]
    return sorted({*written, *(mark for mark in template.stop if _CONTROL.fullmatch(mark))})


def with_lora(model: Any, preset: Preset, adapter: Path | None) -> Any:
    """Add trainable LoRA matrices to all linear layers: new matrices, or those of `adapter`. Raises ModelError."""
    if adapter is not None:
        try:
            return PeftModel.from_pretrained(model, str(adapter), is_trainable=True)
        except (OSError, ValueError) as error:
            raise ModelError(f"{adapter}: no adapter to start from: {error}") from None
    config = LoraConfig(
        r=preset.lora_rank,
        lora_alpha=preset.lora_alpha,
        lora_dropout=preset.lora_dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)

"""Opens a checkpoint from a folder, the hub or the embedded package: all but its weights.

torch and transformers are not imported, except for a tokenizer that needs them (checkpoints/tokenizer_files.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from checkpoints import embedded_tokenizer as embedded
from checkpoints.files import advised_sampling, end_token_ids, find_checkpoint, read_json
from checkpoints.tokenizer_files import read_tokenizer
from text.tokenizer import Tokenizer

_MAX_VOCABULARY = 2**24  # a larger number is an error of the file, and masks of that size would fill the memory


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose weights are not loaded; checkpoints/weights.py loads them.

    path: the folder, or the embedded model's GGUF file.
    vocab_size: the width of the logits by the configuration.
    architecture: the model's type as its configuration states it, such as "llama".
    special_tokens: the control tokens that chat templates know by a name, such as `bos_token`.
    end_tokens: the control tokens that end an answer, by generation_config.json and the tokenizer.
    temperature, top_p: the values for requests that do not set them, from generation_config.json, else OpenAI's.
    """

    name: str
    path: Path
    tokenizer: Tokenizer
    architecture: str
    vocab_size: int
    chat_template: str | None = None
    template: str | None = None  # the template's name, known only for the embedded model
    temperature: float = 1.0
    top_p: float = 1.0
    special_tokens: Mapping[str, str] = field(default_factory=dict)
    end_tokens: tuple[str, ...] = ()

    @property
    def is_embedded(self) -> bool:
        return self.template is not None


def open_checkpoint(name: str | None, *, revision: str | None = None, has_weights: bool = True) -> Checkpoint:
    """Find and check the checkpoint `name`; None is the embedded model. Raises ModelError with a one-line message.

    has_weights: False if the weights are not needed here; they are neither checked nor downloaded then.
    """
    path = find_checkpoint(name, revision, has_weights=has_weights)
    return _open_embedded(path) if name is None else _open_folder(name, path)


def _open_embedded(path: Path) -> Checkpoint:
    backend = embedded.load_tokenizer(path)
    tokenizer = Tokenizer(backend, eos_id=backend.token_to_id(embedded.END))
    size = backend.get_vocab_size()
    return Checkpoint(embedded.NAME, path, tokenizer, "llama", size, template=embedded.TEMPLATE, temperature=0.0)


def _open_folder(name: str, folder: Path) -> Checkpoint:
    config = read_json(name, folder / "config.json")
    saved = read_tokenizer(name, folder)
    tokenizer = Tokenizer(saved.backend, bos_id=saved.bos_id, eos_id=saved.eos_id)
    end_ids = (*end_token_ids(name, folder), saved.eos_id)
    return Checkpoint(
        name,
        folder,
        tokenizer,
        str(config["model_type"]),
        _vocab_size(config) or saved.backend.get_vocab_size(),
        chat_template=saved.chat_template,
        **cast(dict[str, Any], advised_sampling(name, folder)),
        special_tokens=saved.special_tokens,
        end_tokens=tuple(text for text in tokenizer.control_tokens if tokenizer.token_id(text) in end_ids),
    )


def _vocab_size(config: Mapping[str, Any]) -> int | None:
    size = config.get("vocab_size")
    if size is None and isinstance(config.get("text_config"), dict):  # of a model that reads images too
        size = config["text_config"].get("vocab_size")
    return size if type(size) is int and 0 < size <= _MAX_VOCABULARY else None

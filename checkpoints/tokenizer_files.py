"""Reads the files of a checkpoint's tokenizer as AutoTokenizer of transformers does, but without transformers.

A checkpoint without tokenizer.json, or whose tokenizer has code of its own, still needs transformers, which converts
the former's tokenizer.model and runs no code for the latter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, pre_tokenizers

from checkpoints.files import read_json, read_part
from core.errors import ModelError

Json = dict[str, Any]

_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_LLAMA = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}  # for LlamaTokenizer, where not stated
_SPACE = "\u2581"  # SentencePiece's


@dataclass(frozen=True)
class SavedTokenizer:
    """The tokenizer of a checkpoint.

    special_tokens: the control tokens that chat templates know by a name, such as `bos_token`.
    chat_template: of several by name, the one for tools.
    """

    backend: Tokenizer
    special_tokens: Mapping[str, str]
    chat_template: str | None

    @property
    def bos_id(self) -> int | None:
        return self._id("bos_token")

    @property
    def eos_id(self) -> int | None:
        return self._id("eos_token")

    def _id(self, name: str) -> int | None:
        text = self.special_tokens.get(name)
        return None if text is None else self.backend.token_to_id(text)


def read_tokenizer(name: str, folder: Path) -> SavedTokenizer:
    """Read the tokenizer of the checkpoint `name`, which is in `folder`. Raises ModelError with one line."""
    file = folder / "tokenizer.json"
    config = _optional(name, folder / "tokenizer_config.json")
    if not file.is_file() or "auto_map" in config:
        return _converted(name, folder)
    return read_part(name, "tokenizer", lambda: _read(name, folder, config))


def _read(name: str, folder: Path, config: Json) -> SavedTokenizer:
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    is_llama = _is_llama(name, folder, config, backend)
    if is_llama:
        _split_as_llama(backend, config)
    named = _named_tokens(name, folder, config, {**_LLAMA} if is_llama else {})
    _add_tokens(backend, config, named)
    special_tokens = {key: _spelling(token) for key, token in named.items()}
    return SavedTokenizer(backend, special_tokens, _chat_template(folder, config))


def _optional(name: str, file: Path) -> Json:
    return read_json(name, file) if file.is_file() else {}


def _is_llama(name: str, folder: Path, config: Json, backend: Tokenizer) -> bool:
    """Return whether transformers makes a LlamaTokenizer of the file: a SentencePiece tokenizer of a Llama."""
    is_byte_level = "ByteLevel" in repr(backend.decoder)
    is_named_so = str(config.get("tokenizer_class")).removesuffix("Fast") == "LlamaTokenizer"
    return not is_byte_level and is_named_so and read_json(name, folder / "config.json")["model_type"] == "llama"


def _split_as_llama(backend: Tokenizer, config: Json) -> None:
    """Set where a space is added to a text, by the configuration; older files state it in another way."""
    scheme: Any = "always" if config.get("legacy") else "first"
    if config.get("add_prefix_space") is False:
        scheme = "never"
    without: Any = None
    backend.normalizer = without
    backend.pre_tokenizer = pre_tokenizers.Metaspace(_SPACE, prepend_scheme=scheme, split=False)


def _named_tokens(name: str, folder: Path, config: Json, defaults: Mapping[str, Any]) -> Json:
    """Return the control tokens with a name, each as a text or as the fields of an AddedToken."""
    values = {**defaults, **config}
    if "added_tokens_decoder" not in config:  # older checkpoints
        values |= _optional(name, folder / "special_tokens_map.json")
    own = [key for key, value in config.items() if key.endswith("_token") and isinstance(value, str)]
    named = {key: values[key] for key in dict.fromkeys((*_NAMES, *own)) if values.get(key)}
    extra = config.get("extra_special_tokens")
    return {**named, **extra} if isinstance(extra, dict) else named


def _add_tokens(backend: Tokenizer, config: Json, named: Mapping[str, Any]) -> None:
    """Add the tokens that only the configuration lists, and give a token the properties that it states."""
    known = {repr(token) for token in backend.get_added_tokens_decoder().values()}
    listed = config.get("added_tokens_decoder") or {}
    stated = [_added(listed[number]) for number in sorted(listed, key=int)]
    backend.add_tokens([token for token in stated if repr(token) not in known])
    texts = {token.content for token in backend.get_added_tokens_decoder().values()}
    others = [*named.values(), *_extra_tokens(config)]
    backend.add_tokens([_added(token) for token in others if _spelling(token) not in texts])


def _extra_tokens(config: Json) -> Iterator[Any]:
    extra = config.get("extra_special_tokens") or config.get("additional_special_tokens")
    yield from extra if isinstance(extra, list) else ()


def _added(token: Any) -> AddedToken:
    fields: Json = {"content": token, "special": True} if isinstance(token, str) else token
    return AddedToken(**{key: value for key, value in fields.items() if key != "__type"})


def _spelling(token: Any) -> str:
    return str(token if isinstance(token, str) else token["content"])


def _chat_template(folder: Path, config: Json) -> str | None:
    """Return the chat template; of several by name, the one for tools. Templates in files of their own come first."""
    found = (folder / "additional_chat_templates").glob("*.jinja")
    files = {file.stem: file for file in found if file.is_file()}
    if (folder / "chat_template.jinja").is_file():
        files["default"] = folder / "chat_template.jinja"
    templates: Any = {key: file.read_text(encoding="utf-8") for key, file in files.items()}
    templates = templates or config.get("chat_template")
    if isinstance(templates, list):
        templates = {template["name"]: template["template"] for template in templates}
    if isinstance(templates, dict):
        templates = templates.get("tool_use") or templates.get("default")
    if templates and not isinstance(templates, str):
        raise TypeError(f"the chat template is of type {type(templates).__name__}, not a text")
    return templates or None


def _converted(name: str, folder: Path) -> SavedTokenizer:
    from transformers import AutoTokenizer

    source: Any = {"local_files_only": True, "trust_remote_code": False}
    tokenizer = read_part(name, "tokenizer", lambda: AutoTokenizer.from_pretrained(folder, **source))
    if not tokenizer.is_fast:
        raise ModelError(f"--model {name}: its tokenizer has no fast form in transformers, which streaming needs.")
    config = {"chat_template": tokenizer.chat_template}
    return SavedTokenizer(
        tokenizer.backend_tokenizer, dict(tokenizer.special_tokens_map), _chat_template(folder, config)
    )

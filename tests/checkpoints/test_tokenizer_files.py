"""The files of a tokenizer give what AutoTokenizer of transformers makes of them, without transformers."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFReader
from transformers import AutoTokenizer

from checkpoints.embedded_tokenizer import load_tokenizer
from checkpoints.files import find_checkpoint
from checkpoints.gguf_metadata import read_metadata
from checkpoints.tokenizer_files import SavedTokenizer, read_tokenizer
from core.errors import ModelError
from tests.support.family_models import FAMILIES, Family, make_family_model
from text.tokenizer import Tokenizer

TEXTS = ("", "Hi", " hi  there\n", "x\ty 2026 São Paulo 🙂 今天", "{'a': [1, 2]}", "<think> [INST] <|im_end|>")

Json = dict[str, Any]
Change = Callable[[Path], None]


def check_equal(folder: Path) -> SavedTokenizer:
    """Compare all that templates, constraints and the tokenizer use. Return what was read."""
    ours, theirs = read_tokenizer("x", folder), AutoTokenizer.from_pretrained(folder)
    their_ids = (theirs.bos_token_id, theirs.eos_token_id)
    assert (ours.bos_id, ours.eos_id) == their_ids
    assert dict(ours.special_tokens) == theirs.special_tokens_map
    assert described(ours.backend) == described(theirs.backend_tokenizer)
    template = theirs.chat_template
    if isinstance(template, dict):
        template = template.get("tool_use") or template.get("default")
    assert ours.chat_template == template
    control = "".join(f"{text} x" for text in ours.special_tokens.values())
    one = Tokenizer(ours.backend, bos_id=ours.bos_id, eos_id=ours.eos_id)
    other = Tokenizer(theirs.backend_tokenizer, bos_id=theirs.bos_token_id, eos_id=theirs.eos_token_id)
    for text in (*TEXTS, control):
        assert ours.backend.encode(text).ids == theirs.backend_tokenizer.encode(text).ids
        assert one.encode_raw(text) == other.encode_raw(text)
    return ours


def described(backend: Any) -> Json:
    """Return the tokenizer as JSON, without a post-processor that does nothing."""
    whole: Json = json.loads(backend.to_str())
    if not (whole["post_processor"] or {}).get("special_tokens"):
        whole["post_processor"] = None
    return whole


@pytest.fixture(scope="module", params=FAMILIES)
def family_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of each family, with a tokenizer.json; transformers converts SentencePiece's files to one."""
    family: Family = FAMILIES[request.param]
    folder = make_family_model(tmp_path_factory.mktemp("families") / request.param, family)
    if not (folder / "tokenizer.json").is_file():
        AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
        (folder / "tokenizer.model").unlink(missing_ok=True)
    return folder


def test_every_family_is_read_as_by_transformers(family_folder: Path) -> None:
    check_equal(family_folder)


def change_config(**fields: object) -> Change:
    """Return a change of tokenizer_config.json; None takes a field out."""

    def change(folder: Path) -> None:
        file = folder / "tokenizer_config.json"
        config = json.loads(file.read_text()) | fields
        file.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))

    return change


def write(name: str, content: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")

    return change


def both(*changes: Change) -> Change:
    return lambda folder: [change(folder) for change in changes].clear()


NEW = {"content": "<new>", "special": True, "normalized": False, "lstrip": False, "rstrip": False, "single_word": False}
CHANGES: dict[str, Change] = {
    "a token that only the configuration lists": change_config(added_tokens_decoder={"259": NEW}),
    "a token with other properties": change_config(added_tokens_decoder={"258": {**NEW, "content": "<|im_end|>"}}),
    "names as objects": change_config(eos_token={"__type": "AddedToken", **NEW, "content": "<|im_end|>"}),
    "a name that no token has yet": change_config(sep_token="<sep>"),
    "a name of its own": change_config(image_token="<image>"),
    "further tokens": change_config(additional_special_tokens=["<|im_start|>", "<more>"]),
    "further tokens by name": change_config(extra_special_tokens={"boi_token": "<boi>"}),
    "names in a file of their own": both(
        change_config(eos_token=None, pad_token=None),
        write("special_tokens_map.json", '{"eos_token": "<|im_end|>", "bos_token": {"content": "<|im_start|>"}}'),
    ),
    "a template in the configuration": both(
        lambda folder: (folder / "chat_template.jinja").unlink(), change_config(chat_template="{{ messages }}")
    ),
    "templates by name": both(
        lambda folder: (folder / "chat_template.jinja").unlink(),
        change_config(chat_template=[{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]),
    ),
    "templates in files": write("additional_chat_templates/tool_use.jinja", "tools: {{ tools }}"),
    "no template": lambda folder: (folder / "chat_template.jinja").unlink(),
    "no configuration": lambda folder: (folder / "tokenizer_config.json").unlink(),
    "BOS added by the configuration only": change_config(add_bos_token=True, bos_token="<|im_start|>"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_way_to_state_tokens_and_templates(chatml_folder: Path, tmp_path: Path, change: Change) -> None:
    folder = Path(shutil.copytree(chatml_folder, tmp_path / "checkpoint"))
    change(folder)
    check_equal(folder)


OLDER: Json = {
    "normalizer": {
        "type": "Sequence",
        "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ],
    },
    "pre_tokenizer": None,
}


@pytest.mark.parametrize("legacy", [True, False, None])
@pytest.mark.parametrize("tokenizer_class", ["LlamaTokenizer", "LlamaTokenizerFast", None])
@pytest.mark.parametrize("is_older", [False, True])
def test_the_spaces_of_sentencepiece(
    llama_folder: Path, tmp_path: Path, legacy: bool | None, tokenizer_class: str | None, is_older: bool
) -> None:
    """Where the tokenizer of a Llama adds a space is stated by the configuration, not by older tokenizer.json files."""
    folder = Path(shutil.copytree(llama_folder, tmp_path / "checkpoint"))
    AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    if is_older:
        file = folder / "tokenizer.json"
        file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | OLDER), encoding="utf-8")
    change_config(legacy=legacy, tokenizer_class=tokenizer_class)(folder)
    check_equal(folder)


def test_sentencepiece_without_tokenizer_json_is_converted(llama_folder: Path) -> None:
    saved = check_equal(llama_folder)
    assert saved.special_tokens["eos_token"] == "</s>"


def test_a_damaged_tokenizer_is_one_line(chatml_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(chatml_folder, tmp_path / "checkpoint"))
    (folder / "tokenizer.json").write_text('{"model": \n')
    with pytest.raises(ModelError, match=r"--model x: cannot read its tokenizer: [^\n]*$"):
        read_tokenizer("x", folder)


@pytest.mark.parametrize("template", [5, [1], {"default": 7}, {"tool_use": ["x"]}, [{"name": [], "template": "x"}]])
def test_a_chat_template_that_is_no_text_is_one_line(chatml_folder: Path, tmp_path: Path, template: object) -> None:
    """A number in the place of the template was handed on, and the start ended with a traceback."""
    folder = shutil.copytree(chatml_folder, tmp_path / "copy")
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    change_config(chat_template=template)(folder)
    with pytest.raises(ModelError, match=r"^--model x: cannot read its tokenizer: [^\n]*$"):
        read_tokenizer("x", folder)


def test_only_files_are_read_as_templates(chatml_folder: Path, tmp_path: Path) -> None:
    """The start hung at a named pipe in the folder of further templates."""
    folder = shutil.copytree(chatml_folder, tmp_path / "copy")
    (folder / "additional_chat_templates").mkdir(exist_ok=True)
    os.mkfifo(folder / "additional_chat_templates" / "pipe.jinja")
    assert read_tokenizer("x", folder).chat_template == read_tokenizer("x", chatml_folder).chat_template


def test_the_metadata_of_the_embedded_file_is_that_of_llama_cpp(embedded_file: GGUFReader) -> None:
    own = {"GGUF.version", "GGUF.tensor_count", "GGUF.kv_count"}  # the reader's names for the head of the file
    theirs = {name: field.contents() for name, field in embedded_file.fields.items() if name not in own}
    assert read_metadata(find_checkpoint(None)) == theirs


@pytest.mark.parametrize("content", [b"", b"GGUF", b"<html>", b"GGUF\3\0\0\0" + 16 * b"\xff"])
def test_another_file_than_gguf_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.gguf").write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.gguf cannot be read as a GGUF file: [^\n]*$"):
        load_tokenizer(tmp_path / "model.gguf")

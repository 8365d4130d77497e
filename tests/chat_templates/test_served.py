"""A checkpoint that only its own chat template describes, loaded and asked as a user would."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.errors import ModelError
from inference import generate, load_model
from tests.support.family_templates import CHATML, LLAMA
from web.command_line import introduction, read_options

FUNCTION = {
    "name": "set_light",
    "parameters": {
        "type": "object",
        "properties": {"room": {"enum": ["hall", "attic"]}},
        "required": ["room"],
        "additionalProperties": False,
    },
}


def checkpoint(source: Path, folder: Path, chat_template: str) -> str:
    shutil.copytree(source, folder)
    (folder / "chat_template.jinja").write_text(chat_template, encoding="utf-8")
    return str(folder)


def test_a_checkpoint_is_served_by_its_own_chat_template(chatml_folder: Path, tmp_path: Path) -> None:
    own = CHATML.chat_template.replace("enable_thinking", "thinking")  # a sign of Qwen3 is missing
    model = load_model(checkpoint(chatml_folder, tmp_path / "mine", own), dtype="float32")
    try:
        lines = introduction(model, read_options([]), 8000)
        tools = [{"type": "function", "function": FUNCTION | {"strict": True}}]
        choice = {"type": "function", "function": {"name": "set_light"}}
        ask = [{"role": "user", "content": "Light!"}]
        off: dict[str, Any] = {"chat_template_kwargs": {"enable_thinking": False}}
        answer = generate(model, ask, tools=tools, tool_choice=choice, max_tokens=200, **off)
        plain = generate(model, ask, max_tokens=5, seed=1)
    finally:
        asyncio.run(model.close())
    assert model.template.name == "generic"
    assert "the model's own chat template, its format has no template here; calls are read as those of" in lines
    call = answer["tool_calls"][0]["function"]
    assert call["name"] == "set_light" and json.loads(call["arguments"])["room"] in ("hall", "attic")
    assert plain["role"] == "assistant"


def test_a_hostile_chat_template_ends_the_start(chatml_folder: Path, tmp_path: Path) -> None:
    name = checkpoint(chatml_folder, tmp_path / "hostile", "{{ ''.__class__.__mro__ }}")
    with pytest.raises(ModelError, match="cannot be rendered: SecurityError"):
        load_model(name)


def test_missing_control_tokens_end_the_start(chatml_folder: Path, tmp_path: Path) -> None:
    name = checkpoint(chatml_folder, tmp_path / "other", LLAMA.chat_template)
    with pytest.raises(ModelError, match=r"^The tokenizer has no control token <\|"):
        load_model(name, template="llama31")


def test_the_generic_template_needs_a_chat_template(llama_folder: Path) -> None:
    with pytest.raises(ModelError, match="has no chat template, which --template generic renders"):
        load_model(str(llama_folder), template="generic")

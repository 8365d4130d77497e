"""Tiny models whose prompt formats mark reasoning, behind a server, with an engine that plays a script."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from inference import Model
from prompt_template import ANY_REASONING, Piece
from server import create_app
from tests.support.abuse_client import CHAT, USER
from tests.support.scripted_engine import ScriptedEngine, scripted
from tests.support.serving import serving
from tests.support.streamed import choices, events, without_ids
from tests.support.tiny_llama import make_tiny_format
from web.settings import Settings

CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>", "<think>", "</think>")
HARMONY = (
    *("<|endoftext|>", "<|return|>", "<|call|>", "<|start|>", "<|end|>"),
    *("<|message|>", "<|channel|>", "<|constrain|>"),
)
# Format -> control tokens, and how many tokens are counted as reasoning beside its text: line breaks, and the end mark.
FORMATS = {"qwen3": (CHATML, 3), "qwen3_thinking": (CHATML, 2), "gpt_oss": (HARMONY, 1)}
VERSIONS = {"qwen3": "qwen3", "qwen3_thinking": "qwen3-thinking-2507", "gpt_oss": "gpt-oss"}


def make_reasoning_folder(folder: Path, name: str) -> Path:
    """Make a tiny checkpoint whose chat template selects the format `name`."""
    control, _ = FORMATS[name]
    eos = "<|return|>" if name == "gpt_oss" else "<|im_end|>"
    return make_tiny_format(folder, VERSIONS[name], control, eos=eos, max_context=4096)


@dataclass(frozen=True)
class Stage:
    """A server whose model generates the output that a test gives it."""

    url: str
    model: Model
    engine: ScriptedEngine

    @property
    def num_mark_tokens(self) -> int:
        return FORMATS[self.model.template.name][1]

    def prompt(self) -> str:
        """Return the prompt of the last request."""
        return self.model.tokenizer.decode(self.engine.last_prompt)

    def thought(self, text: str) -> str:
        """Return reasoning as the model writes it, up to what follows its end mark."""
        template = self.model.template
        assert template.reasoning
        head = template.reasoning.head.removeprefix(template.reasoning_prefill(ANY_REASONING))
        return f"{head}{text}{template.reasoning.tail}"

    def text(self, text: str) -> str:
        return f"{self.model.template.text_head}{text}"

    def call(self, name: str, arguments: str) -> str:
        template = self.model.template
        tail = "" if template.call_tail in template.stop else template.call_tail
        return f"{template.calls_open}{template.call_head(name)}{arguments}{tail}"

    def num_tokens(self, output: str) -> int:
        return len(self.model.tokenizer.encode([Piece(output, markup=True)]).ids)

    def play(self, output: str) -> None:
        """Make the engine generate `output`, in which control tokens are spelled out."""
        self.engine.script = self.model.tokenizer.encode([Piece(output, markup=True)]).ids

    def ask(self, **fields: Any) -> httpx2.Response:
        return httpx2.post(f"{self.url}{CHAT}", json={"model": "tiny", "messages": [USER], **fields}, timeout=60)

    def whole(self, **fields: Any) -> dict[str, Any]:
        """Return the only choice of the answer, after checking that the streamed answer adds up to the same."""
        answer = self.ask(**fields)
        assert answer.status_code == 200, answer.text
        [choice] = answer.json()["choices"]
        stream = self.ask(**fields, stream=True)
        assert without_ids(choices(stream.content)[0]) == without_ids(choice)
        return choice  # type: ignore[no-any-return]

    def deltas(self, **fields: Any) -> list[dict[str, Any]]:
        """Return the deltas of the streamed answer."""
        *chunks, _ = events(self.ask(**fields, stream=True).content)
        return [choice["delta"] for chunk in chunks for choice in json.loads(chunk)["choices"]]


@contextmanager
def staged(model: Model, **options: Any) -> Iterator[Stage]:
    """Serve `model` with a scripted engine. `options` are those of `Settings`."""
    played, engine = scripted(model, "")
    with serving(create_app(lambda: played, Settings(**options))) as url:
        yield Stage(url, played, engine)

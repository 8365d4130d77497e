"""Measures what each API costs beside the model: CPU time for a request and for a token, without sockets.

`python -m bench.apis` prints a table; `--out bench/results/apis.md` writes it. The engine writes fixed tokens at once,
so all time is that of the server: checks, prompt, parser, events. The APIs take turns in every round, and the figures
are medians; "over chat" is the median of the differences to chat completions in the same round.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from prometheus_client import CollectorRegistry

from checkpoints.model import Model, open_format
from core.generation import Sampling, Step
from server import create_app

Json = dict[str, Any]

NUM_TOKENS = 2_000
_TEXT = "The weather in Istanbul is mild, and it will rain a little in the evening. Take a coat with you. "
_SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
_QUESTION = [{"role": "user", "content": "What is the weather for Istanbul?"}]
# Path, its field for the token limit, and its tool.
_APIS: dict[str, tuple[str, Json]] = {
    "chat completions": (
        "/v1/chat/completions",
        {
            "messages": _QUESTION,
            "tools": [{"type": "function", "function": {"name": "write", "parameters": _SCHEMA}}],
        },
    ),
    "Responses": (
        "/v1/responses",
        {"input": _QUESTION, "tools": [{"type": "function", "name": "write", "parameters": _SCHEMA, "strict": False}]},
    ),
    "Messages": (
        "/v1/messages",
        {"messages": _QUESTION, "max_tokens": NUM_TOKENS, "tools": [{"name": "write", "input_schema": _SCHEMA}]},
    ),
}


class FixedEngine:
    """Writes the same tokens for every request."""

    def __init__(self, token_ids: Sequence[int], stop_id: int) -> None:
        self.token_ids = token_ids
        self.max_context = 8_192
        self.vocab_size = 1 << 20
        self.registry = CollectorRegistry()
        self._stop_id = stop_id

    def health(self) -> str:
        return ""

    def description(self) -> str:
        return "fixed tokens"

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> AsyncGenerator[Step]:
        for token_id in self.token_ids:
            yield Step((token_id,), None)
        yield Step((self._stop_id,), "stop")

    async def close(self) -> None:
        """Nothing to close."""


class Caller:
    """Calls an ASGI application with JSON bodies."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def post(self, path: str, body: Json) -> int:
        """Return the number of body messages. Raises RuntimeError unless the answer is a 200."""
        sent: list[Json] = []
        content = json.dumps(body).encode()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"localhost"), (b"content-length", str(len(content)).encode())],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        is_read = False

        async def receive() -> Json:
            nonlocal is_read
            if is_read:
                await asyncio.Event().wait()  # the client stays
            is_read = True
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        if sent[0]["status"] != 200:
            raise RuntimeError(f"{path}: {sent[0]['status']} {sent[1]['body'][:300]!r}")
        return len(sent) - 1


async def measure(rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return the CPU seconds of each round by API and kind of answer: whole, short, text and call."""
    template, tokenizer = open_format(None)
    stop_id = tokenizer.token_id(template.stop[0]) or 0
    arguments = json.dumps({"text": _TEXT * (NUM_TOKENS // 20)})
    texts = {
        "short": template.text_head + "Hi",
        "text": template.text_head + _TEXT * (NUM_TOKENS // 20),
        "call": template.call_head("write") + arguments,
    }
    scripts = {kind: list(tokenizer.encode_raw(text))[:NUM_TOKENS] for kind, text in texts.items()}
    scripts["whole"] = scripts["short"]
    engine = FixedEngine(scripts["short"], stop_id)
    model = Model(
        names=("functionary",),
        takes_any_name=False,
        template=template,
        template_reason="fixed",
        tokenizer=tokenizer,
        engine=engine,
        temperature=0.0,
        top_p=1.0,
        arguments="free",
    )
    app = create_app(lambda: model)
    app.state.model = model
    caller = Caller(app)
    times: dict[str, dict[str, list[float]]] = {api: {kind: [] for kind in scripts} for api in _APIS}
    for number in range(rounds + 1):
        for kind, token_ids in scripts.items():
            for api, (path, body) in _APIS.items():
                engine.token_ids = token_ids
                asked = {"model": "functionary", **body, "stream": kind != "whole"}
                started = time.process_time()
                await caller.post(path, asked)
                if number:  # the first round fills caches
                    times[api][kind].append(time.process_time() - started)
    return times


def table(times: dict[str, dict[str, list[float]]]) -> str:
    chat = times["chat completions"]
    lines = [
        "| API | whole request, ms | over chat | streamed request, ms | over chat | token of text, us | over chat | "
        "token of a call, us | over chat |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for api, kinds in times.items():
        cells = [api]
        for kind, factor in (("whole", 1e3), ("short", 1e3), ("text", 1e6 / NUM_TOKENS), ("call", 1e6 / NUM_TOKENS)):
            differences = [own - other for own, other in zip(kinds[kind], chat[kind], strict=True)]
            cells += [f"{factor * median(kinds[kind]):.2f}", f"{factor * median(differences):+.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    text = table(asyncio.run(measure(options.rounds)))
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Read the events of a stream, and the answers that they add up to."""

from __future__ import annotations

import json
from typing import Any

from apis.chat_completions import fold


def events(body: bytes) -> list[str]:
    """Return the data of the events. Between events, only comments are allowed."""
    blocks = body.decode().split("\n\n")
    assert blocks[-1] == ""
    assert all(block.startswith("data: ") or block == ": ping" for block in blocks[:-1])
    return [block.removeprefix("data: ") for block in blocks[:-1] if block != ": ping"]


def choices(body: bytes) -> dict[int, Any]:
    """Return the choices that the chunks of a complete stream add up to, by index."""
    *chunks, done = events(body)
    assert done == "[DONE]"
    parts = [choice for chunk in chunks for choice in json.loads(chunk)["choices"]]
    return {
        index: fold(part for part in parts if part["index"] == index) for index in {part["index"] for part in parts}
    }


def without_ids(choice: dict[str, Any]) -> dict[str, Any]:
    for call in choice["message"].get("tool_calls", ()):
        assert call.pop("id").startswith("call_")
    return choice

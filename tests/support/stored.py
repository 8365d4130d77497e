"""Responses to put into a store."""

from __future__ import annotations

from typing import Any

from apis.response_events import response_usage
from apis.responses import response_request
from core.turn_format import Finish
from stores.store import ResponseStore, StoredResponse

Json = dict[str, Any]

OWNER = "a" * 64


def message(number: int, text: str) -> Json:
    content = [{"type": "input_text", "text": text}]
    return {"type": "message", "id": f"msg_{number}", "status": "completed", "role": "user", "content": content}


def stored(name: str, text: str = "hello", num_items: int = 1) -> StoredResponse:
    """Return the response resp_NAME, an answer with `text` to `num_items` messages with the same text."""
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    output = {"type": "message", "id": f"msg_{name}", "status": "completed", "role": "assistant", "content": content}
    items = tuple(message(number, text) for number in range(num_items))
    asked = response_request({"model": "m", "input": "x", "temperature": 1.0, "top_p": 1.0}, find=lambda _: None)
    usage = response_usage(Finish("stop", 1, 1))
    told = {"status": "completed", "created_at": 1, "completed_at": 1, "output": [output], "usage": usage}
    response = {**asked.head, **told, "id": f"resp_{name}"}
    return StoredResponse(response, items, (*items, output))


def names(store: ResponseStore, count: int = 30) -> list[int]:
    """Return the numbers of the responses that can be read."""
    return [number for number in range(count) if store.get(OWNER, f"resp_{number}")]

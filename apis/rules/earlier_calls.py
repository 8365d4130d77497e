"""Earlier calls in a conversation: their arguments as text, and the results that answer them."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from typing import Any

from core.conversation import Call


def arguments_text(arguments: Any) -> str:
    """Return the arguments of an earlier call as text. Text stays as it is, and null becomes an empty text.

    Other values, which some servers write, become JSON.
    """
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def error_text(error: Any) -> str:
    """Return the error of an earlier call that a server ran as text: the texts of its content, or it as JSON."""
    content = error.get("content") if isinstance(error, dict) else error
    if isinstance(content, list) and all(
        isinstance(part, dict) and isinstance(part.get("text"), str) for part in content
    ):
        return "".join(part["text"] for part in content)
    return content if isinstance(content, str) else json.dumps(error, ensure_ascii=False)


class PendingCalls:
    """The calls of one message, which results must answer. Ids can repeat; then results answer in the order of calls.

    A second result of one call is accepted.
    """

    def __init__(self, calls: Iterable[Call] = ()) -> None:
        self._waiting: dict[str, deque[str]] = {}  # call id -> names of its calls without a result yet
        self._answered: dict[str, str] = {}  # call id -> name of its last call with a result
        for call in calls:
            self._waiting.setdefault(call.id, deque()).append(call.name)

    def answer(self, call_id: str) -> str | None:
        """Return the name of the call that a result with this id answers; None if there is no such call."""
        if self._waiting.get(call_id):
            self._answered[call_id] = self._waiting[call_id].popleft()
        return self._answered.get(call_id)

    def unanswered(self) -> list[str]:
        """Return the ids of the calls without a result."""
        return [call_id for call_id, names in self._waiting.items() if names]

"""The chunks of a chat completion whose server runs calls: the trace has these calls and their results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from apis.chat_completions import Choice
from core.conversation import ChatRequest, ToolChoice
from core.turn_format import Event, Finish, ReasoningDelta, TextDelta, TokenReport

Json = dict[str, Any]

BETWEEN_ROUNDS = "\n\n"  # between the texts of two answers of the model


class TracedChoice:
    """Turns the events of an answer into chunks like Choice. Calls that the server runs become parts of the trace.

    The trace is a list of messages: for each round an assistant's message with its calls, then their results in the
    order in which the calls end. Text is never in the trace: the texts of all rounds are the content of the message.
    """

    def __init__(self, request: ChatRequest, *, reasoning_fields: Sequence[str]) -> None:
        if request.choice.mode == "named" and set(request.choice.names or ()) <= set(request.server_tools):
            request = replace(request, choice=ToolChoice("auto"))  # then a call at the end is not the named one
        self._choice = Choice(request, reasoning_fields=reasoning_fields)
        self._roles: list[str] = []  # of the messages of the trace
        self._num_calls = 0  # in the last message of the assistant
        self._places: dict[str, tuple[int, int]] = {}  # call id -> its message in the trace, its number in there
        self._written: set[type] = set()  # kinds of text that came
        self._interrupted: set[type] = set()  # kinds of text that came before the last results and not since

    def items(self, event: Event | TokenReport | Finish) -> Iterator[Json]:
        """Yield the chunks of an event that is none of a call that the server runs."""
        if isinstance(event, TextDelta | ReasoningDelta):
            kind = type(event)
            if kind in self._interrupted:
                self._interrupted.discard(kind)
                event = kind(BETWEEN_ROUNDS + event.text)
            self._written.add(kind)
        yield from self._choice.chunks(event)

    def call(self, call_id: str, name: str, source: str) -> Iterator[Json]:
        """Yield the chunks of the start of a call that the server runs."""
        head: Json = {}
        if not self._roles or self._roles[-1] != "assistant":
            self._roles.append("assistant")
            self._num_calls = 0
            head = {"role": "assistant", "content": None}
        place = self._places[call_id] = len(self._roles) - 1, self._num_calls
        self._num_calls += 1
        call = {"index": place[1], "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
        yield from self._choice.trace({"index": place[0], **head, "tool_calls": [call]})

    def call_arguments(self, call_id: str, text: str) -> Iterator[Json]:
        """Yield the chunks of more arguments."""
        message, number = self._places[call_id]
        call = {"index": number, "function": {"arguments": text}}
        yield from self._choice.trace({"index": message, "tool_calls": [call]})

    def call_result(self, call_id: str, name: str, text: str, *, is_error: bool) -> Iterator[Json]:
        """Yield the chunks of a result."""
        self._interrupted = set(self._written)
        result: Json = {"role": "tool", "tool_call_id": call_id, "name": name, "content": text, "is_error": is_error}
        self._roles.append("tool")
        yield from self._choice.trace({"index": len(self._roles) - 1, **result})

"""The calls `[TOOL_CALLS][{"name": "f", "arguments": {...}}, ...]` of Mistral's models until the middle of 2025."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.conversation import Call, Message, Tool
from core.turn_format import Mark, Region, TurnFormat
from prompt_template import Piece
from templates.shared.json_calls import call_object_regions
from templates.shared.mistral import MistralTemplate, json_content


class MistralJsonTemplate(MistralTemplate):
    """A format whose calls are objects in one JSON array.

    has_system_turns: system messages and results have control tokens of their own, since the format v7.
    """

    call_tail = "}"
    separator = ", "
    calls_close = "]"

    def __init__(
        self, name: str, *, versions: tuple[str, ...], space: str = "", has_system_turns: bool = False
    ) -> None:
        self.name, self.versions = name, versions
        self.signs = ("[TOOL_CALLS]", f"[INST]{space}", *(["[SYSTEM_PROMPT]"] if has_system_turns else []))
        self.space = self.text_head = space
        self.has_system_turns = has_system_turns
        if has_system_turns:
            self.needed_tokens = (*MistralTemplate.needed_tokens, "[SYSTEM_PROMPT]", "[TOOL_CONTENT]")
        self.calls_open = f"[TOOL_CALLS]{space}["

    def call_head(self, name: str) -> str:
        return f'{{"name": "{name}", "arguments": '

    def turn_format(self, tools: Sequence[Tool]) -> TurnFormat:
        call = Mark("[TOOL_CALLS]", "call", is_control=True)
        regions = call_object_regions((call,), before=r"[\s\[{]")
        return TurnFormat("text", {"text": Region("text", (call,)), **regions})

    def calls(self, calls: Sequence[Call]) -> Iterator[Piece]:
        """The ids are not learned, because the model writes calls without them."""
        yield Piece(self.calls_open, markup=True, learned=True)
        for number, call in enumerate(calls):
            yield Piece(f'{self.separator if number else ""}{{"name": "', markup=True, learned=True)
            yield Piece(call.name, learned=True)
            yield Piece('", "arguments": ', markup=True, learned=True)
            yield Piece(call.arguments, learned=True)
            yield Piece(f', "id": "{call.id}"', markup=True)
            yield Piece(self.call_tail, markup=True, learned=True)
        yield Piece(self.calls_close, markup=True, learned=True)

    def result(self, message: Message) -> Iterator[Piece]:
        if self.has_system_turns:
            yield from (Piece(message.call_id), Piece("[TOOL_CONTENT]", markup=True), Piece(message.content or ""))
            return
        yield Piece('{"content": ', markup=True)
        yield Piece(json_content(message.content or ""))
        yield Piece(f', "call_id": "{message.call_id}"}}', markup=True)

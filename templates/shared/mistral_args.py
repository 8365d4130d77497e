"""The calls `[TOOL_CALLS]NAME[ARGS]{...}` of Mistral's models since the middle of 2025."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from core.conversation import Call, Message, Tool
from core.turn_format import Mark, Region, TurnFormat
from prompt_template import Piece, PromptTemplate, ReasoningMarks
from templates.shared.mistral import MistralTemplate

_THINK = ReasoningMarks("[THINK]", "[/THINK]")


class MistralArgsTemplate(MistralTemplate):
    """A format whose calls are names and arguments between control tokens.

    has_call_ids: whether the history shows the ids of calls and results.
    """

    needed_tokens = (*MistralTemplate.needed_tokens, "[ARGS]", "[SYSTEM_PROMPT]")
    optional_tokens = (_THINK.head, _THINK.tail)
    renders_reasoning = True

    def __init__(self, name: str, *, versions: tuple[str, ...], has_call_ids: bool) -> None:
        self.name, self.versions, self._has_call_ids = name, versions, has_call_ids
        self.signs = ("[TOOL_CALLS]", "[SYSTEM_PROMPT]", "[ARGS]", *(["[CALL_ID]"] if has_call_ids else []))
        self.functions_before = "last" if has_call_ids else "first"
        self.reasoning = _THINK

    def bound(self, token_id: Callable[[str], int | None]) -> PromptTemplate:
        """Models without the control tokens of reasoning do not reason."""
        template = super().bound(token_id)
        if not template.control_tokens:
            template.reasoning, template.renders_reasoning = None, False
        return template

    def call_head(self, name: str) -> str:
        return f"[TOOL_CALLS]{name}[ARGS]"

    def turn_format(self, tools: Sequence[Tool]) -> TurnFormat:
        call = Mark("[TOOL_CALLS]", "name", is_control=True)
        args = Mark("[ARGS]", "args", is_control=True)
        return TurnFormat(
            start="text",
            regions={
                "text": Region("text", (call, *([self.mark(_THINK.head, "reasoning")] if self.reasoning else []))),
                "reasoning": Region("reasoning", (self.mark(_THINK.tail, "text"), call)),
                "name": Region("name", (args, Mark("[CALL_ID]", "id", is_control=True))),
                "id": Region("skip", (args,), leads_to_call=True),
                "args": Region("args", (call,)),
            },
        )

    def calls(self, calls: Sequence[Call]) -> Iterator[Piece]:
        for call in calls:
            yield Piece("[TOOL_CALLS]", markup=True, learned=True)
            yield Piece(call.name, learned=True)
            if self._has_call_ids:
                yield from (Piece("[CALL_ID]", markup=True), Piece(call.id))
            yield Piece("[ARGS]", markup=True, learned=True)
            yield Piece(call.arguments, learned=True)

    def result(self, message: Message) -> Iterator[Piece]:
        if self._has_call_ids:
            yield from (Piece(message.call_id), Piece("[TOOL_CONTENT]", markup=True))
        yield Piece(message.content or "")

    def reasoning_pieces(self, message: Message) -> Iterator[Piece]:
        if message.reasoning and self.renders_reasoning:
            yield Piece(_THINK.head, markup=True, learned=True)
            yield Piece(message.reasoning, learned=True)
            yield Piece(_THINK.tail, markup=True, learned=True)

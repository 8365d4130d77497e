"""What the formats of Mistral's models share: control tokens around instructions, functions, calls and results."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from core.conversation import Call, Function, Message, Reasoning, Tool
from prompt_template import ANY_REASONING, Piece, PromptTemplate, normalise
from templates.shared.declared import declaration

_ID_LENGTH = 9  # the length of every call id that the models were trained with


class MistralTemplate(PromptTemplate):
    """A format with the functions before one of the user's messages.

    space: what stands behind a control token before text; SentencePiece tokenizers were trained with a space.
    """

    bos = True
    stop = ("</s>",)
    needed_tokens: tuple[str, ...] = (
        "[INST]",
        "[/INST]",
        "[TOOL_CALLS]",
        "[AVAILABLE_TOOLS]",
        "[/AVAILABLE_TOOLS]",
        "[TOOL_RESULTS]",
    )
    opening = Piece("", markup=True)  # a turn begins directly behind the user's message or the last result
    space: str = ""
    # Whether system messages stand where the request has them, or all before the text of the last user message.
    has_system_turns: bool = True
    functions_before: Literal["first", "last"] = "last"  # the user message that follows the functions

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], wish: Reasoning = ANY_REASONING
    ) -> list[Piece]:
        functions = self.functions_only(tools)
        turns = _with_short_ids(normalise(messages))
        instructions: list[str] = []
        if not self.has_system_turns:
            instructions = [turn.content for turn in turns if turn.role == "system" and turn.content]
            turns = [turn for turn in turns if turn.role != "system"]
        users = [number for number, turn in enumerate(turns) if turn.role == "user"]
        if instructions and not users:
            turns, users = [*turns, Message("user", "")], [len(turns)]
        pieces: list[Piece] = []
        for number, turn in enumerate(turns):
            if functions and users and number == users[0 if self.functions_before == "first" else -1]:
                pieces += self._functions(functions)
            is_instructed = bool(users) and number == users[-1]
            pieces += self._message(turn, "\n\n".join(instructions) if is_instructed else "")
        return pieces

    @abstractmethod
    def calls(self, calls: Sequence[Call]) -> Iterator[Piece]:
        """Yield the pieces of the calls of one turn."""

    @abstractmethod
    def result(self, message: Message) -> Iterator[Piece]:
        """Yield the pieces of a result, without the control tokens around it."""

    def reasoning_pieces(self, message: Message) -> Iterator[Piece]:
        """Yield the pieces of the reasoning of an earlier turn, for formats that show it."""
        yield from ()

    def _functions(self, functions: Sequence[Function]) -> Iterator[Piece]:
        yield Piece(f"[AVAILABLE_TOOLS]{self.space}", markup=True)
        yield Piece(json.dumps([declaration(function) for function in functions], ensure_ascii=False))
        yield Piece("[/AVAILABLE_TOOLS]", markup=True)

    def _message(self, message: Message, instructions: str) -> Iterator[Piece]:
        text = message.content or ""
        match message.role:
            case "system":
                yield Piece(f"[SYSTEM_PROMPT]{self.space}", markup=True)
                yield Piece(text)
                yield Piece("[/SYSTEM_PROMPT]", markup=True)
            case "user":
                yield Piece(f"[INST]{self.space}", markup=True)
                yield Piece("\n\n".join(part for part in (instructions, text) if part))
                yield Piece("[/INST]", markup=True)
            case "tool":
                yield Piece(f"[TOOL_RESULTS]{self.space}", markup=True)
                yield from self.result(message)
                yield Piece("[/TOOL_RESULTS]", markup=True)
            case "assistant" if message.content is not None or message.calls:
                yield from self._assistant(message)

    def _assistant(self, message: Message) -> Iterator[Piece]:
        yield from self.reasoning_pieces(message)
        if message.content:
            yield Piece(self.space, markup=True, learned=True)
            yield Piece(message.content, learned=True)
        if message.calls:
            yield from self.calls(message.calls)
        yield Piece("</s>", markup=True, learned=True)


def _with_short_ids(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with call ids of the length that the models were trained with.

    An id of another length becomes the number of its call, so that equal conversations give equal prompts.
    """
    short: dict[str, str] = {}
    pending: list[str] = []
    num_calls = 0
    turns: list[Message] = []
    for message in messages:
        if message.role == "tool":
            call_id = short.get(message.call_id) or (pending[0] if pending else "0" * _ID_LENGTH)
            pending = [one for one in pending if one != call_id]
            turns.append(replace(message, call_id=call_id))
            continue
        if message.calls:
            ids = [_short_id(call.id, num_calls + number) for number, call in enumerate(message.calls)]
            num_calls += len(ids)
            short |= {call.id: one for call, one in zip(message.calls, ids, strict=True) if call.id}
            pending = ids
            calls = tuple(replace(call, id=one) for call, one in zip(message.calls, ids, strict=True))
            message = replace(message, calls=calls)
        turns.append(message)
    return turns


def _short_id(call_id: str, number: int) -> str:
    if len(call_id) == _ID_LENGTH and call_id.isascii() and call_id.isalnum():
        return call_id
    return f"{number:0{_ID_LENGTH}d}"


def json_content(text: str) -> str:
    """Return a result as JSON: the text itself if it is JSON, else the text as a JSON string."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return json.dumps(text, ensure_ascii=False)
    return text

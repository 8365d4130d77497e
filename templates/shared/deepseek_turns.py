"""DeepSeek's turns, and the beginning of the prompt that the formats r1 and r1_distilled_llama share."""

from __future__ import annotations

from collections.abc import Sequence

from core.conversation import CodeInterpreter, Message, Reasoning, Tool
from prompt_template import Piece, functions_of
from schema import inlined
from templates.shared.llama_calls import FUNCTIONS_HEAD, function_line

SYSTEM = "<｜System｜>"
USER = "<｜User｜>"
ASSISTANT = "<｜Assistant｜>"
END = "<｜end▁of▁sentence｜>"


def header_pieces(tools: Sequence[Tool], wish: Reasoning, footer: str) -> list[Piece]:
    """Return the system turn on reasoning, code and functions; none without all three. `footer` follows functions."""
    functions = functions_of(tools)
    reasoning = "Reasoning Mode: On\n\n" if wish.is_enabled else ""
    code = "Environment: ipython\n\n" if any(isinstance(tool, CodeInterpreter) for tool in tools) else ""
    if not reasoning and not tools:
        return []
    pieces = [Piece(f"{SYSTEM}\n{reasoning}{code}", markup=True)]
    if not functions:
        return pieces
    lines = [function_line(inlined(function)) for function in functions]
    return [*pieces, Piece(FUNCTIONS_HEAD, markup=True), *lines, Piece(footer, markup=True)]


def caller_turn(message: Message) -> list[Piece]:
    """Return a message of the system or of a user."""
    text = Piece(message.content or "")
    if message.role == "user":
        return [Piece(USER, markup=True), text]
    return [Piece(SYSTEM, markup=True), text, Piece("\n", markup=True)]

"""Llama 3's turns: a header with the role, TEXT, and a control token at the end."""

from __future__ import annotations

from prompt_template import Piece

END = "<|eot_id|>"
STOP = (END, "<|end_of_text|>")


def header(role: str) -> str:
    """Return what stands before the text of a turn."""
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n"


def turn(role: str, *content: Piece) -> list[Piece]:
    """Return a turn that the model did not write."""
    return [Piece(header(role), markup=True), *content, Piece(END, markup=True)]

"""The format cogito: qwen2.5-text-only with a system text that switches on deep thinking."""

from __future__ import annotations

from prompt_template import Piece, PromptTemplate
from templates.functionary_qwen25 import FunctionaryQwen25

_SYSTEM = "Enable deep thinking subroutine"


class FunctionaryCogito(FunctionaryQwen25):
    name = "functionary_cogito"
    versions = ("cogito",)

    def system_text(self, own: str | None, *, has_tools: bool) -> list[Piece]:
        """Return the fixed text and the caller's. As in the published format, one case lacks the period."""
        if own is None:
            return [Piece(f"{_SYSTEM}.", markup=True)]
        return [Piece(f"{_SYSTEM}.\n\n" if has_tools else f"{_SYSTEM}\n\n", markup=True), Piece(own)]


TEMPLATE: PromptTemplate = FunctionaryCogito()

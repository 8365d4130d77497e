"""What an answer will probably say, as data; the engine guesses from it, and keeps what the model itself says."""

from __future__ import annotations

import re
from collections.abc import Sequence

from core.conversation import ChatRequest, Function
from core.generation import DraftedCall, Drafts
from prompt_template import PromptTemplate

_NEAR = 2000  # characters of the question that are looked at, its last
_ABOUT = 300  # of a description, its first


def drafts(request: ChatRequest, template: PromptTemplate) -> Drafts:
    """Calls of the functions that may be called, and the text that the request itself predicts."""
    names = request.choice.names
    functions = [
        tool
        for tool in request.tools
        if isinstance(tool, Function) and request.choice.mode != "none" and (names is None or tool.name in names)
    ]
    said = [message.content or "" for message in request.messages if message.role == "user"]
    user_message = said[-1] if said else ""
    return Drafts(
        turn_format=template.turn_format(request.tools),
        prefill=template.prefill(request.choice),
        calls=tuple(DraftedCall(tool.name, template.call_head(tool.name), tool.parameters or {}) for tool in functions),
        user_message=user_message,
        likely=_likely(functions, user_message),
        prediction=request.prediction,
    )


def _likely(functions: Sequence[Function], user_message: str) -> str:
    """The name of the function that shares most words with what was said; "" where none does, or two share as many."""
    asked = _words(user_message[-_NEAR:])
    shares = {tool.name: len(asked & _words(f"{tool.name} {tool.description[:_ABOUT]}")) for tool in functions}
    best = max(shares.values(), default=0)
    likeliest = [name for name, share in shares.items() if share == best]
    return likeliest[0] if best and len(likeliest) == 1 else ""


def _words(text: str) -> set[str]:
    """By how they begin, so that "raining" is "rain"; without the shortest, which stand everywhere."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return {word[:5] for word in re.findall(r"[^\W_]{4,}", apart.casefold())}

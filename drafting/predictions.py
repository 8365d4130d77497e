"""Collect the data from which the engine drafts an answer: what the answer will probably contain."""

from __future__ import annotations

import re
from collections.abc import Sequence

from core.conversation import ChatRequest, Function
from core.generation import DraftedCall, Drafts
from prompt_template import PromptTemplate

_MAX_MESSAGE_CHARACTERS = 2000  # of the user's message, only the last 2000 characters are used
_MAX_DESCRIPTION_CHARACTERS = 300  # of a description, only the first 300 characters are used


def drafts(request: ChatRequest, template: PromptTemplate) -> Drafts:
    """Return the data from which the engine drafts the answer to `request`."""
    names = request.choice.names
    functions = [
        tool
        for tool in request.tools
        if isinstance(tool, Function)
        and template.arguments_style == "json"  # the drafter writes JSON
        and request.choice.mode != "none"
        and (names is None or tool.name in names)
    ]
    user_messages = [message.content or "" for message in request.messages if message.role == "user"]
    user_message = user_messages[-1] if user_messages else ""
    return Drafts(
        turn_format=template.turn_format(request.tools),
        prefill=template.prefill(request.choice, request.reasoning),
        call_tail=template.call_tail,
        calls=tuple(DraftedCall(tool.name, template.call_head(tool.name), tool.parameters or {}) for tool in functions),
        user_message=user_message,
        likely_function=_likely_function(functions, user_message),
        prediction=request.prediction,
    )


def _likely_function(functions: Sequence[Function], user_message: str) -> str:
    """Return the name of the function with the most words that are in the user's message; "" for none or a tie."""
    asked = _stems(user_message[-_MAX_MESSAGE_CHARACTERS:])
    num_shared = {
        tool.name: len(asked & _stems(f"{tool.name} {tool.description[:_MAX_DESCRIPTION_CHARACTERS]}"))
        for tool in functions
    }
    best = max(num_shared.values(), default=0)
    likeliest = [name for name, num in num_shared.items() if num == best]
    return likeliest[0] if best and len(likeliest) == 1 else ""


def _stems(text: str) -> set[str]:
    """Return the first 5 letters of each word that has at least 4 letters, so that "lights" matches "light"."""
    separated = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return {word[:5] for word in re.findall(r"[^\W_]{4,}", separated.casefold())}

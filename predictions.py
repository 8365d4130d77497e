"""What an answer will probably say, as data; the engine guesses from it, and keeps what the model itself says."""

from __future__ import annotations

from conversation import ChatRequest, Function
from engines import DraftedCall, Drafts
from prompt_template import PromptTemplate


def drafts(request: ChatRequest, template: PromptTemplate) -> Drafts:
    """Calls of the functions that may be called, and the text that the request itself predicts."""
    names = request.choice.names
    functions = [
        tool
        for tool in request.tools
        if isinstance(tool, Function) and request.choice.mode != "none" and (names is None or tool.name in names)
    ]
    spoken = [message.content or "" for message in request.messages if message.role == "user"]
    return Drafts(
        reader=template.grammar(request.tools),
        begun=template.prefill(request.choice),
        calls=tuple(DraftedCall(tool.name, template.call_head(tool.name), tool.parameters or {}) for tool in functions),
        spoken=spoken[-1] if spoken else "",
        prediction=request.prediction,
    )

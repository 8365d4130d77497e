"""The events of an agent's answer, in the order in which they happen.

The model's text and reasoning come as TextDelta and ReasoningDelta of core/turn_format.py, its log probabilities as
TokenReport, the end of each round as Finish.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.conversation import Message
from core.turn_format import Finish, ReasoningDelta, TextDelta, TokenReport

EndReason = Literal["stop", "length", "calls"]


@dataclass(frozen=True, slots=True)
class ToolCallStart:
    """The model begins a call. Its arguments follow.

    is_run: the agent runs it; False for a function that the agent's caller runs.
    """

    call_id: str
    name: str
    is_run: bool = True


@dataclass(frozen=True, slots=True)
class ToolCallArguments:
    """More of the arguments of the last call that began. Never empty."""

    call_id: str
    text: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a call, as the model reads it. Results come in the order in which the calls end.

    is_error: the call failed or was not run, and `text` says why. has_run: the tool was started, so that a repetition
    may repeat its side effects. seconds: how long it took.
    """

    call_id: str
    name: str
    text: str
    is_error: bool = False
    has_run: bool = True
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class AgentEnd:
    """The end of the agent's answer. Always the last event.

    reason: "stop" after the model's answer; "length" if a limit ended it, which `limit` names; "calls" if the model
    called functions that the agent's caller must run.
    messages: what was added to the conversation, in order.
    finishes: the token counts of each round.
    """

    reason: EndReason
    messages: tuple[Message, ...]
    finishes: tuple[Finish, ...]
    limit: str = ""


AgentEvent = (
    TextDelta | ReasoningDelta | TokenReport | ToolCallStart | ToolCallArguments | ToolResult | Finish | AgentEnd
)

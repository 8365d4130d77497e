"""The fields that say whether and how much the model shall reason before it answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import Field

from apis.rules.fields import Shape
from apis.rules.tools import AnyTool, ReasoningTool
from core.conversation import Reasoning

ReasoningField = Literal["reasoning_content", "reasoning", "both"]
# The value of --reasoning-field -> the fields of answers that hold the reasoning.
ANSWER_FIELDS: dict[ReasoningField, tuple[str, ...]] = {
    "reasoning_content": ("reasoning_content",),
    "reasoning": ("reasoning",),
    "both": ("reasoning_content", "reasoning"),
}
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
_SWITCH = "true: the model reasons before it answers. false: it does not. Default: as the model's template has it."


class TemplateSwitches(Shape):
    """Values for the model's chat template. Only these three are read; every other one is ignored."""

    refuses_unknown = "never"

    enable_thinking: bool | None = Field(None, description=_SWITCH)
    thinking: bool | None = Field(None, description="Another name of enable_thinking.")
    reasoning_effort: Effort | None = Field(None, description="The same as reasoning_effort of the body.")


class SwitchFields(Shape):
    """The fields of other servers that control reasoning."""

    chat_template_kwargs: TemplateSwitches | None = Field(
        None, description="Values for the model's chat template, as in vLLM. Not in OpenAI's API."
    )
    enable_thinking: bool | None = Field(None, description=f"{_SWITCH} Not in OpenAI's API.")


class ReasoningFields(SwitchFields):
    """The fields of a chat request that control reasoning."""

    reasoning_effort: Effort | None = Field(
        None,
        description="How much the model reasons before it answers; none: not at all. Ignored if the model's template "
        "has no place for it.",
    )


def reasoning(
    body: SwitchFields, stated: Effort | None, tools: Sequence[AnyTool] = (), *, field: str = "reasoning_effort"
) -> tuple[Reasoning, tuple[str, ...], tuple[str, ...]]:
    """Return the wish, the fields that switch reasoning on or off, and the fields that state an effort.

    `stated` is the effort that the request states in `field`. A switch counts more than that, and that more than a tool
    of type "reasoning". Of two fields of the same kind, the one in `chat_template_kwargs` counts.
    """
    switches, efforts = list(_switches(body, stated, tools, field)), list(_efforts(body, stated, field))
    is_enabled = switches[0][1] if switches else None
    effort = efforts[0][1] if efforts else None
    return (
        Reasoning(is_enabled, effort),
        tuple(field for field, _ in switches),
        tuple(field for field, _ in efforts),
    )


def ignored_switches(body: dict[str, Any]) -> list[str]:
    """Return the keys of `chat_template_kwargs` that are not read, with their path."""
    switches = body.get("chat_template_kwargs") or {}
    return [f"chat_template_kwargs.{key}" for key in switches if key not in TemplateSwitches.model_fields]


def _switches(
    body: SwitchFields, stated: Effort | None, tools: Sequence[AnyTool], field: str
) -> Iterator[tuple[str, bool]]:
    nested = body.chat_template_kwargs or TemplateSwitches.model_construct()
    given = {
        "chat_template_kwargs.enable_thinking": nested.enable_thinking,
        "chat_template_kwargs.thinking": nested.thinking,
        "enable_thinking": body.enable_thinking,
        "chat_template_kwargs.reasoning_effort": False if nested.reasoning_effort == "none" else None,
        field: False if stated == "none" else None,
        "tools.reasoning": True if any(isinstance(tool, ReasoningTool) for tool in tools) else None,
    }
    yield from ((key, value) for key, value in given.items() if value is not None)


def _efforts(body: SwitchFields, stated: Effort | None, field: str) -> Iterator[tuple[str, Any]]:
    nested = body.chat_template_kwargs or TemplateSwitches.model_construct()
    given = {
        "chat_template_kwargs.reasoning_effort": nested.reasoning_effort,
        field: stated,
    }
    yield from ((key, value) for key, value in given.items() if value not in (None, "none"))

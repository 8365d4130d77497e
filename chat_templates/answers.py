"""How the answers of a checkpoint with a chat template of its own are read: the turn format of another template."""

from __future__ import annotations

from collections.abc import Collection
from copy import copy
from dataclasses import replace

from core.turn_format import Mark, Region, TurnFormat
from prompt_template import PromptTemplate, ReasoningMarks, load_template, templates_with_signs

# Ways of calling that a chat template may share with a template whose prompts are quite different.
_SHARED = (
    ("<function=example_function_name>", "qwen35"),
    ("<tool_call>", "hermes"),
    ("<\uff5ctool\u2581calls\u2581begin\uff5c>", "functionary_r1"),
    ("<function=", "functionary_v3_llama31"),
    ('"parameters":', "llama31"),
)
DEFAULT = "hermes"  # the template whose way of calling most other models have learned


def answer_template(chat_template: str, control_tokens: frozenset[str]) -> PromptTemplate:
    """Return the template whose turn format, heads and prefills fit the answers of a model with `chat_template`.

    It is the template with the most signs in the chat template, else one with the same way of calling, else `DEFAULT`.
    """
    found = [one for one in templates_with_signs(chat_template) if control_tokens.issuperset(one.needed_tokens)]
    shared = [name for sign, name in _SHARED if sign in chat_template]
    template = copy(found[0] if found else load_template([*shared, DEFAULT][0]))
    if not found and template.reasoning and template.reasoning.head.strip() not in chat_template:
        template.reasoning = None
    # Not the template's own prompts, so the tokens that only those need may be missing.
    template.needed_tokens, template.stop = (), ()
    return template.bound(lambda text: 0 if text in control_tokens else None)


def reasoning_marks(chat_template: str) -> ReasoningMarks | None:
    """Return the marks around the reasoning, if a chat template has any."""
    if "<think>" in chat_template or "</think>" in chat_template:
        return ReasoningMarks(head="<think>\n", tail="\n</think>\n\n")
    return None


def with_reasoning(turn_format: TurnFormat, marks: ReasoningMarks, control_tokens: Collection[str]) -> TurnFormat:
    """Return a turn format in which reasoning may come before what `turn_format` has."""
    head, tail = marks.head.strip(), marks.tail.strip()
    start = turn_format.region(turn_format.start)
    opening = Mark(head, "reasoning", is_control=head in control_tokens)
    # Reasoning opens a turn only: in a region of text, its mark would count in the middle of a text.
    kind = "head" if start.kind == "text" else start.kind
    regions = {
        "turn": replace(start, kind=kind, marks=(opening, *start.marks)),
        "reasoning": Region("reasoning", (Mark(tail, turn_format.start, is_control=tail in control_tokens),)),
    }
    return replace(turn_format, start="turn", regions={**turn_format.regions, **regions})

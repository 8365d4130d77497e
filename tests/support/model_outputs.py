"""Outputs of a model as stretches of text and control tokens, and the events parsed from them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from core.conversation import CodeInterpreter, Function, Message, Tool
from core.errors import RequestError
from core.turn_format import ArgsDelta, CallStart, Event, ReasoningDelta, TextDelta
from prompt_template import PromptTemplate, load_template, template_names
from text.parser import OutputParser

TOOLS: list[Tool] = [Function("get_x"), Function("get_x_now"), Function("all_stations")]
WITH_CODE: list[Tool] = [*TOOLS, CodeInterpreter()]
Stretch = tuple[str, bool]  # a text, and whether the text is a control token

# The outputs of Llama 3.1 and of v1_plain end with control tokens that only some tokenizers have.
_ENDS = ("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|im_end|>", "</s>")


@dataclass(frozen=True)
class Bound:
    """A template, bound to a tokenizer whose control tokens are `control`."""

    template: PromptTemplate
    control: frozenset[str]

    @cached_property
    def tools(self) -> list[Tool]:
        """The tools that the template can show: with the code interpreter, if it has one."""
        try:
            self.template.render([], WITH_CODE)
        except RequestError:
            return TOOLS
        return WITH_CODE

    def stretches(self, text: str) -> list[Stretch]:
        """Split a text at the control tokens, as a tokenizer reads it."""
        tokens = sorted(self.control, key=len, reverse=True)
        parts = re.split("(" + "|".join(map(re.escape, tokens)) + ")", text)
        return [(part, part in self.control) for part in parts if part]


def bound_templates() -> list[Bound]:
    """Return every template, bound to a tokenizer with all the optional control tokens and to one without them."""
    templates = [load_template(name) for name in template_names()]
    bound = [bind(template, has_optional=True) for template in templates]
    return bound + [bind(template, has_optional=False) for template in templates if template.optional_tokens]


def bind(template: PromptTemplate, *, has_optional: bool) -> Bound:
    missing = set() if has_optional else {*template.optional_tokens} - {*template.needed_tokens}
    template = template.bound(lambda text: None if text in missing else 1)
    regions = template.turn_format(WITH_CODE).regions.values()
    marks = {mark.text for region in regions for mark in region.marks if mark.is_control}
    return Bound(template, frozenset({*marks, *template.stop, *template.needed_tokens, *_ENDS}) - {*missing})


def turns(bound: Bound, message: Message) -> list[list[Stretch]]:
    """Return the turns in which a model writes `message`, each as stretches. Some formats need several for one."""
    template, tools = bound.template, bound.tools
    user = Message("user", "Hi")
    pieces = template.render([user, message], tools)[len(template.render([user], tools)) :]
    written: list[list[Stretch]] = []
    is_over = True
    for piece in pieces:
        if piece.learned:  # ids of calls are not learned, though they stand inside a turn
            if is_over:
                written.append([])
            written[-1] += bound.stretches(piece.text) if piece.markup else [(piece.text, False)]
            is_over = piece.markup and piece.text.endswith(tuple(template.stop))
    return written


def read(
    template: PromptTemplate, tools: Sequence[Tool], stretches: Iterable[Stretch], *, cut: bool = False
) -> list[Event]:
    """Parse an output; join neighbouring events of the same kind. With `cut`, the token limit ended the output."""
    parser = OutputParser(template.turn_format(tools))
    events = [event for text, is_control in stretches for event in parser.feed(text, is_control=is_control)]
    return folded([*events, *parser.finish(is_truncated=cut)])


def folded(events: list[Event]) -> list[Event]:
    """Return the events after joining neighbours of the same kind. No event may be empty."""
    joined: list[Event] = []
    for event in events:
        if isinstance(event, CallStart):
            assert event.name and not any(char.isspace() for char in event.name)
            joined.append(event)
            continue
        assert event.text
        last = joined[-1] if joined else None
        if not isinstance(last, CallStart) and type(last) is type(event):
            joined[-1] = type(event)(last.text + event.text)
        else:
            joined.append(event)
    return joined


def merged(stretches: Iterable[Stretch]) -> list[Stretch]:
    """Join neighbouring texts."""
    whole: list[Stretch] = []
    for text, is_control in stretches:
        if whole and not is_control and not whole[-1][1]:
            whole[-1] = (whole[-1][0] + text, False)
        else:
            whole.append((text, is_control))
    return whole


def characters(stretches: Iterable[Stretch]) -> list[Stretch]:
    """Cut texts into single characters."""
    return [
        stretch
        for text, is_control in stretches
        for stretch in ([(text, True)] if is_control else [(char, False) for char in text])
    ]


def shown_text(events: Iterable[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def shown_reasoning(events: Iterable[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, ReasoningDelta))


def check_shown(events: list[Event]) -> None:
    """Text, reasoning and arguments are stripped, and arguments follow the start of a call."""
    for shown in (shown_text(events), shown_reasoning(events)):
        assert shown == shown.strip()
    for before, event in zip([None, *events], events, strict=False):
        if isinstance(event, ArgsDelta):
            assert isinstance(before, CallStart)
            assert event.text == event.text.strip()

"""Calls written as JSON objects between tags: `<tool_call>`, `{"name": "f", "arguments": {...}}`, `</tool_call>`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.conversation import Tool
from core.turn_format import Mark, Region, TurnFormat
from prompt_template import PromptTemplate

_NAME_MARKS = (Mark('"name": "', "name"), Mark('"name":"', "name"), Mark('"name":', "quote"))
_ARGUMENT_KEYS = ("arguments", "parameters")
_ARGUMENT_MARKS = tuple(Mark(f'"{key}"{colon}', "args") for key in _ARGUMENT_KEYS for colon in (":", " :"))
_TYPE_MARKS = (Mark('"type": "function",', "call"), Mark('"type":"function",', "call"))


def call_object_regions(after_call: tuple[Mark, ...], *, before: str = r"[\s{]") -> dict[str, Region]:
    """Return the regions of a call that is a JSON object with a name and arguments, in any order.

    A mark opens the region "call". The region "after_call" follows the arguments; `after_call` are its marks, and the
    marks that are control tokens also end arguments whose JSON is incomplete. `before` are the characters that may
    stand before the object's first key.
    """
    ends = tuple(mark for mark in after_call if mark.is_control)
    return {
        "call": Region("head", (*_NAME_MARKS, *_ARGUMENT_MARKS, *_TYPE_MARKS), allowed=before),
        "quote": Region("head", (Mark('"', "name"),)),
        "name": Region("name", (Mark('"', "members"),)),
        "members": Region("head", _ARGUMENT_MARKS, allowed=r"[\s,]"),
        "args": Region("args", ends, after_value="after_call"),
        "after_call": Region("skip", (*after_call, *_NAME_MARKS)),
    }


def text_regions(template: PromptTemplate, opening: Mark) -> dict[str, Region]:
    """Return the region of text, which `opening` ends, and that of reasoning if the format marks it."""
    if template.reasoning is None:
        return {"text": Region("text", (opening,))}
    head, tail = template.reasoning.head.strip(), template.reasoning.tail.strip()
    return {
        "text": Region("text", (opening, template.mark(head, "reasoning"))),
        "reasoning": Region("reasoning", (template.mark(tail, "text"),)),
    }


class JsonCallTemplate(PromptTemplate):
    """A format whose calls are JSON objects between the tags `call_start` and `call_end`."""

    call_start = "<tool_call>"
    call_end = "</tool_call>"
    optional_tokens: tuple[str, ...] = ("<tool_call>", "</tool_call>", "<think>", "</think>")
    call_tail = "}\n</tool_call>"
    separator: str | None = "\n"

    def call_head(self, name: str) -> str:
        return f'{self.call_start}\n{{"name": "{name}", "arguments": '

    def turn_format(self, tools: Sequence[Tool]) -> TurnFormat:
        opening = self.mark(self.call_start, "call")
        regions: dict[str, Region] = {
            **text_regions(self, opening),
            **call_object_regions((self.mark(self.call_end, "text"), opening)),
            **self._code_regions(),
        }
        code_names = frozenset() if self.code_function is None else frozenset({self.code_function.name})
        return TurnFormat("text", regions, code_names=code_names)

    def _code_regions(self) -> Mapping[str, Region]:
        """Return the regions that read the code of the code interpreter out of its JSON."""
        if self.code_function is None:
            return {}
        return {
            "code": Region("head", (Mark('"code": "', "source"), Mark('"code":"', "source")), allowed=r"[\s{]"),
            "source": Region("code", (Mark('"', "after_call"),), is_string=True),
        }

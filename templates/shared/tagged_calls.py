"""Calls whose arguments are tagged parameters: `<function=f>`, `<parameter=KEY>`, a value, `</parameter>`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from core.conversation import Call, Tool
from core.turn_format import Mark, Region, TurnFormat
from prompt_template import Piece, PromptTemplate, functions_of
from schema import string_parameters
from templates.shared.json_calls import text_regions


class TaggedCallTemplate(PromptTemplate):
    """A format whose calls stand between `<tool_call>` and `</tool_call>`."""

    arguments_style = "tagged"
    optional_tokens: tuple[str, ...] = ("<tool_call>", "</tool_call>", "<think>", "</think>")
    call_tail = "</function>\n</tool_call>"
    separator: str | None = "\n"

    def call_head(self, name: str) -> str:
        return f"<tool_call>\n<function={name}>\n"

    def turn_format(self, tools: Sequence[Tool]) -> TurnFormat:
        """Return the turn format. A model may write several functions between one pair of `<tool_call>` tags."""
        opening, closing = self.mark("<tool_call>", "call"), self.mark("</tool_call>", "text")
        function = Mark("<function=", "name")
        regions = {
            **text_regions(self, opening),
            "call": Region("head", (function,)),
            "name": Region("name", (Mark(">", "args"),)),
            "args": Region("args", (Mark("</function>", "after_call"), closing, opening), is_tagged=True),
            "after_call": Region("skip", (closing, opening, function)),
        }
        kinds = {function.name: string_parameters(function) for function in functions_of(tools)}
        return TurnFormat("text", regions, string_parameters=kinds)


def call_pieces(call: Call) -> Iterator[Piece]:
    """Yield the pieces of a call from `<tool_call>` to `</tool_call>`."""
    yield Piece("<tool_call>\n<function=", markup=True, learned=True)
    yield Piece(call.name, learned=True)
    yield Piece(">\n", markup=True, learned=True)
    for key, value in _parameters(call.arguments).items():
        yield Piece("<parameter=", markup=True, learned=True)
        yield Piece(key, learned=True)
        yield Piece(">\n", markup=True, learned=True)
        yield Piece(_written(value), learned=True)
        yield Piece("\n</parameter>\n", markup=True, learned=True)
    yield Piece("</function>\n</tool_call>", markup=True, learned=True)


def _parameters(arguments: str) -> dict[str, object]:
    """Return the parameters of a call. Arguments that are no JSON object, as in a call that was cut off, are one."""
    try:
        parsed = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return {"arguments": arguments}
    return parsed if isinstance(parsed, dict) else {"arguments": parsed}


def _written(value: object) -> str:
    """Return a value as the model's chat template shows it: a string as it is, and true, false and null as Python."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)

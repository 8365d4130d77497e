"""The format of Qwen3.5, whose calls have tagged parameters, and whose reasoning a request can turn off."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby

from core.conversation import Function, Message, Reasoning, Tool
from prompt_template import ANY_REASONING, Piece, PromptTemplate, ReasoningMarks, normalise
from templates.shared.chatml_calls import END, turn
from templates.shared.declared import declaration
from templates.shared.tagged_calls import TaggedCallTemplate, call_pieces

_HEAD = "# Tools\n\nYou have access to the following functions:\n\n<tools>"
_TAIL = """
</tools>

If you choose to call a function ONLY reply in the following format with NO suffix:

<tool_call>
<function=example_function_name>
<parameter=example_parameter_1>
value_1
</parameter>
<parameter=example_parameter_2>
This is the value for the second parameter
that can span
multiple lines
</parameter>
</function>
</tool_call>

<IMPORTANT>
Reminder:
- Function calls MUST follow the specified format: an inner <function=...></function> block must be nested within \
<tool_call></tool_call> XML tags
- Required parameters MUST be specified
- You may provide optional reasoning for your function call in natural language BEFORE the function call, but NOT after
- If there is no function call available, answer the question like normal with your current knowledge and do not tell \
the user about function calls
</IMPORTANT>"""


class Qwen35(TaggedCallTemplate):
    """The prompt begins the reasoning, and shows the reasoning only of turns after the last message of the user."""

    name = "qwen35"
    versions = ("qwen3.5",)
    signs = ("<function=example_function_name>", "<tool_call>", "<|im_start|>", "<think>", "enable_thinking")
    bos = False
    stop = (END, "<|endoftext|>")
    opening = Piece("<|im_start|>assistant\n", markup=True)
    needed_tokens = ("<|im_start|>",)
    reasoning = ReasoningMarks(head="<think>\n", tail="\n</think>\n\n")
    has_thinking_switch = True
    renders_reasoning = True

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], wish: Reasoning = ANY_REASONING
    ) -> list[Piece]:
        turns = normalise(messages)
        pieces = _system_pieces(turns, self.functions_only(tools))
        last_query = max((number for number, turn in enumerate(turns) if turn.role == "user"), default=-1)
        for is_results, group in groupby(enumerate(turns), lambda item: item[1].role == "tool"):
            if is_results:
                pieces += _results([message.content or "" for _, message in group])
                continue
            for number, message in group:
                if message.role == "assistant":
                    pieces += self._assistant(message, is_reasoned=number > last_query)
                else:
                    pieces += turn(message.role, [Piece((message.content or "").strip())])
        return pieces

    def reasoning_prefill(self, wish: Reasoning) -> str:
        return "<think>\n\n</think>\n\n" if wish.is_enabled is False else "<think>\n"

    def _assistant(self, message: Message, *, is_reasoned: bool) -> Iterator[Piece]:
        """Yield the pieces of an assistant message; none if it has neither text nor calls."""
        if message.content is None and not message.calls:
            return
        reasoning, text = _split(message)
        yield self.opening
        if is_reasoned:
            yield Piece("<think>\n", markup=True, learned=True)
            yield Piece(reasoning, learned=True)
            yield Piece("\n</think>\n\n", markup=True, learned=True)
        yield Piece(text, learned=True)
        for number, call in enumerate(message.calls):
            gap = "\n" if number else "\n\n" if text.strip() else ""
            yield Piece(gap, markup=True, learned=True)
            yield from call_pieces(call)
        yield Piece(END, markup=True, learned=True)
        yield Piece("\n", markup=True)


def _split(message: Message) -> tuple[str, str]:
    """Return the reasoning and the text of a message. A client may have left the reasoning in the text."""
    text = (message.content or "").strip()
    if message.reasoning or "</think>" not in text:
        return message.reasoning.strip(), text
    reasoning = text.split("</think>")[0].rstrip("\n").split("<think>")[-1].lstrip("\n")
    return reasoning.strip(), text.split("</think>")[-1].lstrip("\n")


def _system_pieces(turns: list[Message], functions: Sequence[Function]) -> list[Piece]:
    """Return the system message. Remove the first one from `turns` if it is one."""
    is_first = bool(turns) and turns[0].role == "system"
    system = (turns.pop(0).content or "").strip() if is_first else ""
    if not functions:
        return turn("system", [Piece(system)]) if is_first else []
    lines = [Piece("\n" + json.dumps(declaration(function), ensure_ascii=False)) for function in functions]
    after = [Piece("\n\n", markup=True), Piece(system)] if system else []
    return turn("system", [Piece(_HEAD, markup=True), *lines, Piece(_TAIL, markup=True), *after])


def _results(results: Sequence[str]) -> list[Piece]:
    """Return the results of the calls of one turn."""
    pieces = [Piece("<|im_start|>user", markup=True)]
    for result in results:
        pieces.append(Piece("\n<tool_response>\n", markup=True))
        pieces += [Piece(result.strip()), Piece("\n</tool_response>", markup=True)]
    return [*pieces, Piece(f"{END}\n", markup=True)]


TEMPLATE: PromptTemplate = Qwen35()

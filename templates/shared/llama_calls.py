"""Llama 3.1's calls, `<function=NAME>ARGUMENTS</function>`, and the prompt texts on functions that go with them.

A call of the code interpreter is the control token `<|python_tag|>` and the code; nothing follows it in its turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from core.conversation import CodeInterpreter, Function, Message, Tool, ToolChoice
from core.turn_format import Mark, Region, TurnFormat
from prompt_template import Piece, PromptTemplate
from schema import function_json

FUNCTIONS_HEAD = "\nYou have access to the following functions:\n\n"
FUNCTIONS_FOOTER = """
Think very carefully before calling functions.
If a you choose to call a function ONLY reply in the following format:
<{start_tag}={function_name}>{parameters}{end_tag}
where

start_tag => `<function`
parameters => a JSON dict with the function argument name as key and function argument value as value.
end_tag => `</function>`

Here is an example,
<function=example_function_name>{"example_name": "example_value"}</function>

Reminder:
- If looking for real time information use relevant functions before falling back to brave_search
- Function calls MUST follow the specified format, start with <function= and end with </function>
- Required parameters MUST be specified
- Only call one function at a time
- Put the entire function call reply on one line

"""
END_OF_CALLS = "<|eom_id|>"
_CALL, _CALL_END = "<function=", "</function>"
_CODE = "<|python_tag|>"
_PYTHON = CodeInterpreter().name


def function_line(function: Function, *, is_ascii: bool = False) -> Piece:
    """Return the sentence on a function and its JSON."""
    shown = function_json(function, is_ascii=is_ascii)
    return Piece(f"Use the function '{function.name}' to '{function.description}'\n{shown}\n\n")


class LlamaCallTemplate(PromptTemplate):
    """A format with Llama 3.1's calls. A turn with calls ends with `END_OF_CALLS` instead of the first stop token."""

    call_tail = _CALL_END
    required_prefill = _CALL
    optional_tokens = (_CODE,)

    def call_head(self, name: str) -> str:
        return _CODE if name == _PYTHON else f"{_CALL}{name}>"

    def choice_prefill(self, choice: ToolChoice) -> str:
        """Return the prefill. A required call that may be one of `_PYTHON` has none, as its head is another one."""
        may_be_code = choice.mode == "required" and _PYTHON in (choice.names or ())
        return "" if may_be_code else super().choice_prefill(choice)

    def turn_format(self, tools: Sequence[Tool]) -> TurnFormat:
        code_names = frozenset(tool.name for tool in tools if isinstance(tool, CodeInterpreter))
        marks = [Mark(_CALL, "name")]
        if any(tool.name == _PYTHON for tool in tools):
            marks.append(replace(self.mark(_CODE, "rest" if code_names else "args"), name=_PYTHON))
        end_of_call = (Mark(_CALL_END, "text"),)
        return TurnFormat(
            start="text",
            regions={
                "text": Region("text", tuple(marks)),
                "name": Region("name", (Mark(">", "args"),)),
                "args": Region("args", end_of_call),
                "code": Region("code", end_of_call),
                "rest": Region("code"),
            },
            code_names=code_names,
        )

    def assistant_pieces(self, message: Message) -> Iterator[Piece]:
        """Yield the pieces of an assistant message, with its opening and its stop token."""
        yield self.opening
        if message.content:
            yield Piece(message.content, learned=True)
        for call in message.calls:
            if call.name == _PYTHON:
                yield Piece(_CODE, markup=True, learned=True)
                yield Piece(call.arguments, learned=True)
                continue
            yield Piece(_CALL, markup=True, learned=True)
            yield Piece(call.name, learned=True)
            yield Piece(">", markup=True, learned=True)
            yield Piece(call.arguments, learned=True)
            yield Piece(_CALL_END, markup=True, learned=True)
        yield Piece(END_OF_CALLS if message.calls else self.stop[0], markup=True, learned=True)

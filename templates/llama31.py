"""The JSON calls of Llama 3.1 to 3.3. A turn is text or one call: `{"name": "f", "parameters": {...}}`.

The functions stand in the first message of the user, as in Meta's chat template. Its date is always the template's
default, so that the prompts of one conversation stay equal from day to day.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

from core.conversation import CodeInterpreter, Function, Message, Reasoning, Tool, ToolChoice
from core.turn_format import Mark, Region, TurnFormat
from prompt_template import ANY_REASONING, Piece, PromptTemplate, functions_of, normalise, one_call_per_turn
from templates.shared.declared import declaration

_FORMAT = (
    'Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.'
    "Do not use variables.\n\n"
)
_IN_USER_MESSAGE = (
    "Given the following functions, please respond with a JSON for a function call "
    f"with its proper arguments that best answers the given prompt.\n\n{_FORMAT}"
)
_IN_SYSTEM_MESSAGE = (
    "You have access to the following functions. To call a function, please respond with JSON for a function call."
    + _FORMAT
)
_CODE = "<|python_tag|>"
_PYTHON = CodeInterpreter().name


class Llama31(PromptTemplate):
    name = "llama31"
    versions = ("llama-3.1", "llama-3.2", "llama-3.3")
    signs = ("<|start_header_id|>", "<|python_tag|>", '"parameters"')
    bos = True
    stop = ("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>")
    needed_tokens = ("<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", _CODE)
    optional_tokens = (_CODE,)
    opening = Piece("<|start_header_id|>assistant<|end_header_id|>\n\n", markup=True)
    separator = None
    call_tail = "}"
    code_head = _CODE

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], wish: Reasoning = ANY_REASONING
    ) -> list[Piece]:
        turns = one_call_per_turn(normalise(messages))
        system = turns.pop(0).content if turns and turns[0].role == "system" else None
        functions = functions_of(tools)
        first_user = next((number for number, turn in enumerate(turns) if turn.role == "user"), None)
        environment = "Environment: ipython\n" if tools else ""
        dates = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
        pieces = [_header("system"), Piece(environment + dates, markup=True)]
        if functions and first_user is None:
            pieces += [Piece(_IN_SYSTEM_MESSAGE, markup=True), _declarations(functions)]
        pieces += [Piece((system or "").strip()), _END]
        code_names = {tool.name for tool in tools if isinstance(tool, CodeInterpreter)}
        for number, turn in enumerate(turns):
            pieces += self._message(turn, functions if number == first_user else [], code_names)
        return pieces

    def call_head(self, name: str) -> str:
        return _CODE if name == _PYTHON else f'{{"name": "{name}", "parameters": '

    def choice_prefill(self, choice: ToolChoice) -> str:
        """Return the prefill. A tool with the name of the code interpreter has none, as it may be a function."""
        return "" if choice.names == (CodeInterpreter().name,) else super().choice_prefill(choice)

    def turn_format(self, tools: Sequence[Tool]) -> TurnFormat:
        """A turn is a call only if it begins with the head of one of the request's functions.

        So an answer that is JSON stays text, even if it has a `name`. A function that is named like the code
        interpreter may also be called behind `_CODE`.
        """
        heads = [Mark(text, "args", name=tool.name) for tool in functions_of(tools) for text in _heads(tool.name)]
        interpreter = next((tool.name for tool in tools if isinstance(tool, CodeInterpreter)), None)
        has_python = any(tool.name == _PYTHON for tool in tools)
        tag = replace(self.mark(_CODE, "args" if has_python else "call"), name=_PYTHON if has_python else None)
        return TurnFormat(
            start="start",
            regions={
                "start": Region("head", (*heads, tag)),
                "call": Region("head", tuple(heads)),
                "args": Region("args", after_value="end"),
            },
            code_names=frozenset([interpreter] if interpreter else []),
        )

    def _message(self, message: Message, functions: Sequence[Function], code_names: set[str]) -> Iterator[Piece]:
        if message.role == "assistant":
            yield from self._assistant(message, code_names)
            return
        yield _header("ipython" if message.role == "tool" else message.role)
        if functions:
            yield from (Piece(_IN_USER_MESSAGE, markup=True), _declarations(functions))
        text = message.content or ""
        yield Piece(json.dumps(text, ensure_ascii=False) if message.role == "tool" else text.strip())
        yield _END

    def _assistant(self, message: Message, code_names: set[str]) -> Iterator[Piece]:
        """Yield the pieces of an assistant message. Text before a call is a turn of its own."""
        if message.content or (message.content is not None and not message.calls):
            yield self.opening
            yield Piece(message.content.strip(), learned=True)
            yield Piece("<|eot_id|>", markup=True, learned=True)
        for call in message.calls:
            yield self.opening
            if call.name in code_names:
                yield Piece(_CODE, markup=True, learned=True)
                yield Piece(call.arguments, learned=True)
                yield Piece("<|eom_id|>", markup=True, learned=True)
                continue
            yield Piece('{"name": "', markup=True, learned=True)
            yield Piece(call.name, learned=True)
            yield Piece('", "parameters": ', markup=True, learned=True)
            yield Piece(call.arguments, learned=True)
            yield Piece("}", markup=True, learned=True)
            yield Piece("<|eot_id|>", markup=True, learned=True)


_END = Piece("<|eot_id|>", markup=True)


def _header(role: str) -> Piece:
    return Piece(f"<|start_header_id|>{role}<|end_header_id|>\n\n", markup=True)


def _declarations(functions: Sequence[Function]) -> Piece:
    return Piece("".join(f"{json.dumps(declaration(one), ensure_ascii=False, indent=4)}\n\n" for one in functions))


def _heads(name: str) -> Iterator[str]:
    """Yield the spellings of a call's head that the models write."""
    for colon, comma in ((": ", ", "), (":", ",")):
        for type_text in ("", f'"type"{colon}"function"{comma}'):
            for key in ("parameters", "arguments"):
                yield f'{{{type_text}"name"{colon}"{name}"{comma}"{key}"{colon}'


TEMPLATE: PromptTemplate = Llama31()

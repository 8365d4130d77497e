"""Turns with Hermes's tool calls, for formats that differ only in their system text and in what stands around turns."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from core.conversation import Call, CodeInterpreter, Function, Message, Reasoning, Tool, ToolChoice
from core.turn_format import TurnFormat
from prompt_template import ANY_REASONING, Piece, normalise
from schema import inlined
from templates.shared.hermes_tools import response_pieces, tool_line, tools_pieces
from templates.shared.json_calls import JsonCallTemplate

PYTHON = Function(
    "python",
    "This tool is used to execute python code. Code will be executed in a stateful Jupyter notebook environment. "
    "Python will respond with the output of the execution or time out after 60.0 seconds. The drive at '/mnt/data' can "
    "be used to save and persist user files.",
    {"type": "object", "properties": {"code": {"type": "string", "description": "The python code to run"}}},
)
_REASONING = " Please generate reasoning before deciding which tools to use."


class ToolCallChat(JsonCallTemplate):
    """A turn is a head for its role, TEXT, and an end. The code interpreter is shown as the function `PYTHON`.

    turns:     for each role, what stands before and after the text. Results are those of all calls of a turn.
    text_tail: what stands between the text and the first call of a turn.
    """

    turns: Mapping[str, tuple[str, str]]
    text_tail = "\n"
    required_prefill = "<tool_call>\n"
    code_function = replace(PYTHON, parameters={**(PYTHON.parameters or {}), "required": ["code"]})
    has_thinking_switch = True

    @abstractmethod
    def system_pieces(self, messages: list[Message], tools_section: list[Piece]) -> list[Piece]:
        """Return the beginning of the prompt. Remove from `messages` the first one if the beginning contains it.

        `tools_section` is the section `# Tools`; empty without tools.
        """

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], wish: Reasoning = ANY_REASONING
    ) -> list[Piece]:
        lines = [tool_line(PYTHON if isinstance(tool, CodeInterpreter) else inlined(tool)) for tool in tools]
        section = tools_pieces(lines, _REASONING if wish.is_enabled else "") if tools else []
        left = normalise(messages)
        pieces = self.system_pieces(left, section)
        for is_results, group in groupby(left, lambda message: message.role == "tool"):
            if is_results:
                pieces += self.turn("tool", response_pieces([message.content or "" for message in group]))
                continue
            for message in group:
                pieces += self._message(message)
        return pieces

    def choice_prefill(self, choice: ToolChoice) -> str:
        prefill = super().choice_prefill(choice)
        return prefill.removesuffix('": ') if choice.mode == "named" else prefill

    def turn_format(self, tools: Sequence[Tool]) -> TurnFormat:
        """Return the turn format. A function of the request that is named like the code interpreter takes JSON."""
        code_names = frozenset(tool.name for tool in tools if isinstance(tool, CodeInterpreter))
        return replace(super().turn_format(tools), code_names=code_names)

    def turn(self, role: str, content: list[Piece]) -> list[Piece]:
        """Return a turn that the model did not write."""
        head, end = self.turns[role]
        return [Piece(head, markup=True), *content, Piece(end, markup=True)]

    def _message(self, message: Message) -> list[Piece]:
        if message.role == "assistant":
            return list(self._assistant(message))
        is_empty = message.role == "user" and not message.content
        return [] if is_empty else self.turn(message.role, [Piece(message.content or "")])

    def _assistant(self, message: Message) -> Iterator[Piece]:
        """Yield the pieces of an assistant message; none if it has neither text nor calls."""
        if not message.content and not message.calls:
            return
        yield self.opening
        if message.content:
            yield Piece(message.content, learned=True)
            if message.calls:
                yield Piece(self.text_tail, markup=True, learned=True)
        for number, call in enumerate(message.calls):
            separator = self.separator if number else ""
            yield Piece(f'{separator}<tool_call>\n{{"name": "', markup=True, learned=True)
            yield Piece(call.name, learned=True)
            yield Piece('", "arguments": ', markup=True, learned=True)
            yield Piece(_arguments(call), learned=True)
            yield Piece(self.call_tail, markup=True, learned=True)
        yield Piece(self.stop[0], markup=True, learned=True)
        if after := self.turns["assistant"][1].removeprefix(self.stop[0]):
            yield Piece(after, markup=True)


def _arguments(call: Call) -> str:
    """Return the JSON of a call's arguments. Those of the code interpreter are an object with the code, as in training.

    Code that happens to be JSON was not wrapped in training.
    """
    if call.name != PYTHON.name:
        return call.arguments
    try:
        json.loads(call.arguments)
    except (ValueError, RecursionError):
        return json.dumps({"code": call.arguments}, ensure_ascii=False)
    return call.arguments


def chat_turns(start: str, end: str, *, model: str = "assistant", results: str = "user") -> dict[str, tuple[str, str]]:
    """Return the turns of a format that writes `start` ROLE, a line break, TEXT, `end` and a line break.

    `model` and `results` are its names of the roles assistant and tool.
    """
    names = {"system": "system", "user": "user", "assistant": model, "tool": results}
    return {role: (f"{start}{name}\n", f"{end}\n") for role, name in names.items()}

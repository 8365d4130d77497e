"""ChatML turns with Hermes's tool calls, as the chat templates of Hermes and Qwen write them."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from itertools import groupby

from core.conversation import Function, Message, Reasoning, Tool
from prompt_template import ANY_REASONING, Piece, normalise
from templates.shared.declared import declaration
from templates.shared.hermes_tools import response_pieces, tools_pieces
from templates.shared.json_calls import JsonCallTemplate

END = "<|im_end|>"


class ChatmlCalls(JsonCallTemplate):
    """A format whose turns are `<|im_start|>` ROLE, a line break, TEXT, `<|im_end|>` and a line break."""

    bos = False
    stop = (END, "<|endoftext|>")
    opening = Piece("<|im_start|>assistant\n", markup=True)
    needed_tokens = ("<|im_start|>",)

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], wish: Reasoning = ANY_REASONING
    ) -> list[Piece]:
        turns = normalise(messages)
        pieces = self.system_pieces(turns, self.functions_only(tools))
        last_query = max((number for number, turn in enumerate(turns) if turn.role == "user"), default=len(turns))
        for is_results, group in groupby(enumerate(turns), lambda item: item[1].role == "tool"):
            if is_results:
                results = list(group)
                pieces += self.results([turn.content or "" for _, turn in results], results[-1][0] == len(turns) - 1)
                continue
            for number, turn in group:
                is_reasoned = number > last_query and (bool(turn.reasoning) or number == len(turns) - 1)
                pieces += self._message(turn, is_reasoned=is_reasoned and self.renders_reasoning)
        return pieces

    @abstractmethod
    def system_pieces(self, turns: list[Message], functions: Sequence[Function]) -> list[Piece]:
        """Return the beginning of the prompt. Remove from `turns` the first one if the beginning contains it."""

    def results(self, results: Sequence[str], is_last: bool) -> list[Piece]:
        """Return the results of the calls of one turn. `is_last`: nothing follows them."""
        return turn("user", response_pieces(results))

    def _message(self, message: Message, *, is_reasoned: bool) -> list[Piece]:
        if message.role == "assistant":
            return list(self._assistant(message, is_reasoned=is_reasoned))
        return turn(message.role, [Piece(message.content or "")])

    def _assistant(self, message: Message, *, is_reasoned: bool) -> Iterator[Piece]:
        """Yield the pieces of an assistant message; none if it has neither text nor calls."""
        if message.content is None and not message.calls:
            return
        text = message.content or ""
        yield self.opening
        if is_reasoned and self.reasoning:
            yield Piece(self.reasoning.head, markup=True, learned=True)
            yield Piece(message.reasoning.strip("\n"), learned=True)
            yield Piece(self.reasoning.tail, markup=True, learned=True)
            text = text.lstrip("\n")
        yield Piece(text, learned=True)
        for number, call in enumerate(message.calls):
            before = "\n" if text or number else ""
            yield Piece(f'{before}<tool_call>\n{{"name": "', markup=True, learned=True)
            yield Piece(call.name, learned=True)
            yield Piece('", "arguments": ', markup=True, learned=True)
            yield Piece(call.arguments, learned=True)
            yield Piece(self.call_tail, markup=True, learned=True)
        yield Piece(END, markup=True, learned=True)
        yield Piece("\n", markup=True)


def qwen_system(turns: list[Message], functions: Sequence[Function], default: str) -> list[Piece]:
    """Return Qwen's system message: the first turn, if it is one, else `default`, and the section `# Tools`."""
    content = [Piece(turns.pop(0).content or "")] if turns and turns[0].role == "system" else []
    content = content or ([Piece(default, markup=True)] if default else [])
    if functions:
        gap = [Piece("\n\n", markup=True)] if content else []
        content += [*gap, *tools_pieces(json.dumps(declaration(one), ensure_ascii=False) for one in functions)]
    return turn("system", content) if content else []


def turn(role: str, content: list[Piece]) -> list[Piece]:
    """Return a turn that the model did not write."""
    return [Piece(f"<|im_start|>{role}\n", markup=True), *content, Piece(f"{END}\n", markup=True)]

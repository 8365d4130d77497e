"""The format r1 (DeepSeek-R1): a call is a name and a Markdown fence between control tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.conversation import ChatRequest, CodeInterpreter, Message, Reasoning, Tool, ToolChoice
from core.errors import RequestError
from core.turn_format import Mark, Region, TurnFormat
from prompt_template import ANY_REASONING, Piece, PromptTemplate, normalise
from templates.shared.deepseek_turns import ASSISTANT, END, caller_turn, header_pieces

_CALLS, _CALLS_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
_CALL, _CALL_END = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"
_SEPARATOR = "<｜tool▁sep｜>"
_RESULTS, _RESULTS_END = "<｜tool▁outputs▁begin｜>", "<｜tool▁outputs▁end｜>"
_RESULT, _RESULT_END = "<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>"
_FOOTER = "\nThink very carefully before calling functions.\n\n"


class FunctionaryR1(PromptTemplate):
    name = "functionary_r1"
    versions = ("r1",)
    bos = True
    stop = (END,)
    opening = Piece(f"{ASSISTANT}\n", markup=True)
    calls_open = _CALLS
    call_tail = code_tail = f"\n```{_CALL_END}"
    calls_close = _CALLS_END
    optional_tokens = (_CALLS, _CALLS_END, _CALL, _CALL_END, _SEPARATOR)
    has_thinking_switch = True

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], wish: Reasoning = ANY_REASONING
    ) -> list[Piece]:
        """Return the messages. As in the published format, results are closed only before the assistant's turn."""
        pieces = header_pieces(tools, wish, _FOOTER)
        is_result = False
        for message in normalise(messages):
            if message.role == "assistant" and not message.content and not message.calls:
                continue
            if is_result and message.role == "assistant":
                pieces.append(Piece(_RESULTS_END, markup=True))
            if message.role == "tool":
                head = Piece(_RESULT if is_result else _RESULTS + _RESULT, markup=True)
                pieces += [head, Piece(message.content or ""), Piece(_RESULT_END, markup=True)]
            else:
                pieces += _assistant(message) if message.role == "assistant" else caller_turn(message)
            is_result = message.role == "tool"
        return [*pieces, Piece(_RESULTS_END, markup=True)] if is_result else pieces

    def prompt(self, request: ChatRequest) -> list[Piece]:
        """Return the prompt. As in the published format, it has no opening after results."""
        pieces = super().prompt(request)
        is_after_results = pieces[-3:-2] == [Piece(_RESULTS_END, markup=True)]
        return [*pieces[:-2], pieces[-1]] if is_after_results else pieces

    def call_head(self, name: str) -> str:
        language = "python" if name == CodeInterpreter().name else "json"
        return f"{_CALL}function{_SEPARATOR}{name}\n```{language}\n"

    def choice_prefill(self, choice: ToolChoice) -> str:
        if choice.mode == "named":
            raise RequestError(
                f"This model's prompt format, {self.name}, cannot force one function; use tool_choice 'required', "
                "with only that function in 'tools'.",
                "tool_choice",
            )
        return super().choice_prefill(choice)

    def turn_format(self, tools: Sequence[Tool]) -> TurnFormat:
        calls_end = self.mark(_CALLS_END, "text")
        ends = (self.mark(_CALL_END, "calls"), calls_end)
        return TurnFormat(
            start="text",
            regions={
                "text": Region("text", (self.mark(_CALLS, "calls"), self.mark(_CALL, "calls"))),
                "calls": Region("skip", (self.mark(_SEPARATOR, "name"), calls_end), leads_to_call=True),
                "name": Region("name", (Mark("\n```json\n", "args"), Mark("\n```python\n", "args"))),
                "args": Region("args", (Mark("```", "calls"), *ends)),
                "code": Region("code", (Mark("\n```", "calls"), *ends)),
            },
            code_names=frozenset(tool.name for tool in tools if isinstance(tool, CodeInterpreter)),
        )


def _assistant(message: Message) -> Iterator[Piece]:
    yield Piece(ASSISTANT, markup=True)
    if message.content:
        yield Piece(message.content, learned=True)
    if message.calls:
        yield Piece(_CALLS, markup=True, learned=True)
    for call in message.calls:
        language = "python" if call.name == CodeInterpreter().name else "json"
        yield Piece(f"{_CALL}function{_SEPARATOR}", markup=True, learned=True)
        yield Piece(call.name, learned=True)
        yield Piece(f"\n```{language}\n", markup=True, learned=True)
        yield Piece(call.arguments, learned=True)
        yield Piece(f"\n```{_CALL_END}", markup=True, learned=True)
    if message.calls:
        yield Piece(_CALLS_END, markup=True, learned=True)
    yield Piece(END, markup=True, learned=True)


TEMPLATE: PromptTemplate = FunctionaryR1()

"""The format r1_distilled_llama: DeepSeek's turns with Llama 3.1's calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from core.conversation import CodeInterpreter, Message, Reasoning, Tool
from core.turn_format import Mark, Region, TurnFormat
from prompt_template import ANY_REASONING, Piece, PromptTemplate, normalise
from templates.shared.deepseek_turns import ASSISTANT, END, caller_turn, header_pieces

_FOOTER = """
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
_CALL, _CALL_END = "<function=", "</function>"
_CODE = "<|python_tag|>"
_END_OF_CALLS = "<|eom_id|>"


class FunctionaryR1Llama(PromptTemplate):
    name = "functionary_r1_llama"
    versions = ("r1_distilled_llama",)
    bos = True
    stop = (END, _END_OF_CALLS)
    opening = Piece(ASSISTANT, markup=True)
    call_tail = _CALL_END
    required_prefill = _CALL
    optional_tokens = (_CODE,)
    has_thinking_switch = True

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], wish: Reasoning = ANY_REASONING
    ) -> list[Piece]:
        """Return the messages. As in the published format, nothing separates a result from the texts around it."""
        pieces = header_pieces(tools, wish, _FOOTER)
        for message in normalise(messages):
            if message.role == "assistant":
                pieces += self._assistant(message)
            elif message.role == "tool":
                pieces += [Piece("ipython\n\n", markup=True), Piece(message.content or "")]
            else:
                pieces += caller_turn(message)
        return pieces

    def call_head(self, name: str) -> str:
        return _CODE if name == CodeInterpreter().name else f"{_CALL}{name}>"

    def turn_format(self, tools: Sequence[Tool]) -> TurnFormat:
        marks = [Mark(_CALL, "name")]
        if any(tool.name == CodeInterpreter().name for tool in tools):
            marks.append(replace(self.mark(_CODE, "args"), name=CodeInterpreter().name))
        return TurnFormat(
            start="text",
            regions={
                "text": Region("text", tuple(marks)),
                "name": Region("name", (Mark(">", "args"),)),
                "args": Region("args", (Mark(_CALL_END, "text"),)),
            },
            code_names=frozenset(tool.name for tool in tools if isinstance(tool, CodeInterpreter)),
        )

    def _assistant(self, message: Message) -> Iterator[Piece]:
        """Yield the pieces of an assistant message; none if it has neither text nor calls."""
        if not message.content and not message.calls:
            return
        yield self.opening
        if message.content:
            yield Piece(message.content, learned=True)
        for call in message.calls:
            is_code = call.name == CodeInterpreter().name
            yield Piece(_CODE if is_code else _CALL, markup=True, learned=True)
            yield Piece(call.arguments if is_code else call.name, learned=True)
            if not is_code:
                yield Piece(">", markup=True, learned=True)
                yield Piece(call.arguments, learned=True)
                yield Piece(_CALL_END, markup=True, learned=True)
        yield Piece(_END_OF_CALLS if message.calls else END, markup=True, learned=True)


TEMPLATE: PromptTemplate = FunctionaryR1Llama()

"""The format v3.llama3 (functionary-medium-v3.0, small and medium v3.2).

Each part of a turn is `>>>RECIPIENT`, a line break and a body. The recipient `all` is the user. `>>>` is ordinary text,
not a control token: inside text and code it begins a new part only before a known recipient.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.conversation import CodeInterpreter, Message, Reasoning, Tool
from core.turn_format import Mark, Region, TurnFormat
from prompt_template import (
    ANY_REASONING,
    CODE_INTERPRETER_SYSTEM,
    Arguments,
    Piece,
    PromptTemplate,
    functions_of,
    normalise,
)
from schema import typescript

_HEADER = """\
You are capable of executing available function(s) if required.
Only execute function(s) when absolutely necessary.
Ask for the required input to:recipient==all
Use JSON for function arguments.
Respond in this format:
>>>${recipient}
${content}
Available functions:
"""


class RecipientTemplate(PromptTemplate):
    """The format v3 with the given markup around turns. A turn is `start` ROLE `body` TEXT `end` `after`."""

    text_head = text_prefill = "all\n"
    separator = ">>>"

    def __init__(
        self,
        name: str,
        *,
        versions: tuple[str, ...],
        bos: bool,
        stop: tuple[str, ...],
        start: str,
        body: str,
        end: str,
        after: str = "",
        header: str = "",
        arguments: Arguments = "schema",
    ) -> None:
        self.name, self.versions, self.bos, self.stop = name, versions, bos, stop
        self.opening = Piece(f"{start}assistant{body}>>>", markup=True)
        self._start, self._body, self._end, self._after = start, body, end, after
        self._header = header
        self.arguments = arguments

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], wish: Reasoning = ANY_REASONING
    ) -> list[Piece]:
        self.check_reserved_name("all", tools)
        pieces = self._turn("system", self._header, typescript(functions_of(tools)))
        if any(isinstance(tool, CodeInterpreter) for tool in tools):
            pieces += self._turn("system", CODE_INTERPRETER_SYSTEM, "")
        for message in normalise(messages):
            if message.role == "assistant":
                pieces += self._assistant(message)
            else:
                pieces += self._turn(message.role, "", message.content or "")
        return pieces

    def call_head(self, name: str) -> str:
        return f"{name}\n"

    def turn_format(self, tools: Sequence[Tool]) -> TurnFormat:
        recipients = dict.fromkeys(["all", *(tool.name for tool in tools)])
        heads = tuple(Mark(f">>>{name}\n", "args", name=name) for name in recipients)
        return TurnFormat(
            start="name",
            regions={
                "name": Region("name", (Mark("\n", "args"),)),
                "args": Region("args", (Mark(">>>", "name"),)),
                "text": Region("text", heads),
                "code": Region("code", heads),
            },
            text_recipient="all",
            code_names=frozenset(tool.name for tool in tools if isinstance(tool, CodeInterpreter)),
        )

    def _turn(self, role: str, markup: str, text: str) -> list[Piece]:
        head = Piece(f"{self._start}{role}{self._body}{markup}", markup=True)
        return [head, Piece(text), Piece(self._end + self._after, markup=True)]

    def _assistant(self, message: Message) -> Iterator[Piece]:
        """Yield the pieces of an assistant message; none if it has neither text nor calls. Empty text is rendered."""
        parts = [] if message.content is None else [("all", message.content)]
        parts += [(call.name, call.arguments) for call in message.calls]
        if not parts:
            return
        yield self.opening
        for number, (recipient, body) in enumerate(parts):
            if number:
                yield Piece(">>>", markup=True, learned=True)
            yield Piece(recipient, learned=True)
            yield Piece("\n", markup=True, learned=True)
            yield Piece(body, learned=True)
        yield Piece(self._end, markup=True, learned=True)
        if self._after:
            yield Piece(self._after, markup=True)


def in_llama3_turns(name: str, version: str) -> RecipientTemplate:
    """Return the format v3 in Llama 3's turns, with the header that these checkpoints were trained with."""
    return RecipientTemplate(
        name,
        versions=(version,),
        bos=True,
        stop=("<|eot_id|>", "<|end_of_text|>"),
        start="<|start_header_id|>",
        body="<|end_header_id|>\n\n",
        end="<|eot_id|>",
        header=_HEADER,
        arguments="free",
    )


TEMPLATE: PromptTemplate = in_llama3_turns("functionary_v3", "v3.llama3")

"""The template of every checkpoint whose format has no file here: its own chat template, rendered in a sandbox."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from chat_templates.answers import answer_template, reasoning_marks, with_reasoning
from chat_templates.marking import MARKS, Indistinct, Marking
from chat_templates.probes import probe
from chat_templates.renderer import Renderer, RenderingError
from chat_templates.variables import chat_messages, chat_tools, with_own_reasoning
from core.conversation import ChatRequest, Function, Message, Reasoning, Tool, ToolChoice
from core.errors import ModelError, RequestError
from core.turn_format import TurnFormat
from prompt_template import ANY_REASONING, GENERIC, Piece, PromptTemplate, normalise

Json = dict[str, Any]


class GenericTemplate(PromptTemplate):
    """A checkpoint's chat template as a prompt format. `close` ends its processes.

    The chat template writes the BOS token itself if the model wants one, as in transformers. The answer is read by the
    turn format of one of the other templates, which the text of the chat template points to.
    """

    name = GENERIC
    versions = ()
    bos = False

    def __init__(
        self,
        chat_template: str,
        *,
        special_tokens: Mapping[str, str],
        control_tokens: Collection[str],
        end_tokens: Sequence[str] = (),
    ) -> None:
        """`special_tokens` are those with a name, such as `bos_token`; `end_tokens` end an answer by the checkpoint.

        Raises ModelError if the chat template cannot be rendered, or if no control token ends an answer.
        """
        if MARKS.search(chat_template):
            raise ModelError("The chat template of the checkpoint contains Unicode noncharacters.")
        self._special_tokens = dict(special_tokens)
        self._marking = Marking(control_tokens)
        self._renderer = Renderer(chat_template)
        try:
            self._facts = probe(self._renderer, special_tokens, control_tokens)
            self._answers = answer_template(chat_template, frozenset(control_tokens))
            self.reasoning = self._answers.reasoning or reasoning_marks(chat_template)
            stop = dict.fromkeys([self._facts.end, *end_tokens])
            self.stop = tuple(text for text in stop if text in control_tokens)
            if not self.stop:
                raise ModelError("The checkpoint has no control token that ends an answer of its chat template.")
        except ModelError:
            self.close()
            raise
        self._control_tokens = frozenset(control_tokens)
        opening = self._facts.openings[None]
        self.opening = Piece(opening.removesuffix(self.reasoning_prefill(ANY_REASONING)), markup=True)
        self.text_head, self.text_prefill = self._answers.text_head, self._answers.text_prefill
        self.calls_open, self.calls_close = self._answers.calls_open, self._answers.calls_close
        self.arguments_style = self._answers.arguments_style
        self.call_tail, self.separator = self._answers.call_tail, self._answers.separator
        self.renders_names, self.renders_reasoning = self._facts.shows_names, self._facts.shows_reasoning
        self.has_thinking_switch, self.has_effort = self._facts.has_switch, self._facts.has_effort

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], wish: Reasoning = ANY_REASONING
    ) -> list[Piece]:
        """Return the messages as pieces. The answers are learned, unless the template changes them in later turns.

        Each answer is found by rendering the conversation before it with an opening, and the conversation up to it.
        """
        turns = normalise(messages) or [Message("user", "")]  # templates look at the first message
        numbers = [number for number, turn in enumerate(turns) if turn.role == "assistant"]
        cuts = [part for number in numbers for part in ((turns[:number], True), (turns[: number + 1], False))]
        whole, *parts = self._rendered([(turns, False), *cuts], tools, wish)
        text = _joined(whole)
        spans = []
        for before, upto in zip(parts[::2], parts[1::2], strict=True):
            start, end = len(_joined(before)), self._end_of_answer(_joined(before), _joined(upto))
            if end > start and text.startswith(_joined(before)) and text.startswith(_joined(upto)[:end]):
                spans.append((start, end))
        return list(_with_learned(whole, spans))

    def prompt(self, request: ChatRequest) -> list[Piece]:
        tools = self.visible_tools(request.tools, request.choice)
        pieces = self._rendered([(normalise(request.messages), True)], tools, request.reasoning)[0]
        begun = self.reasoning_prefill(request.reasoning)
        if begun and pieces and pieces[-1].markup and pieces[-1].text.endswith(begun):
            pieces[-1] = replace(pieces[-1], text=pieces[-1].text.removesuffix(begun))
        return [*pieces, Piece(self.prefill(request.choice, request.reasoning), markup=True, learned=True)]

    def call_head(self, name: str) -> str:
        return self._answers.call_head(name)

    def choice_prefill(self, choice: ToolChoice) -> str:
        return self._answers.choice_prefill(choice)

    def reasoning_prefill(self, wish: Reasoning) -> str:
        if self.reasoning is None:
            return ""
        opening = self._facts.openings[wish.is_enabled]
        start = opening.rfind(self.reasoning.head.strip())
        return opening[start:] if start >= 0 else ""

    def turn_format(self, tools: Sequence[Tool]) -> TurnFormat:
        turn_format = self._answers.turn_format(tools)
        if self.reasoning is None or self._answers.reasoning is not None:
            return turn_format
        return with_reasoning(turn_format, self.reasoning, self._control_tokens)

    def bound(self, token_id: Callable[[str], int | None]) -> PromptTemplate:
        """Return this template, which was made for one tokenizer."""
        return self

    def description(self) -> str:
        """Return how calls are read, for the lines printed at start."""
        if not self._facts.shows_functions:
            return "it has no place for functions"
        return f"calls are read as those of {self._answers.name}"

    def close(self) -> None:
        self._renderer.close()

    def _rendered(
        self, conversations: Sequence[tuple[Sequence[Message], bool]], tools: Sequence[Tool], wish: Reasoning
    ) -> list[list[Piece]]:
        """Return the pieces of each conversation. The flag says whether the opening of an answer follows."""
        functions = self.functions_only(tools)
        values = [self._shown(turns, functions) for turns, _ in conversations]
        others = self._special_tokens | self._facts.wish_variables(wish)
        renderings = [
            {**others, **shown, "add_generation_prompt": has_opening}
            for value, (_, has_opening) in zip(values, conversations, strict=True)
            for shown in (self._marking.marked(value), value)
        ]
        try:
            texts = self._renderer.render(renderings)
            pairs = zip(texts[::2], texts[1::2], values, strict=True)
            return [self._marking.pieces(marked, plain, value) for marked, plain, value in pairs]
        except RenderingError as error:
            raise RequestError(f"The model's chat template refuses the request: {error}", "messages") from None
        except Indistinct as error:
            raise RequestError(
                f"The model's chat template changes the texts of the request, so {error.spelling!r} in one of them "
                "cannot be told from the model's own control token; remove it.",
                "messages",
            ) from None

    def _shown(self, turns: Sequence[Message], functions: Sequence[Function]) -> Json:
        """Return the conversation as variables. Raises RequestError for what the chat template leaves out."""
        if functions and not self._facts.shows_functions:
            raise RequestError("The model's chat template has no place for functions; use another model.", "tools")
        if not self._facts.shows_calls and any(turn.calls or turn.role == "tool" for turn in turns):
            raise RequestError("The model's chat template has no place for calls and their results.", "messages")
        if self.reasoning and self._facts.shows_reasoning:
            turns = [with_own_reasoning(turn, self.reasoning) for turn in turns]
        shown = {
            "messages": chat_messages(turns, self._facts.shape),
            "tools": chat_tools(functions) or None,
        }
        cleaned: Json = self._marking.cleaned(shown)
        return cleaned

    def _end_of_answer(self, before: str, upto: str) -> int:
        """Return the index behind the stop token of the answer that follows `before`."""
        if not upto.startswith(before):
            return 0
        found = upto.rfind(self.stop[0], len(before))
        return found + len(self.stop[0]) if found >= 0 else len(upto.rstrip())


def _joined(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def _with_learned(pieces: Sequence[Piece], spans: Sequence[tuple[int, int]]) -> Iterator[Piece]:
    """Yield the pieces, cut where one of the spans, given in characters, begins or ends. Those in spans are learned."""
    edges = sorted({edge for span in spans for edge in span})
    at = 0
    for piece in pieces:
        end = at + len(piece.text)
        cuts = [at, *(edge for edge in edges if at < edge < end), end]
        for start, stop in pairwise(cuts):
            is_learned = any(first <= start < last for first, last in spans)
            yield replace(piece, text=piece.text[start - at : stop - at], learned=is_learned)
        at = end

"""Convert the assistant's turn to events. The turn ends early at a stop string or at the request's limit on calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.conversation import ChatRequest
from core.turn_format import ArgsDelta, CallStart, Event, FinishReason, ReasoningDelta, TextDelta, TokenReport
from prompt_template import Piece, PromptTemplate
from text.parser import OutputParser
from text.stop_strings import StopStrings
from text.tokenizer import Decoded, Tokenizer


@dataclass(frozen=True)
class Token:
    """One sampled token as text, and the token counts of the request so far.

    `pieces` is empty for the stop token and while a character is incomplete.
    """

    pieces: tuple[Decoded, ...]
    report: TokenReport | None
    num_generated: int
    num_cached: int
    finish_reason: FinishReason | None = None
    num_accepted: int = 0  # accepted draft tokens
    num_rejected: int = 0


class Turn:
    """Turns the tokens of one answer into events.

    `is_over` becomes true at a stop string, at a call beyond the request's limit, and at a mark that ends the turn.
    """

    def __init__(self, request: ChatRequest, template: PromptTemplate, tokenizer: Tokenizer) -> None:
        self.is_over = False
        self.num_reasoning_tokens = 0
        self._parser = OutputParser(template.turn_format(request.tools))
        self._stop = StopStrings(request.sampling.stop)
        self._num_calls_left = 0 if request.choice.mode == "none" else request.max_calls
        self._ends_with_call = request.legacy and request.choice.mode != "none"  # with function_call, content is null
        self._reports: list[TokenReport] = []
        prefill = tokenizer.encode([Piece(template.prefill(request.choice, request.reasoning), markup=True)]).ids
        decoder = tokenizer.stream_decoder()
        self._unread_prefill = [piece for token_id in prefill for piece in decoder.feed(token_id)]

    @property
    def stop_string(self) -> str | None:
        """The stop string that ended the turn, or None."""
        return self._stop.hit

    def read(self, token: Token) -> Iterator[Event | TokenReport]:
        """Yield the events of one more token.

        The events of the prefill come with the first token, when the engine has accepted the request.
        """
        yield from self._feed(self._unread_prefill)
        self._unread_prefill = []
        self.num_reasoning_tokens += self._parser.region == "reasoning"
        if token.report and self._parser.region == "text":
            self._reports.append(token.report)
        yield from self._feed(token.pieces)
        if self._parser.region == "reasoning":
            self._reports.clear()  # those of the mark that opens the reasoning
        if self._stop.would_hit(self._parser.trailing_whitespace):
            yield from self._text(self._stop.feed(self._parser.trailing_whitespace))
            self.is_over = True
        self.is_over = self.is_over or self._parser.region == "end"

    def end(self, *, is_truncated: bool) -> Iterator[Event | TokenReport]:
        """Yield the last events. `is_truncated` means that the token limit ended the answer."""
        if not self.is_over:
            yield from self._allowed(self._parser.finish(is_truncated=is_truncated))
        if not self._stop.is_hit:
            yield from self._text(self._stop.finish())

    def _feed(self, pieces: Sequence[Decoded]) -> Iterator[Event | TokenReport]:
        for piece in pieces:
            yield from self._allowed(self._parser.feed(piece.text, is_control=piece.is_control))

    def _allowed(self, events: Iterator[Event]) -> Iterator[Event | TokenReport]:
        for event in events:
            if self.is_over:
                return
            match event:
                case TextDelta():
                    if self._ends_with_call and self._num_calls_left == 0:
                        self.is_over = True
                        return
                    yield from self._text(self._stop.feed(event.text))
                    self.is_over = self._stop.is_hit
                case CallStart():
                    self._reports.clear()
                    if self._num_calls_left == 0:
                        self.is_over = True
                        return
                    self._num_calls_left = None if self._num_calls_left is None else self._num_calls_left - 1
                    yield from self._text(self._stop.finish())
                    yield event
                case ArgsDelta() | ReasoningDelta():
                    yield event

    def _text(self, text: str) -> Iterator[Event | TokenReport]:
        if text:
            yield from self._reports
            self._reports.clear()
            yield TextDelta(text)

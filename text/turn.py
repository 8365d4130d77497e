"""The assistant's turn: decoded tokens become events, until the request's own limits end it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.conversation import ChatRequest
from core.turn_format import ArgsDelta, CallStart, Event, FinishReason, TextDelta, TokenReport
from prompt_template import Piece, PromptTemplate
from text.parser import OutputParser
from text.stop_strings import StopStrings
from text.tokenizer import Decoded, Tokenizer


@dataclass(frozen=True)
class Token:
    """One generated token as text (none while a character is incomplete), and the counts so far."""

    pieces: tuple[Decoded, ...]
    report: TokenReport | None
    num_generated: int
    num_cached: int
    finish_reason: FinishReason | None = None
    num_accepted: int = 0  # of the engine's guesses
    num_rejected: int = 0


class Turn:
    """The assistant's turn of one answer: what was decoded becomes events, until the request's own limits end it."""

    def __init__(self, request: ChatRequest, template: PromptTemplate, tokenizer: Tokenizer) -> None:
        self.is_over = False
        self._parser = OutputParser(template.turn_format(request.tools))
        self._stop = StopStrings(request.sampling.stop)
        self._calls_left = 0 if request.choice.mode == "none" else request.max_calls
        self._ends_with_call = request.legacy and request.choice.mode != "none"  # content is null beside function_call
        self._reports: list[TokenReport] = []
        prefill = tokenizer.encode([Piece(template.prefill(request.choice), markup=True)]).ids
        reader = tokenizer.stream()
        self._unread = [piece for token_id in prefill for piece in reader.feed(token_id)]

    def read(self, token: Token) -> Iterator[Event | TokenReport]:
        """Events of one more token; those of the prefill come with the first, when nothing can be refused any more."""
        yield from self._feed(self._unread)
        self._unread = []
        if token.report and self._parser.region == "text":
            self._reports.append(token.report)
        yield from self._feed(token.pieces)
        if self._stop.would_hit(self._parser.blanks):
            yield from self._text(self._stop.feed(self._parser.blanks))
            self.is_over = True
        self.is_over = self.is_over or self._parser.region == "end"

    def end(self, *, cut: bool) -> Iterator[Event | TokenReport]:
        """What was held back. `cut`: the token limit ended the answer."""
        if not self.is_over:
            yield from self._allowed(self._parser.finish(cut=cut))
        if not self._stop.is_hit:
            yield from self._text(self._stop.finish())

    def _feed(self, pieces: Sequence[Decoded]) -> Iterator[Event | TokenReport]:
        for piece in pieces:
            yield from self._allowed(self._parser.feed(piece.text, special=piece.special))

    def _allowed(self, events: Iterator[Event]) -> Iterator[Event | TokenReport]:
        for event in events:
            if self.is_over:
                return
            match event:
                case TextDelta():
                    if self._ends_with_call and self._calls_left == 0:
                        self.is_over = True
                        return
                    yield from self._text(self._stop.feed(event.text))
                    self.is_over = self._stop.is_hit
                case CallStart():
                    self._reports.clear()
                    if self._calls_left == 0:
                        self.is_over = True
                        return
                    self._calls_left = None if self._calls_left is None else self._calls_left - 1
                    yield from self._text(self._stop.finish())
                    yield event
                case ArgsDelta():
                    yield event

    def _text(self, text: str) -> Iterator[Event | TokenReport]:
        if text:
            yield from self._reports
            self._reports.clear()
            yield TextDelta(text)

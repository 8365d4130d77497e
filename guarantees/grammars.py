"""Compile grammars with llguidance, within limits on time and memory, and track the state of an answer in a grammar."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from llguidance import LLMatcher, LLParserLimits
from numpy.typing import NDArray

from core.errors import EngineError, RequestError
from core.generation import JsonRule, Lark
from guarantees.caller_grammar import uncompiled
from json_schema.grammar_rules import body, loosened, settled, uncompilable
from text.vocabulary import Vocabulary

_COMPILE_S = 3.0  # the time limit for all attempts to compile one grammar
_MAX_CHARACTERS = 500_000  # of a grammar; a grammar of that size takes 1 s and 50 MB to compile

# An object with 1,000 optional properties needs 4,000 items in one of the parser's rows. The fuel allows 20 ms for
# building a lexer and 15 ms for one mask. A lexer state takes 1 to 2 kB while the grammar is cached.
_LIMITS = LLParserLimits(
    max_items_in_row=10_000,
    initial_lexer_fuel=1_000_000,
    step_lexer_fuel=200_000,
    step_max_items=200_000,
    max_lexer_states=20_000,
    max_grammar_size=500_000,
    verbose_errors=False,  # verbose errors would write the client's schema to the log
)


@dataclass
class Compiled:
    """A compiled grammar. All answers share its lexer: after it exceeds a limit, it fails for later answers too."""

    lark: Lark
    text: str
    vocabulary: Vocabulary
    start: LLMatcher
    is_broken: bool = False

    def may_begin_with(self, text: bytes) -> bool:
        """Return whether an answer in this grammar can begin with `text`."""
        token_ids = self.vocabulary.tokenize(text)
        return int(self.start.deep_copy().try_consume_tokens(token_ids)) == len(token_ids)

    def loosened(self) -> LLMatcher | None:
        """Compile the grammar without the keywords that can exceed limits during an answer.

        Returns None if all rules are strict, so that no keyword may be dropped.
        """
        rules = self.lark.json_rules
        if all(rule.strict for rule in rules.values()):
            return None
        bodies = {name: body(rule) if rule.strict else loosened(rule) for name, rule in rules.items()}
        loosened_matcher: LLMatcher = _matcher(_text(self.lark, bodies), self.vocabulary)
        return loosened_matcher


class GrammarState:
    """The position of one answer in a grammar."""

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled
        self._matcher = compiled.start.deep_copy()
        self._accepted: list[int] = []
        self._is_loosened = False

    @property
    def is_complete(self) -> bool:
        """Whether the grammar has ended, including the stop token or separator."""
        return bool(self._matcher.is_stopped()) and not self._matcher.is_error()

    def mask(self) -> NDArray[np.bool_]:
        """Return which tokens may come next, (vocab_size,)."""
        bits = self._matcher.compute_bitmask()
        if self._matcher.is_error():
            self._recover()
            bits = self._matcher.compute_bitmask()
        size = self._compiled.vocabulary.size
        return np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=size, bitorder="little").view(np.bool_)

    def forced(self) -> list[int]:
        """Return the tokens that must come next; empty if the grammar allows several next tokens."""
        return [] if self._matcher.is_error() else list(self._matcher.compute_ff_tokens())

    def accept(self, token_ids: list[int]) -> None:
        """Advance by these tokens. Raises EngineError if the grammar does not allow them."""
        if not self._matcher.consume_tokens(token_ids):
            if "satisfy the grammar" in self._matcher.get_error():
                raise EngineError("a token was sampled that the constraint does not allow")
            self._recover()
            if not self._matcher.consume_tokens(token_ids):
                raise EngineError("a token was sampled that the constraint does not allow")
        self._accepted += token_ids

    def accept_text(self, text: bytes) -> None:
        """Advance by the tokens of `text`. Raises EngineError if the grammar does not allow them."""
        if text:
            self.accept(self._compiled.vocabulary.tokenize(text))

    def _recover(self) -> None:
        """Continue with the loosened grammar after the first one exceeds a limit.

        Raises EngineError if all rules are strict.
        """
        self._compiled.is_broken = True
        loosened = None if self._is_loosened else self._compiled.loosened()
        self._is_loosened = True
        if loosened is None or not loosened.consume_tokens(self._accepted):
            raise EngineError("the schema or grammar is too complex to be followed")
        self._matcher = loosened


def compiled(lark: Lark, vocabulary: Vocabulary) -> Compiled:
    """Compile a grammar. Keywords that llguidance does not support are dropped from rules that are not strict.

    Raises RequestError for a strict rule, and for a request's own grammar, that cannot be compiled.
    """
    deadline = time.monotonic() + _COMPILE_S
    text = _text(lark, {name: body(rule) for name, rule in lark.json_rules.items()})
    if len(text) > _MAX_CHARACTERS:
        deadline = 0.0
    elif not _fault(matcher := _matcher(text, vocabulary)):
        return Compiled(lark, text, vocabulary, matcher)

    def fault_of(rule_body: str) -> str:
        return _fault(_matcher(f"start: {rule_body}\n", vocabulary))

    text = _text(lark, {name: settled(rule, fault_of, deadline) for name, rule in lark.json_rules.items()})
    matcher = _matcher(text, vocabulary)
    if fault := _fault(matcher):
        if lark.param:
            raise uncompiled(lark.param, fault)
        raise _too_large(lark.json_rules, fault)
    return Compiled(lark, text, vocabulary, matcher)


def _text(lark: Lark, bodies: Mapping[str, str]) -> str:
    return lark.text + "".join(f"{name}: {rule_body}\n" for name, rule_body in bodies.items())


def _matcher(text: str, vocabulary: Vocabulary) -> LLMatcher:
    return LLMatcher(vocabulary.ll_tokenizer, text, log_level=0, limits=_LIMITS)


def _fault(matcher: LLMatcher) -> str:
    """Return llguidance's error, or "" if there is none.

    Computes one mask first, because llguidance reports some exceeded limits only when it computes a mask.
    """
    if not matcher.is_error():
        matcher = matcher.deep_copy()
        matcher.compute_bitmask()
    return str(matcher.get_error())


def _too_large(rules: Mapping[str, JsonRule], fault: str) -> RequestError:
    """Create the error for a grammar that does not compile although each of its rules does."""
    if not rules:
        raise EngineError(f"an internal grammar does not compile: {fault[:200]}")
    return uncompilable(next(iter(rules.values())), "with the request's other schemas it is too large")

"""Compile grammars with llguidance, within limits on time and memory, and track the state of an answer in a grammar."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile

import numpy as np
from llguidance import LLMatcher, LLParserLimits
from numpy.typing import NDArray

from core.errors import EngineError, RequestError, TooComplex
from core.generation import CallRule, JsonRule, Lark
from guarantees.caller_grammar import compiles_too_long, uncompiled
from guarantees.digits import Digits, has_long_number
from guarantees.texts import TextState, opened, unpacked
from json_schema.grammar_rules import body, loosened, settled, uncompilable
from text.vocabulary import Vocabulary

_COMPILE_S = 3.0  # the time limit for all attempts to compile one grammar
_PREFIX = b"0;"  # of the grammar of a call that is compiled alone
_MAX_CHARACTERS = 500_000  # of a grammar; a grammar of that size takes 1 s and 50 MB to compile


# An object with 1,000 optional properties needs 4,000 items in one of the parser's rows. The fuel allows 20 ms for
# building a lexer and 15 ms for one mask. A lexer state takes 1 to 2 kB while the grammar is cached.
def _limits(max_items_in_row: int) -> LLParserLimits:
    return LLParserLimits(
        max_items_in_row=max_items_in_row,
        initial_lexer_fuel=1_000_000,
        step_lexer_fuel=200_000,
        step_max_items=200_000,
        max_lexer_states=20_000,
        max_grammar_size=500_000,
        verbose_errors=False,  # verbose errors would write the client's schema to the log
    )


_LIMITS = _limits(10_000)
_TEXT_LIMITS = _limits(2_000)  # a mask takes 10 ms with as many items, and the time grows with their square


@dataclass(eq=False)
class Compiled:
    """A compiled grammar. All answers share its lexer: after it exceeds a limit, it fails for later answers too.

    texts:     what the grammars of `lark.text_rules` have compiled to, in their order.
    prefix:    what `start` has consumed before an answer begins.
    is_shared: grammars that were compiled together share the lexer, so that it may fail because of another grammar.
    """

    lark: Lark
    text: str
    vocabulary: Vocabulary
    start: LLMatcher
    texts: Sequence[LLMatcher] = ()
    prefix: bytes = b""
    is_shared: bool = False
    is_broken: bool = False

    def may_begin_with(self, text: bytes) -> bool:
        """Return whether an answer in this grammar can begin with `text`."""
        token_ids = self.vocabulary.tokenize(text)
        return int(self.start.deep_copy().try_consume_tokens(token_ids)) == len(token_ids)

    @cached_property
    def ends_numbers(self) -> bool:
        """Whether numbers in this grammar have a limit of digits: it is JSON, without free text and long numbers."""
        has_free_text = any(name in self.lark.text for name in ("CODE", "TEXT_"))
        return bool(self.lark.json_rules) and not has_free_text and not has_long_number(self.text)

    def loosened(self) -> LLMatcher | None:
        """Compile the grammar without the keywords that can exceed limits during an answer.

        Returns None if all rules are strict, so that no keyword may be dropped.
        """
        rules = self.lark.json_rules
        if all(rule.strict for rule in rules.values()):
            return None
        bodies = {name: body(rule) if rule.strict else loosened(rule) for name, rule in rules.items()}
        loosened_matcher: LLMatcher = _matcher(_text(self.lark, bodies, self.vocabulary), self.vocabulary)
        loosened_matcher.consume_tokens(self.vocabulary.tokenize(self.prefix))
        return loosened_matcher


class GrammarState:
    """The position of one answer in a grammar."""

    def __init__(self, compiled: Compiled) -> None:
        self._compiled = compiled
        self._matcher = compiled.start.deep_copy()
        self._accepted: list[int] = []
        self._num_recoveries = 0
        self._digits = Digits() if compiled.ends_numbers else None
        self._text: TextState | None = None  # the text that the answer is in
        self._text_id = 0  # the token that stands for it in the grammar
        self._is_masked = False  # whether `mask` has seen this position, so that a text that begins here is open

    @property
    def grammar(self) -> str:
        """The grammar as text; "" if it holds texts with grammars of their own."""
        return "" if self._compiled.texts else self._compiled.text

    @property
    def is_complete(self) -> bool:
        """Whether the grammar has ended, including the stop token or separator."""
        return bool(self._matcher.is_stopped()) and not self._matcher.is_error()

    def mask(self) -> NDArray[np.bool_]:
        """Return which tokens may come next, (vocab_size,)."""
        self._is_masked = True
        if self._text:
            return self._text.mask()
        vocabulary, num_texts = self._compiled.vocabulary, len(self._compiled.texts)
        packed = self._matcher.compute_bitmask()
        if self._matcher.is_error():
            self._recover()
            packed = self._matcher.compute_bitmask()
        allowed = unpacked(packed, vocabulary.first_text_id + num_texts if num_texts else vocabulary.size)
        if num_texts:
            texts, allowed = allowed[vocabulary.first_text_id :], allowed[: vocabulary.size]
            if texts.any():
                self._text = self._opened(int(texts.argmax()))
                return self._text.mask()
        if self._digits and self._digits.are_enough:
            return self._ending(allowed)
        return allowed

    def _ending(self, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Leave only tokens that end a number; if there are none, only digits after which it can end.

        A multiple, as of 7, ends after certain digits only. All digits stay if one more does not suffice.
        """
        vocabulary = self._compiled.vocabulary
        without_digits = allowed & ~vocabulary.starts_with_digit
        if without_digits.any():
            return without_digits
        last = np.zeros_like(allowed)
        for token_id in np.flatnonzero(allowed):
            if len(vocabulary.token_bytes(int(token_id))) == 1:
                after = self._matcher.deep_copy()
                after.consume_token(int(token_id))
                last[token_id] = (
                    unpacked(after.compute_bitmask(), vocabulary.size) & ~vocabulary.starts_with_digit
                ).any()
        return last if last.any() else allowed

    def allows(self, token_id: int) -> bool:
        """Return whether `mask` has this token."""
        needs_mask = self._compiled.texts or (self._digits and self._digits.are_enough)
        if needs_mask or token_id in self._compiled.vocabulary.ll_tokenizer.eos_tokens:  # llguidance validates no eos
            return bool(self.mask()[token_id])
        is_valid = self._matcher.validate_tokens([token_id]) == 1
        if self._matcher.is_error():
            return bool(self.mask()[token_id])
        if not is_valid:
            return False
        certain = self.forced()  # text that is certain has its usual tokens only
        return not certain or token_id == certain[0]

    def forced(self) -> list[int]:
        """Return the tokens that must come next; empty if the grammar allows several next tokens."""
        if self._text or self._matcher.is_error():
            return []
        first_text_id = self._compiled.vocabulary.first_text_id
        return list(takewhile(lambda token_id: token_id < first_text_id, self._matcher.compute_ff_tokens()))

    def accept(self, token_ids: list[int]) -> None:
        """Advance by these tokens. Raises EngineError if the grammar does not allow them."""
        if not self._compiled.texts:
            self._accept_outside(token_ids)
            return
        for token_id in token_ids:
            if not self._is_masked:
                self.mask()
            self._is_masked = False
            if self._text is None:
                self._accept_outside([token_id])
            elif (after := self._text.accept(token_id)) is not None:
                self._text = None
                self._accept_outside([self._text_id, *after])

    def _opened(self, number: int) -> TextState:
        """Return the state at the start of the text with this number."""
        self._text_id = self._compiled.vocabulary.first_text_id + number
        closing = self._matcher.deep_copy()
        closing.consume_token(self._text_id)
        rule = list(self._compiled.lark.text_rules.values())[number]
        start = self._compiled.texts[number].deep_copy()
        return opened(rule.written_as, start, closing, self._compiled.vocabulary)

    def _accept_outside(self, token_ids: list[int]) -> None:
        """Advance by tokens that are not part of a text."""
        if not self._matcher.consume_tokens(token_ids):
            if "satisfy the grammar" in self._matcher.get_error():
                raise EngineError("a token was sampled that the constraint does not allow")
            self._recover()
            if not self._matcher.consume_tokens(token_ids):
                raise EngineError("a token was sampled that the constraint does not allow")
        self._accepted += token_ids
        if self._digits:
            ids = (token_id for token_id in token_ids if token_id < self._compiled.vocabulary.size)
            self._digits.read(b"".join(map(self._compiled.vocabulary.token_bytes, ids)))

    def accept_text(self, text: bytes) -> None:
        """Advance by the tokens of `text`. Raises EngineError if the grammar does not allow them."""
        if text:
            self.accept(self._compiled.vocabulary.tokenize(text))

    def _recover(self) -> None:
        """Continue with another matcher after the first one exceeds a limit.

        A grammar that shares its lexer is compiled alone first. Then the loosened grammar is used. Raises TooComplex
        if all rules are strict, so that there is none.
        """
        self._compiled.is_broken = True
        self._num_recoveries += 1
        if self._compiled.is_shared and self._num_recoveries == 1:
            self._matcher = _compiled_alone(self._compiled.lark, self._compiled.vocabulary).start.deep_copy()
            if self._matcher.consume_tokens(self._accepted):
                return
        has_loosened = self._num_recoveries > 1 + self._compiled.is_shared
        loosened = None if has_loosened else self._compiled.loosened()
        if loosened is None or not loosened.consume_tokens(self._accepted):
            raise TooComplex
        self._matcher = loosened


def compiled(lark: Lark, vocabulary: Vocabulary) -> Compiled:
    """Compile a grammar. Keywords that llguidance does not support are dropped from rules that are not strict.

    Raises RequestError for a strict rule, and for a request's own grammar, that cannot be compiled.
    """
    deadline = time.monotonic() + _COMPILE_S
    text = _text(lark, {name: body(rule) for name, rule in lark.json_rules.items()}, vocabulary)
    if len(text) > _MAX_CHARACTERS:
        deadline = 0.0
    elif not _fault(matcher := _matcher(text, vocabulary)):
        return Compiled(lark, text, vocabulary, matcher, _texts(lark, vocabulary))

    def fault_of(rule_body: str) -> str:
        return _fault(_matcher(f"start: {rule_body}\n", vocabulary))

    text = _text(lark, {name: settled(rule, fault_of, deadline) for name, rule in lark.json_rules.items()}, vocabulary)
    matcher = _matcher(text, vocabulary)
    if fault := _fault(matcher):
        if lark.param:
            raise uncompiled(lark.param, fault)
        raise _too_large(lark.json_rules, fault)
    return Compiled(lark, text, vocabulary, matcher, _texts(lark, vocabulary))


def _texts(lark: Lark, vocabulary: Vocabulary) -> list[LLMatcher]:
    """Compile the grammars of the texts in a grammar. Raises RequestError for one that cannot be compiled in time."""
    found = []
    deadline = time.monotonic() + _COMPILE_S
    for rule in lark.text_rules.values():
        if time.monotonic() > deadline:
            raise compiles_too_long(rule.param)
        tokenizer = (vocabulary.escaped if rule.written_as == "json string" else vocabulary).ll_tokenizer
        matcher = LLMatcher(tokenizer, rule.grammar, log_level=0, limits=_TEXT_LIMITS)
        if fault := _fault(matcher) or _fault_behind(matcher):
            raise uncompiled(rule.param, fault, has_lines=rule.has_lines)
        found.append(matcher)
    return found


def _fault_behind(matcher: LLMatcher) -> str:
    """Return llguidance's error behind the first token: it limits the items of a row when the next row begins."""
    matcher = matcher.deep_copy()
    first = next(number for number, bits in enumerate(matcher.compute_bitmask()) if bits)
    matcher.consume_token(8 * first + next(bit for bit in range(8) if matcher.compute_bitmask()[first] >> bit & 1))
    return str(matcher.get_error())


def compiled_calls(rules: Sequence[CallRule], vocabulary: Vocabulary) -> list[Compiled]:
    """Compile the grammars of several calls, in the order of `rules`.

    They are compiled as the alternatives of one grammar, each behind its number, since most of the time for a small
    grammar does not depend on its size: 16 calls take 6 ms, and each alone 2 ms. A grammar that does not compile like
    this is compiled alone. Raises RequestError for a strict rule that cannot be compiled.
    """
    if any(isinstance(rule.arguments, Lark) for rule in rules):
        return [_compiled_alone(_lark_of(rule), vocabulary) for rule in rules]
    together, bodies = _together(rules)
    matcher = _matcher(together, vocabulary) if len(together) <= _MAX_CHARACTERS else None
    found: list[Compiled] = []
    for number, (rule, rule_body) in enumerate(zip(rules, bodies, strict=True)):
        lark, prefix = _lark_of(rule), f"{number};".encode()
        start = None if matcher is None else matcher.deep_copy()
        if start and start.consume_tokens(vocabulary.tokenize(prefix)) and not _fault(start):
            found.append(
                Compiled(lark, lark.text + rule_body, vocabulary, start, prefix=_PREFIX, is_shared=len(rules) > 1)
            )
        else:
            found.append(_compiled_alone(lark, vocabulary))
    return found


def _together(rules: Sequence[CallRule]) -> tuple[str, list[str]]:
    """Return a grammar whose alternatives are the calls, and the bodies of the rules for their arguments."""
    bodies = [body(rule.arguments) if isinstance(rule.arguments, JsonRule) else '"{}"' for rule in rules]
    lines = ["start: " + " | ".join(f'"{number};" call_{number}' for number in range(len(rules)))]
    for number, (rule, rule_body) in enumerate(zip(rules, bodies, strict=True)):
        lines += [f"call_{number}: {rule.before} arguments_{number} {rule.after}", f"arguments_{number}: {rule_body}"]
    return "\n".join(lines) + "\n", bodies


def _compiled_alone(lark: Lark, vocabulary: Vocabulary) -> Compiled:
    """Compile the grammar of one call. It has a prefix, so that its masks are those of grammars compiled together.

    llguidance limits text that is certain to its usual tokens, but not at the very start.
    """
    alone = compiled(lark, vocabulary)
    alone.start.consume_tokens(vocabulary.tokenize(_PREFIX))
    return replace(alone, prefix=_PREFIX)


def _lark_of(rule: CallRule) -> Lark:
    """Return the grammar of one call behind the prefix."""
    start = f'start: "{_PREFIX.decode()}" {rule.before}'
    if rule.arguments is None:
        return Lark(f'{start} "{{}}" {rule.after}\n', {})
    if isinstance(rule.arguments, Lark):
        return replace(rule.arguments, text=f"{start} arguments {rule.after}\n{rule.arguments.text}")
    return Lark(f"{start} arguments {rule.after}\n", {"arguments": rule.arguments})


def _text(lark: Lark, bodies: Mapping[str, str], vocabulary: Vocabulary) -> str:
    """Return the grammar with its rules for JSON, and with one token for each text."""
    texts = {name: f"<[{vocabulary.first_text_id + number}]>" for number, name in enumerate(lark.text_rules)}
    return lark.text + "".join(f"{name}: {rule_body}\n" for name, rule_body in {**bodies, **texts}.items())


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

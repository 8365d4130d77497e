"""Compile a request's constraint and compute the masks of its tokens."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from core.errors import EngineError
from core.generation import CallRule, Constraint, JsonRule, Lark
from core.turn_format import TurnFormat
from guarantees.call_watcher import CallWatcher
from guarantees.caller_grammar import compiles_too_long
from guarantees.grammars import Compiled, GrammarState, compiled, compiled_calls
from guarantees.head_masks import HeadMasks
from json_schema.grammar_rules import bounded
from text.vocabulary import Vocabulary

_MAX_CACHED = 2048  # grammars; a request may have 1,024 functions
_MAX_CACHED_BYTES = 128 << 20
_BYTES_PER_CHARACTER = 160  # memory per character of a grammar; measured with 1,000 properties
_BYTES_PER_PATTERN_GRAMMAR = 1 << 20  # the lexer of a pattern grows with the answers, up to 40 MB in the worst case
_MAX_HEAD_MASKS = 16  # and _MAX_CACHED_BYTES for their grammars, which they keep
_MAX_TOGETHER, _MAX_CHARACTERS_TOGETHER = 16, 60_000  # of calls compiled together, which holds the GIL for 10 ms
_COMPILE_ALL_S = 3.0  # for the calls of one request that are not strict; those left over have free arguments


class ConstraintCompiler:
    """Compiles constraints for one model and caches the last grammars. Safe to use from several threads."""

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, *, eos_id: int | None = None) -> None:
        """`vocab_size` is the width of the logits, which may be larger than the tokenizer's vocabulary."""
        self._tokenizer = tokenizer
        self._eos_id = eos_id
        self._vocab_size = vocab_size
        self._vocabulary: Vocabulary | None = None
        self._lock = threading.Lock()  # guards the caches; never held while a grammar compiles
        self._compile_lock = threading.Lock()  # lets requests with the same functions compile them once
        self._cache: OrderedDict[str, Compiled] = OrderedDict()
        self._num_cached_bytes = 0
        self._head_masks: OrderedDict[object, tuple[HeadMasks, int]] = OrderedDict()  # the int is bytes

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's vocabulary, built at the first use."""
        with self._lock:
            if self._vocabulary is None:
                self._vocabulary = Vocabulary(self._tokenizer, self._vocab_size, eos_id=self._eos_id)
            return self._vocabulary

    def matcher(self, constraint: Constraint) -> Matcher:
        """Return a new matcher for one request. Blocks while it compiles, so do not call it in an event loop.

        Raises RequestError for a strict schema that cannot be compiled.
        """
        if constraint.turn is not None:
            return Matcher(GrammarState(self._compiled_turn(constraint.turn)), None, {})
        if constraint.turn_format is None:
            raise ValueError("a constraint needs `turn` or `turn_format`")
        calls = self._compiled_calls(constraint.calls)
        masks = self._masks(constraint.turn_format, constraint.recipients, calls)
        watcher = CallWatcher(constraint.turn_format, self.vocabulary, masks, constraint.prefill)
        return Matcher(None, watcher, calls)

    def _compiled_turn(self, lark: Lark) -> Compiled:
        lark = replace(lark, json_rules={name: bounded(rule) for name, rule in lark.json_rules.items()})
        key = json.dumps(_key(lark))
        if (found := self._cached(key)) is None:
            found = compiled(lark, self.vocabulary)
            self._remember(key, found)
        return found

    def _compiled_calls(self, calls: Mapping[str, CallRule]) -> dict[str, Compiled]:
        """Return the compiled grammars of the calls, each of which is an entry of the cache.

        Calls that are not strict and for which no time is left are missing.
        """
        rules = {
            name: replace(rule, arguments=bounded(rule.arguments)) if isinstance(rule.arguments, JsonRule) else rule
            for name, rule in calls.items()
        }
        keys = {name: json.dumps([rule.before, rule.after, *_key(rule.arguments)]) for name, rule in rules.items()}
        rule_by_key = {key: rules[name] for name, key in keys.items()}
        found = {key: self._cached(key) for key in rule_by_key}
        deadline = time.monotonic() + _COMPILE_ALL_S
        for key in [key for key, rule in rule_by_key.items() if found[key] is None and _has_text(rule)]:
            found[key] = self._compiled_text(key, rule_by_key[key], deadline)
        left = sorted((key for key in found if found[key] is None), key=lambda key: not _is_strict(rule_by_key[key]))
        for batch in _batches(left):
            if time.monotonic() < deadline or _is_strict(rule_by_key[batch[0]]):
                found |= self._compiled_batch({key: rule_by_key[key] for key in batch})
        return {name: grammar for name, key in keys.items() if (grammar := found[key]) is not None}

    def _compiled_text(self, key: str, rule: CallRule, deadline: float) -> Compiled:
        """Compile a call with a request's own grammar. It may take a second, so that no other request waits for it."""
        if time.monotonic() > deadline and isinstance(rule.arguments, Lark):
            raise compiles_too_long(next(iter(rule.arguments.text_rules.values())).param)
        (grammar,) = compiled_calls([rule], self.vocabulary)
        self._remember(key, grammar)
        return grammar

    def _compiled_batch(self, rules: Mapping[str, CallRule]) -> dict[str, Compiled]:
        """Compile the calls that another request has not compiled in the meantime."""
        with self._compile_lock:
            found = {key: grammar for key in rules if (grammar := self._cached(key)) is not None}
            left = [key for key in rules if key not in found]
            new = compiled_calls([rules[key] for key in left], self.vocabulary) if left else []
            for key, grammar in zip(left, new, strict=True):
                found[key] = grammar
                self._remember(key, grammar)
        return found

    def _masks(self, turn_format: TurnFormat, recipients: frozenset[str], calls: Mapping[str, Compiled]) -> HeadMasks:
        """Return the masks for one list of functions, which the requests with this list share."""
        key = (tuple(turn_format.regions.items()), turn_format.text_recipient, recipients, tuple(calls.items()))
        with self._lock:
            if key in self._head_masks:
                self._head_masks.move_to_end(key)
                return self._head_masks[key][0]
        constrained = {name: call.may_begin_with for name, call in calls.items()}
        masks = HeadMasks(turn_format, self.vocabulary, recipients=recipients, constrained=constrained)
        num_bytes = sum(_num_bytes("", grammar) for grammar in calls.values())
        with self._lock:
            self._head_masks[key] = masks, num_bytes
            while (
                len(self._head_masks) > _MAX_HEAD_MASKS
                or sum(num for _, num in self._head_masks.values()) > _MAX_CACHED_BYTES
            ):
                self._head_masks.popitem(last=False)
        return masks

    def _cached(self, key: str) -> Compiled | None:
        with self._lock:
            found = self._cache.get(key)
            if found is None or found.is_broken:
                return None
            self._cache.move_to_end(key)
            return found

    def _remember(self, key: str, grammar: Compiled) -> None:
        with self._lock:
            self._forget(key)
            self._cache[key] = grammar
            self._num_cached_bytes += _num_bytes(key, grammar)
            while len(self._cache) > _MAX_CACHED or self._num_cached_bytes > _MAX_CACHED_BYTES:
                self._forget(next(iter(self._cache)))

    def _forget(self, key: str) -> None:
        if grammar := self._cache.pop(key, None):
            self._num_cached_bytes -= _num_bytes(key, grammar)


def _key(rule: JsonRule | Lark | None) -> list[object]:
    match rule:
        case None:
            return []
        case Lark():
            texts = [(text.written_as, text.grammar) for text in rule.text_rules.values()]
            return [rule.text, texts, *((name, *_key(inner)) for name, inner in rule.json_rules.items())]
    return [rule.strict, rule.schema]


def _has_text(rule: CallRule) -> bool:
    return isinstance(rule.arguments, Lark) and bool(rule.arguments.text_rules)


def _is_strict(rule: CallRule) -> bool:
    return rule.is_strict or (isinstance(rule.arguments, JsonRule) and rule.arguments.strict)


def _batches(keys: Sequence[str]) -> Iterator[list[str]]:
    """Split the keys of calls into parts that are compiled together. A key is about as long as its grammar."""
    batch: list[str] = []
    for key in keys:
        if len(batch) == _MAX_TOGETHER or (batch and sum(map(len, batch)) + len(key) > _MAX_CHARACTERS_TOGETHER):
            yield batch
            batch = []
        batch.append(key)
    if batch:
        yield batch


def _num_bytes(key: str, grammar: Compiled) -> int:
    num_lexers = ('"pattern' in grammar.text) + len(grammar.texts)
    num_characters = len(grammar.text) + sum(len(rule.grammar) for rule in grammar.lark.text_rules.values())
    return len(key) + _BYTES_PER_CHARACTER * num_characters + _BYTES_PER_PATTERN_GRAMMAR * num_lexers


class Matcher:
    """The position of one request in its constraint. Call `mask` before each token and `accept` after it.

    Not safe to use from several threads at once.

    grammar: the grammar of the whole turn in llguidance's dialect of Lark. "" if only parts of the turn are
    constrained, or if the grammar alone does not say all.
    """

    def __init__(self, turn: GrammarState | None, watcher: CallWatcher | None, calls: dict[str, Compiled]) -> None:
        self._state = turn
        self._watcher = watcher
        self._calls = calls
        self.grammar = turn.grammar if turn else ""

    @property
    def is_done(self) -> bool:
        """Whether the grammar of the whole turn is at its end. Always false if only parts are constrained."""
        return self._watcher is None and (self._state is None or self._state.is_complete)

    def mask(self) -> NDArray[np.bool_] | None:
        """Return which tokens may come next, as booleans of shape (vocab_size,); None for all.

        Raises EngineError if the grammar fails or allows no token, so that no answer breaks the constraint.
        """
        if self.is_done:
            return None
        if self._state is not None:
            allowed = self._state.mask()
        elif self._watcher is None or (watcher_mask := self._watcher.mask()) is None:
            return None
        else:
            allowed = watcher_mask
        if not allowed.any():
            raise EngineError("the constraint leaves no token to continue with")
        return allowed

    def allows(self, token_id: int) -> bool:
        """Return whether `mask` has this token. Takes less time, since it mostly computes no other token."""
        if self.is_done:
            return True
        if self._state is not None:
            return self._state.allows(token_id)
        return self._watcher is None or self._watcher.allows(token_id)

    def forced(self) -> list[int]:
        """Return the tokens that must come next; empty if the constraint allows several next tokens."""
        return [] if self._state is None or self.is_done else self._state.forced()

    def accept(self, token_id: int) -> None:
        """Advance by one token. Raises EngineError for a token that the constraint does not allow."""
        if self.is_done:
            return
        if self._state is not None:
            self._state.accept([token_id])
        if self._watcher is None:
            return
        opened = self._watcher.read(token_id)
        if self._state is not None:
            self._state = None if self._state.is_complete else self._state
        elif opened is not None and opened.name in self._calls:
            self._state = GrammarState(self._calls[opened.name])
            self._state.accept_text(opened.rest)

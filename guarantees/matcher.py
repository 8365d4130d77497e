"""Compile a request's constraint and compute the masks of its tokens."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from core.conversation import JsonSchema
from core.errors import EngineError
from core.generation import Constraint, Lark
from guarantees.call_watcher import CallWatcher
from guarantees.grammars import Compiled, GrammarState, compiled
from json_schema.grammar_rules import bounded
from text.vocabulary import Vocabulary

_MAX_CACHED = 64
_MAX_CACHED_BYTES = 32 << 20
_BYTES_PER_CHARACTER = 160  # memory per character of a grammar; measured with 1,000 properties


class ConstraintCompiler:
    """Compiles constraints for one model and caches the last grammars. Safe to use from several threads."""

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, *, eos_id: int | None = None) -> None:
        """`vocab_size` is the width of the logits, which may be larger than the tokenizer's vocabulary."""
        self._tokenizer = tokenizer
        self._eos_id = eos_id
        self._vocab_size = vocab_size
        self._vocabulary: Vocabulary | None = None
        self._lock = threading.Lock()
        self._cache: OrderedDict[str, dict[str, Compiled]] = OrderedDict()

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
            return Matcher(GrammarState(self._compiled({"": constraint.turn})[""]), None, {})
        if constraint.turn_format is None:
            raise ValueError("a constraint needs `turn` or `turn_format`")
        calls = self._compiled(constraint.calls)
        watcher = CallWatcher(
            constraint.turn_format,
            self.vocabulary,
            recipients=constraint.recipients,
            constrained={name: call.may_begin_with for name, call in calls.items()},
        )
        return Matcher(None, watcher, calls)

    def _compiled(self, grammars: Mapping[str, Lark]) -> dict[str, Compiled]:
        """Return the compiled grammars of one constraint. Together they are one entry of the cache."""
        bounded_grammars = {
            name: replace(lark, json_rules={rule: bounded(found) for rule, found in lark.json_rules.items()})
            for name, lark in grammars.items()
        }
        key = json.dumps([(name, lark.text, *_schemas(lark)) for name, lark in bounded_grammars.items()])
        with self._lock:
            found = self._cache.get(key)
            if found is not None and not any(grammar.is_broken for grammar in found.values()):
                self._cache.move_to_end(key)
                return found
        new = {name: compiled(lark, self.vocabulary) for name, lark in bounded_grammars.items()}
        with self._lock:
            self._cache[key] = new
            self._cache.move_to_end(key)
            while len(self._cache) > _MAX_CACHED or self._num_cached_bytes() > _MAX_CACHED_BYTES:
                self._cache.popitem(last=False)
        return new

    def _num_cached_bytes(self) -> int:
        num_characters = sum(len(grammar.text) for grammars in self._cache.values() for grammar in grammars.values())
        return sum(map(len, self._cache)) + _BYTES_PER_CHARACTER * num_characters


def _schemas(lark: Lark) -> list[tuple[str, bool, JsonSchema]]:
    return [(name, rule.strict, rule.schema) for name, rule in lark.json_rules.items()]


class Matcher:
    """The position of one request in its constraint. Call `mask` before each token and `accept` after it.

    Not safe to use from several threads at once.
    """

    def __init__(self, turn: GrammarState | None, watcher: CallWatcher | None, calls: dict[str, Compiled]) -> None:
        self._state = turn
        self._watcher = watcher
        self._calls = calls

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
        elif opened is not None:
            self._state = GrammarState(self._calls[opened.name])
            self._state.accept_text(opened.rest)

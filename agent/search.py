"""Chooses those of many functions that a conversation needs, by BM25 over names, descriptions and parameters."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import Stemmer
from bm25s import BM25
from bm25s.stopwords import STOPWORDS_EN_PLUS

from agent.search_words import QUESTION_WORDS, spoken_words
from core.conversation import Function, JsonSchema, Message, Tool

USUAL_LIMIT = 10
MAX_INDEXES = 8  # sets of functions whose index is kept
MAX_SEARCHED = 4_000  # characters of a message that count: its beginning and its end
MAX_SCHEMAS = 2_000  # parts of a function's parameters that are read

# Chosen with bench/tool_search.py; none needs to be exact.
NAME_WEIGHT = 4  # how often a name counts in the whole text
HEAD_WEIGHT = 0.5  # name and first sentence, besides the whole text
SYNONYM_WEIGHT = 0.45
EARLIER_WEIGHT = 0.7
ENTERING_SHARE = 0.6  # of the functions that are shown, how many a further message may replace
ENTERING_SCORE = 0.6  # of the best function's score, what another one needs to enter

_STOP = frozenset(STOPWORDS_EN_PLUS) | frozenset(QUESTION_WORDS.split())
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s|\n")
_NESTED = ("items", "additionalProperties", "anyOf", "oneOf", "allOf")  # keywords with further schemas

logging.getLogger("bm25s").setLevel(logging.WARNING)  # the library sets DEBUG, and each index would be logged

Scores = np.ndarray[tuple[int], np.dtype[np.float32]]


def narrowed(
    tools: Sequence[Tool], messages: Sequence[Message], limit: int, *, required: Collection[str] = ()
) -> tuple[Tool, ...]:
    """Return the `limit` tools that the conversation needs most; all of them, in their order, if there are no more.

    required: names of tools that are always chosen, as are the code interpreter and functions that were called before.
    Only what users say counts, so that all rounds of one answer have the same tools. The first message chooses, best
    first. A later one lets in the best that are missing; they replace the last of the others, and what stays keeps its
    order. The list stands at the beginning of the prompt, so that it should change as late as possible.
    """
    if len(tools) <= limit:
        return tuple(tools)
    functions = tuple(tool for tool in tools if isinstance(tool, Function))
    others = tuple(tool for tool in tools if not isinstance(tool, Function))
    places = {function.name: place for place, function in enumerate(functions)}
    index = _index(_Functions(functions))
    shown: tuple[int, ...] = ()
    said = np.zeros(len(functions), np.float32)
    for text, called in _turns(messages):
        latest = index.scores(text)
        said = latest / max(float(latest.max(initial=0)), 1e-9) + EARLIER_WEIGHT * said
        said /= max(float(said.max(initial=0)), 1e-9)  # a short message weighs as much as a long one before it
        pinned = [places[name] for name in (*required, *called) if name in places]
        best = _best(said, limit)
        if shown:
            best = [place for place in best[: num_entering(limit)] if said[place] > ENTERING_SCORE]
        shown = _updated(shown, best, pinned, limit - len(others))
    return (*others, *(functions[place] for place in shown))


def _turns(messages: Sequence[Message]) -> Iterator[tuple[str, list[str]]]:
    """Yield the text of each message of a user, with the names of all functions that are called before the next one."""
    text: str | None = None
    called: list[str] = []
    for message in messages:
        if message.role == "user":
            if text is not None:
                yield text, called
            text = message.content or ""
        called += [call.name for call in message.calls]
    yield text or "", called


def _best(scores: Scores, num: int) -> list[int]:
    return [int(place) for place in np.argsort(-scores, kind="stable")[:num]]


def num_entering(limit: int) -> int:
    """Return how many functions a further message may let in."""
    return max(1, int(ENTERING_SHARE * limit))


def _updated(shown: Sequence[int], best: Sequence[int], pinned: Sequence[int], room: int) -> tuple[int, ...]:
    """Return the places of the functions to show after a further message; `shown` are those before it."""
    kept = set(list(dict.fromkeys([*pinned, *best, *shown]))[: max(room, len(set(pinned)))])
    return tuple(place for place in dict.fromkeys([*shown, *best, *pinned]) if place in kept)


@dataclass(frozen=True, eq=True)
class _Functions:
    """Functions as the key of a cache. Equal ones have one index, also if each request brings them anew."""

    all: tuple[Function, ...]

    def __hash__(self) -> int:
        return hash(tuple(function.name for function in self.all))


class Index:
    """Scores functions for what somebody says. It does not change once it is made, so that threads may share it."""

    def __init__(self, functions: Sequence[Function]) -> None:
        stems = _Stems()
        names = [stems.of(one.name) for one in functions]
        heads = [stems.of(_SENTENCE_END.split(one.description, maxsplit=1)[0]) for one in functions]
        texts = [stems.of(f"{one.description} {' '.join(_texts(one.parameters))}") for one in functions]
        self._num_functions = len(functions)
        self._whole = _bm25([NAME_WEIGHT * name + text for name, text in zip(names, texts, strict=True)])
        self._head = _bm25([name + head for name, head in zip(names, heads, strict=True)])

    def scores(self, text: str) -> Scores:
        """Return how well each function fits a text."""
        if len(text) > MAX_SEARCHED:
            text = f"{text[: MAX_SEARCHED // 2]} {text[-MAX_SEARCHED // 2 :]}"
        said = dict.fromkeys(_Stems().of(text))
        every = _Stems(frozenset()).of(text)
        meant = dict.fromkeys(one for stem in every for one in _synonyms().get(stem, ()) if one not in said)
        return self._sums(said) + SYNONYM_WEIGHT * self._sums(meant)

    def _sums(self, stems: Iterable[str]) -> Scores:
        sums: Scores = np.zeros(self._num_functions, np.float32)
        for index, weight in ((self._whole, 1.0), (self._head, HEAD_WEIGHT)):
            if ids := index.get_tokens_ids(list(stems)):
                sums += weight * index.get_scores_from_ids(ids)
        return sums


@lru_cache(maxsize=MAX_INDEXES)
def _index(functions: _Functions) -> Index:
    return Index(functions.all)


def _bm25(texts: Sequence[list[str]]) -> BM25:
    index = BM25(k1=1.2)
    index.index([text or [""] for text in texts], show_progress=False)
    return index


class _Stems(dict[str, str]):
    """The stems of words, empty for stop words. Not for several threads."""

    def __init__(self, stop_words: Collection[str] = _STOP) -> None:
        self._stop_words = stop_words
        self._stemmer = Stemmer.Stemmer("english")

    def __missing__(self, word: str) -> str:
        small = word.lower()
        self[word] = "" if small in self._stop_words else self._stemmer.stemWord(small)
        return self[word]

    def of(self, text: str) -> list[str]:
        """Return the stems of a text in order. Names are split at signs, digits and capitals."""
        return [stem for stem in map(self.__getitem__, _WORD.findall(text)) if stem]


@cache
def _synonyms() -> dict[str, tuple[str, ...]]:
    """Return the stems of the words that functions use, by the stem of the word that people use."""
    stems = _Stems(frozenset())
    found: dict[str, list[str]] = {}
    for word, others in spoken_words():
        found.setdefault(stems[word], []).extend(stems[other] for other in others)
    return {stem: tuple(dict.fromkeys(others)) for stem, others in found.items()}


def _texts(schema: JsonSchema | None) -> Iterator[str]:
    """Yield the names, descriptions and allowed values of parameters, in any depth."""
    waiting: deque[object] = deque([schema])
    for _ in range(MAX_SCHEMAS):
        if not waiting:
            return
        match waiting.popleft():
            case dict(keywords):
                properties = keywords.get("properties")
                nested = properties if isinstance(properties, dict) else {}
                allowed = keywords.get("enum")
                yield from (str(keywords.get("description", "")), *map(str, nested))
                yield from map(str, allowed if isinstance(allowed, list) else ())
                waiting += [*nested.values(), *(keywords.get(key) for key in _NESTED)]
            case list(schemas):
                waiting += schemas

"""Chooses those of many functions that a conversation needs, by BM25 over names, descriptions and parameters."""

from __future__ import annotations

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

# Measured with bench/tool_search.py; neither needs to be exact.
HEAD_WEIGHT = 0.5  # name and first sentence, besides the whole text
SYNONYM_WEIGHT = 0.4
EARLIER_WEIGHT = 0.3
NUM_ENTERING = 5

_STOP = frozenset(STOPWORDS_EN_PLUS) | frozenset(QUESTION_WORDS.split())
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[^\W\d_]+|\d+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s|\n")
_NESTED = ("items", "additionalProperties", "anyOf", "oneOf", "allOf")  # keywords with further schemas

Scores = np.ndarray[tuple[int], np.dtype[np.float32]]


def narrowed(
    tools: Sequence[Tool], messages: Sequence[Message], limit: int, *, required: Collection[str] = ()
) -> tuple[Tool, ...]:
    """Return the `limit` tools that the conversation needs most; all of them, in their order, if there are no more.

    required: names of tools that are always chosen, as are the code interpreter and functions that were called before.
    Only what users say counts, so that all rounds of one answer have the same tools. The first message chooses, best
    first. A later one lets in its best five; they replace the last of the others, and what stays keeps its order. The
    list stands at the beginning of the prompt, so that it should change as late as possible.
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
        said = index.scores(text) + EARLIER_WEIGHT * said
        pinned = [places[name] for name in (*required, *called) if name in places]
        shown = _updated(shown, said, pinned, limit - len(others))
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


def _updated(shown: Sequence[int], scores: Scores, pinned: Sequence[int], room: int) -> tuple[int, ...]:
    """Return the places of the functions to show after a further message; `shown` are those before it."""
    best = [int(place) for place in np.argsort(-scores, kind="stable")[: max(room, 0)]]
    if shown:
        best = best[:NUM_ENTERING]
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
        stemmer = Stemmer.Stemmer("english")  # keeps the stems of words; not for several threads
        wholes = [f"{one.name} " * 3 + f"{one.description} {' '.join(_texts(one.parameters))}" for one in functions]
        heads = [f"{one.name} {_SENTENCE_END.split(one.description, maxsplit=1)[0]}" for one in functions]
        self._num_functions = len(functions)
        self._whole = _bm25([_told(whole, stemmer) for whole in wholes])
        self._head = _bm25([_told(head, stemmer) for head in heads])

    def scores(self, text: str) -> Scores:
        """Return how well each function fits a text."""
        if len(text) > MAX_SEARCHED:
            text = f"{text[: MAX_SEARCHED // 2]} {text[-MAX_SEARCHED // 2 :]}"
        stemmer = Stemmer.Stemmer("english")
        said = dict.fromkeys(_told(text, stemmer))
        every = stemmer.stemWords(_words(text))
        meant = dict.fromkeys(one for word in every for one in _synonyms().get(word, ()) if one not in said)
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
    index = BM25()
    index.index([text or [""] for text in texts], show_progress=False)
    return index


def _words(text: str) -> list[str]:
    """Return the words of a text in lower case. Names are split at signs, digits and capitals."""
    return [word.lower() for word in _WORD.findall(_CAPITAL.sub(" ", text))]


def _told(text: str, stemmer: Stemmer.Stemmer) -> list[str]:
    """Return the stems of the words that tell something."""
    stems: list[str] = stemmer.stemWords([word for word in _words(text) if word not in _STOP])
    return stems


@cache
def _synonyms() -> dict[str, tuple[str, ...]]:
    """Return the stems of the words that functions use, by the stem of the word that people use."""
    stemmer = Stemmer.Stemmer("english")
    found: dict[str, list[str]] = {}
    for word, others in spoken_words():
        found.setdefault(stemmer.stemWord(word), []).extend(stemmer.stemWords(others))
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

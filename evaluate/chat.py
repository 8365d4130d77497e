"""Plain chat: what training for calls may have spoiled. Prompts with nothing to call, for numbers and for a judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean

from evaluate.call_set import CallSet
from evaluate.calls import Answer
from evaluate.intervals import wilson
from evaluate.rows import Json, Row

NGRAM = 4  # words; a longer text without a loop seldom has one twice


class ChatSet(CallSet):
    """Prompts without expected answers. Measured are calls, which must not be, emptiness, length and repetition."""

    def report(self, rows: Sequence[Row], answers: Mapping[str, Answer]) -> Json:
        report = super().report(rows, answers)
        given = [answers[row.key] for row in rows if row.key in answers]
        texts = [answer.text for answer in given]
        if given:
            empty = wilson(sum(not text.strip() for text in texts), len(texts))
            report["metrics"]["empty"] = empty.as_json()
            report["mean_words"] = round(mean(len(text.split()) for text in texts), 2)
            report["mean_repetition"] = round(mean(map(repetition, texts)), 4)
        return report


def repetition(text: str) -> float:
    """The share of a text's runs of four words that stood in it before."""
    words = text.casefold().split()
    runs = [tuple(words[i : i + NGRAM]) for i in range(len(words) - NGRAM + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0

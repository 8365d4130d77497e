"""Decides how many rows of each part are taken, and in which order."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from random import Random

from train.merging.candidates import Candidate


def allocate(weights: Sequence[float], available: Sequence[int], total: int) -> list[int]:
    """Split `total` rows among parts by weight. No part gets more rows than it has `available`.

    If a part has too few rows, the other parts get the missing ones, split by weight. The counts add up to `total`, or
    to the number of all available rows if that is smaller.
    """
    counts = [0] * len(weights)
    remaining = min(total, sum(available))
    left = [i for i, number in enumerate(available) if number]
    while left:
        scale = remaining / sum(weights[i] for i in left)
        full = [i for i in left if weights[i] * scale >= available[i]]
        if not full:
            break
        for i in full:
            counts[i] = available[i]
            remaining -= available[i]
        left = [i for i in left if i not in full]
    if left:
        scale = remaining / sum(weights[i] for i in left)
        for i in left:
            counts[i] = math.floor(weights[i] * scale)
        by_remainder = sorted(left, key=lambda i: (counts[i] - weights[i] * scale, i))
        for i in by_remainder[: remaining - sum(counts[i] for i in left)]:
            counts[i] += 1
    return counts


def shuffled(parts: Mapping[str, Sequence[Candidate]], seed: int) -> dict[str, list[Candidate]]:
    """Shuffle each part with the seed. A larger data set with the same seed contains all rows of a smaller one."""
    return {name: Random(f"{seed} {name}").sample(list(rows), len(rows)) for name, rows in parts.items()}


def num_questions_for(num_tokens: int, weights: Sequence[float], parts: Sequence[Sequence[Candidate]]) -> int:
    """Return the largest number of rows that, split among the parts by weight, have at most `num_tokens` tokens."""
    available = [len(rows) for rows in parts]
    sums = [[0, *accumulate(row.num_tokens for row in rows)] for rows in parts]

    def tokens(total: int) -> int:
        counts = allocate(weights, available, total)
        return sum(one[count] for one, count in zip(sums, counts, strict=True))

    return bisect_right(range(sum(available) + 1), num_tokens, key=tokens) - 1

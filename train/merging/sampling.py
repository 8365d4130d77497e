"""How many rows of each part, and which."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from random import Random

from train.merging.candidates import Candidate


def allotted(weights: Sequence[float], available: Sequence[int], total: int) -> list[int]:
    """Split `total` by weights; who has fewer gives all, and the rest of its share goes to the others by weight.

    The counts add up to `total`, or to all there is.
    """
    counts = [0] * len(weights)
    room = min(total, sum(available))
    left = [i for i, number in enumerate(available) if number]
    while left:
        scale = room / sum(weights[i] for i in left)
        full = [i for i in left if weights[i] * scale >= available[i]]
        if not full:
            break
        for i in full:
            counts[i] = available[i]
            room -= available[i]
        left = [i for i in left if i not in full]
    if left:
        scale = room / sum(weights[i] for i in left)
        for i in left:
            counts[i] = math.floor(weights[i] * scale)
        by_remainder = sorted(left, key=lambda i: (counts[i] - weights[i] * scale, i))
        for i in by_remainder[: room - sum(counts[i] for i in left)]:
            counts[i] += 1
    return counts


def shuffled(parts: Mapping[str, Sequence[Candidate]], seed: int) -> dict[str, list[Candidate]]:
    """Each part in an order of its own, so that of two sets with one seed the larger holds the smaller."""
    return {name: Random(f"{seed} {name}").sample(list(rows), len(rows)) for name, rows in parts.items()}


def num_questions_for(num_tokens: int, weights: Sequence[float], parts: Sequence[Sequence[Candidate]]) -> int:
    """The largest number of rows whose tokens, split by weights, are at most `num_tokens`."""
    available = [len(rows) for rows in parts]
    sums = [[0, *accumulate(row.num_tokens for row in rows)] for rows in parts]

    def tokens(total: int) -> int:
        counts = allotted(weights, available, total)
        return sum(one[count] for one, count in zip(sums, counts, strict=True))

    return bisect_right(range(sum(available) + 1), num_tokens, key=tokens) - 1

"""Computes confidence intervals of rates, F1 and means, and tests whether two models differ on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import comb, sqrt
from statistics import fmean
from typing import Any

import numpy as np

Z_95 = 1.959964
NUM_RESAMPLES = 1000
SEED = 0  # the seed of the bootstrap; equal rows give equal intervals


@dataclass(frozen=True)
class Figure:
    """A share between 0 and 1 with its 95% interval. `n` is the number of rows or calls that were measured."""

    value: float
    low: float
    high: float
    n: int

    def shown(self) -> str:
        """Format the value and its interval in percent, such as `47.5 (32.9-62.5)`."""
        return f"{100 * self.value:.1f} ({100 * self.low:.1f}-{100 * self.high:.1f})"

    def as_json(self) -> dict[str, Any]:
        return {key: round(value, 6) for key, value in asdict(self).items()}


def wilson(num_right: int, n: int) -> Figure:
    """Compute a rate with Wilson's interval: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209-212. `n` must be above 0.

    Wilson's interval also holds for rates near 0 and 1. There, p +- 1.96 sqrt(p (1 - p) / n) would leave the range from
    0 to 1 or have no width.
    """
    share, scale = num_right / n, 1 + Z_95**2 / n
    centre = share + Z_95**2 / (2 * n)
    half = Z_95 * sqrt(share * (1 - share) / n + Z_95**2 / (4 * n * n))
    low = 0.0 if num_right == 0 else (centre - half) / scale
    high = 1.0 if num_right == n else (centre + half) / scale
    return Figure(share, low, high, n)


def f1(overlaps: Sequence[tuple[int, int, int]]) -> Figure | None:
    """Compute the micro-averaged F1 of rows, with a bootstrap interval over rows. None if all counts are 0.

    `overlaps` has three counts for each row: calls in both, expected calls, answered calls. The interval is the
    percentile interval of B. Efron, Ann. Stat. 7 (1979) 1-26, with a fixed seed.
    """
    counts = np.asarray(overlaps, dtype=np.float64).reshape(-1, 3)
    both, expected, answered = counts.sum(axis=0)
    if expected + answered == 0:
        return None
    n = len(counts)
    resample_counts = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), size=NUM_RESAMPLES)
    resampled = resample_counts @ counts
    sizes = resampled[:, 1] + resampled[:, 2]
    resampled_f1 = 2 * resampled[sizes > 0, 0] / sizes[sizes > 0]
    low, high = np.percentile(resampled_f1, (2.5, 97.5))
    return Figure(float(2 * both / (expected + answered)), float(low), float(high), n)


def mcnemar(pairs: Sequence[tuple[bool, bool]]) -> float:
    """Compute the p-value of McNemar's exact two-sided test, for pairs (first model is right, second model is right).

    The p-value is the probability of a difference at least this large between equally good models. Rows that both or
    none of the models got right do not count. Q. McNemar, Psychometrika 12 (1947) 153-157.
    """
    first_only = sum(first and not second for first, second in pairs)
    num_differing = sum(first != second for first, second in pairs)
    fewer = min(first_only, num_differing - first_only)
    return min(1.0, 2 * sum(comb(num_differing, k) for k in range(fewer + 1)) / int(2**num_differing))


def mean_of(values: Sequence[float]) -> Figure:
    """Compute the mean of at least one value, with a bootstrap interval as in `f1`.

    The mean may lie outside 0 to 1, so `Figure.shown` does not apply to it.
    """
    resampled = np.random.default_rng(SEED).choice(
        np.asarray(values, dtype=np.float64), size=(NUM_RESAMPLES, len(values))
    )
    low, high = np.percentile(resampled.mean(axis=1), (2.5, 97.5))
    return Figure(fmean(values), float(low), float(high), len(values))

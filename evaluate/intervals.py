"""How sure a figure is: intervals of rates and of F1, and whether two runs differ on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import comb, sqrt
from statistics import fmean
from typing import Any

import numpy as np

Z_95 = 1.959964
NUM_RESAMPLES = 1000
SEED = 0  # of the resamples, so that equal rows give equal intervals


@dataclass(frozen=True)
class Figure:
    """A share between 0 and 1 and its 95% interval. `n` is what it was measured on: rows, or calls."""

    value: float
    low: float
    high: float
    n: int

    def shown(self) -> str:
        """In percent: `47.5 (32.9-62.5)`."""
        return f"{100 * self.value:.1f} ({100 * self.low:.1f}-{100 * self.high:.1f})"

    def as_json(self) -> dict[str, Any]:
        return {key: round(value, 6) for key, value in asdict(self).items()}


def wilson(num_right: int, n: int) -> Figure:
    """A rate with Wilson's interval: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209-212. `n` must be above 0.

    Right also near 0 and 1, where p +- 1.96 sqrt(p (1 - p) / n) leaves the range or has no width.
    """
    share, scale = num_right / n, 1 + Z_95**2 / n
    centre = share + Z_95**2 / (2 * n)
    half = Z_95 * sqrt(share * (1 - share) / n + Z_95**2 / (4 * n * n))
    low = 0.0 if num_right == 0 else (centre - half) / scale
    high = 1.0 if num_right == n else (centre + half) / scale
    return Figure(share, low, high, n)


def f1(overlaps: Sequence[tuple[int, int, int]]) -> Figure | None:
    """Micro-averaged F1 over rows of (in both, expected, answered); its interval is a bootstrap over rows.

    The percentile interval of B. Efron, Ann. Stat. 7 (1979) 1-26, seeded. None where nothing was expected or answered.
    """
    counts = np.asarray(overlaps, dtype=np.float64).reshape(-1, 3)
    both, expected, answered = counts.sum(axis=0)
    if expected + answered == 0:
        return None
    n = len(counts)
    times_drawn = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), size=NUM_RESAMPLES)
    drawn = times_drawn @ counts
    sizes = drawn[:, 1] + drawn[:, 2]
    drawn_f1 = 2 * drawn[sizes > 0, 0] / sizes[sizes > 0]
    low, high = np.percentile(drawn_f1, (2.5, 97.5))
    return Figure(float(2 * both / (expected + answered)), float(low), float(high), n)


def mcnemar(pairs: Sequence[tuple[bool, bool]]) -> float:
    """How likely a difference at least this large is if both are equally good: McNemar's exact test, two-sided.

    Q. McNemar, Psychometrika 12 (1947) 153-157; only rows that one of the two has right count.
    """
    first_only = sum(first and not second for first, second in pairs)
    num_differing = sum(first != second for first, second in pairs)
    fewer = min(first_only, num_differing - first_only)
    return min(1.0, 2 * sum(comb(num_differing, k) for k in range(fewer + 1)) / int(2**num_differing))


def mean_of(values: Sequence[float]) -> Figure:
    """The mean of `values`, at least one, with a bootstrap interval as in `f1`; not a share, so not for `shown`."""
    drawn = np.random.default_rng(SEED).choice(np.asarray(values, dtype=np.float64), size=(NUM_RESAMPLES, len(values)))
    low, high = np.percentile(drawn.mean(axis=1), (2.5, 97.5))
    return Figure(fmean(values), float(low), float(high), len(values))

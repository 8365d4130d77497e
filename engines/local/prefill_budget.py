"""How much of the prompts a step reads, so that no running stream stands still for long."""

from __future__ import annotations

WAITED_FOR_S = 0.3  # of reading in a step that running streams wait for
ALONE_S = 1.0  # else: a request that is cancelled ends within a step
FEWEST, MOST = 32, 2048
_SEEN = 64  # tokens of a step that tells something about the speed


class Pace:
    """Follows the speed of this model on this machine."""

    def __init__(self) -> None:
        self._tokens_per_s = 512.0

    def num_tokens(self, is_waited_for: bool) -> int:
        """A power of two: few shapes, for which kernels are prepared."""
        wanted = self._tokens_per_s * (WAITED_FOR_S if is_waited_for else ALONE_S)
        return max(FEWEST, min(MOST, 1 << int(max(wanted, 1)).bit_length() - 1))

    def took(self, num_tokens: int, seconds: float) -> None:
        if num_tokens >= _SEEN:
            self._tokens_per_s += 0.3 * (num_tokens / max(seconds, 1e-6) - self._tokens_per_s)

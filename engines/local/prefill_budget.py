"""How much of the prompts a step reads, so that no running stream stands still for long."""

from __future__ import annotations

DECODE_STEP_S = 0.3  # of reading in a step that running streams wait for
PREFILL_STEP_S = 1.0  # else: a request that is cancelled ends within a step
MIN_TOKENS, MAX_TOKENS = 32, 2048
_MIN_MEASURED_TOKENS = 64  # tokens of a step that tells something about the speed


class PrefillBudget:
    """Follows the speed of this model on this machine."""

    def __init__(self) -> None:
        self._tokens_per_s = 512.0

    def num_tokens(self, is_decoding: bool) -> int:
        """A power of two: few shapes, for which kernels are prepared."""
        wanted = self._tokens_per_s * (DECODE_STEP_S if is_decoding else PREFILL_STEP_S)
        return max(MIN_TOKENS, min(MAX_TOKENS, 1 << int(max(wanted, 1)).bit_length() - 1))

    def record(self, num_tokens: int, seconds: float) -> None:
        if num_tokens >= _MIN_MEASURED_TOKENS:
            self._tokens_per_s += 0.3 * (num_tokens / max(seconds, 1e-6) - self._tokens_per_s)

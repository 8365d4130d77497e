"""How many prompt tokens a step may compute, so that no decoding request stalls for long."""

from __future__ import annotations

DECODE_STEP_S = 0.3  # target for the prefill of a step in which requests decode
PREFILL_STEP_S = 1.0  # target for a step of prefill only: a cancelled request ends after the step
MIN_TOKENS, MAX_TOKENS = 32, 2048
_MIN_MEASURED_TOKENS = 64  # smaller steps say little about the speed


class PrefillBudget:
    """Adapts to the measured prefill speed of the model on this machine."""

    def __init__(self) -> None:
        self._tokens_per_s = 512.0

    def num_tokens(self, is_decoding: bool) -> int:
        """The budget of the next step: a power of two, because kernels are compiled for each shape."""
        wanted = self._tokens_per_s * (DECODE_STEP_S if is_decoding else PREFILL_STEP_S)
        return max(MIN_TOKENS, min(MAX_TOKENS, 1 << int(max(wanted, 1)).bit_length() - 1))

    def record(self, num_tokens: int, seconds: float) -> None:
        """Update the speed with a step that computed `num_tokens` tokens."""
        if num_tokens >= _MIN_MEASURED_TOKENS:
            self._tokens_per_s += 0.3 * (num_tokens / max(seconds, 1e-6) - self._tokens_per_s)

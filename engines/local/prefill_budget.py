"""Limits how many prompt tokens a step computes, so that no decoding request stalls for long."""

from __future__ import annotations

DECODE_STEP_S = 0.3  # target for the time of prefill in a step in which requests also decode
PREFILL_STEP_S = 1.0  # target for a step of prefill only; a cancelled request ends only after the current step
MIN_TOKENS, MAX_TOKENS = 32, 2048
_MIN_MEASURED_TOKENS = 64  # tokens; smaller steps are too short to measure the speed


class PrefillBudget:
    """The prefill budget of the next step, adapted to the measured prefill speed of the model on this machine."""

    def __init__(self) -> None:
        self._tokens_per_s = 512.0

    def num_tokens(self, is_decoding: bool) -> int:
        """Return the budget of the next step in tokens: a power of two, because kernels are compiled for each shape."""
        wanted = self._tokens_per_s * (DECODE_STEP_S if is_decoding else PREFILL_STEP_S)
        return max(MIN_TOKENS, min(MAX_TOKENS, 1 << int(max(wanted, 1)).bit_length() - 1))

    def record(self, num_tokens: int, seconds: float) -> None:
        """Update the measured speed with a step that computed `num_tokens` tokens in `seconds`."""
        if num_tokens >= _MIN_MEASURED_TOKENS:
            self._tokens_per_s += 0.3 * (num_tokens / max(seconds, 1e-6) - self._tokens_per_s)

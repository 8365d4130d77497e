"""The check of a request before an engine accepts it, the same for every engine."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import PromptTooLong, RequestError
from core.generation import Sampling


def check_request(prompt_ids: Sequence[int], sampling: Sampling, max_context: int, vocab_size: int) -> None:
    """Raise PromptTooLong or RequestError for a prompt without room for an answer, or ids outside the vocabulary."""
    if len(prompt_ids) >= max_context:
        raise PromptTooLong(len(prompt_ids), max_context)
    if not prompt_ids:
        raise RequestError("The prompt is empty; it needs at least one token.", "prompt")
    biased = [token_id for token_id, _ in sampling.logit_bias]
    for param, ids in (("prompt", prompt_ids), ("logit_bias", biased), ("stop_token_ids", sampling.stop_ids)):
        for token_id in ids:
            if not 0 <= token_id < vocab_size:
                raise RequestError(
                    f"Invalid '{param}': token id {token_id} is not in the vocabulary of {vocab_size}.",
                    param,
                    "invalid_value",
                )

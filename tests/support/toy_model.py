"""A language model that is a function from token ids to logits, and the sampler of a server around it, in NumPy.

The sampler draws by the inverse of the cumulated probabilities, unlike the local engine's: two requests with the same
seed and similar probabilities draw similar tokens, so that a test sees a seed that is used twice in one answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM

Logits = NDArray[np.float32]
LanguageModel = Callable[[Sequence[int]], Logits]


def random_model(vocab_size: int, *, spread: float = 2.0, seed: int = 0) -> LanguageModel:
    """Return a model whose logits depend on the last two tokens."""

    def logits(ids: Sequence[int]) -> Logits:
        drawing = np.random.default_rng((seed, *ids[-2:]))
        return (spread * drawing.standard_normal(vocab_size)).astype(np.float32)

    return logits


def fixed_model(probabilities: Sequence[float]) -> LanguageModel:
    """Return a model with the same probabilities at each position."""
    logits = np.log(np.array(probabilities, np.float32))
    return lambda ids: logits


def script_model(vocab_size: int, *scripts: Sequence[int]) -> LanguageModel:
    """Return a model that wants to continue the script of which the ids end with the longest beginning.

    It begins the first script where they end with none.
    """

    def logits(ids: Sequence[int]) -> Logits:
        ends = [(_num_written(script, ids), -number) for number, script in enumerate(scripts)]
        end, number = max(ends)
        found: Logits = np.arange(0, -vocab_size, -1, dtype=np.float32)  # of two other tokens, the lower id is likelier
        found /= np.float32(vocab_size)
        found[scripts[-number][end]] = 30.0
        return found

    return logits


def _num_written(script: Sequence[int], ids: Sequence[int]) -> int:
    """Return the length of the longest beginning of `script`, but not all of it, that `ids` ends with."""
    longest = min(len(script) - 1, len(ids))
    return next((end for end in range(longest, 0, -1) if list(ids[-end:]) == list(script[:end])), 0)


def checkpoint_model(folder: Path) -> LanguageModel:
    """Return the model of a checkpoint, computed without a cache."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    def logits(ids: Sequence[int]) -> Logits:
        with torch.inference_mode():
            found: Logits = model(torch.tensor([list(ids)])).logits[0, -1].numpy()
        return found

    return logits


@dataclass(frozen=True)
class Wanted:
    """The sampling of one request, as a server understands it. `allowed` are the only tokens; None for all.

    counts_prompt: all penalties count the tokens of the prompt.
    """

    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None
    stop_ids: Collection[int] = ()
    min_tokens: int = 0
    allowed: Sequence[int] | None = None
    counts_prompt: bool = False


class Sampler:
    """Samples the answer to one request."""

    def __init__(self, wanted: Wanted, prompt_ids: Sequence[int]) -> None:
        self._wanted = wanted
        self._prompt_ids = frozenset(prompt_ids)
        self._counts: Counter[int] = Counter(prompt_ids if wanted.counts_prompt else ())
        self._num = 0
        self._drawing = np.random.default_rng(wanted.seed)

    def sample(self, logits: Logits) -> int:
        wanted, adjusted = self._wanted, self._adjusted(logits.astype(np.float64))
        if wanted.temperature < 1e-5:
            token_id = int(adjusted.argmax())
        else:
            kept = probabilities(adjusted / wanted.temperature, wanted)
            token_id = int(np.searchsorted(kept.cumsum(), self._drawing.random() * kept.sum(), side="right"))
        self._counts[token_id] += 1
        self._num += 1
        return token_id

    def _adjusted(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        wanted = self._wanted
        if wanted.allowed is not None:
            forbidden = np.ones(len(logits), np.bool_)
            forbidden[list(wanted.allowed)] = False
            logits[forbidden] = -np.inf
        for token_id in self._prompt_ids | self._counts.keys() if wanted.repetition_penalty != 1.0 else ():
            is_positive = logits[token_id] > 0
            logits[token_id] *= 1 / wanted.repetition_penalty if is_positive else wanted.repetition_penalty
        for token_id, bias in wanted.logit_bias.items():
            logits[token_id] += bias
        for token_id, count in self._counts.items():
            logits[token_id] -= wanted.presence_penalty + wanted.frequency_penalty * count
        if self._num < wanted.min_tokens:
            logits[list(wanted.stop_ids)] = -np.inf
        return logits


def probabilities(logits: NDArray[np.float64], wanted: Wanted) -> NDArray[np.float64]:
    """Return the probabilities of the tokens that top-k, top-p and min-p keep. Their sum may be less than 1."""
    found: NDArray[np.float64] = np.exp(logits - logits.max())
    found /= found.sum()
    order = np.argsort(-found, kind="stable")
    if wanted.top_k:
        found[order[wanted.top_k :]] = 0.0
        found /= found.sum()
    before = found[order].cumsum() - found[order]
    found[order[(before >= wanted.top_p) | (found[order] < wanted.min_p * found[order[0]])]] = 0.0
    return found


def logprobs(logits: Logits) -> NDArray[np.float64]:
    """Return the natural logs of the probabilities before anything is applied."""
    shifted = logits.astype(np.float64) - float(logits.max())
    found: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum())
    return found

"""Stores the sequences of a run as compact arrays, in memory and in a file.

A CPU needs longer to prepare tens of millions of tokens than a GPU needs to train on them. Therefore `python -m
train.sft ... --prepare FILE` prepares them on a machine without a GPU, and `--prepared FILE` trains on them.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from client.json_lines import write_whole
from train.learning.packing import IGNORED, Example
from train.learning.presets import RunError

_ABOUT = "about"
_TOKENS = {"ids": np.uint32, "learned": np.bool_, "shifts": np.int32, "trees": np.uint16, "branches": np.uint16}
_SEQUENCES = {"lengths": np.int32, "conversations": np.int32, "alone": np.int32}


@dataclass(frozen=True)
class Sequences(torch.utils.data.Dataset[Example]):
    """The sequences of a run, as arrays by name.

    The arrays in _TOKENS have one value for each token, the arrays in _SEQUENCES one for each sequence. `shifts` is a
    token's position in its conversation minus its index in the sequence. `alone` is the number of tokens that the
    sequence would have if its conversations shared no prefix.
    """

    arrays: Mapping[str, NDArray[Any]]

    @classmethod
    def of(cls, examples: Iterable[Example], num_tokens: int | None = None) -> Sequences:
        """Store the first examples that together have at least `num_tokens`, or all examples."""
        parts: dict[str, list[NDArray[Any]]] = {name: [np.empty(0, kind)] for name, kind in _TOKENS.items()}
        sizes, total = [], 0
        for example in examples:
            if num_tokens is not None and total >= num_tokens:
                break
            total += len(example)
            for name, values in _columns(example).items():
                parts[name].append(np.asarray(values, _TOKENS[name]))
            sizes.append((len(example), example.num_conversations, example.num_unshared_tokens))
        columns = np.asarray(sizes, np.int32).reshape(-1, len(_SEQUENCES)).T
        arrays = {name: np.concatenate(kept) for name, kept in parts.items()}
        return cls(arrays | {name: column.copy() for name, column in zip(_SEQUENCES, columns, strict=True)})

    def __len__(self) -> int:
        return len(self.arrays["lengths"])

    @property
    def num_tokens(self) -> int:
        return len(self.arrays["ids"])

    def __getitem__(self, index: int) -> Example:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        end = int(self._ends[index])
        start = end - int(self.arrays["lengths"][index])
        ids, learned, shifts, trees, branches = (self.arrays[name][start:end] for name in _TOKENS)
        labels = np.where(learned, ids.astype(np.int64), IGNORED)
        positions = shifts + np.arange(end - start, dtype=np.int32)
        return Example(ids.tolist(), labels.tolist(), positions.tolist(), trees.tolist(), branches.tolist())

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.cumsum(self.arrays["lengths"], dtype=np.int64)

    def first(self, num_tokens: int | None) -> Sequences:
        """Return the first sequences that together have at least `num_tokens`, or all sequences."""
        if num_tokens is None or not len(self):
            return self
        num = min(int(np.searchsorted(self._ends, num_tokens)) + 1, len(self))
        end = int(self._ends[num - 1])
        return Sequences({name: kept[: end if name in _TOKENS else num] for name, kept in self.arrays.items()})

    def summary(self, batch_size: int) -> str:
        """Describe the size of the run in one line."""
        num_learned = int(self.arrays["learned"].sum())
        return (
            f"{self.arrays['conversations'].sum()} conversations in {len(self)} sequences, {self.num_tokens} tokens "
            f"({self.arrays['alone'].sum(dtype=np.int64)} without sharing), {num_learned} learned "
            f"({num_learned / max(self.num_tokens, 1):.0%}), {-(-len(self) // batch_size)} steps"
        )

    def write(self, path: Path, about: Mapping[str, Any]) -> None:
        """Write a compressed file, completely or not at all. Raises FileError.

        read_sequences later requires an equal `about`.
        """
        kept = {**self.arrays, _ABOUT: np.frombuffer(json.dumps(about, sort_keys=True).encode(), np.uint8)}
        write_whole(path, lzma.compress(save(kept), preset=3))


def read_sequences(paths: Sequence[Path], about: Mapping[str, Any]) -> Sequences:
    """Read and concatenate files. Raises RunError for a file of another format, or one with another `about`."""
    files = []
    for path in paths:
        try:
            arrays = dict(load(lzma.decompress(path.read_bytes())))
            made_for = json.loads(arrays.pop(_ABOUT).tobytes())
        except (lzma.LZMAError, SafetensorError, KeyError, ValueError) as error:
            raise RunError(f"{path}: not made by --prepare: {error}") from None
        if made_for != about:
            raise RunError(f"{path}: made for {_words(made_for)}; this run has {_words(about)}")
        files.append(arrays)
    return Sequences({name: np.concatenate([one[name] for one in files]) for name in (*_TOKENS, *_SEQUENCES)})


def _words(about: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in about.items())


def _columns(example: Example) -> dict[str, Any]:
    return {
        "ids": example.ids,
        "learned": [label != IGNORED for label in example.labels],
        "shifts": np.asarray(example.positions, np.int32) - np.arange(len(example), dtype=np.int32),
        "trees": example.trees,
        "branches": example.branches,
    }

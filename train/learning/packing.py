"""Bundles to token ids, and examples of full length out of them, without a view from one conversation to another.

Each conversation is rendered and tokenized as the server does it, whole. What the conversations of a bundle have in
common at their start, before anything is learned, is kept once; the rest are branches of it. A token sees the tokens
before it in its own branch and in the common start, at the positions that they have in the conversation alone: the
numbers that come out are those of the conversations one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from core.errors import RequestError
from prompt_template import PromptTemplate
from text.tokenizer import Encoded, Tokenizer
from train.learning.bundles import Bundle

_MULTIPLE = 64
IGNORED = -100  # the label of what is not learned, in transformers and PyTorch alike


@dataclass
class Example:
    """A sequence. Lists of one length, the number of tokens.

    `trees` tells which bundle a token is of, `branches` which of its conversations; 0 is the common start.
    """

    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    trees: list[int] = field(default_factory=list)
    branches: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_learned(self) -> int:
        return sum(label != IGNORED for label in self.labels)

    @property
    def num_conversations(self) -> int:
        """Branches, and trees that have none."""
        pairs = set(zip(self.trees, self.branches, strict=True))
        return len(pairs - {(tree, 0) for tree, branch in pairs if branch})

    @property
    def num_tokens_alone(self) -> int:
        """What the conversations would have one by one: the common start of a tree belongs to each of its branches."""
        tokens = Counter(zip(self.trees, self.branches, strict=True))
        branches = Counter(tree for tree, branch in tokens if branch)
        return sum(num * (1 if branch else branches[tree] or 1) for (tree, branch), num in tokens.items())

    def add(self, other: Example) -> None:
        """Put another one behind; the two do not see each other."""
        tree = self.trees[-1] + 1 if self.trees else 0
        self.ids += other.ids
        self.labels += other.labels
        self.positions += other.positions
        self.trees += [tree + number for number in other.trees]
        self.branches += other.branches

    def _extend(self, encoded: Encoded, start: int, end: int, branch: int) -> None:
        """Its first token is not learned: in the sequence it does not stand behind the token that it follows."""
        pairs = zip(encoded.ids[start:end], encoded.learned[start:end], strict=True)
        labels = [token_id if learned else IGNORED for token_id, learned in pairs]
        self.labels += [IGNORED, *labels[1:]]
        self.ids += encoded.ids[start:end]
        self.positions += range(start, end)
        self.trees += [0] * (end - start)
        self.branches += [branch] * (end - start)


def encode(bundle: Bundle, template: PromptTemplate, tokenizer: Tokenizer, max_length: int) -> Example | None:
    """The bundle as one example; conversations with which it would be longer than `max_length` are left out.

    None if nothing is left to learn, or the format has no words for the functions.
    """
    try:
        rendered = [template.render(talk, bundle.functions) for talk in bundle.conversations]
    except RequestError:
        return None
    encoded = [tokenizer.encode(pieces, bos=template.bos) for pieces in rendered]
    encoded = [one for one in encoded if any(one.learned) and len(one.ids) <= max_length]
    if not encoded:
        return None
    num_common = _common(encoded) if len(encoded) > 1 else 0
    example = Example()
    if num_common:
        example._extend(encoded[0], 0, num_common, 0)
    for branch, one in enumerate(encoded, start=1 if num_common else 0):
        end = len(one.ids) - one.learned[::-1].index(True)  # behind the last learned token nothing matters
        if len(example) + end - num_common <= max_length:
            example._extend(one, num_common, end, branch)
    return example


def packed(examples: Iterable[Example], max_length: int, num_open: int = 16) -> Iterator[Example]:
    """Short ones behind one another up to `max_length`: best fit among `num_open` that are not full yet."""
    open_ones: list[Example] = []
    for example in examples:
        fitting = [other for other in open_ones if len(other) + len(example) <= max_length]
        if fitting:
            max(fitting, key=len).add(example)
        else:
            fresh = Example()
            fresh.add(example)
            open_ones.append(fresh)
        if len(open_ones) > num_open:
            fullest = max(open_ones, key=len)
            open_ones.remove(fullest)
            yield fullest
    yield from open_ones


def collate(examples: Sequence[Example], pad_id: int = 0) -> dict[str, Tensor]:
    """A batch. input_ids, position_ids, labels: (B, T) int64; attention_mask: (B, 1, T, T) bool, True where seen.

    T is a multiple of 64, so that there are few shapes: kernels are prepared for each.
    """
    width = -(-max(map(len, examples)) // _MULTIPLE) * _MULTIPLE

    def padded(values: Sequence[int], filler: int) -> list[int]:
        return [*values, *[filler] * (width - len(values))]

    trees = torch.tensor([padded(example.trees, -1) for example in examples])
    branches = torch.tensor([padded(example.branches, 0) for example in examples])
    return {
        "input_ids": torch.tensor([padded(example.ids, pad_id) for example in examples]),
        "position_ids": torch.tensor([padded(example.positions, 0) for example in examples]),
        "labels": torch.tensor([padded(example.labels, IGNORED) for example in examples]),
        "attention_mask": visible(trees, branches)[:, None],
    }


def visible(trees: Tensor, branches: Tensor) -> Tensor:
    """Which token (row) sees which (column). (B, T) twice -> (B, T, T) bool. Padding sees padding: no row is empty."""
    same_tree = trees[:, :, None] == trees[:, None, :]
    same_branch = (branches[:, :, None] == branches[:, None, :]) | (branches[:, None, :] == 0)
    width = trees.shape[1]
    return same_tree & same_branch & torch.ones(width, width, dtype=torch.bool).tril()


def _common(encoded: Sequence[Encoded]) -> int:
    """How many tokens all have in common at their start, before the first learned one."""
    first = min(one.learned.index(True) for one in encoded)
    shortest = min(first, *(len(one.ids) for one in encoded))
    for place in range(shortest):
        if len({one.ids[place] for one in encoded}) > 1:
            return place
    return shortest

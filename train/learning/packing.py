"""Encodes bundles as token ids and packs them into examples. No conversation attends to another.

Each conversation is rendered and tokenized as on the server. The common prefix of a bundle's conversations, up to the
first learned token, is stored once. The rest of each conversation is a branch. A token attends to earlier tokens of its
branch and to the common prefix, at their positions in the conversation. Therefore the logits are the same as if each
conversation were trained separately.
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

_LENGTH_MULTIPLE = 64
IGNORED = -100  # the label of tokens that do not count in the loss, in transformers and PyTorch


@dataclass
class Example:
    """A training sequence as lists with one entry for each token.

    trees: the number of the token's bundle. branches: the number of the token's conversation, counted from 1; 0 in the
    common prefix, and in a bundle of one conversation.
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
        """Return the number of conversations: the branches, and the bundles of one conversation."""
        pairs = set(zip(self.trees, self.branches, strict=True))
        return len(pairs - {(tree, 0) for tree, branch in pairs if branch})

    @property
    def num_unshared_tokens(self) -> int:
        """Count the tokens as if no prefix were shared: a common prefix counts once for each of its branches."""
        tokens = Counter(zip(self.trees, self.branches, strict=True))
        branches = Counter(tree for tree, branch in tokens if branch)
        return sum(num * (1 if branch else branches[tree] or 1) for (tree, branch), num in tokens.items())

    def add(self, other: Example) -> None:
        """Append another example. The two examples do not attend to each other."""
        tree = self.trees[-1] + 1 if self.trees else 0
        self.ids += other.ids
        self.labels += other.labels
        self.positions += other.positions
        self.trees += [tree + number for number in other.trees]
        self.branches += other.branches

    def _extend(self, encoded: Encoded, start: int, end: int, branch: int) -> None:
        """Append the tokens from `start` to `end` as one branch.

        The first token of a branch is not learned, since the token before it in the sequence belongs to another branch.
        """
        pairs = zip(encoded.ids[start:end], encoded.learned[start:end], strict=True)
        labels = [token_id if learned else IGNORED for token_id, learned in pairs]
        self.labels += [IGNORED, *labels[1:]]
        self.ids += encoded.ids[start:end]
        self.positions += range(start, end)
        self.trees += [0] * (end - start)
        self.branches += [branch] * (end - start)


def encode(bundle: Bundle, template: PromptTemplate, tokenizer: Tokenizer, max_length: int) -> Example | None:
    """Encode the bundle as one example. Conversations that would make it longer than `max_length` are left out.

    Returns None if no learned token is left, or if the template cannot render the functions.
    """
    try:
        rendered = [template.render(conversation, bundle.functions) for conversation in bundle.conversations]
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
        end = len(one.ids) - one.learned[::-1].index(True)  # tokens after the last learned one have no effect
        if len(example) + end - num_common <= max_length:
            example._extend(one, num_common, end, branch)
    return example


def packed(examples: Iterable[Example], max_length: int, num_open: int = 16) -> Iterator[Example]:
    """Concatenate examples to sequences of up to `max_length` tokens.

    Each example goes to the open sequence where it leaves the least space.

    At most `num_open` sequences are open at the same time.
    """
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
    """Make a batch: input_ids, position_ids, labels (B, T) int64; attention_mask (B, 1, T, T) bool, True to attend.

    T is a multiple of 64. This keeps the number of different shapes small, since kernels are compiled or selected anew
    for each shape.
    """
    width = -(-max(map(len, examples)) // _LENGTH_MULTIPLE) * _LENGTH_MULTIPLE

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
    """Compute which token (first T) attends to which other token (second T): (B, T), (B, T) -> (B, T, T) bool.

    Padding attends to padding, since softmax needs at least one visible token for each token.
    """
    same_tree = trees[:, :, None] == trees[:, None, :]
    same_branch = (branches[:, :, None] == branches[:, None, :]) | (branches[:, None, :] == 0)
    width = trees.shape[1]
    return same_tree & same_branch & torch.ones(width, width, dtype=torch.bool).tril()


def _common(encoded: Sequence[Encoded]) -> int:
    """Count the leading tokens that all conversations have in common, up to the first learned token."""
    first = min(one.learned.index(True) for one in encoded)
    shortest = min(first, *(len(one.ids) for one in encoded))
    for place in range(shortest):
        if len({one.ids[place] for one in encoded}) > 1:
            return place
    return shortest

"""Rows of a file to the examples of a run, in the order in which they are learned. Equal input, equal examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from tqdm import tqdm

from client.json_lines import FileError, LineError, read_objects
from client.rows import Row, parse_function
from core.conversation import Function
from core.errors import RequestError
from prompt_template import PromptTemplate
from text.tokenizer import Tokenizer
from train.learning.augment import Rates, augmented
from train.learning.bundles import bundled
from train.learning.packing import Example, encode, packed
from train.learning.spellings import one_spelling
from train.rows import read_rows

_BUNDLE = 0.8  # of the length of an example, so that there is room for distractors


def read_all(paths: Sequence[Path]) -> list[Row]:
    """Raises FileError for the first bad row, and when there is none at all."""
    rows = [row for path in paths for row in tqdm(read_rows(path), f"Reading {path.name}", unit=" rows")]
    if not rows:
        raise FileError(f"{', '.join(map(str, paths))}: no rows")
    return rows


def read_pool(path: Path) -> list[Function]:
    """The functions of lines {"function": ...}, as train.definitions writes them. Raises FileError."""
    functions = []
    for held, where in read_objects(path):
        try:
            functions.append(parse_function(held.get("function"), "function"))
        except RequestError as error:
            raise LineError(f"{where}: {error.message}") from None
    return functions


def examples(
    rows: Sequence[Row],
    template: PromptTemplate,
    tokenizer: Tokenizer,
    *,
    epochs: int,
    max_length: int,
    bundled_share: float,
    rates: Rates,
    seed: int,
    pool: Sequence[Function] = (),
) -> Iterator[Example]:
    """All examples of all epochs; each epoch has its own order, bundles and looks. `pool`: further distractors."""
    functions = [function for row in rows for function in row.functions[:1]]
    for epoch in range(epochs):
        made = _epoch(
            rows,
            template,
            tokenizer,
            pools=[functions, functions, list(pool) or functions],
            max_length=max_length,
            bundled_share=bundled_share,
            rates=rates,
            seed=f"{seed} {epoch}",
        )
        yield from packed(made, max_length)


def _epoch(
    rows: Sequence[Row],
    template: PromptTemplate,
    tokenizer: Tokenizer,
    *,
    pools: Sequence[Sequence[Function]],
    max_length: int,
    bundled_share: float,
    rates: Rates,
    seed: str,
) -> Iterator[Example]:
    random = Random(f"{seed} order")
    rows = one_spelling(rows, seed=seed)
    bundles = list(bundled(rows, seed=seed, max_tokens=int(_BUNDLE * max_length), share=bundled_share))
    random.shuffle(bundles)
    for number, bundle in enumerate(bundles):
        look = Random(f"{seed} {number}")
        example = encode(augmented(bundle, look, look.choice(pools), rates), template, tokenizer, max_length)
        if example is not None:
            yield example

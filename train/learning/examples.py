"""Turns rows into the examples of a run, in training order. Equal rows and seeds give equal examples."""

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
from train.learning.spellings import unify_spellings
from train.rows import read_rows

_BUNDLE_SHARE = 0.8  # share of an example's maximum length that a bundle may fill; the rest is for distractors


def read_all(paths: Sequence[Path]) -> list[Row]:
    """Read the rows of all files. Raises FileError for the first bad row, or if no file has a row."""
    rows = [row for path in paths for row in tqdm(read_rows(path), f"Reading {path.name}", unit=" rows")]
    if not rows:
        raise FileError(f"{', '.join(map(str, paths))}: no rows")
    return rows


def read_pool(path: Path) -> list[Function]:
    """Read the functions of a file that train.definitions wrote. Raises FileError."""
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
    """Yield the examples of all epochs. Each epoch has its own order, bundles and augmentation.

    Distractors are functions of the rows or, for a third of the bundles, of `pool` if it is not empty.
    """
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
    rows = unify_spellings(rows, seed=seed)
    bundles = list(bundled(rows, seed=seed, max_tokens=int(_BUNDLE_SHARE * max_length), share=bundled_share))
    random.shuffle(bundles)
    for number, bundle in enumerate(bundles):
        rng = Random(f"{seed} {number}")
        example = encode(augmented(bundle, rng, rng.choice(pools), rates), template, tokenizer, max_length)
        if example is not None:
            yield example

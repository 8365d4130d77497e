"""Sequences of tokens that were prepared in a file equal those that a training run prepares itself."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from client.rows import write_rows
from tests.support.training_rows import TEN
from train.learning.packing import IGNORED, Example
from train.learning.presets import RunError
from train.learning.sequences import Sequences, read_sequences
from train.sft import main

ABOUT = {"model": "m", "max_length": 9}
TOKENS = st.tuples(st.integers(0, 200_000), st.booleans(), st.integers(0, 5000), st.integers(0, 9), st.integers(0, 12))


def an_example(tokens: list[tuple[int, bool, int, int, int]]) -> Example:
    ids, learned, positions, trees, branches = map(list, zip(*tokens, strict=True))
    labels = [token_id if wanted else IGNORED for token_id, wanted in zip(ids, learned, strict=True)]
    return Example(ids, labels, positions, trees, branches)


EXAMPLES = st.lists(st.lists(TOKENS, min_size=1, max_size=30).map(an_example), max_size=8)


@given(examples=EXAMPLES, num_tokens=st.none() | st.integers(1, 100))
def test_they_are_the_examples(examples: list[Example], num_tokens: int | None) -> None:
    """Sequences have the values and counts of the examples that they are made of.

    A limit on the number of tokens gives the same sequences while they are made as afterwards.
    """
    whole, cut = Sequences.of(examples), Sequences.of(examples, num_tokens)
    assert [whole[i] for i in range(len(whole))] == examples
    again = whole.first(num_tokens)
    assert [again[i] for i in range(len(again))] == [cut[i] for i in range(len(cut))] == examples[: len(cut)]
    assert whole.num_tokens == sum(map(len, examples))
    assert whole.summary(4).startswith(f"{sum(example.num_conversations for example in examples)} conversations")


@given(examples=EXAMPLES)
def test_a_file_keeps_them(examples: list[Example], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("kept") / "sequences.xz"
    Sequences.of(examples).write(path, ABOUT)
    twice = read_sequences([path, path], ABOUT)
    assert [twice[i] for i in range(len(twice))] == 2 * examples
    assert [other.name for other in path.parent.iterdir()] == [path.name]


def test_what_is_no_such_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "rows.xz"
    for content in (b"", b"{}", lzma.compress(b"{}")):
        path.write_bytes(content)
        with pytest.raises(RunError, match=r"rows\.xz: not made by --prepare"):
            read_sequences([path], ABOUT)
    Sequences.of([]).write(path, {**ABOUT, "max_length": 8})
    with pytest.raises(RunError, match=r"made for .*max_length 8.*; this run has model m, max_length 9"):
        read_sequences([path], ABOUT)


def test_a_run_of_prepared_sequences_is_the_run_of_the_rows(chatml_folder: Path, tmp_path: Path) -> None:
    rows = tmp_path / "ten.jsonl"
    write_rows(rows, TEN)
    model = ["--model", str(chatml_folder), "--template", "functionary_v3_chatml", "--max-length", "1024"]
    model = ["--preset", "functionary-7b-v1", *model]
    options = [*model, "--batch-size", "4", "--device-batch-size", "4", "--learning-rate", "1e-3"]
    main([*options, "--data", str(rows), "--out", str(tmp_path / "rows")])
    main([*options, "--data", str(rows), "--prepare", str(tmp_path / "kept.xz")])
    main([*options, "--prepared", str(tmp_path / "kept.xz"), "--out", str(tmp_path / "kept")])
    first, second = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("rows", "kept"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    with pytest.raises(SystemExit, match=r"sft: .*File exists|sft: .*Not a directory"):
        main([*options, "--data", str(rows), "--prepare", str(rows / "kept.xz")])
    with pytest.raises(SystemExit, match=r"sft: .*kept\.xz: made for"):
        main([*options, "--max-length", "512", "--prepared", str(tmp_path / "kept.xz"), "--out", str(tmp_path / "no")])

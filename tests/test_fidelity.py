"""The engine generates the same tokens as plain transformers."""

from __future__ import annotations

from typing import Any

import pytest

from bench.fidelity import differences, greedy_answers, prompts
from inference import Model, load_model


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model(device="cpu", dtype="float32")


def test_answers_in_float32_are_those_of_plain_transformers(model: Model, plain_embedded: Any) -> None:
    """The engine's greedy answers to twenty requests are those of plain transformers.

    Each answer has 64 tokens, sixteen requests run at a time while four wait, and every token must be the most probable
    one in transformers. `python -m bench.fidelity` compares fifty answers.
    """
    asked = prompts(model, 20)
    answers = greedy_answers(model, asked)
    assert [len(answer) for answer in answers] == [64] * 20
    assert differences(plain_embedded, asked, answers) == []


def test_a_wrong_token_is_found(model: Model, plain_embedded: Any) -> None:
    asked = prompts(model, 1)
    (answer,) = greedy_answers(model, asked, 8)
    answer[5] += 1
    assert differences(plain_embedded, asked, [answer])[0].token == 5

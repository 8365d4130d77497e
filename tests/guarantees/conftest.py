"""Models that write random tokens within a constraint, for two kinds of tokenizer."""

from __future__ import annotations

import pytest

from tests.support.random_model import RandomModel, byte_level, sentencepiece


@pytest.fixture(scope="module", params=[byte_level, sentencepiece], ids=["byte_level", "sentencepiece"])
def model(request: pytest.FixtureRequest) -> RandomModel:
    return RandomModel(request.param())


@pytest.fixture(scope="module")
def bytes_model() -> RandomModel:
    return RandomModel(byte_level())

"""Servers over scripted peers, with one peer or two."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from inference import Model
from prompt_template import Piece
from tests.support.remote_front import Front, front_over
from tests.support.remote_model import peer_of
from tests.support.scripted_peer import Peer, running
from tests.support.toy_model import script_model


@pytest.fixture(scope="module")
def started(chatml: Model) -> Iterator[list[Peer]]:
    script = chatml.tokenizer.encode([Piece("all\nhello there<|im_end|>", markup=True)]).ids
    peers = [peer_of(chatml, script_model(272, script)) for _ in range(2)]
    with running(*peers):
        yield peers


@pytest.fixture(scope="module")
def fronts(chatml: Model, started: list[Peer]) -> Iterator[dict[int, Front]]:
    with front_over(chatml, started[:1]) as one, front_over(chatml, started) as two:
        yield {1: one, 2: two}


@pytest.fixture
def front(fronts: dict[int, Front]) -> Front:
    """A front with one server."""
    fronts[1].reset()
    return fronts[1]


@pytest.fixture
def two(fronts: dict[int, Front]) -> Front:
    fronts[2].reset()
    return fronts[2]

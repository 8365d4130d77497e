"""Calls that depend on the user's yes or on the result of another call."""

from __future__ import annotations

import json
from random import Random

import pytest

from client.rows import arguments_of
from train.everyday.chains import confirmed, multi_turn, signed_in
from train.rows import check_row

SEEDS = range(40)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_call_comes_only_after_the_yes(seed: int) -> None:
    row = confirmed(Random(seed))
    check_row(row)
    roles = [message.role for message in row.messages if message.role != "system"]
    assert roles[:4] == ["user", "assistant", "user", "assistant"]
    said = [message for message in row.messages if message.role != "system"]
    assert not said[1].calls and len(said[3].calls) == len(row.calls) == 1
    texts = [value for value in arguments_of(row.calls[0]).values() if isinstance(value, str)]
    assert all(text in (said[1].content or "") for text in texts)
    assert "onfirm" in str(row.messages[0].content) or "wait for a yes" in str(row.messages[0].content)


@pytest.mark.parametrize("seed", range(400))
def test_no_confirmation_is_asked_for_without_an_instruction(seed: int) -> None:
    """Such rows once taught the model to answer four of fifty plain requests with "Is that correct?"."""
    row = multi_turn(Random(seed))
    asks = any(mark in (message.content or "") for message in row.messages for mark in ("go ahead?", "correct?"))
    assert not asks or row.messages[0].role == "system"


@pytest.mark.parametrize("seed", SEEDS)
def test_the_token_of_the_first_call_goes_into_the_second(seed: int) -> None:
    row = signed_in(Random(seed))
    check_row(row)
    sign_in, guarded = row.calls
    (result, *_) = (message for message in row.messages if message.role == "tool")
    assert result.name == sign_in.name
    assert next(iter(arguments_of(guarded).values())) == json.loads(result.content or "")["token"]
    said = " ".join(message.content or "" for message in row.messages if message.role == "user")
    assert all(value in said for value in arguments_of(sign_in).values())

"""Conversations in which a call needs the user's consent or the result of another call."""

from __future__ import annotations

import json
from random import Random

import pytest

from client.rows import parse_arguments
from train.everyday.chains import confirmed, multi_turn, signed_in
from train.rows import check_row


def test_a_call_comes_only_after_the_yes(subtests: pytest.Subtests) -> None:
    for seed in range(40):
        with subtests.test(seed=seed):
            row = confirmed(Random(seed))
            check_row(row)
            roles = [message.role for message in row.messages if message.role != "system"]
            assert roles[:4] == ["user", "assistant", "user", "assistant"]
            said = [message for message in row.messages if message.role != "system"]
            assert not said[1].calls and len(said[3].calls) == len(row.calls) == 1
            texts = [value for value in parse_arguments(row.calls[0]).values() if isinstance(value, str)]
            assert all(text in (said[1].content or "") for text in texts)
            assert "onfirm" in str(row.messages[0].content) or "wait for a yes" in str(row.messages[0].content)


def test_only_a_system_message_makes_the_assistant_ask_for_a_yes() -> None:
    """The assistant asks for consent only if a system message says so.

    Regression test: without this rule, the model asked "Is that correct?" after four of fifty plain requests.
    """
    rows = {seed: multi_turn(Random(seed)) for seed in range(400)}
    asking = [
        seed
        for seed, row in rows.items()
        if any(mark in (message.content or "") for message in row.messages for mark in ("go ahead?", "correct?"))
    ]
    assert asking
    assert [seed for seed in asking if rows[seed].messages[0].role != "system"] == []


def test_the_token_of_the_first_call_goes_into_the_second(subtests: pytest.Subtests) -> None:
    for seed in range(40):
        with subtests.test(seed=seed):
            row = signed_in(Random(seed))
            check_row(row)
            sign_in, guarded = row.calls
            (result, *_) = (message for message in row.messages if message.role == "tool")
            assert result.name == sign_in.name
            assert next(iter(parse_arguments(guarded).values())) == json.loads(result.content or "")["token"]
            said = " ".join(message.content or "" for message in row.messages if message.role == "user")
            assert all(value in said for value in parse_arguments(sign_in).values())

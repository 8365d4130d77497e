"""The engine says, token for token, what plain transformers says."""

from __future__ import annotations

import torch

from bench.fidelity import differences, drawn, prompts
from bench.servers import plain_model
from inference import load_model


def test_fifty_answers_in_float32_are_those_of_plain_transformers() -> None:
    """Fifty requests with functions, 64 tokens each, sixteen at once: every token is the best one."""
    model = load_model(device="cpu", dtype="float32")
    asked = prompts(model)
    answers = drawn(model, asked)
    assert [len(answer) for answer in answers] == [64] * 50
    assert differences(plain_model(torch.float32), asked, answers) == []


def test_a_wrong_token_is_found() -> None:
    model = load_model(device="cpu", dtype="float32")
    asked = prompts(model, 1)
    (answer,) = drawn(model, asked, 8)
    answer[5] += 1
    assert differences(plain_model(torch.float32), asked, [answer])[0].token == 5

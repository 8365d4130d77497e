"""Group E of the hostile inputs: any output of a model becomes a valid answer.

The answer is the same with and without `stream`.
"""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.abuse_client import Client, check_answer
from tests.support.abuse_schemas import tool, with_property
from tests.support.scripted_engine import ScriptedEngine
from tests.support.streamed import choices, without_ids

TOOLS = [tool(with_property({"type": "string"})), tool({}, name="g")]
WAYS: tuple[dict[str, Any], ...] = (
    *({"tools": TOOLS}, {}, {"tools": TOOLS, "tool_choice": "none"}, {"functions": [{"name": "f"}]}),
)
MARKUP = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
# Outputs of a model that may call f and g. `>>>` and a name start a call.
OUTPUTS = (
    *(
        "",
        "all\n",
        "all\nHello",
        "all\nHi 👋🏽 é\u0301 北京",
        "f\n",
        'f\n{"a": "b"}',
        'f\n{"a": "b"}>>>g\n{}',
        "all\nOne.>>>f\n{}",
    ),
    *(
        'f\n{"a"',
        "f\nno JSON",
        "f\n[1, 2]",
        "f\n{}{}",
        'f\n{"a": "\\u00"}',
        "f\n{'a': 1}",
        'f\n{"a": ">>>g\\n"}',
        "f",
        ">>>",
    ),
    *(
        "h\n{}",
        "nobody\nHello",
        "f g\n{}",
        "ALL\nHello",
        "\nHello",
        "x" * 200,
        "all",
        "all\n>>>",
        "all\n>>>all\nagain",
        ">>>>>>",
    ),
    *(
        "f\n{}>>>all\nDone",
        "all\n" + "na " * 300,
        "f\n" + "[" * 300,
        "all\n<|im_end|",
        "all\n```\n>>>f",
        "all\n\0\x1b[31m\r\n\u2028",
    ),
    *("all\n<|endoftext|>more", 'f\n{"a": "<|im_start|>"}', "<|im_start|>f\n{}", "all\nHello<|im_start|>user\nHi"),
)


@pytest.fixture(autouse=True)
def silent_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Check that the log has no traceback, even if a client disconnects or the engine fails."""
    caplog.set_level(logging.INFO)
    yield
    assert not [record.getMessage() for record in caplog.records if record.exc_info]


def mutated() -> Iterator[str]:
    """Yield 120 random changes of OUTPUTS: cut, doubled, or mixed with one another. They are the same in every run."""
    draw = random.Random(7)
    for _ in range(120):
        output, other = draw.choice(OUTPUTS), draw.choice(OUTPUTS)
        start, end = sorted(draw.randrange(len(output) + 1) for _ in range(2))
        yield (
            output[:start] + draw.choice(("", other, output[start:end] * 2, ">>>", '"', "\\", "\n", "}")) + output[end:]
        )


def test_whatever_a_model_writes(played_url: str, play: Callable[..., ScriptedEngine]) -> None:
    """Any output becomes a valid answer without control tokens, which is the same with and without `stream`."""
    with Client(played_url) as client:
        for output, fields in (*itertools.product(OUTPUTS, WAYS), *((output, WAYS[0]) for output in mutated())):
            play(output)
            whole, streamed = (client.chat(**fields, max_tokens=900, stream=stream) for stream in (False, True))
            check_answer(whole)
            [choice] = whole.json["choices"]
            assert choice["finish_reason"] in ("stop", "length", "tool_calls", "function_call")
            assert without_ids(choices(streamed.body)[0]) == without_ids(choice), output
            assert not [mark for mark in MARKUP if mark in whole.body.decode()], output
        client.check_health()


def test_an_answer_cut_anywhere(played_url: str, play: Callable[..., ScriptedEngine]) -> None:
    """An answer that is cut by the token limit ends with "length", and its text is a beginning of the output."""
    output = 'all\nHi 👋🏽>>>f\n{"a": "👋🏽"}'
    with Client(played_url) as client:
        for num_tokens in range(1, len(output.encode()) + 2):
            play(output)
            for stream in (False, True):
                answer = client.chat(tools=TOOLS, max_tokens=num_tokens, stream=stream)
                check_answer(answer)
                choice = choices(answer.body)[0] if stream else answer.json["choices"][0]
                is_cut = num_tokens <= len(output.encode())
                assert choice["finish_reason"] == ("length" if is_cut else "tool_calls"), num_tokens
                content = choice["message"]["content"] or ""
                assert "Hi 👋🏽>>>f".startswith(content.rstrip("\ufffd")), content


def test_choices_do_not_mix(played_url: str, play: Callable[..., ScriptedEngine]) -> None:
    play('all\nHello 👋🏽>>>f\n{"a": "b"}')
    with Client(played_url) as client:
        whole, streamed = (client.chat(tools=TOOLS, max_tokens=99, n=8, stream=stream) for stream in (False, True))
    folded = choices(streamed.body)
    assert [without_ids(folded[index]) for index in range(8)] == [without_ids(one) for one in whole.json["choices"]]

"""Every prompt format through the real server, with a random model that has the tokenizer of its family.

The texts of a random model mean nothing; the tests compare shapes and guarantees.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from prompt_template import template_names
from tests.support.family_models import FAMILIES
from tests.support.served_format import FUNCTIONS, STRICT_TOOLS, TOOLS, Served, calls_of, check_calls, served_format

NAMED = {"type": "function", "function": {"name": "get_time"}}
ANSWER = {
    "type": "object",
    "properties": {"sky": {"type": "string", "enum": ["clear", "grey"]}, "wet": {"type": "boolean"}},
    "required": ["sky", "wet"],
    "additionalProperties": False,
}
NO_NAMED_CHOICE = {"functionary_r1"}  # its published format cannot force one function


@pytest.fixture(scope="module", params=template_names())
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served_format(request.param, tmp_path_factory.mktemp("models") / "tiny") as served:
        yield served


def test_every_format_has_a_family() -> None:
    assert sorted(FAMILIES) == template_names()


def test_text(served: Served) -> None:
    plain = served.ask()
    assert not calls_of(plain["message"])
    assert plain["finish_reason"] in ("stop", "length")
    none = served.ask(tools=TOOLS, tool_choice="none", temperature=1.5, seed=1)
    assert not calls_of(none["message"])
    cut = served.ask(max_tokens=5, logit_bias={})
    assert cut["usage"]["completion_tokens"] <= 5
    assert cut["finish_reason"] == ("length" if cut["usage"]["completion_tokens"] == 5 else "stop")


@pytest.mark.parametrize("tools", [TOOLS, STRICT_TOOLS], ids=["free", "strict"])
def test_forced_calls(served: Served, tools: list[dict[str, Any]]) -> None:
    """Forced calls are calls of offered functions with valid arguments, and as many as the request allows."""
    for parallel in (True, False):
        required = served.ask(tools=tools, tool_choice="required", parallel_tool_calls=parallel)
        names = check_calls(required["message"])
        assert names
        assert required["finish_reason"] == "tool_calls"
        assert parallel or len(names) == 1
    if served.name not in NO_NAMED_CHOICE:
        named = served.ask(tools=tools, tool_choice=NAMED)
        assert check_calls(named["message"]) == ["get_time"]
        assert named["finish_reason"] == "stop"


def test_functions(served: Served) -> None:
    answer = served.ask(functions=FUNCTIONS)
    assert calls_of(answer["message"]) == [] or check_calls(answer["message"])
    if served.name not in NO_NAMED_CHOICE:
        forced = served.ask(functions=FUNCTIONS, function_call={"name": "get_time"})
        assert check_calls(forced["message"]) == ["get_time"]
        assert forced["finish_reason"] == "stop"


def test_response_format(served: Served) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "sky", "schema": ANSWER, "strict": True}}
    answer = served.ask(response_format=schema)
    jsonschema.validate(json.loads(answer["message"]["content"]), ANSWER)
    assert answer["finish_reason"] == "stop"
    with_tools = served.ask(response_format=schema, tools=TOOLS)["message"]
    if not check_calls(with_tools):
        jsonschema.validate(json.loads(with_tools["content"]), ANSWER)


def test_several_forced_calls(served: Served) -> None:
    """A model that does not want to end its turn makes parallel calls where the format has them."""
    template = served.model.template
    if template.separator is None:
        return
    stops = (served.model.tokenizer.token_id(text) for text in template.stop)
    bias = served.brief | {str(stop): -100 for stop in stops if stop is not None}
    answer = served.ask(tools=TOOLS, tool_choice="required", logit_bias=bias, max_tokens=400)
    names = [name for name, _ in calls_of(answer["message"])]
    assert len(names) > 1
    assert set(names) <= {"get_weather", "get_time"}


def test_a_cut_call_is_length(served: Served) -> None:
    full = served.ask(tools=TOOLS, tool_choice="required")
    half = served.ask(tools=TOOLS, tool_choice="required", max_tokens=full["usage"]["completion_tokens"] - 6)
    assert half["finish_reason"] == "length"


def test_code_interpreter(served: Served) -> None:
    asked: dict[str, Any] = {"tools": [{"type": "code_interpreter"}], "tool_choice": "required", "max_tokens": 60}
    response = served.post(**asked)
    if response.status_code == 400:
        assert "has no code interpreter" in response.text
        return
    answer = served.ask(**asked)
    assert {name for name, _ in calls_of(answer["message"])} == {"python"}


def test_auto_calls_no_other_function(served: Served) -> None:
    """A call of a name that no tool has cannot be sampled, however much the model prefers the marks of calls."""
    template = served.model.template
    marks = template.calls_open + template.call_head("get_secrets")
    bias = dict.fromkeys(map(str, served.model.tokenizer.encode_raw(marks)), 20)
    for seed in range(30):
        response = served.post(tools=TOOLS, temperature=2, seed=seed, max_tokens=60, logit_bias=bias)
        assert response.status_code == 200, response.text
        (choice,) = response.json()["choices"]
        assert {name for name, _ in calls_of(choice["message"])} <= {"get_weather", "get_time"}


class NoDrafts:
    """A drafter that proposes nothing."""

    def read(self, token_ids: list[int]) -> None:
        pass

    def propose(self, limit: int) -> list[int]:
        return []

    def record_accepted(self, num_accepted: int) -> None:
        pass


def test_drafts_change_no_answer(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = [{"tools": TOOLS[:1], "tool_choice": "required"}, {"tools": TOOLS}, {}]
    drafted = [served.ask(**body) for body in bodies]
    assert drafted[0]["usage"]["completion_tokens_details"]["accepted_prediction_tokens"] > 0
    monkeypatch.setattr(served.model.engine, "_make_drafter", lambda prompt, sampling: NoDrafts())
    for body, before in zip(bodies, drafted, strict=True):
        after = served.ask(**body)
        assert after["usage"]["completion_tokens_details"]["accepted_prediction_tokens"] == 0
        assert calls_of(after["message"]) == calls_of(before["message"])
        assert after["message"]["content"] == before["message"]["content"]

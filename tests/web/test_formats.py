"""Every prompt format through the real server, with a random model that has the tokenizer of its family.

The texts of a random model mean nothing; the tests compare shapes and guarantees.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from drafting.drafter import Drafter
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
    stops = map(served.model.tokenizer.token_id, served.model.template.stop)
    ends = {*stops, served.model.tokenizer.eos_id} - {None}
    unending = dict.fromkeys(map(str, ends), -100)
    cut = served.post(max_tokens=5, logit_bias=unending).json()
    assert cut["usage"]["completion_tokens"] == 5
    assert cut["choices"][0]["finish_reason"] == "length"


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
    """A model that ends neither its turn nor its calls makes parallel calls where the format has them."""
    template = served.model.template
    if template.separator is None:
        return
    stops = (served.model.tokenizer.token_id(text) for text in (*template.stop, template.calls_close))
    ends = [*(str(stop) for stop in stops if stop is not None), *(served.ids("]") if template.calls_close else ())]
    answer = served.ask(
        tools=TOOLS, tool_choice="required", logit_bias=served.brief | dict.fromkeys(ends, -100), max_tokens=300
    )
    names = [name for name, _ in calls_of(answer["message"])]
    assert len(names) > 1
    assert set(names) <= {"get_weather", "get_time"}


def test_a_cut_call_is_length(served: Served) -> None:
    full = served.ask(tools=TOOLS, tool_choice="required")
    half = served.ask(tools=TOOLS, tool_choice="required", max_tokens=full["usage"]["completion_tokens"] - 6)
    assert half["finish_reason"] == "length"


@pytest.mark.parametrize("others", [[], TOOLS[1:]], ids=["alone", "beside"])
def test_code_interpreter(served: Served, others: list[dict[str, Any]]) -> None:
    """A required call can be one of the code interpreter, alone and beside functions.

    The formats of Llama 3.1 once had the head of a function in the prompt, so that code after it was no call.
    """
    template = served.model.template
    head = served.model.tokenizer.encode_raw(template.calls_open + (template.code_head or template.call_head("python")))
    asked: dict[str, Any] = {
        "tools": [{"type": "code_interpreter"}, *others],
        "tool_choice": "required",
        "max_tokens": 60,
        "logit_bias": served.brief | dict.fromkeys(map(str, head), 100),
    }
    response = served.post(**asked)
    if response.status_code == 400:
        assert "has no code interpreter" in response.text
        return
    calls = calls_of(served.ask(**asked)["message"])
    assert {name for name, _ in calls} <= {"python", *(["get_time"] if others else [])}
    assert calls
    if served.name not in NO_NAMED_CHOICE:
        named = served.post(**{**asked, "tool_choice": {"type": "code_interpreter"}}).json()["choices"][0]
        assert [name for name, _ in calls_of(named["message"])] == ["python"]


class CountedDrafter(Drafter):
    """A drafter that counts the accepted draft tokens that it proposed itself."""

    num_accepted = 0
    _is_own = False

    def propose(self, limit: int) -> list[int]:
        ids = super().propose(limit)
        self._is_own = bool(ids)
        return ids

    def record_accepted(self, num_accepted: int) -> None:
        super().record_accepted(num_accepted)
        CountedDrafter.num_accepted += num_accepted * self._is_own
        self._is_own = False


class NoDrafts(CountedDrafter):
    """A drafter that proposes nothing."""

    def propose(self, limit: int) -> list[int]:
        return []


def test_drafts_change_no_answer(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The drafts of a model that prefers the zone the user names are accepted, and change no answer.

    The tokens that the grammar forces are no drafts here, since they would leave nothing for the drafter.
    """
    monkeypatch.setattr("guarantees.matcher.Matcher.forced", lambda matcher: [])
    body = {
        "messages": [{"role": "user", "content": "What time is it in utc?"}],
        "tools": TOOLS[1:],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "logit_bias": served.brief | dict.fromkeys(served.ids("u"), 35),
    }
    answers, accepted = [], []
    for drafter in (CountedDrafter, NoDrafts):
        monkeypatch.setattr("engines.local.engine.Drafter", drafter)
        CountedDrafter.num_accepted = 0
        answers.append(calls_of(served.ask(**body)["message"]))
        accepted.append(CountedDrafter.num_accepted)
    assert accepted[0] > 0
    assert accepted[1] == 0
    assert answers[0] == answers[1] == [("get_time", '{"zone": "utc"}')]

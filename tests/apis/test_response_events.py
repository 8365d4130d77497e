"""Events of an answer -> events of a streamed response -> the whole response."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from apis.response_events import ResponseWriter
from apis.responses import response_request
from apis.rules.custom_tools import input_arguments
from core.turn_format import (
    ArgsDelta,
    CallStart,
    DecodedLogprob,
    Event,
    Finish,
    FinishReason,
    ReasoningDelta,
    TextDelta,
    TokenReport,
)
from tests.support.response_events import check_response, check_types, folded

Json = dict[str, Any]
TOOLS = [
    {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}},
    {"type": "custom", "name": "patch"},
    {"type": "namespace", "name": "agents", "tools": [{"type": "function", "name": "close"}]},
]
TEXT = 'Hello "you" \\ \n é 🦊 end'
PATCH = '*** Begin\n"quoted" \\n\t🦊'
ANSWER: list[Event] = [
    ReasoningDelta("Let me think."),
    TextDelta(TEXT),
    CallStart("f"),
    ArgsDelta('{"a": "é\\n"}'),
    CallStart("patch"),
    ArgsDelta(input_arguments(PATCH)),
    CallStart("agents_close"),
    ArgsDelta("{}"),
    TextDelta("Done."),
]


def events_of(*answer: Event | TokenReport, reason: FinishReason = "stop") -> list[Json]:
    """Return the events of the API for an answer, each as it was when it was written."""
    body = {"model": "m", "input": "x", "tools": TOOLS, "temperature": 1.0, "top_p": 1.0}
    asked = response_request(body, find=lambda _: None)
    writer = ResponseWriter(asked.head, asked.chat, asked.tools)
    finish = Finish(reason, 10, 7, cached_tokens=4, reasoning_tokens=3)
    return [copy.deepcopy(item) for event in (*answer, finish) for item in writer.items(event)]


def output_of(*answer: Event, reason: FinishReason = "stop") -> list[Json]:
    output: list[Json] = folded(events_of(*answer, reason=reason))["output"]
    return output


def split(answer: list[Event], seed: int) -> list[Event]:
    """Return the answer with each text in random pieces."""
    rng = random.Random(seed)
    pieces: list[Event] = []
    for event in answer:
        if isinstance(event, CallStart):
            pieces.append(event)
            continue
        cuts = sorted(rng.sample(range(1, len(event.text)), k=rng.randrange(len(event.text))))
        ends = zip([0, *cuts], [*cuts, len(event.text)], strict=True)
        pieces += [type(event)(event.text[start:end]) for start, end in ends]
    return pieces


def without_ids(output: list[Json]) -> list[Json]:
    return [{key: value for key, value in item.items() if key not in ("id", "call_id")} for item in output]


def test_an_answer_of_every_kind_of_item() -> None:
    events = events_of(*ANSWER)
    check_types(events)
    response = folded(events)
    check_response(response)
    reasoning, text, call, patch, close, last = response["output"]
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "Let me think."}]
    assert (text["role"], text["content"][0]["text"]) == ("assistant", TEXT)
    assert (call["name"], call["arguments"]) == ("f", '{"a": "é\\n"}')
    assert "namespace" not in call
    assert (patch["type"], patch["name"], patch["input"]) == ("custom_tool_call", "patch", PATCH)
    assert (close["name"], close["namespace"], close["arguments"]) == ("close", "agents", "{}")
    assert last["content"][0]["text"] == "Done."
    ids = [item["id"] for item in response["output"]]
    assert [item_id.split("_")[0] for item_id in ids] == ["rs", "msg", "fc", "ctc", "fc", "msg"]
    assert len(set(ids)) == 6
    assert all(item["call_id"].startswith("call_") for item in (call, patch, close))
    assert response["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 17,
    }


@pytest.mark.parametrize("seed", range(40))
def test_random_splits_add_up_to_the_same_response(seed: int) -> None:
    """Another server lost or doubled arguments depending on how tokens fell into deltas."""
    events = events_of(*split(ANSWER, seed))
    check_types(events)
    assert without_ids(folded(events)["output"]) == without_ids(output_of(*ANSWER))


def test_an_answer_cut_by_the_token_limit() -> None:
    """The last item is incomplete, and the response says why; an earlier item is complete."""
    events = events_of(TextDelta("a"), CallStart("f"), ArgsDelta('{"a'), reason="length")
    check_types(events)
    response = folded(events)
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["completed_at"] is None
    patch = output_of(CallStart("patch"), ArgsDelta('{"input": "*** Beg'), reason="length")
    assert (patch[0]["input"], patch[0]["status"]) == ("*** Beg", "incomplete")


@pytest.mark.parametrize("answer", [(), (ReasoningDelta("hm"),)])
def test_an_answer_that_ended_without_text_has_an_empty_message(answer: tuple[Event, ...]) -> None:
    """Agents read the text of the last message, also where the model wrote none."""
    last = output_of(*answer)[-1]
    assert (last["type"], last["content"][0]["text"], last["status"]) == ("message", "", "completed")


def test_log_probabilities_come_with_their_text() -> None:
    report = TokenReport(DecodedLogprob(b"Hi", -0.5), (DecodedLogprob(b"Hi", -0.5), DecodedLogprob(b"\xf0", -2.0)))
    events = events_of(report, TextDelta("Hi"), TextDelta("!"))
    check_types(events)
    deltas = [event["logprobs"] for event in events if event["type"] == "response.output_text.delta"]
    shown = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105]}
    assert deltas == [[{**shown, "top_logprobs": [shown, {"token": "�", "logprob": -2.0, "bytes": [240]}]}], []]
    assert folded(events)["output"][0]["content"][0]["logprobs"] == deltas[0]

"""The constraint fields of other servers over HTTP: even a random model answers by them, streamed or not."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx2
import pytest

from tests.support.abuse_client import BODY, CHAT, PROMPT, RAW, Client, check_answer

TOOL = {"type": "function", "function": {"name": "ping", "parameters": {"type": "object", "properties": {}}}}
FIELDS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"guided_choice": ["yes", "no"]}, r"yes|no"),
    ({"structured_outputs": {"choice": ["yes", "no"]}}, r"yes|no"),
    ({"guided_regex": r"^(\d{2}|[a-c]{3})$"}, r"\d{2}|[a-c]{3}"),
    ({"json_schema": {"type": "array", "items": {"enum": [1, 2]}, "maxItems": 3}}, r"\[((1|2)(, (1|2)){0,2})?\]"),
    ({"guided_json": json.dumps({"enum": [{"a": 1}]})}, r'\{"a": 1\}'),
    ({"grammar": 'root ::= [ab] tail?\ntail ::= "-" [0-9]{1,3}'}, r"[ab](-[0-9]{1,3})?"),
    ({"structured_outputs": {"grammar": 'start: A "<" A\nA: /[xy]{2}/'}}, r"[xy]{2}<[xy]{2}"),
)
HARMFUL = (
    "start: <[0]>",
    "start: a0\n" + "".join(f"a{n}: a{n + 1}\n" for n in range(5_000)) + 'a5000: "a"',
    'root ::= ((("a"{999}){999}){999}){999}',
    "root ::= root root",
    'start: "a"\n}\nstop: <[0]>\nx: %lark {',
    "(" * 60_000,
)


@pytest.mark.parametrize(("fields", "pattern"), FIELDS, ids=str)
def test_answers_follow_the_constraint(tiny_url: str, fields: dict[str, Any], pattern: str) -> None:
    """The official client sends these fields with extra_body. They were dropped, with a line in a header."""
    for seed in range(3):
        asked = {**fields, "max_tokens": 100, "temperature": 1, "seed": seed}
        chat = httpx2.post(f"{tiny_url}{CHAT}", json={**BODY, **asked})
        assert chat.status_code == 200 and "x-ignored-fields" not in chat.headers
        assert re.fullmatch(pattern, chat.json()["choices"][0]["message"]["content"])
        raw = httpx2.post(f"{tiny_url}{RAW}", json={**PROMPT, **asked})
        assert re.fullmatch(pattern, raw.json()["choices"][0]["text"])
        stream = httpx2.post(f"{tiny_url}{RAW}", json={**PROMPT, **asked, "stream": True}).text.split("\n\n")
        text = "".join(json.loads(line[6:])["choices"][0]["text"] for line in stream if line.startswith("data: {"))
        assert re.fullmatch(pattern, text)


def test_with_tools_in_auto_the_answer_is_calls_or_a_text_by_the_constraint(tiny_url: str) -> None:
    for seed in range(6):
        asked = {"guided_choice": ["yes", "no"], "tools": [TOOL], "max_tokens": 60, "temperature": 2, "seed": seed}
        message = httpx2.post(f"{tiny_url}{CHAT}", json={**BODY, **asked}).json()["choices"][0]["message"]
        assert message["content"] in ("yes", "no") if "tool_calls" not in message else message["content"] is None


@pytest.mark.parametrize("path", [CHAT, RAW])
def test_a_harmful_grammar_is_an_error_and_the_server_goes_on(tiny_url: str, path: str) -> None:
    document = BODY if path == CHAT else PROMPT
    with Client(tiny_url) as client:
        for grammar in HARMFUL:
            answer = client.post(path, {**document, "guided_grammar": grammar})
            check_answer(answer)
            assert (answer.status, answer.error["param"]) == (400, "guided_grammar"), answer
        client.check_health()

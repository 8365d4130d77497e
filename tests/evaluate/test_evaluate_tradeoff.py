"""The trade-off between missed calls and false calls, measured with a small real model.

A margin is the logprob of the token that starts text minus that of the most likely other token. The tests check the
margins, their table and their plot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from apis.chat_completions import chat_request
from client.json_lines import Json
from core.generation import Sampling
from evaluate.command_line import CommandError
from evaluate.plots import draw_tradeoff
from evaluate.tradeoff import FirstTokenEndpoint, main, report
from inference import Model, chat_prompt
from prompt_template import Piece, load_template
from tests.support.evaluate_doubles import CITY, a_line, a_set

PING = {"name": "ping", "parameters": {"type": "object", "properties": {}}}
CALENDAR = {"name": "all_events", "parameters": {"type": "object", "properties": {}}}


def a_body(question: str, *functions: Json) -> Json:
    tools = [{"type": "function", "function": function} for function in functions]
    return {"messages": [{"role": "user", "content": question}], "tools": tools}


def first_token(model: Model, body: Json, bias: float) -> int:
    """Return the model's greedy first token after `bias` has been added to the logit of the token that starts text."""
    (text_id,) = model.tokenizer.encode([Piece("a")]).ids

    async def ask() -> int:
        prompt = chat_prompt(model, chat_request({"model": model.names[0], **body}))
        sampling = Sampling(max_tokens=1, temperature=0.0, logit_bias=((text_id, bias),))
        (step,) = [step async for step in model.engine.generate(prompt, sampling)]
        return step.token_ids[0]

    return asyncio.run(ask())


@pytest.mark.parametrize("question", ["Weather in Oslo?", "Hello", "What about trains?", "Tell me a story"])
def test_the_margin_is_where_a_biased_model_turns_from_call_to_text(chatml: Model, question: str) -> None:
    """The model starts with text exactly if the bias on text is above the negative margin.

    A bias just above and one just below are tried. The tokenizer has one token per byte, so the token that starts text
    is `a`.
    """
    body = a_body(question, CITY, PING)
    margin = float(asyncio.run(FirstTokenEndpoint(chatml).answer(body)).text)
    (text_id,) = chatml.tokenizer.encode([Piece("a")]).ids
    assert first_token(chatml, body, -margin + 0.01) == text_id
    assert first_token(chatml, body, -margin - 0.01) != text_id


def test_a_row_whose_first_token_does_not_decide_is_refused(chatml: Model) -> None:
    answer = asyncio.run(FirstTokenEndpoint(chatml).answer(a_body("?", CITY, CALENDAR)))
    assert answer.error == "'all_events' begins with the same token as text"
    assert "maximum context" in asyncio.run(FirstTokenEndpoint(chatml).answer(a_body("?" * 5000, CITY))).error


def test_a_format_in_which_no_first_token_tells_text_is_refused(chatml: Model) -> None:
    silent = replace(chatml, template=load_template("functionary_v1"))
    answer = asyncio.run(FirstTokenEndpoint(silent).answer(a_body("?", CITY)))
    assert answer.error == "'city_weather' begins with the same token as text"

    class Headless(type(chatml.template)):  # type: ignore[misc]
        text_head = ""

    headless = Headless.__new__(Headless)
    headless.__dict__.update({**vars(chatml.template), "text_head": ""})
    with pytest.raises(CommandError, match="no first token tells text from calls"):
        FirstTokenEndpoint(replace(chatml, template=headless))


def test_the_table_of_margins_counted_by_hand() -> None:
    text = report("m", [-3.0, -1.0, 0.5, 2.0], [-0.5, 1.0], [-1.0, 0.0, 1.0])
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"][2:]
    assert [(row[0], row[1].split(" ")[0], row[2].split(" ")[0], row[3]) for row in rows] == [
        ("-1", "75.0", "50.0", "62.5"),
        ("+0", "50.0", "50.0", "50.0"),
        ("+1", "25.0", "100.0", "62.5"),
    ]
    assert "4 rows that expect calls, 2 whose function is missing" in text


@pytest.fixture
def shown(chatml: Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Make the program load this small model and leave the model's engine open. Return the list of computed prompts."""
    asked: list[str] = []

    class Watched(FirstTokenEndpoint):
        async def _margin(self, prompt_ids: object) -> float:
            asked.append("")
            return await super()._margin(prompt_ids)  # type: ignore[arg-type]

    async def keep_open() -> None:
        return

    monkeypatch.setattr(chatml.engine, "close", keep_open)
    monkeypatch.setattr("evaluate.tradeoff.load", lambda name, adapter: (chatml, "tiny, no adapter"))
    monkeypatch.setattr("evaluate.tradeoff.FirstTokenEndpoint", Watched)
    yield asked


def status(*argv: object) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in argv])
    return ended.value.code


def test_the_program_writes_table_and_picture_and_goes_on_from_what_it_read(
    tmp_path: Path, shown: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    towns = a_set(tmp_path / "towns.jsonl", [a_line(f"{i}?", ("ping", {}), functions=[PING, CITY]) for i in range(8)])
    command = ["--set", towns, "--out", tmp_path / "out", "--biases", "-1", "3", "--limit"]
    assert status(*command, "2") == 0
    assert len(shown) == 4
    assert status(*command, "8") == 0
    assert len(shown) == 16
    printed = capsys.readouterr().out
    assert "8 rows that expect calls, 8 whose function is missing" in printed
    assert "|   +3 |" in printed or "| +3   |" in printed
    assert (tmp_path / "out" / "tradeoff.md").read_text().strip() in printed
    assert (tmp_path / "out" / "tradeoff.png").read_bytes().startswith(b"\x89PNG")


def test_without_rows_of_both_kinds_nothing_is_shown(tmp_path: Path, shown: list[str]) -> None:
    only = a_set(tmp_path / "only.jsonl", [a_line("?", ("ping", {}), functions=[PING])])
    assert "no row to ask" in str(status("--set", only, "--out", tmp_path / "out"))
    awkward = a_set(tmp_path / "all.jsonl", [a_line("?", ("ping", {}), functions=[PING, CALENDAR])])
    assert "nothing was measured" in str(status("--set", awkward, "--out", tmp_path / "out"))
    assert not shown


def test_the_picture_bears_rows_that_all_agree() -> None:
    assert draw_tradeoff("m", [-1.0, -1.0], [1.0], (0.0,)).startswith(b"\x89PNG")

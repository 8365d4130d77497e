"""Requests for the rows of a set, of which several run at a time.

The tests check how many run together, what stops a run, and how the next run continues it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from client.endpoints import Answer, NoAnswer, Unusable
from client.json_lines import Json
from client.rows import Row
from evaluate.answers import Answers, read_answers
from evaluate.benchmarks import CallSet
from evaluate.run import MAX_FIRST_ERRORS, MAX_UNANSWERED_IN_A_ROW, EvaluationRun
from tests.support.evaluate_doubles import a_line, a_set, calling

ABOUT = {"set": "towns", "model": "m", "body": {}}
Answerer = Callable[[str], Answer]


class ScriptedEndpoint:
    """An endpoint that has an answer for each question.

    It records the questions, and the largest number of requests that ran at the same time.
    """

    model = "m"

    def __init__(self, answerer: Answerer) -> None:
        self.asked: list[str] = []
        self.most_at_once = self._at_once = 0
        self._answerer = answerer

    async def answer(self, body: Json) -> Answer:
        question = body["messages"][0]["content"]
        self.asked.append(question)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await asyncio.sleep(0.001)
            return self._answerer(question)
        finally:
            self._at_once -= 1


@pytest.fixture
def towns(tmp_path: Path) -> CallSet:
    """Forty rows that expect the call of the town they name."""
    lines = [a_line(f"Town {i}", ("city_weather", {"city": f"Town {i}"})) for i in range(40)]
    return CallSet(a_set(tmp_path / "towns.jsonl", lines))


def right(question: str) -> Answer:
    """Return an answer, which is wrong for every third town."""
    return calling(("city_weather", {"city": question if int(question.split()[1]) % 3 else "Elsewhere"}))


def run_on(
    path: Path, rows: list[Row], answerer: Answerer, *, in_flight: int = 3
) -> tuple[EvaluationRun, ScriptedEndpoint]:
    double = ScriptedEndpoint(answerer)
    with Answers(path, ABOUT) as answers:
        run = EvaluationRun(double, answers, {"seed": 0}, in_flight=in_flight)
        asyncio.run(run.ask(rows))
    return run, double


def test_every_row_is_asked_once_and_no_more_are_in_flight_than_wanted(tmp_path: Path, towns: CallSet) -> None:
    for in_flight in (1, 5, 64):
        run, double = run_on(tmp_path / f"{in_flight}.jsonl", [*towns.rows, *towns.rows], right, in_flight=in_flight)
        assert sorted(double.asked) == sorted(f"Town {i}" for i in range(40))
        assert double.most_at_once == min(in_flight, 40)
        assert not run.problems
        report = towns.report(towns.rows, run.answers.by_key)
        assert (report["num_rows"], report["num_unanswered"], report["faults"]) == (40, 0, {"wrong value": 14})


@pytest.mark.parametrize("interrupted_at", [0, 1, 17, 30])
def test_an_interrupted_run_reports_what_it_has_and_goes_on_to_the_same_result(
    tmp_path: Path, towns: CallSet, interrupted_at: int
) -> None:
    whole, _ = run_on(tmp_path / "whole.jsonl", towns.rows, right)
    seen: list[str] = []

    async def interrupted() -> EvaluationRun:
        task: asyncio.Task[None]

        def answerer(question: str) -> Answer:
            if len(seen) == interrupted_at:
                task.cancel()
            seen.append(question)
            return right(question)

        with Answers(tmp_path / "parts.jsonl", ABOUT) as answers:
            run = EvaluationRun(ScriptedEndpoint(answerer), answers, {}, in_flight=3)
            task = asyncio.ensure_future(run.ask(towns.rows))
            await task
            return run

    first = asyncio.run(interrupted())
    assert first.stopped_by.startswith("interrupted")
    kept = set(first.answers.by_key)
    assert interrupted_at <= len(kept) < 40
    partial = towns.report(towns.rows, first.answers.by_key)
    assert partial["num_rows"] + partial["num_unanswered"] == 40
    second, double = run_on(tmp_path / "parts.jsonl", towns.rows, right)
    assert len(double.asked) == 40 - len(kept)
    assert second.answers.by_key == whole.answers.by_key
    assert towns.report(towns.rows, second.answers.by_key) == towns.report(towns.rows, whole.answers.by_key)


def test_a_smaller_limit_is_a_part_of_a_larger_one(tmp_path: Path, towns: CallSet) -> None:
    run_on(tmp_path / "a.jsonl", towns.sample(10, 0), right)
    _, double = run_on(tmp_path / "a.jsonl", towns.sample(25, 0), right)
    assert len(double.asked) == 15


def test_one_row_without_an_answer_is_named_and_the_others_are_asked(tmp_path: Path, towns: CallSet) -> None:
    def answerer(question: str) -> Answer:
        if question == "Town 7":
            raise NoAnswer("nobody knows")
        return right(question)

    run, _ = run_on(tmp_path / "a.jsonl", towns.rows, answerer)
    assert run.problems == [f"{tmp_path}/towns.jsonl:8: nobody knows"]
    assert not run.stopped_by
    assert len(run.answers.by_key) == 39
    _, again = run_on(tmp_path / "a.jsonl", towns.rows, right)
    assert again.asked == ["Town 7"]


def test_a_dead_endpoint_is_not_asked_to_the_end(tmp_path: Path, towns: CallSet) -> None:
    def vanished(question: str) -> Answer:
        if int(question.split()[1]) > 9:
            raise NoAnswer("cannot be reached")
        return right(question)

    run, double = run_on(tmp_path / "a.jsonl", towns.rows, vanished)
    assert run.stopped_by == "12 requests in a row got no answer; the last: cannot be reached"
    assert MAX_UNANSWERED_IN_A_ROW * 3 <= len(double.asked) - 10 < MAX_UNANSWERED_IN_A_ROW * 3 + 3
    assert len(read_answers(tmp_path / "a.jsonl")[1]) == 10


def test_an_unusable_endpoint_ends_the_run_at_once(tmp_path: Path, towns: CallSet) -> None:
    def locked(question: str) -> Answer:
        raise Unusable("answered 401: wrong key")

    run, double = run_on(tmp_path / "a.jsonl", towns.rows, locked)
    assert run.stopped_by == "answered 401: wrong key"
    assert len(double.asked) <= 3


def test_a_run_whose_first_requests_are_all_errors_stops(tmp_path: Path, towns: CallSet) -> None:
    """Regression test: a misspelt field of --body gave a table of zeros and exit status 0."""
    run, double = run_on(tmp_path / "a.jsonl", towns.rows, lambda _: calling(error="Unknown field"))
    assert run.stopped_by.startswith(f"the first {MAX_FIRST_ERRORS} requests were all refused")
    assert run.stopped_by.endswith("the last: Unknown field")
    assert len(double.asked) < MAX_FIRST_ERRORS + 3


def test_rows_with_an_error_are_asked_again_and_many_of_them_do_not_end_a_run_that_had_answers(
    tmp_path: Path, towns: CallSet
) -> None:
    def picky(question: str) -> Answer:
        return calling(error="too long") if int(question.split()[1]) >= 20 else right(question)

    for num_asked in (40, 20):
        run, double = run_on(tmp_path / "a.jsonl", towns.rows, picky)
        assert not run.stopped_by
        assert len(double.asked) == num_asked
    assert towns.report(towns.rows, run.answers.by_key)["faults"]["refused"] == 20


def test_a_full_disk_ends_the_run_and_what_was_kept_stays(
    tmp_path: Path, towns: CallSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    with Answers(path, ABOUT) as answers:
        add = answers.add

        def until_full(key: str, answer: Answer) -> None:
            if len(answers.by_key) == 5:
                raise OSError(28, "No space left on device")
            add(key, answer)

        monkeypatch.setattr(answers, "add", until_full)
        run = EvaluationRun(ScriptedEndpoint(right), answers, {}, in_flight=3)
        with pytest.raises(OSError, match="No space left"):
            asyncio.run(run.ask(towns.rows))
    assert len(read_answers(path)[1]) == 5

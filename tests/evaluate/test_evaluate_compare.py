"""Comparing the results of several models: tables, row-by-row tests and the plot."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import pytest

from client.endpoints import Answer
from evaluate.benchmarks import CallSet
from evaluate.compare import common, main
from evaluate.intervals import mcnemar
from evaluate.reports import write_result
from tests.support.evaluate_doubles import Json, a_line, a_set, calling

OSLO: tuple[str, Json] = ("city_weather", {"city": "Oslo"})
PNG = b"\x89PNG\r\n\x1a\n"


def a_result(tmp_path: Path, name: str, *, right: set[int], of: int = 20, sets: tuple[str, ...] = ("towns",)) -> Path:
    """Write the results folder of a model whose answers are right exactly for the rows with the numbers in `right`."""
    reports = {}
    for one in sets:
        lines = [a_line(f"{one} {i}?", OSLO) for i in range(of)]
        rows = CallSet(a_set(tmp_path / f"{one}.jsonl", lines))
        answers: dict[str, Answer] = {
            row.key: calling(OSLO) if place in right else calling() for place, row in enumerate(rows.rows)
        }
        reports[one] = rows.report(rows.rows, answers)
    write_result(tmp_path / name, name, reports)
    return tmp_path / name


def status(*argv: object) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in argv])
    return ended.value.code


def cells(text: str, first: str) -> list[list[str]]:
    """Return the cells of those lines of a table whose first cell is `first`."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [line for line in lines if line[0] == first]


def test_tables_tests_and_picture_of_three_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [
        a_result(tmp_path, "base", right=set(range(2)), sets=("towns", "rivers")),
        a_result(tmp_path, "tuned", right=set(range(1, 12)), sets=("towns", "rivers")),
        a_result(tmp_path, "half", right=set(range(5))),
    ]
    assert status(*folders, "--out", tmp_path / "out") == 0
    printed = capsys.readouterr().out
    assert printed.strip() == (tmp_path / "out" / "comparison.md").read_text().strip()
    exact = cells(printed.split("## exact match")[1].split("##")[0], "tuned")
    assert exact == [["tuned", "55.0 (34.2-74.2), n=20", "55.0 (34.2-74.2), n=20"]]
    assert cells(printed.split("## exact match")[1].split("##")[0], "half")[0][2] == ""
    p = mcnemar([(True, False)] * 10 + [(False, True)])
    assert cells(printed, "tuned, towns") == [["tuned, towns", "20", "10", "1", "+45.0", f"{p:.3f}"]]
    assert cells(printed, "tuned, all sets") == [["tuned, all sets", "40", "20", "2", "+45.0", "< 0.001"]]
    assert cells(printed, "half, towns") == [["half, towns", "20", "3", "0", "+15.0", "0.250"]]
    picture = (tmp_path / "out" / "comparison.png").read_bytes()
    assert picture.startswith(PNG)
    assert len(picture) > 20_000


def test_only_common_rows_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Models are compared on the rows that both have answered, for example if one was measured with --limit."""
    assert common({"a": True, "b": False}, {"b": True, "c": True}) == [(False, True)]
    few = a_result(tmp_path, "few", right={0}, of=3)
    many = a_result(tmp_path, "many", right={0, 1, 2, 9}, of=20)
    other = a_result(tmp_path, "other", right={0}, sets=("rivers",))
    assert status(few, many, other, "--out", tmp_path / "out") == 0
    printed = capsys.readouterr().out
    assert cells(printed, "many, towns") == [["many, towns", "3", "2", "0", "+66.7", "0.500"]]
    assert cells(printed, "other: no common row") == [["other: no common row", *[""] * 5]]


def test_two_results_of_one_model_are_told_apart_by_their_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = a_result(tmp_path, "m", right={0})
    write_result(tmp_path / "again", "m", json.loads((one / "result.json").read_text())["sets"])
    assert status(one, tmp_path / "again", "--out", tmp_path / "out") == 0
    assert f"m ({tmp_path / 'again'}), towns" in capsys.readouterr().out


def test_one_result_alone_is_a_table_without_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(a_result(tmp_path, "m", right={0}), "--out", tmp_path / "out") == 0
    assert "Row by row" not in capsys.readouterr().out


def test_a_folder_that_holds_no_result_is_named(tmp_path: Path) -> None:
    message = status(tmp_path / "none", "--out", tmp_path / "out")
    assert message == f"evaluate.compare: {tmp_path / 'none' / 'result.json'}: No such file or directory; " + (
        "name a folder that `python -m evaluate --out` wrote"
    )
    write_result(tmp_path / "empty", "m", {})
    assert status(tmp_path / "empty", "--out", tmp_path / "out") == "evaluate.compare: the results hold no set"


def test_without_matplotlib_the_table_is_written_and_the_picture_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    folder = a_result(tmp_path, "m", right={0})
    monkeypatch.setattr(builtins, "__import__", without)
    message = status(folder, "--out", tmp_path / "out")
    assert message == "evaluate.compare: plots need matplotlib: pip install -r requirements-train.txt"
    assert (tmp_path / "out" / "comparison.md").exists()

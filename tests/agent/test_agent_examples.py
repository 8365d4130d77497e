"""The examples of agents run unmodified. The model's answers are those of the embedded model, played by a script."""

from __future__ import annotations

import io
import runpy
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import agent.agent as agent_module
from agent import ToolError
from inference import Model
from tests.support.scripted_turns import TurnsEngine, in_turns
from tests.support.started_server import ROOT

EXAMPLES = ROOT / "examples"
BUDGET = 'book_meeting\n{"title": "Budget", "date": "2026-12-01", "time": "15:00"}'
TODAY = 'list_events\n{"date": "2026-12-01"}'
Run = Callable[..., tuple[list[str], TurnsEngine]]


@pytest.fixture
def run(chatml: Model, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A function that runs an example whose model writes `outputs`, and returns what is printed and the engine."""

    def run(name: str, *outputs: str, typed: str = "", arguments: Sequence[str] = ()) -> tuple[list[str], TurnsEngine]:
        model, engine = in_turns(chatml, *outputs, max_context=50_000)
        monkeypatch.setattr(agent_module, "load_model", lambda _: model)
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        monkeypatch.chdir(ROOT)
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out.splitlines(), engine

    return run


def test_weather_agent(run: Run) -> None:
    call, wrong = (
        'get_weather\n{"city": "Paris", "month": "July"}',
        'get_weather\n{"city": "Atlantis", "month": "July"}',
    )
    printed, engine = run("weather_agent.py", call, "all\nIt is warm.", wrong, "all\nI do not know.")
    assert printed == [
        "What is the weather in Paris in July?",
        '  get_weather: {"temperature": "26 degrees", "conditions": "mostly dry"}',
        "It is warm.",
        "How is the weather in Rome in January?",
        "  get_weather: Error: no data for Atlantis; there are Paris, Rome, Oslo, Cairo, Mumbai, Lima",
        "I do not know.",
    ]
    assert '"January" | "February"' in engine.prompts[0]


def test_three_functions(run: Run) -> None:
    printed, engine = run("three_functions.py", 'get_opening_hours\n{"day": "Sunday"}', "all\nThe shop is closed.")
    assert printed == ["The shop is closed."] and "closed" in engine.prompts[1]
    lines = (EXAMPLES / "three_functions.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) <= 20


def test_sqlite_questions(run: Run) -> None:
    find, count = 'find_books\n{"author": "Jane Austen"}', 'count_books\n{"author": "jane austen"}'
    printed, _ = run("sqlite_questions.py", find, "all\nTwo.", count, "all\n2 books.")
    assert printed == [
        "Find the books of Jane Austen.",
        '  find_books: ["Emma (1815)", "Persuasion (1817)"]',
        "Two.",
        "Count the books of Jane Austen.",
        "  count_books: 2",
        "2 books.",
    ]


def test_sqlite_queries_of_a_larger_model(run: Run) -> None:
    query = 'query\n{"sql": "SELECT MIN(year) FROM books"}'
    printed, _ = run("sqlite_questions.py", query, "all\nIn 1815.", arguments=["Which book is the oldest?"])
    assert printed == ["Which book is the oldest?", "  query: [[1815]]", "In 1815."]


ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT COUNT(*) FROM n"


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE books",
        "INSERT INTO books VALUES ('x', 'y', 1)",
        "UPDATE books SET year = 0",
        "ATTACH DATABASE '/tmp/other.sqlite' AS other",
        "PRAGMA query_only = OFF",
        "VACUUM INTO '/tmp/copy.sqlite'",
        "SELECT 1; DROP TABLE books",
        "SELECT load_extension('x')",
        "nonsense",
        ENDLESS,
    ],
)
def test_a_query_changes_nothing_and_ends(sql: str, tmp_path: Path) -> None:
    example: dict[str, Any] = runpy.run_path(str(EXAMPLES / "sqlite_questions.py"))
    path = tmp_path / "library.sqlite"
    example["make_database"](path)
    before = path.read_bytes()
    started = time.monotonic()
    with pytest.raises(ToolError, match="the query failed"):
        example["read"](path, sql)
    assert path.read_bytes() == before and time.monotonic() - started < 60


@pytest.mark.parametrize(("typed", "result"), [("y\n", "booked: Budget on 2026-12-01 at 15:00"), ("n\n", ""), ("", "")])
def test_calendar_assistant(run: Run, typed: str, result: str) -> None:
    printed, _ = run("calendar_assistant.py", TODAY, "all\nA.", BUDGET, "all\nB.", TODAY, "all\nC.", typed=typed)
    text = "\n".join(printed)
    assert '  book_meeting {"title": "Budget", "date": "2026-12-01", "time": "15:00"}? [y/N]' in text
    assert (result or "Error: not run: nobody confirmed the call") in text
    events = '["10:00 dentist", "15:00 Budget"]' if result else '["10:00 dentist"]'
    assert printed[-2] == f"  list_events: {events}"


def test_travel_planner(run: Run) -> None:
    def calls(origin: str, city: str) -> str:
        train = f'find_train\n{{"origin": "{origin}", "destination": "{city}"}}'
        return f'{train}>>>search_hotels\n{{"city": "{city}"}}>>>get_weather\n{{"city": "{city}"}}'

    printed, engine = run(
        "travel_planner.py", calls("Paris", "Berlin"), "all\nA.", calls("Berlin", "Prague"), "all\nB."
    )
    assert set(printed[1:4]) == {
        "  find_train: departs at 9:14",
        "  search_hotels: Hotel Adler, 90 euros a night",
        "  get_weather: 18 degrees and cloudy",
    }
    assert set(printed[6:9]) == {
        "  find_train: departs at 10:32",
        "  search_hotels: Hotel Moldau, 70 euros a night",
        "  get_weather: 21 degrees and sunny",
    }
    assert (printed[4], printed[9]) == ("A.", "B.") and "departs at 9:14" in engine.prompts[3]


def test_two_roles(run: Run) -> None:
    """The checker does not read the letter of the customer."""
    order, check = '{"product": "desk lamps", "quantity": 3}', 'check_stock\n{"product": "desk lamps"}'
    printed, engine = run("two_roles.py", f"take_order\n{order}", "all\nTaken.", check, "all\nThere are 5.")
    assert printed[1:] == ["clerk    3 x desk lamps", "checker  There are 5."]
    assert "Eva" in engine.prompts[0] and not any("Eva" in prompt for prompt in engine.prompts[2:])

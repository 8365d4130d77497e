"""The page with tools that the server runs: the switch, the trace of calls and results, stops, and hostile results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from fastapi import FastAPI

from agent.python.tools import tool
from inference import Model
from server import create_app
from tests.support.browser import Page
from tests.support.server_tools import RAN, SERVER_TOOLS
from tests.support.turns_engine import TurnsEngine, with_turns
from web.settings import Settings

HOSTILE = '<img src=x onerror="window.pwned=1"></script><script>window.pwned=1</script>'


def hostile() -> str:
    """Return markup."""
    return HOSTILE


TOOLS = (*SERVER_TOOLS, replace(tool(hostile), source=HOSTILE))


@pytest.fixture(scope="module")
def turns(chatml: Model) -> tuple[Model, TurnsEngine]:
    return with_turns(chatml)


@pytest.fixture(scope="module")
def app(turns: tuple[Model, TurnsEngine]) -> FastAPI:
    return create_app(lambda: turns[0], Settings(server_tools=TOOLS))


@pytest.fixture
def engine(turns: tuple[Model, TurnsEngine]) -> TurnsEngine:
    RAN.clear()
    return turns[1]


@pytest.fixture
def page(chromium: Page, url: str) -> Iterator[Page]:
    """The page with the switch on. At the end, no fault of a script or of the policy is left."""
    chromium.open(url)
    chromium.until(lambda: chromium.one("#server-tools").is_displayed())
    chromium.click("#use-server-tools")
    yield chromium
    assert chromium.faults() == []
    assert chromium.run("return window.pwned") is None


def test_tools_are_listed_and_used_only_with_the_switch(page: Page, engine: TurnsEngine) -> None:
    names = [one.text for one in page.all("#server-tool-list .name")]
    assert names == [one.name for one in TOOLS]
    assert "needs a confirmation" in page.text(f"#server-tool-list li:nth-child({names.index('pay') + 1})")
    page.click("#use-server-tools")
    engine.play("all\nHello.")
    page.send("Hi")
    assert "add" not in engine.prompts[0]
    page.click("#use-server-tools")
    page.send("Hi again")
    assert "Add two numbers." in engine.prompts[1]
    assert "server_tools" in page.text("#curl") and "extra_body" in page.text("#python")


def test_the_trace_is_shown_and_kept(page: Page, engine: TurnsEngine) -> None:
    """Text, calls and results come in the order in which they happened, and the next request has them all."""
    engine.play('all\nLet me add.>>>add\n{"a": 2, "b": 3}>>>weather\n{"city": "Rome"}', "all\nIt is 5.", step_s=0.01)
    page.send("What is 2 + 3?")
    assert RAN == ["add 2 3", "weather Rome"]
    shown = page.text(".entry.assistant")
    places = [shown.index(one) for one in ("Let me add.", "ran on the server", '{"a": 2, "b": 3}', "It is 5.")]
    assert places == sorted(places)
    assert [one.text for one in page.all(".call .name")] == ["add", "weather"]
    assert [one.text for one in page.all(".call .result")] == ["5", "Rome: rain"]
    assert not page.all(".send-results"), "the server has the results already"
    engine.play("all\nYes.")
    page.send("Sure?")
    assert "Rome: rain" in engine.prompts[0] and '{"a": 2, "b": 3}' in engine.prompts[0]
    assert not page.all(".error")


def test_a_tool_that_fails(page: Page, engine: TurnsEngine) -> None:
    engine.play("refuses\n{}", "all\nIt is closed.")
    page.send("Try")
    assert page.text(".call .tag") == "failed on the server"
    assert "the account is closed" in page.text(".call .result")
    assert "It is closed." in page.text("#log")


def test_stop_while_tools_run(page: Page, engine: TurnsEngine) -> None:
    """A stopped answer keeps only calls that have a result, since the API refuses a history with half of a pair."""
    engine.play('add\n{"a": 2, "b": 3}', "all\n" + "long " * 300, step_s=0.03)
    page.write("#message", "Hi")
    page.click("#send")
    page.until(lambda: page.all(".call .result") and "long" in page.text("#log"))
    page.click("#stop")
    page.until(lambda: not page.is_busy)
    engine.play("all\nYes.")
    page.send("And now?")
    assert "Yes." in page.text("#log") and not page.all(".error")
    page.click("#reset")
    engine.play('add\n{"a": 2, "b": ' + "3" * 300, step_s=0.03)
    page.write("#message", "Hi")
    page.click("#send")
    page.until(lambda: page.all(".call") and "33" in page.text(".call .arguments"))
    page.click("#stop")
    page.until(lambda: not page.is_busy)
    assert page.text(".call .tag") == "not finished"
    engine.play("all\nYes.")
    page.send("And now?")
    assert "Yes." in page.text("#log") and not page.all(".error")


def test_own_functions_beside_those_of_the_server(page: Page, engine: TurnsEngine) -> None:
    page.add_functions(json.dumps({"name": "show", "description": "Show a number"}))
    engine.play('add\n{"a": 2, "b": 3}', "show\n{}", "all\nShown.")
    page.send("Add and show")
    page.until(lambda: page.all(".send-results"))
    assert [one.text for one in page.all(".call .tag")] == ["ran on the server", "needs a result"]
    page.write(".call textarea", "done")
    page.click(".send-results")
    page.until_done()
    assert "Shown." in page.text("#log")


def test_hostile_results_stay_texts(page: Page, engine: TurnsEngine) -> None:
    engine.play("hostile\n{}", f"all\n{HOSTILE}")
    page.send("Try")
    assert page.text(".call .result") == HOSTILE
    assert HOSTILE in page.text(".entry.assistant .text")
    assert HOSTILE in page.text("#server-tool-list")
    assert page.run("return document.querySelectorAll('main img, main script').length") == 0

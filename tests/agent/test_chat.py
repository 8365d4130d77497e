"""The chat of the command line, at a pseudo-terminal and in a pipe, with a server whose model writes fixed turns."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.terminal import MAX_LINES, MAX_SHOWN, shortened, visible
from inference import Model
from server import create_app
from tests.support.scripted_turns import TurnsEngine, in_turns
from tests.support.serving import serving
from tests.support.started_server import ROOT, environment
from tests.support.terminal_session import CTRL_C, CTRL_D, Session, at_terminal

WEATHER = 'get_weather\n{"city": "Paris"}'
BOOK = 'book\n{"hotel": "Ritz"}'
TOOLS = '''
from agent import tool

@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"21 degrees in {city} \\x1b]0;owned\\x07\\x1b[2J"

@tool(confirm=True)
def book(hotel: str) -> str:
    """Book a room."""
    return f"booked {hotel}"
'''


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tools") / "my_tools.py"
    path.write_text(TOOLS)
    return path


@contextmanager
def served(chatml: Model, *outputs: str, step_s: float = 0.0) -> Iterator[tuple[str, TurnsEngine]]:
    model, engine = in_turns(chatml, *outputs, max_context=50_000, step_s=step_s)
    with serving(create_app(lambda: model)) as url:
        yield f"{url}/v1", engine


@contextmanager
def chatting(url: str, tools: Path, *options: str, **variables: str) -> Iterator[Session]:
    arguments = ["inference.py", "--chat", "--url", url, "--tools", str(tools), *options]
    with at_terminal(arguments, variables) as session:
        session.wait_for("> ")
        yield session


def piped(url: str, tools: Path, typed: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "inference.py", "--chat", "--url", url, "--tools", str(tools), *options]
    return subprocess.run(
        command, cwd=ROOT, env=environment(), input=typed, capture_output=True, text=True, timeout=120, check=False
    )


def lines_of(screen: str) -> list[str]:
    return screen.replace("\r", "").splitlines()


def test_a_chat_at_a_terminal(chatml: Model, tools: Path) -> None:
    """Calls and results are coloured and apart from the text; escape sequences of a tool do not reach the terminal."""
    with (
        served(chatml, WEATHER, "all\nIt is warm.", "all\nYes.", "all\nNew.") as (url, engine),
        chatting(url, tools) as session,
    ):
        session.type("What is the weather?\n")
        shown = session.wait_for("It is warm.")
        assert "\x1b[36m[call] get_weather \x1b[0m" in shown and "\x1b[32m[result] get_weather: 21 degrees" in shown
        assert "\\x1b]0;owned\\x07\\x1b[2J" in shown and "\x1b]0;" not in shown and "\x1b[2J" not in shown
        session.wait_for("> ")
        session.type("Really?\\\nSure?\n")
        session.wait_for("Yes.")
        session.wait_for("> ")
        session.type("/reset\n")
        session.wait_for("the conversation is forgotten")
        session.type("/tools\n")
        session.wait_for("\n  book         Book a room.")
        session.wait_for("> ")
        session.type("Hello\n")
        session.wait_for("New.")
        session.wait_for("> ")
        session.type(CTRL_D)
        assert session.exit_status() == 0
    third, fourth = engine.prompts[2:]
    assert "It is warm." in third and "Really?\nSure?" in third and "[2J" in third
    assert "Really?" not in fourth and "Hello" in fourth


def test_no_colour_without_the_users_wish(chatml: Model, tools: Path) -> None:
    with served(chatml, WEATHER, "all\nIt is warm.") as (url, _), chatting(url, tools, NO_COLOR="1") as session:
        session.type("What is the weather?\n")
        assert "\x1b[3" not in session.wait_for("It is warm.")


def test_ctrl_c_stops_an_answer_and_not_the_chat(chatml: Model, tools: Path) -> None:
    """The half answer and its question are forgotten. The server's engine stops within a step."""
    with (
        served(chatml, "all\n" + "endless " * 2000, "all\nYes.", step_s=0.01) as (url, engine),
        chatting(url, tools) as session,
    ):
        session.type("Count.\n")
        session.wait_for("endless endless")
        session.type(CTRL_C)
        session.wait_for("[note] stopped; this question and its answer are forgotten")
        session.wait_for("> ")
        session.type("There?\n")
        session.wait_for("Yes.")
        session.wait_for("> ")
        assert engine.num_active == 0
        time.sleep(0.5)  # on a busy machine readline takes the terminal later, which echoes what it gets meanwhile
        session.type("half a question")
        session.wait_for("half a question")
        session.type(CTRL_C)  # drops the line
        session.wait_for("> ")
        session.type(CTRL_C)
        assert session.exit_status() == 0
    assert "Count." not in engine.prompts[1] and "endless" not in engine.prompts[1] and len(engine.prompts) == 2


def test_a_confirmation_at_a_terminal(chatml: Model, tools: Path) -> None:
    with (
        served(chatml, BOOK, "all\nDone.", BOOK, "all\nPity.", BOOK, "all\nNever.") as (url, engine),
        chatting(url, tools) as session,
    ):
        session.type("Book.\n")
        session.wait_for('Run book {"hotel": "Ritz"}? [y/N] ')
        session.type("y\n")
        session.wait_for("[result] book: booked Ritz")
        session.wait_for("Done.")
        session.wait_for("> ")
        session.type("Again.\n")
        session.wait_for("? [y/N] ")
        session.type("\n")
        session.wait_for("[error] book: not run: nobody confirmed the call")
        session.wait_for("Pity.")
        session.wait_for("> ")
        session.type("Once more.\n")
        session.wait_for("? [y/N] ")
        session.type(CTRL_C)
        session.wait_for("[note] stopped")
        session.wait_for("> ")
        session.type(CTRL_D)
        assert session.exit_status() == 0
    assert [prompt.count("booked Ritz") for prompt in engine.prompts] == [0, 1, 1, 1, 1]


def test_what_was_typed_before_a_confirmation_does_not_confirm(chatml: Model, tools: Path) -> None:
    """A user who types ahead, or whose paste has several lines, has not seen the call."""
    with served(chatml, BOOK, "all\nPity.", step_s=0.05) as (url, _), chatting(url, tools) as session:
        session.type("Book.\n")
        session.wait_for("[call]")
        session.type("y\n")
        session.wait_for("? [y/N] ")
        session.type("n\n")
        session.wait_for("nobody confirmed the call")


def test_a_chat_in_a_pipe(chatml: Model, tools: Path) -> None:
    with served(chatml, WEATHER, "all\nIt is warm.", "all\nYes.") as (url, engine):
        done = piped(url, tools, "What is the weather?\n\nReally?")
    assert lines_of(done.stdout) == [
        '[call] get_weather {"city": "Paris"}',
        "[result] get_weather: 21 degrees in Paris \\x1b]0;owned\\x07\\x1b[2J",
        "It is warm.",
        "Yes.",
    ]
    assert (done.returncode, done.stderr) == (0, "") and "It is warm." in engine.prompts[2]


def test_a_pipe_confirms_nothing(chatml: Model, tools: Path) -> None:
    with served(chatml, BOOK, "all\nPity.") as (url, _):
        assert lines_of(piped(url, tools, "Book.\ny\n").stdout)[:4] == [
            '[call] book {"hotel": "Ritz"}',
            "[note] book needs a confirmation, which only a terminal can give",
            "[error] book: not run: nobody confirmed the call",
            "Pity.",
        ]


def test_confirm_asks_before_each_call(chatml: Model, tools: Path) -> None:
    with served(chatml, WEATHER, "all\nPity.") as (url, _):
        assert "get_weather needs a confirmation" in piped(url, tools, "Hi", "--confirm").stdout


def test_an_error_is_one_line_and_the_chat_goes_on(chatml: Model, tools: Path) -> None:
    with served(chatml, "all\nNever.", "all\nYes.") as (url, engine):
        engine.max_context = 1000
        done = piped(url, tools, "long " * 300 + "\nHi\n/nothing\n")
    first, second, third = lines_of(done.stdout)
    assert first.startswith(f"[error] {url} answered 400: This model's maximum context length is 1000 tokens.")
    assert second.endswith(".") and third == "[error] there is no command /nothing; /help lists them"
    assert done.returncode == 0


def test_no_server_and_the_output_closed_early(chatml: Model, tools: Path) -> None:
    wrong = ["inference.py", "--tools", str(tools)]
    done = subprocess.run([sys.executable, *wrong], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "--tools needs --chat" in done.stderr
    with served(chatml, "much " * 30_000) as (url, _):
        command = [sys.executable, "inference.py", "--chat", "--url", url]
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdin and process.stdout and process.stderr
        with process.stdin, process.stdout, process.stderr:
            process.stdin.write(b"Hi\n")
            process.stdin.close()
            assert process.stdout.read(4) == b"much"
            process.stdout.close()
            assert (process.wait(120), process.stderr.read()) == (0, b"")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\rb", "a\\x0db"),
        ("a\r\nb\tc", "a\nb\tc"),
        ("\x9b31m", "\\x9b31m"),
        ("\x7f\x08\x00", "\\x7f\\x08\\x00"),
        ("\u202eevil", "\\u202eevil"),
        ("\ud800", "\\ud800"),
        ("é 漢 🌦 e\u0301", "é 漢 🌦 e\u0301"),
    ],
)
def test_control_characters_are_shown_and_not_obeyed(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    shown = visible(text)
    assert all(character in "\n\t" or character.isprintable() or ord(character) >= 0xA0 for character in shown)
    assert visible(shown) == shown


@given(st.text(alphabet="ab\n", max_size=3 * MAX_SHOWN))
def test_long_results_are_shortened(text: str) -> None:
    shown = shortened(text)
    assert shown == text or (shown.count("\n") <= MAX_LINES and len(shown) <= MAX_SHOWN + 50)
    assert shown == text or shown.endswith(f"... ({len(text)} characters in all)")


def test_everything_but_text_begins_with_its_kind(chatml: Model, tools: Path) -> None:
    """Text and calls of several rounds, with a text before a call."""
    outputs: Sequence[str] = ("all\nOne moment.>>>" + WEATHER + ">>>" + WEATHER, "all\nWarm.")
    with served(chatml, *outputs) as (url, _):
        shown = lines_of(piped(url, tools, "Hi").stdout)
    assert [line.partition("]")[0] for line in shown] == [
        "One moment.",
        "[call",
        "[call",
        "[result",
        "[result",
        "Warm.",
    ]

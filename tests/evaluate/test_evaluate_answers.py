"""Files of a model's answers: written answers are read again, and files of another kind are rejected."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.endpoints import Answer
from client.json_lines import FileError
from core.conversation import Call
from evaluate.answers import Answers, read_answers
from tests.support.evaluate_doubles import calling

ABOUT = {"set": "a", "model": "m", "body": {"temperature": 0}}

answers = st.builds(
    Answer,
    text=st.text(),
    calls=st.lists(st.builds(Call, st.text(), st.text(), st.text()), max_size=3).map(tuple),
    finish_reason=st.text(),
    completion_tokens=st.integers(0, 999),
    error=st.text(),
)


@given(kept=st.dictionaries(st.text("abcdef", min_size=1), answers, max_size=5))
def test_what_was_kept_is_read_again(tmp_path_factory: pytest.TempPathFactory, kept: dict[str, Answer]) -> None:
    """Answers are read as they were written. Each takes one line of the file, even with line breaks of any kind."""
    path = tmp_path_factory.mktemp("kept") / "answers.jsonl"
    with Answers(path, ABOUT) as file:
        for key, answer in kept.items():
            file.add(key, answer)
    with Answers(path, ABOUT) as again:
        assert again.by_key == kept
    assert read_answers(path) == (ABOUT, kept)


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_last_line_that_was_cut_off_is_dropped_and_written_anew(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "answers.jsonl"
    with Answers(path, ABOUT) as file:
        file.add("one", calling(("f", {})))
        file.add("two", calling(text="second"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    with Answers(path, ABOUT) as file:
        assert set(file.by_key) == {"one"}
        file.add("two", calling(text="second"))
    assert path.read_bytes() == whole


def test_a_file_whose_first_line_was_cut_off_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_bytes(b'{"about": {"se')
    with Answers(path, ABOUT) as file:
        file.add("one", calling())
    assert read_answers(path)[0] == ABOUT


def test_answers_of_another_run_are_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with Answers(path, ABOUT) as file:
        file.add("one", calling())
    before = path.read_bytes()
    with pytest.raises(FileError, match=r"answers\.jsonl holds answers of another run \(body, model differ\)"):
        Answers(path, {"set": "a", "model": "other", "body": {}})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense\n", ":1: no JSON"),
        ("[]\n", ":1: no JSON object"),
        ('{"key": "a"}\n', "holds answers of another run"),
        ('{"about": {"set": "a", "model": "m", "body": {"temperature": 0}}}\n{"key": "a"}\n', "a line is no answer"),
        ('{"about": {"set": "a", "model": "m", "body": {"temperature": 0}}}\n{"calls": 5, "key": 1}\n', "is no answer"),
    ],
)
def test_a_file_of_something_else_is_refused_and_left_as_it_was(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(text)
    with pytest.raises(FileError, match=message):
        Answers(path, ABOUT)
    assert path.read_text() == text


def test_reading_says_what_is_no_file_of_answers(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="No such file"):
        read_answers(tmp_path / "missing.jsonl")
    (tmp_path / "rows.jsonl").write_text('{"messages": []}\n')
    with pytest.raises(FileError, match=r"rows\.jsonl:1: no file of answers"):
        read_answers(tmp_path / "rows.jsonl")

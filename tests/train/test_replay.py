"""Rows with the base model's own answers. The tests check which prompts are read and which answers are left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import train.replay
from evaluate.local import EngineEndpoint
from inference import Model
from tests.support.scripted_engine import scripted
from train.replay import main
from train.rows import read_rows


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"messages": [{"role": "user", "content": f"Say {n}"}]}) + "\n" for n in "abc"))
    return path


def play(monkeypatch: pytest.MonkeyPatch, chatml: Model, output: str) -> None:
    model, _ = scripted(chatml, output)
    loaded: Any = (model, "scripted")
    monkeypatch.setattr(train.replay, "load", lambda name, adapter: loaded)


def test_answers_become_rows_without_functions(
    prompts: Path, chatml: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, chatml, "Hello there.<|im_end|>")
    main(["--in", str(prompts), "--out", str(tmp_path / "rows.jsonl"), "--rows", "2"])
    rows = list(read_rows(tmp_path / "rows.jsonl"))
    assert len(rows) == 2
    assert {row.messages[0].content for row in rows} < {"Say a", "Say b", "Say c"}
    assert {row.messages[1].content for row in rows} == {"Hello there."}
    assert all(row.functions == () and row.source == "replay" and row.kind == "chat" for row in rows)


def test_what_is_cut_off_ends_with_a_whole_sentence(
    prompts: Path, chatml: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that the token limit cuts is shortened to whole sentences.

    Nine of ten answers are cut. Without the shortened answers, the model would learn from short answers only.
    """
    play(monkeypatch, chatml, "One. Two! Then 3. and so")
    main(["--in", str(prompts), "--out", str(tmp_path / "rows.jsonl"), "--max-tokens", "20"])
    assert {row.messages[1].content for row in read_rows(tmp_path / "rows.jsonl")} == {"One. Two!"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", ""), ("No end", ""), ("At 3.5 it", ""), ("1. One\n2. Two", ""), ("Yes!\nNo", "Yes!"), ('"So." he', "")],
)
def test_whole_sentences(text: str, expected: str) -> None:
    assert train.replay.whole_sentences(text) == expected


def test_what_is_cut_off_in_its_first_sentence_is_left_out(
    prompts: Path, chatml: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, chatml, "Once upon a time there was")
    with pytest.raises(SystemExit, match="none of 3 prompts got an answer within 5 tokens"):
        main(["--in", str(prompts), "--out", str(tmp_path / "rows.jsonl"), "--max-tokens", "5"])
    assert not (tmp_path / "rows.jsonl").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", ": no prompts"), ('{"messages": []}\n', ":1: expected"), ('{"text": "x"}\n', ":1: expected"), ("x\n", ":1:")],
)
def test_bad_prompts_are_named(prompts: Path, tmp_path: Path, text: str, expected: str) -> None:
    prompts.write_text(text)
    with pytest.raises(SystemExit, match=rf"^replay: .*prompts\.jsonl{expected}"):
        main(["--in", str(prompts), "--out", str(tmp_path / "rows.jsonl")])


def test_an_interrupted_run_resumes(
    prompts: Path, chatml: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An interrupted run resumes and keeps its answers.

    Regression test: a run that was interrupted after seven minutes lost all answers.
    """
    play(monkeypatch, chatml, "Hello there.<|im_end|>")
    asked: list[str] = []
    is_left = [False, False, True]
    answer = EngineEndpoint.answer

    async def until_left(self: Any, body: dict[str, Any]) -> Any:
        if is_left.pop(0):
            raise KeyboardInterrupt
        asked.append(body["messages"][0]["content"])
        return await answer(self, body)

    monkeypatch.setattr(EngineEndpoint, "answer", until_left)
    monkeypatch.setattr(train.replay, "IN_FLIGHT", 1)
    command = ["--in", str(prompts), "--out", str(tmp_path / "rows.jsonl"), "--rows", "3"]
    with pytest.raises(SystemExit, match="interrupted; the answers so far are kept"):
        main(command)
    assert len(asked) == 2
    assert not (tmp_path / "rows.jsonl").exists()
    is_left.append(False)
    main(command)
    assert sorted(asked) == ["Say a", "Say b", "Say c"], "each was asked once"
    assert len(list(read_rows(tmp_path / "rows.jsonl"))) == 3
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


def test_answers_of_other_options_are_not_reused(
    prompts: Path, chatml: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, chatml, "Hello there.<|im_end|>")
    (tmp_path / ".rows.jsonl.part.jsonl").write_text('{"about": {"model": "scripted", "max_tokens": 5}}\n')
    with pytest.raises(SystemExit, match="holds answers of another run \\(max_tokens differ\\)"):
        main(["--in", str(prompts), "--out", str(tmp_path / "rows.jsonl")])

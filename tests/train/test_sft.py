"""Training of tiny models: a model learns its rows, an interrupted run resumes, and the server serves the result."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from openai import OpenAI
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from client.rows import row_text, write_rows
from inference import load_model
from server import create_app
from tests.support.serving import serving
from tests.support.started_server import ROOT
from tests.support.training_rows import TEN
from train.learning.curves import smoothed
from train.learning.learner import CheckpointSaving, LearnedOnly
from train.learning.lora import merge_in_forward
from train.learning.packing import IGNORED
from train.learning.presets import PRESETS
from train.learning.run import newest_checkpoint
from train.sft import main

QUICK = ["--max-length", "1024", "--batch-size", "4", "--device-batch-size", "4", "--weight-decay", "0", "--as-is"]
FAST = ["--template", "functionary_v3_chatml", *QUICK]


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "ten.jsonl"
    write_rows(path, TEN)
    return path


def sft(ten: Path, out: Path, *options: str) -> None:
    main(["--preset", "functionary-7b-v1", "--data", str(ten), "--out", str(out), *FAST, *options])


def test_a_tiny_model_learns_ten_conversations_and_serves_them(ten: Path, chatml_folder: Path, tmp_path: Path) -> None:
    """The real server answers with exactly the assistant's turns that the model was trained on."""
    quick = ("--max-length", "512", "--batch-size", "1", "--device-batch-size", "1", "--adam-beta2", "0.98")
    sft(ten, tmp_path, "--model", str(chatml_folder), *quick, "--epochs", "90", "--learning-rate", "3e-3")
    assert (tmp_path / "loss.png").stat().st_size > 10_000
    model = load_model(str(tmp_path / "model"), dtype="float32")
    with serving(create_app(lambda: model)) as url, OpenAI(base_url=f"{url}/v1", api_key="none") as client:
        for row in TEN:
            for number, message in enumerate(row.messages):
                if message.role != "assistant":
                    continue
                lines = json.loads(row_text(row))
                tools = [{"type": "function", "function": function} for function in lines["functions"]]
                asked: Any = {"messages": lines["messages"][:number], "tools": tools}
                answer = client.chat.completions.create(model=model.names[0], temperature=0, max_tokens=200, **asked)
                got = answer.choices[0].message
                calls = [(call.function.name, call.function.arguments) for call in got.tool_calls or ()]
                assert calls == [(call.name, call.arguments) for call in message.calls]
                assert got.content == message.content


def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    ten: Path, chatml_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The final weights of an interrupted and resumed run are bit-identical to those of an uninterrupted run.

    Weights, optimizer, schedule and the next batch are restored.
    """
    options = ("--model", str(chatml_folder), "--epochs", "6", "--learning-rate", "1e-3")
    sft(ten, tmp_path / "whole", *options)

    install = CheckpointSaving.install_signal_handlers

    def stops_early(saving: CheckpointSaving) -> None:
        install(saving)
        saving.is_stopped = True  # as SIGTERM does, in the first step

    monkeypatch.setattr(CheckpointSaving, "install_signal_handlers", stops_early)
    with pytest.raises(SystemExit, match="interrupted at step 1; the same command resumes"):
        sft(ten, tmp_path / "parts", *options)
    assert newest_checkpoint(tmp_path / "parts") == tmp_path / "parts" / "checkpoint-1"
    assert not (tmp_path / "parts" / "model").exists()
    monkeypatch.setattr(CheckpointSaving, "install_signal_handlers", install)
    sft(ten, tmp_path / "parts", *options)
    assert "resuming from" in capsys.readouterr().err
    whole, parts = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_another_run_does_not_resume_these_checkpoints(ten: Path, chatml_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint-3").mkdir()
    (tmp_path / "checkpoint-3" / "trainer_state.json").write_text("{}")
    (tmp_path / "run.json").write_text('{"seed": 7}')
    with pytest.raises(SystemExit, match="holds checkpoints of another run"):
        sft(ten, tmp_path, "--model", str(chatml_folder))


def test_an_incomplete_checkpoint_is_not_resumed(tmp_path: Path) -> None:
    for step in (9, 10, 11):
        (tmp_path / f"checkpoint-{step}").mkdir()
    (tmp_path / "checkpoint-9" / "trainer_state.json").touch()
    (tmp_path / "checkpoint-10" / "trainer_state.json").touch()
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-10"


def test_what_cannot_be_trained_on_is_said(
    ten: Path, chatml_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file, row, model or adapter that cannot be trained on gives a one-sentence message and status 1."""
    empty, bad = tmp_path / "empty.jsonl", tmp_path / "bad.jsonl"
    empty.write_text("\n")
    bad.write_text(ten.read_text().splitlines()[0] + "\n{}\n")
    model = ("--model", str(chatml_folder))
    for data, options, expected in (
        (empty, model, r"empty\.jsonl: no rows"),
        (bad, model, r"bad\.jsonl:2: .*messages"),
        (tmp_path / "none.jsonl", model, r"none\.jsonl: cannot be read: No such file"),
        (ten, (*model, "--max-length", "20"), "no row is short enough"),
        (ten, ("--model", str(tmp_path / "nowhere")), "nowhere"),
        (ten, (*model, "--template", "nonsense"), "no prompt template 'nonsense'"),
        # The server would refuse the trained model: without </s> no answer in this format ends.
        (ten, (*model, "--template", "functionary_v1_plain"), "no control token </s>"),
        (
            ten,
            (*model, "--lora-rank", "4", "--lora-alpha", "4", "--adapter", str(tmp_path)),
            "no adapter to start from",
        ),
        (ten, (*model, "--out", str(empty)), "empty.jsonl"),
    ):
        with pytest.raises(SystemExit, match=expected) as refusal:
            sft(data, tmp_path / "out", *options)
        assert str(refusal.value.code).startswith("sft: ")


def test_a_full_disk_ends_with_a_message(ten: Path, chatml_folder: Path, tmp_path: Path) -> None:
    """A full disk ends the run with a message.

    PyTorch, safetensors and Python write parts of a checkpoint, and each raises a different error.
    """
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)\n"
        "from train.sft import main; main()"
    )
    options = ["--preset", "functionary-7b-v1", "--data", ten, "--model", chatml_folder, "--epochs", "1", *FAST]
    runs: dict[str, subprocess.Popen[str]] = {}
    # Limits of a file's size: the first is too small for the weights, the second for the run's description.
    for limit in ("100000", "2000"):
        command = [sys.executable, "-c", program, limit, *map(str, options), "--out", str(tmp_path / limit)]
        runs[limit] = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for limit, run in runs.items():
        _, told = run.communicate()
        assert run.returncode == 1, told
        assert "Traceback" not in told
        assert told.splitlines()[-1].startswith(f"sft: {tmp_path / limit}")


def test_a_dry_run_shows_what_is_learned(
    ten: Path, chatml_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sft(ten, tmp_path / "out", "--model", str(chatml_folder), "--dry-run")
    shown = capsys.readouterr()
    assert 'get_weather\n{"city": "Oslo"}<|im_end|>]]' in shown.out
    assert "20 conversations" in shown.err
    assert not (tmp_path / "out").exists()


def test_a_run_can_go_on_from_an_earlier_checkpoint(ten: Path, chatml_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no whole checkpoint"):
        sft(ten, tmp_path, "--model", str(chatml_folder), "--checkpoint", str(tmp_path / "checkpoint-2"))


def test_an_adapter_of_a_folder_is_merged_for_the_server(ten: Path, chatml_folder: Path, tmp_path: Path) -> None:
    options = (
        "--model",
        str(chatml_folder),
        "--lora-rank",
        "4",
        "--lora-alpha",
        "8",
        "--epochs",
        "2",
        "--learning-rate",
        "1e-2",
    )
    sft(ten, tmp_path / "first", *options)
    sft(ten, tmp_path / "second", *options, "--adapter", str(tmp_path / "first" / "adapter"), "--seed", "1")
    load_model(str(tmp_path / "second" / "model"))
    first, second = (
        load_file(tmp_path / name / "adapter" / "adapter_model.safetensors") for name in ("first", "second")
    )
    assert first.keys() == second.keys() and all(value.dtype == torch.bfloat16 for value in first.values())
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_logits_of_learned_tokens_only_give_the_same_loss(chatml_folder: Path) -> None:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(chatml_folder)
    ids = torch.randint(0, 200, (2, 30))
    labels = ids.masked_fill(torch.rand(2, 30) < 0.7, IGNORED)
    expected = model(input_ids=ids, labels=labels).loss
    learned_only = LearnedOnly(model)
    targets = learned_only.choose(labels)
    logits = model(input_ids=ids).logits
    assert logits.shape == (len(targets), 272)
    assert torch.allclose(nn.functional.cross_entropy(logits, targets), expected, atol=1e-6)
    assert model(input_ids=ids).logits.shape == (2, 30, 272), "only once"


def test_merged_weights_have_the_gradients_of_pefts(chatml_folder: Path) -> None:
    def gradients(merged: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        torch.manual_seed(0)
        base: PreTrainedModel = AutoModelForCausalLM.from_pretrained(chatml_folder)
        config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False)
        model = get_peft_model(base, config)
        if merged:
            assert merge_in_forward(model) == 2 * 7
        loss = model(input_ids=torch.arange(60).view(2, 30), labels=torch.arange(60).view(2, 30)).loss
        loss.backward()
        return loss, {name: value.grad for name, value in model.named_parameters() if value.grad is not None}

    (loss, theirs), (merged_loss, ours) = gradients(False), gradients(True)
    assert torch.allclose(loss, merged_loss, atol=1e-5)
    assert theirs.keys() == ours.keys() and len(ours) == 2 * 2 * 7
    assert all(torch.allclose(theirs[name], ours[name], atol=1e-5) for name in theirs)


def test_the_presets_are_the_known_recipes() -> None:
    original = PRESETS["functionary-7b-v1"]
    assert (original.batch_size, original.learning_rate, original.epochs, original.max_length) == (64, 2e-5, 2, 4096)
    assert (original.weight_decay, original.warmup, original.lora_rank) == (0.3, 0.03, 0)
    assert PRESETS.keys() == {"functionary-7b-v1", "llama-2-13b", "smollm2-135m"}


def test_a_smoothed_curve_keeps_a_constant() -> None:
    assert smoothed([2.0] * 5) == pytest.approx([2.0] * 5)
    assert smoothed([]) == []

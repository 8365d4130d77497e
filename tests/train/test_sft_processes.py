"""Training in two processes gives the same weights as training in one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from client.rows import write_rows
from tests.support.started_server import ROOT
from tests.support.training_rows import TEN
from train.sft import main

RUN = ["--preset", "functionary-7b-v1", "--template", "functionary_v3_chatml", "--epochs", "2", "--as-is"]
SIZES = ["--batch-size", "4", "--device-batch-size", "1", "--max-length", "1024", "--learning-rate", "1e-3"]


@pytest.mark.parametrize(
    ("lora", "weights"),
    [
        ([], "model/model.safetensors"),
        (["--lora-rank", "4", "--lora-alpha", "8"], "adapter/adapter_model.safetensors"),
    ],
)
def test_two_processes_learn_what_one_learns(
    chatml_folder: Path, tmp_path: Path, lora: list[str], weights: str
) -> None:
    """Two processes with half of the batch each learn the same weights as one process.

    Regression test: the loss was divided by two in addition to the batch's number of tokens.
    """
    write_rows(tmp_path / "ten.jsonl", TEN)
    options = [*RUN, *SIZES, *lora, "--model", str(chatml_folder), "--data", str(tmp_path / "ten.jsonl")]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "train.sft"]
    command = [*launcher, *options, "--out", str(tmp_path / "two")]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=300)
    main([*options, "--out", str(tmp_path / "one")])
    one, two = (load_file(tmp_path / name / weights) for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, values in one.items():
        torch.testing.assert_close(two[name], values, atol=2e-3 if lora else 1e-5, rtol=1e-2 if lora else 1e-5)

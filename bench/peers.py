"""Our server and `transformers serve` with the same weights, each in turn, round after round, over HTTP.

`python -m bench.peers` writes the embedded weights, the adapter merged in, as a checkpoint that any server of
transformers models can read, starts each server and asks it the chats of `bench.clients`: 48 tokens each, greedy, by
1, 8, 16 and 32 clients. Calls are not compared: how a prompt with functions looks is each server's own affair. The
checkpoint names no stop token, so that every answer is as long. The time to the first token is left out: `transformers
serve` sends a chunk before it has read the prompt. A table, a plot and all figures go to `bench/results/`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

from bench.clients import CLIENTS, chat, crowd
from bench.one_stream import ROOT, free_port, is_ready, machine, server
from engines import embedded
from engines.devices import pick_dtype
from engines.files import find_checkpoint

Json = dict[str, Any]
Rounds = dict[str, list[dict[int, Json]]]

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n"
)
START_SECONDS = 120


def write_checkpoint(folder: Path) -> None:
    """The embedded model as transformers' own files, in the type that our server computes in."""
    reader = embedded.open_file(str(find_checkpoint(None)))
    cpu = torch.device("cpu")
    model: Any = embedded.load_model(reader, pick_dtype("auto", cpu), cpu)
    tokenizer = embedded.load_tokenizer(reader)
    tokenizer.chat_template = CHATML
    model.generation_config.eos_token_id = model.config.eos_token_id = None
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@contextmanager
def transformers_serve(folder: Path, log: Path, *options: str) -> Iterator[int]:
    """`transformers serve` on a free port; yields the port once it answers."""
    port = free_port()
    program = Path(sys.executable).with_name("transformers")
    command = [str(program), "serve", str(folder), "--port", str(port), "--host", "127.0.0.1", "--device", "cpu"]
    with log.open("wb") as out:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        process = subprocess.Popen([*command, *options], stdout=out, stderr=out, env=environment)
        try:
            _wait(process, port, log)
            yield port
        finally:
            process.terminate()
            process.wait(40)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        if is_ready(port, "/health"):
            return
        time.sleep(1)
    raise RuntimeError(f"transformers serve did not start: {log.read_text(errors='replace')[-500:]}")


def without_extensions() -> Json:
    """A chat in OpenAI's fields only, for servers that refuse others."""
    return {"messages": chat()["messages"]}


def measure(servers: dict[str, Callable[[], AbstractContextManager[int]]], models: Json, num_rounds: int) -> Rounds:
    """Figures of `bench.clients.crowd` by server, round and number of clients. Each start is warmed up with 8 chats."""
    rounds: Rounds = {name: [] for name in servers}
    for _ in range(num_rounds):
        for name, start in servers.items():
            workload = chat if name == "functionary" else without_extensions
            with start() as port:
                crowd(port, models[name], workload, 8, 8)
                by_clients = {num: crowd(port, models[name], workload, num, max(4, 2 * num)) for num in CLIENTS}
            rounds[name].append(by_clients)
    return rounds


def medians(rounds: Rounds) -> dict[str, list[float]]:
    """Tokens/s by server, a figure for each number of clients."""
    return {name: [median(one[num]["tokens_per_s"] for one in own) for num in CLIENTS] for name, own in rounds.items()}


def table(rounds: Rounds) -> Iterator[str]:
    yield "| server | " + " | ".join(f"{num} client{'s' * (num > 1)}" for num in CLIENTS) + " |"
    yield "|---|" + "---:|" * len(CLIENTS)
    for name, speeds in medians(rounds).items():
        yield f"| {name} | {' | '.join(f'{speed:.0f}' for speed in speeds)} |"


def plot(rounds: Rounds, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(6.4, 4.6), layout="constrained")
    for name, speeds in medians(rounds).items():
        axes.plot(CLIENTS, speeds, marker="o", label=name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(CLIENTS, [str(num) for num in CLIENTS])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("clients")
    axes.set_ylabel("tokens/s of all clients")
    axes.set_title("Chat, 120 prompt and 48 answer tokens")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center")
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.peers", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    num_rounds = parser.parse_args().rounds
    folder = ROOT / "bench" / "results"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint, log = Path(scratch, "checkpoint"), Path(scratch, "log")
        write_checkpoint(checkpoint)
        serve = partial(transformers_serve, checkpoint, log)
        servers: dict[str, Callable[[], AbstractContextManager[int]]] = {
            "functionary": server,
            "transformers serve": serve,
            "transformers serve, continuous batching": partial(serve, "--continuous-batching"),
        }
        models = {name: "functionary" if name == "functionary" else str(checkpoint) for name in servers}
        rounds = measure(servers, models, num_rounds)
    about = f"{machine()}. Tokens/s of all clients, medians of {num_rounds} round(s)."
    text = "\n".join((about, "", *table(rounds), ""))
    (folder / "peers.json").write_text(json.dumps({"about": about, "rounds": rounds}) + "\n")
    (folder / "peers.md").write_text(text)
    plot(rounds, folder / "peers.png")
    print(text)


if __name__ == "__main__":
    main()

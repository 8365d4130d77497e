"""Compares our server with other servers of the same weights, over HTTP.

`python -m bench.peers` measures every server in each round. The servers are those that bench/servers.py finds: ours,
`transformers serve` with and without continuous batching, and `llama-server` and `vllm` if they are installed.
`--servers` selects some of them. The last two are also measured as engines of our server (`--engine-url`), where
answers have no drafts. All answers are greedy; the workloads are those of bench/workloads.py.

Servers render functions differently. Therefore only our server, with any engine, gets functions; the other servers get
the same declarations as text and generate as many tokens as ours did. The time to the first token is not compared,
since `transformers serve` sends a chunk before it computes the prompt. Tables, a plot and all figures are written to
`bench/results/`.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib

from client.json_lines import write_whole

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from bench.one_stream import machine
from bench.servers import ROOT, Peer, peers
from bench.workloads import (
    CLIENTS,
    COLD,
    Workload,
    ask,
    call,
    call_as_text,
    chat,
    cold,
    conversation,
    forced_call,
    run_clients,
)

Json = dict[str, Any]
Rounds = dict[str, list[Json]]

OURS = "functionary"
CROWDS = {
    "chat, tokens/s": "tokens_per_s",
    "calls, answers/s": "answers_per_s",
    "forced calls, answers/s": "answers_per_s",
}


def measure(port: int, peer: Peer, num_call_tokens: int) -> Json:
    """Measure one round of one server, after eight chats as a warm-up.

    Each workload sends at least four requests, and at least one from each client.
    """
    as_text = partial(call_as_text, num_call_tokens)
    workloads: list[Workload] = [chat, call, forced_call] if peer.is_ours else [chat, as_text, as_text]
    only_openai = partial(_without_extensions, is_openai=peer.is_openai)
    run_clients(port, peer.model, partial(only_openai, chat), 8, 8)
    figures: Json = {}
    for (title, unit), workload in zip(CROWDS.items(), workloads, strict=True):
        asked = partial(only_openai, workload)
        is_known = title.startswith("forced") and not peer.is_ours
        figures[title] = (
            figures["calls, answers/s"]
            if is_known
            else [run_clients(port, peer.model, asked, num, max(4, num))[unit] for num in CLIENTS]
        )
    figures["cold prompts, tokens/s"] = [_prefill(port, peer.model, only_openai(partial(cold, size))) for size in COLD]
    turns = [only_openai(partial(dict, body)) for body in conversation()]
    figures["conversation of 6 turns, s"] = [sum(ask(port, peer.model, body)[1] for body in turns)]
    return figures


def _without_extensions(workload: Workload, *, is_openai: bool) -> Json:
    return {key: value for key, value in workload().items() if not is_openai or key != "ignore_eos"}


def _prefill(port: int, model: str, body: Json) -> float:
    """Measure the prefill speed in tokens/s. The time includes one answer token."""
    _, seconds, usage = ask(port, model, body)
    return float(usage["prompt_tokens"] / seconds)


def medians(rounds: Rounds, title: str) -> dict[str, list[float]]:
    """Return the medians over the rounds, by server."""
    return {
        name: [median(column) for column in zip(*(one[title] for one in own), strict=True)]
        for name, own in rounds.items()
    }


def tables(rounds: Rounds) -> Iterator[str]:
    heads = {"cold prompts, tokens/s": [f"{size} words" for size in COLD], "conversation of 6 turns, s": ["seconds"]}
    for title in next(iter(rounds.values()))[0]:
        columns = heads.get(title, [f"{num} client{'s' * (num > 1)}" for num in CLIENTS])
        yield f"| {title} | " + " | ".join(columns) + " |"
        yield "|---|" + "---:|" * len(columns)
        for name, values in medians(rounds, title).items():
            yield f"| {name} | {' | '.join(f'{value:.3g}' for value in values)} |"
        yield ""


def plot(rounds: Rounds, path: str) -> None:
    titles = ("chat, tokens/s", "calls, answers/s", "cold prompts, tokens/s")
    figure, panels = plt.subplots(1, 3, figsize=(13, 4.6), layout="constrained")
    for axes, title in zip(panels, titles, strict=True):
        places = COLD if title.startswith("cold") else CLIENTS
        for name, values in medians(rounds, title).items():
            axes.plot(places, values, marker="o", label=name if axes is panels[0] else None)
        axes.set_xscale("log", base=2)
        axes.set_xticks(places, [str(place) for place in places])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_xlabel("words of the prompt" if places is COLD else "clients")
        axes.set_title(title)
        axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=110)


def write(rounds: Rounds, about: str, path: Path) -> None:
    """Write the tables, the plot and the figures of the rounds so far to files that begin with `path`."""
    text = "\n".join((about, "", *tables(rounds)))
    write_whole(path.with_suffix(".json"), json.dumps({"about": about, "rounds": rounds}) + "\n")
    write_whole(path.with_suffix(".md"), text)
    plot(rounds, str(path.with_suffix(".png")))
    print(text, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.peers", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--servers", nargs="+", metavar="NAME", help="some of those that are found")
    parser.add_argument("--name", default="peers", help="of the files in bench/results (default: %(default)s)")
    options = parser.parse_args()
    path = ROOT / "bench" / "results" / options.name
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # also ends the measured server
    with peers() as found:
        if unknown := set(options.servers or ()) - found.keys():
            parser.error(f"{', '.join(sorted(unknown))}: not found; here are {', '.join(found)}")
        chosen = {name: peer for name, peer in found.items() if name in (options.servers or found)}
        rounds: Rounds = {name: [] for name in chosen}
        with found[OURS].start() as port:
            num_call_tokens = ask(port, OURS, call())[2]["completion_tokens"]
        for number in range(1, options.rounds + 1):
            for name, peer in chosen.items():
                with peer.start() as port:
                    rounds[name].append(measure(port, peer, num_call_tokens))
                print(name, json.dumps(rounds[name][-1]), flush=True)
            about = f"{machine()}. Medians of {number} round(s); a call has {num_call_tokens} tokens."
            write(rounds, about, path)


if __name__ == "__main__":
    main()

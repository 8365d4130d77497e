"""Plots the loss and the learning rate of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SMOOTHING = 0.9


def draw(history: Sequence[Mapping[str, Any]], path: Path, title: str) -> None:
    """Plot loss and learning rate by step to a PNG file. Writes nothing for a run without a logged step."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    logged = [entry for entry in history if "loss" in entry]
    if not logged:
        return
    steps = [entry["step"] for entry in logged]
    losses = [entry["loss"] for entry in logged]
    figure, left = pyplot.subplots(figsize=(9, 4.5), dpi=120, layout="constrained")
    left.plot(steps, losses, color="#9ab8d8", linewidth=0.8, label="loss")
    left.plot(steps, smoothed(losses), color="#1f4e8c", linewidth=1.8, label="smoothed")
    left.set(xlabel="step", ylabel="loss per learned token (nats)", yscale="log")
    left.set_title(title, fontsize=9)
    left.grid(alpha=0.25)
    right = left.twinx()
    right.plot(steps, [entry["learning_rate"] for entry in logged], color="#c97b36", linewidth=1, label="learning rate")
    right.set(ylabel="learning rate", ylim=(0, None))
    lines = [*left.get_lines(), *right.get_lines()]
    left.legend(lines, [str(line.get_label()) for line in lines], frameon=False)
    figure.savefig(path)
    pyplot.close(figure)


def smoothed(values: Sequence[float]) -> list[float]:
    """Return the exponential moving average of the values. Its bias towards 0 at the start is corrected, as in Adam."""
    mean, weight, out = 0.0, 0.0, []
    for value in values:
        mean, weight = SMOOTHING * mean + (1 - SMOOTHING) * value, SMOOTHING * weight + 1 - SMOOTHING
        out.append(mean / weight)
    return out

"""Plots results as PNG bytes. matplotlib runs without a display."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

from evaluate.command_line import CommandError
from evaluate.intervals import Figure, wilson

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

# Okabe and Ito's palette, safe for colour-blind readers, without black, which is the colour of text
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
MARKERS = "osD^vPX"
DPI = 160
GREY = "#666666"

Panel = tuple[str, Mapping[str, Mapping[str, Figure]]]  # title, and the figures by set and by model


def canvas(width: float, height: float) -> Canvas:
    """Make an empty drawing; width and height are in inches. Raises CommandError if matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure as Canvas
    except ImportError:
        raise CommandError("plots need matplotlib: pip install -r requirements-train.txt") from None
    picture = Canvas(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(picture)
    return picture


def png(picture: Canvas) -> bytes:
    written = io.BytesIO()
    picture.savefig(written, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return written.getvalue()


def draw_comparison(models: Sequence[str], panels: Sequence[Panel]) -> bytes:
    """Plot one panel per metric, with one row per set and one dot with its 95% interval per model."""
    sets = list(dict.fromkeys(name for _, panel in panels for name in panel))
    num_lines = len(sets) * (len(models) + 1.5)
    picture = canvas(2.4 + 2.5 * len(panels), 1.2 + 0.15 * num_lines + 0.2 * len(models))
    axes = picture.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for place, (axis, (title, panel)) in enumerate(zip(axes, panels, strict=True)):
        for number, model in enumerate(models):
            _dots(axis, sets, model, panel, number, len(models))
        _percent(axis.xaxis)
        axis.set_xlim(-3, 103)
        axis.set_title(fill(title, 28), fontsize=10, loc="left")
        axis.tick_params(axis="y", length=0)
        axis.set_yticks(range(len(sets)), sets)
        if place == 0:
            axis.set_ylim(len(sets) - 0.5, -0.5)
        for line in range(1, len(sets)):
            axis.axhline(line - 0.5, color="#dddddd", linewidth=0.6)
        _plain(axis)
    handles, labels = axes[0].get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside upper left", ncols=1, frameon=False, fontsize=9)
    picture.supxlabel("percent, with 95% intervals", fontsize=9, color=GREY)
    return png(picture)


def _dots(
    axis: Axes, sets: Sequence[str], model: str, panel: Mapping[str, Mapping[str, Figure]], number: int, of: int
) -> None:
    shift = (number - (of - 1) / 2) * 0.7 / max(of, 2)
    found = [(place + shift, panel[name][model]) for place, name in enumerate(sets) if model in panel.get(name, {})]
    values = [100 * figure.value for _, figure in found]
    axis.errorbar(
        values,
        [height for height, _ in found],
        xerr=_errors([figure for _, figure in found]),
        fmt=MARKERS[number % len(MARKERS)],
        color=COLOURS[number % len(COLOURS)],
        markersize=5,
        elinewidth=1.4,
        label=model,
    )


def draw_tradeoff(model: str, calling: Sequence[float], others: Sequence[float], biases: Sequence[float]) -> bytes:
    """Plot, over all biases, the call rate of rows that expect a call against the no-call rate of the other rows.

    A margin is the logprob of the text token minus that of the most likely other token, in nats (evaluate/tradeoff.py).
    calling: the margins of the rows that expect a call. others: the margins of all other rows. biases: the biases that
    are marked on the curve.
    """
    picture = canvas(5.6, 5.2)
    axis = picture.subplots()
    thresholds = sorted({-margin for margin in (*calling, *others)})
    curve = [_point(calling, others, bias) for bias in (thresholds[0] - 1, *thresholds, thresholds[-1] + 1)]
    axis.plot(
        [100 * called.value for called, _ in curve],
        [100 * kept.value for _, kept in curve],
        color=COLOURS[0],
        linewidth=1.6,
        drawstyle="steps-post",
    )
    for bias in sorted({0.0, *biases}):
        _mark(axis, *_point(calling, others, bias), bias)
    _percent(axis.xaxis)
    _percent(axis.yaxis)
    axis.set(xlim=(-3, 103), ylim=(-3, 103), aspect="equal")
    axis.set_xlabel(f"call rate, % of {len(calling)} rows that expect calls", fontsize=9)
    axis.set_ylabel(f"no call, % of {len(others)} rows without the function", fontsize=9)
    axis.grid(axis="y", color="#eeeeee", linewidth=0.8)
    axis.set_title(f"Bias on the first token of text\n{model}", fontsize=10, loc="left")
    _plain(axis)
    return png(picture)


def _point(calling: Sequence[float], others: Sequence[float], bias: float) -> tuple[Figure, Figure]:
    called = wilson(sum(margin + bias < 0 for margin in calling), len(calling))
    return called, wilson(sum(margin + bias >= 0 for margin in others), len(others))


def _mark(axis: Axes, called: Figure, kept: Figure, bias: float) -> None:
    x, y = 100 * called.value, 100 * kept.value
    colour = COLOURS[1] if bias == 0 else COLOURS[0]
    axis.errorbar(
        [x], [y], xerr=_errors([called]), yerr=_errors([kept]), fmt="o", color=colour, markersize=5, elinewidth=0.7
    )
    label = "no bias" if bias == 0 else f"{bias:+g}"
    axis.annotate(label, (x, y), (6, 6), textcoords="offset points", fontsize=8, color=colour)


def _errors(figures: Sequence[Figure]) -> tuple[list[float], list[float]]:
    """Return the lengths of the error bars below and above the values, in percent. No length is negative.

    A bootstrap interval may not contain its own value. The error bar on that side then has length 0.
    """
    return (
        [100 * max(0.0, figure.value - figure.low) for figure in figures],
        [100 * max(0.0, figure.high - figure.value) for figure in figures],
    )


def _percent(axis: Any) -> None:
    axis.set_ticks(range(0, 101, 20))
    axis.set_tick_params(labelsize=8)


def _plain(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="x", color="#eeeeee", linewidth=0.8)
    axis.set_axisbelow(True)

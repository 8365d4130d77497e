"""Compares the results of several models: `python -m evaluate.compare DIR ... --out OUT`.

Each DIR was written by `python -m evaluate --out DIR`. OUT/comparison.md has one table per metric, with intervals. It
also compares every model with the first one on the rows that both answered. OUT/comparison.png is a plot of the
metrics.
"""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from client.json_lines import Json, write_whole
from evaluate.command_line import CommandError, end, parser
from evaluate.intervals import Figure, mcnemar
from evaluate.plots import Panel, draw_comparison
from evaluate.reports import LABELS, aligned, figures, read_result

SHOWN = ("exact_match", "name_f1", "args_f1", "call_count", "call_rate", "no_call", "valid_json", "schema_valid")
PLOTTED: dict[str, tuple[str, ...]] = {  # panel title -> metrics; plots the first one that a set has
    "exact match, or no call where none is due": ("exact_match", "no_call"),
    "arguments F1": ("args_f1",),
    "call count": ("call_count",),
    "schema-valid calls": ("schema_valid",),
}


@dataclass(frozen=True)
class Result:
    """One model's reports, by the name of the set."""

    name: str
    sets: Mapping[str, Json]

    def figure(self, of: str, metric: str) -> Figure | None:
        return figures(self.sets[of]).get(metric) if of in self.sets else None

    def is_right(self, of: str) -> dict[str, bool]:
        """Return for each row of the set `of`, by the row's key, whether the model answered it exactly right."""
        return {key: fault == "right" for key, fault in self.sets.get(of, {"rows": {}})["rows"].items()}


def read_options(argv: Sequence[str] | None = None) -> Namespace:
    options = parser("evaluate.compare", "Set results of several models side by side, the first as the one to beat.")
    options.add_argument("results", nargs="+", type=Path, metavar="DIR", help="written by `python -m evaluate --out`")
    options.add_argument("--out", type=Path, required=True, metavar="DIR", help="where table and plot are written")
    return options.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command. Exits with status 1 when there is nothing to compare."""
    end("evaluate.compare", compare(read_options(argv)))


async def compare(options: Namespace) -> int:
    results = read_results(options.results)
    sets = list(dict.fromkeys(name for result in results for name in result.sets))
    if not sets:
        raise CommandError("the results hold no set")
    text = report(results, sets)
    write_whole(options.out / "comparison.md", text)
    print(text)
    write_whole(options.out / "comparison.png", draw_comparison([one.name for one in results], panels(results, sets)))
    return 0


def read_results(folders: Sequence[Path]) -> list[Result]:
    """Read the results in the folders. Raises FileError.

    A result is named by its model, and also by its folder if another result is of the same model.
    """
    found = [(folder, read_result(folder)) for folder in folders]
    times = Counter(result["model"] for _, result in found)
    return [
        Result(result["model"] if times[result["model"]] == 1 else f"{result['model']} ({folder})", result["sets"])
        for folder, result in found
    ]


def panels(results: Sequence[Result], sets: Sequence[str]) -> list[Panel]:
    """Make the panels of the plot. A panel is left out if no result has one of its metrics."""
    found: list[Panel] = []
    for title, metrics in PLOTTED.items():
        by_set = {of: next(filter(None, (_figures(results, of, metric) for metric in metrics)), {}) for of in sets}
        if any(by_set.values()):
            found.append((title, by_set))
    return found


def _figures(results: Sequence[Result], of: str, metric: str) -> dict[str, Figure]:
    return {result.name: figure for result in results if (figure := result.figure(of, metric))}


def report(results: Sequence[Result], sets: Sequence[str]) -> str:
    """Write all tables as Markdown."""
    parts = ["# Comparison", "Percent, with 95% intervals (rates: Wilson; F1: bootstrap over rows)."]
    for metric in SHOWN:
        measured = [of for of in sets if _figures(results, of, metric)]
        if measured:
            parts += [f"## {LABELS[metric]}", aligned(list(_table(results, measured, metric)))]
    if len(results) > 1:
        parts += [
            f"## Row by row against {results[0].name}",
            "On the rows that both answered: how many only the model, and only the first one, had right, and McNemar's "
            "exact p: how often chance alone would part two equally good models so far.",
            aligned(list(_against_first(results, sets))),
        ]
    return "\n\n".join(parts) + "\n"


def _table(results: Sequence[Result], sets: Sequence[str], metric: str) -> Iterator[list[str]]:
    yield ["model", *sets]
    for result in results:
        found = [result.figure(of, metric) for of in sets]
        yield [result.name, *(f"{figure.shown()}, n={figure.n}" if figure else "" for figure in found)]


def _against_first(results: Sequence[Result], sets: Sequence[str]) -> Iterator[list[str]]:
    yield ["model, set", "rows", "only it", "only the first", "difference", "p"]
    first = results[0]
    for result in results[1:]:
        everywhere: list[tuple[bool, bool]] = []
        for of in sets:
            pairs = common(result.is_right(of), first.is_right(of))
            everywhere += pairs
            if pairs:
                yield [f"{result.name}, {of}", *_cells(pairs)]
        if everywhere:
            yield [f"{result.name}, all sets", *_cells(everywhere)]
        else:
            yield [f"{result.name}: no common row", *[""] * 5]


def common(model: Mapping[str, bool], first: Mapping[str, bool]) -> list[tuple[bool, bool]]:
    """Return a pair (model is right, first model is right) for each row that both models answered."""
    return [(model[key], first[key]) for key in model if key in first]


def _cells(pairs: Sequence[tuple[bool, bool]]) -> list[str]:
    gained, lost = sum(one and not other for one, other in pairs), sum(other and not one for one, other in pairs)
    p = mcnemar(pairs)
    difference = f"{100 * (gained - lost) / len(pairs):+.1f}"
    return [str(len(pairs)), str(gained), str(lost), difference, f"{p:.3f}" if p >= 0.001 else "< 0.001"]


if __name__ == "__main__":
    main()

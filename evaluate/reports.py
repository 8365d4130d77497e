"""Writes results to files and as Markdown tables with aligned columns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from client.json_lines import FileError, Json, write_whole
from evaluate.intervals import Figure

RESULT = "result.json"
LABELS = {
    "exact_match": "exact match",
    "name_f1": "name F1",
    "args_f1": "args F1",
    "call_count": "call count",
    "call_rate": "call rate",
    "no_call": "no call",
    "valid_json": "valid JSON",
    "schema_valid": "schema-valid",
    "empty": "empty",
}


def read_result(folder: Path) -> Json:
    """Read the result of `python -m evaluate --out FOLDER`: {"model", "sets": {name: report}}. Raises FileError."""
    path = folder / RESULT
    try:
        found: Json = json.loads(path.read_bytes())
        if isinstance(found["model"], str) and all(isinstance(of["rows"], dict) for of in found["sets"].values()):
            return found
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}; name a folder that `python -m evaluate --out` wrote") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise FileError(f"{path}: no result of `python -m evaluate`; delete it, or choose another --out")


def write_result(folder: Path, model: str, reports: Json) -> str:
    """Write result.json and table.md, and return the table. Both files keep earlier sets of the same model."""
    result: Json = {"model": model, "sets": reports}
    if (folder / RESULT).exists() and (earlier := read_result(folder))["model"] == model:
        result["sets"] = {**earlier["sets"], **reports}
    write_whole(folder / RESULT, json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    text = summary(result)
    write_whole(folder / "table.md", text)
    return text


def figures(found: Json) -> dict[str, Figure]:
    """Return the metrics of a report, converted back from JSON."""
    return {name: Figure(**value) for name, value in found["metrics"].items()}


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table. The first row is the header; the first column is aligned left, the others right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("| " + " | ".join(cells) + " |")
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([lines[0], "| " + " | ".join(rule) + " |", *lines[1:]])


def summary(result: Json) -> str:
    """Write one model's result as Markdown."""
    sets: Mapping[str, Json] = result["sets"]
    named = [(name, found) for name, found in sets.items()]
    named += [(f"{name}, {part}", {"metrics": of}) for name, found in named for part, of in found["parts"].items()]
    shown = [key for key in LABELS if any(key in found["metrics"] for _, found in named)]
    head = ["set", "rows", *(LABELS[key] for key in shown)]
    lines = [head]
    for name, found in named:
        of = figures(found)
        num = found.get("num_rows") or max((figure.n for key, figure in of.items() if key in _BY_ROW), default=0)
        lines.append([name, str(num), *(of[key].shown() if key in of else "" for key in shown)])
    note = "Percent, with 95% intervals (rates: Wilson; F1: bootstrap over rows)."
    return "\n\n".join([f"# {result['model']}", note, aligned(lines), *_remarks(sets)]) + "\n"


_BY_ROW = ("exact_match", "no_call", "call_count")  # metrics that are measured on rows, not on calls


HEADLINE = ("sealtool", "toolalpaca", "apibank_l1")  # three sets whose functions are not in the training data


def _remarks(sets: Mapping[str, Json]) -> Iterator[str]:
    """Yield the headline figure, if all sets that it needs were measured, and then the mistakes in each set."""
    exact = [figures(sets[name])["exact_match"].value for name in HEADLINE if name in sets]
    if len(exact) == len(HEADLINE):
        yield f"Mean exact match of {', '.join(HEADLINE)}: {100 * fmean(exact):.1f}"
    lines = []
    for name, found in sets.items():
        faults = ", ".join(f"{fault} {num}" for fault, num in found["faults"].items())
        gaps = [(found["num_unanswered"], "got no answer"), (found["num_broken"], "cannot be read")]
        remark = "; ".join([faults or "all right", *(f"**{num} rows {gap}**" for num, gap in gaps if num)])
        lines.append(f"* {name}: {remark}")
    if lines:
        yield "\n".join(lines)

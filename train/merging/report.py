"""Writes the report on a training set, as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from train.merging.candidates import Candidate, Candidates


def report(command: str, candidates: Candidates, taken: Mapping[str, Sequence[Candidate]]) -> str:
    """Write the report: counts by part, source and kind, rows left out by reason, and the licence of each source."""
    rows = [row for part in taken.values() for row in part]
    sources = sorted({row.source for row in rows})
    sections = [
        "# Training set",
        f"`{command}`",
        f"{_plain(rows)}. Tokens are estimated from characters; a row is seen once.",
        _parts(candidates, taken),
        _table("source", rows, lambda row: row.source),
        _table("kind", rows, lambda row: row.kind),
        _left_out(candidates),
        _licences(candidates, sources),
    ]
    return "\n\n".join(sections) + "\n"


def _parts(candidates: Candidates, taken: Mapping[str, Sequence[Candidate]]) -> str:
    lines = ["| part | weight | rows at hand | rows taken | calls | tokens |", "|---|---:|---:|---:|---:|---:|"]
    for part in candidates.mixture.parts:
        rows = taken.get(part.name, ())
        at_hand = len(candidates.by_part.get(part.name, ()))
        lines.append(f"| {part.name} | {part.questions} | {at_hand} | {_cells(rows)} |")
    return "\n".join(lines)


def _table(title: str, rows: Sequence[Candidate], key: Callable[[Candidate], str]) -> str:
    lines = [f"| {title} | rows | calls | tokens |", "|---|---:|---:|---:|"]
    for word in sorted({key(row) for row in rows}):
        lines.append(f"| {word or '-'} | {_cells([row for row in rows if key(row) == word])} |")
    return "\n".join(lines)


def _left_out(candidates: Candidates) -> str:
    lines = ["| file | left out because | rows |", "|---|---|---:|"]
    lines += [f"| {file} | {reason} | {number} |" for (file, reason), number in sorted(candidates.left_out.items())]
    held = candidates.held_out
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(Counter(row.kind for row in held).items()))
    lines += [
        "",
        f"Held out: {len(held)} rows that call {len(candidates.held_out_names)} functions ({kinds or 'none'}).",
    ]
    return "\n".join(lines)


def _licences(candidates: Candidates, sources: Sequence[str]) -> str:
    lines = [f"- {source}: {candidates.mixture.licence(source) or 'NO LICENCE LINE'}" for source in sources]
    return "\n".join(["Licences:", "", *lines])


def _plain(rows: Sequence[Candidate]) -> str:
    num_calls, num_tokens = sum(row.num_calls for row in rows), sum(row.num_tokens for row in rows)
    return f"{len(rows):,} rows, {num_calls:,} calls, {num_tokens:,} tokens"


def _cells(rows: Sequence[Candidate]) -> str:
    return f"{len(rows)} | {sum(row.num_calls for row in rows)} | {sum(row.num_tokens for row in rows)}"

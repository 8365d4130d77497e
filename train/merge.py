"""Merges all sources into one training set (step 6): `python -m train.merge --data DIR ... --out FILE.jsonl.xz`.

The mixture file says how many rows to take of which file and kind. Duplicates are left out, and so is every row with a
request of the --not-in files. Rows that call held-out functions go to a separate file. A Markdown report is written
too. Each file is written completely or not at all, and the same command gives the same files.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from tqdm import tqdm

from client.json_lines import FileError, LineError, read_lines, write_lines, write_whole
from client.rows import parse_row
from evaluate.command_line import positive
from train.merging.candidates import Candidate, Candidates
from train.merging.mixture import MIXTURE, File, Mixture, MixtureError, read_mixture, without
from train.merging.overlap import Overlap
from train.merging.report import report
from train.merging.sampling import allocate, num_questions_for, shuffled
from train.rows import NUM_SAMPLES, readable


def read_options(argv: Sequence[str] | None = None) -> Namespace:
    parser = argparse.ArgumentParser("python -m train.merge", description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--data", nargs="+", type=Path, required=True, metavar="DIR", help="folders with the files")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=".jsonl or .jsonl.xz")
    parser.add_argument("--mixture", type=Path, default=MIXTURE, metavar="FILE", help="TOML (default: %(default)s)")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--questions", type=positive, metavar="N", help="rows in all; the mixture's numbers are weights")
    size.add_argument("--tokens", type=positive, metavar="N", help="the same by tokens, as estimated from characters")
    parser.add_argument(
        "--not-in", nargs="+", default=[], type=Path, metavar="FILE", help="leave out rows with requests of these sets"
    )
    parser.add_argument("--exclude", nargs="+", default=[], metavar="SOURCE", help="files or sources to leave out")
    parser.add_argument("--held-out", type=Path, metavar="FILE", help="default: FILE.held_out.jsonl.xz beside --out")
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice and the order (default: 0)")
    parser.add_argument("--dry-run", action="store_true", help="write nothing; show the report and three rows")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command. Exits with status 1 and an error message when no training set was written."""
    options = read_options(argv)
    words = sys.argv[1:] if argv is None else argv
    command = shlex.join(["python", "-m", "train.merge", *(Path(word).name or word for word in words)])
    try:
        merge(options, command)
    except (MixtureError, FileError) as error:
        sys.exit(f"merge: {error}")
    except KeyboardInterrupt:
        sys.exit("merge: interrupted; no set was written")


def merge(options: Namespace, command: str) -> None:
    """Read the sources, choose rows and write the training set. Raises MixtureError and FileError."""
    mixture = without(read_mixture(options.mixture), options.exclude)
    paths = found_files(mixture, options.data)
    mixture = mixture.model_copy(update={"parts": [part for part in mixture.parts if part.file in paths]})
    candidates = Candidates(mixture, Overlap(options.not_in), options.exclude)
    for name in mixture.file_names():
        for path in paths.get(name, ()):
            candidates.add(name, tqdm(read_lines(path), desc=name, unit=" rows", leave=False), on_bad=_skip)
    taken = chosen(candidates, options)
    for note in notes(candidates, taken):
        print(f"merge: {note}", file=sys.stderr)
    rows = [row for part in taken.values() for row in part]
    if not rows:
        raise MixtureError("no row is left that could be taken")
    rows.sort(key=lambda row: row.line)  # the order of the parts in the mixture must not change the result
    Random(f"{options.seed} order").shuffle(rows)
    text = report(command, candidates, taken)
    if options.dry_run:
        print("\n".join(readable(parse_row(row.line, row.where)) for row in rows[:NUM_SAMPLES]))
        print(text, end="")
        return
    _write(options, rows, candidates.held_out, text)


def found_files(mixture: Mixture, folders: Sequence[Path]) -> dict[str, list[Path]]:
    """Find each file in the first folder that has it, as NAME.jsonl.xz or NAME.jsonl.

    A file that is not found is replaced by the files in its `made_of` list. Raises MixtureError if a file that is not
    optional is missing.
    """
    paths: dict[str, list[Path]] = {}
    for name in mixture.file_names():
        file = mixture.files.get(name, File())
        own, parts = _found(name, folders), [_found(part, folders) for part in file.made_of]
        if found := [own] if own else [path for path in parts if path]:
            paths[name] = found
        elif file.optional:
            print(f"merge: note: without {name!r}, which is optional and not there", file=sys.stderr)
        else:
            where = " or ".join(str(folder) for folder in folders)
            made = f"make it with `{file.made_by}`, or " if file.made_by else ""
            raise MixtureError(f"{name}.jsonl.xz is not in {where}; {made}leave it out with --exclude {name}")
    return paths


def _found(name: str, folders: Sequence[Path]) -> Path | None:
    tried = (folder / f"{name}{suffix}" for folder in folders for suffix in (".jsonl.xz", ".jsonl"))
    return next((path for path in tried if path.is_file()), None)


def chosen(candidates: Candidates, options: Namespace) -> dict[str, list[Candidate]]:
    """Choose the rows to take, by the name of the part."""
    parts = candidates.mixture.parts
    orders = shuffled({part.name: candidates.by_part.get(part.name, []) for part in parts}, options.seed)
    weights = [float(part.questions) for part in parts]
    total = options.questions or sum(part.questions for part in parts)
    if options.tokens:
        total = num_questions_for(options.tokens, weights, list(orders.values()))
    counts = allocate(weights, [len(rows) for rows in orders.values()], total)
    return {name: rows[:count] for (name, rows), count in zip(orders.items(), counts, strict=True)}


def notes(candidates: Candidates, taken: dict[str, list[Candidate]]) -> Iterator[str]:
    """Yield warnings about parts whose rows are all taken, empty parts, and sources without a licence."""
    at_hand = sum(len(rows) for rows in candidates.by_part.values())
    if sum(map(len, taken.values())) == at_hand:
        yield f"note: these are all {at_hand} rows that there are"
    for part in candidates.mixture.parts:
        if not candidates.by_part.get(part.name):
            yield f"note: no row for the part {part.name!r}"
    sources = {row.source for rows in taken.values() for row in rows}
    for source in sorted(source for source in sources if not candidates.mixture.licence(source)):
        yield f"note: the mixture has no licence line for the source {source!r}"


def _skip(error: LineError) -> None:
    tqdm.write(f"left out: {error}", file=sys.stderr)


def _write(options: Namespace, rows: Sequence[Candidate], held_out: Sequence[Candidate], text: str) -> None:
    stem = options.out.name.removesuffix(".xz").removesuffix(".jsonl")
    held_out_path = options.held_out or options.out.with_name(f"{stem}.held_out.jsonl.xz")
    report_path = options.out.with_name(f"{stem}.report.md")
    for path, part in ((held_out_path, held_out), (options.out, rows)):
        write_lines(path, (row.line for row in tqdm(part, desc=path.name, unit=" rows", leave=False)))
    write_whole(report_path, text)
    print(f"{options.out}: {len(rows)} rows; {held_out_path}: {len(held_out)} rows; {report_path}")


if __name__ == "__main__":
    main()

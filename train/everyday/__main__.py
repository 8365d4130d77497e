"""Generates rows about everyday functions from templates: `python -m train.everyday --out FILE.jsonl[.xz]`.

Equal seeds give equal rows, and a larger number of rows begins with the rows of a smaller one. Finished rows are stored
in a hidden file beside FILE until FILE is written. After an interruption the same command resumes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from client.json_lines import FileError, read_lines, write_lines
from train.everyday.generator import Generator, NoMoreRows
from train.everyday.part_file import PartFile
from train.rows import NUM_SAMPLES, readable


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        sys.exit(f"everyday: {message}")


def read_options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse and check the options. Exits with status 1 and a message for a wrong option."""
    parser = _Parser("python -m train.everyday", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--out", type=Path, metavar="FILE", help=".jsonl or .jsonl.xz; needed without --dry-run")
    parser.add_argument("--rows", type=int, default=20_000, metavar="N", help="number of rows (default: 20000)")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--dry-run", action="store_true", help=f"show {NUM_SAMPLES} rows and write nothing")
    options = parser.parse_args(argv)
    if options.rows < 1:
        parser.error(f"--rows is {options.rows}; at least 1 row is needed")
    if options.out is None and not options.dry_run:
        parser.error("--out is missing: name a .jsonl or .jsonl.xz file, or use --dry-run")
    if options.out and not options.out.name.endswith((".jsonl", ".jsonl.xz")):
        parser.error(f"--out is {options.out.name!r}; its name has to end in .jsonl or .jsonl.xz")
    return options


def main(argv: Sequence[str] | None = None) -> None:
    options = read_options(argv)
    try:
        if options.dry_run:
            print("\n".join(readable(row) for row in Generator(options.seed).rows(0, NUM_SAMPLES)))
            return
        count = generate(options.out, options.rows, options.seed)
    except (FileError, NoMoreRows) as error:
        sys.exit(f"everyday: {error}")
    except KeyboardInterrupt:
        sys.exit("everyday: interrupted; the same command resumes")
    print(f"{options.out}: {count:,} rows")


def generate(path: Path, num_rows: int, seed: int) -> int:
    """Write the rows and return their number. Resumes an interrupted run. Raises FileError or NoMoreRows."""
    generator = Generator(seed)
    with PartFile(path, generator, num_rows) as part:
        rows = generator.rows(part.num_rows, num_rows)
        for row in tqdm(rows, "rows", total=num_rows, initial=part.num_rows, file=sys.stderr):
            part.write(row)
    count = write_lines(path, (line for line, _ in read_lines(part.path)))
    part.path.unlink()
    return count


if __name__ == "__main__":
    main()

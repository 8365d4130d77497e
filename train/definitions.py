"""Step 1 of the pipeline checks function definitions: `python -m train.definitions --out FILE.jsonl SOURCE ...`.

A SOURCE is a JSON or JSON-lines file of functions, an OpenAPI 3.x or Swagger 2 document (.json, .yaml), or a Python
file, which is parsed and never run. Each output line is {"function", "source": "file#where", "typescript"}. Definitions
that cannot be used go to FILE.rejects.jsonl with the reason. Both files are replaced each time, completely or not at
all.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from agent.definitions.candidates import Candidate, Unfit, declared
from agent.definitions.references import Inliner
from agent.definitions.sources import candidates
from client.json_lines import FileError, Json, write_lines
from client.rows import function_json
from core.conversation import Function
from core.errors import RequestError
from schema import typescript
from train.rows import NUM_SAMPLES, rejects_path

MAX_PRINTED = 8_000  # characters of TypeScript, about 2,000 tokens; a longer definition leaves no space for other ones


class Definitions(NamedTuple):
    """The lines of the two output files, and a message for each source that could not be read."""

    good: list[Json]
    rejects: list[Json]
    faults: list[str]


def collect(paths: Sequence[Path]) -> Definitions:
    """Read and check all functions of all sources."""
    found = Definitions([], [], [])
    seen: dict[str, str] = {}
    for path in tqdm(paths, desc="definitions"):
        try:
            for candidate in candidates(path):
                _add(path, candidate, found, seen)
        except FileError as error:
            found.faults.append(str(error))
    return found


def _add(path: Path, candidate: Candidate, found: Definitions, seen: dict[str, str]) -> None:
    """Add a candidate to the definitions or to the rejects. `seen` maps a definition's TypeScript to its source."""
    source = f"{path.name}#{candidate.where}"  # no folder, since folders differ between machines
    try:
        function = checked(candidate)
        shown = typescript([function])
        if len(shown) > MAX_PRINTED:
            raise Unfit(f"it has {len(shown)} characters once printed, the limit is {MAX_PRINTED}")
        if shown in seen:
            raise Unfit(f"the same definition as {seen[shown]}")
        seen[shown] = source
        found.good.append({"function": function_json(function), "source": source, "typescript": shown})
    except (Unfit, RequestError) as error:
        place = f"{path}:{candidate.line}" if candidate.line else f"{path}#{candidate.where}"
        found.rejects.append({"where": place, "reason": str(error), "function": candidate.function})


def checked(candidate: Candidate) -> Function:
    """Check a definition and resolve its references. Raises Unfit if it cannot be used for training."""
    if candidate.function is None:
        raise Unfit(candidate.fault)
    function = dict(candidate.function)
    if isinstance(parameters := function.get("parameters"), dict):
        own = {key: value for key, value in parameters.items() if key not in ("$defs", "definitions")}
        function["parameters"] = Inliner(parameters).schema(own)
    result = declared(function)
    if not result.description.strip():
        raise Unfit("it has no description, so nobody can tell what it is for")
    schema = result.parameters or {}
    if unknown := set(schema.get("required", ())) - schema.get("properties", {}).keys():
        raise Unfit(f"'required' names {min(unknown)!r}, which is no property")
    return result


def _line(value: Json) -> bytes:
    """Write a value as one line of JSON. YAML values that JSON lacks, such as binary data, are written with str()."""
    return json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "replace")


def samples(found: Definitions) -> Iterator[str]:
    """Yield the first definitions and rejects as text, for a dry run."""
    for line in found.good[:NUM_SAMPLES]:
        yield f"{line['source']}\n{json.dumps(line['function'], ensure_ascii=False)}\n{line['typescript']}\n"
    yield from (f"rejected: {reject['where']}: {reject['reason']}" for reject in found.rejects[:NUM_SAMPLES])


def read_options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m train.definitions", description="Functions from files, checked.")
    parser.add_argument("sources", nargs="+", type=Path, metavar="SOURCE", help=".json, .jsonl[.xz], .yaml or .py")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.jsonl")
    parser.add_argument("--dry-run", action="store_true", help="show three samples and write nothing")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command. Exits with status 1 if there is no definition."""
    options = read_options(argv)
    found = collect(options.sources)
    for fault in found.faults:
        print(f"definitions: {fault}", file=sys.stderr)
    if options.dry_run:
        print("\n".join(samples(found)))
    else:
        try:
            write_lines(options.out, map(_line, found.good))
            write_lines(rejects_path(options.out), map(_line, found.rejects))
        except FileError as error:
            sys.exit(f"definitions: {error}")
    rejected = f", {len(found.rejects)} rejected" + ("" if options.dry_run else f" ({rejects_path(options.out)})")
    print(f"definitions: {len(found.good)} functions{rejected if found.rejects else ''}", file=sys.stderr)
    sys.exit(0 if found.good else 1)


if __name__ == "__main__":
    main()

"""Defines the command line that the four teacher steps share: options, dry run, messages and exit status."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from client.endpoints import HttpEndpoint, Unusable
from client.json_lines import FileError
from client.rows import Row, row_text
from evaluate.command_line import json_object, positive, seconds
from train.rows import NUM_SAMPLES
from train.teacher.files import StepOutput
from train.teacher.run import Step, StepRun

KEY_VARIABLE = "TEACHER_API_KEY"
MAX_SHOWN = 10  # the most messages of one sort that are shown
FIRST_WAIT_S = 0.5  # the wait before the first retry of a request without an answer; it doubles with each retry


def parser(name: str, description: str | None) -> ArgumentParser:
    """Return a parser with the options of every step. `description` is the module's docstring."""
    first = (description or "").partition(": ")[2].split("\n\n")[0]
    made = ArgumentParser(f"python -m train.{name}", description=first)
    made.add_argument("--in", dest="source", type=Path, required=True, metavar="FILE", help=".jsonl or .jsonl.xz")
    made.add_argument("--out", type=Path, required=True, metavar="FILE.jsonl", help="resumes if the file exists")
    made.add_argument("--teacher-url", metavar="URL", help="an OpenAI-compatible server: http://localhost:8000/v1")
    made.add_argument("--teacher-model", metavar="NAME", help="the model's name there")
    made.add_argument("--api-key", type=_key, default=os.environ.get(KEY_VARIABLE, ""), help=f"or set {KEY_VARIABLE}")
    made.add_argument("--in-flight", type=positive, default=8, metavar="N", help="requests at once (default: 8)")
    made.add_argument(
        "--retries", type=_count, default=2, metavar="N", help="further requests after a bad answer (default: 2)"
    )
    made.add_argument("--rows", type=positive, metavar="N", help="take the first N lines of the input only")
    made.add_argument("--seed", type=int, default=0, help="the seed of all requests (default: 0)")
    made.add_argument(
        "--body", type=json_object, default={}, metavar="JSON", help="fields to set in each request; null drops a field"
    )
    made.add_argument(
        "--timeout", type=seconds, default=300.0, metavar="S", help="seconds to wait for one answer (default: 300)"
    )
    made.add_argument("--dry-run", action="store_true", help="show three requests; send and write nothing")
    return made


def parse_options(options: ArgumentParser, argv: Sequence[str] | None) -> Namespace:
    """Parse and check the options. Exits with status 2 and a message for wrong ones."""
    found = options.parse_args(argv)
    if not found.dry_run and not (found.teacher_url and found.teacher_model):
        options.error("--teacher-url and --teacher-model say whom to ask; --dry-run shows what would be asked")
    if found.out.suffix != ".jsonl":
        options.error(f"--out {found.out}: must end with .jsonl, since rows are added one by one")
    if found.out.absolute() == found.source.absolute():
        options.error("--in and --out are the same file")
    return found


def main(step: Step, options: Namespace) -> int:
    """Run a step. Returns the exit status: 0 if every row is kept or rejected and at least one is kept, else 1."""
    try:
        rows, faults = step.read(options.source, options.seed)
        for fault in faults[:MAX_SHOWN]:
            _print_error(f"left out: {fault}")
        if len(faults) > MAX_SHOWN:
            _print_error(f"left out: {len(faults) - MAX_SHOWN} lines more")
        if not rows:
            _print_error(f"{step.name}: {options.source}: no line that this step can use")
            return 1
        if options.dry_run:
            return _show(step, rows[: options.rows])
        return asyncio.run(_run_step(step, rows, options))
    except (FileError, Unusable) as error:
        _print_error(f"{step.name}: {error}")
    except BrokenPipeError:  # the reader of a dry run, such as `head`, may close the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        place = error.filename or options.out
        _print_error(f"{step.name}: {place}: cannot be written: {error.strerror or error}; finished rows are kept")
    except KeyboardInterrupt:
        _print_error(f"{step.name}: interrupted; the same command resumes from {options.out}")
    return 1


async def _run_step(step: Step, rows: Sequence[Row], options: Namespace) -> int:
    with StepOutput(options.out, {row.key for row in rows}) as kept:
        teacher = HttpEndpoint(
            options.teacher_url,
            options.teacher_model,
            api_key=options.api_key,
            timeout_s=options.timeout,
            first_wait_s=FIRST_WAIT_S,
        )
        run = StepRun(step, teacher, kept, options.seed, options.body, options.retries + 1, in_flight=options.in_flight)
        try:
            async with teacher:
                await run.ask(rows[: options.rows])
        finally:
            _summary(run)
        return 1 if run.stopped_by or run.problems or not kept.num_rows else 0


def _summary(run: StepRun) -> None:
    kept = run.kept
    for problem in run.problems[:MAX_SHOWN]:
        _print_error(f"no answer: {problem}")
    if run.stopped_by:
        _print_error(f"{run.step.name}: stopped: {run.stopped_by}; the same command resumes from {kept.path}")
    rejected = f", {kept.num_rejects} rejected ({kept.rejects})" if kept.num_rejects else ""
    unanswered = f", {len(run.problems)} without an answer" if run.problems else ""
    _print_error(f"{run.step.name}: {kept.num_rows} rows in {kept.path}{rejected}{unanswered}")


def _show(step: Step, rows: Sequence[Row]) -> int:
    """Print the first input rows and the requests for them. Line breaks in texts are printed as line breaks."""
    for row in rows[:NUM_SAMPLES]:
        asked = json.dumps(step.request(row, 0), ensure_ascii=False, indent=1).replace("\\n", "\n")
        print(f"# {row.where}\n{row_text(row)}\n# asks\n{asked}\n", flush=True)
    return 0


def _print_error(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or more")
    return int(text)


def _key(text: str) -> str:
    """Return the API key if an HTTP header can hold it."""
    if not (text.isascii() and text.isprintable()):
        raise argparse.ArgumentTypeError("a key is made of printable ASCII characters")
    return text

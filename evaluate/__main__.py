"""`python -m evaluate --set FILE ... --out DIR` measures a model on sets of rows.

Without --base-url the model (the embedded model, or --model) is loaded into this process. Each answer is written to DIR
at once. After an interruption the same command continues and repeats no request. DIR/result.json and DIR/table.md give
the figures of all rows that got an answer.
"""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from client.endpoints import Endpoint
from client.json_lines import Json
from evaluate.answers import Answers
from evaluate.benchmarks import CallSet, ChatSet, Everyday, NoCallSet, SgdNextCall
from evaluate.command_line import (
    KEY_VARIABLE,
    CommandError,
    add_server_options,
    end,
    json_object,
    parser,
    positive,
    server,
)
from evaluate.local import BASELINES, EngineEndpoint, FirstFunction, load
from evaluate.reports import write_result
from evaluate.run import EvaluationRun

SEED = 0  # the seed of every request, and of the shuffle before --limit
MAX_PROBLEMS_SHOWN = 10
CLASSES: dict[str, type[CallSet]] = {"sgd_dev": SgdNextCall, "everyday": Everyday, "chat_prompts": ChatSet}


def read_options(argv: Sequence[str] | None = None) -> Namespace:
    options = parser("evaluate", __doc__)
    add = options.add_argument
    add("--set", dest="sets", nargs="+", default=[], type=Path, metavar="FILE", help=".jsonl or .jsonl.xz")
    add("--no-call", nargs="+", default=[], type=Path, metavar="FILE", help="files to ask without the right function")
    add("--out", type=Path, required=True, metavar="DIR", help="where answers and figures are kept")
    add("--base-url", metavar="URL", help=f"an OpenAI-compatible server, ending with /v1; its key in {KEY_VARIABLE}")
    add("--model", help="its name there; without --base-url a folder or a name on the hub")
    add("--adapter", default="", metavar="DIR", help="other than the embedded model's own; `none` for the bare base")
    add("--arguments", choices=("schema", "free"), help="as the server's option; without --base-url only")
    add("--baseline", choices=BASELINES, help="no model: always the first function, without arguments")
    add("--limit", type=positive, metavar="N", help="rows a set: the first N of a seeded shuffle")
    add("--body", type=json_object, default={}, metavar="JSON", help="further fields of every request")
    add_server_options(options, in_flight=16)
    chosen = options.parse_args(argv)
    if not chosen.sets and not chosen.no_call:
        options.error("name at least one file with --set or --no-call")
    if chosen.base_url and (chosen.baseline or chosen.adapter or chosen.arguments):
        options.error("--adapter, --arguments and --baseline have nothing to do with the server at --base-url")
    return chosen


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command. Exits with status 1 when nothing was measured or some rows got no answer."""
    end("evaluate", measure(read_options(argv)))


async def measure(options: Namespace) -> int:
    """Measure all sets and write the result after each. Returns the exit status."""
    sets = [benchmark(path) for path in options.sets]
    sets += [NoCallSet(*options.no_call)] if options.no_call else []
    for fault in dict.fromkeys(fault for one in sets for fault in one.faults):
        print(f"evaluate: left out: {fault}", file=sys.stderr)
    if twice := [name for name, num in Counter(one.name for one in sets).items() if num > 1]:
        raise CommandError(
            f"two sets are called '{twice[0]}', but results are kept by name: measure them into two --out"
        )
    reports: Json = {}
    is_whole, text = True, ""
    async with endpoint(options) as asked:
        for one in sets:
            report, stopped_by = await answered(one, asked, options)
            is_whole = is_whole and not stopped_by and not report["num_unanswered"]
            if report["num_rows"]:
                reports[one.name] = report
                text = write_result(options.out, asked.model, reports)
            if stopped_by:
                print(f"evaluate: stopped: {stopped_by}", file=sys.stderr)
                break
    print(text or "evaluate: nothing was measured", file=sys.stdout if text else sys.stderr)
    return 0 if is_whole and text else 1


def benchmark(path: Path) -> CallSet:
    """Choose the benchmark for a file by the file's name."""
    kind = CLASSES.get(path.name.removesuffix(".xz").removesuffix(".jsonl"), CallSet)
    return kind(path)


@asynccontextmanager
async def endpoint(options: Namespace) -> AsyncIterator[Endpoint]:
    """Open the endpoint that the options choose. Raises Unusable or ModelError."""
    if options.baseline:
        yield FirstFunction()
        return
    if options.base_url:
        async with server(options.base_url, options.model or "", options.timeout) as asked:
            yield asked
        return
    model, name = await asyncio.to_thread(load, options.model, options.adapter, options.arguments)
    try:
        yield EngineEndpoint(model, name, timeout_s=options.timeout)
    finally:
        await model.engine.close()


async def answered(one: CallSet, asked: Endpoint, options: Namespace) -> tuple[Json, str]:
    """Request the answers of a set. Returns the report, and why the program must stop ("" if it can continue)."""
    body = {"temperature": 0, "seed": SEED, "max_tokens": one.max_tokens, **options.body}
    rows = one.sample(options.limit, SEED)
    with Answers(options.out / f"{one.name}.jsonl", {"set": one.name, "model": asked.model, "body": body}) as answers:
        run = EvaluationRun(asked, answers, body, in_flight=options.in_flight)
        await run.ask(rows)
        for problem in run.problems[:MAX_PROBLEMS_SHOWN]:
            print(f"evaluate: no answer: {problem}", file=sys.stderr)
        return {"body": body, **one.report(rows, answers.by_key)}, run.stopped_by


if __name__ == "__main__":
    main()

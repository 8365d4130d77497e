"""Lets a model judge answers.

`python -m evaluate.judge single|pairwise --set FILE --answers A [B] --judge-url URL --judge-model NAME --out DIR`

The judge is any model behind an OpenAI-compatible server. `single` asks it for a grade from 1 to 10 for each answer
that `python -m evaluate` wrote. `pairwise` asks it which of two answers is better, in both orders. An answer wins only
if it wins in both orders.

DIR/single.jsonl has the judge's answers. Each is written at once, and the same command continues after an interruption.
DIR/single-verdicts.jsonl has the parsed verdicts, DIR/single-unparsable.jsonl the answers without a verdict, and
DIR/single.json the figures. The files of `pairwise` have the same endings.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from client.endpoints import Answer
from client.json_lines import Json, json_line, write_lines, write_whole
from client.rows import Row
from evaluate.answers import Answers, read_answers
from evaluate.benchmarks import CallSet
from evaluate.command_line import KEY_VARIABLE, CommandError, add_server_options, end, json_object, parser, positive
from evaluate.command_line import server as server_at
from evaluate.judge_prompts import pairwise_prompt, read_grade, read_verdict, single_prompt
from evaluate.run import EvaluationRun
from evaluate.verdicts import Judgement, pairwise_report, shown, single_report

SEED = 0
MAX_TOKENS = 512  # enough for a reason of two or three sentences and the verdict
MAX_PROBLEMS_SHOWN = 10


def read_options(argv: Sequence[str] | None = None) -> Namespace:
    options = parser("evaluate.judge", "Let a model judge answers that `python -m evaluate` kept.")
    add = options.add_argument
    add("kind", choices=("single", "pairwise"))
    add("--set", dest="asked", type=Path, required=True, metavar="FILE", help="the rows that were asked")
    add("--answers", nargs="+", action="extend", type=Path, required=True, metavar="FILE", help="DIR/SET.jsonl, or DIR")
    add("--judge-url", required=True, metavar="URL", help=f"ends with /v1; its key in {KEY_VARIABLE}")
    add("--judge-model", default="", metavar="NAME", help="default: the first one listed there")
    add("--out", type=Path, required=True, metavar="DIR", help="where verdicts and figures are kept")
    add("--limit", type=positive, metavar="N", help="rows: the first N of a seeded shuffle")
    add("--body", type=json_object, default={}, metavar="JSON", help="further fields of every request")
    add_server_options(options, in_flight=4)
    chosen = options.parse_args(argv)
    wanted = {"single": 1, "pairwise": 2}[chosen.kind]
    if len(chosen.answers) != wanted:
        options.error(f"{chosen.kind} takes {wanted} of --answers, got {len(chosen.answers)}")
    return chosen


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command. Exits with status 1 when no verdict could be parsed or some verdicts are missing."""
    end("evaluate.judge", judge(read_options(argv)))


async def judge(options: Namespace) -> int:
    """Request all verdicts and write the report. Returns the exit status."""
    one = CallSet(options.asked)
    given = [_answers(path, one.name) for path in options.answers]
    rows = [row for row in one.sample(None, SEED) if all(row.key in answers for _, answers in given)][: options.limit]
    if not rows:
        raise CommandError(f"no row of {options.asked} has an answer in {' and in '.join(map(str, options.answers))}")
    questions = [question for row in rows for question in questions_on(row, [answers[row.key] for _, answers in given])]
    names = [str(about.get("model", "")) for about, _ in given]
    body = {"temperature": 0, "seed": SEED, "max_tokens": MAX_TOKENS, **options.body}
    path: Path = options.out / f"{options.kind}.jsonl"
    async with server_at(options.judge_url, options.judge_model, options.timeout) as asked:
        about = {"kind": options.kind, "judge": asked.model, "judged": names, "body": body}
        with Answers(path, about) as verdicts:
            run = EvaluationRun(asked, verdicts, body, in_flight=options.in_flight)
            await run.ask([question.asked for question in questions])
    for problem in [*run.problems[:MAX_PROBLEMS_SHOWN], *([f"stopped: {run.stopped_by}"] if run.stopped_by else [])]:
        print(f"evaluate.judge: {problem}", file=sys.stderr)
    report = _report(options.kind, questions, verdicts.by_key, path)
    write_whole(path.with_suffix(".json"), json.dumps({**about, **report}, indent=1, ensure_ascii=False) + "\n")
    print(shown(options.kind, asked.model, names, report))
    return 0 if report["num_judged"] and not report["num_unanswered"] else 1


def _answers(path: Path, name: str) -> tuple[Json, dict[str, Answer]]:
    return read_answers(path / f"{name}.jsonl" if path.is_dir() else path)


@dataclass(frozen=True)
class Question:
    """One request to the judge.

    key: the key of the judged row. asked: the request, as a row. is_swapped: the second answer of the pair is shown as
    A.
    """

    key: str
    asked: Row
    is_swapped: bool = False


def questions_on(row: Row, answers: Sequence[Answer]) -> list[Question]:
    """Make the requests to the judge about one row: one for a single answer; two for a pair, one in each order."""
    if len(answers) == 1:
        return [Question(row.key, Row((), single_prompt(row, answers[0]), where=row.where))]
    first, second = answers
    return [
        Question(row.key, Row((), pairwise_prompt(row, first, second), where=row.where)),
        Question(row.key, Row((), pairwise_prompt(row, second, first), where=row.where), is_swapped=True),
    ]


def _report(kind: str, questions: Sequence[Question], answers: Mapping[str, Answer], path: Path) -> Json:
    """Compute the figures. The parsed verdicts and the unparsable answers are written to files beside `path`."""
    verdict: Callable[[str], float | str | None] = read_grade if kind == "single" else read_verdict
    judgements = []
    for question in questions:
        if answer := answers.get(question.asked.key):
            text = answer.text or answer.error
            judgements.append(Judgement(question.key, text, verdict(text), question.is_swapped))
    read = [json_line(asdict(one)) for one in judgements if one.verdict is not None]
    unread = [json_line(asdict(one)) for one in judgements if one.verdict is None]
    write_lines(path.with_name(f"{path.stem}-verdicts.jsonl"), read)
    write_lines(path.with_name(f"{path.stem}-unparsable.jsonl"), unread)
    report = single_report(judgements) if kind == "single" else pairwise_report(judgements)
    return {**report, "num_unanswered": len(questions) - len(judgements)}


if __name__ == "__main__":
    main()

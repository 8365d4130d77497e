"""Measures missed calls against false calls: `python -m evaluate.tradeoff --set FILE ... --out DIR`.

In turn formats that name the recipient first (`>>>all` or `>>>NAME`), the first token of a turn decides between text
and a call. A bias on the text token at this position alone trades missed calls for false calls. OpenAI's `logit_bias`
acts at every position and therefore cannot be used.

One forward per row gives the margin: the logprob of the text token minus that of the most likely other token. A turn is
text when margin + bias >= 0, so the margin gives the outcome for every bias without generating anything. Every first
token other than the text token counts as a call, which is true only for models that were trained for the format.

Each row is used twice: as it is (a call is right), and without the function that it expects (text is right). Margins
are written to DIR at once. After an interruption the same command continues.
"""

from __future__ import annotations

import asyncio
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

from apis.chat_completions import chat_request
from client.endpoints import Answer, NoAnswer
from client.json_lines import Json, write_whole
from core.errors import EngineError, RequestError
from core.generation import Sampling
from evaluate.answers import Answers
from evaluate.benchmarks import CallSet, NoCallSet
from evaluate.command_line import CommandError, add_server_options, end, number, parser, positive
from evaluate.intervals import wilson
from evaluate.local import load
from evaluate.plots import draw_tradeoff
from evaluate.reports import aligned
from evaluate.run import EvaluationRun
from inference import Model, chat_prompt
from prompt_template import Piece

SEED = 0
BIASES = (-4.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0)
TEXT_BIAS = 100.0  # large enough to always sample the text token, since only the sampled token's logprob is reported
MAX_PROBLEMS_SHOWN = 10


class FirstTokenEndpoint:
    """Answers a request with the margin of the text token over the best other first token of the turn, in nats."""

    def __init__(self, model: Model, name: str = "", *, timeout_s: float = 300.0) -> None:
        self.model = name or model.names[0]
        self._model = model
        self._timeout_s = timeout_s
        self._text_id = self._first_id(model.template.text_head)

    async def answer(self, body: Json) -> Answer:
        """Return the margin as `text`, or an `error` if the first token does not decide. Raises NoAnswer."""
        started = time.monotonic()
        try:
            request = chat_request({"model": self._model.names[0], **body})
            for tool in request.tools:
                if self._first_id(self._model.template.call_head(tool.name)) == self._text_id:
                    return Answer(error=f"'{tool.name}' begins with the same token as text")
            async with asyncio.timeout(self._timeout_s):
                margin = await self._margin(chat_prompt(self._model, request))
        except RequestError as error:
            return Answer(error=error.message)
        except (EngineError, TimeoutError) as error:
            raise NoAnswer(f"{self.model}: {error or 'no answer in time'}") from None
        return Answer(text=repr(margin), seconds=round(time.monotonic() - started, 3))

    async def _margin(self, prompt_ids: Sequence[int]) -> float:
        sampling = Sampling(max_tokens=1, temperature=0.0, logit_bias=((self._text_id, TEXT_BIAS),), logprobs=2)
        async with aclosing(self._model.engine.generate(prompt_ids, sampling)) as steps:
            async for step in steps:
                note = step.logprobs[0]  # the reported logprobs do not include the bias
                if note.token_id == self._text_id:
                    return note.logprob - max(logprob for token_id, logprob in note.top if token_id != self._text_id)
        raise EngineError("the first token's probabilities were not reported")

    def _first_id(self, head: str) -> int:
        """Return the id of the first token of `head` at the beginning of a turn."""
        opening, tokenizer = self._model.template.opening, self._model.tokenizer
        before = tokenizer.encode([opening]).ids
        after = tokenizer.encode([opening, Piece(head, markup=True, learned=True)]).ids
        if after[: len(before)] != before or len(after) == len(before):
            raise CommandError(f"in {self._model.template.name} no first token tells text from calls")
        return after[len(before)]


def read_options(argv: Sequence[str] | None = None) -> Namespace:
    options = parser("evaluate.tradeoff", "Show what a bias on the first token does to missed and to false calls.")
    add = options.add_argument
    add("--set", dest="sets", nargs="+", type=Path, required=True, metavar="FILE", help=".jsonl or .jsonl.xz")
    add("--out", type=Path, required=True, metavar="DIR", help="where margins, table and plot are kept")
    add("--model", help="a folder or a name on the hub; default: the embedded model")
    add("--adapter", default="", metavar="DIR", help="other than the embedded model's own; `none` for the bare base")
    add("--limit", type=positive, metavar="N", help="rows of each kind: the first N of a seeded shuffle")
    add("--biases", nargs="+", type=number, default=BIASES, metavar="B", help="on the token of text, in nats")
    add_server_options(options, in_flight=4)
    return options.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command. Exits with status 1 when nothing was measured or some rows got no answer."""
    end("evaluate.tradeoff", tradeoff(read_options(argv)))


async def tradeoff(options: Namespace) -> int:
    """Compute all margins and write the table and the plot. Returns the exit status."""
    calling, others = CallSet(*options.sets, name="calls"), NoCallSet(*options.sets)
    model, name = await asyncio.to_thread(load, options.model, options.adapter)
    try:
        asked = FirstTokenEndpoint(model, name, timeout_s=options.timeout)
        margins, is_whole = [], True
        for one in (calling, others):
            found, was_whole, stopped_by = await margins_of(one, asked, options)
            if stopped_by:
                raise CommandError(f"stopped: {stopped_by}")
            margins.append(found)
            is_whole = is_whole and was_whole
    finally:
        await model.engine.close()
    if not all(margins):
        raise CommandError("nothing was measured: rows with a call and rows without one are both needed")
    text = report(asked.model, margins[0], margins[1], sorted({0.0, *options.biases}))
    write_whole(options.out / "tradeoff.md", text)
    print(text)
    write_whole(options.out / "tradeoff.png", draw_tradeoff(asked.model, margins[0], margins[1], options.biases))
    return 0 if is_whole else 1


async def margins_of(one: CallSet, asked: FirstTokenEndpoint, options: Namespace) -> tuple[list[float], bool, str]:
    """Compute the margin of each row of a set: how much more likely text is than a call (see the module's docstring).

    Returns the margins, whether every row got an answer, and why the program must stop ("" if it can continue).
    """
    rows = [row for row in one.sample(None, SEED) if row.expected or isinstance(one, NoCallSet)][: options.limit]
    about = {"set": one.name, "model": asked.model, "kind": "margin of text at the first token"}
    with Answers(options.out / f"margins-{one.name}.jsonl", about) as answers:
        run = EvaluationRun(asked, answers, {}, in_flight=options.in_flight)
        await run.ask(rows)
    for problem in run.problems[:MAX_PROBLEMS_SHOWN]:
        print(f"evaluate.tradeoff: {problem}", file=sys.stderr)
    given = [answers.by_key[row.key] for row in rows if row.key in answers.by_key]
    errors = [answer.error for answer in given if answer.error]
    if errors:
        print(f"evaluate.tradeoff: {len(errors)} rows left out, the first: {errors[0]}", file=sys.stderr)
    return [float(answer.text) for answer in given if not answer.error], len(given) == len(rows), run.stopped_by


def report(model: str, calling: Sequence[float], others: Sequence[float], biases: Sequence[float]) -> str:
    """Write the table of call rates by bias as Markdown. A turn is text when margin + bias is not negative."""
    lines = [["bias", "call rate", "no call", "mean"]]
    for bias in biases:
        called = wilson(sum(margin + bias < 0 for margin in calling), len(calling))
        kept = wilson(sum(margin + bias >= 0 for margin in others), len(others))
        lines.append([f"{bias:+g}", called.shown(), kept.shown(), f"{50 * (called.value + kept.value):.1f}"])
    note = (
        f"A bias on the first token of text; {len(calling)} rows that expect calls, {len(others)} whose function is "
        "missing. Percent, with Wilson's 95% intervals."
    )
    return f"# Calls missed against false calls: {model}\n\n{note}\n\n{aligned(lines)}\n"


if __name__ == "__main__":
    main()

"""`python -m evaluate.tradeoff --set FILE ... --out DIR` shows what restraint costs: missed calls against false calls.

In formats that name the recipient first (`>>>all` or `>>>NAME`), the first token of a turn decides between text and
call. A bias on the token of text, there alone, buys one kind of mistake with the other. OpenAI's `logit_bias` acts on
every token, so nothing is generated here: one forward pass a row tells by how much text leads over the likeliest
other token, and with that every bias is known at once. Whatever is not text counts as a call, which is true of a model
that was trained for the format, and of no other.

Rows are asked as they are (a call is right) and without the function that they expect (text is right). What was read
is kept in DIR, so that the same command goes on where it was.
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
from evaluate.command_line import Impossible, add_server_options, end, number, parser, positive
from evaluate.intervals import wilson
from evaluate.local import load
from evaluate.plots import draw_tradeoff
from evaluate.reports import aligned
from evaluate.run import Run
from inference import Model, chat_prompt
from prompt_template import Piece

SEED = 0
BIASES = (-4.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0)
SURELY = 100.0  # lifts the token of text above all others, so that its own logprob is reported
MAX_PROBLEMS_SHOWN = 10


class FirstTokenEndpoint:
    """Answers a request with its margin: by how much text leads over all else at the first token, in nats."""

    def __init__(self, model: Model, name: str = "", *, timeout_s: float = 300.0) -> None:
        self.model = name or model.names[0]
        self._model = model
        self._timeout_s = timeout_s
        self._text_id = self._first_id(model.template.text_head)

    async def answer(self, body: Json) -> Answer:
        """`text` is the margin. Raises NoAnswer; a row for which the first token does not decide is refused."""
        begun = time.monotonic()
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
        return Answer(text=repr(margin), seconds=round(time.monotonic() - begun, 3))

    async def _margin(self, prompt_ids: Sequence[int]) -> float:
        sampling = Sampling(max_tokens=1, temperature=0.0, logit_bias=((self._text_id, SURELY),), logprobs=2)
        async with aclosing(self._model.engine.generate(prompt_ids, sampling)) as steps:
            async for step in steps:
                told = step.logprobs[0]  # before any bias
                if told.token_id == self._text_id:
                    return told.logprob - max(logprob for token_id, logprob in told.top if token_id != self._text_id)
        raise EngineError("the first token's probabilities were not reported")

    def _first_id(self, head: str) -> int:
        """The token that `head`, right after the opening of a turn, begins with."""
        opening, tokenizer = self._model.template.opening, self._model.tokenizer
        before = tokenizer.encode([opening]).ids
        after = tokenizer.encode([opening, Piece(head, markup=True, learned=True)]).ids
        if after[: len(before)] != before or len(after) == len(before):
            raise Impossible(f"in {self._model.template.name} no first token tells text from calls")
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
    """Exits with status 1 when nothing was measured or rows got no answer."""
    end("evaluate.tradeoff", tradeoff(read_options(argv)))


async def tradeoff(options: Namespace) -> int:
    """Read all margins; write table and plot; the exit status."""
    calling, others = CallSet(*options.sets, name="calls"), NoCallSet(*options.sets)
    model, name = await asyncio.to_thread(load, options.model, options.adapter)
    try:
        asked = FirstTokenEndpoint(model, name, timeout_s=options.timeout)
        margins, is_whole = [], True
        for one in (calling, others):
            found, was_whole, stopped_by = await margins_of(one, asked, options)
            if stopped_by:
                raise Impossible(f"stopped: {stopped_by}")
            margins.append(found)
            is_whole = is_whole and was_whole
    finally:
        await model.engine.close()
    if not all(margins):
        raise Impossible("nothing was measured: rows with a call and rows without one are both needed")
    text = report(asked.model, margins[0], margins[1], sorted({0.0, *options.biases}))
    write_whole(options.out / "tradeoff.md", text)
    print(text)
    write_whole(options.out / "tradeoff.png", draw_tradeoff(asked.model, margins[0], margins[1], options.biases))
    return 0 if is_whole else 1


async def margins_of(one: CallSet, asked: FirstTokenEndpoint, options: Namespace) -> tuple[list[float], bool, str]:
    """The margins of the set's rows, whether all that were asked got an answer, and why the run has to end, if so."""
    rows = [row for row in one.sample(None, SEED) if row.expected or isinstance(one, NoCallSet)][: options.limit]
    about = {"set": one.name, "model": asked.model, "kind": "margin of text at the first token"}
    with Answers(options.out / f"margins-{one.name}.jsonl", about) as answers:
        run = Run(asked, answers, {}, in_flight=options.in_flight)
        await run.ask(rows)
    for problem in run.problems[:MAX_PROBLEMS_SHOWN]:
        print(f"evaluate.tradeoff: {problem}", file=sys.stderr)
    given = [answers.by_key[row.key] for row in rows if row.key in answers.by_key]
    refused = [answer.error for answer in given if answer.error]
    if refused:
        print(f"evaluate.tradeoff: {len(refused)} rows left out, the first: {refused[0]}", file=sys.stderr)
    return [float(answer.text) for answer in given if not answer.error], len(given) == len(rows), run.stopped_by


def report(model: str, calling: Sequence[float], others: Sequence[float], biases: Sequence[float]) -> str:
    """The table over biases, as Markdown. A turn is text where margin + bias is not negative."""
    lines = [["bias", "call rate", "no call", "mean"]]
    for bias in biases:
        called = wilson(sum(margin + bias < 0 for margin in calling), len(calling))
        kept = wilson(sum(margin + bias >= 0 for margin in others), len(others))
        lines.append([f"{bias:+g}", called.shown(), kept.shown(), f"{50 * (called.value + kept.value):.1f}"])
    told = (
        f"A bias on the first token of text; {len(calling)} rows that expect calls, {len(others)} whose function is "
        "missing. Percent, with Wilson's 95% intervals."
    )
    return f"# Calls missed against false calls: {model}\n\n{told}\n\n{aligned(lines)}\n"


if __name__ == "__main__":
    main()

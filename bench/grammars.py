"""Measures what the grammars of many functions cost before an answer in `auto` starts, and what names cost a token.

`python -m bench.grammars` builds the constraint of a request and its matcher with the embedded model's tokenizer. The
functions are new in each round. "first" is the first request with these functions, "second" the next one; the figures
are medians of the rounds, in CPU time, because other programs on the machine would lengthen the time on the clock. All
of it runs in one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from statistics import median

from checkpoints.embedded_tokenizer import END, TEMPLATE, load_tokenizer
from checkpoints.files import find_checkpoint
from core.conversation import ChatRequest, Function, JsonSchema, ToolChoice
from guarantees.constraint import constraint
from guarantees.matcher import ConstraintCompiler, Matcher
from prompt_template import Arguments, load_template
from text.tokenizer import Tokenizer

FORMAT = load_template(TEMPLATE)
ANSWER = "all\nThe weather in Istanbul is mild, and it will rain a little in the evening. Take a coat with you. " * 20
KINDS: dict[str, tuple[bool, Arguments]] = {
    "strict": (True, "free"),
    "not strict, --arguments schema": (False, "schema"),
    "not strict, --arguments free": (False, "free"),
}


class Bench:
    """The embedded model's tokenizer and a compiler without cached grammars for each round."""

    def __init__(self) -> None:
        backend = load_tokenizer(find_checkpoint(None))
        self._backend = backend
        self.tokenizer = Tokenizer(backend, eos_id=backend.token_to_id(END))

    def compiler(self) -> ConstraintCompiler:
        compiler = ConstraintCompiler(self._backend, self._backend.get_vocab_size())
        compiler.vocabulary.tokenize(b"")  # built at the start of a server
        return compiler

    def matcher(
        self, compiler: ConstraintCompiler, request: ChatRequest, arguments: Arguments
    ) -> tuple[Matcher, float]:
        """Return a new matcher, and the milliseconds that it took."""
        started = time.thread_time()
        wanted = constraint(request, FORMAT, self.tokenizer.token_id, arguments)
        if wanted is None:
            raise ValueError("a request with functions has a constraint")
        matcher = compiler.matcher(wanted)
        return matcher, 1000 * (time.thread_time() - started)


def functions(num: int, *, strict: bool, number: int) -> tuple[Function, ...]:
    """Return functions with six properties of different kinds. Other `number`s give other functions."""
    return tuple(Function(f"function_{i}", "", _schema(f"place_{number}_{i}"), strict) for i in range(num))


def _schema(first: str) -> JsonSchema:
    inner = {"a": {"type": "number"}, "b": {"type": ["string", "null"]}}
    properties: JsonSchema = {
        first: {"type": "string", "description": "A place"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 14},
        "tags": {"type": "array", "items": {"type": "string"}},
        "detail": {"type": "object", "properties": inner, "required": ["a", "b"], "additionalProperties": False},
        "flag": {"type": "boolean"},
    }
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def asked(tools: Sequence[Function]) -> ChatRequest:
    return ChatRequest("functionary", (), tuple(tools), ToolChoice("auto"))


def compile_ms(bench: Bench, num: int, strict: bool, arguments: Arguments, rounds: int) -> tuple[float, float]:
    """Return the milliseconds of the first and of the second request."""
    times = []
    for number in range(rounds):
        compiler, request = bench.compiler(), asked(functions(num, strict=strict, number=number))
        times.append([bench.matcher(compiler, request, arguments)[1] for _ in range(2)])
    first, second = (median(column) for column in zip(*times, strict=True))
    return first, second


def token_us(bench: Bench, num: int, rounds: int) -> float:
    """Return the microseconds that one token of a text takes in `auto` because names are bound."""
    compiler, request = bench.compiler(), asked(functions(num, strict=False, number=0))
    ids = compiler.vocabulary.tokenize(ANSWER.encode())
    times = []
    for _ in range(rounds):
        matcher, _ = bench.matcher(compiler, request, "free")
        started = time.thread_time()
        for token_id in ids:
            matcher.mask()
            matcher.accept(token_id)
        times.append((time.thread_time() - started) / len(ids))
    return 1e6 * median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--functions", type=int, nargs="+", default=[16, 128, 1024])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    bench = Bench()
    print("| functions | in auto | first, CPU ms | second, CPU ms |")
    print("|---:|---|---:|---:|")
    for num in options.functions:
        for name, (strict, arguments) in KINDS.items():
            first, second = compile_ms(bench, num, strict, arguments, options.rounds)
            print(f"| {num} | {name} | {first:.0f} | {second:.0f} |", flush=True)
    for num in options.functions:
        print(f"a token of text with {num} functions: {token_us(bench, num, options.rounds):.0f} us")


if __name__ == "__main__":
    main()

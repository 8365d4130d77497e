"""Measures every prompt format: rendering 128 functions, and parsing outputs of a megabyte.

`python -m bench.formats` prints a table; `--out bench/results/formats.md` writes it.
Figures are the best of the rounds,
in CPU time of one thread. The parser reads an output in pieces of 4 characters, as tokens arrive, and at once.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from core.conversation import Call, Function, JsonSchema, Message
from prompt_template import PromptTemplate, load_template, template_names
from text.parser import OutputParser

_SIZE = 1_000_000  # characters of each output
_PIECE = 4  # characters of a token
_SENTENCE = "The weather in Istanbul is mild, and it will rain a little in the evening. Take a coat with you. "


def functions(num: int) -> list[Function]:
    """Return functions of ordinary size: a description and six described properties of different kinds."""
    inner = {"latitude": {"type": "number"}, "longitude": {"type": "number"}}
    properties: JsonSchema = {
        "place": {"type": "string", "description": "The name of a city, with its country"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "description": "The unit of temperatures"},
        "days": {"type": "integer", "minimum": 1, "maximum": 14, "description": "How many days to look ahead"},
        "tags": {"type": "array", "items": {"type": "string"}, "description": "Which facts to return"},
        "position": {"type": "object", "properties": inner, "required": [*inner], "description": "Used if no place"},
        "is_detailed": {"type": "boolean", "description": "Whether hourly values are returned"},
    }
    schema = {"type": "object", "properties": properties, "required": ["place", "unit"]}
    description = "Get the weather report of a place for the next days, with temperatures, rain and wind."
    return [Function(f"get_weather_report_{number}", description, schema) for number in range(num)]


def best_ms(work: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        started = time.thread_time()
        work()
        times.append(1000 * (time.thread_time() - started))
    return min(times)


def outputs(template: PromptTemplate) -> dict[str, str]:
    """Return outputs of `_SIZE` characters: text, one call with long arguments, many calls, and reasoning."""
    name, arguments = "get_weather_report_1", json.dumps({"place": "Istanbul", "days": [1, 2, {"a": "b"}]})
    long = json.dumps({"place": _SENTENCE * (_SIZE // len(_SENTENCE))})
    call = template.calls_open + template.call_head(name)
    kinds = {"text": template.text_head + _SENTENCE * (_SIZE // len(_SENTENCE)), "one call": call + long}
    if template.separator is not None:
        one = template.call_head(name) + arguments + template.call_tail
        kinds["many calls"] = template.calls_open + template.separator.join([one] * (_SIZE // len(one)))
    if template.reasoning is not None:
        kinds["reasoning"] = template.reasoning.head + _SENTENCE * (_SIZE // len(_SENTENCE))
    return kinds


class Reader:
    """Parses outputs of one template, whose marks are control tokens where the format has such."""

    def __init__(self, template: PromptTemplate, tools: list[Function]) -> None:
        self._format = template.bound(lambda text: 1).turn_format(tools)
        regions = self._format.regions.values()
        self._control = {mark.text for region in regions for mark in region.marks if mark.is_control}

    def stretches(self, output: str, size: int) -> list[tuple[str, bool]]:
        """Return the output in pieces of `size` characters and control tokens."""
        pattern = "(" + "|".join(map(re.escape, sorted(self._control, key=len, reverse=True))) + ")"
        parts = re.split(pattern, output) if self._control else [output]
        return [
            piece
            for part in parts
            for piece in (
                [(part, True)]
                if part in self._control
                else [(part[at : at + size], False) for at in range(0, len(part), size)]
            )
        ]

    def read(self, stretches: list[tuple[str, bool]]) -> int:
        """Return the number of events."""
        parser = OutputParser(self._format)
        count = sum(len(list(parser.feed(text, is_control=is_control))) for text, is_control in stretches)
        return count + len(list(parser.finish()))


def row(name: str, tools: list[Function], rounds: int) -> str:
    template = load_template(name)
    messages = [Message("user", "Will it rain?"), Message("assistant", None, (Call(tools[0].name, "{}", "a"),))]
    cells = [name, f"{best_ms(lambda: template.render(messages, tools), rounds):.1f}"]
    reader, kinds = Reader(template, tools), outputs(template)
    for kind in ("text", "one call", "many calls", "reasoning"):
        if kind not in kinds:
            cells += ["-"]
            continue
        speeds = []
        for size in (_SIZE, _PIECE):
            stretches = reader.stretches(kinds[kind], size)
            speeds.append(len(kinds[kind]) / 1000 / best_ms(partial(reader.read, stretches), rounds))
        cells.append(f"{speeds[0]:.1f} / {speeds[1]:.1f}")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = [
        "| format | render 128 functions, ms | text, MB/s at once / by token | one call | many calls | reasoning |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    print("\n".join(lines))
    for name in template_names():
        lines.append(row(name, functions(128), options.rounds))
        print(lines[-1], flush=True)
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

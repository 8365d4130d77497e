"""What the command lines of this package share: option types, options, error messages and exit status."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Coroutine
from math import isfinite
from typing import Any, NoReturn

from client.endpoints import HttpEndpoint, Unusable
from client.json_lines import FileError, Json
from core.errors import ModelError

KEY_VARIABLE = "FUNCTIONARY_API_KEY"


class CommandError(Exception):
    """The command cannot be carried out. The message is one sentence for the user."""


def parser(program: str, doc: str | None) -> ArgumentParser:
    """Make a parser whose description is the first paragraph of `doc`. Abbreviated options are errors."""
    return ArgumentParser(f"python -m {program}", description=(doc or "").split("\n\n")[0], allow_abbrev=False)


def add_server_options(group: argparse._ActionsContainer, *, in_flight: int) -> None:
    """Add --in-flight and --timeout, which apply to every endpoint."""
    group.add_argument("--in-flight", type=positive, default=in_flight, metavar="N", help="requests at once")
    group.add_argument("--timeout", type=seconds, default=600.0, metavar="S", help="for one answer")


def server(url: str, model: str, timeout_s: float) -> HttpEndpoint:
    """Make the endpoint at `url`. Its API key comes from the environment, since `ps` shows command lines."""
    return HttpEndpoint(url, model, api_key=os.environ.get(KEY_VARIABLE, ""), timeout_s=timeout_s)


def end(program: str, work: Coroutine[Any, Any, int]) -> NoReturn:
    """Run `work` and exit with the status that it returns. An expected error gives one sentence on stderr and status 1.

    SIGTERM acts like Ctrl-C: a program that a time limit ends still writes its report. SIGINT is enabled too, since
    shells start background programs with SIGINT ignored.
    """
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT)),
    }
    try:
        sys.exit(asyncio.run(work))
    except (FileError, ModelError, Unusable, CommandError) as error:
        sys.exit(f"{program}: {error}")
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        sys.exit(f"{program}: {place}{error.strerror or error}; finished answers are kept")
    except KeyboardInterrupt:
        sys.exit(f"{program}: interrupted; the same command resumes")
    finally:
        for word, handler in before.items():
            signal.signal(word, handler)


def positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise ArgumentTypeError(f"a whole number above 0 was expected, got {text!r}")
    return value


def seconds(text: str) -> float:
    value = number(text)
    if value <= 0:
        raise ArgumentTypeError(f"a number of seconds above 0 was expected, got {text!r}")
    return value


def number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise ArgumentTypeError(f"a number was expected, got {text!r}")
    return value


def json_object(text: str) -> Json:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ArgumentTypeError(f'a JSON object such as {{"top_p": 0.9}} was expected, got {text!r}')
    return value

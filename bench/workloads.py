"""Defines the workloads for servers (chats, calls, uncached prompts, a conversation), and times their clients."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from itertools import count
from statistics import median
from typing import Any

from core.conversation import Function
from schema import typescript

Json = dict[str, Any]
Workload = Callable[[], Json]

CLIENTS = (1, 8, 16, 32)
COLD = (500, 2000, 6000)
CITIES = ("Istanbul", "Lyon", "Turin", "Oslo", "Porto", "Ghent", "Graz", "Split")
WORDS = ("time", "people", "water", "house", "road", "river", "stone", "light")
FIELDS = ("location", "format"), ("origin", "destination"), ("amount", "currency")
NAMES = ("get_current_weather", "find_trains", "convert_money")
NUM_TURNS = 6
NUMBERS = count(int(time.time()) % 10_000 * 100)  # new in each run: a server may have cached earlier prompts


def chat() -> Json:
    """Make a request for a chat, with a prompt of about 120 tokens. No two prompts share a prefix."""
    number = next(NUMBERS)
    words = " ".join(f"{CITIES[(number + i) % 8]} has {number + i} bridges." for i in range(6))
    return {"messages": [_user(f"{number}. {words} Describe the prettiest.")], "ignore_eos": True}


def call() -> Json:
    """Make a request with three functions; the model decides whether to call. The question differs between requests."""
    tools = [{"type": "function", "function": function} for function in _functions()]
    return {"messages": [_user(_question())], "tools": tools}


def forced_call() -> Json:
    return {**call(), "tool_choice": {"type": "function", "function": {"name": NAMES[0]}}}


def call_as_text(num_tokens: int) -> Json:
    """Make a request with the functions as text and a fixed number of answer tokens.

    With it every server computes as many tokens as our server does for `call`, no matter how the server renders
    functions.
    """
    system = {"role": "system", "content": _declared()}
    return {"messages": [system, _user(_question())], "max_tokens": num_tokens, "ignore_eos": True}


def cold(num_words: int) -> Json:
    """Make a request whose prompt no server has cached, with about one token per word."""
    number = next(NUMBERS)
    words = " ".join(WORDS[(number * 7 + i * i) % 8] for i in range(num_words))
    return {"messages": [_user(f"{number} {words}")], "max_tokens": 1, "ignore_eos": True}


def conversation() -> Iterator[Json]:
    """Yield the NUM_TURNS requests of a conversation with functions as text. Each request has all earlier messages."""
    number = next(NUMBERS)
    messages = [{"role": "system", "content": f"{number}\n{_declared()}"}]
    for turn in range(NUM_TURNS):
        messages.append(_user(f"{_question()} Question {turn}."))
        yield {"messages": list(messages), "max_tokens": 24, "ignore_eos": True}
        city = CITIES[turn % 8]
        messages.append(
            {"role": "assistant", "content": f"In {city} it is {number + turn} degrees, and it rains a little."}
        )


def _user(text: str) -> Json:
    return {"role": "user", "content": text}


def _question() -> str:
    return f"What is the weather in {CITIES[next(NUMBERS) % 8]}, in celsius?"


def _functions() -> list[Json]:
    return [
        {"name": name, "description": name.replace("_", " "), "parameters": _object(fields)}
        for name, fields in zip(NAMES, FIELDS, strict=True)
    ]


def _declared() -> str:
    return typescript([Function(**function) for function in _functions()])


def _object(fields: tuple[str, ...]) -> Json:
    return {"type": "object", "properties": {name: {"type": "string"} for name in fields}, "required": [*fields]}


def ask(port: int, model: str, body: Json) -> tuple[float, float, Json]:
    """Send a streamed request. Returns the seconds to the first chunk and to the end, and `usage`."""
    settings = {"model": model, "temperature": 0, "max_tokens": 48, "stream": True}
    request = json.dumps({**settings, **body, "stream_options": {"include_usage": True}})
    first, usage, started = 0.0, None, time.perf_counter()
    with closing(HTTPConnection("127.0.0.1", port, timeout=600)) as connection:
        connection.request("POST", "/v1/chat/completions", request, {"Content-Type": "application/json"})
        for line in iter(connection.getresponse().readline, b""):
            if not line.startswith(b"data: {"):
                continue
            first = first or time.perf_counter() - started
            usage = json.loads(line[6:]).get("usage") or usage
    if not usage:
        raise SystemExit("bench: a stream ended without usage; the server's answer was no stream of chunks")
    return first, time.perf_counter() - started, usage


def run_clients(port: int, model: str, workload: Workload, num_clients: int, num_requests: int) -> Json:
    """Send requests of one workload from several clients. Each client waits for an answer before its next request."""
    bodies = [workload() for _ in range(num_requests)]
    started = time.perf_counter()
    with ThreadPoolExecutor(num_clients) as pool:
        answers = list(pool.map(lambda body: ask(port, model, body), bodies))
    seconds = time.perf_counter() - started
    num_tokens = sum(usage["completion_tokens"] for _, _, usage in answers)
    first_ms = 1000 * median(first for first, _, _ in answers)
    return {"tokens_per_s": num_tokens / seconds, "answers_per_s": len(answers) / seconds, "first_ms": first_ms}

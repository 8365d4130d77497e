"""Serve the small random checkpoint of a format, and ask it for answers that end soon."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx2
import jsonschema

from inference import Model, load_model
from server import create_app
from tests.support.family_models import FAMILIES, make_family_model
from tests.support.serving import serving
from tests.support.strict_fold import events, strict_fold

PARAMETERS = {
    "get_weather": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "maxLength": 6},
            "unit": {"type": "string", "enum": ["celsius", "kelvin"]},
        },
        "required": ["city", "unit"],
        "additionalProperties": False,
    },
    "get_time": {
        "type": "object",
        "properties": {"zone": {"type": "string", "enum": ["utc", "local"]}},
        "required": ["zone"],
        "additionalProperties": False,
    },
}
FUNCTIONS = [{"name": name, "parameters": parameters} for name, parameters in PARAMETERS.items()]
TOOLS = [{"type": "function", "function": function} for function in FUNCTIONS]
STRICT_TOOLS = [{"type": "function", "function": {**function, "strict": True}} for function in FUNCTIONS]
Json = dict[str, Any]


@dataclass(frozen=True)
class Served:
    """A format's model behind a real server."""

    name: str
    model: Model
    client: httpx2.Client

    @cached_property
    def brief(self) -> Json:
        """The logit bias of a model that closes strings, reasoning and turns as soon as it may."""
        template = self.model.template
        tails = (template.reasoning.tail.strip(),) if template.reasoning else ()
        marks = [*template.stop, *tails, template.calls_close, "<|end|>", "</think>"]
        found = (self.model.tokenizer.token_id(mark) for mark in marks)
        return {str(token_id): 60 for token_id in found if token_id is not None} | dict.fromkeys(self.ids('"}]'), 40)

    def ids(self, text: str) -> list[str]:
        """Return the ids of the characters of `text` where they are tokens, for `logit_bias`."""
        return [str(self._by_bytes[char.encode()]) for char in text if char.encode() in self._by_bytes]

    @cached_property
    def _by_bytes(self) -> dict[bytes, int]:
        return {self.model.tokenizer.token_bytes(one): one for one in range(self.model.engine.vocab_size)}

    def post(self, **fields: Any) -> httpx2.Response:
        body = {
            "model": "tiny",
            "messages": [{"role": "user", "content": "The weather in Lyon, in celsius?"}],
            "temperature": 0,
            "max_tokens": 150,
            "logit_bias": self.brief,
            **fields,
        }
        return self.client.post("/v1/chat/completions", json=body)

    def ask(self, **fields: Any) -> Json:
        """Return the answer without its ids, after comparing it with the stream of the same request."""
        response = self.post(**fields)
        assert response.status_code == 200, (self.name, response.text)
        whole = response.json()
        streamed = strict_fold(
            events(self.post(**fields, stream=True, stream_options={"include_usage": True}).text), include_usage=True
        )
        (choice,), (expected,) = streamed["choices"], whole["choices"]
        message = {key: expected["message"].get(key) for key in choice["message"]}
        assert _without_ids(choice["message"]) == _without_ids(message), (self.name, fields)
        assert choice["finish_reason"] == expected["finish_reason"]
        assert streamed["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]
        return {**expected, "usage": whole["usage"]}


def calls_of(message: Json) -> list[tuple[str, str]]:
    """Return the names and the arguments of the calls, in `tool_calls` or in the older `function_call`."""
    old = [message["function_call"]] if message.get("function_call") else []
    calls = old + [call["function"] for call in message.get("tool_calls") or ()]
    return [(call["name"], call["arguments"]) for call in calls]


def check_calls(message: Json) -> list[str]:
    """Check that each call is valid by the schema of an offered function. Return the names."""
    for name, arguments in calls_of(message):
        jsonschema.validate(json.loads(arguments), PARAMETERS[name])
    return [name for name, _ in calls_of(message)]


@contextmanager
def served_format(name: str, folder: Path) -> Iterator[Served]:
    """Serve the template `name` with a new checkpoint in `folder`."""
    make_family_model(folder, FAMILIES[name])
    model = load_model(str(folder), template=name, served_names=["tiny"], dtype="float32", max_running=2)
    with serving(create_app(lambda: model)) as url, httpx2.Client(base_url=url, timeout=60) as client:
        yield Served(name, model, client)


def _without_ids(message: Json) -> Json:
    calls = [{**call, "id": ""} for call in message.get("tool_calls") or ()]
    return {**message, **({"tool_calls": calls} if calls else {})}

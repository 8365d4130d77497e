"""Extracts data from a text: a model in this process writes JSON that fits a schema."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import Any

import jsonschema
from referencing import Registry

from apis.chat_completions import chat_request
from core.conversation import JsonSchema
from core.errors import EngineBusy, EngineError, RequestError
from core.turn_format import Finish, TextDelta
from inference import Model, stream

TASK = "Extract the data from the user's text. Answer with JSON only, which follows this JSON Schema:"


class NotExtracted(Exception):
    """There is no result. The message is one line that says why."""


async def extract(model: Model, text: str, schema: JsonSchema, instructions: str = "") -> Any:
    """Return a JSON object that fits `schema`, with the data of `text`.

    schema: a JSON Schema of type object, all of whose keywords can be enforced (docs/api.md, Guarantees).
    instructions: what the model reads besides. Raises NotExtracted.
    """
    system = "\n".join(filter(None, (TASK, json.dumps(schema, ensure_ascii=False), instructions)))
    body = {
        "model": model.names[0],
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": text}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "data", "schema": schema, "strict": True}},
        "temperature": 0,
    }
    written, finish = "", None
    try:
        async with aclosing(stream(model, chat_request(body))) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    written += event.text
                elif isinstance(event, Finish):
                    finish = event
    except RequestError as error:
        is_long = error.code == "context_length_exceeded"
        raise NotExtracted(f"{'the text is too long: ' if is_long else ''}{error.message}") from None
    except EngineBusy:
        raise NotExtracted("the model is busy; try again later") from None
    except EngineError as error:
        raise NotExtracted(str(error)) from None
    if finish is None or finish.reason == "length":
        num_tokens = finish.completion_tokens if finish else 0
        raise NotExtracted(f"the result does not end within {num_tokens} tokens; shorten the text or the schema")
    return _checked(written, schema)


def _checked(written: str, schema: JsonSchema) -> Any:
    """Return what the model wrote. The grammar guarantees that it fits; a fault in it must not reach the caller."""
    try:
        value = json.loads(written)
        fault = next(jsonschema.Draft202012Validator(schema, registry=Registry()).iter_errors(value), None)
    except (ValueError, RecursionError) as error:
        raise NotExtracted(f"the result is no JSON: {error}") from None
    if fault:
        raise NotExtracted(f"the result does not fit the schema: {fault.json_path}: {fault.message[:200]}")
    return value

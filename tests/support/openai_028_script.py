# mypy: ignore-errors
"""Send requests with openai 0.28. Run as `script.py URL KEY` in a Python environment with that old client.

Prints one JSON object with the result of each request.
"""

import json
import sys

import openai

openai.api_base, openai.api_key = sys.argv[1:]
MODEL = "musabgultekin/functionary-7b-v1"
MESSAGES = [{"role": "user", "content": "What is the weather for Istanbul?"}]
WEATHER = {
    "name": "get_current_weather",
    "description": "Get the current weather",
    "parameters": {
        "type": "object",
        "properties": {
            "location": {"type": "string", "enum": ["Istanbul", "Paris"]},
            "format": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        },
        "required": ["location"],
    },
}
TOOLS = [{"type": "function", "function": WEATHER}]
BY_NAME = {"functions": [WEATHER], "function_call": {"name": "get_current_weather"}}
TOOL_BY_NAME = {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "get_current_weather"}}}


def ask(**fields):
    fields = {"model": MODEL, "messages": MESSAGES, "temperature": 0, "max_tokens": 60, **fields}
    return openai.ChatCompletion.create(**fields)


def whole(**fields):
    return ask(**fields).to_dict_recursive()


def streamed(**fields):
    return [chunk.to_dict_recursive() for chunk in ask(stream=True, **fields)]


def error_of(act):
    try:
        act()
    except openai.error.OpenAIError as error:
        details = error.error or {}
        return [type(error).__name__, error.http_status, details.get("param"), details.get("code"), str(error)]
    return None


def ask_with_key(key):
    return lambda: ask(api_key=key, max_tokens=1)


json.dump(
    {
        "version": openai.VERSION,
        "plain": whole(max_tokens=6),
        "plain streamed": streamed(max_tokens=6),
        "function": whole(**BY_NAME),
        "function streamed": streamed(**BY_NAME),
        "function auto": whole(functions=[WEATHER], max_tokens=6),
        "tool": whole(**TOOL_BY_NAME),
        "tool streamed": streamed(**TOOL_BY_NAME),
        "completion": openai.Completion.create(
            model=MODEL, prompt="The capital of France is", max_tokens=2, temperature=0
        ).to_dict_recursive(),
        "models": [model["id"] for model in openai.Model.list()["data"]],
        "model": openai.Model.retrieve(MODEL)["id"],
        "bad parameter": error_of(lambda: ask(temperature=3)),
        "bad parameter, streamed": error_of(lambda: ask(temperature=3, stream=True)),
        "bad function_call": error_of(lambda: ask(functions=[WEATHER], function_call={"name": "x"})),
        "unknown model": error_of(lambda: ask(model="gpt-4")),
        "wrong key": error_of(ask_with_key("sk-wrong-wrong-wrong")),
        "unknown route": error_of(lambda: openai.Embedding.create(model=MODEL, input="x")),
    },
    sys.stdout,
)

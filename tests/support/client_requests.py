"""Requests for the tests with the official client."""

from __future__ import annotations

from typing import Any

# All parameters are enums: even a bad model cannot write endless arguments.
WEATHER: Any = {
    "name": "get_current_weather",
    "description": "Get the current weather of a city",
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "enum": ["Istanbul", "Paris"]},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        },
        "required": ["city", "unit"],
    },
}
TIME: Any = {"name": "get_time", "parameters": {"type": "object", "properties": {}}}
TOOLS: Any = [{"type": "function", "function": function} for function in (WEATHER, TIME)]
NAMED: Any = {"type": "function", "function": {"name": "get_current_weather"}}
ASKED: Any = {
    "model": "functionary",
    "messages": [{"role": "user", "content": "What is the weather in Istanbul, in celsius?"}],
    "temperature": 0,
    "max_tokens": 60,
}
SHORT: Any = {**ASKED, "max_tokens": 6}

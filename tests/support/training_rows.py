"""Ten small conversations to train on: with one call, two calls, a clarifying question, a result, and no call."""

from __future__ import annotations

import json
from typing import Any

from client.rows import Row
from core.conversation import Call, Function, Message

WEATHER = Function(
    "get_weather",
    "Get the weather",
    {"type": "object", "properties": {"city": {"type": "string", "description": "City"}}, "required": ["city"]},
)
TIMER = Function(
    "set_timer",
    "Set a timer",
    {
        "type": "object",
        "properties": {"minutes": {"type": "integer", "description": "Minutes"}, "label": {"type": "string"}},
        "required": ["minutes"],
    },
)
LIGHT = Function(
    "switchLight",
    "Switch a light",
    {
        "type": "object",
        "properties": {"room": {"type": "string"}, "on": {"type": "boolean"}},
        "required": ["room", "on"],
    },
)


def user(text: str) -> Message:
    return Message("user", text)


def calls(*named: tuple[str, dict[str, Any]]) -> Message:
    made = tuple(Call(name, json.dumps(arguments), f"call_{i}") for i, (name, arguments) in enumerate(named))
    return Message("assistant", None, made)


def says(text: str) -> Message:
    return Message("assistant", text)


def row(functions: list[Function], *messages: Message, kind: str = "single") -> Row:
    return Row(tuple(functions), messages, "test", {"kind": kind})


TEN = [
    row([WEATHER, TIMER], user("Weather in Oslo?"), calls(("get_weather", {"city": "Oslo"}))),
    row([WEATHER], user("Weather in Rome?"), calls(("get_weather", {"city": "Rome"}))),
    row([TIMER, LIGHT], user("A timer for 5 minutes"), calls(("set_timer", {"minutes": 5}))),
    row([TIMER], user("Tea timer, 3 minutes"), calls(("set_timer", {"minutes": 3, "label": "Tea"}))),
    row([LIGHT, WEATHER], user("Lights on in the hall"), calls(("switchLight", {"room": "hall", "on": True}))),
    row([LIGHT], user("Kitchen lights off"), calls(("switchLight", {"room": "kitchen", "on": False}))),
    row(
        [WEATHER],
        user("Weather in Bonn and Kiel?"),
        calls(("get_weather", {"city": "Bonn"}), ("get_weather", {"city": "Kiel"})),
        kind="parallel",
    ),
    row([TIMER], user("Hello, who are you?"), says("I am Functionary."), kind="small_talk"),
    row(
        [TIMER],
        user("Set a timer"),
        says("For how long?"),
        user("7 minutes"),
        calls(("set_timer", {"minutes": 7})),
        kind="missing_param",
    ),
    row(
        [WEATHER],
        user("Weather in Lima?"),
        calls(("get_weather", {"city": "Lima"})),
        Message("tool", '{"sky": "clear"}', name="get_weather", call_id="call_0"),
        says("It is clear in Lima."),
        kind="multi_turn",
    ),
]

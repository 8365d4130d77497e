"""Finds out what a chat template can show, by rendering small conversations when the model is loaded."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chat_templates.renderer import Renderer, RenderingError
from chat_templates.variables import SHAPES, Shape, chat_messages, chat_tools
from core.conversation import Call, Function, Message, Reasoning
from core.errors import ModelError

Json = dict[str, Any]

_SWITCHES = ("enable_thinking", "thinking")  # the variables by which templates turn the reasoning on and off
_EFFORT = "reasoning_effort"

_USER = Message("user", "Rain?")
_ANSWER = Message("assistant", "Certainly.")
_FUNCTION = Function(
    "get_weather",
    "Return the weather.",
    {"type": "object", "properties": {"city": {"type": "string", "description": "A city."}}, "required": ["city"]},
)
_CALL = Call("get_weather", '{"city": "Oslo"}', "call_0123456789abcdef01234567")
_CALLED = (_USER, Message("assistant", None, (_CALL,)), Message("tool", "Sunny", name=_CALL.name, call_id=_CALL.id))
_NO_OPENING = {"add_generation_prompt": False}
_JSON_ARGUMENTS = re.compile(r'"city"\s*:\s*"Oslo"')
_QUOTED_TWICE = re.compile(r'\\"city')


@dataclass(frozen=True)
class Facts:
    """What a chat template can show.

    openings: the generation prompt for reasoning that is enabled, disabled, or left to the template (None).
    end: the control token behind the assistant's text; empty if there is none.
    shows_functions, shows_calls, shows_names, shows_reasoning: whether the prompt has a place for them.
    has_switch, has_effort: whether the template reads a variable for the reasoning.
    """

    variables: frozenset[str]
    openings: Mapping[bool | None, str]
    end: str
    shape: Shape
    shows_functions: bool
    shows_calls: bool
    shows_names: bool
    shows_reasoning: bool

    @property
    def has_switch(self) -> bool:
        return len(set(self.openings.values())) > 1 or bool(self.variables & set(_SWITCHES))

    @property
    def has_effort(self) -> bool:
        return _EFFORT in self.variables

    def wish_variables(self, wish: Reasoning) -> Json:
        """Return the variables that tell a wish about the reasoning, those that the template reads."""
        values: Json = {}
        if wish.is_enabled is not None:
            values |= dict.fromkeys(_SWITCHES, wish.is_enabled)
        if wish.effort is not None:
            values[_EFFORT] = wish.effort
        return {name: value for name, value in values.items() if name in self.variables}


def probe(renderer: Renderer, special_tokens: Mapping[str, str], control_tokens: Collection[str]) -> Facts:
    """Return what the chat template of `renderer` can show.

    Raises ModelError if it cannot render a user's message and an answer, or if a limit stops it.
    """
    try:
        return _Prober(renderer, special_tokens).facts(control_tokens)
    except RenderingError as error:
        raise ModelError(f"The chat template of the checkpoint cannot be rendered: {error}") from None


class _Prober:
    def __init__(self, renderer: Renderer, special_tokens: Mapping[str, str]) -> None:
        self._renderer = renderer
        self._special_tokens = special_tokens

    def facts(self, control_tokens: Collection[str]) -> Facts:
        variables = self._renderer.variables()
        plain, answered = self._render((_USER,)), self._render((_USER, _ANSWER))
        if (_USER.content or "") not in plain:
            raise RenderingError("it leaves out the user's message")
        called = self._try(_CALLED, shapes=SHAPES, is_shown=_shows_json) or self._try(
            _CALLED, shapes=SHAPES, is_shown=_shows_values
        )
        described = self._try((_USER,), functions=(_FUNCTION,))
        named = self._try((Message("user", "Rain?", name="ada"),))
        reasoned = self._try((_USER, Message("assistant", "Certainly.", reasoning="Clouds.")))
        return Facts(
            variables=variables,
            openings={is_enabled: self._opening(plain, variables, is_enabled) for is_enabled in (None, True, False)},
            end=_end_token(answered, control_tokens),
            shape=called[1] if called else Shape(),
            shows_functions=described is not None and _FUNCTION.name in described[0],
            shows_calls=called is not None,
            shows_names=named is not None and "ada" in named[0],
            shows_reasoning=reasoned is not None and "Clouds." in reasoned[0],
        )

    def _opening(self, plain: str, variables: Collection[str], is_enabled: bool | None) -> str:
        """Return what the template adds for the generation of an answer."""
        switches = {} if is_enabled is None else {name: is_enabled for name in _SWITCHES if name in variables}
        return self._render((_USER,), others=switches | {"add_generation_prompt": True}).removeprefix(plain)

    def _try(
        self,
        messages: Sequence[Message],
        *,
        functions: Sequence[Function] = (),
        shapes: Sequence[Shape] = (Shape(),),
        is_shown: Any = bool,
    ) -> tuple[str, Shape] | None:
        """Return the first rendering that `is_shown` accepts, and its shape. A template may raise errors for others."""
        for shape in shapes:
            try:
                text = self._render(messages, functions=functions, shape=shape)
            except RenderingError as error:
                if error.is_limit:
                    raise
                continue
            if is_shown(text):
                return text, shape
        return None

    def _render(
        self,
        messages: Sequence[Message],
        *,
        functions: Sequence[Function] = (),
        shape: Shape = Shape(),  # noqa: B008  (frozen)
        others: Mapping[str, bool] = _NO_OPENING,
    ) -> str:
        rendering = {
            **self._special_tokens,
            "messages": chat_messages(messages, shape),
            "tools": chat_tools(functions) or None,
            **others,
        }
        return self._renderer.render([rendering])[0]


def _shows_json(text: str) -> bool:
    return _shows_values(text) and _JSON_ARGUMENTS.search(text) is not None


def _shows_values(text: str) -> bool:
    """Return whether a rendering shows the call and its result, without an object or null printed as Python does."""
    has_all = all(shown in text for shown in (_CALL.name, "Oslo", "Sunny"))
    return has_all and "None" not in text and not _QUOTED_TWICE.search(text)


def _end_token(answered: str, control_tokens: Collection[str]) -> str:
    """Return the first control token behind the answer in a rendered conversation; empty if there is none."""
    behind = answered.rpartition(_ANSWER.content or "")[2]
    longest_first = sorted(control_tokens, key=len, reverse=True)
    found = re.search("|".join(map(re.escape, longest_first)) or "(?!)", behind)
    return found[0] if found and found[0].strip() else ""

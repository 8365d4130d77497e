"""A conversation as pieces of prompt, and the contract that every prompt format (a file in templates/) fulfils."""

from __future__ import annotations

import importlib
import pkgutil
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.conversation import Call, CodeInterpreter, Function, Message, Tool, ToolChoice
from core.errors import ModelError, RequestError
from core.turn_format import TurnFormat

_TEMPLATES = Path(__file__).with_name("templates")  # not imported here: templates import this module

DEFAULT_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions. The assistant calls functions with appropriate input when necessary"
)
CODE_INTERPRETER_SYSTEM = (
    "When you send a message containing Python code to python, it will be executed in a stateful Jupyter notebook "
    "environment. python will respond with the output of the execution or time out after 60.0 seconds. The drive at "
    "'/mnt/data' can be used to save and persist user files."
)


@dataclass(frozen=True)
class Piece:
    """A stretch of prompt.

    markup:  written by the template, so its text may become control tokens; a caller's text never may.
    learned: the model should produce it; becomes 1 in the loss mask.
    apart:   tokenized on its own, not together with what stands before it (SentencePiece puts a space there).
    """

    text: str
    markup: bool = False
    learned: bool = False
    apart: bool = False


class PromptTemplate(ABC):
    """One prompt format, both ways. Stateless: one instance serves every request."""

    name: str
    versions: tuple[str, ...]  # other names of the format, as in a chat template's {# version=NAME #}
    bos: bool  # whether the tokenizer's BOS token stands before the prompt
    stop: tuple[str, ...]  # control tokens that end the assistant's turn
    opening: Piece  # what starts the assistant's turn

    # How a turn is spelled after the opening: TEXT after text_head; calls as call_head(name) + JSON, with `separator`
    # between two parts (None: the format knows one call a turn).
    text_head: str
    separator: str | None
    text_prefill: str = ""  # what commits the turn to text when calls are off; empty for formats never used with one

    @abstractmethod
    def render(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[Piece]:
        """All messages, without BOS and opening. The same pieces serve prompts, training data and golden tests.

        Raises RequestError for a tool that the format has no words for.
        """

    @abstractmethod
    def call_head(self, name: str) -> str:
        """What commits the turn, right after the opening or a separator, to a call of `name`."""

    @abstractmethod
    def turn_format(self, tools: Sequence[Tool]) -> TurnFormat:
        """How to read the turn; `tools` are the request's, whatever the choice."""

    def visible_tools(self, tools: Sequence[Tool], choice: ToolChoice) -> tuple[Tool, ...]:
        """The tools that the prompt shows. A choice among several (`allowed_tools`) narrows only what may be called."""
        if choice.mode == "none":
            return ()
        if choice.mode == "named":
            return tuple(tool for tool in tools if tool.name in (choice.names or ()))
        return tuple(tools)

    def prefill(self, choice: ToolChoice) -> str:
        """What to write after the opening on the model's behalf, and to feed to the parser first."""
        if choice.mode == "none":
            return self.text_prefill
        if choice.mode == "named" and choice.names:
            return self.call_head(choice.names[0])
        return ""

    def refuse_name(self, name: str, tools: Sequence[Tool]) -> None:
        """Raise RequestError if a tool has the name that stands for the user in this format."""
        if any(tool.name == name for tool in tools):
            raise RequestError(
                f"This model's prompt format, {self.name}, has '{name}' for the user; rename the function.", "tools"
            )

    def functions_only(self, tools: Sequence[Tool]) -> list[Function]:
        """The tools of a format that has no code interpreter. Raises RequestError if one is asked for."""
        if any(isinstance(tool, CodeInterpreter) for tool in tools):
            raise RequestError(
                f"This model's prompt format, {self.name}, has no code interpreter; use functions.", "tools"
            )
        return functions_of(tools)


def functions_of(tools: Sequence[Tool]) -> list[Function]:
    """The tools that are declared to the model."""
    return [tool for tool in tools if isinstance(tool, Function)]


def complete(messages: Sequence[Message]) -> list[Message]:
    """Messages as templates want them: results in the order of their calls, each with its function's name, and no null
    content but the assistant's."""
    completed: list[Message] = []
    results: list[Message] = []
    calls: tuple[Call, ...] = ()
    names: dict[str, str] = {}
    for message in messages:
        if message.role == "tool":
            results.append(replace(message, content=message.content or ""))
            continue
        completed += _in_order(results, calls, names)
        results, calls = [], message.calls
        names |= {call.id: call.name for call in calls if call.id}
        completed.append(message if message.role == "assistant" else replace(message, content=message.content or ""))
    return completed + _in_order(results, calls, names)


def _in_order(results: list[Message], calls: tuple[Call, ...], names: dict[str, str]) -> list[Message]:
    """`names`: function names by call id. Results of unknown calls go behind the others; without ids nothing moves."""
    place = {call.id: number for number, call in enumerate(calls) if call.id}
    ordered = sorted(results, key=lambda result: place.get(result.call_id, len(calls)) if place else 0)
    beside = [call.name for call in calls] + [""] * len(results)
    return [
        replace(result, name=result.name or names.get(result.call_id, "") or name)
        for result, name in zip(ordered, beside, strict=False)
    ]


def one_call_a_turn(messages: Sequence[Message]) -> list[Message]:
    """For formats without parallel calls: every call gets a turn of its own, and its result follows it.

    `messages` are complete, so the results stand in the order of the calls.
    """
    turns: list[Message] = []
    later: list[Message] = []
    for message in messages:
        if message.role == "tool":
            turns += [message, *later[:1]]
            later = later[1:]
            continue
        turns += [*later, replace(message, calls=message.calls[:1])]
        later = [Message("assistant", None, (call,)) for call in message.calls[1:]]
    return turns + later


def template_names() -> list[str]:
    """The files in templates/, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules([str(_TEMPLATES)]))


def load_template(name: str) -> PromptTemplate:
    """By its own name or that of a version of the format. Raises ModelError for another."""
    template = _find(name)
    if template is None:
        raise ModelError(f"There is no prompt template {name[:60]!r}; there are {', '.join(template_names())}.")
    return template


def _find(name: str) -> PromptTemplate | None:
    for file in template_names():
        template = importlib.import_module(f"templates.{file}").TEMPLATE
        if isinstance(template, PromptTemplate) and name in (template.name, *template.versions):
            return template
    return None


# Checkpoints that their tokenizers do not tell apart: the first have no marks at all, the last have Llama 3.1's tokens.
_CHECKPOINTS = {
    "functionary-7b-v0.1": "v1.0-plain",
    "functionary-7b-v0.2": "v1.0-plain",
    "functionary-7b-v1": "v1.0-plain",
    "functionary-small-v3.2": "v3.llama3",
    "functionary-medium-v3.2": "v3.llama3",
}
_VERSION = re.compile(r"\{#\s*version=([\w.-]{1,60})\s*#\}")


def detect_template(
    chat_template: str | None, token_id: Callable[[str], int | None], checkpoint: str
) -> PromptTemplate:
    """The template of a checkpoint, by what its chat template says, by its name, or by its control tokens.

    `token_id` gives a control token's id, or None. Raises ModelError if the format is unknown or has no template here.
    """
    version = _detect_version(chat_template or "", token_id, checkpoint)
    template = _find(version) if version else None
    if template is not None:
        return template
    found = f"has the prompt format {version}, which has no template here" if version else "has no known prompt format"
    raise ModelError(f"{checkpoint} {found}; choose one with --template: {', '.join(template_names())}.")


def _detect_version(chat_template: str, token_id: Callable[[str], int | None], checkpoint: str) -> str | None:
    if stated := _VERSION.search(chat_template):
        return stated[1]
    if known := _CHECKPOINTS.get(re.split(r"[/\\]", checkpoint.rstrip("/\\"))[-1].lower()):
        return known
    if token_id("<|eom_id|>") == 128008:
        return "v3-llama3.1"
    if token_id("<|reserved_special_token_249|>") == 128254:
        if "image_url" in chat_template and ">>>" in chat_template:
            return "v3.llava_llama"
        return "v2.llama3" if "<|reserved_special_token_249|>" in chat_template else "v3.llama3"
    if token_id("<|from|>") is not None:
        return "v2"
    return "v1" if token_id("<|START_OF_FUNCTION_CALL|>") is not None else None

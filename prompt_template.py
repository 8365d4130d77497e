"""The interface of prompt templates (one file each in templates/), and how the template of a checkpoint is found."""

from __future__ import annotations

import importlib
import pkgutil
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from core.conversation import Call, ChatRequest, CodeInterpreter, Function, Message, Reasoning, Tool, ToolChoice
from core.errors import ModelError, RequestError
from core.turn_format import Mark, TurnFormat

# Whether the arguments of calls that the model opens by itself are bound by the function's schema, or free.
Arguments = Literal["schema", "free"]

GENERIC = "generic"  # the name of the template that renders a checkpoint's own chat template
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


ANY_REASONING = Reasoning()


@dataclass(frozen=True)
class Piece:
    """A stretch of the prompt.

    markup:      written by the template, so its text may become control tokens. A caller's text never does.
    learned:     the model is trained to write it, so its tokens count in the loss.
    is_separate: tokenized separately from the text before it, so that SentencePiece adds a space at its start.
    """

    text: str
    markup: bool = False
    learned: bool = False
    is_separate: bool = False


@dataclass(frozen=True)
class ReasoningMarks:
    """What stands around the reasoning at the start of a turn: `head` REASONING `tail`, then text or calls."""

    head: str
    tail: str


class PromptTemplate(ABC):
    """One prompt format: how to render a conversation and how to parse the answer. Stateless."""

    name: str
    versions: tuple[str, ...]  # other names of the format, as in a chat template's {# version=NAME #}
    bos: bool  # whether the prompt begins with the tokenizer's BOS token
    stop: tuple[str, ...]  # control tokens that end the assistant's turn
    opening: Piece  # the end of the prompt, after which the assistant's turn begins

    # A turn is text, written as text_head + TEXT, and calls, written as
    # calls_open + call_head(name) + ARGUMENTS + call_tail + separator + call_head(name) + ... + calls_close.
    text_head: str = ""
    calls_open: str = ""
    call_tail: str = ""
    separator: str | None = ""  # between two calls; None if a turn has at most one call
    calls_close: str = ""
    code_head: str = ""  # the head of a call of the code interpreter; empty if it is that of any call
    code_tail: str = ""  # what ends the code of such a call; empty if the separator or a stop token does
    code_function: Function | None = None  # the function whose JSON holds the code; None if the code stands by itself
    text_prefill: str = ""  # the prefill if no call is allowed; empty for formats that were trained without one
    required_prefill: str = ""  # the prefill if a call is required
    reasoning: ReasoningMarks | None = None  # None if the format does not mark the model's reasoning

    arguments_style: Literal["json", "tagged"] = "json"  # tagged: see Region.is_tagged
    # The default of --arguments: "free" for the formats of checkpoints that Functionary trained.
    arguments: Arguments = "schema"
    # Whether `render` shows the name of an author (not of a function) and the reasoning of earlier turns.
    renders_names: bool = False
    renders_reasoning: bool = False
    # Texts in a checkpoint's chat template that show this format. Empty if other things show it.
    signs: tuple[str, ...] = ()
    # Control tokens that the format cannot do without, beside the stop tokens.
    needed_tokens: tuple[str, ...] = ()
    # Spellings of marks that are control tokens in some tokenizers and ordinary text in others; `bound` decides.
    optional_tokens: tuple[str, ...] = ()
    control_tokens: frozenset[str] = frozenset()  # those of `optional_tokens` that are control tokens
    # Which wishes about the reasoning the format has a switch for.
    has_thinking_switch: bool = False
    has_effort: bool = False

    @abstractmethod
    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], wish: Reasoning = ANY_REASONING
    ) -> list[Piece]:
        """Return the messages as pieces, without BOS and opening, for prompts and for training data.

        Raises RequestError for a tool that the format does not support.
        """

    def prompt(self, request: ChatRequest) -> list[Piece]:
        """Return the whole prompt of a request, without BOS. It ends with the opening and the prefill.

        Raises RequestError for a request that the format cannot show.
        """
        tools = self.visible_tools(request.tools, request.choice)
        prefill = Piece(self.prefill(request.choice, request.reasoning), markup=True, learned=True)
        return [*self.render(request.messages, tools, request.reasoning), self.opening, prefill]

    @abstractmethod
    def call_head(self, name: str) -> str:
        """Return the head of a call of `name`, which follows `calls_open` or a separator."""

    @abstractmethod
    def turn_format(self, tools: Sequence[Tool]) -> TurnFormat:
        """Return the turn format. `tools` are all tools of the request, whatever its tool choice."""

    def bound(self, token_id: Callable[[str], int | None]) -> PromptTemplate:
        """Return this template for a tokenizer, whose `token_id` returns the id of a control token, or None.

        Raises ModelError if the tokenizer lacks a control token that the format needs.
        """
        if missing := self.missing_token(token_id):
            raise ModelError(
                f"The tokenizer has no control token {missing}, which the prompt format {self.name} needs; "
                "choose another one with --template."
            )
        template = copy(self)
        template.control_tokens = frozenset(text for text in self.optional_tokens if token_id(text) is not None)
        return template

    def missing_token(self, token_id: Callable[[str], int | None]) -> str | None:
        """Return a control token that the format needs and a tokenizer lacks, or None."""
        return next((text for text in (*self.needed_tokens, *self.stop[:1]) if token_id(text) is None), None)

    def close(self) -> None:  # noqa: B027  (most templates have nothing to close)
        """Free what the template holds, once its model is no longer used."""

    def mark(self, text: str, next_region: str) -> Mark:
        """Return the mark `text`, one of `optional_tokens`."""
        return Mark(text, next_region, is_control=text in self.control_tokens)

    def visible_tools(self, tools: Sequence[Tool], choice: ToolChoice) -> tuple[Tool, ...]:
        """Return the tools to render in the prompt.

        If the tool choice allows a subset of the tools (`allowed_tools`), the prompt still shows all tools; only the
        calls are limited.
        """
        if choice.mode == "none":
            return ()
        if choice.mode == "named":
            return tuple(tool for tool in tools if tool.name in (choice.names or ()))
        return tuple(tools)

    def unrendered(self, messages: Sequence[Message]) -> list[str]:
        """Return the fields of `messages` that the caller gave and that the format has no place for."""
        has_name = any(message.name and message.role != "tool" for message in messages)
        has_reasoning = any(message.reasoning for message in messages)
        names = [] if self.renders_names or not has_name else ["name"]
        return names + ([] if self.renders_reasoning or not has_reasoning else ["reasoning_content"])

    def prefill(self, choice: ToolChoice, wish: Reasoning = ANY_REASONING) -> str:
        """Return the prefill: the beginning of the turn, which the prompt already holds.

        The parser reads the prefill before the answer. Where the model may reason, the prefill ends before the
        reasoning does, so that it cannot contain the head of a forced call.
        """
        before = self.reasoning_prefill(wish)
        return before if self.may_reason(wish) else before + self.choice_prefill(choice)

    def choice_prefill(self, choice: ToolChoice) -> str:
        """Return the prefill for this tool choice, without reasoning."""
        match choice.mode:
            case "none":
                return self.text_prefill
            case "required":
                return self.required_prefill
            case "named" if choice.names:
                return self.calls_open + self.call_head(choice.names[0])
        return ""

    def reasoning_prefill(self, wish: Reasoning) -> str:
        """Return what the prompt already holds of the reasoning.

        Nothing if the model itself begins to reason, the head if the prompt does it, and head and tail if the model
        shall not reason.
        """
        return ""

    def may_reason(self, wish: Reasoning) -> bool:
        """Return whether the answer can begin with reasoning, or continues the reasoning that the prefill begins."""
        return self.reasoning is not None and self.reasoning.tail.strip() not in self.reasoning_prefill(wish)

    def check_reserved_name(self, name: str, tools: Sequence[Tool]) -> None:
        """Raise RequestError if a tool has `name`, which means the user in this format."""
        if any(tool.name == name for tool in tools):
            raise RequestError(
                f"This model's prompt format, {self.name}, has '{name}' for the user; rename the function.", "tools"
            )

    def functions_only(self, tools: Sequence[Tool]) -> list[Function]:
        """Return the functions, for a format without a code interpreter. Raises RequestError if `tools` has one."""
        if any(isinstance(tool, CodeInterpreter) for tool in tools):
            raise RequestError(
                f"This model's prompt format, {self.name}, has no code interpreter; use functions.", "tools"
            )
        return functions_of(tools)


def functions_of(tools: Sequence[Tool]) -> list[Function]:
    """Return the tools that are functions."""
    return [tool for tool in tools if isinstance(tool, Function)]


def normalise(messages: Sequence[Message]) -> list[Message]:
    """Return the messages in the form that templates render.

    Results are in the order of their calls and carry the name of the function. Only messages of the assistant may have
    null content.
    """
    normalised: list[Message] = []
    results: list[Message] = []
    calls: tuple[Call, ...] = ()
    names: dict[str, str] = {}
    for message in messages:
        if message.role == "tool":
            results.append(replace(message, content=message.content or ""))
            continue
        normalised += _sorted_results(results, calls, names)
        results, calls = [], message.calls
        names |= {call.id: call.name for call in calls if call.id}
        normalised.append(message if message.role == "assistant" else replace(message, content=message.content or ""))
    return normalised + _sorted_results(results, calls, names)


def _sorted_results(results: list[Message], calls: tuple[Call, ...], names: dict[str, str]) -> list[Message]:
    """Return the results in the order of `calls`. `names` maps call ids to function names.

    Results of unknown calls come last. If no call has an id, the order stays.
    """
    index_by_id = {call.id: number for number, call in enumerate(calls) if call.id}
    ordered = sorted(results, key=lambda result: index_by_id.get(result.call_id, len(calls)) if index_by_id else 0)
    names_by_position = [call.name for call in calls] + [""] * len(results)
    return [
        replace(result, name=result.name or names.get(result.call_id, "") or name)
        for result, name in zip(ordered, names_by_position, strict=False)
    ]


def one_call_per_turn(messages: Sequence[Message]) -> list[Message]:
    """Split turns with several calls into turns with one call, each followed by its result.

    `messages` must be normalised, so that the results are in the order of the calls.
    """
    turns: list[Message] = []
    pending: list[Message] = []
    for message in messages:
        if message.role == "tool":
            turns += [message, *pending[:1]]
            pending = pending[1:]
            continue
        turns += [*pending, replace(message, calls=message.calls[:1])]
        pending = [Message("assistant", None, (call,)) for call in message.calls[1:]]
    return turns + pending


def template_names() -> list[str]:
    """Return the names of the templates, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules([str(_TEMPLATES)]) if not module.ispkg)


def load_template(name: str) -> PromptTemplate:
    """Return the template with this name or format version. Raises ModelError if there is none."""
    template = _find(name)
    if template is None:
        raise ModelError(f"There is no prompt template {name[:60]!r}; there are {', '.join(template_names())}.")
    return template


def _find(name: str) -> PromptTemplate | None:
    return next((template for template in _templates() if name in (template.name, *template.versions)), None)


def _templates() -> Iterator[PromptTemplate]:
    for file in template_names():
        template = importlib.import_module(f"templates.{file}").TEMPLATE
        if isinstance(template, PromptTemplate):
            yield template


# Checkpoints whose format the tokenizer does not show: the first three have no control tokens of their own, the others
# have the control tokens of Llama 3.1.
_CHECKPOINTS = {
    "functionary-7b-v0.1": "v1.0-plain",
    "functionary-7b-v0.2": "v1.0-plain",
    "functionary-7b-v1": "v1.0-plain",
    "functionary-small-v3.2": "v3.llama3",
    "functionary-medium-v3.2": "v3.llama3",
}
_VERSION = re.compile(r"\{#\s*version=([\w.-]{1,60})\s*#\}")


@dataclass(frozen=True)
class Detected:
    """The format of a checkpoint: its name or version, what shows it, and its template if there is one here."""

    version: str
    sign: str

    @property
    def template(self) -> PromptTemplate | None:
        return _find(self.version)


def detect_template(
    chat_template: str | None, token_id: Callable[[str], int | None], checkpoint: str
) -> PromptTemplate:
    """Return the template that `detect` finds. Raises ModelError if there is none."""
    detected = detect(chat_template, token_id, checkpoint)
    if detected and detected.template:
        return detected.template
    raise ModelError(missing_template(detected, checkpoint))


def missing_template(detected: Detected | None, checkpoint: str) -> str:
    """Return the error for a checkpoint whose format has no template."""
    found = "has no known prompt format"
    if detected:
        found = f"has the prompt format {detected.version}, which has no template here"
    return f"{checkpoint} {found}; choose one with --template: {', '.join(template_names())}."


def detect(chat_template: str | None, token_id: Callable[[str], int | None], checkpoint: str) -> Detected | None:
    """Return the format of a checkpoint, found by its chat template, its name or its control tokens, or None.

    The formats of Functionary come first, then those of other families, by the signs of their templates. `token_id`
    returns the id of a control token, or None.
    """
    text = chat_template or ""
    if stated := _VERSION.search(text):
        return Detected(_with_reasoning(stated[1], text), "the comment in its chat template")
    if known := _CHECKPOINTS.get(re.split(r"[/\\]", checkpoint.rstrip("/\\"))[-1].lower()):
        return Detected(known, "its name")
    if by_tokens := _version_of_tokens(text, token_id):
        return Detected(by_tokens, "its control tokens")
    return _family(text, token_id)


def _version_of_tokens(text: str, token_id: Callable[[str], int | None]) -> str | None:
    """Return the format of Functionary that the control tokens mean.

    The models of Meta have the same tokens as the models of Functionary that were made from them. A chat template tells
    them apart: those of Functionary show the head of a call in their format.
    """
    if token_id("<|eom_id|>") == 128008:
        if ">>>" in text:
            return "v3.llama3"
        is_shown = not text or "<function=" in text or "Reasoning Mode" in text
        return _with_reasoning("v3-llama3.1", text) if is_shown else None
    if token_id("<|reserved_special_token_249|>") == 128254:
        if "image_url" in text and ">>>" in text:
            return "v3.llava_llama"
        if "<|reserved_special_token_249|>" in text:
            return "v2.llama3"
        return "v3.llama3" if ">>>" in text or not text else None
    if token_id("<|from|>") is not None:
        return "v2"
    return "v1" if token_id("<|START_OF_FUNCTION_CALL|>") is not None else None


def _family(text: str, token_id: Callable[[str], int | None]) -> Detected | None:
    """Return the format with the most signs in a chat template, of those whose control tokens the tokenizer has."""
    fitting = [template for template in templates_with_signs(text) if template.missing_token(token_id) is None]
    if not fitting:
        return None
    return Detected(fitting[0].name, f"{' and '.join(fitting[0].signs)} in its chat template")


def templates_with_signs(chat_template: str) -> list[PromptTemplate]:
    """Return the templates whose signs all stand in `chat_template`, those with the most signs first."""
    signed = [template for template in _templates() if template.signs]
    found = [template for template in signed if all(sign in chat_template for sign in template.signs)]
    return sorted(found, key=lambda template: -len(template.signs))


def _with_reasoning(version: str, chat_template: str) -> str:
    """Tell v3-llama3.1 from its variant with reasoning, whose chat template states the same version."""
    is_variant = version == "v3-llama3.1" and "Reasoning Mode" in chat_template
    return "v3-llama3.1-reasoning" if is_variant else version

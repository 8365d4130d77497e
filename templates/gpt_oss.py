"""Harmony, the format of gpt-oss. Each message of the assistant is in a channel: analysis, commentary or final.

A call is a message in the channel `commentary` to a function, and ends the turn. Text in the channel `commentary` is
for the user, before calls. The system message has no date, as in harmony's own renderer without a start date: a wrong
date is worse than none, and the prompts of one conversation stay equal from day to day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.conversation import Function, Message, Reasoning, Tool
from core.turn_format import Mark, Region, TurnFormat
from prompt_template import ANY_REASONING, Piece, PromptTemplate, ReasoningMarks, normalise, one_call_per_turn
from templates.shared.harmony_types import namespace

_START = "<|start|>assistant"
_TO = "to=functions."
_EFFORTS = {"minimal": "low", "xhigh": "high", "max": "high"}


class GptOss(PromptTemplate):
    name = "gpt_oss"
    versions = ("gpt-oss", "harmony")
    signs = ("<|channel|>", "<|message|>", "<|constrain|>")
    bos = False
    stop = ("<|return|>", "<|call|>", "<|endoftext|>")
    needed_tokens = ("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|call|>")
    opening = Piece(_START, markup=True)
    text_head = "<|channel|>final<|message|>"
    separator = None
    reasoning = ReasoningMarks(head="<|channel|>analysis<|message|>", tail=f"<|end|>{_START}")
    has_effort = True
    renders_reasoning = True

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], wish: Reasoning = ANY_REASONING
    ) -> list[Piece]:
        functions = self.functions_only(tools)
        turns = one_call_per_turn(normalise(messages))
        instructions = turns.pop(0).content if turns and turns[0].role == "system" else None
        pieces = [_system(functions, wish), *_developer(instructions, functions)]
        last_answer = max((number for number, turn in enumerate(turns) if _is_answer(turn)), default=-1)
        for number, turn in enumerate(turns):
            pieces += self._message(turn, is_past=number < last_answer, is_last=number == len(turns) - 1)
        return pieces

    def call_head(self, name: str) -> str:
        return f"<|channel|>commentary {_TO}{name} <|constrain|>json<|message|>"

    def turn_format(self, tools: Sequence[Tool]) -> TurnFormat:
        """The header of a message names its recipient before the channel or behind it."""
        body = (Mark("<|end|>", "role", is_control=True), Mark("<|start|>", "role", is_control=True))
        channel = Mark("<|channel|>", "channel", is_control=True)
        name_ends = (
            Mark("<|message|>", "args", is_control=True),
            *(Mark(text, "rest_of_head", is_control=True) for text in ("<|channel|>", "<|constrain|>")),
            Mark(" ", "rest_of_head"),
        )
        return TurnFormat(
            start="role",
            regions={
                "role": Region("skip", (channel, Mark(_TO, "name"), Mark("<|message|>", "text", is_control=True))),
                "channel": Region("skip", (Mark("analysis", "analysis"), *_header("text"))),
                "analysis": Region("skip", _header("reasoning")),
                "name": Region("name", name_ends),
                "rest_of_head": Region("skip", (Mark("<|message|>", "args", is_control=True),), leads_to_call=True),
                "text": Region("text", body),
                "reasoning": Region("reasoning", body),
                "args": Region("args", body),
            },
        )

    def _message(self, message: Message, *, is_past: bool, is_last: bool) -> Iterator[Piece]:
        """Yield the pieces of a message. The reasoning before an answer is dropped, as harmony does.

        The end of an answer is learned only where the answer is the last message, because the model ends its turn with
        another token than that which stands behind the answer later.
        """
        text = message.content or ""
        match message.role:
            case "user":
                yield from _plain("user", text)
            case "system":
                yield from _plain("developer", text, "# Instructions\n\n")
            case "tool":
                yield Piece("<|start|>functions.", markup=True)
                yield Piece(message.name)
                yield Piece(" to=assistant<|channel|>commentary<|message|>", markup=True)
                yield from (Piece(text), Piece("<|end|>", markup=True))
            case "assistant" if message.calls:
                yield from self._call(message, is_past=is_past)
            case "assistant" if message.content is not None:
                yield self.opening
                yield Piece(self.text_head, markup=True, learned=True)
                yield Piece(text, learned=True)
                yield Piece("<|return|>" if is_last else "<|end|>", markup=True, learned=is_last)

    def _call(self, message: Message, *, is_past: bool) -> Iterator[Piece]:
        yield self.opening
        before = [("<|channel|>analysis<|message|>", message.reasoning)] if not is_past else []
        for head, text in [*before, ("<|channel|>commentary<|message|>", message.content)]:
            if text:
                yield Piece(head, markup=True, learned=True)
                yield Piece(text, learned=True)
                yield Piece(f"<|end|>{_START}", markup=True, learned=True)
        for call in message.calls:
            yield Piece(f"<|channel|>commentary {_TO}", markup=True, learned=True)
            yield Piece(call.name, learned=True)
            yield Piece(" <|constrain|>json<|message|>", markup=True, learned=True)
            yield Piece(call.arguments, learned=True)
            yield Piece("<|call|>", markup=True, learned=True)


def _header(body: str) -> tuple[Mark, ...]:
    return (Mark(_TO, "name"), Mark("<|message|>", body, is_control=True))


def _is_answer(message: Message) -> bool:
    return message.role == "assistant" and not message.calls and message.content is not None


def _system(functions: Sequence[Function], wish: Reasoning) -> Piece:
    effort = wish.effort or "medium"
    text = (
        "You are ChatGPT, a large language model trained by OpenAI.\nKnowledge cutoff: 2024-06\n\n"
        f"Reasoning: {_EFFORTS.get(effort, effort)}\n\n"
        "# Valid channels: analysis, commentary, final. Channel must be included for every message."
    )
    if functions:
        text += "\nCalls to these tools must go to the commentary channel: 'functions'."
    return Piece(f"<|start|>system<|message|>{text}<|end|>", markup=True)


def _developer(instructions: str | None, functions: Sequence[Function]) -> Iterator[Piece]:
    if not instructions and not functions:
        return
    yield Piece("<|start|>developer<|message|>", markup=True)
    if instructions:
        yield Piece("# Instructions\n\n", markup=True)
        yield Piece(instructions)
    if functions:
        yield Piece(("\n\n" if instructions else "") + "# Tools\n\n## functions\n\n", markup=True)
        yield Piece(namespace(functions))
    yield Piece("<|end|>", markup=True)


def _plain(role: str, text: str, head: str = "") -> Iterator[Piece]:
    yield Piece(f"<|start|>{role}<|message|>{head}", markup=True)
    yield Piece(text)
    yield Piece("<|end|>", markup=True)


TEMPLATE: PromptTemplate = GptOss()

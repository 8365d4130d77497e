"""A chat on the command line: `python3 inference.py --chat --tools my_tools.py`."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from agent.agent import Agent
from agent.events import AgentEnd, AgentEvent, ToolCallArguments, ToolCallStart, ToolResult
from agent.results import ERROR
from agent.terminal import Kind, Terminal, shortened
from agent.tools import Tool
from client.endpoints import NoAnswer, Unusable
from client.rows import message_json
from core.errors import EngineBusy, EngineError, ModelError, RequestError
from core.turn_format import ReasoningDelta, TextDelta
from inference import Model

_COMMAND = re.compile(r"/[a-z]+")
HELP = """\
/tools lists the functions, /reset forgets the conversation, /help shows this text.
A line that ends with \\ goes on in the next one.
Ctrl-C stops an answer; it and its question are forgotten, but calls that have run stay run.
Ctrl-C or Ctrl-D at an empty prompt ends the chat."""


def chat(
    model: Model | str,
    tools: Sequence[Tool],
    *,
    model_name: str = "",
    api_key: str = "",
    confirm_all: bool = False,
    tool_search: int = 0,
) -> None:
    """Chat on standard input and output until the input ends.

    model: a loaded model, or the base URL of a server with `model_name` and `api_key`.
    confirm_all: ask before each call, not only before those of tools that need a confirmation.
    tool_search: the number of functions that the model sees at a time, or 0 for all.
    """
    if confirm_all:
        tools = [replace(tool, needs_confirmation=True) for tool in tools]
    terminal = Terminal()
    agent = Agent(
        tools,
        model=model,
        model_name=model_name,
        api_key=api_key,
        confirm=terminal.confirm,
        tool_search=tool_search,
    )
    try:
        Chat(agent, terminal).run()
    except KeyboardInterrupt:
        terminal.end_line()
    except BrokenPipeError:  # the reader of standard output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Chat:
    """A conversation of a user with an agent. `messages` are those of all finished answers, in OpenAI's format."""

    def __init__(self, agent: Agent, terminal: Terminal) -> None:
        self.messages: list[dict[str, Any]] = []
        self._agent = agent
        self._terminal = terminal

    def run(self) -> None:
        """Answer questions until the input ends. An error ends an answer and not the chat."""
        if self._terminal.is_interactive:
            self._terminal.line("note", f"functions: {len(self._agent.tools)}; /help explains, Ctrl-D ends")
        while (question := self._terminal.question()) is not None:
            if _COMMAND.fullmatch(question.strip()):
                self._command(question.strip())
            elif question.strip():
                self._ask(question)

    def _command(self, name: str) -> None:
        match name:
            case "/help":
                self._terminal.line("note", HELP)
            case "/tools":
                self._terminal.line("note", _listed(self._agent.tools) or "no functions; name a file with --tools")
            case "/reset":
                self.messages = []
                self._terminal.line("note", "the conversation is forgotten")
            case _:
                self._terminal.line("error", f"there is no command {name}; /help lists them")

    def _ask(self, question: str) -> None:
        try:
            asyncio.run(self._answer(question))
        except KeyboardInterrupt:
            self._terminal.line("note", "stopped; this question and its answer are forgotten")
        except (RequestError, EngineError, EngineBusy, ModelError, NoAnswer, Unusable) as error:
            told = " ".join(str(error).split()) or type(error).__name__
            self._terminal.line("error", told)

    async def _answer(self, question: str) -> None:
        asked = [*self.messages, {"role": "user", "content": question}]
        async with aclosing(self._agent.stream(asked)) as events:
            async for event in events:
                self._show(event)
                if isinstance(event, AgentEnd):
                    self.messages = [*asked, *map(message_json, event.messages)]

    def _show(self, event: AgentEvent) -> None:
        match event:
            case TextDelta(text):
                self._terminal.write("text", text)
            case ReasoningDelta(text):
                self._terminal.write("thinking", text)
            case ToolCallStart(_, name):
                self._terminal.write("call", f"{name} ", begins=True)
            case ToolCallArguments(_, text):
                self._terminal.write("call", text)
            case ToolResult():
                kind: Kind = "error" if event.is_error else "result"
                self._terminal.line(kind, f"{event.name}: {shortened(event.text.removeprefix(ERROR))}")
            case AgentEnd():
                self._terminal.end_line()
                if event.reason == "length":
                    self._terminal.line("note", f"the answer ended at its limit ({event.limit})")


def _listed(tools: Sequence[Tool]) -> str:
    """Return a line for each tool, with its name and the first line of its description."""
    width = max((len(tool.name) for tool in tools), default=0)
    lines = (f"  {tool.name:{width}}  {tool.function.description.partition(chr(10))[0]}".rstrip() for tool in tools)
    return "\n".join(["functions:", *lines]) if tools else ""

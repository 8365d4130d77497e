"""An agent: a model with tools, for programs. `Agent([my_function]).run("...")` returns its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any

from agent.calls import Confirm
from agent.events import AgentEnd, AgentEvent, EndReason, ToolResult
from agent.loop import USUAL_LIMITS, ChatModel, Limits, answer
from agent.models import LocalModel, RemoteModel
from agent.python.tools import tool
from agent.search import USUAL_LIMIT, narrowed
from agent.tools import Json, Tool, by_name
from apis.chat_completions import chat_request
from client.rows import function_json, message_json
from core.conversation import Message
from core.conversation import Tool as Declaration
from inference import Model, load_model

_OWN_FIELDS = {"messages", "functions", "function_call", "stream", "stream_options", "n"}


@dataclass(frozen=True)
class AgentAnswer:
    """What an agent answered.

    text: the model's last words. results: those of the calls, in the order in which the calls ended.
    messages: the whole conversation in OpenAI's format, which a further question continues.
    reason: "stop" after the model's answer, "length" if a limit ended it, which `limit` names.
    """

    text: str
    results: tuple[ToolResult, ...]
    messages: list[Json]
    reason: EndReason
    limit: str


class Agent:
    """A model with tools. It keeps no conversation: pass the messages of an answer, and a further one, to go on."""

    def __init__(
        self,
        tools: Sequence[Tool | Callable[..., Any]] = (),
        *,
        model: Model | str | None = None,
        model_name: str = "",
        api_key: str = "",
        instructions: str = "",
        confirm: Confirm | None = None,
        limits: Limits = USUAL_LIMITS,
        tool_search: bool | int = False,
        **parameters: Any,
    ) -> None:
        """Make an agent.

        tools: functions, or tools of any source.
        model: a loaded model, a checkpoint's folder or name, the base URL of an OpenAI-compatible server
        (`http://localhost:8000/v1`, with `model_name` and `api_key` if it needs them), or None for the embedded model.
        instructions: a system message before each conversation that has none.
        confirm: called with the tool and the arguments before a tool that needs a confirmation runs.
        tool_search: the number of tools that the model sees at a time, those nearest to what the user said; True for
        10, False for all.
        parameters: further fields of every chat completion, such as temperature, max_tokens or tool_choice. A call that
        tool_choice forces is forced in the first round only.
        Raises ToolSourceError for a function that cannot be a tool, and for two tools of one name.
        """
        if wrong := _OWN_FIELDS & parameters.keys():
            raise TypeError(f"an Agent has no parameter {min(wrong)!r}; it makes this field of a request itself")
        self.tools = tuple(by_name(one if isinstance(one, Tool) else tool(one) for one in tools).values())
        self.limits = limits
        self._model = model
        self._model_name = model_name
        self._api_key = api_key
        self._instructions = instructions
        self._confirm = confirm
        self._num_shown = USUAL_LIMIT if tool_search is True else int(tool_search)
        self._parameters = parameters
        self._lock = Lock()  # several threads may use one agent
        self._asked: ChatModel | None = None

    def run(self, messages: str | Sequence[Mapping[str, Any]]) -> AgentAnswer:
        """Answer a question, or a conversation in OpenAI's format. In a running event loop use `answer` or `stream`.

        Raises RequestError for a conversation that cannot be answered, EngineError, and for a server NoAnswer and
        Unusable (client/endpoints.py). After such an error nothing is run again, but tools may have run.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self.answer(messages))
        raise RuntimeError("an event loop is running, as in a notebook: use `await agent.answer(...)` instead of `run`")

    async def answer(self, messages: str | Sequence[Mapping[str, Any]]) -> AgentAnswer:
        """Answer like `run`, in a running event loop."""
        conversation = self._conversation(messages)
        async with aclosing(self._stream(conversation)) as events:
            everything = [event async for event in events]
        end = everything[-1]
        if not isinstance(end, AgentEnd):  # cannot happen: `loop.answer` ends with it or raises
            raise RuntimeError("the answer has no end")
        last = end.messages[-1] if end.messages else None
        return AgentAnswer(
            text=(last.content or "") if last and last.role == "assistant" else "",
            results=tuple(event for event in everything if isinstance(event, ToolResult)),
            messages=[message_json(message) for message in (*conversation, *end.messages)],
            reason=end.reason,
            limit=end.limit,
        )

    async def stream(self, messages: str | Sequence[Mapping[str, Any]]) -> AsyncGenerator[AgentEvent]:
        """Yield the events of an answer (agent/events.py) while it is made. The last is AgentEnd."""
        async with aclosing(self._stream(self._conversation(messages))) as events:
            async for event in events:
                yield event

    async def _stream(self, conversation: Sequence[Message]) -> AsyncGenerator[AgentEvent]:
        model = await asyncio.to_thread(self._loaded)
        choose = self._nearest if 0 < self._num_shown < len(self.tools) else None
        async with aclosing(
            answer(model, conversation, self.tools, limits=self.limits, confirm=self._confirm, choose=choose)
        ) as events:
            async for event in events:
                yield event

    def _nearest(self, tools: Sequence[Declaration], messages: Sequence[Message]) -> Sequence[Declaration]:
        return narrowed(tools, messages, self._num_shown, required=self._forced)

    @cached_property
    def _forced(self) -> tuple[str, ...]:
        """The tools that the parameter tool_choice names, which the model always sees."""
        tools = [{"type": "function", "function": {"name": one.name}} for one in self.tools]
        body = {"model": "functionary", "messages": [{"role": "user", "content": "."}], "tools": tools}
        return chat_request({**body, "tool_choice": self._parameters.get("tool_choice")}).choice.names or ()

    def _conversation(self, messages: str | Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
        given = [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)
        if self._instructions and (not given or given[0].get("role") not in ("system", "developer")):
            given = [{"role": "system", "content": self._instructions}, *given]
        return chat_request({"model": "functionary", "messages": given}).messages

    def _loaded(self) -> ChatModel:
        """Return the model. It is loaded when it is needed for the first time."""
        with self._lock:
            self._asked = self._asked or self._chat_model()
            return self._asked

    def _chat_model(self) -> ChatModel:
        given = self._model
        if isinstance(given, str) and given.startswith(("http://", "https://")):
            return RemoteModel(given, self._model_name, api_key=self._api_key, parameters=self._parameters)
        model = given if isinstance(given, Model) else load_model(given)
        tools = [{"type": "function", "function": function_json(one.function)} for one in self.tools]
        body = {"model": model.names[0], "messages": [{"role": "user", "content": "."}], **self._parameters}
        return LocalModel(model, chat_request({**body, **({"tools": tools} if tools else {})}))

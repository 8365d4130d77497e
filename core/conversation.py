"""The nouns that every room shares: a request as it is once OpenAI's dialects are folded into one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

JsonSchema = dict[str, Any]


@dataclass(frozen=True)
class Function:
    """A function the model may call; `parameters` is its JSON Schema, or None for no parameters."""

    name: str
    description: str = ""
    parameters: JsonSchema | None = None
    strict: bool = False


@dataclass(frozen=True)
class CodeInterpreter:
    """The tool of some formats that takes raw Python source instead of JSON arguments."""

    name: str = "python"


Tool = Function | CodeInterpreter


@dataclass(frozen=True)
class Call:
    """A call in the history. `arguments` is the text that the model once wrote, JSON or not."""

    name: str
    arguments: str
    id: str = ""


@dataclass(frozen=True)
class Message:
    """One turn. `name` and `call_id` belong to results (role "tool"): which function answers, which call."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    calls: tuple[Call, ...] = ()
    name: str = ""
    call_id: str = ""


@dataclass(frozen=True)
class ToolChoice:
    """Who decides. `names` are the functions that may be called, None for all; a named choice has one."""

    mode: Literal["none", "auto", "required", "named"]
    names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ResponseFormat:
    """What the text of the answer must be; the other fields belong to "json_schema"."""

    kind: Literal["text", "json_object", "json_schema"] = "text"
    schema: JsonSchema | None = None
    strict: bool = False
    name: str = ""


@dataclass(frozen=True)
class SamplingParams:
    """What a request says of sampling; None leaves it to the model's defaults."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    min_tokens: int = 0
    ignore_eos: bool = False
    logprobs: int | None = None  # how many alternatives to report beside each token; None: no logprobs at all


@dataclass(frozen=True)
class ChatRequest:
    """One chat request, checked. What it does not say has its default here."""

    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = ToolChoice("none")
    max_calls: int | None = None  # 1 for `functions` and for parallel_tool_calls: false; None: any number
    legacy: bool = False  # asked with `functions`: answered with function_call
    response_format: ResponseFormat = ResponseFormat()
    sampling: SamplingParams = SamplingParams()
    n: int = 1
    stream: bool = False
    include_usage: bool = False
    metadata: dict[str, str] | None = None
    owner: str = ""  # whose request it is, where there are keys
    prediction: str = ""  # what the answer may repeat
    ignored: tuple[str, ...] = field(default=())  # body fields that we do not know


@dataclass(frozen=True)
class CompletionRequest:
    """One raw completion request, checked: prompts are text, in which special tokens count, or token ids."""

    model: str
    prompts: tuple[str | tuple[int, ...], ...]
    sampling: SamplingParams = SamplingParams()
    n: int = 1
    echo: bool = False
    stream: bool = False
    include_usage: bool = False
    owner: str = ""
    ignored: tuple[str, ...] = field(default=())

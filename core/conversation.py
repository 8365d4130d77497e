"""The internal form of a request and its conversation. Requests of all of OpenAI's APIs are converted to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

JsonSchema = dict[str, Any]


@dataclass(frozen=True)
class ResponseFormat:
    """The format of the answer's text.

    schema, strict, name: for "json_schema"; a strict schema is an error if the grammar compiler does not support it.
    pattern: for "regex", the regular expression that the whole text matches. choices: for "choice", the allowed texts.
    grammar: for "grammar", a grammar in Lark or GBNF. param: the field of the request that states the format.
    """

    kind: Literal["text", "json_object", "json_schema", "regex", "choice", "grammar"] = "text"
    schema: JsonSchema | None = None
    strict: bool = False
    name: str = ""
    pattern: str = ""
    choices: tuple[str, ...] = ()
    grammar: str = ""
    param: str = "response_format"


@dataclass(frozen=True)
class Function:
    """A function that the model may call. `parameters` is a JSON Schema, or None for no parameters.

    input_format: for a custom tool (apis/rules/custom_tools.py), the format of its one parameter, which is a text.
    param: the request's field that holds `parameters`, for errors.
    """

    name: str
    description: str = ""
    parameters: JsonSchema | None = None
    strict: bool = False
    input_format: ResponseFormat | None = None
    param: str = field(default="", compare=False)


@dataclass(frozen=True)
class CodeInterpreter:
    """The code interpreter, a tool of some prompt formats. The arguments of its calls are Python source, not JSON."""

    name: str = "python"


Tool = Function | CodeInterpreter


@dataclass(frozen=True)
class Call:
    """A call in an earlier message. `arguments` is the text that the model wrote, which may be invalid JSON."""

    name: str
    arguments: str
    id: str = ""


@dataclass(frozen=True)
class Message:
    """One message of the conversation. A message of the assistant with neither content nor calls is an empty turn.

    name: the function that was run, in a result (role "tool"); else the name of the author, often empty.
    call_id: the id of the call that a result answers.
    reasoning: what the assistant thought before the content, as other servers return it.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    calls: tuple[Call, ...] = ()
    name: str = ""
    call_id: str = ""
    reasoning: str = ""


@dataclass(frozen=True)
class ToolChoice:
    """Whether the model must call a tool, and which ones it may call.

    `names` are the functions that may be called; None for all. If `mode` is "named", there is exactly one name.
    """

    mode: Literal["none", "auto", "required", "named"]
    names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Reasoning:
    """How much the model shall reason before it answers. None means the prompt format's default.

    is_enabled: whether it shall reason at all. effort: how much, for formats that have a word for it.
    """

    is_enabled: bool | None = None
    effort: Literal["minimal", "low", "medium", "high", "xhigh", "max"] | None = None


@dataclass(frozen=True)
class SamplingParams:
    """The sampling parameters of a request. None means the model's default."""

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
    logprobs: int | None = None  # number of alternatives reported with each token; None: no logprobs


@dataclass(frozen=True)
class ChatRequest:
    """One chat request after validation. Fields that the request leaves out have their defaults."""

    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = ToolChoice("none")
    max_calls: int | None = None  # 1 for `functions` and for parallel_tool_calls: false; None: any number
    legacy: bool = False  # the request has `functions`, so the answer has `function_call`
    response_format: ResponseFormat = ResponseFormat()
    reasoning: Reasoning = Reasoning()
    sampling: SamplingParams = SamplingParams()
    n: int = 1
    stream: bool = False
    include_usage: bool = False
    metadata: dict[str, str] | None = None
    owner: str = ""  # the API key; empty on a server without keys
    prediction: str = ""  # a text that the client expects in the answer
    server_tools: tuple[str, ...] = ()  # the names of those of `tools` that the server runs itself
    own_names: dict[str, str] = field(default_factory=dict)  # alias of a tool -> its name in the request
    switch_fields: tuple[str, ...] = ()  # the fields of the body that switch reasoning on or off
    effort_fields: tuple[str, ...] = ()  # the fields of the body that state how much to reason
    ignored: tuple[str, ...] = field(default=())  # unknown fields of the request body
    reasoning_param: str = "messages.reasoning_content"  # the field with the reasoning of earlier answers

    def own_name(self, name: str) -> str:
        """Return the name that the request has for the tool which the model knows as `name`."""
        return self.own_names.get(name, name)


@dataclass(frozen=True)
class CompletionRequest:
    """One raw completion request after validation.

    A prompt is a text or a tuple of token ids. In a text, the spelling of a control token becomes that token.
    """

    model: str
    prompts: tuple[str | tuple[int, ...], ...]
    sampling: SamplingParams = SamplingParams()
    response_format: ResponseFormat = ResponseFormat()
    n: int = 1
    echo: bool = False
    stream: bool = False
    include_usage: bool = False
    owner: str = ""
    ignored: tuple[str, ...] = field(default=())

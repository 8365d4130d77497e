"""POST /v1/messages and /v1/messages/count_tokens, Anthropic's API: body -> ChatRequest."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from apis.rules.anthropic_messages import AssistantTurn, Text, Turns, fold_turns
from apis.rules.anthropic_tools import ToolFields, calling
from apis.rules.constraints import schema_format
from apis.rules.fields import MAX_INT32, Shape, Size, read
from apis.rules.requests import ignored, unsupported
from apis.rules.sampling import MAX_STOPS, Fraction, Stop, TokenLimit
from apis.rules.schemas import SchemaObject
from apis.rules.tool_names import with_aliases
from core.conversation import ChatRequest, Reasoning, ResponseFormat, SamplingParams
from core.errors import RequestError

_WEATHER_TOOL = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
_QUESTION = {"role": "user", "content": "What is the weather in Istanbul?"}
EXAMPLES = {
    "A question": {"model": "functionary", "max_tokens": 16, "messages": [{"role": "user", "content": "Hello"}]},
    "A call": {
        "model": "functionary",
        "max_tokens": 64,
        "messages": [_QUESTION],
        "tools": [_WEATHER_TOOL],
        "tool_choice": {"type": "tool", "name": "get_weather"},
    },
    "An answer to a call": {
        "model": "functionary",
        "max_tokens": 32,
        "system": "Answer in one sentence.",
        "messages": [
            _QUESTION,
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Istanbul"}}
                ],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "14 degrees, rain"}],
            },
        ],
        "tools": [_WEATHER_TOOL],
    },
    "JSON by a schema": {
        "model": "functionary",
        "max_tokens": 32,
        "messages": [{"role": "user", "content": "Name a city."}],
        "output_config": {
            "format": {
                "type": "json_schema",
                "schema": {
                    "type": "object",
                    "properties": {"name": {"enum": ["Istanbul", "Paris"]}},
                    "required": ["name"],
                    "additionalProperties": False,
                },
            }
        },
    },
}
UNSUPPORTED = ("mcp_servers",)
_IGNORED = "Ignored."


class ThinkingConfig(Shape):
    """Whether the model reasons before it answers."""

    unread = frozenset(("budget_tokens", "display"))

    type: Literal["enabled", "adaptive", "between_tools", "disabled"] = Field(
        description="disabled: the model does not reason. Any other: it does, if its template has a switch for it."
    )


class JsonOutputFormat(Shape):
    """The answer's text is JSON that follows a schema."""

    type: Literal["json_schema"] = Field(description="Always json_schema.")
    schema_: SchemaObject = Field(alias="schema", description="The JSON Schema.")


class OutputConfig(Shape):
    """The format of the answer's text, and how much the model reasons."""

    unread = frozenset(("task_budget",))

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = Field(
        None, description="How much the model reasons. Ignored if the model's template has no place for it."
    )
    format: JsonOutputFormat | None = Field(None, description="The format of the text. Default: any text.")


class MessagesRequest(ToolFields):
    """The body of POST /v1/messages. In an optional field, null means the same as leaving it out."""

    refuses_unknown = "never"  # `ignored` has the text for the fields of a body

    model: str = Field(description="One of the names in /v1/models.", examples=["functionary"])
    messages: Turns = Field(
        description="The conversation so far. The last message is not the assistant's.",
        examples=[[{"role": "user", "content": "Hello"}]],
    )
    max_tokens: TokenLimit = Field(description="The maximum number of generated tokens.", examples=[256])
    system: Text | None = Field(None, description="Instructions for the model, as a string or as text blocks.")
    stop_sequences: Annotated[list[Stop], Size(MAX_STOPS)] | None = Field(
        None, description="Strings that end the answer and are not part of it.", examples=[["\n\n"]]
    )
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = Field(
        None, description="The sampling temperature. 0 always takes the most likely token. Default: the model's own."
    )
    top_p: Fraction | None = Field(
        None,
        description="Sample from the smallest set of tokens whose probabilities add up to this. "
        "Default: the model's own.",
    )
    top_k: Annotated[int, Field(ge=0, le=MAX_INT32)] | None = Field(
        None, description="Sample from this many most likely tokens; 0 means all tokens."
    )
    stream: bool | None = Field(False, description="true: send the answer as server-sent events.")
    thinking: ThinkingConfig | None = Field(
        None, description="Whether the model reasons before it answers. Default: as the model's template has it."
    )
    output_config: OutputConfig | None = Field(None, description="The format of the text, and how much to reason.")
    output_format: JsonOutputFormat | None = Field(None, description="The older name of output_config.format.")
    cache_control: Any = Field(None, description=_IGNORED)
    container: Any = Field(None, description=_IGNORED)
    context_management: Any = Field(None, description=_IGNORED)
    diagnostics: Any = Field(None, description=_IGNORED)
    inference_geo: Any = Field(None, description=_IGNORED)
    metadata: Any = Field(None, description=_IGNORED)
    service_tier: Any = Field(None, description=_IGNORED)
    speed: Any = Field(None, description=_IGNORED)
    user_profile_id: Any = Field(None, description=_IGNORED)


class CountTokensRequest(MessagesRequest):
    """The body of POST /v1/messages/count_tokens: that of /v1/messages, of which max_tokens may be left out."""

    max_tokens: TokenLimit | None = Field(None, description="Not used.")  # type: ignore[assignment]


def messages_request(body: dict[str, Any], *, strict_openai: bool = False) -> ChatRequest:
    """Check the body of POST /v1/messages and convert it to a ChatRequest.

    Raises RequestError for the first problem, and no other exception for any JSON. The model's name and the length of
    the prompt are not checked here.
    strict_openai: raise it for unknown fields too.
    """
    asked = read(MessagesRequest, body, strict_openai=strict_openai)
    if isinstance(asked.messages[-1], AssistantTurn):
        path = f"messages[{len(asked.messages) - 1}].role"
        message = f"Invalid '{path}': this server does not support assistant message prefill. "
        raise RequestError(f"{message}The conversation must end with a user message.", path, "unsupported_value")
    return _converted(asked, body, strict_openai=strict_openai)


def count_request(body: dict[str, Any], *, strict_openai: bool = False) -> ChatRequest:
    """Check the body of POST /v1/messages/count_tokens and convert it like `messages_request`."""
    asked = read(CountTokensRequest, body, strict_openai=strict_openai)
    return _converted(asked, body, strict_openai=strict_openai)


def _converted(asked: MessagesRequest, body: dict[str, Any], *, strict_openai: bool) -> ChatRequest:
    messages = fold_turns(asked.system, asked.messages)
    calls = calling(asked)
    if body.get("mcp_servers"):
        raise unsupported("mcp_servers")
    unknown = ignored(body, MessagesRequest, UNSUPPORTED, strict_openai=strict_openai, beyond_openai=frozenset())
    effort = asked.output_config.effort if asked.output_config else None
    return with_aliases(
        ChatRequest(
            model=asked.model,
            messages=messages,
            tools=calls.tools,
            choice=calls.choice,
            max_calls=calls.max_calls,
            response_format=_format(asked),
            reasoning=Reasoning(asked.thinking.type != "disabled" if asked.thinking else None, effort),
            switch_fields=("thinking",) if asked.thinking else (),
            effort_fields=("output_config.effort",) if effort else (),
            sampling=SamplingParams(
                max_tokens=asked.max_tokens,
                temperature=asked.temperature,
                top_p=asked.top_p,
                top_k=asked.top_k or 0,
                stop=tuple(filter(None, asked.stop_sequences or ())),  # an empty string would stop every answer at once
            ),
            stream=asked.stream or False,
            ignored=unknown,
            reasoning_param="messages.thinking",
        )
    )


def _format(asked: MessagesRequest) -> ResponseFormat:
    if asked.output_config and (stated := asked.output_config.format):
        return schema_format(stated.schema_, "output_config.format.schema")
    if asked.output_format:
        return schema_format(asked.output_format.schema_, "output_format.schema")
    return ResponseFormat()

"""The published schemas of chat completions' answers, whole and streamed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from apis.rules.answers import Answer, AnswerHead, Usage

_ALIAS = "Another name of reasoning_content, if the server was started with --reasoning-field reasoning or both."


class AnsweredFunction(Answer):
    """The function that the model calls."""

    name: str = Field(description="The name of one of the request's functions.")
    arguments: str = Field(
        description="The arguments as JSON text, which is incomplete if the token limit was reached."
    )


class AnsweredToolCall(Answer):
    """One call of a tool."""

    id: str = Field(description="The id of the call. The tool message with its result repeats it as tool_call_id.")
    type: Literal["function"] = Field(description="Always function.")
    function: AnsweredFunction = Field(description="The called function and its arguments.")


class AnsweredCustomTool(Answer):
    """The custom tool that the model calls."""

    name: str = Field(description="The name of one of the request's custom tools.")
    input: str = Field(description="The text, which is incomplete if the token limit was reached.")


class AnsweredCustomCall(Answer):
    """One call of a custom tool."""

    id: str = Field(description="The id of the call. The tool message with its result repeats it as tool_call_id.")
    type: Literal["custom"] = Field(description="Always custom.")
    custom: AnsweredCustomTool = Field(description="The called tool and its text.")


class TracedCalls(Answer):
    """A message of the trace with calls that the server has run."""

    role: Literal["assistant"] = Field(description="Always assistant.")
    content: None = Field(description="Always null: all text is in the content of the answer.")
    tool_calls: list[AnsweredToolCall] = Field(description="The calls.")


class TracedResult(Answer):
    """A message of the trace with the result of a call."""

    role: Literal["tool"] = Field(description="Always tool.")
    tool_call_id: str = Field(description="The id of the call.")
    name: str = Field(description="The name of the tool.")
    content: str = Field(description="The result as the model reads it.")
    is_error: bool = Field(description="Whether the call failed or was not run; the content says why.")


class AnswerMessage(Answer):
    """The model's message."""

    role: Literal["assistant"] = Field(description="Always assistant.")
    content: str | None = Field(description="The text; null if the message only has calls or reasoning.")
    reasoning_content: str = Field(
        "", description="What the model thought before the text and the calls. Absent if there is nothing."
    )
    reasoning: str = Field("", description=_ALIAS)
    refusal: None = Field(description="Always null.")
    annotations: Annotated[list[Any], Field(max_length=0)] = Field(description="Always empty.")
    tool_calls: list[AnsweredToolCall | AnsweredCustomCall] = Field(
        [], description="The calls. Absent if there are none."
    )
    function_call: AnsweredFunction | None = Field(
        None, description="The call, if the request has the older functions. Absent otherwise."
    )
    trace: list[TracedCalls | TracedResult] = Field(
        [],
        description="The calls that the server has run for server_tools, and their results, as messages that come "
        "before this one in the conversation. Absent if there are none.",
    )


class TokenLogprob(Answer):
    """A token and its log probability."""

    token: str = Field(description="The token's text; an incomplete character is shown as U+FFFD.")
    logprob: float = Field(description="The natural logarithm of the token's probability.")
    bytes: list[int] = Field(description="The token's bytes in UTF-8.")


class ReportedToken(TokenLogprob):
    """A token of the text and the most likely tokens at its position."""

    top_logprobs: list[TokenLogprob] = Field(
        description="The most likely tokens, most likely first; as many as the request asks for."
    )


class ChatLogprobs(Answer):
    """The log probabilities of the text's tokens."""

    content: list[ReportedToken] = Field(description="The tokens of the text; the tokens of calls are left out.")
    refusal: None = Field(description="Always null.")


FinishReason = Literal["stop", "length", "tool_calls", "function_call"]


class ChatChoice(Answer):
    """One of the `n` answers that the request asked for."""

    index: int = Field(description="The number of the choice, from 0 to n - 1.")
    message: AnswerMessage = Field(description="The model's message.")
    logprobs: ChatLogprobs | None = Field(description="null unless the request asks for logprobs.")
    finish_reason: FinishReason = Field(
        description="Why the choice ended: stop (also after a call by a named tool_choice), length (the token limit), "
        "tool_calls, or function_call."
    )


class ChatCompletion(AnswerHead):
    """The answer of POST /v1/chat/completions if it is not streamed."""

    object: Literal["chat.completion"] = Field(description="Always chat.completion.")
    choices: list[ChatChoice] = Field(description="The n choices, by index.")
    usage: Usage = Field(description="The token counts.")
    metadata: dict[str, str] = Field({}, description="The request's metadata. Absent if the request has none.")


class FunctionDelta(Answer):
    """A part of a call: the name in the first delta, pieces of the arguments in the others."""

    name: str = Field("", description="The function's name, in the first delta of a call only.")
    arguments: str = Field(description="The new part of the arguments; empty in the first delta.")


class ToolCallDelta(Answer):
    """A part of a tool call. The first delta of a call has its id, type and name."""

    index: int = Field(description="The number of the call in its choice, from 0.")
    id: str = Field("", description="The id of the call, in its first delta only.")
    type: Literal["function"] = Field("function", description="Always function, in the first delta of a call only.")
    function: FunctionDelta = Field(description="The new part of the call.")


class CustomDelta(Answer):
    """A part of a call of a custom tool: the name in the first delta, pieces of the text in the others."""

    name: str = Field("", description="The tool's name, in the first delta of a call only.")
    input: str = Field(description="The new part of the text; empty in the first delta.")


class CustomCallDelta(Answer):
    """A part of a call of a custom tool. The first delta of a call has its id, type and name."""

    index: int = Field(description="The number of the call in its choice, from 0.")
    id: str = Field("", description="The id of the call, in its first delta only.")
    type: Literal["custom"] = Field("custom", description="Always custom, in the first delta of a call only.")
    custom: CustomDelta = Field(description="The new part of the call.")


class TracedCallsDelta(Answer):
    """A part of a message of the trace with calls. The first one has its role and its content."""

    index: int = Field(description="The number of the message in the trace, from 0.")
    role: Literal["assistant"] = Field("assistant", description="Always assistant, in the first part only.")
    content: None = Field(None, description="Always null.")
    tool_calls: list[ToolCallDelta] = Field(description="The new parts of calls.")


class TracedResultDelta(TracedResult):
    """The result of a call, which comes whole."""

    index: int = Field(description="The number of the message in the trace, from 0.")


class Delta(Answer):
    """The new part of a message. It is empty in the last chunk of a choice."""

    role: Literal["assistant"] = Field("assistant", description="Always assistant, in a choice's first chunk only.")
    content: str | None = Field(
        None,
        description="The new part of the text; null in the first chunk of a choice that starts with a call or with "
        "reasoning.",
    )
    reasoning_content: str = Field("", description="The new part of the reasoning. Absent if there is none.")
    reasoning: str = Field("", description=_ALIAS)
    refusal: None = Field(None, description="Always null.")
    tool_calls: list[ToolCallDelta | CustomCallDelta] = Field(
        [], description="The new parts of calls. Absent if there are none."
    )
    function_call: FunctionDelta | None = Field(
        None, description="The new part of the call, if the request has the older functions."
    )
    trace: list[TracedCallsDelta | TracedResultDelta] = Field(
        [], description="The new part of the trace. Absent if there is none."
    )


class ChunkChoice(Answer):
    """The new part of one choice."""

    index: int = Field(description="The number of the choice, from 0 to n - 1.")
    delta: Delta = Field(description="The new part of the message; empty in the choice's last chunk.")
    logprobs: ChatLogprobs | None = Field(description="null unless the request asks for logprobs.")
    finish_reason: FinishReason | None = Field(
        description="Why the choice ended. null in all of its chunks except the last."
    )


class ChatCompletionChunk(AnswerHead):
    """One chunk of a streamed answer of POST /v1/chat/completions."""

    object: Literal["chat.completion.chunk"] = Field(description="Always chat.completion.chunk.")
    choices: list[ChunkChoice] = Field(
        description="One choice's new part. In the last chunk of a stream with include_usage: empty."
    )
    usage: Usage | None = Field(
        None, description="The token counts. Only with include_usage, and null except in the last chunk."
    )

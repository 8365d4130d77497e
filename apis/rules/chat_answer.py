"""The answer of chat completions, whole and streamed, as it is published."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from apis.rules.answers import Answer, AnswerHead, Usage


class AnsweredFunction(Answer):
    """The function that the model calls."""

    name: str = Field(description="One of the declared names.")
    arguments: str = Field(description="A JSON object, or what the token limit left of it.")


class AnsweredToolCall(Answer):
    """A call."""

    id: str = Field(description="What the tool message that answers it repeats.")
    type: Literal["function"] = Field(description="Always function.")
    function: AnsweredFunction = Field(description="What is called.")


class AnswerMessage(Answer):
    """What the model answers."""

    role: Literal["assistant"] = Field(description="The model.")
    content: str | None = Field(description="null if only calls were made.")
    refusal: None = Field(description="Always null.")
    annotations: Annotated[list[Any], Field(max_length=0)] = Field(description="Always empty.")
    tool_calls: list[AnsweredToolCall] = Field([], description="Absent if there are none.")
    function_call: AnsweredFunction | None = Field(None, description="Answers the older functions; absent otherwise.")


class TokenLogprob(Answer):
    """A token by its text and bytes."""

    token: str = Field(description="Its text; a part of a character is U+FFFD.")
    logprob: float = Field(description="Natural logarithm.")
    bytes: list[int] = Field(description="UTF-8.")


class ReportedToken(TokenLogprob):
    """A token of the text, and its likeliest alternatives, best first."""

    top_logprobs: list[TokenLogprob] = Field(description="As many as the request asks for.")


class ChatLogprobs(Answer):
    """The tokens of the text."""

    content: list[ReportedToken] = Field(description="Without the tokens of calls.")
    refusal: None = Field(description="Always null.")


FinishReason = Literal["stop", "length", "tool_calls", "function_call"]


class ChatChoice(Answer):
    """One choice."""

    index: int = Field(description="From 0 to n - 1.")
    message: AnswerMessage = Field(description="The answer.")
    logprobs: ChatLogprobs | None = Field(description="null unless the request asks for them.")
    finish_reason: FinishReason = Field(description="A named function ends with stop; a cut one with length.")


class ChatCompletion(AnswerHead):
    """The answer of POST /v1/chat/completions without stream."""

    object: Literal["chat.completion"] = Field(description="What this is.")
    choices: list[ChatChoice] = Field(description="n choices.")
    usage: Usage = Field(description="Token counts.")
    metadata: dict[str, str] = Field({}, description="That of the request; absent if it has none.")


class FunctionDelta(Answer):
    """The name in the first delta of a call, pieces of the arguments in all."""

    name: str = Field("", description="In the first delta only.")
    arguments: str = Field(description="What is new; empty in the first delta.")


class ToolCallDelta(Answer):
    """A piece of a call; id and type stand in its first delta only."""

    index: int = Field(description="Counts the calls of a choice.")
    id: str = Field("", description="In the first delta only.")
    type: Literal["function"] = Field("function", description="In the first delta only.")
    function: FunctionDelta = Field(description="What is new.")


class Delta(Answer):
    """What is new; the role stands in a choice's first chunk, and the last delta is empty."""

    role: Literal["assistant"] = Field("assistant", description="In the first chunk only.")
    content: str | None = Field(None, description="What is new of the text; null beside the first call.")
    refusal: None = Field(None, description="In the first chunk only.")
    tool_calls: list[ToolCallDelta] = Field([], description="Absent if there are none.")
    function_call: FunctionDelta | None = Field(None, description="Answers the older functions.")


class ChunkChoice(Answer):
    """A piece of one choice."""

    index: int = Field(description="From 0 to n - 1.")
    delta: Delta = Field(description="What is new; empty in the last chunk.")
    logprobs: ChatLogprobs | None = Field(description="null unless the request asks for them.")
    finish_reason: FinishReason | None = Field(description="null but in the last chunk.")


class ChatCompletionChunk(AnswerHead):
    """An event of a stream of POST /v1/chat/completions."""

    object: Literal["chat.completion.chunk"] = Field(description="What this is.")
    choices: list[ChunkChoice] = Field(description="Empty in the last chunk with include_usage.")
    usage: Usage | None = Field(None, description="With include_usage: null in all chunks but the last.")

"""The published schemas of the answers of Anthropic's Messages API, whole and streamed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, RootModel

from apis.rules.answers import Answer, ErrorDetails

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]


class AnsweredText(Answer):
    """A block of text."""

    type: Literal["text"] = Field(description="Always text.")
    text: str = Field(description="The text; empty at the start of a streamed block.")


class AnsweredToolUse(Answer):
    """A block that is a call."""

    type: Literal["tool_use"] = Field(description="Always tool_use.")
    id: str = Field(description="The id of the call. The tool_result block with its result repeats it as tool_use_id.")
    name: str = Field(description="The name of one of the request's tools.")
    input: dict[str, Any] = Field(
        description="The arguments. Empty at the start of a streamed block, and if the model's arguments are no JSON "
        "object, as after the token limit."
    )


class AnsweredThinking(Answer):
    """A block of what the model thought."""

    type: Literal["thinking"] = Field(description="Always thinking.")
    thinking: str = Field(description="The text; empty at the start of a streamed block.")
    signature: str = Field(description="No signature: this server does not sign thinking.")


AnsweredBlock = Annotated[AnsweredText | AnsweredToolUse | AnsweredThinking, Field(discriminator="type")]


class MessageUsage(Answer):
    """The token counts of one request. The first three add up to the tokens of the prompt."""

    input_tokens: int = Field(description="Prompt tokens that were computed.")
    cache_creation_input_tokens: Literal[0] = Field(description="Always 0: caching needs no extra tokens.")
    cache_read_input_tokens: int = Field(description="Prompt tokens served from the prefix cache.")
    output_tokens: int = Field(description="Generated tokens, with those of calls and thinking.")


class AnthropicMessage(Answer):
    """The answer of POST /v1/messages."""

    id: str = Field(description="A unique id of the answer.")
    type: Literal["message"] = Field(description="Always message.")
    role: Literal["assistant"] = Field(description="Always assistant.")
    model: str = Field(description="The model name of the request.")
    content: list[AnsweredBlock] = Field(description="The blocks in the order in which the model wrote them.")
    stop_reason: StopReason | None = Field(description="Why the answer ended; null at the start of a stream.")
    stop_sequence: str | None = Field(description="The stop sequence that ended the answer, or null.")
    usage: MessageUsage = Field(description="The token counts.")


class MessageStart(Answer):
    """The first event of a stream."""

    type: Literal["message_start"] = Field(description="Always message_start.")
    message: AnthropicMessage = Field(
        description="The message, still without blocks. All tokens of the prompt count as input_tokens."
    )


class ContentBlockStart(Answer):
    """The start of a block."""

    type: Literal["content_block_start"] = Field(description="Always content_block_start.")
    index: int = Field(description="The position of the block in the content, from 0.")
    content_block: AnsweredBlock = Field(description="The block, still empty.")


class TextBlockDelta(Answer):
    """More text."""

    type: Literal["text_delta"] = Field(description="Always text_delta.")
    text: str = Field(description="The new part.")


class InputJsonDelta(Answer):
    """More of a call's arguments."""

    type: Literal["input_json_delta"] = Field(description="Always input_json_delta.")
    partial_json: str = Field(description="The new part of the JSON text, exactly as the model wrote it.")


class ThinkingDelta(Answer):
    """More of what the model thought."""

    type: Literal["thinking_delta"] = Field(description="Always thinking_delta.")
    thinking: str = Field(description="The new part.")


class SignatureDelta(Answer):
    """The signature at the end of a block of thinking."""

    type: Literal["signature_delta"] = Field(description="Always signature_delta.")
    signature: str = Field(description="No signature: this server does not sign thinking.")


class ContentBlockDelta(Answer):
    """A new part of the open block."""

    type: Literal["content_block_delta"] = Field(description="Always content_block_delta.")
    index: int = Field(description="The position of the block.")
    delta: Annotated[TextBlockDelta | InputJsonDelta | ThinkingDelta | SignatureDelta, Field(discriminator="type")] = (
        Field(description="The new part.")
    )


class ContentBlockStop(Answer):
    """The end of a block."""

    type: Literal["content_block_stop"] = Field(description="Always content_block_stop.")
    index: int = Field(description="The position of the block.")


class MessageEnd(Answer):
    """Why the message ended."""

    stop_reason: StopReason = Field(description="Why the answer ended.")
    stop_sequence: str | None = Field(description="The stop sequence that ended the answer, or null.")


class MessageDelta(Answer):
    """The end of the message."""

    type: Literal["message_delta"] = Field(description="Always message_delta.")
    delta: MessageEnd = Field(description="Why the message ended.")
    usage: MessageUsage = Field(description="The token counts of the whole answer, which replace those of the start.")


class MessageStop(Answer):
    """The last event of a stream."""

    type: Literal["message_stop"] = Field(description="Always message_stop.")


class AnthropicEvent(
    RootModel[
        Annotated[
            MessageStart | ContentBlockStart | ContentBlockDelta | ContentBlockStop | MessageDelta | MessageStop,
            Field(discriminator="type"),
        ]
    ]
):
    """One event of a streamed answer of POST /v1/messages. `ping` events may come between, and are skipped."""


class TokenCount(Answer):
    """The answer of POST /v1/messages/count_tokens."""

    input_tokens: int = Field(description="The number of tokens in the prompt, tools and system prompt included.")


class AnthropicError(Answer):
    """The body of every answer to a failed request: Anthropic's, with the fields of OpenAI's error object."""

    type: Literal["error"] = Field(description="Always error.")
    error: ErrorDetails = Field(description="The error.")
    request_id: str = Field(description="The id of the request.")

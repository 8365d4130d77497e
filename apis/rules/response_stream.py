"""The published schemas of the events of a streamed response."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, RootModel

from apis.rules.answers import Answer
from apis.rules.chat_answer import ReportedToken
from apis.rules.response_answer import OutputItem, OutputText, ResponseAnswer


class NumberedEvent(Answer):
    """An event of a streamed response."""

    sequence_number: int = Field(description="The number of the event in the stream, from 0.")


class LifecycleEvent(NumberedEvent):
    """The start of a stream, and its end with the whole response."""

    type: Literal["response.created", "response.in_progress", "response.completed", "response.incomplete"] = Field(
        description="created and in_progress are the first two events; completed or incomplete is the last."
    )
    response: ResponseAnswer = Field(description="The response so far; in the last event the whole response.")


class ItemEvent(NumberedEvent):
    """The start or the end of an item."""

    type: Literal["response.output_item.added", "response.output_item.done"] = Field(
        description="added: the item begins, without text. done: it is complete."
    )
    output_index: int = Field(description="The position of the item in the output.")
    item: OutputItem = Field(description="The item.")


class InItemEvent(NumberedEvent):
    """An event inside an item."""

    item_id: str = Field(description="The id of the item.")
    output_index: int = Field(description="The position of the item in the output.")


class PartEvent(InItemEvent):
    """The start or the end of the text of a message."""

    type: Literal["response.content_part.added", "response.content_part.done"] = Field(
        description="added: the text begins. done: it is complete."
    )
    content_index: Literal[0] = Field(description="Always 0: a message has one text.")
    part: OutputText = Field(description="The text; empty when it begins.")


class TextDeltaEvent(InItemEvent):
    """The new part of a message's text."""

    type: Literal["response.output_text.delta"] = Field(description="Always response.output_text.delta.")
    content_index: Literal[0] = Field(description="Always 0: a message has one text.")
    delta: str = Field(description="The new part of the text.")
    logprobs: list[ReportedToken] = Field(description="The tokens of the part. Empty unless the request asks for them.")


class TextDoneEvent(InItemEvent):
    """The whole text of a message."""

    type: Literal["response.output_text.done"] = Field(description="Always response.output_text.done.")
    content_index: Literal[0] = Field(description="Always 0: a message has one text.")
    text: str = Field(description="The text.")
    logprobs: list[ReportedToken] = Field(description="The tokens of the text. Empty unless the request asks for them.")


class ReasoningDeltaEvent(InItemEvent):
    """The new part of the reasoning."""

    type: Literal["response.reasoning_text.delta"] = Field(description="Always response.reasoning_text.delta.")
    content_index: Literal[0] = Field(description="Always 0: an item has one text.")
    delta: str = Field(description="The new part of the text.")


class ReasoningDoneEvent(InItemEvent):
    """The whole reasoning."""

    type: Literal["response.reasoning_text.done"] = Field(description="Always response.reasoning_text.done.")
    content_index: Literal[0] = Field(description="Always 0: an item has one text.")
    text: str = Field(description="The text.")


class CallDeltaEvent(InItemEvent):
    """The new part of a call."""

    type: Literal[
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
        "response.mcp_call_arguments.delta",
    ] = Field(description="The kind of call: of a function, of a custom tool, or of a tool that the server runs.")
    delta: str = Field(description="The new part of the arguments, or of the text for a custom tool.")


class ArgumentsDoneEvent(InItemEvent):
    """The whole arguments of a call."""

    type: Literal["response.function_call_arguments.done"] = Field(
        description="Always response.function_call_arguments.done."
    )
    name: str = Field(description="The name of the function.")
    arguments: str = Field(description="The arguments as JSON text.")


class CustomInputDoneEvent(InItemEvent):
    """The whole text of a call of a custom tool."""

    type: Literal["response.custom_tool_call_input.done"] = Field(
        description="Always response.custom_tool_call_input.done."
    )
    input: str = Field(description="The text.")


class ServerArgumentsDoneEvent(InItemEvent):
    """The whole arguments of a call that the server runs."""

    type: Literal["response.mcp_call_arguments.done"] = Field(description="Always response.mcp_call_arguments.done.")
    arguments: str = Field(description="The arguments as JSON text.")


class ServerCallEvent(InItemEvent):
    """The start or the end of a call that the server runs."""

    type: Literal["response.mcp_call.in_progress", "response.mcp_call.completed", "response.mcp_call.failed"] = Field(
        description="in_progress: the call begins. completed or failed: its result is there."
    )


class ErrorEvent(NumberedEvent):
    """An error after the start of a stream, which ends with it."""

    type: Literal["error"] = Field(description="Always error.")
    code: str | None = Field(description="A code for programs.")
    message: str = Field(description="A sentence about what was wrong.")
    param: str | None = Field(description="The path of the wrong field.")


class ResponseEvent(
    RootModel[
        Annotated[
            LifecycleEvent
            | ItemEvent
            | PartEvent
            | TextDeltaEvent
            | TextDoneEvent
            | ReasoningDeltaEvent
            | ReasoningDoneEvent
            | CallDeltaEvent
            | ArgumentsDoneEvent
            | CustomInputDoneEvent
            | ServerArgumentsDoneEvent
            | ServerCallEvent
            | ErrorEvent,
            Field(discriminator="type"),
        ]
    ]
):
    """One event of a streamed answer of POST /v1/responses. Its type is the name of the event too."""

"""The published schema of a response: its items, and what it repeats of the request."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from apis.rules.answers import Answer
from apis.rules.chat_answer import ReportedToken

ItemStatus = Literal["in_progress", "completed", "incomplete"]
_STATUS = "completed; incomplete if the token limit cut the item."
_NAMESPACE = "The namespace of the tool. Absent if it is in none."


class OutputText(Answer):
    """The text of a message."""

    type: Literal["output_text"] = Field(description="Always output_text.")
    text: str = Field(description="The text.")
    annotations: Annotated[list[Any], Field(max_length=0)] = Field(description="Always empty.")
    logprobs: list[ReportedToken] = Field(
        description="The tokens of the text with their log probabilities. Empty unless the request asks for them."
    )


class OutputMessage(Answer):
    """A message of the model."""

    type: Literal["message"] = Field(description="Always message.")
    id: str = Field(description="The id of the item.")
    status: ItemStatus = Field(description=_STATUS)
    role: Literal["assistant"] = Field(description="Always assistant.")
    content: list[OutputText] = Field(description="One text; empty while the item begins.")


class OutputReasoningText(Answer):
    """The text of the model's reasoning."""

    type: Literal["reasoning_text"] = Field(description="Always reasoning_text.")
    text: str = Field(description="The text.")


class OutputReasoning(Answer):
    """What the model thought before its text and its calls."""

    type: Literal["reasoning"] = Field(description="Always reasoning.")
    id: str = Field(description="The id of the item.")
    summary: Annotated[list[Any], Field(max_length=0)] = Field(description="Always empty.")
    content: list[OutputReasoningText] = Field(description="One text; empty while the item begins.")


class OutputCall(Answer):
    """A call of a function."""

    type: Literal["function_call"] = Field(description="Always function_call.")
    id: str = Field(description="The id of the item.")
    status: ItemStatus = Field(description=_STATUS)
    call_id: str = Field(description="The id of the call, which its result repeats.")
    name: str = Field(description="The name of one of the request's functions.")
    namespace: str = Field("", description=_NAMESPACE)
    arguments: str = Field(
        description="The arguments as JSON text, which is incomplete if the token limit was reached."
    )


class OutputCustomCall(Answer):
    """A call of a custom tool."""

    type: Literal["custom_tool_call"] = Field(description="Always custom_tool_call.")
    id: str = Field(description="The id of the item.")
    status: ItemStatus = Field(description=_STATUS)
    call_id: str = Field(description="The id of the call, which its result repeats.")
    name: str = Field(description="The name of one of the request's custom tools.")
    namespace: str = Field("", description=_NAMESPACE)
    input: str = Field(description="The text for the tool, which is incomplete if the token limit was reached.")


class ServerCallErrorText(Answer):
    """The text of an error."""

    type: Literal["text"] = Field(description="Always text.")
    text: str = Field(description="What went wrong, as the model reads it.")


class ServerCallError(Answer):
    """Why a call failed."""

    type: Literal["mcp_tool_execution_error"] = Field(description="Always mcp_tool_execution_error.")
    content: list[ServerCallErrorText] = Field(description="One text.")


class OutputServerCall(Answer):
    """A call that the server has run, with its result."""

    type: Literal["mcp_call"] = Field(description="Always mcp_call.")
    id: str = Field(description="The id of the item.")
    status: Literal["in_progress", "completed", "failed"] = Field(description="failed if there is an error.")
    server_label: str = Field(description="Where the tool comes from, as in /v1/tools.")
    name: str = Field(description="The name of one of the server's tools.")
    arguments: str = Field(description="The arguments as JSON text, which is incomplete if a limit was reached.")
    output: str | None = Field(description="The result as the model reads it; null if there is none.")
    error: ServerCallError | None = Field(description="Why the call failed or was not run; null if it did not fail.")
    approval_request_id: None = Field(description="Always null.")


OutputItem = OutputMessage | OutputReasoning | OutputCall | OutputCustomCall | OutputServerCall


class InputTokensDetails(Answer):
    """Details of the input tokens."""

    cached_tokens: int = Field(description="Input tokens served from the prefix cache.")
    cache_write_tokens: Literal[0] = Field(description="Always 0: nothing is charged for the cache.")


class OutputTokensDetails(Answer):
    """Details of the output tokens."""

    reasoning_tokens: int = Field(
        description="Generated tokens that are the model's reasoning, with the mark that ends it."
    )


class ResponseUsage(Answer):
    """The token counts of a response."""

    input_tokens: int = Field(description="The number of tokens in the prompt.")
    input_tokens_details: InputTokensDetails = Field(description="Details of the input tokens.")
    output_tokens: int = Field(description="The number of generated tokens, calls included.")
    output_tokens_details: OutputTokensDetails = Field(description="Details of the output tokens.")
    total_tokens: int = Field(description="The sum of input_tokens and output_tokens.")


class IncompleteDetails(Answer):
    """Why a response is incomplete."""

    reason: Literal["max_output_tokens"] = Field(
        description="Always max_output_tokens, also for the other limits of an answer with server_tools."
    )


class AnsweredReasoning(Answer):
    """The request's options of reasoning."""

    effort: str | None = Field(description="The request's effort.")
    summary: str | None = Field(description="The request's summary.")


class AnsweredTextOptions(Answer):
    """The request's options of the text."""

    format: dict[str, Any] = Field(description="The format of the text.")
    verbosity: str = Field(description="The request's verbosity; medium by default.")


class ResponseAnswer(Answer):
    """The answer of POST /v1/responses."""

    id: str = Field(description="The id of the response, for previous_response_id.")
    object: Literal["response"] = Field(description="Always response.")
    created_at: int = Field(description="The time of the request, in seconds since 1970.")
    completed_at: int | None = Field(description="The time at which the answer was complete; null if it is not.")
    status: Literal["in_progress", "completed", "incomplete"] = Field(
        description="completed; incomplete if the token limit was reached; in_progress at the start of a stream."
    )
    background: Literal[False] = Field(description="Always false.")
    error: None = Field(description="Always null.")
    incomplete_details: IncompleteDetails | None = Field(description="null unless the response is incomplete.")
    instructions: str | None = Field(description="The request's instructions.")
    max_output_tokens: int | None = Field(description="The request's token limit.")
    max_tool_calls: int | None = Field(description="The request's max_tool_calls.")
    model: str = Field(description="The model name of the request.")
    output: list[OutputItem] = Field(description="What the model wrote: reasoning, text and calls in their order.")
    parallel_tool_calls: bool = Field(description="Whether there could be more than one call.")
    presence_penalty: float = Field(description="The presence penalty.")
    frequency_penalty: float = Field(description="The frequency penalty.")
    previous_response_id: str | None = Field(description="The response that this one continues.")
    prompt_cache_key: str | None = Field(description="The request's prompt_cache_key.")
    reasoning: AnsweredReasoning = Field(description="The request's options of reasoning.")
    safety_identifier: str | None = Field(description="The request's safety_identifier.")
    service_tier: Literal["default"] = Field(description="Always default.")
    store: bool = Field(description="Whether the response is kept. false if it is too large for the store.")
    temperature: float = Field(description="The temperature of the sampling.")
    text: AnsweredTextOptions = Field(description="The request's options of the text.")
    tool_choice: str | dict[str, Any] = Field(description="The request's tool_choice; auto by default.")
    tools: list[dict[str, Any]] = Field(
        description="The request's tools, with `strict` and the parameters as they bind. Ignored tools are left out."
    )
    top_logprobs: int = Field(description="The request's top_logprobs.")
    top_p: float = Field(description="The top_p of the sampling.")
    truncation: Literal["auto", "disabled"] = Field(description="The request's truncation. Nothing is truncated.")
    usage: ResponseUsage | None = Field(description="The token counts; null at the start of a stream.")
    user: str | None = Field(description="The request's user.")
    metadata: dict[str, str] = Field(description="The request's metadata.")


class InputTokens(Answer):
    """The answer of POST /v1/responses/input_tokens."""

    object: Literal["response.input_tokens"] = Field(description="Always response.input_tokens.")
    input_tokens: int = Field(description="The number of tokens in the prompt.")

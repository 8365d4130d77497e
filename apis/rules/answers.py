"""The parts that all answers share: token counts, tokens with their bytes, and the error object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.errors import MAX_MESSAGE
from core.turn_format import DecodedLogprob, Finish, TokenReport

Json = dict[str, Any]

VERSION = "0.1.0"
FINGERPRINT = "fp_functionary_" + VERSION.replace(".", "_")


def _without_defaults(schema: Json) -> None:
    for field in schema["properties"].values():
        field.pop("default", None)


class Answer(BaseModel):
    """An object in an answer. It is for the published schema only; answers are built as plain JSON, which is faster.

    A field with a default may be absent from the answer.
    """

    model_config = ConfigDict(strict=True, extra="forbid", json_schema_extra=_without_defaults)


class PromptTokensDetails(Answer):
    """Details of the prompt tokens."""

    cached_tokens: int = Field(description="Prompt tokens served from the prefix cache.")
    audio_tokens: Literal[0] = Field(description="Always 0: there is no audio.")


class CompletionTokensDetails(Answer):
    """Details of the generated tokens."""

    reasoning_tokens: int = Field(
        description="Generated tokens that are the model's reasoning, with the mark that ends it."
    )
    audio_tokens: Literal[0] = Field(description="Always 0: there is no audio.")
    accepted_prediction_tokens: int = Field(description="Draft tokens that the model accepted.")
    rejected_prediction_tokens: int = Field(description="Draft tokens that the model did not accept.")


class Usage(Answer):
    """The token counts of one request. A prompt counts once, also with several choices."""

    prompt_tokens: int = Field(description="The number of tokens in all prompts.")
    completion_tokens: int = Field(description="The number of generated tokens in all choices, calls included.")
    total_tokens: int = Field(description="The sum of prompt_tokens and completion_tokens.")
    prompt_tokens_details: PromptTokensDetails = Field(description="Details of the prompt tokens.")
    completion_tokens_details: CompletionTokensDetails = Field(description="Details of the generated tokens.")


class AnswerHead(Answer):
    """The fields that every answer of a model has, the same in all chunks of a stream."""

    id: str = Field(description="A unique id of the answer.")
    created: int = Field(description="The time of the request, in seconds since 1970.")
    model: str = Field(description="The model name of the request.")
    system_fingerprint: str = Field(description="The version of this server.")
    service_tier: Literal["default"] = Field(description="Always default.")


class ErrorDetails(Answer):
    """A failed request: what was wrong, and what would be right."""

    message: str = Field(max_length=MAX_MESSAGE, description="A sentence about what was wrong and what would be right.")
    type: str = Field(description="The kind of error, such as invalid_request_error.")
    param: str | None = Field(description="The path of the wrong field, such as tools[0].function.name.")
    code: str | None = Field(description="A code for programs, such as context_length_exceeded.")


class Error(Answer):
    """The body of every answer to a failed request."""

    error: ErrorDetails = Field(description="The error.")


class Health(Answer):
    """The body of /live, /ready and /health."""

    status: Literal["ok"] = Field(description="Always ok; a failure is an error with another status code.")


class About(Answer):
    """The body of /: what the server is, and where its API and documentation are."""

    name: Literal["functionary"] = Field(description="Always functionary.")
    version: str = Field(description="The version of this server.")
    base_url: str = Field(description="The base URL for clients of OpenAI's API.")
    docs: Literal["/docs"] = Field(description="The path of a page that describes the API.")


def usage(finishes: Sequence[Finish], n: int) -> Json:
    """Build the token counts of one request from the finishes of all choices. A prompt with n choices counts once."""
    prompt_tokens = sum(finish.prompt_tokens for finish in finishes) // n
    completion_tokens = sum(finish.completion_tokens for finish in finishes)
    cached_tokens = sum(finish.cached_tokens for finish in finishes) // n
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": sum(finish.reasoning_tokens for finish in finishes),
            "audio_tokens": 0,
            "accepted_prediction_tokens": sum(finish.accepted_tokens for finish in finishes),
            "rejected_prediction_tokens": sum(finish.rejected_tokens for finish in finishes),
        },
    }


def spelled(token: DecodedLogprob) -> Json:
    """Build a token's text, log probability and bytes. An incomplete character in the text becomes U+FFFD."""
    return {"token": token.token.decode("utf-8", "replace"), "logprob": token.logprob, "bytes": list(token.token)}


def reported(report: TokenReport) -> Json:
    """Build a token of the text with the most likely tokens at its position."""
    return {**spelled(report.chosen), "top_logprobs": [spelled(top) for top in report.top]}

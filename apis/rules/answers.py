"""What the answers of all OpenAI's APIs share: token counts, tokens by their bytes, and the error object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.errors import MAX_MESSAGE
from core.turn_format import DecodedLogprob, Finish

Json = dict[str, Any]


def _without_defaults(schema: Json) -> None:
    for field in schema["properties"].values():
        field.pop("default", None)


class Answer(BaseModel):
    """An object in an answer. It describes only: what is sent is built as plain JSON, without a model's cost.

    A field that has a default here may be absent.
    """

    model_config = ConfigDict(strict=True, extra="forbid", json_schema_extra=_without_defaults)


class PromptTokensDetails(Answer):
    """Of the tokens of the prompt."""

    cached_tokens: int = Field(description="Taken from the prefix cache.")
    audio_tokens: Literal[0] = Field(description="There is no audio.")


class CompletionTokensDetails(Answer):
    """Of the generated tokens."""

    reasoning_tokens: int = Field(description="Tokens of the model's reasoning.")
    audio_tokens: Literal[0] = Field(description="There is no audio.")
    accepted_prediction_tokens: int = Field(description="Draft tokens that the model agreed with.")
    rejected_prediction_tokens: int = Field(description="Draft tokens that it did not.")


class Usage(Answer):
    """Token counts of one request: each prompt once, however many choices it has, and all that was generated."""

    prompt_tokens: int = Field(description="Tokens of the prompts.")
    completion_tokens: int = Field(description="Tokens that were generated, those of the calls included.")
    total_tokens: int = Field(description="Their sum.")
    prompt_tokens_details: PromptTokensDetails = Field(description="Of the tokens of the prompts.")
    completion_tokens_details: CompletionTokensDetails = Field(description="Of the generated tokens.")


class AnswerHead(Answer):
    """What every answer of a model begins with; all chunks of a stream have the same."""

    id: str = Field(description="Unique.")
    created: int = Field(description="Seconds since 1970.")
    model: str = Field(description="The name that the request used.")
    system_fingerprint: str = Field(description="The version of this server.")
    service_tier: Literal["default"] = Field(description="There is only one.")


class ErrorDetails(Answer):
    """What was wrong and what would be right."""

    message: str = Field(max_length=MAX_MESSAGE, description="What was wrong, and what would be right.")
    type: str = Field(description="The kind of error, as invalid_request_error.")
    param: str | None = Field(description="The field at fault, as in tools[0].function.name.")
    code: str | None = Field(description="A word for programs, as context_length_exceeded.")


class Error(Answer):
    """The body of every answer that is no success."""

    error: ErrorDetails = Field(description="What was wrong.")


class Health(Answer):
    """The body of /live, /ready and /health."""

    status: Literal["ok"] = Field(description="Anything else is an error.")


def usage(finishes: Sequence[Finish], n: int) -> Json:
    """Token counts of one request: each prompt once, however many choices it has, and all that was generated."""
    prompt_tokens = sum(finish.prompt_tokens for finish in finishes) // n
    completion_tokens = sum(finish.completion_tokens for finish in finishes)
    cached_tokens = sum(finish.cached_tokens for finish in finishes) // n
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": sum(finish.accepted_tokens for finish in finishes),
            "rejected_prediction_tokens": sum(finish.rejected_tokens for finish in finishes),
        },
    }


def spelled(token: DecodedLogprob) -> Json:
    """A token as text, which may hold half a character as U+FFFD, and its bytes."""
    return {"token": token.token.decode("utf-8", "replace"), "logprob": token.logprob, "bytes": list(token.token)}

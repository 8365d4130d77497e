"""Convert a request's sampling fields, which include vLLM's additions to OpenAI's, to SamplingParams."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, Tag

from apis.rules.fields import MAX_INT32, Shape, Size, either, out_of_range, tag, unfit
from core.conversation import SamplingParams

MAX_STOPS = 64
MAX_STRICT_STOPS = 4  # OpenAI's limit
MAX_BIASES = 1024

Stop = Annotated[str, Field(max_length=1000)]
_TokenId = Annotated[int, Field(ge=0, le=MAX_INT32)]
Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
TokenLimit = Annotated[int, Field(ge=1)]


def _check_token_id(key: str) -> str:
    if key.isascii() and key.isdigit() and len(key) <= 10 and int(key) <= MAX_INT32:
        return key
    message = f"Invalid key in '{{path}}': '{key[:64]}'. Expected token ids, which are integers from 0 to {MAX_INT32}."
    raise unfit(message)


class SamplingFields(Shape):
    """The sampling fields of chat and raw completions."""

    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = Field(
        None, description="The sampling temperature. 0 always takes the most likely token. Default: the model's own."
    )
    top_p: Fraction | None = Field(
        None,
        description="Sample from the smallest set of tokens whose probabilities add up to this. "
        "Default: the model's own.",
    )
    top_k: Annotated[int, Field(ge=-1, le=MAX_INT32)] | None = Field(
        0, description="Sample from this many most likely tokens; 0 and -1 mean all tokens. Not in OpenAI's API."
    )
    min_p: Fraction | None = Field(
        0.0,
        description="Exclude tokens whose probability is below this fraction of the most likely token's. "
        "Not in OpenAI's API.",
    )
    presence_penalty: Penalty | None = Field(
        0.0, description="Subtracted once from the logit of every token that was already generated."
    )
    frequency_penalty: Penalty | None = Field(
        0.0, description="Subtracted from a token's logit for each time that the token was generated."
    )
    repetition_penalty: Annotated[float, Field(ge=0.01, le=10, allow_inf_nan=False)] | None = Field(
        1.0,
        description="Values above 1 lower the logits of tokens in the prompt and the answer so far. "
        "Not in OpenAI's API.",
    )
    logit_bias: (
        Annotated[
            dict[
                Annotated[str, Field(pattern="^[0-9]{1,10}$"), BeforeValidator(_check_token_id)],
                Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)],
            ],
            Size(MAX_BIASES),
            Field(json_schema_extra={"additionalProperties": False}),
        ]
        | None
    ) = Field(None, description="Token ids, each with a number that is added to its logit.", examples=[{"50": -100}])
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = Field(
        None, description="The seed for sampling. The same request with the same seed gets the same answer."
    )
    stop: (
        Annotated[
            Annotated[Stop, Tag(tag("string"))]
            | Annotated[list[Stop], Size(MAX_STOPS, strict_high=MAX_STRICT_STOPS), Tag(tag("array"))],
            either("one of a string or array of strings"),
        ]
        | None
    ) = Field(
        None,
        description="Strings that end the answer and are not part of it.",
        examples=[["\n\n"]],
    )
    stop_token_ids: Annotated[list[_TokenId], Size(64)] | None = Field(
        None, description="Token ids that end the answer. Not in OpenAI's API."
    )
    min_tokens: Annotated[int, Field(ge=0)] | None = Field(
        0, description="The minimum number of generated tokens, at most the token limit. Not in OpenAI's API."
    )
    ignore_eos: bool | None = Field(
        False, description="true: continue after the model's end-of-sequence token. Not in OpenAI's API."
    )


def sampling_params(body: SamplingFields, *, max_tokens: int | None, logprobs: int | None) -> SamplingParams:
    """Convert the sampling fields of `body`.

    `max_tokens` and `logprobs` are arguments, because chat and raw completions have different fields for them.
    """
    limit = MAX_INT32 if max_tokens is None else max_tokens
    if (body.min_tokens or 0) > limit:
        raise out_of_range("min_tokens", body.min_tokens or 0, high=limit)
    stop = [body.stop] if isinstance(body.stop, str) else body.stop or ()
    return SamplingParams(
        max_tokens=max_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=max(0, body.top_k or 0),  # 0 means off, like vLLM's -1
        min_p=body.min_p or 0.0,
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        repetition_penalty=body.repetition_penalty or 1.0,
        logit_bias=tuple({int(key): bias for key, bias in (body.logit_bias or {}).items()}.items()),
        seed=body.seed,
        stop=tuple(filter(None, stop)),  # an empty string would stop every answer at once
        stop_token_ids=tuple(body.stop_token_ids or ()),
        min_tokens=body.min_tokens or 0,
        ignore_eos=body.ignore_eos or False,
        logprobs=logprobs,
    )

"""The sampling fields of a request -> SamplingParams, with OpenAI's ranges; vendor extras are bounded the same way."""

from __future__ import annotations

from apis.rules.fields import (
    Fields,
    a_boolean,
    a_number,
    a_string,
    an_array,
    an_integer,
    an_object,
    refusal,
    wrong_type,
)
from core.conversation import SamplingParams

MAX_INT32 = 2**31 - 1
MAX_STOPS = 4
MAX_LENIENT_STOPS = 64
MAX_STOP_LENGTH = 1000
MAX_STOP_TOKENS = 64
MAX_BIASES = 1024
MAX_TOP_LOGPROBS = 20


def read_sampling(
    body: Fields, *, max_tokens: int | None, logprobs: int | None, lenient: bool = False
) -> SamplingParams:
    """What chat and raw completions share; `max_tokens` and `logprobs`, where they differ, are read before."""
    return SamplingParams(
        max_tokens=max_tokens,
        temperature=body.optional("temperature", a_number, 0, 2),
        top_p=body.optional("top_p", a_number, 0, 1),
        top_k=max(0, body.optional("top_k", an_integer, -1, MAX_INT32) or 0),  # vLLM's -1 is our 0: off
        min_p=body.optional("min_p", a_number, 0, 1) or 0.0,
        presence_penalty=body.optional("presence_penalty", a_number, -2, 2) or 0.0,
        frequency_penalty=body.optional("frequency_penalty", a_number, -2, 2) or 0.0,
        repetition_penalty=body.optional("repetition_penalty", a_number, 0.01, 10) or 1.0,
        logit_bias=body.optional("logit_bias", _logit_bias) or (),
        seed=body.optional("seed", an_integer, -(2**63), 2**63 - 1),
        stop=body.optional("stop", _stop, MAX_LENIENT_STOPS if lenient else MAX_STOPS) or (),
        stop_token_ids=body.optional("stop_token_ids", _stop_token_ids) or (),
        min_tokens=_min_tokens(body, max_tokens),
        ignore_eos=body.optional("ignore_eos", a_boolean) or False,
        logprobs=logprobs,
    )


def read_max_tokens(body: Fields, *, lenient: bool = False) -> int | None:
    """The token limit of a chat request; its two names cannot stand together, unless lenient: then the newer wins."""
    newer = body.optional("max_completion_tokens", an_integer, 1)
    older = body.optional("max_tokens", an_integer, 1)
    if newer is not None and older is not None and not lenient:
        message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        raise refusal(message, None, "invalid_parameter_combination")
    return older if newer is None else newer


def read_chat_logprobs(body: Fields) -> int | None:
    """How many alternatives to report beside each token; None: no logprobs at all."""
    is_asked = body.optional("logprobs", a_boolean) or False
    num_alternatives = body.optional("top_logprobs", an_integer, 0, MAX_TOP_LOGPROBS)
    if num_alternatives is not None and not is_asked:
        message = "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled."
        raise refusal(message, "top_logprobs")
    return (num_alternatives or 0) if is_asked else None


def _min_tokens(body: Fields, max_tokens: int | None) -> int:
    return body.optional("min_tokens", an_integer, 0, MAX_INT32 if max_tokens is None else max_tokens) or 0


def _stop(value: object, path: str, max_length: int) -> tuple[str, ...]:
    """The stop strings; empty ones would stop everything, so they are ignored."""
    if isinstance(value, str):
        return (a_string(value, path, MAX_STOP_LENGTH),) if value else ()
    if not isinstance(value, list):
        raise wrong_type(path, "one of a string or array of strings", value)
    items = an_array(value, path, max_length=max_length)
    stops = [a_string(item, f"{path}[{index}]", MAX_STOP_LENGTH) for index, item in enumerate(items)]
    return tuple(stop for stop in stops if stop)


def _stop_token_ids(value: object, path: str) -> tuple[int, ...]:
    items = an_array(value, path, max_length=MAX_STOP_TOKENS)
    return tuple(an_integer(item, f"{path}[{index}]", 0, MAX_INT32) for index, item in enumerate(items))


def _logit_bias(value: object, path: str) -> tuple[tuple[int, float], ...]:
    """Token ids and what is added to their logits; the engine knows how many ids there are."""
    biases = an_object(value, path, MAX_BIASES)
    return tuple({_token_id(key, path): a_number(bias, path, -100, 100) for key, bias in biases.items()}.items())


def _token_id(key: str, path: str) -> int:
    if key.isascii() and key.isdigit() and len(key) <= 10 and int(key) <= MAX_INT32:
        return int(key)
    message = f"Invalid key in '{path}': '{key[:64]}'. Expected token ids, which are integers from 0 to {MAX_INT32}."
    raise refusal(message, path, "invalid_value")

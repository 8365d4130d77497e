"""OpenAI's requests as JSON -> ChatRequest and CompletionRequest; all that cannot be done is refused here, by name.

The checks are written by hand, not as pydantic models: OpenAI's texts, codes and paths, and one first problem in a
fixed order, are simpler said directly than derived from pydantic's errors, above all for the many unions.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from apis.rules.fields import (
    Fields,
    a_boolean,
    a_name,
    a_string,
    a_word,
    an_array,
    an_integer,
    an_object,
    refusal,
    unsupported_word,
    wrong_type,
)
from apis.rules.messages import MAX_MESSAGES, read_messages, text_parts
from apis.rules.sampling import MAX_INT32, read_chat_logprobs, read_max_tokens, read_sampling
from apis.rules.tools import read_calling
from core.conversation import ChatRequest, CompletionRequest, Message, ResponseFormat
from core.errors import RequestError
from json_schema.check import check_parameters
from json_schema.strict import check_strict

MAX_CHOICES = 8
MAX_SEQUENCES = 128  # prompts times n of one raw completion
MAX_COMPLETION_LOGPROBS = 5
DEFAULT_COMPLETION_TOKENS = 16
MAX_IGNORED = 20

_COMMON_FIELDS = {
    *("model", "n", "stream", "stream_options", "user", "max_tokens", "temperature", "top_p", "top_k", "min_p"),
    *("presence_penalty", "frequency_penalty", "repetition_penalty", "logit_bias", "seed", "stop", "stop_token_ids"),
    *("min_tokens", "ignore_eos", "logprobs"),
}
_COMPLETION_FIELDS = _COMMON_FIELDS | {"prompt", "best_of", "echo", "suffix"}
# Accepted if of the right type; nothing here depends on them.
_ACCEPTED_STRINGS = ("user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier")
_ACCEPTED_OBJECTS = ("prompt_cache_options",)
_REFUSED = ("audio", "web_search_options", "moderation")
_CHAT_FIELDS = _COMMON_FIELDS.union(_ACCEPTED_STRINGS, _ACCEPTED_OBJECTS, _REFUSED) | {
    "prediction",
    *("messages", "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "response_format"),
    *("max_completion_tokens", "top_logprobs", "metadata", "modalities", "store", "reasoning_effort", "verbosity"),
}
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def chat_request(
    body: dict[str, Any], *, lenient: bool = False, max_n: int = MAX_CHOICES, max_messages: int = MAX_MESSAGES
) -> ChatRequest:
    """The body of POST /v1/chat/completions, checked and folded.

    Raises RequestError for the first problem, and nothing else whatever the JSON. `lenient` drops the rules that only
    cost the user: the word "json", empty `tools`, choices without tools, both token limits at once, more than 4 stops.
    Whether the model exists and the prompt fits is for others to say.
    """
    fields = Fields(body)
    model = fields.required("model", a_string)
    messages = fields.required("messages", read_messages, max_messages)
    calling = read_calling(fields, lenient=lenient)
    response_format = fields.optional("response_format", _response_format) or ResponseFormat()
    if response_format.kind == "json_object" and not lenient:
        _require_word_json(messages)
    _check_without_effect(fields)
    return ChatRequest(
        model=model,
        messages=messages,
        tools=calling.tools,
        choice=calling.choice,
        max_calls=calling.max_calls,
        legacy=calling.legacy,
        response_format=response_format,
        sampling=read_sampling(
            fields,
            max_tokens=read_max_tokens(fields, lenient=lenient),
            logprobs=read_chat_logprobs(fields),
            lenient=lenient,
        ),
        n=fields.optional("n", an_integer, 1, max_n) or 1,
        stream=fields.optional("stream", a_boolean) or False,
        include_usage=_include_usage(fields),
        metadata=fields.optional("metadata", _metadata),
        prediction=fields.optional("prediction", _prediction) or "",
        ignored=_unknown(body, _CHAT_FIELDS),
    )


def completion_request(body: dict[str, Any], *, lenient: bool = False) -> CompletionRequest:
    """The body of POST /v1/completions, checked; as chat_request. `lenient` allows more than 4 stops."""
    fields = Fields(body)
    model = fields.required("model", a_string)
    prompts = fields.required("prompt", _prompts)
    n = fields.optional("n", an_integer, 1, min(MAX_CHOICES, MAX_SEQUENCES // len(prompts))) or 1
    _check_best_of(fields, n)
    if fields.has("suffix"):
        raise _unsupported("suffix")
    fields.optional("user", a_string)
    return CompletionRequest(
        model=model,
        prompts=prompts,
        sampling=read_sampling(
            fields,
            max_tokens=fields.optional("max_tokens", an_integer, 1) or DEFAULT_COMPLETION_TOKENS,
            logprobs=fields.optional("logprobs", an_integer, 0, MAX_COMPLETION_LOGPROBS),
            lenient=lenient,
        ),
        n=n,
        echo=fields.optional("echo", a_boolean) or False,
        stream=fields.optional("stream", a_boolean) or False,
        include_usage=_include_usage(fields),
        ignored=_unknown(body, _COMPLETION_FIELDS),
    )


def _response_format(value: object, path: str) -> ResponseFormat:
    fields = Fields(value, path)
    kind = fields.required("type", a_string)
    match kind:
        case "text" | "json_object":
            return ResponseFormat(kind)
        case "json_schema":
            return fields.required("json_schema", _json_schema)
    raise unsupported_word(kind, ("json_object", "json_schema", "text"), fields.at("type"))


def _json_schema(value: object, path: str) -> ResponseFormat:
    fields = Fields(value, path)
    name = fields.required("name", a_name)
    fields.optional("description", a_string)
    schema = fields.required("schema", an_object)
    strict = fields.optional("strict", a_boolean) or False
    check = check_strict if strict else check_parameters
    check(schema, owner=f"response_format '{name}'", param="response_format", code=None)
    return ResponseFormat("json_schema", schema, strict, name)


def _require_word_json(messages: tuple[Message, ...]) -> None:
    """OpenAI's guard against a model that, told nothing of JSON, would write blanks for ever."""
    if not any("json" in (message.content or "").lower() for message in messages):
        message = (
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
        )
        raise refusal(message, "messages")


def _check_without_effect(fields: Fields) -> None:
    """Refuse what needs more than text, and wrong types in the fields that change nothing."""
    for key in _REFUSED:
        if fields.has(key):
            raise _unsupported(key)
    if fields.has("modalities") and fields.values["modalities"] != ["text"]:
        message = "Invalid value for 'modalities': this server answers in text only. Expected ['text']."
        raise refusal(message, "modalities", "unsupported_value")
    for key in _ACCEPTED_STRINGS:
        fields.optional(key, a_string)
    for key in _ACCEPTED_OBJECTS:
        fields.optional(key, an_object)
    fields.optional("store", a_boolean)
    fields.optional("reasoning_effort", a_word, _EFFORTS)
    fields.optional("verbosity", a_word, ("low", "medium", "high"))


def _unsupported(key: str) -> RequestError:
    message = f"Unsupported parameter: '{key}' is not supported by this server. Leave it out."
    return refusal(message, key, "unsupported_parameter")


def _include_usage(body: Fields) -> bool:
    options = body.optional("stream_options", an_object)
    if options is None:
        return False
    if not body.values.get("stream"):
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise refusal(message, "stream_options")
    return Fields(options, "stream_options").optional("include_usage", a_boolean) or False


def _metadata(value: object, path: str) -> dict[str, str]:
    pairs = an_object(value, path, 16)
    for key in pairs:
        if len(key) > 64:
            message = (
                f"Invalid '{path}': key too long. Expected keys with maximum length 64, but got one of {len(key)}."
            )
            raise refusal(message, path, "string_above_max_length")
    return {key: a_string(text, f"{path}.{key}", 512) for key, text in pairs.items()}


def _prediction(value: object, path: str) -> str:
    """The text that the answer will mostly repeat."""
    fields = Fields(value, path)
    fields.required("type", a_word, ("content",))
    return fields.required("content", text_parts)


def _unknown(body: dict[str, Any], known: Collection[str]) -> tuple[str, ...]:
    """The fields that have no effect here, fit for a response header: few, short, of visible ASCII, none empty."""
    names = [key for key in body if key not in known][:MAX_IGNORED]
    return tuple("".join(char if "!" <= char <= "~" else "?" for char in name[:64]) or "?" for name in names)


def _prompts(value: object, path: str) -> tuple[str | tuple[int, ...], ...]:
    """One prompt or many, each as text or as token ids; a list of integers is one prompt."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list):
        raise wrong_type(path, "one of a string or array", value)
    items = an_array(value, path, min_length=1)
    if isinstance(items[0], int):
        return (_token_ids(items, path),)
    an_array(value, path, max_length=MAX_SEQUENCES)
    read = _token_ids if isinstance(items[0], list) else a_string
    return tuple(read(item, f"{path}[{index}]") for index, item in enumerate(items))


def _token_ids(value: object, path: str) -> tuple[int, ...]:
    ids = an_array(value, path, min_length=1)
    for index, token_id in enumerate(ids):
        if type(token_id) is not int or not 0 <= token_id <= MAX_INT32:  # a fast look; an_integer finds the words
            an_integer(token_id, f"{path}[{index}]", 0, MAX_INT32)
    return tuple(ids)


def _check_best_of(body: Fields, n: int) -> None:
    best_of = body.optional("best_of", an_integer, 1)
    if best_of not in (None, n):
        message = f"Invalid 'best_of': this server does not rank answers. Expected the value of 'n', which is {n}."
        raise refusal(message, "best_of", "unsupported_value")

"""The rules for stream options and unknown fields, which chat and raw completions share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from apis.rules.constraints import ConstraintFields
from apis.rules.fields import Shape, Size, unfit
from core.errors import RequestError

MAX_CHOICES = 8
MAX_IGNORED = 20
# What this server has beyond OpenAI's API; with --strict-openai these fields are unknown.
VENDOR_FIELDS = frozenset(("top_k", "min_p", "repetition_penalty", "stop_token_ids", "min_tokens", "ignore_eos"))
VENDOR_FIELDS |= ConstraintFields.model_fields.keys() | {"chat_template_kwargs", "enable_thinking", "server_tools"}


def _check_key(key: str) -> str:
    if len(key) > 64:
        message = f"Invalid '{{path}}': key too long. Expected keys with maximum length 64, but got one of {len(key)}."
        raise unfit(message, "string_above_max_length")
    return key


Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64), BeforeValidator(_check_key)], Annotated[str, Field(max_length=512)]],
    Size(16),
]


class StreamOptions(Shape):
    """Options of a streamed answer."""

    include_usage: bool | None = Field(False, description="true: an extra last chunk has the token counts.")
    include_obfuscation: bool | None = Field(False, description="Ignored.")


class StreamFields(Shape):
    """The fields of a request that control streaming."""

    stream: bool | None = Field(
        False, description="true: send the answer as server-sent events, one chunk each, with data: [DONE] at the end."
    )
    stream_options: StreamOptions | None = Field(None, description="Options of the stream. Needs stream.")


def include_usage(body: StreamFields) -> bool:
    """Whether the stream ends with a chunk of token counts.

    Raises RequestError for stream_options in a request that is not streamed.
    """
    if body.stream_options is None:
        return False
    if not body.stream:
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise RequestError(message, "stream_options")
    return body.stream_options.include_usage or False


def unsupported(key: str) -> RequestError:
    """Create the error for a field of OpenAI's API that this server does not support."""
    message = f"Unsupported parameter: '{key}' is not supported by this server. Leave it out."
    return RequestError(message, key, "unsupported_parameter")


def ignored(
    body: dict[str, Any],
    shape: type[Shape],
    unsupported: tuple[str, ...],
    *,
    strict_openai: bool,
    beyond_openai: frozenset[str] = VENDOR_FIELDS,
) -> tuple[str, ...]:
    """Return the unknown keys of `body` in the form in which a response header lists them.

    With strict_openai, raises RequestError for an unknown key. `beyond_openai` are known fields that count as unknown
    then.
    """
    foreign = beyond_openai | shape.beyond_openai if strict_openai else frozenset()
    known = {*shape.model_fields, *unsupported} - foreign
    shown = header_names([key for key in body if key not in known])
    if shown and strict_openai:
        raise RequestError(f"Unrecognized request argument supplied: {shown[0]}")
    return shown


def header_names(names: list[str]) -> tuple[str, ...]:
    """Return the names in the form in which a response header lists them.

    Returns at most MAX_IGNORED names, each cut to 64 characters. Characters other than visible ASCII become "?".
    """
    return tuple("".join(c if "!" <= c <= "~" else "?" for c in name[:64]) or "?" for name in names[:MAX_IGNORED])

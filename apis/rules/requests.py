"""What the requests of OpenAI's APIs share beside sampling: fields about the stream, and unknown fields."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from apis.rules.fields import Shape
from core.errors import RequestError

MAX_CHOICES = 8
MAX_IGNORED = 20


class StreamOptions(Shape):
    """Options of a stream; only beside "stream": true."""

    include_usage: bool | None = Field(False, description="The last chunk holds the token counts.")
    include_obfuscation: bool | None = Field(False, description="Ignored.")


class StreamFields(Shape):
    """Whether the answer is a stream."""

    stream: bool | None = Field(False, description="Server-sent events, a chunk each, and data: [DONE] at the end.")
    stream_options: StreamOptions | None = Field(None, description="Needs stream.")


def include_usage(body: StreamFields) -> bool:
    """Whether the stream ends with the token counts."""
    if body.stream_options is None:
        return False
    if not body.stream:
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise RequestError(message, "stream_options")
    return body.stream_options.include_usage or False


def unsupported(key: str) -> RequestError:
    """For a field that asks for what this server does not do."""
    message = f"Unsupported parameter: '{key}' is not supported by this server. Leave it out."
    return RequestError(message, key, "unsupported_parameter")


def ignored(body: dict[str, Any], shape: type[Shape], unsupported: tuple[str, ...]) -> tuple[str, ...]:
    """The fields that have no effect here, fit for a response header: few, short, of visible ASCII, none empty."""
    known = {*shape.model_fields, *unsupported}
    names = [key for key in body if key not in known][:MAX_IGNORED]
    return tuple("".join(char if "!" <= char <= "~" else "?" for char in name[:64]) or "?" for name in names)

"""The exceptions for a request that fails and a server that cannot start. web/errors.py maps them to HTTP statuses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MAX_MESSAGE = 500  # characters of an error message


class RequestError(Exception):
    """The request is invalid. The message says what is wrong and what would be right; `param` names the field."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        if len(message) > MAX_MESSAGE:
            message = message[: MAX_MESSAGE - 1] + "…"
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class UnknownModel(RequestError):
    """The request names a model that this server does not serve."""

    def __init__(self, model: str, served: Iterable[str]) -> None:
        message = f"The model '{model[:100]}' does not exist or you do not have access to it."
        message += f" This server has: {', '.join(served)}."
        super().__init__(message, None, "model_not_found")


@dataclass(frozen=True)
class FunctionSizes:
    """The prompt tokens that the functions take, together and for the largest by name, the largest first.

    param: the request's field that holds the functions: "tools" or "functions".
    """

    num_tokens: int
    largest: tuple[tuple[str, int], ...]
    param: str


class PromptTooLong(RequestError):
    """The prompt has more tokens than the context; the message gives the sizes of the prompt and of the context.

    is_exact: the prompt was tokenized; otherwise all sizes are lower bounds.
    param: the request's field that holds the prompt. If the functions take most of it, the error names theirs.
    """

    def __init__(
        self,
        num_prompt_tokens: int,
        max_context: int,
        *,
        is_exact: bool = True,
        param: str = "messages",
        functions: FunctionSizes | None = None,
    ) -> None:
        least = "" if is_exact else "at least "
        parts, to_reduce, largest = "", param, ""
        if functions:
            num_other = num_prompt_tokens - functions.num_tokens
            parts = f" ({least}{num_other} in the {param}, {least}{functions.num_tokens} in the functions)"
            to_reduce = f"{param} or functions"
            shown = ", ".join(f"{name[:64]} ({num})" for name, num in functions.largest)
            largest = f" The largest functions are {shown}." if len(functions.largest) > 1 else ""
        super().__init__(
            f"This model's maximum context length is {max_context} tokens. However, your {param} resulted in "
            f"{least}{num_prompt_tokens} tokens{parts}. Please reduce the length of the {to_reduce}.{largest}",
            functions.param if functions and 2 * functions.num_tokens > num_prompt_tokens else param,
            "context_length_exceeded",
        )


class EngineBusy(Exception):
    """The engine's queue is full, so the request was not accepted."""


class QueueTimeout(EngineBusy):
    """The request has waited too long for a slot of the engine, and was taken out of the queue."""

    def __init__(self, waited_s: float) -> None:
        super().__init__(f"it has waited {waited_s:g} s in the queue")


class EngineError(Exception):
    """The engine failed on this request; other requests continue."""


class TooComplex(EngineError):
    """A schema or grammar of the request cannot be followed: it exceeds a limit, or no text completes it."""

    def __init__(self) -> None:
        super().__init__("the schema or grammar is too complex to be followed, or no text can match it")


class EngineDown(EngineError):
    """The engine serves no requests: it is shutting down, it has failed, or its current step hangs.

    `code` becomes the `code` of OpenAI's error object.
    """

    def __init__(self, message: str, code: str = "server_is_overloaded") -> None:
        super().__init__(message)
        self.code = code


class StoreError(Exception):
    """The store of responses cannot be read or written now. The message is the reason, a phrase without paths."""


class ModelError(Exception):
    """A model cannot be loaded. The message is one line that tells the server's operator what to do."""

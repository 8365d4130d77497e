"""The exceptions for a request that fails and a server that cannot start. web/errors.py maps them to HTTP statuses."""

from __future__ import annotations

from collections.abc import Iterable

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


class PromptTooLong(RequestError):
    """The prompt has more tokens than the context; the message gives the sizes of the prompt and of the context.

    is_exact: the prompt was tokenized; otherwise `num_prompt_tokens` is a lower bound.
    param: the request's field that holds the prompt.
    """

    def __init__(
        self, num_prompt_tokens: int, max_context: int, *, is_exact: bool = True, param: str = "messages"
    ) -> None:
        num = f"{num_prompt_tokens}" if is_exact else f"at least {num_prompt_tokens}"
        super().__init__(
            f"This model's maximum context length is {max_context} tokens. However, your {param} resulted in "
            f"{num} tokens. Please reduce the length of the {param}.",
            param,
            "context_length_exceeded",
        )


class EngineBusy(Exception):
    """The engine's queue is full, so the request was not accepted."""


class EngineError(Exception):
    """The engine failed on this request; other requests continue."""


class EngineDown(EngineError):
    """The engine serves no requests: it is shutting down, it has failed, or its current step hangs.

    `code` becomes the `code` of OpenAI's error object.
    """

    def __init__(self, message: str, code: str = "server_is_overloaded") -> None:
        super().__init__(message)
        self.code = code


class ModelError(Exception):
    """A model cannot be loaded. The message is one line that tells the server's operator what to do."""

"""The few ways in which a request can fail. `server.py` alone knows which HTTP status each becomes."""

from __future__ import annotations

MAX_MESSAGE = 500  # characters


class RequestError(Exception):
    """The request cannot be served as it is: says what was wrong, where, and what would be right."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        if len(message) > MAX_MESSAGE:
            message = message[: MAX_MESSAGE - 1] + "…"
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class UnknownModel(RequestError):
    """The request names a model that is not served here."""

    def __init__(self, model: str) -> None:
        message = f"The model '{model[:100]}' does not exist or you do not have access to it."
        super().__init__(message, None, "model_not_found")


class PromptTooLong(RequestError):
    """The prompt does not fit into the context; both numbers stand in the message. `is_exact`: it was tokenized.

    `param` is the field that holds the prompt.
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
    """The queue is full; nothing was started."""


class EngineError(Exception):
    """The engine failed on this request; others are unharmed."""


class EngineDown(EngineError):
    """The engine serves no requests: it is shutting down, it has failed, or a step of it hangs.

    `code` is that of OpenAI's error object.
    """

    def __init__(self, message: str, code: str = "server_is_overloaded") -> None:
        super().__init__(message)
        self.code = code


class ModelError(Exception):
    """A model cannot be loaded; the message is one line for the operator."""

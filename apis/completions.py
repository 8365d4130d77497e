"""POST /v1/completions, raw prompts: body -> CompletionRequest, events -> chunks, chunks -> whole answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from apis.rules.answers import Answer, AnswerHead, Usage, spelled
from apis.rules.constraints import ConstraintFields, constrained
from apis.rules.fields import MAX_INT32, Shape, Size, out_of_range, read, tag
from apis.rules.requests import MAX_CHOICES, StreamFields, ignored, include_usage, unsupported
from apis.rules.sampling import SamplingFields, TokenLimit, sampling_params
from core.conversation import CompletionRequest, ResponseFormat
from core.errors import RequestError
from core.turn_format import Finish, TextDelta, TokenReport

Json = dict[str, Any]

MAX_SEQUENCES = 128  # the number of prompts times `n`
DEFAULT_MAX_TOKENS = 16
UNSUPPORTED = ("suffix",)
EXAMPLES = {"A raw prompt": {"model": "functionary", "prompt": "Once upon a time", "max_tokens": 16}}


def _kind_of_prompt(value: object) -> str | None:
    """Return pydantic's tag for the type of the prompt.

    The type of a list is that of its first item: a string, a token id or a list of token ids.
    """
    if not isinstance(value, list):
        return tag("string") if isinstance(value, str) else None
    match value[:1]:
        case [int()]:
            return tag("ids")
        case [list()]:
            return tag("arrays")
    return tag("strings")


_Ids = Annotated[list[Annotated[int, Field(ge=0, le=MAX_INT32)]], Size(low=1)]
_MANY = Size(MAX_SEQUENCES, 1)
_Prompt = Annotated[
    Annotated[str, Tag(tag("string"))]
    | Annotated[_Ids, Tag(tag("ids"))]
    | Annotated[list[str], _MANY, Tag(tag("strings"))]
    | Annotated[list[_Ids], _MANY, Tag(tag("arrays"))],
    Discriminator(_kind_of_prompt, "no_type", "one of a string or array"),
]


class _PromptFields(Shape):
    model: str = Field(description="One of the names in /v1/models.", examples=["functionary"])
    prompt: _Prompt = Field(
        description="One or several prompts, each as text or as token ids. Control tokens in the text are recognized.",
        examples=["Once upon a time"],
    )


class TextCompletionRequest(StreamFields, SamplingFields, ConstraintFields, _PromptFields):
    """The body of POST /v1/completions. In an optional field, null means the same as leaving it out."""

    refuses_unknown = "never"  # `ignored` has OpenAI's text for the fields of a body

    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = Field(
        1, description=f"The number of choices for each prompt; at most {MAX_SEQUENCES} for all prompts together."
    )
    best_of: TokenLimit | None = Field(None, description="Must equal n if given: this server does not rank answers.")
    echo: bool | None = Field(False, description="true: the returned text begins with the prompt.")
    max_tokens: TokenLimit | None = Field(
        DEFAULT_MAX_TOKENS, description="The maximum number of generated tokens for each choice."
    )
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = Field(
        None, description="How many of the most likely tokens to return for each token. Default: no logprobs."
    )
    user: str | None = Field(None, description="Ignored.")


def completion_request(body: dict[str, Any], *, strict_openai: bool = False) -> CompletionRequest:
    """Check the body of POST /v1/completions and convert it to a CompletionRequest.

    Raises RequestError for the first problem, and no other exception for any JSON object.
    strict_openai: raise it for more than 4 stop strings and for unknown fields too.
    """
    asked = read(TextCompletionRequest, body, strict_openai=strict_openai)
    prompts = _prompts(asked.prompt)
    n = asked.n or 1
    if n * len(prompts) > MAX_SEQUENCES:
        raise out_of_range("n", n, high=MAX_SEQUENCES // len(prompts))
    if asked.best_of not in (None, n):
        message = f"Invalid 'best_of': this server does not rank answers. Expected the value of 'n', which is {n}."
        raise RequestError(message, "best_of", "unsupported_value")
    for key in UNSUPPORTED:
        if body.get(key) is not None:
            raise unsupported(key)
    return CompletionRequest(
        model=asked.model,
        prompts=prompts,
        sampling=sampling_params(asked, max_tokens=asked.max_tokens or DEFAULT_MAX_TOKENS, logprobs=asked.logprobs),
        response_format=constrained(asked, ResponseFormat()),
        n=n,
        echo=asked.echo or False,
        stream=asked.stream or False,
        include_usage=include_usage(asked),
        ignored=ignored(body, TextCompletionRequest, UNSUPPORTED, strict_openai=strict_openai),
    )


def _prompts(prompt: str | list[int] | list[str] | list[list[int]]) -> tuple[str | tuple[int, ...], ...]:
    """Return the prompts as texts or token ids; a list of integers is one prompt."""
    if isinstance(prompt, str):
        return (prompt,)
    ids = tuple(item for item in prompt if isinstance(item, int))
    texts = (item for item in prompt if isinstance(item, str))
    many = (tuple(item) for item in prompt if isinstance(item, list))
    return (ids,) if ids else (*texts, *many)


class TextLogprobs(Answer):
    """The tokens of the text and their log probabilities. Every list has one entry for each token."""

    tokens: list[str] = Field(description="The text of each token.")
    token_logprobs: list[float] = Field(description="The natural logarithm of each token's probability.")
    top_logprobs: list[dict[str, float]] = Field(description="The most likely tokens and their log probabilities.")
    text_offset: list[int] = Field(description="The position of each token in the text, in characters.")


class TextCompletionChoice(Answer):
    """One generated text."""

    index: int = Field(description="The n choices of the first prompt come first, then those of the next.")
    text: str = Field(description="The generated text; in a stream, the new part of it.")
    logprobs: TextLogprobs | None = Field(description="null unless the request asks for logprobs.")
    finish_reason: Literal["stop", "length"] | None = Field(
        description="Why the text ended. null in all chunks of a choice except its last."
    )


class TextCompletion(AnswerHead):
    """The answer of POST /v1/completions, and each chunk of a streamed one."""

    object: Literal["text_completion"] = Field(description="Always text_completion.")
    choices: list[TextCompletionChoice] = Field(
        description="The choices. In the last chunk of a stream with include_usage: empty."
    )
    usage: Usage | None = Field(
        None, description="The token counts. In a stream: only with include_usage, and null except in the last chunk."
    )


class TextChoice:
    """Turns the events of one choice of a raw completion into chunks: {index, text, logprobs, finish_reason}."""

    def __init__(self, request: CompletionRequest, index: int, prompt: str) -> None:
        self._request = request
        self._index = index
        self._echo = prompt if request.echo else ""
        self._offset = len(self._echo)
        self._reports: list[TokenReport] = []

    def chunks(self, event: TextDelta | TokenReport | Finish) -> Iterator[Json]:
        """Yield the chunk of one event. A token report is held back until the chunk with the token's text."""
        match event:
            case TokenReport():
                self._reports.append(event)
            case TextDelta(text):
                yield self._chunk(text)
            case Finish(reason):
                yield self._chunk("", finish_reason=reason)

    def _chunk(self, text: str, *, finish_reason: str | None = None) -> Json:
        text, self._echo = self._echo + text, ""
        logprobs = None
        if self._request.sampling.logprobs is not None:
            reports, self._reports = self._reports, []
            logprobs = self._logprobs(reports)
        return {"index": self._index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}

    def _logprobs(self, reports: list[TokenReport]) -> Json:
        tokens = [spelled(report.chosen)["token"] for report in reports]
        offsets = []
        for token in tokens:
            offsets.append(self._offset)
            self._offset += len(token)
        top = [{spelled(top)["token"]: top.logprob for top in report.top} for report in reports]
        logprobs = [report.chosen.logprob for report in reports]
        return {"tokens": tokens, "token_logprobs": logprobs, "top_logprobs": top, "text_offset": offsets}


def fold_text(chunks: Iterable[Json]) -> Json:
    """Combine the chunks of one choice of a raw completion into the whole choice."""
    choice: Json = {"index": 0, "text": "", "logprobs": None, "finish_reason": None}
    for chunk in chunks:
        choice["index"] = chunk["index"]
        choice["text"] += chunk["text"]
        choice["finish_reason"] = chunk["finish_reason"] or choice["finish_reason"]
        for key, values in (chunk["logprobs"] or {}).items():
            choice["logprobs"] = choice["logprobs"] or {}
            choice["logprobs"].setdefault(key, []).extend(values)
    return choice

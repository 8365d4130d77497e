"""POST /v1/completions, raw prompts: a body -> CompletionRequest; events -> chunks, whose fold is the answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from apis.rules.answers import Answer, AnswerHead, Usage, spelled
from apis.rules.fields import MAX_INT32, Shape, Size, out_of_range, read, tag
from apis.rules.requests import MAX_CHOICES, StreamFields, ignored, include_usage, unsupported
from apis.rules.sampling import SamplingFields, TokenLimit, sampling_params
from core.conversation import CompletionRequest
from core.errors import RequestError
from core.turn_format import Finish, TextDelta, TokenReport

Json = dict[str, Any]

MAX_SEQUENCES = 128  # prompts times n of one request
DEFAULT_MAX_TOKENS = 16
UNSUPPORTED = ("suffix",)
EXAMPLES = {"A raw prompt": {"model": "functionary", "prompt": "Once upon a time", "max_tokens": 16}}


def _kind_of_prompt(value: object) -> str | None:
    """By the first item of a list: text, token ids, or a prompt of its own."""
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
        description="One prompt or many, each as text, in which control tokens count, or as token ids.",
        examples=["Once upon a time"],
    )


class TextCompletionRequest(StreamFields, SamplingFields, _PromptFields):
    """The body of POST /v1/completions. null in an optional field means that it is not given."""

    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = Field(
        1, description=f"The number of choices of each prompt; at most {MAX_SEQUENCES} choices in all."
    )
    best_of: TokenLimit | None = Field(None, description="The value of n: answers are not ranked.")
    echo: bool | None = Field(False, description="The text begins with the prompt.")
    max_tokens: TokenLimit | None = Field(DEFAULT_MAX_TOKENS, description="The token limit.")
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = Field(
        None, description="How many likeliest alternatives to report beside each token. Not given: no logprobs."
    )
    user: str | None = Field(None, description="Ignored.")


def completion_request(body: dict[str, Any], *, lenient: bool = False) -> CompletionRequest:
    """The body of POST /v1/completions, checked; as chat_request. `lenient` allows more than 4 stops."""
    asked = read(TextCompletionRequest, body, lenient=lenient)
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
        n=n,
        echo=asked.echo or False,
        stream=asked.stream or False,
        include_usage=include_usage(asked),
        ignored=ignored(body, TextCompletionRequest, UNSUPPORTED),
    )


def _prompts(prompt: str | list[int] | list[str] | list[list[int]]) -> tuple[str | tuple[int, ...], ...]:
    """A list of integers is one prompt."""
    if isinstance(prompt, str):
        return (prompt,)
    ids = tuple(item for item in prompt if isinstance(item, int))
    texts = (item for item in prompt if isinstance(item, str))
    many = (tuple(item) for item in prompt if isinstance(item, list))
    return (ids,) if ids else (*texts, *many)


class TextLogprobs(Answer):
    """The tokens of the text, each with its log probability, alternatives and place in the text."""

    tokens: list[str] = Field(description="Their texts.")
    token_logprobs: list[float] = Field(description="Natural logarithms.")
    top_logprobs: list[dict[str, float]] = Field(description="The likeliest alternatives by their texts.")
    text_offset: list[int] = Field(description="Where they begin, in characters.")


class TextCompletionChoice(Answer):
    """One choice."""

    index: int = Field(description="n choices of the first prompt, then n of the next.")
    text: str = Field(description="What the model wrote; in a stream, what is new.")
    logprobs: TextLogprobs | None = Field(description="null unless the request asks for them.")
    finish_reason: Literal["stop", "length"] | None = Field(description="null in all chunks of a stream but the last.")


class TextCompletion(AnswerHead):
    """The answer of POST /v1/completions, and each event of its stream."""

    object: Literal["text_completion"] = Field(description="What this is.")
    choices: list[TextCompletionChoice] = Field(description="Empty in the last chunk with include_usage.")
    usage: Usage | None = Field(None, description="In a stream only with include_usage, in the last chunk.")


class TextChoice:
    """One choice of a raw completion: {index, text, logprobs, finish_reason}."""

    def __init__(self, request: CompletionRequest, index: int, prompt: str) -> None:
        self._request = request
        self._index = index
        self._echo = prompt if request.echo else ""
        self._offset = len(self._echo)
        self._reports: list[TokenReport] = []

    def chunks(self, event: TextDelta | TokenReport | Finish) -> Iterator[Json]:
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
    """The choice that the chunks of one raw completion add up to."""
    choice: Json = {"index": 0, "text": "", "logprobs": None, "finish_reason": None}
    for chunk in chunks:
        choice["index"] = chunk["index"]
        choice["text"] += chunk["text"]
        choice["finish_reason"] = chunk["finish_reason"] or choice["finish_reason"]
        for key, values in (chunk["logprobs"] or {}).items():
            choice["logprobs"] = choice["logprobs"] or {}
            choice["logprobs"].setdefault(key, []).extend(values)
    return choice

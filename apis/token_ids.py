"""POST /tokenize and /detokenize, as vLLM has them: texts and chats as token ids, and token ids as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from apis.chat_completions import EXAMPLES as CHAT_EXAMPLES
from apis.chat_completions import chat_request
from apis.rules.answers import Answer
from apis.rules.fields import MAX_INT32, Shape, read
from apis.rules.requests import header_names, ignored
from core.conversation import ChatRequest
from core.errors import RequestError

Json = dict[str, Any]

_MODEL = "One of the names in /v1/models. Default: the model that is served."
EXAMPLES = {
    "A text": {"model": "functionary", "prompt": "Once upon a time", "return_token_strs": True},
    "A chat": {key: value for key, value in CHAT_EXAMPLES["A call"].items() if key != "max_tokens"},
}
IDS_EXAMPLES = {"Token ids": {"model": "functionary", "tokens": [1, 2, 3]}}


class TokenizeRequest(Shape):
    """The body of POST /tokenize: a text in `prompt`, or a chat in `messages` with any field of a chat completion."""

    refuses_unknown = "never"  # `ignored` has OpenAI's text for the fields of a body

    model: str | None = Field(None, description=_MODEL, examples=["functionary"])
    prompt: str | None = Field(
        None, description="A text, read as a raw prompt: control tokens in it are recognized.", examples=["Hello"]
    )
    messages: Any = Field(
        None,
        description="The messages of a chat. The other fields of a chat completion, such as tools, change the prompt "
        "as they do there.",
    )
    add_special_tokens: bool | None = Field(
        True,
        description="false: no token at the start of the text that the tokenizer adds by itself. Ignored for chats.",
    )
    add_generation_prompt: bool | None = Field(
        True, description="false: leave out the end of the prompt, after which the answer begins. For chats only."
    )
    return_token_strs: bool | None = Field(False, description="true: the answer has the text of each token too.")


class DetokenizeRequest(Shape):
    """The body of POST /detokenize."""

    refuses_unknown = "never"

    model: str | None = Field(None, description=_MODEL, examples=["functionary"])
    tokens: list[Annotated[int, Field(ge=0, le=MAX_INT32)]] = Field(description="Token ids.", examples=[[1, 2, 3]])


class TokenList(Answer):
    """The answer of POST /tokenize."""

    count: int = Field(description="The number of tokens.")
    max_model_len: int = Field(description="The maximum number of tokens of a prompt and its answer together.")
    tokens: list[int] = Field(description="The ids of the tokens.")
    token_strs: list[str] | None = Field(
        description="The text of each token. null unless the request has return_token_strs."
    )


class DetokenizedText(Answer):
    """The answer of POST /detokenize."""

    prompt: str = Field(description="The text of the tokens, in which control tokens are spelled out.")


@dataclass(frozen=True)
class Tokenized:
    """A text or a chat to tokenize.

    model: empty for any. prompt: the text, or the chat as a ChatRequest. ignored: fields that change nothing.
    """

    model: str
    prompt: str | ChatRequest
    may_add_bos: bool = True
    has_opening: bool = True
    has_texts: bool = False
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Detokenized:
    """Token ids to convert to a text."""

    model: str
    token_ids: tuple[int, ...]
    ignored: tuple[str, ...] = ()


def tokenize_request(body: Json, *, strict_openai: bool = False) -> Tokenized:
    """Check the body of POST /tokenize. Raises RequestError for the first problem."""
    asked = read(TokenizeRequest, body, strict_openai=strict_openai)
    if asked.prompt is not None and asked.messages is not None:
        raise RequestError("'prompt' and 'messages' cannot both be provided.", "prompt")
    has_texts = bool(asked.return_token_strs)
    if asked.messages is None:
        if asked.prompt is None:
            message = "Missing required parameter: 'prompt', or 'messages' for a chat."
            raise RequestError(message, "prompt", "missing_required_parameter")
        return Tokenized(
            asked.model or "",
            asked.prompt,
            may_add_bos=asked.add_special_tokens is not False,
            has_texts=has_texts,
            ignored=ignored(body, TokenizeRequest, (), strict_openai=strict_openai),
        )
    own = TokenizeRequest.model_fields.keys() - {"messages"}
    fields = {key: value for key, value in body.items() if key not in own}
    chat = chat_request({**fields, "model": asked.model or ""}, strict_openai=strict_openai)
    return Tokenized(
        asked.model or "",
        chat,
        has_opening=asked.add_generation_prompt is not False,
        has_texts=has_texts,
        ignored=header_names(["add_special_tokens"]) if body.get("add_special_tokens") is not None else (),
    )


def detokenize_request(body: Json, *, strict_openai: bool = False) -> Detokenized:
    """Check the body of POST /detokenize. Raises RequestError for the first problem."""
    asked = read(DetokenizeRequest, body, strict_openai=strict_openai)
    unknown = ignored(body, DetokenizeRequest, (), strict_openai=strict_openai)
    return Detokenized(asked.model or "", tuple(asked.tokens), unknown)


def token_list(token_ids: Sequence[int], max_context: int, texts: Sequence[str] | None) -> Json:
    """Build the answer of /tokenize."""
    return {
        "count": len(token_ids),
        "max_model_len": max_context,
        "tokens": list(token_ids),
        "token_strs": None if texts is None else list(texts),
    }


def no_token(index: int, token_id: int) -> RequestError:
    """Create the error for an id that the vocabulary does not have."""
    message = f"Invalid 'tokens[{index}]': the model's vocabulary has no token with the id {token_id}."
    return RequestError(message, f"tokens[{index}]", "invalid_value")

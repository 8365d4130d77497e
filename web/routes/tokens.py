"""vLLM's routes for counting: texts and chats as token ids, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastapi import Request
from starlette.responses import JSONResponse, Response

from apis.token_ids import (
    EXAMPLES,
    IDS_EXAMPLES,
    Detokenized,
    DetokenizedText,
    DetokenizeRequest,
    Tokenized,
    TokenizeRequest,
    TokenList,
    detokenize_request,
    no_token,
    token_list,
    tokenize_request,
)
from checkpoints.model import Model
from core.conversation import ChatRequest
from inference import ignored_fields, tokenized_prompt
from web.openapi import Operation, Route
from web.serving import check_name, ignored_header, in_turn, loaded_model, read_request, shown_header
from web.tool_search import with_nearest_tools


async def tokenize(request: Request) -> Response:
    """Tokenize a text as the prompt of a raw completion, or a chat as the prompt of a chat completion."""
    model = loaded_model(request)

    def check(body: dict[str, Any], *, strict_openai: bool) -> Tokenized:
        asked = tokenize_request(body, strict_openai=strict_openai)
        if not isinstance(asked.prompt, ChatRequest):
            return asked
        return replace(asked, prompt=with_nearest_tools(asked.prompt, request.app.state.tool_search))

    asked = await read_request(check, request)
    if asked.model:
        check_name(model, asked.model)
    headers = ignored_header(asked.ignored)
    if isinstance(asked.prompt, ChatRequest):
        headers = {
            **ignored_header((*asked.ignored, *ignored_fields(model, asked.prompt))),
            **shown_header(asked.prompt),
        }
    return await in_turn(lambda: JSONResponse(_token_list(model, asked), headers=headers))


async def detokenize(request: Request) -> Response:
    """Convert token ids to the text that they stand for."""
    model = loaded_model(request)
    asked = await read_request(detokenize_request, request)
    if asked.model:
        check_name(model, asked.model)
    headers = ignored_header(asked.ignored)
    return await in_turn(lambda: JSONResponse({"prompt": _text(model, asked)}, headers=headers))


def _token_list(model: Model, asked: Tokenized) -> dict[str, object]:
    tokenizer = model.tokenizer
    if isinstance(asked.prompt, ChatRequest):
        token_ids = tokenized_prompt(model, asked.prompt, has_opening=asked.has_opening)
    else:
        token_ids = tokenizer.encode_raw(asked.prompt, may_add_bos=asked.may_add_bos)
    texts = [tokenizer.decode([token_id]) for token_id in token_ids] if asked.has_texts else None
    return token_list(token_ids, model.engine.max_context, texts)


def _text(model: Model, asked: Detokenized) -> str:
    for index, token_id in enumerate(asked.token_ids):
        if not model.tokenizer.has_token(token_id):
            raise no_token(index, token_id)
    return model.tokenizer.decode(asked.token_ids)


ROUTES: tuple[Route, ...] = (
    Route("/tokenize", tokenize, "POST", Operation(TokenList, TokenizeRequest, examples=EXAMPLES)),
    Route("/detokenize", detokenize, "POST", Operation(DetokenizedText, DetokenizeRequest, examples=IDS_EXAMPLES)),
)

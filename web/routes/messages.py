"""Anthropic's Messages API."""

from __future__ import annotations

import secrets
from functools import partial

from fastapi import Request
from starlette.responses import JSONResponse, Response

from apis.message_events import MessageWriter, fold_message
from apis.messages import EXAMPLES, CountTokensRequest, MessagesRequest, count_request, messages_request
from apis.rules.anthropic_answer import AnthropicError, AnthropicEvent, AnthropicMessage, TokenCount
from inference import tokenized_prompt
from web.choices import written
from web.dialects import MESSAGES_PATH, MessagesFraming
from web.event_stream import event_stream
from web.observation import current
from web.openapi import Operation, Route
from web.serving import admit, in_turn, loaded_model, read_owned, whole


async def messages(request: Request) -> Response:
    """Serve Anthropic's Messages API. The headers anthropic-version and anthropic-beta change nothing."""
    model = loaded_model(request)
    chat = await read_owned(messages_request, request)
    headers = admit(model, chat)
    message_id = "msg_" + secrets.token_hex(12)
    current().answered(message_id)
    events = written(model, chat, partial(MessageWriter, chat, message_id))
    if chat.stream:
        return await event_stream(request.receive, events, headers, MessagesFraming(request.state.request_id))
    collected, _ = await whole(request, events)
    return JSONResponse(fold_message(collected), headers=headers)


async def count_tokens(request: Request) -> Response:
    """Count the tokens of a request's prompt, also if they are too many. Nothing is generated."""
    model = loaded_model(request)
    chat = await read_owned(count_request, request)
    headers = admit(model, chat)
    prompt_ids = await in_turn(lambda: tokenized_prompt(model, chat))
    return JSONResponse({"input_tokens": len(prompt_ids)}, headers=headers)


ROUTES: tuple[Route, ...] = (
    Route(
        MESSAGES_PATH,
        messages,
        "POST",
        Operation(AnthropicMessage, MessagesRequest, AnthropicEvent, EXAMPLES, AnthropicError),
    ),
    Route(
        f"{MESSAGES_PATH}/count_tokens",
        count_tokens,
        "POST",
        Operation(TokenCount, CountTokensRequest, examples=EXAMPLES, error=AnthropicError),
    ),
)

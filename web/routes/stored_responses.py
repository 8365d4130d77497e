"""The routes of stored responses: read one, list its input items, delete it."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import Request
from starlette.responses import JSONResponse, Response

from apis.rules.response_answer import ResponseAnswer
from apis.stored_responses import DeletedResponse, InputItemList, input_item_page
from core.errors import RequestError
from stores.store import ResponseStore, StoredResponse
from web.errors import HttpError
from web.openapi import Operation, Route
from web.serving import owner

Json = dict[str, Any]


async def retrieve_response(request: Request, response_id: str) -> Response:
    """Return a stored response as it was sent."""
    if request.query_params.get("stream", "false").lower() != "false":
        message = "A stored response cannot be streamed: leave 'stream' out, or set it to false."
        raise RequestError(message, "stream", "unsupported_value")
    return JSONResponse((await _stored(request, response_id)).response)


async def delete_response(request: Request, response_id: str) -> Json:
    """Delete a stored response. Later responses that continue it keep their context."""
    store: ResponseStore = request.app.state.response_store
    if not await asyncio.to_thread(store.delete, owner(request), response_id):
        raise _not_found(response_id)
    return {"id": response_id, "object": "response", "deleted": True}


async def list_input_items(request: Request, response_id: str) -> Response:
    """List the input items of a stored response, page by page: the last first unless `order` is asc."""
    stored = await _stored(request, response_id)
    return JSONResponse(input_item_page(stored.input_items, request.query_params))


async def cancel_response(request: Request, response_id: str) -> Response:
    """Refuse: only responses in the background can be cancelled, and there are none."""
    await _stored(request, response_id)
    raise RequestError("Only responses with background: true can be cancelled, and this server has none of them.")


async def _stored(request: Request, response_id: str) -> StoredResponse:
    store: ResponseStore = request.app.state.response_store
    found = await asyncio.to_thread(store.get, owner(request), response_id)
    if found is None:
        raise _not_found(response_id)
    return found


def _not_found(response_id: str) -> HttpError:
    return HttpError(404, f"Response with id '{response_id[:100]}' not found.")


_RESPONSE = "/v1/responses/{response_id}"
ROUTES: tuple[Route, ...] = (
    Route(_RESPONSE, retrieve_response, "GET", Operation(ResponseAnswer)),
    Route(_RESPONSE, delete_response, "DELETE", Operation(DeletedResponse)),
    Route(f"{_RESPONSE}/input_items", list_input_items, "GET", Operation(InputItemList)),
    Route(f"{_RESPONSE}/cancel", cancel_response, "POST", Operation(ResponseAnswer)),
)

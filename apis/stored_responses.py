"""GET /v1/responses/{id} and its input items, and DELETE: answers of the Responses API that a store keeps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import ConfigDict, Field

from apis.rules.answers import Answer
from apis.rules.fields import Shape, read
from core.errors import RequestError

Json = dict[str, Any]

_INTEGER = re.compile("-?[0-9]{1,18}")


class InputItem(Answer):
    """An item of a request to POST /v1/responses, with the id that the server gave it."""

    model_config = ConfigDict(extra="allow")

    id: str = Field(description="The id of the item.")
    type: str = Field(description="The type of the item, such as message or function_call_output.")


class InputItemList(Answer):
    """A page of the items that a request gave."""

    object: Literal["list"] = Field(description="Always list.")
    data: list[InputItem] = Field(description="The items.")
    first_id: str | None = Field(description="The id of the first item of the page; null if the page is empty.")
    last_id: str | None = Field(description="The id of the last item of the page, for `after` of the next page.")
    has_more: bool = Field(description="Whether there are items after this page.")


class DeletedResponse(Answer):
    """The answer to DELETE."""

    id: str = Field(description="The id of the deleted response.")
    object: Literal["response"] = Field(description="Always response.")
    deleted: Literal[True] = Field(description="Always true; a response that is not there is an error.")


class _PageQuery(Shape):
    """The query of a list of items. `include` and unknown parameters are ignored."""

    refuses_unknown = "never"

    limit: int = Field(20, ge=1, le=100)
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None


def input_item_page(items: Sequence[Json], query: Mapping[str, str]) -> Json:
    """Return the page of a response's input items that a query asks for. Raises RequestError for a wrong query."""
    given: Json = dict(query)
    if _INTEGER.fullmatch(given.get("limit", "")):
        given["limit"] = int(given["limit"])
    page = read(_PageQuery, given)
    ordered = list(items) if page.order == "asc" else list(reversed(items))
    if page.after is not None:
        ids = [item["id"] for item in ordered]
        if page.after not in ids:
            message = f"Invalid 'after': this response has no input item with the id '{page.after[:100]}'."
            raise RequestError(message, "after", "invalid_value")
        ordered = ordered[ids.index(page.after) + 1 :]
    data = ordered[: page.limit]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(ordered) > len(data),
    }

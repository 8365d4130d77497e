"""GET /v1/models and /v1/models/{id}: the model names that requests may use, in OpenAI's and Anthropic's shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from apis.rules.answers import Answer
from core.errors import RequestError

Json = dict[str, Any]

DEFAULT_PAGE = 20
MAX_PAGE = 1000  # Anthropic's bounds


class ModelCard(Answer):
    """One name of the served model."""

    id: str = Field(description="The name to put into the field model of a request.")
    object: Literal["model"] = Field(description="Always model.")
    created: int = Field(description="The time at which the model was loaded, in seconds since 1970.")
    owned_by: str = Field(description="Always functionary.")
    max_model_len: int = Field(
        0,
        description="The maximum number of tokens of a prompt and its answer together, as vLLM has it. Absent with "
        "--strict-openai.",
    )


class ModelList(Answer):
    """All names of the served model."""

    object: Literal["list"] = Field(description="Always list.")
    data: list[ModelCard] = Field(description="One entry for each name; all of them name the same model.")


class AnthropicModel(Answer):
    """One name of the served model, for requests with the header anthropic-version."""

    type: Literal["model"] = Field(description="Always model.")
    id: str = Field(description="The name to put into the field model of a request.")
    display_name: str = Field(description="The same.")
    created_at: str = Field(description="The time at which the model was loaded.")
    lifecycle: Literal["active"] = Field(description="Always active.")
    max_input_tokens: int = Field(description="The maximum number of tokens of a prompt and its answer together.")
    max_tokens: int = Field(description="The same number.")


class AnthropicModelList(Answer):
    """A page of the names of the served model, for requests with the header anthropic-version."""

    data: list[AnthropicModel] = Field(description="One entry for each name; all of them name the same model.")
    has_more: bool = Field(description="Whether there are more names in the direction of the page.")
    first_id: str | None = Field(description="The first name of the page. null if it is empty.")
    last_id: str | None = Field(description="The last name of the page. null if it is empty.")


def card(name: str, created: int, max_context: int | None) -> Json:
    """Build OpenAI's entry for a name. It states the context length unless `max_context` is None."""
    vendor = {} if max_context is None else {"max_model_len": max_context}
    return {"id": name, "object": "model", "created": created, "owned_by": "functionary", **vendor}


def card_list(names: Sequence[str], created: int, max_context: int | None) -> Json:
    return {"object": "list", "data": [card(name, created, max_context) for name in names]}


def anthropic_card(name: str, created: int, max_context: int) -> Json:
    """Build Anthropic's entry for a name."""
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z"),
        "lifecycle": "active",
        "max_input_tokens": max_context,
        "max_tokens": max_context,
    }


def anthropic_page(names: Sequence[str], created: int, max_context: int, query: Mapping[str, str]) -> Json:
    """Build Anthropic's list of names: the page that `limit` and `after_id` or `before_id` ask for.

    Raises RequestError for a wrong limit or an unknown id.
    """
    limit = _limit(query.get("limit"))
    start, end = 0, len(names)
    if "after_id" in query:
        start = _place(names, query, "after_id") + 1
    if "before_id" in query:
        end = _place(names, query, "before_id")
    found = names[start:end]
    page = found[-limit:] if "before_id" in query else found[:limit]
    return {
        "data": [anthropic_card(name, created, max_context) for name in page],
        "has_more": len(page) < len(found),
        "first_id": page[0] if page else None,
        "last_id": page[-1] if page else None,
    }


def _limit(given: str | None) -> int:
    if given is None:
        return DEFAULT_PAGE
    if not given.isdecimal() or not 1 <= len(given) <= 4 or not 1 <= int(given) <= MAX_PAGE:
        message = f"Invalid 'limit': expected an integer from 1 to {MAX_PAGE}, but got '{given[:20]}'."
        raise RequestError(message, "limit", "invalid_value")
    return int(given)


def _place(names: Sequence[str], query: Mapping[str, str], key: str) -> int:
    if query[key] not in names:
        message = f"Invalid '{key}': there is no model '{query[key][:100]}'."
        raise RequestError(message, key, "invalid_value")
    return names.index(query[key])

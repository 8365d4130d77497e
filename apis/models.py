"""GET /v1/models and /v1/models/{id}: the names that requests may use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field

from apis.rules.answers import Answer

Json = dict[str, Any]


class ModelCard(Answer):
    """A model, by one of its names."""

    id: str = Field(description="The name, for the field model of a request.")
    object: Literal["model"] = Field(description="What this is.")
    created: int = Field(description="Seconds since 1970.")
    owned_by: str = Field(description="Always functionary.")


class ModelList(Answer):
    """All names."""

    object: Literal["list"] = Field(description="What this is.")
    data: list[ModelCard] = Field(description="One for each name; all are names of one model.")


def card(name: str, created: int) -> Json:
    return {"id": name, "object": "model", "created": created, "owned_by": "functionary"}


def card_list(names: Iterable[str], created: int) -> Json:
    return {"object": "list", "data": [card(name, created) for name in names]}

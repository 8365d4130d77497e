"""GET /v1/models and /v1/models/{id}: the model names that requests may use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field

from apis.rules.answers import Answer

Json = dict[str, Any]


class ModelCard(Answer):
    """One name of the served model."""

    id: str = Field(description="The name to put into the field model of a request.")
    object: Literal["model"] = Field(description="Always model.")
    created: int = Field(description="The time at which the model was loaded, in seconds since 1970.")
    owned_by: str = Field(description="Always functionary.")


class ModelList(Answer):
    """All names of the served model."""

    object: Literal["list"] = Field(description="Always list.")
    data: list[ModelCard] = Field(description="One entry for each name; all of them name the same model.")


def card(name: str, created: int) -> Json:
    return {"id": name, "object": "model", "created": created, "owned_by": "functionary"}


def card_list(names: Iterable[str], created: int) -> Json:
    return {"object": "list", "data": [card(name, created) for name in names]}

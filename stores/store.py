"""The interface of response stores: where answers of the Responses API are kept for later requests."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

MAX_RESPONSE_BYTES = 8 << 20  # each later request that continues it has to read all of it


@dataclass(frozen=True)
class StoredResponse:
    """One kept answer.

    response: the answer as it was sent. input_items: the items of its request, each with an id.
    context: the items that the model saw and wrote: those of the previous responses, `input_items`, and the output. A
    later request with `previous_response_id` continues them, even if the responses before are deleted by then.
    """

    response: Json
    input_items: tuple[Json, ...]
    context: tuple[Json, ...]

    @property
    def id(self) -> str:
        return str(self.response["id"])

    def packed(self) -> bytes:
        """Return the response as compact JSON. Its length is the size that counts against the bound of a store."""
        content = {"response": self.response, "input_items": self.input_items, "context": self.context}
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")

    @classmethod
    def unpacked(cls, packed: bytes) -> StoredResponse:
        """Return the response that `packed` describes. Raises ValueError, KeyError or TypeError for other bytes."""
        content = json.loads(packed.decode("utf-8", "surrogatepass"))
        return cls(content["response"], tuple(content["input_items"]), tuple(content["context"]))


class ResponseStore(ABC):
    """Keeps responses by owner: the digest of an API key, or "" on a server without keys.

    A response of another owner is not found. A store is bounded in entries and in bytes; when it is full, the oldest
    responses of all owners go first. Methods may block on a disk and may be called from several threads. All raise
    StoreError (core/errors.py).
    """

    @abstractmethod
    def put(self, owner: str, stored: StoredResponse) -> bool:
        """Keep a response. Returns False for one that is not kept, since it is too large.

        It may be as large as the whole store, but not larger than MAX_RESPONSE_BYTES.
        """

    @abstractmethod
    def get(self, owner: str, response_id: str) -> StoredResponse | None:
        """Return a response, or None if there is none of this owner."""

    @abstractmethod
    def delete(self, owner: str, response_id: str) -> bool:
        """Forget a response. Returns False if there is none of this owner."""

    def close(self) -> None:  # noqa: B027  (a store in memory has nothing to close)
        """Close what the store holds open."""

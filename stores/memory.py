"""Responses in memory: the default store, which is empty after each start."""

from __future__ import annotations

from threading import Lock

from stores.store import MAX_RESPONSE_BYTES, ResponseStore, StoredResponse

MAX_ENTRIES = 10_000
MAX_BYTES = 48 << 20


class MemoryStore(ResponseStore):
    """Keeps each response as compact JSON, which takes a fraction of the memory of Python's objects."""

    def __init__(self, max_bytes: int = MAX_BYTES, max_entries: int = MAX_ENTRIES) -> None:
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._packed: dict[tuple[str, str], bytes] = {}  # the oldest first
        self._num_bytes = 0
        self._lock = Lock()

    def put(self, owner: str, stored: StoredResponse) -> bool:
        packed = stored.packed()
        if len(packed) > min(self._max_bytes, MAX_RESPONSE_BYTES):
            return False
        with self._lock:
            self._forget((owner, stored.id))
            self._packed[owner, stored.id] = packed
            self._num_bytes += len(packed)
            while self._num_bytes > self._max_bytes or len(self._packed) > self._max_entries:
                self._forget(next(iter(self._packed)))
        return True

    def get(self, owner: str, response_id: str) -> StoredResponse | None:
        packed = self._packed.get((owner, response_id))
        return StoredResponse.unpacked(packed) if packed is not None else None

    def delete(self, owner: str, response_id: str) -> bool:
        with self._lock:
            return self._forget((owner, response_id))

    def _forget(self, key: tuple[str, str]) -> bool:
        packed = self._packed.pop(key, b"")
        self._num_bytes -= len(packed)
        return bool(packed)

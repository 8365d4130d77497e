"""The servers that share the work: which of them gets a request, and which are left out for a while."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from engines.remote.dialect import Dialect, Facts
from engines.remote.http import HttpServer

BLOCK = 64  # tokens; prompts are compared in blocks of so many
MAX_BLOCKS = 100_000  # that are remembered for each server, about 10 MB
MAX_AHEAD = 8  # requests that the server with the known prompt may run more than the least busy one
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0  # a server that fails is left out for so long; the pause doubles each time

log = logging.getLogger("functionary")


@dataclass(eq=False)
class Server:
    """One server, and what is known about it now.

    fault: why it was left out last, as a phrase; "" while it works.
    """

    http: HttpServer
    dialect: Dialect
    facts: Facts
    num_running: int = 0
    fault: str = ""
    paused_until: float = 0.0
    pause_s: float = 0.0
    blocks: OrderedDict[int, None] = field(default_factory=OrderedDict)

    def num_known(self, blocks: Sequence[int]) -> int:
        """Return how many blocks at the beginning of a prompt the server has read before."""
        return next((number for number, block in enumerate(blocks) if block not in self.blocks), len(blocks))

    def remember(self, blocks: Sequence[int]) -> None:
        for block in blocks:
            self.blocks[block] = None
            self.blocks.move_to_end(block)
        while len(self.blocks) > MAX_BLOCKS:
            self.blocks.popitem(last=False)

    def fail(self, fault: str, pause_s: float | None = None) -> None:
        """Leave the server out for `pause_s` seconds; by default for twice as long as the last time.

        Requests that fail together count once.
        """
        self.fault = fault
        if time.monotonic() < self.paused_until:
            return
        self.pause_s = pause_s or min(2 * self.pause_s or FIRST_PAUSE_S, LONGEST_PAUSE_S)
        self.paused_until = time.monotonic() + self.pause_s

    def recover(self) -> None:
        self.fault, self.pause_s, self.paused_until = "", 0.0, 0.0


class Servers:
    """All servers of one engine. Safe to use from several threads."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self._servers = servers
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Server]:
        return iter(self._servers)

    def fault(self) -> str:
        """Return why no server works; "" if one does."""
        faults = [server.fault for server in self._servers]
        return "" if "" in faults else "; ".join(f"the engine's server {fault}" for fault in faults)

    def fail(self, server: Server, fault: str, pause_s: float | None = None) -> None:
        """Leave a server out for a while, as Server.fail does, and log each new fault."""
        with self._lock:
            if server.fault != fault:
                log.warning("the engine's server %s %s; it is left out until it works", server.http.url, fault)
            server.fail(fault, pause_s)

    def recover(self, server: Server) -> None:
        with self._lock:
            if server.fault:
                log.warning("the engine's server %s works again", server.http.url)
            server.recover()

    def in_order(self, ids: Sequence[int], owner: str) -> list[Server]:
        """Return the servers that may get a request, the best first.

        The best is the one that has read the longest part of this prompt's beginning, unless it is much busier than
        another; else the least busy. A server that failed is left out until its pause is over; if that leaves none, all
        are tried.
        """
        blocks = _blocks(ids, owner)
        now = time.monotonic()
        with self._lock:
            usable = [one for one in self._servers if one.paused_until <= now] or list(self._servers)
            least = min(one.num_running for one in usable)

            def rank(server: Server) -> tuple[int, int]:
                is_far_ahead = server.num_running > least + MAX_AHEAD
                return (0 if is_far_ahead else -server.num_known(blocks), server.num_running)

            return sorted(usable, key=rank)

    @contextmanager
    def running(self, server: Server, ids: Sequence[int], owner: str) -> Iterator[None]:
        """Count a request of a server while it runs, and remember its prompt."""
        with self._lock:
            server.num_running += 1
            server.remember(_blocks(ids, owner))
        try:
            yield
        finally:
            with self._lock:
                server.num_running -= 1


def _blocks(ids: Sequence[int], owner: str) -> list[int]:
    """Return a hash of each whole block of the ids and all before it. Owners do not share the servers' caches."""
    hashes: list[int] = []
    so_far = hash(owner)
    for start in range(0, len(ids) - BLOCK + 1, BLOCK):
        so_far = hash((so_far, *ids[start : start + BLOCK]))
        hashes.append(so_far)
    return hashes

"""Watches the servers: asks each for its health from time to time, so that /health knows before a request does."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

from engines.remote.http import ServerError
from engines.remote.servers import Server, Servers

log = logging.getLogger("functionary")

PERIOD_S = 5.0
_OF_KEYS = (401, 403)  # the route may need a key of its own; completions show whether ours fits


class HealthWatch:
    """Asks all servers every PERIOD_S seconds, in a thread of its own that ends with the process."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine health", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join(1)

    def _run(self) -> None:
        while not self._is_over.wait(PERIOD_S):
            try:
                asyncio.run(self._look())
            except Exception:
                log.exception("the health of the engine's servers is not known")  # the next look may work

    async def _look(self) -> None:
        await asyncio.gather(*map(self._look_at, self._servers))

    async def _look_at(self, server: Server) -> None:
        try:
            await server.http.ask("GET", server.dialect.health_path)
        except ServerError as error:
            if error.status not in _OF_KEYS:
                self._servers.fail(server, str(error), PERIOD_S)
        else:
            if server.fault and time.monotonic() >= server.paused_until:
                self._servers.recover(server)

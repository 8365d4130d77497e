"""One HTTP/1.1 connection: uvicorn's protocol with a deadline for every head, and errors in OpenAI's shape."""

from __future__ import annotations

import asyncio
import json
import logging
from http import HTTPStatus

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from web.errors import error_body, new_request_id

MAX_HEAD = 64 * 2**10
HEAD_DEADLINE_S = 10.0

log = logging.getLogger("functionary")


class Connection(H11Protocol):
    """A connection that does not wait for a slow client.

    A head must be complete HEAD_DEADLINE_S after the connection is accepted, and on a connection that was kept alive as
    long after the head's first byte. So must the rest of a body that the server has answered without reading it.
    A kept connection without any byte ends after uvicorn's `timeout_keep_alive`.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in H11Protocol
        super().connection_made(transport)
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._update_deadline()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._update_deadline()

    def drain(self) -> None:
        """Close the connection if it is kept without a request; otherwise once its request is answered.

        A new connection stays open: its first request is underway.
        """
        if self.cycle is not None and not self._has_part_of_a_head():
            self.shutdown()

    def send_400_response(self, msg: str) -> None:
        """Replace uvicorn's error in plain text for bytes that are no HTTP, and for a head that does not end."""
        is_answered = self.cycle is None or self.cycle.response_complete
        if is_answered and len(self.conn.trailing_data[0]) > MAX_HEAD:
            self._reject(431, f"The head of the request is larger than {MAX_HEAD} bytes.")
        else:
            self._reject(400, "This is not a valid HTTP/1.1 request.")

    def _update_deadline(self) -> None:
        if self.conn.their_state is h11.IDLE:
            is_waiting = self._has_part_of_a_head()
        else:
            is_waiting = self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY
        if not is_waiting:
            self._clear_deadline()
        elif self._deadline is None:
            self._set_deadline()

    def _has_part_of_a_head(self) -> bool:
        return bool(self.conn.trailing_data[0])

    def _set_deadline(self) -> None:
        self._deadline = self.loop.call_later(HEAD_DEADLINE_S, self._end)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end(self) -> None:
        """End the connection: with an error if the client has begun a request, else without an answer."""
        self._deadline = None
        if self.conn.their_state is h11.IDLE and self._has_part_of_a_head():
            self._reject(408, f"The head of the request did not arrive within {HEAD_DEADLINE_S:g} seconds.")
        else:
            self.transport.close()

    def _reject(self, status: int, message: str) -> None:
        """Send an error and close the connection. A request that is being answered counts as left by its client."""
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            request_id = new_request_id()
            body = json.dumps(error_body(message, "invalid_request_error")).encode()
            headers = [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(body))),
                ("Connection", "close"),
                ("X-Request-Id", request_id),
                ("Request-Id", request_id),  # for clients of Anthropic's: the path, and so the API, is not known
            ]
            reason = HTTPStatus(status).phrase
            for event in (
                h11.Response(status_code=status, headers=headers, reason=reason),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
            log.info("no request could be read: %d %s", status, request_id)
        self.transport.close()

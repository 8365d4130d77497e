"""Which host names and web sites may use the server: the Host header, the Origin header, and CORS for browsers.

starlette's CORSMiddleware is not used: it would answer preflights before the request has an id and a line in the log,
and those of other sites as plain text that names no option.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from starlette.datastructures import Headers

from web.errors import HttpError

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
ANY_ORIGIN = "*"
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@*\s]+")
_EXPOSED = "x-request-id, request-id, x-ignored-fields, retry-after"
_PREFLIGHT_S = 600  # how long a browser may remember a preflight's answer
_HOST = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^\[\]:@/?#\\]+))(?::[0-9]*)?")


class Sites:
    """The host names of this server, and the web sites whose pages may use it."""

    def __init__(self, own_hosts: Collection[str], origins: Collection[str]) -> None:
        """`origins` are admitted beside the server's own: as browsers send them, or `*` for all."""
        self._hosts = LOOPBACK | {host.lower() for host in own_hosts}
        self._origins = frozenset(origins)

    def check_host(self, host: str | None) -> None:
        """Raise HttpError 403 for a foreign host name.

        Without keys, any web page in a local browser could call the server by DNS rebinding to 127.0.0.1.
        """
        if host is None or hostname(host) in self._hosts:
            return
        name = hostname(host)[:100]
        way = f"--allow-host {name} admits it" if name and name.isprintable() else "--allow-host admits others"
        message = f"This server answers only to its own host names; {way}, and an API key admits all."
        raise HttpError(403, message, "permission_error")

    def check_origin(self, headers: Headers) -> None:
        """Raise HttpError 403 if the request comes from a web page of another site that is not admitted."""
        origin = headers.get("origin")
        if origin is None or self._admits(origin) or origin.partition("://")[2] == headers.get("host"):
            return
        is_legal = origin == "null" or (ORIGIN.fullmatch(origin) and origin.isprintable())
        message = (
            f"Web pages of other sites are refused; --allow-origin {origin[:150] if is_legal else 'URL'} admits them."
        )
        raise HttpError(403, message, "permission_error")

    def cors_headers(self, headers: Headers) -> dict[str, str]:
        """Return the headers of an answer, errors included, that let a browser show it to a page of an admitted site.

        Preflights of a private network are Chrome's: a public site asks before it calls a local address.
        """
        found = {"Vary": "Origin"} if self._origins and ANY_ORIGIN not in self._origins else {}
        origin = headers.get("origin")
        if origin is None or not self._admits(origin):
            return found
        found["Access-Control-Allow-Origin"] = ANY_ORIGIN if ANY_ORIGIN in self._origins else origin
        found["Access-Control-Expose-Headers"] = _EXPOSED
        if "access-control-request-method" in headers:
            found["Access-Control-Allow-Methods"] = "GET, HEAD, POST, DELETE"
            found["Access-Control-Allow-Headers"] = headers.get("access-control-request-headers", ANY_ORIGIN)
            found["Access-Control-Max-Age"] = str(_PREFLIGHT_S)
        if "access-control-request-private-network" in headers:
            found["Access-Control-Allow-Private-Network"] = "true"
        return found

    def _admits(self, origin: str) -> bool:
        return ANY_ORIGIN in self._origins or origin in self._origins


def is_preflight(method: str, headers: Headers) -> bool:
    """Whether a browser asks, before a page's request and without its key, if the page may send the request."""
    return method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


def hostname(host: str) -> str:
    """Return the name in a Host header, without port and brackets; "" if the header is malformed."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).rstrip(".").lower() if found else ""

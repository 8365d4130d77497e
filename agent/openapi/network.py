"""A safe HTTP client for URLs that documents name: allowed hosts, no private addresses, and bounds for time and size.

A name is resolved once, each of its addresses is checked, and the connection goes to a checked address. Each request
has a connection of its own, which uses no proxy, keeps no cookies and is never retried.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
import zlib
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import httpcore2
import httpx2
from anyio import to_thread

TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10.0
MAX_REDIRECTS = 5
MAX_URL = 8_192  # characters

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_HOST = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # as a last label, it makes browsers and resolvers read an IPv4 address
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_PRIVATE = [
    ipaddress.ip_network(block)
    for block in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "::1/128",
        "fc00::/7",
    )
]
# Blocks that Python 3.11 takes for public: protocol assignments (192.0.0.192 is the metadata of a cloud), the old
# relays of 6to4, local NAT64, documentation, and segment routing.
_NOT_PUBLIC = [
    ipaddress.ip_network(block)
    for block in ("192.0.0.0/24", "192.88.99.0/24", "64:ff9b:1::/48", "3fff::/20", "5f00::/16")
]


class NetworkError(Exception):
    """A request was not sent, or got no usable answer. The message is one line without the query and the headers."""


@dataclass(frozen=True)
class Answer:
    """What a server answered. `body` is unpacked; `is_cut` says that it is longer than the limit."""

    status: int
    headers: httpx2.Headers
    body: bytes
    is_cut: bool


async def resolved(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a name, as the operating system resolves it."""
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await to_thread.run_sync(look_up, abandon_on_cancel=True)  # asyncio's own waits for its thread at the end
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass(frozen=True)
class SafeClient:
    """Sends requests to `hosts` only.

    allow_private: also to this machine and to private networks, but never to link-local addresses, where clouds have
    their metadata. timeout_s: for a whole answer, with its redirects. ssl_context: None for the usual certificates.
    """

    hosts: frozenset[str]
    allow_private: bool = False
    timeout_s: float = TIMEOUT_S
    resolve: Resolve = resolved
    ssl_context: ssl.SSLContext | None = None

    async def fetch(self, request: httpx2.Request, max_bytes: int) -> Answer:
        """Send a request and read the answer up to `max_bytes`. Raises NetworkError.

        Redirects are followed within the same scheme, host and port only.
        """
        host = request.url.host
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._followed(request, max_bytes)
        except (TimeoutError, httpcore2.TimeoutException):
            raise NetworkError(f"{host} did not answer within {self.timeout_s:g} s") from None
        except httpcore2.NetworkError as error:
            raise NetworkError(f"{host} cannot be reached ({_one_line(error)})") from None
        except httpcore2.LocalProtocolError:  # its message may hold a header, and the header a key
            raise NetworkError(f"the request to {host} is no valid HTTP") from None
        except httpcore2.ProtocolError as error:
            raise NetworkError(f"{host} sent no valid HTTP ({_one_line(error)})") from None

    async def _followed(self, request: httpx2.Request, max_bytes: int) -> Answer:
        for _ in range(MAX_REDIRECTS + 1):
            self.check_host(request.url)
            request.headers.setdefault("user-agent", "functionary")
            request.headers["accept-encoding"] = "gzip"
            url = request.url
            is_tls = url.scheme == "https"
            async with (
                httpcore2.AsyncConnectionPool(
                    ssl_context=(self.ssl_context or _ssl_context()) if is_tls else None,
                    network_backend=_CheckedNetwork(self),
                ) as pool,
                pool.stream(
                    request.method,
                    httpcore2.URL(
                        scheme=url.raw_scheme, host=host_of(url).encode(), port=url.port, target=url.raw_path
                    ),
                    headers=request.headers.raw,
                    content=request.read() or None,
                    extensions={"timeout": {"connect": min(CONNECT_TIMEOUT_S, self.timeout_s)}},
                ) as response,
            ):
                headers = httpx2.Headers(response.headers)
                if response.status not in _REDIRECTS or "location" not in headers:
                    body, is_cut = await _read(response.aiter_stream(), headers, max_bytes, url.host)
                    return Answer(response.status, headers, body, is_cut)
            request = _redirected(request, response.status, headers["location"])
        raise NetworkError(f"{url.host} redirects more than {MAX_REDIRECTS} times")

    def check_host(self, url: httpx2.URL) -> None:
        """Raise NetworkError for a host that is not in the list."""
        if (host := host_of(url)) not in self.hosts:
            raise NetworkError(
                f"the host {host!r} is not allowed; allowed are {', '.join(sorted(self.hosts)) or 'none'}"
            )

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host. Raises NetworkError if one of them is not allowed."""
        try:
            found = [str(ipaddress.ip_address(host))]
        except ValueError:
            try:
                found = list(await self.resolve(host, port))
            except (OSError, UnicodeError):
                raise NetworkError(f"{host} cannot be resolved") from None
        for address in found:
            if not is_allowed(address, allow_private=self.allow_private):
                hint = " (allow_private permits it)" if is_allowed(address, allow_private=True) else ""
                found_at = f"{host} is" if address == host else f"{host} has the address {address}, which is"
                raise NetworkError(f"{found_at} not public{hint}")
        if not found:
            raise NetworkError(f"{host} has no address")
        return found


class _CheckedNetwork(httpcore2.AsyncNetworkBackend):
    """Connects to the addresses that a client has checked. TLS still checks the certificate of the name."""

    def __init__(self, client: SafeClient) -> None:
        self._client = client
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        failure: Exception = OSError("no address")
        for address in await self._client.addresses(host, port):
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure


def safe_url(text: str) -> httpx2.URL:
    """Parse an absolute http or https URL. Raises NetworkError for one that two parsers might read differently."""
    if len(text) > MAX_URL or _UNSAFE.search(text):
        raise NetworkError(
            f"{_shown(text)!r} is no URL: it has blanks, control characters or backslashes, or is too long"
        )
    try:
        url = httpx2.URL(text)
    except (httpx2.InvalidURL, ValueError) as error:
        raise NetworkError(f"{_shown(text)!r} is no URL: {_one_line(error)}") from None
    if url.scheme not in ("http", "https"):
        raise NetworkError(f"{_shown(text)!r} is no URL with http or https")
    if url.userinfo:
        raise NetworkError(f"the URL of {url.host!r} has a user name, which is not allowed; use a security scheme")
    if url.port is not None and not 0 < url.port < 65_536:
        raise NetworkError(f"the URL of {url.host!r} has the port {url.port}")
    host_of(url)
    return url


def host_of(url: httpx2.URL) -> str:
    """Return the host in its one normal form. Raises NetworkError for a host that is written in another way."""
    host = url.raw_host.decode("ascii")
    if ":" in host:
        return str(ipaddress.ip_address(host))
    host = host.removesuffix(".")
    if len(host) > 253 or not _HOST.fullmatch(host):
        raise NetworkError(f"{host[:80]!r} is no host name")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise NetworkError(f"{host[:80]!r} is no host name; write an address as four decimal numbers") from None
    return host


def is_allowed(address: str, *, allow_private: bool) -> bool:
    """Return whether a connection may go to an address. An IPv4 address within an IPv6 address is what counts."""
    found = _inner(ipaddress.ip_address(address))
    if allow_private and any(found in block for block in _PRIVATE):
        return True
    is_special = found.is_multicast or found.is_reserved or getattr(found, "is_site_local", False)
    return found.is_global and not is_special and not any(found in block for block in _NOT_PUBLIC)


def _inner(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for (mapped, 6to4, NAT64), or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or address


def _redirected(request: httpx2.Request, status: int, location: str) -> httpx2.Request:
    """Return the request that a redirect asks for. Raises NetworkError for one to another scheme, host or port."""
    if _UNSAFE.search(location):
        raise NetworkError(f"{request.url.host} redirects to something that is no URL")
    try:
        url = safe_url(str(request.url.join(location)))
    except (httpx2.InvalidURL, ValueError):
        raise NetworkError(f"{request.url.host} redirects to something that is no URL") from None
    if (url.scheme, host_of(url), url.port) != (request.url.scheme, host_of(request.url), request.url.port):
        target = f"{url.scheme}://{url.netloc.decode('ascii')}"
        raise NetworkError(f"{request.url.host} redirects to {target[:120]}, and only redirects to itself are followed")
    headers = httpx2.Headers(request.headers)
    if status in (307, 308) or (status != 303 and request.method != "POST"):
        return httpx2.Request(request.method, url, headers=headers, content=request.read())
    for name in ("content-type", "content-length", "transfer-encoding"):
        headers.pop(name, None)
    return httpx2.Request("GET", url, headers=headers)


async def _read(chunks: AsyncIterable[bytes], headers: httpx2.Headers, limit: int, host: str) -> tuple[bytes, bool]:
    """Read a body, unpacked, up to `limit` bytes. Returns it and whether it is longer."""
    packing = headers.get("content-encoding", "identity").strip().lower()
    if packing not in ("identity", "", "gzip", "x-gzip"):
        raise NetworkError(f"{host} sent a body packed with {packing[:40]!r}, which was not asked for")
    gzip = zlib.decompressobj(wbits=31) if "gzip" in packing else None
    body = bytearray()
    try:
        async for chunk in chunks:
            body += gzip.decompress(chunk, limit + 1 - len(body)) if gzip else chunk[: limit + 1 - len(body)]
            if len(body) > limit:
                return bytes(body[:limit]), True
    except zlib.error:
        raise NetworkError(f"{host} sent a body that is no gzip") from None
    if gzip and body and not gzip.eof:
        raise NetworkError(f"{host} sent a body that ends early")
    return bytes(body), False


@lru_cache(1)
def _ssl_context() -> ssl.SSLContext:
    return httpx2.create_ssl_context()  # SSL_CERT_FILE names other certificates


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _shown(text: str) -> str:
    """Return the beginning of a URL without its query."""
    return text.partition("?")[0][:80]

"""One request over a connection of its own, by HTTP/1.1 (h11)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from functools import cache
from urllib.parse import urlsplit

import h11

CONNECT_S = 10.0
MAX_HEAD = 65_536  # bytes of the head of an answer
_READ = 65_536


class ConnectionFault(Exception):
    """The connection failed. The message continues "the server ...", as in "cannot be reached"."""


class Connection:
    """A connection to a server, and its answer. Every wait for the server ends after `silence_s` seconds."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, silence_s: float) -> None:
        self._reader = reader
        self._writer = writer
        self._silence_s = silence_s
        self._loop = asyncio.get_running_loop()
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str]]:
        """Send a request, and return the status and the headers of the answer, with small names."""
        parts = urlsplit(url)
        target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        sent = [("Host", parts.netloc.rpartition("@")[2]), ("Content-Length", str(len(body))), *headers.items()]
        self._writer.write(self._h11.send(h11.Request(method=method, target=target, headers=sent)) or b"")
        self._writer.write(self._h11.send(h11.Data(body)) or b"")
        self._writer.write(self._h11.send(h11.EndOfMessage()) or b"")
        try:
            async with asyncio.timeout(self._silence_s):
                await self._writer.drain()
        except TimeoutError:
            raise self._silent() from None
        except OSError as error:
            raise ConnectionFault(f"broke the connection ({type(error).__name__})") from None
        while isinstance(event := await self._event(), h11.InformationalResponse):
            pass
        if not isinstance(event, h11.Response):
            raise ConnectionFault("broke off its answer, or does not speak HTTP")
        return event.status_code, {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}

    async def part(self) -> bytes | None:
        """Return a part of the answer's body as it comes; None after the last."""
        event = await self._event()
        return bytes(event.data) if isinstance(event, h11.Data) else None

    def abort(self) -> None:
        """Close the connection at once, without sending what is left."""
        self._writer.transport.abort()

    def abort_soon(self) -> None:
        """Do so from another thread. Whoever waits for the answer gets ConnectionFault."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.abort)

    async def _event(self) -> h11.Event:
        try:
            while not isinstance(event := self._h11.next_event(), h11.Event):
                async with asyncio.timeout(self._silence_s):
                    self._h11.receive_data(await self._reader.read(_READ))
        except TimeoutError:
            raise self._silent() from None
        except h11.RemoteProtocolError:
            raise ConnectionFault("broke off its answer, or does not speak HTTP") from None
        except OSError as error:
            raise ConnectionFault(f"broke the connection ({type(error).__name__})") from None
        return event

    def _silent(self) -> ConnectionFault:
        return ConnectionFault(f"has sent nothing for {self._silence_s:g} s")


async def opened(url: str, silence_s: float) -> Connection:
    """Connect to the server of an http or https URL. Raises ConnectionFault."""
    parts = urlsplit(url)
    tls = _tls() if parts.scheme == "https" else None
    connect_s = min(CONNECT_S, silence_s)
    try:
        async with asyncio.timeout(connect_s):
            reader, writer = await asyncio.open_connection(
                parts.hostname, parts.port or (443 if tls else 80), ssl=tls, limit=_READ
            )
    except TimeoutError:
        raise ConnectionFault(f"does not accept a connection within {connect_s:g} s") from None
    except ssl.SSLError as error:
        raise ConnectionFault(f"cannot be reached by TLS ({error.reason or error})") from None
    except (OSError, UnicodeError):  # the latter for a name with an empty or a too long part
        raise ConnectionFault("cannot be reached") from None
    return Connection(reader, writer, silence_s)


@cache
def _tls() -> ssl.SSLContext:
    """Return the context for all connections; making one costs 10 ms."""
    return ssl.create_default_context()

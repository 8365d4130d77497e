"""Group A of the hostile requests as raw bytes: invalid HTTP, ambiguous HTTP, and odd but valid HTTP."""

from __future__ import annotations

import gzip

from tests.support.abuse_client import BODY, CHAT, as_json, head

GOOD = as_json(BODY)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "BREW")
UNKNOWN_PATHS = (
    *(
        "/v1",
        "/v1/",
        "/v1/nope",
        "/v1/chat",
        "/v1/embeddings",
        "/favicon.ico",
        "/.env",
        "/.git/config",
    ),
    *(
        "/LICENSE",
        "/../LICENSE",
        "/..%2fLICENSE",
        "/%2e%2e/%2e%2e/LICENSE",
        "/v1/models/../../LICENSE",
        "/%00",
    ),
    *(
        "//v1/chat/completions",
        "/v1//models",
        "/V1/models",
        "/v1/chat/completions/",
        "/live/",
        "/LIVE",
        "/live;x",
        "/%zz",
    ),
    *(
        "/%ff%fe",
        "/" + "a" * 5_000,
        "/" + "/" * 2_000,
        "/{name}",
        "/%0d%0aSet-Cookie:%20a=b",
        "/é".encode().hex(),
    ),
)


def post(body: bytes, *lines: str, path: str = CHAT) -> bytes:
    return head("POST", path, f"Content-Length: {len(body)}", *lines) + body


SECOND = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD)
# Ambiguous requests: behind a proxy, the second request could be attributed to another client (request smuggling).
AMBIGUOUS: dict[str, bytes] = {
    "length and chunks": head("POST", CHAT, "Content-Length: 6", "Transfer-Encoding: chunked") + b"0\r\n\r\n" + SECOND,
    "chunks and length": head("POST", CHAT, "Transfer-Encoding: chunked", "Content-Length: 999") + CHUNKED + SECOND,
    "two lengths": head("POST", CHAT, "Content-Length: 0", f"Content-Length: {len(SECOND)}") + SECOND,
    "two lengths in one": head("POST", CHAT, f"Content-Length: 0, {len(SECOND)}") + SECOND,
    "signed length": head("POST", CHAT, "Content-Length: +5") + b"12345" + SECOND,
    "negative length": head("POST", CHAT, "Content-Length: -1") + SECOND,
    "hex length": head("POST", CHAT, "Content-Length: 0x5") + b"12345" + SECOND,
    "length of spaces": head("POST", CHAT, "Content-Length: 1 2") + b"12345" + SECOND,
    "empty length": head("POST", CHAT, "Content-Length: ") + SECOND,
    "Arabic length": head("POST", CHAT, "Content-Length: \xd9\xa5") + b"12345" + SECOND,
    "length of 5,000 digits": head("POST", CHAT, "Content-Length: " + "9" * 5_000) + SECOND,
    "gzip, chunked": head("POST", CHAT, "Transfer-Encoding: gzip, chunked") + CHUNKED + SECOND,
    "identity": head("POST", CHAT, "Transfer-Encoding: identity", "Content-Length: 5") + b"12345" + SECOND,
    "xchunked": head("POST", CHAT, "Transfer-Encoding: xchunked") + CHUNKED + SECOND,
    "chunked twice": head("POST", CHAT, "Transfer-Encoding: chunked", "Transfer-Encoding: identity") + CHUNKED + SECOND,
    "space before the colon": head("POST", CHAT, "Transfer-Encoding : chunked") + CHUNKED + SECOND,
    "vertical tab": head("POST", CHAT, "Transfer-Encoding: \x0bchunked") + CHUNKED + SECOND,
    "chunk size with a sign": head("POST", CHAT, "Transfer-Encoding: chunked") + b"+5\r\n12345\r\n0\r\n\r\n" + SECOND,
    "chunk size with 0x": head("POST", CHAT, "Transfer-Encoding: chunked") + b"0x5\r\n12345\r\n0\r\n\r\n" + SECOND,
    "chunk size of words": head("POST", CHAT, "Transfer-Encoding: chunked") + b"five\r\n12345\r\n0\r\n\r\n" + SECOND,
    "endless chunk size": head("POST", CHAT, "Transfer-Encoding: chunked") + b"f" * 40 + b"\r\n12345" + SECOND,
    "chunk without its end": head("POST", CHAT, "Transfer-Encoding: chunked") + b"5\r\n12345x0\r\n\r\n" + SECOND,
    "bare CR": head("POST", CHAT, "X: a\rContent-Length: 5") + b"12345" + SECOND,
    "folded line": head("POST", CHAT, "X: a\r\n Content-Length: 5", "Connection: close") + b"12345" + SECOND,
}
MALFORMED: dict[str, bytes] = {
    "HTTP/0.9": b"GET /live\r\n\r\n",
    "HTTP/2.0": b"GET /live HTTP/2.0\r\nHost: localhost\r\n\r\n",
    "HTTP/1.10": b"GET /live HTTP/1.10\r\nHost: localhost\r\n\r\n",
    "http/1.1": b"GET /live http/1.1\r\nHost: localhost\r\n\r\n",
    "two versions": b"GET /live HTTP/1.1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no host": b"GET /live HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /live HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n",
    "no path": b"GET  HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "NUL in the path": b"GET /li\0ve HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "space in the path": b"GET /li ve HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "UTF-8 in the path": "GET /é HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
    "NUL in a header": b"GET /live HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
    "no colon": b"GET /live HTTP/1.1\r\nHost: localhost\r\nnonsense\r\n\r\n",
    "empty name": b"GET /live HTTP/1.1\r\nHost: localhost\r\n: x\r\n\r\n",
    "method with NUL": b"GE\0T /live HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.0\r\n\r\n",
    "Redis": b"*1\r\n$4\r\nPING\r\n\r\n",
    "all bytes": bytes(range(256)) * 4 + b"\r\n\r\n",
    "newlines only": b"\r\n" * 1_000 + b"x\r\n\r\n",
    "1 MB of one header": head("GET", "/live", "X: " + "a" * 2**20),
    "10,000 headers": head("GET", "/live", *(f"X-{i}: a" for i in range(10_000))),
    "giant path": head("GET", "/" + "a" * 100_000),
}
ODD_BUT_LEGAL: dict[str, tuple[bytes, int]] = {
    "whole URL": (head("GET", "http://evil.example/v1/models"), 403),
    "whole URL of us": (head("GET", "http://localhost/live"), 200),
    "whole URL without a path": (head("GET", "http://localhost?x"), 200),
    "whole URL with a user": (head("GET", "http://localhost@evil.example/live"), 403),
    "whole URL of another scheme": (head("GET", "ftp://localhost/live"), 404),
    "no slash": (head("GET", "live"), 404),
    "star": (head("OPTIONS", "*"), 404),
    "CONNECT": (head("CONNECT", "localhost:80"), 404),
    "TRACE": (head("TRACE", "/live", "Cookie: a=b"), 405),
    "small letters": (head("post", CHAT, "Content-Length: 2") + b"{}", 405),
    "a long method": (head("A" * 5_000, "/live"), 405),
    "HTTP/1.0": (b"GET /live HTTP/1.0\r\n\r\n", 200),
    "line feeds": (b"GET /live HTTP/1.1\nHost: localhost\nConnection: close\n\n", 200),
    "escaped path": (head("GET", "/%6c%69%76%65"), 200),
    "a query of 8 kB": (head("GET", "/live?" + "a=b&" * 2_000), 200),
    "1,000 headers": (head("GET", "/live", *(f"X-{i}: a" for i in range(1_000))), 200),
    "websocket": (head("GET", CHAT, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"), 405),
    "h2c": (head("GET", "/live", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAA"), 200),
    "chunked": (head("POST", CHAT, "Transfer-Encoding: chunked") + CHUNKED, 200),
    "chunked with extensions": (
        head("POST", CHAT, "Transfer-Encoding: chunked") + CHUNKED.replace(b"\r\n", b";a=b\r\n", 1),
        200,
    ),
    "expects nonsense": (post(GOOD, "Expect: 200-maybe"), 200),
    "no body": (head("POST", CHAT), 400),
    "body of a GET": (head("GET", "/live", "Content-Length: 2") + b"{}", 200),
    "text/plain": (post(GOOD, "Content-Type: text/plain"), 200),
    "form": (post(GOOD, "Content-Type: application/x-www-form-urlencoded"), 200),
    "nonsense type": (post(GOOD, "Content-Type: ;;;===\xff"), 200),
    "UTF-8": (post(GOOD, 'Content-Type: application/json; charset="UTF-8"'), 200),
    "identity": (post(GOOD, "Content-Encoding: identity"), 200),
    "UTF-16": (post(GOOD, "Content-Type: application/json; charset=utf-16"), 415),
    "Latin-1": (post(GOOD, "Content-Type: application/json; charset = ISO-8859-1"), 415),
    "gzip": (post(gzip.compress(GOOD), "Content-Encoding: gzip"), 200),
    "a bomb": (post(gzip.compress(bytes(10_000_000)), "Content-Encoding: gzip"), 413),
    "gzip twice": (post(gzip.compress(gzip.compress(GOOD)), "Content-Encoding: gzip, gzip"), 415),
    "br": (post(GOOD, "Content-Encoding: br, identity"), 415),
}

"""Bodies with `Content-Encoding: gzip`: whole, broken, and hostile ones."""

from __future__ import annotations

import gzip
import os
import time
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest

from inference import Model
from server import create_app
from tests.support.abuse_bytes import GOOD
from tests.support.abuse_client import CHAT, RAW, Client, check_answer, check_error, head, raw, statuses
from tests.support.scripted_engine import scripted
from tests.support.serving import serving
from web.body import MAX_BODY

PACKED = gzip.compress(GOOD)


@pytest.fixture(scope="module")
def url(chatml: Model) -> Iterator[str]:
    model, _ = scripted(chatml, "all\nhello")
    with serving(create_app(lambda: model)) as url:
        yield url


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", " gzip "])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_a_packed_body_is_read(url: str, encoding: str, level: int) -> None:
    """Clients behind some proxies send packed bodies, and met a 415."""
    with Client(url) as client:
        answer = client.send("POST", CHAT, gzip.compress(GOOD, level), {"Content-Encoding": encoding})
        assert answer.status == 200
        assert answer.json["choices"][0]["message"]["role"] == "assistant"


def test_a_packed_body_in_single_bytes(url: str) -> None:
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in PACKED) + b"0\r\n\r\n"
    lines = ("Content-Encoding: gzip", "Transfer-Encoding: chunked", "Connection: close")
    assert statuses(raw(url, head("POST", CHAT, *lines) + chunks, silence_s=5)) == [200]


@pytest.mark.parametrize(
    "body",
    {
        "cut": PACKED[:-9],
        "without the checksum": PACKED[:-8],
        "wrong checksum": PACKED[:-8] + bytes(8),
        "garbage behind": PACKED + b"x",
        "zeros behind": PACKED + bytes(512),
        "twice": PACKED * 2,
        "corrupt": PACKED[:20] + b"\xff" * 8 + PACKED[28:],
        "plain JSON": GOOD,
        "zlib": zlib.compress(GOOD),
        "raw deflate": zlib.compress(GOOD, wbits=-15),
        "header alone": PACKED[:10],
        "nothing": b"",
        "random": os.urandom(10_000),
    }.items(),
    ids=lambda one: one[0],
)
def test_a_broken_packed_body_is_an_error(url: str, body: tuple[str, bytes]) -> None:
    with Client(url) as client:
        for path in (CHAT, RAW):
            answer = client.send(
                "POST", path, body[1], {"Content-Encoding": "gzip", "Content-Length": str(len(body[1]))}
            )
            check_answer(answer)
            assert answer.status == 400
            assert "not one whole gzip stream" in answer.error["message"]
        client.check_health()


def test_the_limit_is_on_the_unpacked_size(url: str) -> None:
    fits = GOOD + b" " * (MAX_BODY - len(GOOD))
    with Client(url) as client:
        for body, status in ((fits, 200), (fits + b" ", 413)):
            answer = client.send("POST", CHAT, gzip.compress(body), {"Content-Encoding": "gzip"})
            check_answer(answer)
            assert answer.status == status


def bomb(num_bytes: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    block = bytes(2**20)
    return b"".join([*(packer.compress(block) for _ in range(num_bytes // 2**20)), packer.flush()])


def test_a_zip_bomb_takes_neither_memory_nor_time(url: str) -> None:
    """A body of 1 MB that unpacks to 1 GB gets a 413 after the first 2 MiB are unpacked."""
    packed = bomb(2**30)
    assert len(packed) < 1.1 * 2**20
    with Client(url) as client:
        client.send("POST", CHAT, bomb(2**23), {"Content-Encoding": "gzip"})
        tracemalloc.start()
        begun = time.monotonic()
        answer = client.send("POST", CHAT, packed, {"Content-Encoding": "gzip"})
        took_s = time.monotonic() - begun
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        check_answer(answer)
        assert (answer.status, answer.error["code"]) == (413, "request_too_large")
        assert peak < 32 * 2**20
        assert took_s < 5
        client.check_health()


def test_a_bomb_inside_a_bomb(url: str) -> None:
    """Unpacking happens once: what is packed twice unpacks to gzip, which is no JSON."""
    with Client(url) as client:
        twice = gzip.compress(bomb(2**30))
        answer = client.send("POST", CHAT, twice, {"Content-Encoding": "gzip"})
        check_answer(answer)
        assert answer.status == 400


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "compress", "gzip, gzip", "gzip, br", "nonsense"])
def test_any_other_packing_is_an_error_that_names_gzip(url: str, encoding: str) -> None:
    with Client(url) as client:
        answer = client.send("POST", CHAT, GOOD, {"Content-Encoding": encoding})
        check_answer(answer)
        assert (answer.status, answer.headers["accept-encoding"]) == (415, "gzip")
        assert "uncompressed or with gzip" in answer.error["message"]


def test_a_byte_order_mark_has_its_own_error(url: str) -> None:
    """A BOM before the JSON, as PowerShell writes it, got Python's words about `utf-8-sig`."""
    for packed in (False, True):
        body = b"\xef\xbb\xbf" + GOOD
        received = raw(
            url,
            head(
                "POST",
                CHAT,
                f"Content-Length: {len(gzip.compress(body) if packed else body)}",
                "Connection: close",
                *(["Content-Encoding: gzip"] if packed else []),
            )
            + (gzip.compress(body) if packed else body),
        )
        assert statuses(received) == [400]
        check_error(received.partition(b"\r\n\r\n")[2])
        assert b"It starts with a byte order mark; send UTF-8 without one." in received

"""The HTTP client for URLs that documents name: forbidden URLs reach nothing, and no server can hold or flood it."""

from __future__ import annotations

import asyncio
import gzip
import logging
import shutil
import ssl
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpcore2
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.openapi.network import Answer, NetworkError, SafeClient, host_of, is_allowed, resolved, safe_url
from tests.support.raw_server import RawServer, Seen, raw_server, response

PUBLIC = "93.184.216.34"
LIES = {  # names that lead to addresses that are not public
    "inside.example": ["127.0.0.1"],
    "127.0.0.1.nip.example": ["127.0.0.1"],
    "metadata.example": ["169.254.169.254"],
    "office.example": ["10.1.2.3"],
    "mixed.example": [PUBLIC, "127.0.0.1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "six.example": ["::1"],
    "scoped.example": ["fe80::1%lo"],
    "unspecified.example": ["0.0.0.0"],
    "nowhere.example": [],
}
HOSTS = (Path(__file__).parents[1] / "data" / "forbidden_hosts.txt").read_text(encoding="utf-8").splitlines()
FORBIDDEN = [  # PORT is the port of a server on this machine
    *(f"http://{host}:PORT/" for host in (*HOSTS, "loc\u00adalhost", "localhost\u200b")),
    *(f"https://{host}:PORT/" for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "inside.example")),
    "http://good.example@127.0.0.1:PORT/",
    "http://127.0.0.1:PORT@good.example/",
    "http://good.example:pass@127.0.0.1:PORT/",
    "http://@127.0.0.1:PORT/",
    "http://good.example%40127.0.0.1:PORT/",
    "http://good.example\\@127.0.0.1:PORT/",
    "http://127.0.0.1:PORT\\@good.example/",
    "http:\\\\127.0.0.1:PORT/",
    "http://127.0.0.1:PORT#@good.example/",
    "http://127.0.0.1:PORT?@good.example/",
    "http:/127.0.0.1:PORT/",
    "http:127.0.0.1:PORT/",
    "http:///127.0.0.1:PORT/",
    "//127.0.0.1:PORT/",
    "127.0.0.1:PORT",
    "http://127.0.0.1:PORT/\r\nHost: x",
    "http://127.0.0.1\t:PORT/",
    " http://127.0.0.1:PORT/",
    "http://127.0.0.1 :PORT/",
    "http://:PORT/",
    "http://localhost:99999/",
    "http://localhost:-1/",
    "http://localhost:0/",
    "http://" + "a" * 64 + ".example:PORT/",
    "http://localhost:PORT/" + "a" * 9_000,
    *(f"{scheme}://127.0.0.1:PORT/" for scheme in ("ftp", "gopher", "ws", "wss", "dict", "ldap", "http+unix", "httpx")),
    "file:///etc/passwd",
    "javascript:alert(1)",
    "data:text/plain,x",
    "unix:/run/docker.sock",
    "jar:http://127.0.0.1:PORT/!/",
    "",
]


async def lying(host: str, port: int) -> Sequence[str]:
    if host not in (*LIES, "localhost"):
        raise OSError("no such name")
    return LIES[host] if host in LIES else await resolved(host, port)


def fetched(client: SafeClient, url: str, limit: int = 1_000, method: str = "GET", **parts: Any) -> Answer:
    return asyncio.run(client.fetch(httpx2.Request(method, safe_url(url), **parts), limit))


def local(**options: Any) -> SafeClient:
    return SafeClient(frozenset({"127.0.0.1", "localhost"}), allow_private=True, **options)


@pytest.fixture
def canary() -> Iterator[RawServer]:
    with raw_server(response("caught")) as server:
        yield server


def test_at_least_sixty_forms_of_forbidden_urls_reach_nothing(
    canary: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host is on the list of allowed ones each time, so that only the check of the address is left.

    Attempts to connect count too: this machine has no way to some of the addresses, which another one may have.
    """
    assert len(set(FORBIDDEN)) >= 60
    reached = []

    async def connect(network: object, host: str, *_: object, **__: object) -> httpcore2.AsyncNetworkStream:
        reached.append(host)
        raise httpcore2.ConnectError("the test counts attempts")

    for form in FORBIDDEN:
        url = form.replace("PORT", str(canary.port))
        with suppress(NetworkError):
            client = SafeClient(frozenset({host_of(safe_url(url))}), resolve=lying, timeout_s=5)
            fetched(client, url)
            reached.append(url)
    assert canary.num_connections == 0
    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", connect)
    for form in FORBIDDEN:
        url = form.replace("PORT", str(canary.port))
        with suppress(NetworkError):
            fetched(SafeClient(frozenset({host_of(safe_url(url))}), resolve=lying, timeout_s=5), url)
    assert reached == []


def test_the_canary_counts_what_is_allowed(canary: RawServer) -> None:
    for host in ("127.0.0.1", "localhost", "LOCALHOST.", "[::ffff:127.0.0.1]"):
        client = SafeClient(frozenset({"127.0.0.1", "localhost", "::ffff:7f00:1"}), allow_private=True)
        assert fetched(client, f"http://{host}:{canary.port}/").body == b"caught"
    assert canary.num_connections == 4


def test_private_networks_are_allowed_by_a_switch_but_never_the_metadata_of_clouds() -> None:
    for address in ("127.0.0.1", "10.0.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd00::1", "::ffff:10.0.0.1"):
        assert is_allowed(address, allow_private=True)
        assert not is_allowed(address, allow_private=False)
    for address in ("169.254.169.254", "fe80::1", "0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "2002:a9fe:a9fe::"):
        assert not is_allowed(address, allow_private=True)
    for address in (PUBLIC, "2606:4700::1111", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8"):
        assert is_allowed(address, allow_private=False)


@given(st.ip_addresses(v=4).filter(lambda address: not address.is_global or address.is_multicast))
def test_no_ipv6_form_of_a_special_ipv4_address_is_allowed(address: Any) -> None:
    number = f"{int(address) >> 16:x}:{int(address) & 0xFFFF:x}"
    for form in (str(address), f"::ffff:{number}", f"::{number}", f"64:ff9b::{number}", f"2002:{number}::1"):
        assert not is_allowed(form, allow_private=False)


def test_hosts_off_the_list_get_no_connection(canary: RawServer) -> None:
    client = SafeClient(frozenset({"api.example"}), allow_private=True)
    with pytest.raises(NetworkError, match=r"'127.0.0.1' is not allowed; allowed are api\.example"):
        fetched(client, canary.url)
    assert canary.num_connections == 0


def test_a_name_that_changes_its_address_after_the_check(canary: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the first answer is public, every later one is this machine. The name is resolved only once."""
    answers = iter([[PUBLIC], *[["127.0.0.1"]] * 9])
    connected = []

    async def changing(host: str, port: int) -> Sequence[str]:
        return next(answers)

    async def connect(network: object, host: str, *_: object, **__: object) -> httpcore2.AsyncNetworkStream:
        connected.append(host)
        raise httpcore2.ConnectError("the test has no internet")

    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", connect)
    client = SafeClient(frozenset({"rebound.example"}), resolve=changing)
    with pytest.raises(NetworkError, match="cannot be reached"):
        fetched(client, f"http://rebound.example:{canary.port}/")
    assert connected == [PUBLIC]
    assert next(answers) == ["127.0.0.1"]
    assert canary.num_connections == 0


def test_the_next_address_is_tried_when_one_does_not_answer(canary: RawServer) -> None:
    async def two(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.2", "127.0.0.1"]

    client = SafeClient(frozenset({"two.example"}), allow_private=True, resolve=two)
    assert fetched(client, f"http://two.example:{canary.port}/").body == b"caught"


def test_proxies_of_the_environment_are_not_used(canary: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(response("direct")) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, canary.url)
        assert fetched(local(), server.url).body == b"direct"
    assert canary.num_connections == 0


# Redirects


def test_redirects_on_the_same_server_are_followed() -> None:
    def respond(seen: Seen) -> bytes:
        status = {"/see": "303 See Other", "/kept": "307 Temporary Redirect", "/found": "302 Found"}.get(seen.target)
        return response("", status, location="/end?x=1") if status else response(seen.method + seen.body)

    with raw_server(respond) as server:
        for path, method, body in (("see", "POST", b"GET"), ("kept", "POST", b"POST{}"), ("found", "PUT", b"PUT{}")):
            assert fetched(local(), f"{server.url}/{path}", method=method, content=b"{}").body == body


@pytest.mark.parametrize(
    "location",
    [
        "http://localhost:PORT/",
        "http://127.0.0.1:1/",
        "https://127.0.0.1:PORT/",
        "//169.254.169.254/",
        "http://user@127.0.0.1:PORT/",
        "http://127.0.0.1:PORT\\@x/",
        "file:///etc/passwd",
        "http://[",
    ],
)
def test_redirects_to_another_scheme_host_or_port_are_not_followed(location: str) -> None:
    """The secrets of a request would go along, and a public host could lead to a private one."""
    with raw_server(
        lambda seen: response("", "302 Found", location=location.replace("PORT", str(server.port)))
    ) as server:
        with pytest.raises(NetworkError, match=r"redirects to|no URL|no host name|user name"):
            fetched(local(), server.url)
        assert server.num_connections == 1


def test_a_redirect_loop_ends_after_five() -> None:
    with raw_server(response("", "302 Found", location="/again")) as server:
        with pytest.raises(NetworkError, match="more than 5 times"):
            fetched(local(), server.url)
        assert server.num_connections == 6


# Servers that misbehave


def trickle(seen: Seen) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n"
    while True:
        time.sleep(0.02)
        yield b"x"


def trickle_head(seen: Seen) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    while True:
        time.sleep(0.02)
        yield b"a: b\r\n"


def hang(seen: Seen) -> Iterator[bytes]:
    for _ in range(500):
        time.sleep(0.02)
        yield b""


@pytest.mark.parametrize("respond", [trickle, trickle_head, hang])
def test_a_server_that_trickles_or_hangs_is_left_after_the_time(respond: Callable[[Seen], Iterator[bytes]]) -> None:
    """Each read is fast, so that a limit for single reads would never end it."""
    with raw_server(respond) as server:
        started = time.monotonic()
        with pytest.raises(NetworkError, match=r"127\.0\.0\.1 did not answer within 0\.5 s"):
            fetched(local(timeout_s=0.5), server.url, 1 << 20)
        assert time.monotonic() - started < 10


def test_a_length_that_is_a_lie() -> None:
    with (
        raw_server(response("abc", content_length="1000")) as server,
        pytest.raises(NetworkError, match="no valid HTTP"),
    ):
        fetched(local(), server.url)
    with raw_server(response("abcdef", content_length="3")) as server:
        assert fetched(local(), server.url).body == b"abc"
    with raw_server(response("abc", content_length="")) as server:
        assert fetched(local(), server.url).body == b"abc"
    with raw_server(response("abc" * 10, content_length="30")) as server:
        assert fetched(local(), server.url, 4) == replace(fetched(local(), server.url), body=b"abca", is_cut=True)


def endless(seen: Seen) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n"
    for _ in range(16_384):  # 1 GiB
        yield b"x" * 65_536


def bomb(seen: Seen) -> bytes:
    return response(gzip.compress(bytes(256 << 20), 9), content_encoding="gzip")


@pytest.mark.parametrize("respond", [endless, bomb])
def test_a_body_of_a_gigabyte_is_read_up_to_the_limit(respond: Callable[[Seen], bytes | Iterator[bytes]]) -> None:
    """A packed body counts as unpacked: 256 MiB of zeros are 256 KiB of gzip."""
    packed = respond(Seen("", "", {}, ""))
    with raw_server(packed if isinstance(packed, bytes) else endless) as server:
        tracemalloc.start()
        answer = fetched(local(), server.url, 1 << 20)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (len(answer.body), answer.is_cut) == (1 << 20, True)
    assert peak < 16 << 20


def test_packed_bodies() -> None:
    packed = gzip.compress(b"hello")
    for body, encoding in ((packed, "gzip"), (packed, "X-Gzip"), (b"hello", "identity"), (b"hello", "")):
        with raw_server(response(body, content_encoding=encoding)) as server:
            assert fetched(local(), server.url).body == b"hello"
            assert server.seen[0].headers["accept-encoding"] == "gzip"
    for body, encoding in ((b"hello", "gzip"), (packed[:-9], "gzip"), (packed, "br"), (packed, "gzip, gzip")):
        with (
            raw_server(response(body, content_encoding=encoding)) as server,
            pytest.raises(NetworkError, match=r"no gzip|ends early|not asked for"),
        ):
            fetched(local(), server.url)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 500_000,
    ],
)
def test_what_is_no_http_is_one_line(said: bytes) -> None:
    with raw_server(said) as server:
        with pytest.raises(NetworkError) as caught:
            fetched(local(), server.url)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400


def test_nobody_listens() -> None:
    with raw_server(hang) as server:
        pass
    with pytest.raises(NetworkError, match=r"127\.0\.0\.1 cannot be reached"):
        fetched(local(), server.url)


def test_a_name_server_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that resolves a name cannot be stopped, and the end of the event loop would wait for it."""
    is_over = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *parts, **options: is_over.wait(20) and [])
    started = time.monotonic()
    with pytest.raises(NetworkError, match=r"api\.example did not answer within 0\.3 s"):
        fetched(SafeClient(frozenset({"api.example"}), timeout_s=0.3), "http://api.example/")
    assert time.monotonic() - started < 10
    is_over.set()


def test_a_name_that_does_not_exist() -> None:
    async def unknown(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    with pytest.raises(NetworkError, match=r"api\.example cannot be resolved"):
        fetched(SafeClient(frozenset({"api.example"}), resolve=unknown), "http://api.example/")


# What is sent


def test_a_header_with_a_line_break_is_not_sent_and_not_told(canary: RawServer) -> None:
    with pytest.raises(NetworkError) as caught:
        fetched(local(), canary.url, headers={"authorization": "secret\r\nx: y"})
    assert "secret" not in str(caught.value)
    assert canary.seen == []


def test_logs_have_no_query_and_no_headers(canary: RawServer, caplog: pytest.LogCaptureFixture) -> None:
    """httpx2 logs each URL with its query, where an API may want its key."""
    with caplog.at_level(logging.DEBUG):
        fetched(local(), f"{canary.url}/x?key=hidden1", headers={"authorization": "hidden2"})
    assert canary.seen[0].target == "/x?key=hidden1"
    assert canary.seen[0].headers["authorization"] == "hidden2"
    assert "hidden" not in caplog.text


def test_a_certificate_counts_for_the_name_and_not_for_the_address(tmp_path: Path) -> None:
    """The connection goes to an address that was checked, and TLS must still ask for the name of the URL."""
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=shop.example"]
    made += ["-addext", "subjectAltName=DNS:shop.example", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    asked: list[str | None] = []
    tls.sni_callback = lambda socket, name, context: asked.append(name)

    async def here(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    trusting = ssl.create_default_context(cafile=str(certificate))
    hosts = frozenset({"shop.example", "other.example"})
    client = SafeClient(hosts, allow_private=True, resolve=here, ssl_context=trusting)
    location = {"/down": "http://shop.example/"}
    with raw_server(lambda seen: response("tls", "302 Found", location=location.get(seen.target, "")), tls) as server:
        assert fetched(client, f"https://shop.example:{server.port}/").body == b"tls"
        with pytest.raises(NetworkError, match="certificate"):
            fetched(client, f"https://other.example:{server.port}/")
        with pytest.raises(NetworkError, match="redirects to"):
            fetched(client, f"https://shop.example:{server.port}/down")
        with pytest.raises(NetworkError, match="certificate"):
            fetched(replace(client, ssl_context=None), f"https://shop.example:{server.port}/")
    assert asked[:2] == ["shop.example", "other.example"]

"""Reads the document of an OpenAPI plugin: a file or URL, in JSON or YAML, or a manifest that leads to it."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2

from agent.definitions.candidates import Unfit
from agent.definitions.documents import read_yaml
from agent.definitions.openapi import is_openapi
from agent.openapi.network import NetworkError, SafeClient, host_of, safe_url
from agent.tools import Json, ToolSourceError
from apis.rules.json_text import JsonError, read_json

MAX_DOCUMENT = 2 << 20  # bytes

IS_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True)
class Source:
    """A document, and where it comes from.

    name: for messages. url: what its relative URLs start from, or None for a file. title: its part of the names of
    environment variables.
    """

    document: Json
    name: str
    url: httpx2.URL | None
    title: str = ""


def read_source(given: str | Path | Json, client: SafeClient) -> Source:
    """Read a document. A manifest leads to its document. Raises ToolSourceError."""
    found = _read(given, client, is_named=True)
    if not is_openapi(found.document) and isinstance(api := found.document.get("api"), dict):
        found = _of_manifest(found, str(api.get("url") or ""), client)
    version = str(found.document.get("openapi") or found.document.get("swagger") or "")
    if not version.startswith(("3.", "2.")):
        raise ToolSourceError(
            f"{found.name}: no OpenAPI document; it needs 'openapi: 3...' or 'swagger: 2.0' at its top"
        )
    described = found.document.get("info")
    title = str(described.get("title") or "") if isinstance(described, dict) else ""
    return found if found.title else replace(found, title=title)


def _of_manifest(manifest: Source, url: str, client: SafeClient) -> Source:
    """Return the document of a ChatGPT plugin. Its kind of auth counts if the document names none.

    A manifest from a URL may lead to its own host and to allowed ones only; one in a file is the operator's word.
    """
    if manifest.url:
        own = replace(client, hosts=client.hosts | {host_of(manifest.url)})
        found = _read(_joined(manifest.url, url), own, is_named=False)
    else:
        found = _read(url if IS_URL.match(url) else Path(manifest.name).parent / url, client, is_named=True)
    document = dict(found.document)
    auth = manifest.document.get("auth")
    kind = auth.get("type") if isinstance(auth, dict) else "none"
    if isinstance(auth, dict) and kind in ("user_http", "service_http", "oauth") and "security" not in document:
        scheme = "basic" if auth.get("authorization_type") == "basic" else "bearer"
        components = document.get("components")
        held = {**components} if isinstance(components, dict) else {}
        document["components"] = held | {"securitySchemes": {"auth": {"type": "http", "scheme": scheme}}}
        document["security"] = [{"auth": []}]
    return replace(found, document=document, title=str(manifest.document.get("name_for_model") or ""))


def _joined(base: httpx2.URL, url: str) -> str:
    try:
        return str(base.join(url))
    except (httpx2.InvalidURL, ValueError):
        raise ToolSourceError(f"{base.host}: the manifest's {url[:80]!r} is no URL") from None


def _read(given: str | Path | Json, client: SafeClient, *, is_named: bool) -> Source:
    """Read a JSON object from a file or URL.

    is_named: the operator names the URL, so that its host is allowed.
    """
    if isinstance(given, dict):
        return Source(given, "the document", None)
    url = None
    if isinstance(given, str) and IS_URL.match(given):
        url, name, content = _fetched(given, client, is_named=is_named)
    else:
        name = str(given)
        try:
            with Path(given).open("rb") as file:
                content = file.read(MAX_DOCUMENT + 1)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no path"
            raise ToolSourceError(f"{name}: cannot be read: {reason}") from None
    if len(content) > MAX_DOCUMENT:
        raise ToolSourceError(f"{name}: it has more than {MAX_DOCUMENT >> 20} MiB")
    return Source(_parsed(content, name), name, url)


def _fetched(text: str, client: SafeClient, *, is_named: bool) -> tuple[httpx2.URL, str, bytes]:
    """Fetch a document. Returns its URL, its name, and at most a byte more than a document may have."""
    name = text.partition("?")[0][:200]
    try:
        url = safe_url(text)
        name = str(url.copy_with(query=None, fragment=None))
        request = httpx2.Request("GET", url, headers={"Accept": "application/json, application/yaml;q=0.9, */*;q=0.5"})
        hosts = client.hosts | ({host_of(url)} if is_named else set())
        fetching = replace(client, hosts=hosts).fetch(request, MAX_DOCUMENT + 1)
        with ThreadPoolExecutor(1) as thread:  # the caller may have an event loop of its own
            answer = thread.submit(asyncio.run, fetching).result()
    except NetworkError as error:
        raise ToolSourceError(f"{name}: {error}") from None
    if answer.status != 200:
        raise ToolSourceError(f"{name}: the server answered {answer.status}")
    return url, name, answer.body


def _parsed(content: bytes, name: str) -> Json:
    try:
        text = content.decode("utf-8-sig")
        document = read_json(text.encode()) if text.lstrip()[:1] == "{" else read_yaml(text)
    except UnicodeDecodeError as error:
        raise ToolSourceError(f"{name}: it is not UTF-8: bad byte at position {error.start}") from None
    except JsonError as error:
        raise ToolSourceError(f"{name}: no JSON: {error}") from None
    except Unfit as error:
        raise ToolSourceError(f"{name}:{error.line}: {error}" if error.line else f"{name}: {error}") from None
    if not isinstance(document, dict):
        raise ToolSourceError(f"{name}: an object was expected, got {type(document).__name__}")
    return document

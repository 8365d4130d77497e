"""A call of an OpenAPI operation as an HTTP request, and the answer as a text for the model."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from urllib.parse import quote, unquote

import httpx2

from agent.definitions.openapi import FORM, Body, Operation, Parameter
from agent.openapi.auth import Credentials
from agent.openapi.network import Answer, safe_url
from agent.tools import Json, ToolError

MAX_ERROR_BODY = 600  # characters of an error's body that the model reads

_TEMPLATE = re.compile(r"\{([^{}]*)\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SEPARATORS = {"form": ",", "spaceDelimited": "%20", "pipeDelimited": "%7C"}
_ENCODINGS = ("utf-8", "ascii", "iso8859-1", "cp1252", "utf-16")  # of texts; Python knows others that unpack data
_TEXTS = re.compile(r"text/|[/+](json|xml|yaml|x-yaml|javascript|x-www-form-urlencoded|x-ndjson|graphql|sql)\b", re.I)


def request_of(operation: Operation, server: str, arguments: Json, credentials: Credentials) -> httpx2.Request:
    """Return the request of a call. Raises ToolError for a value that its place cannot hold, NetworkError for the URL.

    server: an absolute URL without a slash at its end.
    """
    headers = {"Accept": "application/json, text/*;q=0.9, */*;q=0.1"}
    cookies = dict(credentials.cookies)
    query = [_pair(name, value) for name, value in credentials.query.items()]
    segments: dict[str, str] = {}
    for one in operation.parameters:
        value = arguments.get(one.argument)
        if value is None:
            continue
        match one.place:
            case "path":
                segments[one.name] = _joined(one, value, ",")
            case "query":
                query += _query(one, value)
            case "header":
                headers[one.name] = _header(one, value)
            case _:
                cookies[one.name] = _joined(one, value, ",")
    if cookies:
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
    path = _path(operation.path, segments)
    url = safe_url(server + path + ("?" + "&".join(query) if query else ""))
    headers |= credentials.headers
    content = _Content(operation.body, arguments)
    encoded = [(name.encode(), value.encode("utf-8", "replace")) for name, value in (headers | content.headers).items()]
    return httpx2.Request(operation.method.upper(), url, headers=encoded, content=content.content, files=content.files)


def _path(template: str, segments: Mapping[str, str]) -> str:
    """Fill the template of a path with encoded values. Raises ToolError if a value would lead to another path."""

    def filled(match: re.Match[str]) -> str:
        value = segments.get(match[1], "")
        if not value:
            raise ToolError(f"the argument {match[1]!r} is a part of the path and must not be empty")
        return value

    path = _TEMPLATE.sub(filled, template)
    for segment in path.split("/"):
        plain = _decoded(segment)
        if any(part in (".", "..") for part in re.split(r"[/\\]", plain)):
            raise ToolError(f"{plain[:80]!r} leads to another path, which is not allowed")
    return path


def _decoded(text: str) -> str:
    """Undo percent-encoding several times, as careless servers and the proxies before them might."""
    for _ in range(8):
        text = unquote(text)
    return text


def _joined(one: Parameter, value: object, separator: str) -> str:
    """Write a value as OpenAPI's `simple` style does, encoded. Objects are `k,v` or, if exploded, `k=v`."""
    if one.is_json:
        return _encoded(json.dumps(value, ensure_ascii=False))
    if isinstance(value, list):
        return separator.join(map(_encoded, value))
    if isinstance(value, dict):
        between = "=" if one.is_exploded else separator
        return separator.join(f"{_encoded(key)}{between}{_encoded(item)}" for key, item in value.items())
    return _encoded(value)


def _query(one: Parameter, value: object) -> Iterator[str]:
    """Yield the parts of the query for one parameter."""
    if one.is_json or not isinstance(value, list | dict):
        yield f"{_encoded(one.name)}={_joined(one, value, ',')}"
    elif isinstance(value, dict) and one.style == "deepObject":
        for key, item in value.items():
            for single in item if isinstance(item, list) else [item]:
                yield _pair(f"{one.name}[{key}]", single)
    elif isinstance(value, dict) and one.is_exploded:
        yield from (_pair(key, item) for key, item in value.items())
    elif isinstance(value, list) and one.is_exploded:
        yield from (_pair(one.name, item) for item in value)
    else:
        yield f"{_encoded(one.name)}={_joined(one, value, _SEPARATORS.get(one.style, ','))}"


def _header(one: Parameter, value: object) -> str:
    if one.is_json or not isinstance(value, list | dict):
        text = json.dumps(value) if one.is_json else _text(value)
    elif isinstance(value, list):
        text = ",".join(map(_text, value))
    else:
        between = "=" if one.is_exploded else ","
        text = ",".join(f"{key}{between}{_text(item)}" for key, item in value.items())
    if _CONTROL.search(text):
        raise ToolError(f"the argument {one.argument!r} is a header and must not have line breaks")
    return text


class _Content:
    """The body of a request as httpx2 takes it: JSON and web forms as bytes, forms of several parts as fields."""

    def __init__(self, body: Body | None, arguments: Json) -> None:
        self.headers: dict[str, str] = {}
        self.content: bytes | None = None
        self.files: list[tuple[str, tuple[None, str]]] | None = None
        if body is None:
            return
        given = {name: arguments[name] for name in body.arguments if name in arguments}
        if not (given or body.is_required):
            return
        value = given.get(body.arguments[0]) if body.is_whole else given
        if "form" not in body.media_type or not isinstance(value, dict):
            self.headers["Content-Type"] = body.media_type
            self.content = json.dumps(value).encode()
        elif "form-data" in body.media_type:
            self.files = [(name, (None, text)) for name, text in _fields(value)]
        else:
            self.headers["Content-Type"] = FORM
            self.content = "&".join(_pair(name, text) for name, text in _fields(value)).encode()


def _fields(value: Json) -> Iterator[tuple[str, str]]:
    for name, held in value.items():
        yield from ((name, _text(item)) for item in (held if isinstance(held, list) else [held]) if item is not None)


def _pair(name: str, value: object) -> str:
    return f"{_encoded(name)}={_encoded(value)}"


def _encoded(value: object) -> str:
    return quote(_text(value), safe="", errors="replace")


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def text_of(answer: Answer, credentials: Credentials) -> str:
    """Return an answer as a text for the model: JSON without blanks, other texts as they are.

    Raises ToolError for a status that is no success, with the beginning of the body, and for what is no text.
    """
    text = _body_text(answer)
    if answer.status not in range(200, 300):
        name = f"{answer.status} {_phrase(answer.status)}".strip()
        if text is None:
            raise ToolError(f"HTTP {name}")
        shown = credentials.redacted(text).strip()
        cut = " ..." if len(shown) > MAX_ERROR_BODY else ""
        raise ToolError(f"HTTP {name}" + (f": {shown[:MAX_ERROR_BODY]}{cut}" if shown else ""))
    if text is None:
        kind = answer.headers.get("content-type", "")[:80] or "unknown"
        raise ToolError(f"HTTP {answer.status}: the answer is no text (type {kind}, {len(answer.body)} bytes)")
    if not text.strip():
        return f"HTTP {answer.status} {_phrase(answer.status)}, without a body"
    if answer.is_cut:
        text += f"\n[cut: the answer has more than {len(answer.body)} bytes]"
    return credentials.redacted(text)


def _body_text(answer: Answer) -> str | None:
    """Return the body as a text, JSON without blanks. None if it is no text."""
    kind = answer.headers.get("content-type", "")
    encoding = _encoding(kind)
    if not encoding or (kind and not _TEXTS.search(kind)):
        return None
    try:  # the end of a body that is cut may be in the middle of a character
        text = codecs.getincrementaldecoder(encoding)("strict").decode(answer.body, final=not answer.is_cut)
    except UnicodeDecodeError:
        return None
    if "\x00" in text:
        return None
    if text.lstrip()[:1] not in ("{", "["):
        return text
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError):
        return text


def _encoding(content_type: str) -> str:
    named = re.search(r"charset=\"?([\w.:-]+)", content_type, re.IGNORECASE)
    try:
        encoding = codecs.lookup(named[1] if named else "utf-8").name
    except LookupError:
        return ""
    return encoding if encoding in _ENCODINGS else ""


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""

"""One request through the edge, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.support.abuse_client import Answer
from web.edge import Edge
from web.settings import Settings


def a_scope(method: str, path: str, headers: Mapping[str, str]) -> Scope:
    """Return the ASGI scope that uvicorn makes for a request."""
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode("utf-8", "replace"),
        "query_string": b"",
        "headers": [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()],
    }


def ask(
    app: ASGIApp,
    method: str = "GET",
    path: str = "/x",
    headers: dict[str, str] | None = None,
    *,
    api_keys: Collection[str] = (),
    receive: Receive | None = None,
) -> Answer:
    """Send one request through the edge. Return what the edge sent back."""
    sent: list[Message] = []

    async def nothing() -> Message:
        if not sent:
            return {"type": "http.request", "body": b"", "more_body": False}
        return await asyncio.Future()

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(
        Edge(app, Settings(api_keys=api_keys, own_hosts=["Our-Name"]))(
            a_scope(method, path, headers or {}), receive or nothing, send
        )
    )
    start = sent[0]
    body = b"".join(message.get("body", b"") for message in sent[1:])
    assert not sent[-1].get("more_body", False)
    return Answer(start["status"], {k.decode(): v.decode("latin-1") for k, v in start["headers"]}, body)


async def ok(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("ok")(scope, receive, send)
